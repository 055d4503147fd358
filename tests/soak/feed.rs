//! News for two subscribers: one that listens all the time, and one that comes and goes without having read them.

use std::time::Duration;

use ferromq::{Context, Endpoint, Pub, Socket, Stats, Sub};

use super::Scene;
use super::common::{PATIENCE, Rng, eventually, number_of, numbered};

pub(crate) struct Feed {
    ctx: Context,
    publisher: Socket<Pub>,
    at: Endpoint,
    faithful: Socket<Sub>,
    published: u32,
}

impl Feed {
    pub(crate) fn new(ctx: &Context) -> Self {
        let publisher = ctx.socket::<Pub>().build().unwrap();
        let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
        let faithful = Self::subscriber(ctx, &at);
        publisher.wait_subscribed(1, PATIENCE).unwrap();
        Self { ctx: ctx.clone(), publisher, at, faithful, published: 0 }
    }

    fn subscriber(ctx: &Context, at: &Endpoint) -> Socket<Sub> {
        let sub = ctx.socket::<Sub>().recv_hwm(100).linger(Duration::ZERO).build().unwrap();
        sub.connect(at).unwrap();
        sub.subscribe("").unwrap();
        sub
    }
}

impl Scene for Feed {
    fn play(&mut self, rng: &mut Rng) {
        let fickle = Self::subscriber(&self.ctx, &self.at);
        self.publisher.wait_subscribed(2, PATIENCE).unwrap();
        for _ in 0..NEWS {
            self.publisher.send(numbered(0, self.published, rng.below(300) as usize)).unwrap();
            // One after the other, so that no queue of the faithful one ever fills, and it misses nothing.
            assert_eq!(number_of(&self.faithful.recv_timeout(PATIENCE).unwrap()), (0, self.published));
            self.published += 1;
        }
        assert!(fickle.stats().received <= 101, "more than its mark");
        drop(fickle);
        eventually("the fickle one is gone", || self.publisher.stats().peers == 1);
    }

    fn books(&self) -> Vec<(&'static str, Stats)> {
        vec![("PUB", self.publisher.stats()), ("SUB", self.faithful.stats())]
    }
}

/// In each round.
const NEWS: usize = 500;

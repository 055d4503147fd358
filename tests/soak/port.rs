//! A port that a crowd of strangers floods each time, while somebody honest has something to send there.

use ferromq::{Context, Pull, Push, Socket, Stats};

use super::Scene;
use super::common::{PATIENCE, Rng, eventually};
use super::strangers::Strangers;

pub(crate) struct Port {
    pull: Socket<Pull>,
    push: Socket<Push>,
    strangers: Strangers,
}

impl Port {
    pub(crate) fn new(ctx: &Context) -> Self {
        let pull = ctx.socket::<Pull>().build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        push.connect(&at).unwrap();
        Self { pull, push, strangers: Strangers::start(at) }
    }
}

impl Scene for Port {
    fn play(&mut self, rng: &mut Rng) {
        let Self { pull, push, strangers } = self;
        strangers.come(rng.next(), || {
            for number in 0..MESSAGES {
                let message = format!("honest: {number}");
                push.send(&message).unwrap();
                while pull.recv_timeout(PATIENCE).unwrap() != message {} // what sound strangers have sent
            }
        });
        eventually("all strangers are gone", || pull.stats().peers == 1);
        while pull.try_recv().is_ok() {}
    }

    fn books(&self) -> Vec<(&'static str, Stats)> {
        vec![("PULL at the port", self.pull.stats()), ("PUSH to the port", self.push.stats())]
    }
}

/// In each round.
const MESSAGES: usize = 500;

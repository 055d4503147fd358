//! Work for four workers, one of which is killed in the midst of it each time, and replaced.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use ferromq::{Context, Endpoint, Pull, Push, Socket, Stats};

use super::Scene;
use super::common::process::{orders, say, task};
use super::common::{PATIENCE, Process, Rng, eventually, numbered};

pub(crate) struct Pipeline {
    push: Socket<Push>,
    at: Endpoint,
    workers: Vec<Process>,
}

impl Pipeline {
    pub(crate) fn new(ctx: &Context) -> Self {
        let push = ctx.socket::<Push>().build().unwrap();
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        let workers = (0..WORKERS).map(|_| Process::start("pipeline::a_worker", &at)).collect();
        push.wait_connected(WORKERS, PATIENCE).unwrap();
        Self { push, at, workers }
    }

    fn send(&self, rng: &mut Rng, messages: u64) {
        for number in 0..messages {
            let padding = if rng.one_in(100) { rng.below(50_000) } else { rng.below(300) };
            self.push.send(numbered(0, number as u32, padding as usize)).unwrap();
        }
    }
}

impl Scene for Pipeline {
    fn play(&mut self, rng: &mut Rng) {
        let early = rng.below(MESSAGES);
        self.send(rng, early);
        self.workers.remove(rng.below(WORKERS as u64) as usize).kill();
        self.send(rng, MESSAGES - early);
        eventually("the death is noticed", || self.push.stats().peers == WORKERS - 1);
        eventually("all is written", || self.push.stats().queued == 0);
        let stats = self.push.stats();
        let left = stats.accepted - stats.unconfirmed - stats.dropped.total();
        eventually("the living have what no dead has taken along", || {
            let received = self.workers.iter_mut().map(|worker| {
                worker.tell("how many?");
                worker.hear().parse::<u64>().unwrap()
            });
            let received = received.sum::<u64>();
            assert!(received <= left, "{received} instead of {left} have come: {stats:?}");
            received == left
        });
        self.workers.push(Process::start("pipeline::a_worker", &self.at));
        self.push.wait_connected(WORKERS, PATIENCE).unwrap();
    }

    fn books(&self) -> Vec<(&'static str, Stats)> {
        vec![("PUSH to workers", self.push.stats())]
    }
}

#[test]
#[ignore = "a process that the other test starts, and kills"]
fn a_worker() {
    let Some(at) = task() else { return };
    let pull = &Context::new().unwrap().socket::<Pull>().build().unwrap();
    pull.connect(at).unwrap();
    let received = &AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            while pull.recv().is_ok() {
                received.fetch_add(1, SeqCst);
            }
        });
        orders().for_each(|_| say(received.load(SeqCst)));
        std::process::exit(0);
    });
}

const WORKERS: usize = 4;
/// In each round.
const MESSAGES: u64 = 5000;

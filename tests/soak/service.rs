//! Questions to a server that is killed in the midst of them each time, and started again at the same place.

use std::thread;
use std::time::Duration;

use ferromq::{Context, Rep, Req, Socket, Stats};

use super::Scene;
use super::common::process::{say, task};
use super::common::{PATIENCE, Process, Rng};

pub(crate) struct Service {
    req: Socket<Req>,
    at: String,
    server: Option<Process>,
    asked: u32,
}

impl Service {
    pub(crate) fn new(ctx: &Context) -> Self {
        let mut server = Process::start("service::the_server", "tcp://127.0.0.1:0");
        let at = server.hear();
        let ms = Duration::from_millis;
        let req = ctx.socket::<Req>().reconnect_interval(ms(5)).reconnect_max(ms(50)).build().unwrap();
        req.connect(&at).unwrap();
        Self { req, at, server: Some(server), asked: 0 }
    }

    /// Asks until there is an answer.
    fn ask(req: &Socket<Req>, number: u32) {
        let question = number.to_be_bytes();
        // Who was asked may have died over it.
        let answer = (0..3).find_map(|_| req.request(&question, PATIENCE).ok());
        assert_eq!(answer.expect("no server dies three times"), question);
    }
}

impl Scene for Service {
    fn play(&mut self, rng: &mut Rng) {
        let mut server = self.server.take().expect("there is one between any two rounds");
        let life = Duration::from_micros(rng.below(20_000));
        let (req, at, numbers) = (&self.req, &self.at, self.asked..self.asked + QUESTIONS);
        self.asked = numbers.end;
        self.server = Some(thread::scope(|scope| {
            let next = scope.spawn(move || {
                thread::sleep(life); // for any moment is as good
                server.kill();
                server = Process::start("service::the_server", at);
                server.hear();
                server
            });
            numbers.for_each(|number| Self::ask(req, number));
            next.join().unwrap()
        }));
        Self::ask(req, self.asked);
    }

    fn books(&self) -> Vec<(&'static str, Stats)> {
        vec![("REQ", self.req.stats())]
    }
}

#[test]
#[ignore = "a process that the other test starts, and kills"]
fn the_server() {
    let Some(at) = task() else { return };
    let rep = Context::new().unwrap().socket::<Rep>().build().unwrap();
    say(rep.bind(at).unwrap());
    while let Ok(question) = rep.recv() {
        // Who has asked may be gone.
        let _ = rep.send(question);
    }
}

/// In each round.
const QUESTIONS: u32 = 500;

//! A load that changes its shape, and what it costs: system calls, and time in which a message lies about.
//!
//! The network counts how often it is written to, and as time stands still unless it is told to pass, a message that is
//! there without a turn of the reactor was written by the call that sent it.

use std::time::Duration;

use super::world::World;
use crate::clock;
use crate::socket::{Dealer, Socket};
use crate::transport::memory::Weather;

/// Two sockets of two processes, connected.
struct Line {
    world: World,
    ends: [Socket<Dealer>; 2],
}

impl Line {
    fn new() -> Self {
        let delay = Duration::from_micros(20);
        let weather = Weather { delay, jitter: Duration::ZERO, piece: 1 << 20, capacity: 1 << 24 };
        let mut world = World::new(1, weather);
        let ends = [0, 1].map(|_| {
            let process = world.start();
            let context = &world.processes[process].context;
            context.socket::<Dealer>().send_hwm(0).recv_hwm(0).build().expect("the options are in range")
        });
        ends[1].bind("tcp://10.0.0.1:5000").expect("nobody else is there");
        ends[0].connect("tcp://10.0.0.1:5000").expect("it is an address");
        world.pass(Duration::from_secs(1));
        Self { world, ends }
    }

    /// How often an end has written so far.
    fn writes(&self, end: usize) -> usize {
        self.world.internet.view(0).writes[end]
    }

    /// Sends, and returns how often that was written to the stream by the call itself.
    fn send(&self, end: usize, body: &[u8]) -> usize {
        let before = self.writes(end);
        self.ends[end].try_send(body).expect("there is no mark");
        self.writes(end) - before
    }

    /// Sends as many messages as fast as a thread may, and returns how often that was written, sooner or later.
    fn burst(&mut self, messages: usize) -> usize {
        let before = self.writes(0);
        for _ in 0..messages {
            self.send(0, &[0; 64]);
            clock::set(Some(clock::now() + Duration::from_nanos(100)));
        }
        self.pause();
        self.writes(0) - before
    }

    fn pause(&mut self) {
        self.world.pass(Duration::from_millis(100));
    }

    /// Takes what has come, and returns how many messages that were and the last of them.
    fn drain(&self, end: usize) -> (usize, Vec<u8>) {
        let messages: Vec<_> = std::iter::from_fn(|| self.ends[end].try_recv().ok()).collect();
        (messages.len(), messages.last().map(|last| last.first().to_vec()).unwrap_or_default())
    }
}

#[test]
fn a_burst_is_gathered_and_the_first_after_a_pause_is_not_kept_back() {
    let mut line = Line::new();
    for _ in 0..5 {
        let writes = line.burst(10_000);
        assert!(writes <= 20, "10,000 messages of 64 octets took {writes} system calls");
        assert_eq!(line.drain(1), (10_000, vec![0; 64]));
        line.pause();
        for question in [b"one".as_slice(), b"two", b"three"] {
            assert_eq!(line.send(0, question), 1, "the request is on its way");
            line.world.pass(Duration::from_micros(100));
            assert_eq!(line.drain(1), (1, question.to_vec()));
            assert_eq!(line.send(1, b"answer"), 1, "and so is the answer");
            line.world.pass(Duration::from_micros(100));
            assert_eq!(line.drain(0), (1, b"answer".to_vec()));
        }
    }
}

#[test]
fn the_last_of_a_burst_is_written_within_milliseconds() {
    let mut line = Line::new();
    for messages in [2, 3, 10, 100, 1_000] {
        assert_eq!(line.send(0, b"first"), 1);
        for _ in 1..messages {
            assert_eq!(line.send(0, b"next"), 0, "it is gathered");
        }
        line.world.pass(Duration::from_millis(5));
        assert_eq!(line.drain(1).0, messages);
        line.pause();
    }
}

//! A worker dies in the middle. What it had not been fully given goes to the others, what the kernel had taken for it is
//! counted, and the two add up: received by the survivors + `unconfirmed` + dropped + queued = accepted.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::process::task;
use common::{PATIENCE, Process, Rng, Tally, eventually, number_of, numbered, raw, within};
use ferromq::{Context, Endpoint, Message, Pull, Push, RecvError, Socket};

const SURVIVORS: usize = 3;

/// How the victim is born, and how it dies once so many messages have been accepted.
trait Victim {
    /// What the victim had received, as far as it lived to tell.
    fn die(self: Box<Self>) -> Vec<(u32, u32)>;
}

/// A peer by hand that reads a while, and then nothing more.
struct Raw {
    peer: raw::Peer,
    read: Vec<(u32, u32)>,
    /// With a reset instead of an orderly end.
    abruptly: bool,
}

impl Raw {
    fn born(at: &Endpoint, abruptly: bool) -> Box<dyn Victim> {
        Box::new(Self { peer: raw::Peer::dial(at, "PULL"), read: Vec::new(), abruptly })
    }
}

impl Victim for Raw {
    fn die(mut self: Box<Self>) -> Vec<(u32, u32)> {
        for _ in 0..100 {
            let body = self.peer.single();
            self.read.push(number_of(&Message::from(body)));
        }
        self.peer.read(3); // and the beginning of one more
        if self.abruptly {
            self.peer.reset();
        }
        self.read
    }
}

/// A process that works as fast as it can, and is killed.
fn process(at: &Endpoint) -> Box<dyn Victim> {
    Box::new(Process::start("the_victim", at))
}

impl Victim for Process {
    fn die(self: Box<Self>) -> Vec<(u32, u32)> {
        self.kill();
        Vec::new()
    }
}

#[test]
#[ignore = "the worker that the other tests start as a process of its own, and kill"]
fn the_victim() {
    let Some(endpoint) = task() else { return };
    let pull = Context::new().unwrap().socket::<Pull>().build().unwrap();
    pull.connect(endpoint).unwrap();
    while pull.recv_timeout(PATIENCE).is_ok() {}
}

/// How much work there is.
#[derive(Clone, Copy)]
struct Work {
    seed: u64,
    messages: u64,
    /// How rare a large message is.
    large_one_in: u64,
}

const SOME: Work = Work { seed: 0, messages: 5000, large_one_in: 20 };
const A_MILLION: Work = Work { seed: 0, messages: 1_000_000, large_one_in: 1000 };

#[test]
fn a_worker_that_hangs_up_costs_no_more_than_is_counted() {
    within(2 * PATIENCE, || some_die(|at| Raw::born(at, false)));
}

#[test]
fn a_worker_whose_connection_is_reset_costs_no_more_than_is_counted() {
    within(2 * PATIENCE, || some_die(|at| Raw::born(at, true)));
}

#[test]
fn a_worker_whose_process_is_killed_costs_no_more_than_is_counted() {
    within(2 * PATIENCE, || some_die(process));
}

#[test]
#[ignore = "takes minutes"]
fn a_worker_whose_process_is_killed_costs_no_more_than_is_counted_a_hundred_times_a_million_messages() {
    within(60 * PATIENCE, || {
        let start = Instant::now();
        let unconfirmed: Vec<u64> =
            (0..100).map(|seed| one_dies(Work { seed, ..A_MILLION }, process)).collect();
        let most = unconfirmed.iter().max().unwrap();
        let none = unconfirmed.iter().filter(|count| **count == 0).count();
        println!("100 deaths in {:?}, {most} messages unconfirmed at most, none in {none}", start.elapsed());
    });
}

fn some_die(victim: impl Fn(&Endpoint) -> Box<dyn Victim>) {
    for seed in 0..3 {
        one_dies(Work { seed, ..SOME }, &victim);
    }
}

/// A worker dies at any point of the first nine tenths of the work. Returns how many messages it may or may not have seen.
fn one_dies(work: Work, victim: impl FnOnce(&Endpoint) -> Box<dyn Victim>) -> u64 {
    let death = work.messages / 10 + Rng(work.seed).below(work.messages * 8 / 10);
    let ctx = Context::new().unwrap();
    let push = &ctx.socket::<Push>().send_hwm(50).build().unwrap();
    let at = push.bind("tcp://127.0.0.1:0").unwrap();
    let pulls: Vec<Socket<Pull>> = (0..SURVIVORS).map(|_| ctx.socket::<Pull>().build().unwrap()).collect();
    for pull in &pulls {
        pull.connect(&at).unwrap();
    }
    let victim = victim(&at);
    push.wait_connected(SURVIVORS + 1, PATIENCE).unwrap();

    let (accepted, stop) = (&AtomicU64::new(0), &AtomicBool::new(false));
    let (tallies, read_by_victim, stats) = thread::scope(|scope| {
        let workers: Vec<_> = pulls.iter().map(|pull| scope.spawn(|| receive(pull))).collect();
        let senders: Vec<_> =
            (0..2).map(|sender| scope.spawn(move || send(push, sender, work, accepted, stop))).collect();

        eventually("work is well under way", || accepted.load(SeqCst) >= death);
        let read_by_victim = victim.die();
        eventually("the death is noticed", || push.stats().peers == SURVIVORS);
        let enough = work.messages.max(accepted.load(SeqCst) + 1000);
        eventually("work goes on", || accepted.load(SeqCst) >= enough);
        stop.store(true, SeqCst);
        senders.into_iter().for_each(|sender| sender.join().unwrap());

        eventually("all is written", || push.stats().queued == 0);
        let written_to_survivors = push.stats().written - push.stats().unconfirmed;
        eventually("the survivors have all that was written to them", || {
            pulls.iter().map(|pull| pull.stats().delivered).sum::<u64>() >= written_to_survivors
        });
        let stats = push.stats();
        for pull in &pulls {
            drop(pull.close(Duration::ZERO));
        }
        let tallies: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        (tallies, read_by_victim, stats)
    });

    let survived = Tally::assert_no_duplicates(&tallies) as u64;
    let accepted = accepted.load(SeqCst);
    assert_eq!(stats.accepted, accepted);
    assert_eq!(survived + stats.unconfirmed + stats.dropped.total() + stats.queued, accepted, "{stats:?}");
    assert_eq!(stats.dropped.total(), 0, "there was no reason to drop anything");
    assert_eq!(stats.written, accepted);

    let survived: HashSet<_> = tallies.iter().flat_map(|tally| tally.0.iter().copied()).collect();
    assert!(stats.unconfirmed >= read_by_victim.len() as u64, "what the victim read had been given to it");
    assert!(
        read_by_victim.iter().all(|message| !survived.contains(message)),
        "given to the victim and to another"
    );
    tallies.iter().for_each(assert_nearly_in_order);
    stats.unconfirmed
}

fn receive(pull: &Socket<Pull>) -> Tally {
    let mut tally = Tally::default();
    loop {
        match pull.recv() {
            Ok(message) => tally.note(&message),
            Err(error) => {
                assert_eq!(error, RecvError::Closed);
                return tally;
            }
        }
    }
}

/// Sends messages of all sizes, so that the death finds one half written.
fn send(push: &Socket<Push>, sender: u32, work: Work, accepted: &AtomicU64, stop: &AtomicBool) {
    let mut rng = Rng(work.seed << 8 | u64::from(sender));
    for number in 0.. {
        if stop.load(SeqCst) {
            return;
        }
        let padding = if rng.one_in(work.large_one_in) { rng.below(100_000) } else { rng.below(300) };
        push.send(numbered(sender, number, padding as usize)).unwrap();
        accepted.fetch_add(1, SeqCst);
    }
}

/// What was taken back comes later than its neighbours, but is in order in itself: the numbers fall at most once for
/// each sender.
fn assert_nearly_in_order(tally: &Tally) {
    for sender in 0..2 {
        let numbers: Vec<_> = tally.0.iter().filter(|entry| entry.0 == sender).map(|entry| entry.1).collect();
        let falls = numbers.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!(falls <= 1, "the numbers of sender {sender} fall {falls} times");
    }
}

#[test]
fn a_message_that_was_half_written_is_given_to_another_worker() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        let mut victim = raw::Peer::dial(&at, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        let large = vec![b'x'; 50_000_000]; // more than any kernel buffers
        push.send("small").unwrap();
        push.send(["head", "", std::str::from_utf8(&large).unwrap()]).unwrap();
        push.send("behind it").unwrap();
        assert_eq!(victim.single(), b"small");
        victim.read(1_000_000);
        drop(victim);

        let mut survivor = raw::Peer::dial(&at, "PULL");
        let parts = survivor.message().expect("all of it from its first part on");
        assert_eq!((parts.len(), &parts[0][..], &parts[1][..]), (3, &b"head"[..], &b""[..]));
        assert!(parts[2] == large);
        assert_eq!(survivor.single(), b"behind it");
        eventually("all is written", || push.stats().queued == 0);
        let stats = push.stats();
        assert_eq!((stats.accepted, stats.unconfirmed, stats.queued, stats.dropped.total()), (3, 1, 0, 0));
    });
}

/// With nobody else there, what the dead peer left waits for the next one.
#[test]
fn what_a_lost_peer_left_is_queued_until_another_comes() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().send_hwm(4).send_buffer(65_536).build().unwrap();
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        let stalled = raw::Peer::dial(&at, "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        let mut accepted = 0;
        while push.send_timeout(numbered(0, accepted, 1_000_000), Duration::from_millis(300)).is_ok() {
            accepted += 1;
        }
        stalled.reset();
        eventually("the loss is noticed", || push.stats().peers == 0);
        let stats = push.stats();
        assert_eq!(stats.unconfirmed + stats.queued, u64::from(accepted));
        assert!(stats.queued > 2, "the queue was still at its mark, or half of it: {stats:?}");
        assert!(push.try_send("nobody has room for more").is_err());

        let mut next = raw::Peer::dial(&at, "PULL");
        let first = stats.unconfirmed as u32;
        for number in first..accepted {
            assert_eq!(number_of(&Message::from(next.single())), (0, number), "in order");
        }
        push.send_timeout("more", PATIENCE).unwrap();
        assert_eq!(next.single(), b"more");
    });
}

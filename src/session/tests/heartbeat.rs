//! Heartbeats between two sessions: who is given up, and who never is.

use quickcheck::{Gen, QuickCheck};

use super::*;
use crate::zmtp::{Config, Rhythm};

/// A PING every second, and three seconds to give a sign of life after it.
const RHYTHM: Rhythm = Rhythm { interval: 1000, timeout: 3000, ttl: 0 };
/// When a dead peer is noticed at the latest.
const NOTICED: Duration = Duration::from_secs(4);
/// How time goes by.
const STEP: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

/// What a side does for a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    On,
    /// As libzmq does it unless it is told otherwise: it answers, as long as it reads.
    Off,
}
use Beat::{Off, On};

fn beating() -> Config {
    Config { rhythm: Some(RHYTHM), ..config(SocketType::Pair) }
}

/// Two sides that have met, with room for so many messages each way.
fn met(beats: [Beat; 2], mark: usize) -> Pair {
    let now = Instant::now();
    let mut pair = Pair::with(beating(), false, mark, now);
    for side in [0, 1].into_iter().filter(|&side| beats[side] == Off) {
        pair.parties[side] = Party::new(Mock::new(mark), &config(SocketType::Pair), now);
    }
    pair.settle();
    pair
}

/// Time goes by while the network works, and something else happens at each step.
fn live(pair: &mut Pair, time: Duration, mut happens: impl FnMut(&mut Pair)) {
    let end = pair.now + time;
    while pair.now < end {
        happens(pair);
        pair.pass(STEP);
        pair.settle();
    }
}

/// The network takes and brings nothing more, and nobody is told.
fn part(pair: &mut Pair) {
    for pipe in &mut pair.pipes {
        pipe.obey(&[Piece::Stall]);
        pipe.capacity = 0;
    }
}

/// How long it takes each side to notice, if it does in a long time.
fn notice(pair: &mut Pair, mut happens: impl FnMut(&mut Pair)) -> [Option<Duration>; 2] {
    let (start, mut noticed) = (pair.now, [None; 2]);
    live(pair, LONG, |pair| {
        for side in [0, 1] {
            if pair.is_over(side) {
                noticed[side].get_or_insert(pair.now - start);
            }
        }
        happens(pair);
    });
    noticed
}

fn assert_given_up(pair: &Pair, side: usize) {
    let end = &pair.parties[side].end;
    assert!(matches!(end, Some(End::Violation(Violation::HeartbeatTimeout))), "side {side}: {end:?}");
}

fn send(pair: &mut Pair, side: usize, shape: u8) {
    let host = pair.host(side);
    host.send(&message(host.accepted(), shape));
    pair.pump(side);
}

#[test]
fn no_side_that_lives_is_ever_given_up() {
    QuickCheck::new().tests(60).rng(Gen::new(400)).quickcheck(check as fn(Vec<u8>, u8));

    fn check(steps: Vec<u8>, how: u8) {
        let beats = [[On, On], [On, Off], [Off, On]][usize::from(how % 3)];
        let mut pair = met(beats, 1 + usize::from(how / 64));
        if how & 4 != 0 {
            // The network is slow, and gives the sender to know it.
            pair.pipes.iter_mut().for_each(|pipe| pipe.capacity = 2000);
        }
        let mut steps = steps.into_iter();
        live(&mut pair, LONG, |pair| match steps.next() {
            Some(step @ 0..96) => send(pair, usize::from(step % 2), step / 4),
            Some(step @ 96..160) => drop(pair.take(usize::from(step % 2), 1 + usize::from(step / 2 % 4))),
            Some(step @ 160..192) => live(pair, STEP * u32::from(step), |_| {}),
            _ => {}
        });
        for side in [0, 1] {
            assert!(!pair.is_over(side), "side {side} of {beats:?}: {:?}", pair.parties[side].end);
        }
        pair.drain();
        assert_eq!([0, 1].map(|side| pair.host(side).queued()), [0, 0]);
    }
}

#[test]
fn a_partition_is_noticed_by_both_sides() {
    for quiet in (0..20).map(|steps| steps * STEP) {
        let mut pair = met([On, On], 10);
        live(&mut pair, quiet, |_| {});
        part(&mut pair);
        for noticed in notice(&mut pair, |_| {}) {
            assert!(noticed.is_some_and(|time| time <= NOTICED + STEP), "{noticed:?}");
        }
        assert_given_up(&pair, 0);
        assert_given_up(&pair, 1);
    }
}

#[test]
fn a_partition_under_full_load_is_noticed_by_both_sides_and_heals() {
    let mut pair = met([On, On], 10);
    let load = |pair: &mut Pair| {
        (0..3).for_each(|_| send(pair, 0, 9));
        pair.take(1, 5);
    };
    live(&mut pair, 3 * NOTICED, load);
    part(&mut pair);
    for noticed in notice(&mut pair, load) {
        assert!(noticed.is_some_and(|time| time <= NOTICED + STEP), "{noticed:?}");
    }
    // The harness checks that what was not written is sent again, and nothing else.
    pair.reconnect();
    pair.settle();
    let before = pair.host(0).written();
    live(&mut pair, NOTICED, load);
    assert!(pair.host(0).written() > before + 10);
    pair.drain();
}

#[test]
fn a_paused_side_is_missed_and_notices_once_it_reads_again() {
    for other in [On, Off] {
        let mut pair = met([other, On], 4);
        live(&mut pair, 3 * NOTICED, |pair| send(pair, 0, 2));
        assert!(pair.parties[1].session.is_paused());
        part(&mut pair);
        let [sender, receiver] = notice(&mut pair, |_| {});
        assert_eq!(sender.is_some_and(|time| time <= NOTICED + STEP), other == On, "{sender:?}");
        assert_eq!(receiver, None, "who does not read cannot know");
        let [_, receiver] = notice(&mut pair, |pair| drop(pair.take(1, 4)));
        assert!(receiver.is_some_and(|time| time <= NOTICED + 2 * STEP), "{receiver:?}");
    }
}

#[test]
fn a_peer_that_reads_nothing_and_says_nothing_is_not_given_up_with_messages_before_it() {
    for capacity in [usize::MAX, 1000] {
        let mut pair = met([On, Off], 4);
        live(&mut pair, NOTICED, |_| {});
        pair.pipes[0].capacity = capacity;
        for _ in 0..40 {
            send(&mut pair, 0, 7);
            pair.settle();
        }
        live(&mut pair, LONG, |_| {});
        assert!(!pair.is_over(0) && pair.parties[1].session.is_paused());

        // It has read everything, and answered. From now on there is no excuse.
        pair.drain();
        live(&mut pair, 2 * STEP + NOTICED, |_| {});
        part(&mut pair);
        let [noticed, _] = notice(&mut pair, |_| {});
        assert!(noticed.is_some_and(|time| time <= NOTICED + STEP), "{noticed:?}");
    }
}

#[test]
fn a_message_that_is_longer_than_the_timeout_on_its_way_keeps_its_connection() {
    let mut pair = met([On, On], 4);
    pair.pipes[0].capacity = 1000;
    send(&mut pair, 0, 15);
    pair.pipes[0].obey(&[Piece::Octets(1), Piece::Stall]);
    let mut steps = 0;
    while pair.progress(0).1 == 0 && steps < 500 {
        // One octet at a time, and far more than a timeout in all.
        pair.read(1);
        pair.write(0);
        pair.read(1);
        pair.read(0);
        pair.write(1);
        pair.pass(STEP);
        steps += 1;
    }
    assert_eq!(steps, 500, "it is still on its way");
    assert!(!pair.is_over(1), "{:?}", pair.parties[1].end);
    assert!(!pair.is_over(0), "{:?}", pair.parties[0].end);
}

#[test]
fn no_more_than_one_ping_waits_for_a_stream_that_takes_nothing() {
    let mut pair = met([On, Off], 4);
    pair.pipes[0].capacity = 100;
    send(&mut pair, 0, 9);
    for _ in 0..600 {
        pair.pass(STEP);
        pair.write(0);
    }
    assert!(!pair.is_over(0));
    pair.pipes[0].capacity = usize::MAX;
    pair.write(0);
    let mut said = Vec::new();
    let _ = pair.pipes[0].read_to_end(&mut said);
    assert_eq!(said.windows(5).filter(|octets| octets == b"\x04PING").count(), 1);
}

#[test]
fn no_ping_stands_in_the_middle_of_a_message() {
    let mut pair = met([On, On], 100);
    pair.pipes[0].capacity = 300;
    (0..50).for_each(|at| send(&mut pair, 0, if at % 2 == 0 { 0xA8 } else { 0xF7 }));
    // The harness checks each message that comes.
    live(&mut pair, LONG, |pair| drop(pair.take(1, 10)));
    assert_eq!(pair.progress(0), (50, 50));
}

#[test]
fn nobody_is_asked_before_the_end_of_the_handshake() {
    let now = Instant::now();
    let mut pair = Pair::with(beating(), false, 1, now);
    part(&mut pair);
    live(&mut pair, HANDSHAKE_TIMEOUT - STEP, |_| {});
    assert!(!pair.is_over(0) && !pair.is_over(1));
    for party in &pair.parties {
        assert_eq!(party.session.poll_timeout(), Some(now + HANDSHAKE_TIMEOUT));
    }
}

//! The hunt for lost wake-ups: many hand-overs between threads that wait in every manner. A wake-up that is lost shows as a
//! call that waits although there is something for it.

mod common;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::noise::{Echo, Rigour, Times, assert_within};
use common::{PATIENCE, Rng, Tally, alone, numbered, pair, poll_once, within};
use ferromq::{Context, Message, Pull, Push, RecvError, Socket};
use futures_executor::block_on;

/// How one side of a ping-pong waits for the ball.
type Catch = fn(&Socket<Pull>) -> Message;

const CATCHES: [(&str, Catch); 4] = [
    ("recv", |pull| pull.recv().unwrap()),
    ("recv_timeout", |pull| pull.recv_timeout(PATIENCE).unwrap()),
    ("recv_async", |pull| block_on(pull.recv_async()).unwrap()),
    ("short recv_timeouts", |pull| {
        loop {
            if let Ok(message) = pull.recv_timeout(Duration::from_micros(20)) {
                break message;
            }
        }
    }),
];

/// Less than what an I/O thread takes to notice by itself what a lost wake-up should have told.
const TICK: Duration = Duration::from_millis(1);

/// Two threads throw a ball to and fro. Two throws in a hundred may take a [`TICK`] and more, and none a second.
fn ping_pong(name: &str, [there, back]: [[&Context; 2]; 2], catches: [Catch; 2], rounds: u32) -> Times {
    let ((there, landing), (back, home)) = (across(there), across(back));
    let mut times = Times::default();
    let mut echo = Echo::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                let ball = catches[0](&landing);
                back.send(ball).unwrap();
            }
        });
        for round in 0..rounds {
            let start = Instant::now();
            there.send(&round.to_be_bytes()).unwrap();
            assert_eq!(catches[1](&home), round.to_be_bytes());
            let time = start.elapsed();
            assert!(time < Duration::from_secs(1), "{name}: a round took {time:?}");
            times.ours.push(time);
            if round % 100 == 99 {
                // In between, and not after each round: throws without a pause are another case. And for as long as the
                // throws took, since a busy machine takes a thread from the processor so often in a second, whatever that
                // does with it: as many throws of an echo, which are quicker, would meet with less of that.
                let mut left: Duration = times.ours[times.ours.len() - 100..].iter().sum();
                while !left.is_zero() {
                    let time = echo.time();
                    times.control.push(time);
                    left = left.saturating_sub(time);
                }
            }
        }
    });
    times
}

/// A PUSH of one context, connected to a PULL of another.
fn across([from, to]: [&Context; 2]) -> (Socket<Push>, Socket<Pull>) {
    let push = from.socket::<Push>().build().unwrap();
    let pull = to.socket::<Pull>().build().unwrap();
    push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
    push.wait_connected(1, PATIENCE).unwrap();
    (push, pull)
}

/// Every pair of ways to wait, in these surroundings.
fn every_ping_pong(surroundings: [[&Context; 2]; 2], rounds_of_each: u32) {
    for (left, left_catch) in CATCHES {
        for (right, right_catch) in CATCHES {
            let name = format!("{left} and {right}");
            let throw = || ping_pong(&name, surroundings, [left_catch, right_catch], rounds_of_each);
            assert_within(&name, TICK, 20, Rigour::Plain, throw);
        }
    }
}

const FEW: u32 = 300;
/// Two hand-overs in a round, four surroundings, sixteen pairs of ways to wait.
const A_MILLION: u32 = 1_000_000 / 2 / 4 / 16 + 1;

fn in_one_context(rounds: u32) {
    let ctx = &Context::new().unwrap();
    every_ping_pong([[ctx, ctx], [ctx, ctx]], rounds);
}

/// Each thread has a context of its own, as two processes would.
fn between_two_contexts(rounds: u32) {
    let (left, right) = (&Context::new().unwrap(), &Context::new().unwrap());
    every_ping_pong([[left, right], [right, left]], rounds);
}

/// Each thread sends on one context and waits on the other.
fn across_two_contexts(rounds: u32) {
    let (there, back) = (&Context::new().unwrap(), &Context::new().unwrap());
    every_ping_pong([[there, there], [back, back]], rounds);
}

fn with_two_io_threads(rounds: u32) {
    let ctx = &Context::builder().io_threads(2).build().unwrap();
    every_ping_pong([[ctx, ctx], [ctx, ctx]], rounds);
}

#[test]
fn a_ball_thrown_within_one_context_is_never_left_lying() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        in_one_context(FEW);
    });
}

#[test]
fn a_ball_thrown_between_two_contexts_is_never_left_lying() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        between_two_contexts(FEW);
    });
}

#[test]
fn a_ball_thrown_across_two_contexts_is_never_left_lying() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        across_two_contexts(FEW);
    });
}

#[test]
fn a_ball_thrown_among_two_io_threads_is_never_left_lying() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        with_two_io_threads(FEW);
    });
}

#[test]
#[ignore = "a million hand-overs take minutes"]
fn a_ball_thrown_a_million_times_is_never_left_lying() {
    let _turn = alone();
    within(40 * PATIENCE, || {
        for test in [in_one_context, between_two_contexts, across_two_contexts, with_two_io_threads] {
            test(A_MILLION);
        }
    });
}

/// Receivers of all kinds on one socket, senders of all kinds on another, marks that are nearly always reached, and an end at
/// a random moment. Whoever waits ends; what was received came once, and nothing that was not sent.
fn stress(seed: u64) -> u64 {
    let mut rng = Rng(seed);
    let ctx = Context::new().unwrap();
    let mark = 1 + rng.below(4) as usize;
    let push = &ctx.socket::<Push>().send_hwm(mark).linger(Duration::ZERO).build().unwrap();
    let pull = &ctx.socket::<Pull>().recv_hwm(mark).build().unwrap();
    push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
    let enough = 200 + rng.below(2000);
    let received = &AtomicU64::new(0);
    let closing = &AtomicBool::new(false);
    let close_receiver_first = rng.one_in(2);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let receivers: Vec<_> =
            (0..4).map(|n| scope.spawn(move || receive(pull, seed ^ n, received))).collect();
        for n in 0..4 {
            scope.spawn(move || send(push, n as u32, seed ^ n, closing));
        }
        common::eventually("messages flow", || received.load(SeqCst) >= enough);
        closing.store(true, SeqCst);
        if close_receiver_first {
            drop(pull.close(Duration::ZERO));
            drop(push.close(Duration::ZERO));
        } else {
            drop(push.close(Duration::ZERO));
            drop(pull.close(Duration::ZERO));
        }
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).collect()
    });
    tallies.iter().for_each(Tally::assert_in_order);
    let received = Tally::assert_no_duplicates(&tallies) as u64;
    let stats = push.stats();
    assert!(received <= stats.written, "seed {seed}: {received} received, {stats:?}");
    assert_eq!(
        stats.accepted,
        stats.written + stats.returned + stats.dropped.total() + stats.queued,
        "seed {seed}: {stats:?}"
    );
    received
}

fn receive(pull: &Socket<Pull>, seed: u64, received: &AtomicU64) -> Tally {
    let mut rng = Rng(seed);
    let mut tally = Tally::default();
    loop {
        let result = match rng.below(5) {
            0 => pull.recv(),
            1 => pull.recv_timeout(Duration::from_micros(rng.below(500))),
            2 => block_on(pull.recv_async()),
            3 => poll_once(pin!(pull.recv_async())).unwrap_or(Err(RecvError::Empty)),
            _ => pull.try_recv(),
        };
        match result {
            Ok(message) => {
                tally.note(&message);
                received.fetch_add(1, SeqCst);
            }
            Err(RecvError::Closed) => return tally,
            Err(_) => {}
        }
    }
}

fn send(push: &Socket<Push>, sender: u32, seed: u64, closing: &AtomicBool) {
    let mut rng = Rng(seed);
    for number in 0.. {
        let message = numbered(sender, number, rng.below(100) as usize);
        let result = match rng.below(5) {
            0 => push.send(message),
            1 => push.send_timeout(message, Duration::from_micros(rng.below(500))),
            2 => block_on(push.send_async(message)),
            3 => poll_once(pin!(push.send_async(message))).unwrap_or(Ok(())), // perhaps not sent at all
            _ => push.try_send(message),
        };
        if result.is_err_and(|error| error.reason() == ferromq::Refusal::Closed) {
            assert!(closing.load(SeqCst), "closed, although nobody closed it");
            return;
        }
    }
}

#[test]
fn a_close_at_any_moment_ends_all_that_wait() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        (0..40).for_each(|seed| {
            stress(seed);
        });
    });
}

#[test]
#[ignore = "takes minutes"]
fn a_close_at_any_moment_ends_all_that_wait_a_million_messages_long() {
    let _turn = alone();
    within(40 * PATIENCE, || {
        let mut seed = 1000;
        let mut received = 0;
        while received < 1_000_000 {
            received += stress(seed);
            seed += 1;
        }
    });
}

/// Many receivers share one socket, and one message at a time comes: each wakes exactly who gets it, and none is stuck
/// behind a receiver that has just given up.
#[test]
fn single_messages_among_receivers_that_give_up_all_the_time() {
    let _turn = alone();
    within(PATIENCE, || {
        let (push, pull) = &pair(&Context::new().unwrap());
        let stop = &AtomicBool::new(false);
        let received = &AtomicU64::new(0);
        let mut times = Vec::new();
        thread::scope(|scope| {
            for seed in 0..6 {
                scope.spawn(move || {
                    let mut rng = Rng(seed);
                    while !stop.load(SeqCst) {
                        let patience = Duration::from_micros(rng.below(300));
                        let result = match rng.below(2) {
                            0 => pull.recv_timeout(patience),
                            _ => poll_once(pin!(pull.recv_async())).unwrap_or(Err(RecvError::Empty)),
                        };
                        if result.is_ok() {
                            received.fetch_add(1, SeqCst);
                        }
                    }
                });
            }
            // And one who waits for ever: whatever the others leave lying is for this one.
            let patient = scope.spawn(|| {
                while pull.recv().is_ok() {
                    received.fetch_add(1, SeqCst);
                }
            });
            for count in 1..=2000 {
                let start = Instant::now();
                push.send("one").unwrap();
                common::eventually("it is received", || received.load(SeqCst) == count);
                times.push(start.elapsed());
            }
            stop.store(true, SeqCst);
            drop(pull.close(Duration::ZERO));
            patient.join().unwrap();
        });
        let worst = times.iter().max().unwrap();
        println!("worst {worst:?}");
        assert!(*worst < Duration::from_secs(1), "one took {worst:?}");
    });
}

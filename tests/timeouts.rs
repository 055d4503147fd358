//! Deadlines hold to within 10 ms, however many threads wait on the sockets of one context, and whoever of them happens to
//! do the I/O.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::noise::{Echo, Rigour, Times, assert_within};
use common::{DeadPort, PATIENCE, Rng, alone, eventually, pair, within};
use ferromq::{Context, Pull, Push, RecvError, Refusal, Socket};

/// How late a call may end.
const BOUND: Duration = Duration::from_millis(10);
const THREADS: usize = 16;

/// Random timeouts, each handed to `wait`, which has to use it up, and then slept through for comparison. How late each
/// ended.
fn lateness(seed: u64, tries: usize, mut wait: impl FnMut(Duration)) -> Times {
    let mut rng = Rng(seed);
    let mut times = Times::default();
    for _ in 0..tries {
        let timeout = Duration::from_micros(rng.below(30_000));
        let late = |start: Instant| {
            let elapsed = start.elapsed();
            assert!(elapsed >= timeout, "ended after {elapsed:?}, before its timeout of {timeout:?}");
            elapsed - timeout
        };
        let start = Instant::now();
        wait(timeout);
        let ours = late(start);
        let start = Instant::now();
        thread::sleep(timeout);
        times.add(ours, late(start));
    }
    times
}

fn gather(threads: Vec<thread::ScopedJoinHandle<'_, Times>>) -> Times {
    let mut all = Times::default();
    threads.into_iter().for_each(|thread| all.append(thread.join().unwrap()));
    all
}

/// Many threads on four sockets of one context. With traffic, a fifth pair is busy meanwhile.
fn receive_timeouts(tries: usize, traffic: bool) -> Times {
    let ctx = Context::new().unwrap();
    let pairs: Vec<_> = (0..4).map(|_| pair(&ctx)).collect();
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        if traffic {
            let (push, pull) = pair(&ctx);
            scope.spawn(move || trickle(&push, stop));
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    drop(pull.recv_timeout(Duration::from_millis(3)))
                }
            });
        }
        let wait = |n: usize| {
            let pull = &pairs[n % pairs.len()].1;
            lateness(n as u64, tries / THREADS, |timeout| {
                assert_eq!(pull.recv_timeout(timeout), Err(RecvError::TimedOut));
            })
        };
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || wait(n))).collect();
        let lateness = gather(threads);
        stop.store(true, SeqCst);
        lateness
    })
}

/// A message now and then, so that the duty changes hands.
fn trickle(push: &Socket<Push>, stop: &AtomicBool) {
    let mut rng = Rng(99);
    while !stop.load(SeqCst) {
        drop(push.send_timeout("hello", Duration::from_millis(3)));
        thread::sleep(Duration::from_micros(rng.below(2000)));
    }
}

fn send_timeouts(tries: usize) -> Times {
    let ctx = Context::new().unwrap();
    let port = DeadPort::new();
    let pushes: Vec<Socket<Push>> = (0..4)
        .map(|_| {
            let push = ctx.socket::<Push>().send_hwm(1).linger(Duration::ZERO).build().unwrap();
            push.connect(port.endpoint()).unwrap();
            push.try_send("the only one").unwrap();
            push
        })
        .collect();
    thread::scope(|scope| {
        let wait = |n: usize| {
            let push = &pushes[n % pushes.len()];
            lateness(n as u64, tries / THREADS, |timeout| {
                let error = push.send_timeout("one too many", timeout).unwrap_err();
                assert_eq!(error.reason(), Refusal::TimedOut);
            })
        };
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || wait(n))).collect();
        gather(threads)
    })
}

/// One thread of many, all waiting with timeouts of their own, gets a message: it has it within the bound.
fn messages_among_timeouts(tries: usize) -> Times {
    let ctx = Context::new().unwrap();
    let pairs: Vec<_> = (0..4).map(|_| pair(&ctx)).collect();
    let start = Instant::now();
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let receive = |n: usize| {
            let pull: &Socket<Pull> = &pairs[n % pairs.len()].1;
            let mut rng = Rng(n as u64);
            let mut late = Vec::new();
            while !stop.load(SeqCst) {
                if let Ok(message) = pull.recv_timeout(Duration::from_micros(rng.below(30_000))) {
                    let sent = u64::from_be_bytes(message.part(0).unwrap().try_into().unwrap());
                    late.push(start.elapsed().saturating_sub(Duration::from_nanos(sent)));
                }
            }
            late
        };
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || receive(n))).collect();
        let mut rng = Rng(7);
        let mut echo = Echo::new();
        let mut times = Times::default();
        for n in 0..tries {
            let now = start.elapsed().as_nanos() as u64;
            pairs[n % pairs.len()].0.send(&now.to_be_bytes()).unwrap();
            times.control.push(echo.time());
            thread::sleep(Duration::from_micros(rng.below(3000)));
        }
        eventually("all messages are there", || {
            pairs.iter().map(|(_, pull)| pull.stats().delivered).sum::<u64>() == tries as u64
        });
        stop.store(true, SeqCst);
        threads.into_iter().for_each(|thread| times.ours.append(&mut thread.join().unwrap()));
        times
    })
}

#[test]
fn receive_timeouts_hold_with_many_threads_on_the_sockets_of_a_context() {
    let _turn = alone();
    within(PATIENCE, || {
        assert_within("idle context", BOUND, 1, Rigour::Plain, || receive_timeouts(1500, false));
        assert_within("busy context", BOUND, 1, Rigour::Plain, || receive_timeouts(1500, true));
    });
}

#[test]
#[ignore = "takes half a minute and wants a quiet machine"]
fn receive_timeouts_hold_ten_thousand_times() {
    let _turn = alone();
    within(4 * PATIENCE, || {
        assert_within("idle context", BOUND, 0, Rigour::Strict, || receive_timeouts(10_000, false));
        assert_within("busy context", BOUND, 0, Rigour::Strict, || receive_timeouts(10_000, true));
    });
}

#[test]
fn send_timeouts_hold_with_many_threads_on_the_sockets_of_a_context() {
    let _turn = alone();
    within(PATIENCE, || {
        assert_within("at the mark", BOUND, 1, Rigour::Plain, || send_timeouts(1500));
    });
}

#[test]
fn messages_are_as_prompt_while_other_threads_time_out() {
    let _turn = alone();
    within(PATIENCE, || {
        assert_within("messages", BOUND, 1, Rigour::Plain, || messages_among_timeouts(1500));
    });
}

#[test]
#[ignore = "takes half a minute and wants a quiet machine"]
fn messages_are_as_prompt_ten_thousand_times() {
    let _turn = alone();
    within(4 * PATIENCE, || {
        assert_within("messages", BOUND, 0, Rigour::Strict, || messages_among_timeouts(10_000));
    });
}

#[test]
fn a_timeout_of_zero_does_not_wait() {
    let _turn = alone();
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        let start = Instant::now();
        for _ in 0..1000 {
            assert_eq!(pull.recv_timeout(Duration::ZERO), Err(RecvError::TimedOut));
            assert_eq!(pull.try_recv(), Err(RecvError::Empty));
        }
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "2000 calls that do not wait took {:?}",
            start.elapsed()
        );
        push.send("hello").unwrap();
        eventually("the message is there", || pull.stats().waiting == 1);
        assert_eq!(pull.recv_timeout(Duration::ZERO).unwrap(), "hello");
    });
}

#[test]
fn a_timeout_beyond_all_time_is_none() {
    within(PATIENCE, || {
        let (push, pull) = pair(&Context::new().unwrap());
        thread::scope(|scope| {
            let forever = common::blocked(scope, || pull.recv_timeout(Duration::MAX));
            push.send_timeout("at last", Duration::MAX).unwrap();
            assert_eq!(forever.join().unwrap().unwrap(), "at last");
        });
        push.wait_connected(1, Duration::MAX).unwrap();
    });
}

#[test]
fn who_never_waits_gets_there_too() {
    within(2 * PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pull = ctx.socket::<Pull>().recv_timeout(Some(Duration::ZERO)).build().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        push.connect(pull.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        eventually("the peer is connected", || push.wait_connected(1, Duration::ZERO).is_ok());
        for number in 0..200_u32 {
            push.send_timeout(&number.to_be_bytes(), Duration::ZERO).unwrap();
            eventually("the message is there", || pull.recv().is_ok());
        }
    });
}

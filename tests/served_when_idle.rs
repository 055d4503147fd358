//! With no caller in the library, what a peer sends and what falls due is served within 5 ms, whatever the callers did just
//! before. A peer by hand measures it: it sends a PING and waits for the PONG.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::noise::{Echo, Rigour, Times, assert_within};
use common::{PATIENCE, Rng, alone, raw, within};
use ferromq::{Context, Endpoint, Heartbeat, Pull, Push, Socket};

/// The promise, and half a millisecond for the peer that measures, on a thread of its own.
const BOUND: Duration = Duration::from_micros(5_500);

fn bound_pull(ctx: &Context) -> (Socket<Pull>, Endpoint) {
    // The peer by hand does not expect to be asked anything itself.
    let pull = ctx.socket::<Pull>().heartbeat(Heartbeat::off()).build().unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    (pull, at)
}

fn time_of_ping(peer: &mut raw::Peer) -> Duration {
    let start = Instant::now();
    peer.ping(b"are you there?");
    peer.expect_pong(b"are you there?");
    start.elapsed()
}

/// Has each round prepare and measure, at random distances, and checks the times. One in a hundred may be late because
/// something else ran.
fn assert_served(name: &str, rigour: Rigour, mut round: impl FnMut() -> Duration) {
    let rounds = if rigour == Rigour::Strict { 5000 } else { 200 };
    assert_within(name, BOUND, 10, rigour, || {
        let mut rng = Rng(5);
        let mut echo = Echo::new();
        let mut times = Times::default();
        for _ in 0..rounds {
            thread::sleep(Duration::from_micros(rng.below(8000))); // at any phase of whatever may tick over there
            times.add(round(), echo.time_with_nap(4));
        }
        times
    });
}

fn with_nobody_in_the_library(rigour: Rigour) {
    let ctx = Context::new().unwrap();
    let (_pull, at) = bound_pull(&ctx);
    let mut peer = raw::Peer::dial(at, "PUSH");
    assert_served("nobody ever called", rigour, || time_of_ping(&mut peer));
}

fn right_after_a_receive(rigour: Rigour) {
    let ctx = Context::new().unwrap();
    let (pull, at) = bound_pull(&ctx);
    let mut peer = raw::Peer::dial(at, "PUSH");
    assert_served("a recv has just returned", rigour, || {
        thread::scope(|scope| {
            let receiving = common::blocked(scope, || pull.recv().unwrap());
            peer.send(&[b"the last one"]);
            receiving.join().unwrap();
        });
        time_of_ping(&mut peer)
    });
}

/// A caller that comes again and again lets the I/O thread step back; then it stays away.
fn right_after_many_receives(rigour: Rigour) {
    let ctx = Context::new().unwrap();
    let (pull, at) = bound_pull(&ctx);
    let mut peer = raw::Peer::dial(at, "PUSH");
    assert_served("a busy caller has just left", rigour, || {
        for _ in 0..50 {
            peer.send(&[b"again"]);
            pull.recv().unwrap();
        }
        time_of_ping(&mut peer)
    });
}

fn right_after_a_timeout(rigour: Rigour) {
    let ctx = Context::new().unwrap();
    let (pull, at) = bound_pull(&ctx);
    let mut peer = raw::Peer::dial(at, "PUSH");
    let mut rng = Rng(6);
    assert_served("a recv_timeout has just ended", rigour, || {
        assert!(pull.recv_timeout(Duration::from_micros(rng.below(3000))).is_err());
        time_of_ping(&mut peer)
    });
}

/// The duty may also be held by the call of another socket.
fn while_another_socket_waits(rigour: Rigour) {
    let ctx = Context::new().unwrap();
    let (_pull, at) = bound_pull(&ctx);
    let (other, _) = bound_pull(&ctx);
    let mut peer = raw::Peer::dial(at, "PUSH");
    thread::scope(|scope| {
        let waiting = common::blocked(scope, || other.recv());
        assert_served("another socket's caller waits", rigour, || time_of_ping(&mut peer));
        drop(other.close(Duration::ZERO));
        assert!(waiting.join().unwrap().is_err());
    });
}

const SITUATIONS: [fn(Rigour); 5] = [
    with_nobody_in_the_library,
    right_after_a_receive,
    right_after_many_receives,
    right_after_a_timeout,
    while_another_socket_waits,
];

#[test]
fn a_ping_is_answered_in_time_whatever_the_callers_did() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        SITUATIONS.iter().for_each(|situation| situation(Rigour::Plain));
    });
}

#[test]
#[ignore = "takes minutes and wants a quiet machine"]
fn a_ping_is_answered_in_time_thousands_of_times() {
    let _turn = alone();
    within(20 * PATIENCE, || {
        SITUATIONS.iter().for_each(|situation| situation(Rigour::Strict));
    });
}

/// What was left behind by `try_send` is written although the caller never comes back.
#[test]
fn a_batch_that_its_sender_left_behind_is_written_in_time() {
    let _turn = alone();
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let mut peer = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        let burst: Vec<_> = (0..10).map(|n| format!("message {n} of a burst")).collect();
        assert_served("a burst of messages", Rigour::Plain, || {
            for message in &burst {
                push.try_send(message.as_str()).unwrap();
            }
            let start = Instant::now();
            for message in &burst {
                assert_eq!(peer.single(), message.as_bytes());
            }
            start.elapsed()
        });
    });
}

#[test]
fn a_new_peer_is_served_in_time() {
    let _turn = alone();
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let (_pull, at) = bound_pull(&ctx);
        assert_served("greeting and handshake", Rigour::Plain, || {
            let start = Instant::now();
            let peer = raw::Peer::dial(&at, "PUSH");
            let time = start.elapsed();
            drop(peer);
            time
        });
    });
}

#[test]
fn a_deadline_is_served_in_time() {
    let _turn = alone();
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let timeout = Duration::from_millis(20);
        let pull = ctx.socket::<Pull>().handshake_timeout(timeout).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        assert_served("the end of a silent peer", Rigour::Plain, || {
            let start = Instant::now();
            let mut peer = raw::Peer::connect(&at);
            peer.expect_closed(PATIENCE);
            let time = start.elapsed();
            assert!(time >= timeout, "the peer had only {time:?}");
            // Twice in the loop: once for the connection, from which the timeout counts, and once for its end.
            (time - timeout) / 2
        });
    });
}

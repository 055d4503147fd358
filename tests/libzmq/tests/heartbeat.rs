//! libzmq's heartbeats against our sockets: a link that is alive stays, and one whose traffic is held up does too.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{BOTH_ROLES, Binds, PATIENCE, Watched, join_pull, join_push, ours_pull, ours_push, within};
use ferromq::Context;
use zmq::SocketEvent::{CLOSED, CONNECT_RETRIED, DISCONNECTED, HANDSHAKE_SUCCEEDED};

/// A socket of libzmq that gives its peer up within 150 ms of silence, and asks the peer to do likewise.
fn impatient(zmq: &zmq::Context, kind: zmq::SocketType) -> Watched {
    let socket = Watched::new(zmq, kind);
    socket.set_heartbeat_ivl(30).unwrap();
    socket.set_heartbeat_timeout(120).unwrap();
    socket.set_heartbeat_ttl(200).unwrap();
    socket
}

/// Watches the link for a while, twenty heartbeats or so.
#[track_caller]
fn assert_stays(theirs: &Watched, binds: Binds) {
    theirs.expect(&[HANDSHAKE_SUCCEEDED]);
    let end = Instant::now() + Duration::from_millis(700);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if let Some(event) = theirs.event(left.max(Duration::from_millis(1))) {
            assert!(![DISCONNECTED, CLOSED, CONNECT_RETRIED].contains(&event), "{event:?}, {binds:?} bind");
        }
    }
}

#[test]
fn an_idle_link_to_our_pull_stays() {
    within(PATIENCE, || {
        for binds in BOTH_ROLES {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let pull = ours_pull(&ctx);
            let push = impatient(&zmq, zmq::PUSH);
            join_pull(&pull, &push, binds);
            assert_stays(&push, binds);
            push.send("still there", 0).unwrap();
            assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "still there");
        }
    });
}

#[test]
fn an_idle_link_to_our_push_stays() {
    within(PATIENCE, || {
        for binds in BOTH_ROLES {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let push = ours_push(&ctx);
            let pull = impatient(&zmq, zmq::PULL);
            join_push(&push, &pull, binds);
            assert_stays(&pull, binds);
            push.send("still there").unwrap();
            assert_eq!(pull.recv_bytes(0).unwrap(), b"still there");
            assert_eq!(push.stats().unconfirmed, 0);
        }
    });
}

#[test]
fn a_link_to_our_pull_stays_while_a_caller_waits_in_recv() {
    within(PATIENCE, || {
        for binds in BOTH_ROLES {
            let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
            let pull = &ours_pull(&ctx);
            let push = impatient(&zmq, zmq::PUSH);
            join_pull(pull, &push, binds);
            thread::scope(|scope| {
                let waiting = common::blocked(scope, || pull.recv());
                assert_stays(&push, binds);
                push.send("at last", 0).unwrap();
                assert_eq!(waiting.join().unwrap().unwrap(), "at last");
            });
        }
    });
}

#[test]
fn a_busy_link_from_our_push_stays() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = ours_push(&ctx);
        let pull = impatient(&zmq, zmq::PULL);
        join_push(&push, &pull, Binds::Ours);
        pull.expect(&[HANDSHAKE_SUCCEEDED]);
        let end = Instant::now() + Duration::from_millis(700);
        let mut sent = 0_u64;
        while Instant::now() < end {
            push.send(&sent.to_be_bytes()).unwrap();
            assert_eq!(pull.recv_bytes(0).unwrap(), sent.to_be_bytes());
            sent += 1;
        }
        while let Some(event) = pull.event(Duration::from_millis(1)) {
            assert!(![DISCONNECTED, CLOSED].contains(&event), "{event:?} after {sent} messages");
        }
    });
}

/// A peer that announced a time to live and then stops altogether is given up. libzmq cannot be stopped in this manner, so
/// that is shown with a peer by hand, in the tests of the library.
#[test]
fn our_socket_notices_at_once_that_libzmq_has_gone() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = ours_push(&ctx);
        let pull = impatient(&zmq, zmq::PULL);
        join_push(&push, &pull, Binds::Ours);
        push.wait_connected(1, PATIENCE).unwrap();
        drop(pull);
        common::eventually("its end is noticed", || push.stats().peers == 0);
    });
}

//! 200,000 messages of 64 octets between libzmq and ferromq, in order, nothing lost: both roles, both directions.

mod common;

use std::thread;
use std::time::Duration;

use common::{Binds, PATIENCE, join_pull, join_push, ours_pull, ours_push, within, zmq_socket};
use ferromq::Context;

const MESSAGES: u64 = 200_000;

fn message(number: u64) -> [u8; 64] {
    let mut body = [number as u8; 64];
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

fn to_libzmq(binds: Binds) {
    within(2 * PATIENCE, move || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let (push, pull) = (ours_push(&ctx), zmq_socket(&zmq, zmq::PULL));
        join_push(&push, &pull, binds);
        thread::scope(|scope| {
            scope.spawn(|| (0..MESSAGES).for_each(|number| push.send(&message(number)).unwrap()));
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    assert_eq!(pull.recv_bytes(0).unwrap(), message(number));
                }
                pull.set_rcvtimeo(50).unwrap();
                pull.recv_bytes(0).expect_err("one message too many");
            });
        });
        assert_eq!(push.stats().written, MESSAGES);
    });
}

fn from_libzmq(binds: Binds) {
    within(2 * PATIENCE, move || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let (push, pull) = (zmq_socket(&zmq, zmq::PUSH), ours_pull(&ctx));
        join_pull(&pull, &push, binds);
        thread::scope(|scope| {
            scope.spawn(move || {
                (0..MESSAGES).for_each(|number| push.send(&message(number)[..], 0).unwrap());
                push.set_linger(-1).unwrap();
            });
            for number in 0..MESSAGES {
                assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), message(number));
            }
            pull.recv_timeout(Duration::from_millis(50)).expect_err("one message too many");
        });
    });
}

#[test]
fn messages_reach_a_dialling_libzmq_in_order() {
    to_libzmq(Binds::Ours);
}

#[test]
fn messages_reach_a_bound_libzmq_in_order() {
    to_libzmq(Binds::Theirs);
}

#[test]
fn messages_come_from_a_dialling_libzmq_in_order() {
    from_libzmq(Binds::Ours);
}

#[test]
fn messages_come_from_a_bound_libzmq_in_order() {
    from_libzmq(Binds::Theirs);
}

/// Messages that were sent before the end of socket and context are all there.
#[test]
fn libzmq_gets_everything_although_socket_and_context_are_gone() {
    within(2 * PATIENCE, || {
        let zmq = zmq::Context::new();
        let pull = zmq_socket(&zmq, zmq::PULL);
        let at = common::bind_theirs(&pull);
        let gone = thread::spawn(move || {
            let push = Context::new().unwrap().socket::<ferromq::Push>().build().unwrap();
            push.connect(at).unwrap();
            (0..5000).for_each(|number| push.send(&message(number)).unwrap());
        });
        for number in 0..5000 {
            assert_eq!(pull.recv_bytes(0).unwrap(), message(number));
        }
        gone.join().unwrap();
    });
}

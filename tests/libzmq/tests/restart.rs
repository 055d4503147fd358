//! Either side goes and comes again while the other sends: the link heals by itself.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, bind_theirs, ours_pull, ours_push, within, zmq_socket};
use ferromq::{Context, Pull, Refusal, Socket};

const RESTARTS: u32 = 5;
/// How many messages each life of the receiver has to see.
const EACH_LIFE: u32 = 300;

/// Checks that numbers only rise, over all lives of a receiver.
struct Rising(Option<u64>);

impl Rising {
    #[track_caller]
    fn note(&mut self, body: &[u8]) {
        let number = u64::from_be_bytes(body.try_into().unwrap());
        assert!(self.0.is_none_or(|last| last < number), "{number} came after {:?}", self.0);
        self.0 = Some(number);
    }
}

/// Binds once the last owner of the port is really gone; libzmq closes in the background.
fn bind_theirs_again(zmq: &zmq::Context, kind: zmq::SocketType, at: &str) -> zmq::Socket {
    let socket = zmq_socket(zmq, kind);
    common::eventually("the port is free again", || socket.bind(at).is_ok());
    socket
}

#[test]
fn a_libzmq_listener_that_restarts_is_found_again_by_our_push() {
    within(2 * PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = &ours_push(&ctx);
        let mut pull = zmq_socket(&zmq, zmq::PULL);
        let at = bind_theirs(&pull);
        push.connect(&at).unwrap();
        let stop = &AtomicBool::new(false);
        let mut rising = Rising(None);
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                for number in 0..u64::MAX {
                    if stop.load(SeqCst) {
                        return number;
                    }
                    push.send(&number.to_be_bytes()).unwrap();
                }
                unreachable!()
            });
            for _ in 0..RESTARTS {
                (0..EACH_LIFE).for_each(|_| rising.note(&pull.recv_bytes(0).unwrap()));
                drop(pull);
                pull = bind_theirs_again(&zmq, zmq::PULL, &at);
            }
            (0..EACH_LIFE).for_each(|_| rising.note(&pull.recv_bytes(0).unwrap()));
            stop.store(true, SeqCst);
            // The sender may be waiting for room, and so for us; and we may have everything before it has stopped.
            while !sender.is_finished() || push.stats().queued > 0 {
                match pull.recv_bytes(zmq::DONTWAIT) {
                    Ok(body) => rising.note(&body),
                    Err(_) => thread::yield_now(),
                }
            }
            let last = sender.join().unwrap() - 1;
            while rising.0 != Some(last) {
                rising.note(&pull.recv_bytes(0).unwrap());
            }
        });
        assert!(push.stats().unconfirmed > 0, "each end took along what the kernel had");
    });
}

#[test]
fn our_listener_that_restarts_is_found_again_by_a_libzmq_push() {
    within(2 * PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let mut pull = ours_pull(&ctx);
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let push = zmq_socket(&zmq, zmq::PUSH);
        push.connect(&at.to_string()).unwrap();
        let stop = &AtomicBool::new(false);
        let mut rising = Rising(None);
        let mut receive =
            |pull: &Socket<Pull>| rising.note(pull.recv_timeout(PATIENCE).unwrap().part(0).unwrap());
        thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..u64::MAX {
                    if stop.load(SeqCst) {
                        return;
                    }
                    push.send(&number.to_be_bytes()[..], 0).unwrap();
                }
            });
            for _ in 0..RESTARTS {
                (0..EACH_LIFE).for_each(|_| receive(&pull));
                drop(pull.close(Duration::ZERO));
                pull = ours_pull(&ctx);
                assert_eq!(pull.bind(&at).unwrap(), at);
            }
            (0..EACH_LIFE).for_each(|_| receive(&pull));
            stop.store(true, SeqCst);
            while pull.recv_timeout(Duration::from_millis(100)).is_ok() {}
        });
    });
}

#[test]
fn a_bound_libzmq_push_that_restarts_is_found_again_by_our_pull() {
    within(2 * PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let pull = ours_pull(&ctx);
        let mut push = zmq_socket(&zmq, zmq::PUSH);
        let at = bind_theirs(&push);
        pull.connect(&at).unwrap();
        for life in 0..=RESTARTS {
            for number in 0..EACH_LIFE {
                push.send(&[life, number].map(u32::to_be_bytes).concat()[..], 0).unwrap();
                let got = pull.recv_timeout(PATIENCE).unwrap();
                assert_eq!(got, [life, number].map(u32::to_be_bytes).concat()[..]);
            }
            drop(push);
            push = bind_theirs_again(&zmq, zmq::PUSH, &at);
        }
    });
}

#[test]
fn our_bound_push_that_restarts_is_found_again_by_a_libzmq_pull() {
    within(2 * PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let mut push = ours_push(&ctx);
        let at = push.bind("tcp://127.0.0.1:0").unwrap();
        let pull = zmq_socket(&zmq, zmq::PULL);
        pull.connect(&at.to_string()).unwrap();
        for life in 0..=RESTARTS {
            for number in 0..EACH_LIFE {
                push.send(&[life, number].map(u32::to_be_bytes).concat()[..]).unwrap();
            }
            let report = push.close(PATIENCE);
            assert!(report.unsent.is_empty());
            for number in 0..EACH_LIFE {
                assert_eq!(pull.recv_bytes(0).unwrap(), [life, number].map(u32::to_be_bytes).concat());
            }
            push = ours_push(&ctx);
            assert_eq!(push.bind(&at).unwrap(), at);
        }
    });
}

/// Nothing is sent while libzmq is away for good, and what was accepted is handed back at the end.
#[test]
fn what_a_libzmq_that_never_returns_did_not_get_is_handed_back() {
    within(PATIENCE, || {
        let (ctx, zmq) = (Context::new().unwrap(), zmq::Context::new());
        let push = ours_push(&ctx);
        let pull = zmq_socket(&zmq, zmq::PULL);
        push.connect(bind_theirs(&pull)).unwrap();
        push.send("hello").unwrap();
        assert_eq!(pull.recv_bytes(0).unwrap(), b"hello");
        drop(pull);
        common::eventually("its end is noticed", || push.stats().peers == 0);
        let mut accepted = 0;
        while push
            .try_send(format!("{accepted}"))
            .map_err(|error| assert_eq!(error.reason(), Refusal::Full))
            .is_ok()
        {
            accepted += 1;
        }
        assert_eq!(accepted, 1000, "the default mark");
        assert_eq!(push.close(Duration::from_millis(20)).unsent.len(), accepted);
    });
}

//! A call that waits ends promptly when what it waits for happens: a message, room, a peer, the timeout, or the end of the
//! socket by another thread.

mod common;

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

use common::{DeadPort, PATIENCE, alone, blocked, pair, raw, within};
use ferromq::{Context, Message, Pull, Push, RecvError, Refusal, SendError, Socket, WaitError};
use futures_executor::block_on;

/// What no wake-up may take, however busy the machine is.
const PROMPT: Duration = Duration::from_secs(2);
/// What half of them have to stay under, since the rest of the machine may be busy but not all the time.
const USUAL: Duration = Duration::from_millis(20);
const TRIES: usize = 10;

/// Waits in `call` and lets `event` happen; several times, each with a fresh `stage`. Checks how the call ends, and that it
/// ends promptly after the event.
fn assert_prompt<S: Sync, T: Send + Debug + PartialEq>(
    name: &str,
    expected: T,
    stage: impl Fn() -> S,
    call: impl Fn(&S) -> T + Sync,
    event: impl Fn(&S),
) {
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let stage = stage();
        let (outcome, happened, ended) = thread::scope(|scope| {
            let waiting = blocked(scope, || (call(&stage), Instant::now()));
            assert!(!waiting.is_finished(), "{name}: there was nothing to wait for");
            let happened = Instant::now();
            event(&stage);
            let (outcome, ended) = waiting.join().unwrap();
            (outcome, happened, ended)
        });
        assert_eq!(outcome, expected, "{name}");
        times.push(ended.saturating_duration_since(happened));
    }
    times.sort_unstable();
    let (median, worst) = (times[TRIES / 2], times[TRIES - 1]);
    println!("{name}: median {median:?}, worst {worst:?}");
    assert!(worst < PROMPT, "{name}: one took {worst:?}");
    assert!(median < USUAL, "{name}: half of them took {median:?} and more");
}

fn connected() -> (Socket<Push>, Socket<Pull>) {
    pair(&Context::new().unwrap())
}

/// A way to wait for a message, with its name.
type ReceiveWay = (&'static str, fn(&Socket<Pull>) -> Result<Message, RecvError>);

/// A way to wait for room, with its name.
type SendWay = (&'static str, fn(&Socket<Push>) -> Result<(), SendError>);

/// The ways to wait for a message; the last one has a deadline that plays no role.
const RECEIVE: [ReceiveWay; 4] = [
    ("recv", Socket::recv),
    ("recv_async", |pull| block_on(pull.recv_async())),
    ("iterator", |pull| pull.iter().next().ok_or(RecvError::Closed)),
    ("recv_timeout", |pull| pull.recv_timeout(PATIENCE)),
];

/// The ways to wait for room.
const SEND: [SendWay; 3] = [
    ("send", |push| push.send("at the mark")),
    ("send_async", |push| block_on(push.send_async("at the mark"))),
    ("send_timeout", |push| push.send_timeout("at the mark", PATIENCE)),
];

#[test]
fn a_message_ends_every_way_to_receive() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        for (name, receive) in RECEIVE {
            let name = format!("{name}, ended by a message");
            let send = |(push, _): &(Socket<Push>, _)| push.send("here").unwrap();
            assert_prompt(&name, Ok(Message::from("here")), connected, |(_, pull)| receive(pull), send);
        }
    });
}

#[test]
fn closing_the_socket_ends_every_way_to_receive() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        for (name, receive) in RECEIVE {
            let name = format!("{name}, ended by close");
            let close = |(_, pull): &(_, Socket<Pull>)| drop(pull.close(Duration::ZERO));
            assert_prompt(&name, Err(RecvError::Closed), connected, |(_, pull)| receive(pull), close);

            let name = format!("{name} of a socket with no peer");
            let unconnected = || Context::new().unwrap().socket::<Pull>().build().unwrap();
            let close = |pull: &Socket<Pull>| drop(pull.close(Duration::ZERO));
            assert_prompt(&name, Err(RecvError::Closed), unconnected, receive, close);
        }
    });
}

#[test]
fn a_late_peer_with_a_message_ends_every_way_to_receive() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        for (name, receive) in RECEIVE {
            let name = format!("{name}, ended by a peer that connects and sends");
            let bound = || {
                let pull = Context::new().unwrap().socket::<Pull>().build().unwrap();
                let at = pull.bind("tcp://127.0.0.1:0").unwrap();
                (pull, at)
            };
            let arrive = |(_, at): &(_, ferromq::Endpoint)| {
                let mut peer = raw::Peer::dial(at, "PUSH");
                peer.send(&[b"here"]);
            };
            assert_prompt(&name, Ok(Message::from("here")), bound, |(pull, _)| receive(pull), arrive);
        }
    });
}

/// A socket at its mark, because nobody has listened where it dials.
fn at_the_mark() -> (Socket<Push>, std::sync::Mutex<Option<DeadPort>>) {
    let port = DeadPort::new();
    let push = Context::new().unwrap().socket::<Push>();
    let push = push.send_hwm(1).linger(Duration::ZERO).reconnect_interval(Duration::from_millis(1));
    let push = push.reconnect_max(Duration::from_millis(2)).build().unwrap();
    push.connect(port.endpoint()).unwrap();
    push.try_send("first").unwrap();
    (push, Some(port).into())
}

#[test]
fn room_ends_every_way_to_send() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        for (name, send) in SEND {
            let name = format!("{name}, ended by a listener that appears and reads");
            assert_prompt(
                &name,
                Ok(()),
                at_the_mark,
                |(push, _)| send(push),
                |(_, port)| {
                    let listener = port.lock().unwrap().take().unwrap().listen();
                    assert_eq!(raw::Peer::answer(&listener, "PULL").single(), b"first");
                },
            );
        }
    });
}

/// A socket at its mark, because its peer does not read, and that peer.
fn stalled() -> (Socket<Push>, std::sync::Mutex<raw::Peer>) {
    // What the system holds is little beside a message, so that the mark is not left by itself.
    let push =
        Context::new().unwrap().socket::<Push>().send_hwm(4).send_buffer(65_536).linger(Duration::ZERO);
    let push = push.build().unwrap();
    let peer = raw::Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
    push.wait_connected(1, PATIENCE).unwrap();
    while push.send_timeout(vec![0; 500_000], Duration::from_millis(20)).is_ok() {}
    (push, peer.into())
}

#[test]
fn a_slow_peer_that_reads_on_ends_every_way_to_send() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        for (name, send) in SEND {
            let name = format!("{name}, ended by a slow peer");
            assert_prompt(
                &name,
                Ok(()),
                stalled,
                |(push, _)| send(push),
                |(_, peer)| {
                    let mut peer = peer.lock().unwrap();
                    while peer.message().expect("a message") != [b"at the mark"] {}
                },
            );
        }
    });
}

#[test]
fn closing_the_socket_ends_every_way_to_send() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        for (name, send) in SEND {
            let name = format!("{name}, ended by close");
            let expected = (Refusal::Closed, Message::from("at the mark"));
            let call = |(push, _): &(_, _)| {
                let error = send(push).unwrap_err();
                (error.reason(), error.into_message())
            };
            assert_prompt(&name, expected, at_the_mark, call, |(push, _)| drop(push.close(Duration::ZERO)));
        }
    });
}

#[test]
fn a_new_peer_ends_a_send_of_a_socket_without_any() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        for (name, send) in SEND {
            let name = format!("{name}, ended by the first peer");
            let bound = || {
                let push = Context::new().unwrap().socket::<Push>().linger(Duration::ZERO).build().unwrap();
                let at = push.bind("tcp://127.0.0.1:0").unwrap();
                (push, at)
            };
            assert_prompt(
                &name,
                Ok(()),
                bound,
                |(push, _)| send(push),
                |(_, at)| {
                    assert_eq!(raw::Peer::dial(at, "PULL").single(), b"at the mark");
                },
            );
        }
    });
}

#[test]
fn a_wait_for_peers_ends_with_the_last_of_them() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        let one_is_there = || {
            let push = Context::new().unwrap().socket::<Push>().build().unwrap();
            let at = push.bind("tcp://127.0.0.1:0").unwrap();
            let first = raw::Peer::dial(&at, "PULL");
            push.wait_connected(1, PATIENCE).unwrap();
            (push, at, first)
        };
        let wait = |(push, ..): &(Socket<Push>, _, _)| push.wait_connected(2, PATIENCE);
        let arrive = |(push, at, _): &(Socket<Push>, ferromq::Endpoint, _)| {
            let _second = raw::Peer::dial(at, "PULL");
            push.wait_connected(2, PATIENCE).unwrap();
        };
        assert_prompt("wait_connected, ended by a peer", Ok(()), one_is_there, wait, arrive);
        let close = |(push, ..): &(Socket<Push>, _, _)| drop(push.close(Duration::ZERO));
        assert_prompt("wait_connected, ended by close", Err(WaitError::Closed), one_is_there, wait, close);
    });
}

#[test]
fn a_wait_for_peers_ends_at_its_timeout() {
    within(PATIENCE, || {
        let push = Context::new().unwrap().socket::<Push>().build().unwrap();
        push.bind("tcp://127.0.0.1:0").unwrap();
        push.wait_connected(0, Duration::ZERO).unwrap();
        let start = Instant::now();
        assert_eq!(push.wait_connected(1, Duration::from_millis(50)), Err(WaitError::TimedOut));
        assert!((Duration::from_millis(50)..PROMPT).contains(&start.elapsed()));
    });
}

#[test]
fn a_close_that_waits_for_a_peer_ends_when_the_peer_has_all() {
    let _turn = alone();
    within(2 * PATIENCE, || {
        assert_prompt(
            "close, ended by a slow peer",
            Vec::new(),
            stalled,
            |(push, _)| push.close(PATIENCE).unsent,
            |(_, peer)| {
                let mut peer = peer.lock().unwrap();
                while peer.message().is_some() {}
            },
        );
        assert_prompt(
            "close, ended by a listener",
            Vec::new(),
            at_the_mark,
            |(push, _)| push.close(PATIENCE).unsent,
            |(_, port)| {
                let listener = port.lock().unwrap().take().unwrap().listen();
                assert_eq!(raw::Peer::answer(&listener, "PULL").single(), b"first");
            },
        );
    });
}

#[test]
fn closing_ends_all_the_calls_that_wait_on_a_socket() {
    within(PATIENCE, || {
        for _ in 0..20 {
            let (_push, pull) = connected();
            thread::scope(|scope| {
                let calls: Vec<_> = RECEIVE
                    .iter()
                    .cycle()
                    .take(8)
                    .map(|(_, receive)| blocked(scope, || receive(&pull)))
                    .collect();
                drop(pull.close(Duration::ZERO));
                for call in calls {
                    assert_eq!(call.join().unwrap(), Err(RecvError::Closed));
                }
            });
        }
    });
}

#[test]
fn each_of_many_messages_ends_one_of_the_calls_that_wait() {
    within(PATIENCE, || {
        for _ in 0..20 {
            let (push, pull) = connected();
            thread::scope(|scope| {
                let calls: Vec<_> = RECEIVE
                    .iter()
                    .cycle()
                    .take(8)
                    .map(|(_, receive)| blocked(scope, || receive(&pull)))
                    .collect();
                for _ in 0..8 {
                    push.send("one for each").unwrap();
                }
                for call in calls {
                    assert_eq!(call.join().unwrap().unwrap(), "one for each");
                }
            });
        }
    });
}

/// Calls on several sockets of one context wait at once; whoever of them does the I/O, each is woken for itself.
#[test]
fn a_message_for_one_socket_does_not_need_the_others_to_wake() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let pairs: Vec<_> = (0..6).map(|_| pair(&ctx)).collect();
        for round in 0..20 {
            thread::scope(|scope| {
                let calls: Vec<_> = pairs.iter().map(|(_, pull)| blocked(scope, || pull.recv())).collect();
                let mut calls: Vec<_> = calls.into_iter().zip(&pairs).collect();
                calls.rotate_left(round % 6);
                for (call, (push, _)) in calls {
                    let start = Instant::now();
                    push.send("yours").unwrap();
                    assert_eq!(call.join().unwrap().unwrap(), "yours");
                    assert!(start.elapsed() < PROMPT);
                }
            });
        }
    });
}

/// One thread writes no more than a share of what is queued before it lets another go on: somebody must, however the two
/// take turns.
#[test]
fn whoever_writes_for_others_is_relieved() {
    const COUNT: usize = 2000;
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        pull.connect(push.bind("tcp://127.0.0.1:0").unwrap()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let large = Message::from(vec![7; 256 * 1024]);
                (0..COUNT).for_each(|_| push.send(&large).unwrap());
            });
            (0..COUNT).for_each(|_| assert_eq!(pull.recv().unwrap().byte_len(), 256 * 1024));
        });
    });
}

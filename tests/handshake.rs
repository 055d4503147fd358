//! The handshake and the frames of a sound peer, octet by octet, on a listening and on a dialling socket. What becomes of
//! others is in `tests/hostile`.

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::raw::{COMMAND, Frame, LONG, MORE, Peer, SIGNATURE, greeting, message, property, ready};
use common::{PATIENCE, within};
use ferromq::{Context, Pull, Push, Socket};

/// Well below the handshake timeout, so that who is dropped by then was not dropped by it.
const AT_ONCE: Duration = Duration::from_secs(10);

fn null_greeting() -> Vec<u8> {
    greeting(3, 1, "NULL")
}

/// A PULL, and the ways to reach it anew.
struct Stage {
    _pull: Socket<Pull>,
    at: ferromq::Endpoint,
    listener: TcpListener,
}

impl Stage {
    fn new() -> Self {
        let pull = Context::new().unwrap().socket::<Pull>();
        let soon = Duration::from_millis(1);
        let pull = pull.reconnect_interval(soon).reconnect_max(5 * soon).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        pull.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        Self { _pull: pull, at, listener }
    }

    /// A TCP connection to the socket: by one of ours to its listener, or by one of its own to ours.
    fn connection(&self, dialled: bool) -> Peer {
        if dialled { Peer::accept(&self.listener) } else { Peer::connect(&self.at) }
    }
}

#[test]
fn the_signature_leaves_before_anything_is_read() {
    within(PATIENCE, || {
        let stage = Stage::new();
        for dialled in [false, true] {
            assert_eq!(stage.connection(dialled).read(10), SIGNATURE);
        }
    });
}

#[test]
fn the_greeting_follows_step_by_step_and_is_that_of_zmtp_3_1() {
    within(PATIENCE, || {
        let stage = Stage::new();
        for dialled in [false, true] {
            let mut peer = stage.connection(dialled);
            let mut ours = peer.read(10);
            peer.write(&SIGNATURE);
            ours.extend(peer.read(1)); // no more than ten octets of the peer are needed for the version
            assert_eq!(ours[10], 3);
            peer.write(&[3]);
            ours.extend(peer.read(53)); // nor more than eleven for the rest
            assert_eq!(ours, null_greeting());
            peer.write(&null_greeting()[11..]);
            assert_eq!(
                peer.frame(),
                Frame {
                    flags: COMMAND,
                    body: [b"\x05READY", &property("Socket-Type", b"PULL")[..]].concat()
                }
            );
        }
    });
}

#[test]
fn ready_of_a_push_is_what_libzmq_sends() {
    within(PATIENCE, || {
        let push = Context::new().unwrap().socket::<Push>().build().unwrap();
        let mut peer = Peer::connect(push.bind("tcp://127.0.0.1:0").unwrap());
        peer.write(&null_greeting());
        peer.read(64);
        assert_eq!(peer.read(28), b"\x04\x1A\x05READY\x0BSocket-Type\x00\x00\x00\x04PUSH");
    });
}

const TYPES: [&str; 19] = [
    "REQ", "REP", "DEALER", "ROUTER", "PUB", "XPUB", "SUB", "XSUB", "PUSH", "PULL", "PAIR", "STREAM",
    "CLIENT", "SERVER", "RADIO", "DISH", "SCATTER", "GATHER", "PEER",
];

#[test]
fn only_the_legal_pairs_connect() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let push = ctx.socket::<Push>().build().unwrap();
        let pull = ctx.socket::<Pull>().build().unwrap();
        let sockets = [
            ("PULL", push.bind("tcp://127.0.0.1:0").unwrap()),
            ("PUSH", pull.bind("tcp://127.0.0.1:0").unwrap()),
        ];
        for (legal, at) in &sockets {
            for theirs in TYPES.iter().filter(|theirs| *theirs != legal) {
                let mut peer = Peer::connect(at);
                peer.write(&[null_greeting(), ready(theirs), message(&[b"never"])].concat());
                peer.expect_closed(AT_ONCE);
            }
        }
        assert_eq!((push.stats().peers, pull.stats().peers, pull.stats().received), (0, 0, 0));
        let _good = [Peer::dial(&sockets[0].1, "PULL"), Peer::dial(&sockets[1].1, "PUSH")];
        push.wait_connected(1, PATIENCE).unwrap();
        pull.wait_connected(1, PATIENCE).unwrap();
    });
}

#[test]
fn a_ping_is_answered_with_its_context() {
    within(PATIENCE, || {
        let stage = Stage::new();
        for minor in [0, 1] {
            for dialled in [false, true] {
                let mut peer = stage.connection(dialled);
                peer.write(&[greeting(3, minor, "NULL"), ready("PUSH")].concat());
                peer.read_handshake();
                for len in 0..=16 {
                    let context: Vec<u8> = (0..len).collect();
                    peer.ping(&context);
                    peer.expect_pong(&context);
                }
            }
        }
    });
}

#[test]
fn a_push_answers_pings_between_its_messages() {
    within(PATIENCE, || {
        let push = Context::new().unwrap().socket::<Push>().build().unwrap();
        let mut peer = Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        for number in 0..200_u32 {
            peer.ping(&number.to_be_bytes());
            for _ in 0..5 {
                push.send([&number.to_be_bytes()[..], b"", b"end"]).unwrap();
            }
            let (mut parts, mut pongs) = (0, 0);
            while parts < 15 || pongs < 1 {
                let frame = peer.frame();
                if frame.flags & COMMAND == 0 {
                    let context = number.to_be_bytes();
                    let expected = [&context[..], b"", b"end"][parts % 3];
                    let more = if parts % 3 == 2 { 0 } else { MORE };
                    assert_eq!(
                        (frame.flags, &frame.body[..]),
                        (more, expected),
                        "the parts of a message in order"
                    );
                    parts += 1;
                } else {
                    assert_eq!(frame.body, [b"\x04PONG", &number.to_be_bytes()[..]].concat());
                    pongs += 1;
                }
            }
        }
    });
}

#[test]
fn frames_are_short_up_to_255_octets_and_long_from_256_on() {
    within(PATIENCE, || {
        let push = Context::new().unwrap().socket::<Push>().build().unwrap();
        let mut peer = Peer::dial(push.bind("tcp://127.0.0.1:0").unwrap(), "PULL");
        push.wait_connected(1, PATIENCE).unwrap();
        for len in [0, 1, 69, 70, 71, 254, 255, 256, 257, 65_535, 65_536, 5_000_000] {
            let body: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
            push.send(body.clone()).unwrap();
            push.send([body.clone(), Vec::new(), body.clone()]).unwrap();
            let form = if len > 255 { LONG } else { 0 };
            for flags in [form, form | MORE, MORE, form] {
                let expected = if flags == MORE && form == LONG { Vec::new() } else { body.clone() };
                let expected = if flags == MORE && form == 0 { None } else { Some(expected) };
                let frame = peer.frame();
                assert_eq!(frame.flags, flags, "{len} octets");
                assert!(expected.is_none_or(|expected| frame.body == expected), "{len} octets");
            }
        }
    });
}

#[test]
fn a_peer_that_has_shaken_hands_is_not_dropped_at_the_timeout() {
    within(PATIENCE, || {
        let pull = Context::new().unwrap().socket::<Pull>();
        let pull = pull.handshake_timeout(Duration::from_millis(50)).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let mut peer = Peer::dial(&at, "PUSH");
        let mut silent = Peer::connect(&at);
        silent.expect_closed(PATIENCE); // it came later and its time is over
        peer.send(&[b"hello"]);
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "hello");
    });
}

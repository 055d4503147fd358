//! What a peer may say and what it may not, octet by octet, on a listening and on a dialling socket. Whatever a bad peer
//! does, nothing of it is delivered, and a good peer on the same socket goes on.

mod common;

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::raw::{
    COMMAND, Frame, LONG, MORE, Peer, SIGNATURE, command, frame, greeting, long_frame, message, property,
    ready,
};
use common::{PATIENCE, eventually, raw, resident, within};
use ferromq::{Context, Message, Pull, Push, RecvError, Socket};

/// Well below the handshake timeout, so that who is dropped by then was not dropped by it.
const AT_ONCE: Duration = Duration::from_secs(10);

fn null_greeting() -> Vec<u8> {
    greeting(3, 1, "NULL")
}

/// A PULL, the ways to reach it anew, and a good peer that is connected all the time.
struct Stage {
    pull: Socket<Pull>,
    at: ferromq::Endpoint,
    listener: TcpListener,
    good: Peer,
    sent: u32,
}

impl Stage {
    fn new() -> Self {
        let pull = Context::new().unwrap().socket::<Pull>();
        let soon = Duration::from_millis(1);
        let pull = pull.reconnect_interval(soon).reconnect_max(5 * soon).build().unwrap();
        let at = pull.bind("tcp://127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        pull.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
        let good = Peer::dial(&at, "PUSH");
        Self { pull, at, listener, good, sent: 0 }
    }

    /// A TCP connection to the socket: by one of ours to its listener, or by one of its own to ours.
    fn connection(&self, dialled: bool) -> Peer {
        if dialled { Peer::accept(&self.listener) } else { Peer::connect(&self.at) }
    }

    /// The good peer is still served, and nothing but its messages comes out.
    #[track_caller]
    fn assert_unharmed(&mut self, name: &str) {
        self.sent += 1;
        self.good.send(&[&self.sent.to_be_bytes()]);
        let message =
            self.pull.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("after {name}: {error}"));
        assert_eq!(message, self.sent.to_be_bytes(), "after {name}");
    }
}

/// Says it in one write and octet by octet, to a listening and to a dialling socket: each time the connection ends at once.
fn assert_refused(cases: &[(&str, Vec<u8>)]) {
    let mut stage = Stage::new();
    for (name, octets) in cases {
        for (dialled, dribbled) in [(false, false), (false, true), (true, false), (true, true)] {
            if dribbled && octets.len() > 1000 {
                continue;
            }
            let mut bad = stage.connection(dialled);
            if dribbled {
                bad.dribble(octets);
            } else {
                drop(bad.0.write_all(octets));
            }
            let start = Instant::now();
            bad.expect_closed(PATIENCE);
            assert!(start.elapsed() < AT_ONCE, "{name}: closed only after {:?}", start.elapsed());
            stage.assert_unharmed(name);
        }
    }
    assert_eq!(stage.pull.try_recv(), Err(RecvError::Empty));
}

/// Says it likewise, followed by nothing: the message `hello` is delivered each time.
fn assert_accepted(cases: &[(&str, Vec<u8>)]) {
    let mut stage = Stage::new();
    for (name, octets) in cases {
        for (dialled, dribbled) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut peer = stage.connection(dialled);
            if dribbled {
                peer.dribble(octets)
            } else {
                peer.write(octets)
            }
            let got = stage.pull.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(got, "hello", "{name}");
            peer.read_handshake();
            stage.assert_unharmed(name);
        }
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

#[test]
fn all_that_the_protocol_allows_is_accepted() {
    let hello = || message(&[b"hello"]);
    let after_greeting = |greeting: Vec<u8>| [greeting, ready("PUSH"), hello()].concat();
    let with_ready =
        |properties: &[Vec<u8>]| [null_greeting(), command("READY", &properties.concat()), hello()].concat();
    let in_traffic = |frames: &[Vec<u8>]| [null_greeting(), ready("PUSH"), frames.concat()].concat();
    let patched = |at: std::ops::Range<usize>, octets: &[u8]| {
        let mut greeting = null_greeting();
        greeting[at].copy_from_slice(octets);
        after_greeting(greeting)
    };
    let push = || property("Socket-Type", b"PUSH");
    let cases = [
        ("3.1", after_greeting(null_greeting())),
        ("3.0", after_greeting(greeting(3, 0, "NULL"))),
        ("3.2", after_greeting(greeting(3, 2, "NULL"))),
        ("3.7", after_greeting(greeting(3, 7, "NULL"))),
        ("4.0", after_greeting(greeting(4, 0, "NULL"))),
        ("255.255", after_greeting(greeting(255, 255, "NULL"))),
        ("the padding of libzmq", patched(1..9, &[0, 0, 0, 0, 0, 0, 0, 1])),
        ("any padding", patched(1..9, b"12345678")),
        ("as-server", patched(32..33, &[1])),
        ("as-server of any value", patched(32..33, &[0x7F])),
        ("any filler", patched(33..64, &[0xAA; 31])),
        ("the property name in lower case", with_ready(&[property("socket-type", b"PUSH")])),
        ("the property name in strange case", with_ready(&[property("sOcKeT-TyPe", b"PUSH")])),
        ("an empty identity", with_ready(&[push(), property("Identity", b"")])),
        ("an identity of 255 octets", with_ready(&[push(), property("Identity", &[b'i'; 255])])),
        ("a resource", with_ready(&[property("Resource", b"any"), push()])),
        ("unknown properties", with_ready(&[property("X-Mine", &[0, 255]), push(), property("Y.+_-0", b"")])),
        ("an unknown property of 300 octets", with_ready(&[push(), property("X-Long", &[b'x'; 300])])),
        (
            "READY in a long frame",
            [null_greeting(), long_frame(COMMAND, &[b"\x05READY", &push()[..]].concat()), hello()].concat(),
        ),
        ("a short body in a long frame", in_traffic(&[long_frame(0, b"hello")])),
        ("an unknown command", in_traffic(&[command("FOOO", b""), hello()])),
        ("a command in lower case", in_traffic(&[command("ping", &[0, 0]), hello()])),
        ("a PONG that nobody asked for", in_traffic(&[command("PONG", b"why?"), hello()])),
        ("JOIN and LEAVE", in_traffic(&[command("JOIN", b"group"), command("LEAVE", b"group"), hello()])),
    ];
    within(2 * PATIENCE, move || assert_accepted(&cases));
}

#[test]
fn a_greeting_that_is_none_of_zmtp_3_is_refused_at_once() {
    let patched = |at: usize, octets: &[u8]| {
        let mut greeting = null_greeting();
        greeting[at..at + octets.len()].copy_from_slice(octets);
        [greeting, ready("PUSH"), message(&[b"never"])].concat()
    };
    let cases = [
        ("zeros", vec![0; 64]),
        ("a message of ZMTP 1.0", b"\x01\x00\x08\x00sneaky\x00".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a line of text", b"not-a-handshake\r\n".to_vec()),
        ("TLS", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[7; 53]].concat()),
        ("an even tenth octet", patched(9, &[0x7E])),
        ("version 2.0", [&SIGNATURE[..], &[1, 8]].concat()),
        ("version 2.0 and its identity", [&SIGNATURE[..], &[1, 8, 0, 0], &message(&[b"never"])].concat()),
        ("version 0", [&SIGNATURE[..], &[0, 8]].concat()),
        ("mechanism PLAIN", patched(12, b"PLAIN")),
        ("mechanism CURVE", patched(12, b"CURVE")),
        ("mechanism GSSAPI", patched(12, b"GSSAPI")),
        ("mechanism null", patched(12, b"null")),
        ("mechanism NULL with a space", patched(12, b"NULL ")),
        ("no mechanism", patched(12, &[0; 20])),
        ("junk behind the mechanism", patched(12, b"NULL\0\0X")),
        ("a mechanism without an end", patched(12, &[b'A'; 20])),
        ("two greetings", [null_greeting(), null_greeting()].concat()),
    ];
    within(2 * PATIENCE, move || assert_refused(&cases));
}

#[test]
fn a_handshake_that_breaks_the_rules_is_refused_at_once() {
    let then = |octets: &[u8]| [&null_greeting()[..], octets, &message(&[b"never"])].concat();
    let with_ready = |data: &[u8]| then(&command("READY", data));
    let push = || property("Socket-Type", b"PUSH");
    let cases = [
        ("a message first", then(b"")),
        ("READY in a message frame", then(&frame(0, &ready("PUSH")[2..]))),
        ("READY with MORE", then(&frame(COMMAND | MORE, &ready("PUSH")[2..]))),
        ("reserved bit 7", then(&frame(0x84, &ready("PUSH")[2..]))),
        ("reserved bit 3", then(&frame(0x0C, &ready("PUSH")[2..]))),
        ("an empty command", then(&[4, 0])),
        ("a command without a name", then(&[4, 1, 0])),
        ("a name past the end", then(&[4, 2, 9, b'A'])),
        ("an unknown command", then(&command("FOO", b""))),
        ("ready in lower case", then(&command("ready", &push()))),
        ("one octet too many", with_ready(&[&push()[..], &[0x0B]].concat())),
        ("a property name past the end", with_ready(&[&push()[..], &[255, b'a', b'b', b'c']].concat())),
        ("a value of 2 GiB past the end", with_ready(&[&push()[..], b"\x01X\x7F\xFF\xFF\xFFabcd"].concat())),
        ("a value of more than 2 GiB", with_ready(&[&push()[..], b"\x01X\x80\x00\x00\x00abcd"].concat())),
        ("a value of 4 GiB past the end", with_ready(&[&push()[..], b"\x01X\xFF\xFF\xFF\xFFabcd"].concat())),
        ("a property without a name", with_ready(&[&push()[..], b"\x00\x00\x00\x00\x00"].concat())),
        ("no property at all", with_ready(b"")),
        ("an empty socket type", with_ready(&property("Socket-Type", b""))),
        ("an invented socket type", with_ready(&property("Socket-Type", b"BANANA"))),
        ("a socket type in lower case", with_ready(&property("Socket-Type", b"push"))),
        ("a padded socket type", with_ready(&property("Socket-Type", b"PUSH\0"))),
        ("a huge socket type", with_ready(&property("Socket-Type", &vec![b'A'; 1 << 20]))),
        ("two socket types", with_ready(&[push(), property("Socket-Type", b"PUB")].concat())),
        ("an identity of 256 octets", with_ready(&[push(), property("Identity", &[b'i'; 256])].concat())),
        ("READY of a gigabyte", [null_greeting(), vec![6, 0, 0, 0, 0, 0x40, 0, 0, 0]].concat()),
        ("READY twice, the first illegal", then(&[ready("SUB"), ready("PUSH")].concat())),
        ("PING first", then(&command("PING", &[0, 0]))),
        ("SUBSCRIBE first", then(&command("SUBSCRIBE", b"A"))),
        ("HELLO of PLAIN", then(&command("HELLO", b"\x01u\x01p"))),
    ];
    within(3 * PATIENCE, move || assert_refused(&cases));
}

#[test]
fn an_error_instead_of_ready_ends_the_connection() {
    let cases: Vec<_> = [&b"\x03400"[..], b"\x00", b"", b"\xFF", b"\xFFshort"]
        .iter()
        .map(|data| [null_greeting(), command("ERROR", data)].concat())
        .collect();
    within(PATIENCE, move || {
        let mut stage = Stage::new();
        for octets in &cases {
            let mut bad = stage.connection(false);
            bad.write(octets);
            bad.expect_closed(AT_ONCE);
            stage.assert_unharmed("ERROR");
        }
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
fn traffic_that_breaks_the_rules_ends_the_connection() {
    let after_handshake = |octets: &[u8]| [&null_greeting()[..], &ready("PUSH"), octets].concat();
    let cases = [
        ("a size of 2^63", after_handshake(&[2, 0x80, 0, 0, 0, 0, 0, 0, 0])),
        ("a size of 2^64 - 1", after_handshake(&[2, 255, 255, 255, 255, 255, 255, 255, 255])),
        ("a size of 2^63 - 1", after_handshake(&[2, 0x7F, 255, 255, 255, 255, 255, 255, 255])),
        ("reserved bit 3", after_handshake(&[8, 1, b'A'])),
        ("reserved bit 4", after_handshake(&[0x10, 1, b'A'])),
        ("all reserved bits", after_handshake(&[0xF8, 1, b'A'])),
        (
            "a command with MORE",
            after_handshake(&[&frame(COMMAND | MORE, b"\x09SUBSCRIBEA")[..], &message(&[b"never"])].concat()),
        ),
        ("a PING without its time", after_handshake(&frame(COMMAND, b"\x04PING"))),
        ("a PING with half its time", after_handshake(&frame(COMMAND, b"\x04PING\0"))),
        ("a part, and then nonsense", after_handshake(&[&frame(MORE, b"never")[..], &[0xFF, 0]].concat())),
    ];
    within(2 * PATIENCE, move || assert_refused(&cases));
}

/// One rule for commands that cannot be parsed, or that a PULL has no use for: whether the connection ends or the command is
/// ignored, nothing is delivered of it and nothing else breaks.
#[test]
fn useless_commands_in_traffic_are_never_delivered() {
    let commands = [
        ("an empty command", vec![4, 0]),
        ("a command without a name", vec![4, 1, 0]),
        ("a name past the end", vec![4, 2, 0xFF, 0x41]),
        ("SUBSCRIBE", command("SUBSCRIBE", b"A")),
        ("CANCEL", command("CANCEL", b"A")),
        ("READY again", ready("PUSH")),
        ("ERROR", command("ERROR", b"\x03400")),
        ("HELLO", command("HELLO", b"")),
        ("a PONG of a mebibyte", command("PONG", &vec![0; 1 << 20])),
        ("an unknown command of a mebibyte", command("FOOO", &vec![0; 1 << 20])),
    ];
    within(PATIENCE, move || {
        let mut stage = Stage::new();
        for (name, command) in &commands {
            let mut peer = Peer::dial(&stage.at, "PUSH");
            drop(peer.0.write_all(command));
            drop(peer.0.write_all(&raw::command("PING", b"\0\0?")));
            if let Some(answer) = peer.try_frame() {
                assert_eq!(answer, Frame { flags: COMMAND, body: b"\x04PONG?".to_vec() }, "{name}");
            }
            stage.assert_unharmed(name);
        }
        assert_eq!(u64::from(stage.sent), stage.pull.stats().received);
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
fn a_longer_ping_context_is_cut_or_ends_the_connection() {
    within(PATIENCE, || {
        let mut stage = Stage::new();
        for len in [17, 58, 1 << 20] {
            let mut peer = Peer::dial(&stage.at, "PUSH");
            drop(peer.0.write_all(&command("PING", &vec![b'c'; 2 + len])));
            if let Some(answer) = peer.try_frame() {
                assert_eq!(answer.body, b"\x04PONGcccccccccccccccc");
            }
            stage.assert_unharmed("a long PING");
        }
    });
}

#[test]
fn a_command_between_the_parts_of_a_message_does_not_divide_it() {
    within(PATIENCE, || {
        let stage = Stage::new();
        let mut peer = Peer::dial(&stage.at, "PUSH");
        peer.write(
            &[
                frame(MORE, b"A"),
                command("PING", b"\0\0!"),
                frame(MORE, b""),
                command("FOOO", b""),
                frame(0, b"B"),
            ]
            .concat(),
        );
        assert_eq!(stage.pull.recv_timeout(PATIENCE).unwrap(), Message::from(["A", "", "B"]));
        peer.expect_pong(b"!");
    });
}

#[test]
fn half_a_message_is_never_delivered() {
    within(PATIENCE, || {
        let mut stage = Stage::new();
        let endings: [fn(Peer); 3] = [drop, Peer::reset, |peer| peer.finish()];
        for octets in [
            &b"\x01\x01A"[..],
            b"\x00",
            b"\x00\x05hell",
            b"\x02\x00\x00",
            b"\x02\0\0\0\0\0\0\x01\0abc",
            b"\x01\x01A\x00",
        ] {
            for ending in endings {
                let mut peer = Peer::dial(&stage.at, "PUSH");
                peer.send(&[b"whole"]);
                peer.ping(b"");
                peer.expect_pong(b"");
                peer.write(octets);
                ending(peer);
                assert_eq!(stage.pull.recv_timeout(PATIENCE).unwrap(), "whole");
                eventually("its end is noticed", || stage.pull.stats().peers == 1);
                stage.assert_unharmed("half a message");
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

fn impatient(dialling: bool, timeout: Duration) -> (Socket<Pull>, impl Fn() -> Peer) {
    let pull = Context::new().unwrap().socket::<Pull>().handshake_timeout(timeout);
    let pull = pull
        .reconnect_interval(Duration::from_millis(1))
        .reconnect_max(Duration::from_millis(5))
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = pull.bind("tcp://127.0.0.1:0").unwrap();
    if dialling {
        pull.connect(format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
    }
    (pull, move || if dialling { Peer::accept(&listener) } else { Peer::connect(&at) })
}

#[test]
fn a_peer_that_falls_silent_in_the_handshake_is_dropped_at_the_timeout() {
    within(2 * PATIENCE, || {
        let timeout = Duration::from_millis(100);
        let whole = [null_greeting(), ready("PUSH")].concat();
        for dialling in [false, true] {
            let (_pull, connection) = impatient(dialling, timeout);
            for said in [0, 1, 9, 10, 11, 12, 32, 63, 64, 65, 66, 80, whole.len() - 1] {
                let start = Instant::now();
                let mut peer = connection();
                let since_connected = Instant::now();
                peer.write(&whole[..said]);
                peer.expect_closed(PATIENCE);
                let (most, least) = (start.elapsed(), since_connected.elapsed());
                // A connection that the socket dialled may have waited in our backlog, and its time had begun.
                assert!(dialling || most >= timeout, "{said} octets said, dropped after {most:?}");
                assert!(
                    least < timeout + Duration::from_secs(2),
                    "{said} octets said, dropped after {least:?}"
                );
            }
        }
    });
}

#[test]
fn a_peer_that_dribbles_is_dropped_at_the_same_timeout() {
    within(2 * PATIENCE, || {
        let timeout = Duration::from_millis(200);
        for dialling in [false, true] {
            let (pull, connection) = impatient(dialling, timeout);
            let mut peer = connection();
            let start = Instant::now();
            peer.0.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let mut said = 0;
            for octet in [null_greeting(), ready("PUSH")].concat() {
                // Reading paces the octets, and shows the end.
                let gone = peer.0.write_all(&[octet]).is_err();
                let heard = std::io::Read::read(&mut peer.0, &mut [0; 100]);
                if gone || heard.is_ok_and(|len| len == 0) {
                    break;
                }
                said += 1;
            }
            assert!(said < 80, "the whole handshake was dribbled, {:?} long", start.elapsed());
            assert!(
                start.elapsed() < timeout + Duration::from_secs(1),
                "dropped only after {:?}",
                start.elapsed()
            );
            assert_eq!(pull.stats().peers, 0);
        }
    });
}

#[test]
fn a_peer_that_has_shaken_hands_is_not_dropped_at_the_timeout() {
    within(PATIENCE, || {
        let (pull, connection) = impatient(false, Duration::from_millis(50));
        let mut peer = connection().shake_hands("PUSH");
        let mut silent = connection();
        silent.expect_closed(PATIENCE); // it came later and its time is over
        peer.send(&[b"hello"]);
        assert_eq!(pull.recv_timeout(PATIENCE).unwrap(), "hello");
    });
}

#[test]
fn connections_that_end_in_the_middle_of_the_handshake_do_no_harm() {
    within(2 * PATIENCE, || {
        let mut stage = Stage::new();
        let whole = [null_greeting(), ready("PUSH")].concat();
        for said in 0..whole.len() {
            for (turn, ending) in [drop as fn(Peer), Peer::reset].into_iter().enumerate() {
                let mut peer = stage.connection((said + turn) % 2 == 0);
                drop(peer.0.write_all(&whole[..said]));
                ending(peer);
            }
        }
        stage.assert_unharmed("many broken handshakes");
        eventually("only the good peer is left", || stage.pull.stats().peers == 1);
    });
}

#[test]
fn thousands_of_connections_that_are_reset_at_once_do_no_harm() {
    within(2 * PATIENCE, || {
        let mut stage = Stage::new();
        for _ in 0..3000 {
            stage.connection(false).reset();
        }
        stage.assert_unharmed("thousands of resets");
        let files = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        eventually("their files are closed", || files() < 500);
    });
}

/// Writes until all is written, or until the other side has hung up or no longer reads.
fn write_while_taken(peer: &mut Peer, octets: &[u8], times: usize) {
    peer.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    for _ in 0..times {
        if peer.0.write_all(octets).is_err() {
            return;
        }
    }
}

#[test]
fn pings_whose_answers_nobody_reads_cost_no_memory() {
    within(2 * PATIENCE, || {
        let mut stage = Stage::new();
        let mut peer = Peer::dial(&stage.at, "PUSH");
        let before = resident();
        write_while_taken(&mut peer, &command("PING", b"\0\0sixteen octets !").repeat(1000), 1000);
        stage.assert_unharmed("a million PINGs");
        let grown = resident().saturating_sub(before);
        assert!(grown < 64 << 20, "a million PINGs cost {grown} bytes");
    });
}

#[test]
fn a_message_of_endlessly_many_empty_parts_is_not_gathered_for_ever() {
    within(3 * PATIENCE, || {
        let mut stage = Stage::new();
        let mut peer = Peer::dial(&stage.at, "PUSH");
        let before = resident();
        write_while_taken(&mut peer, &frame(MORE, b"").repeat(50_000), 400);
        stage.assert_unharmed("twenty million empty parts");
        let grown = resident().saturating_sub(before);
        assert!(grown < 256 << 20, "twenty million empty parts cost {grown} bytes");
    });
}

#[test]
fn a_message_of_a_hundred_thousand_empty_parts_is_delivered_or_refused_whole() {
    within(PATIENCE, || {
        let mut stage = Stage::new();
        let mut peer = Peer::dial(&stage.at, "PUSH");
        drop(peer.0.write_all(&[frame(MORE, b"").repeat(100_000), frame(0, b"")].concat()));
        drop(peer.0.write_all(&command("PING", b"\0\0?")));
        if peer.try_frame().is_some() {
            assert_eq!(stage.pull.recv_timeout(PATIENCE).unwrap().len(), 100_001);
        }
        stage.assert_unharmed("a hundred thousand parts");
    });
}

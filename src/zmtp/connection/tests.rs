//! A connection as its peer and its caller see it.

use std::time::Duration;

use bytes::Bytes;
use quickcheck::{Arbitrary, Gen, QuickCheck, quickcheck};

use super::*;
use crate::zmtp::frame::put_header;
use crate::zmtp::handshake::Limits;
use crate::zmtp::heartbeat::Rhythm;
use crate::zmtp::{LOOKAHEAD, SocketType, greeting};

/// A connection at a PULL, and what its caller keeps for it.
struct Caller {
    connection: Connection,
    now: Instant,
    /// What was read and not taken.
    held: Vec<u8>,
    messages: Vec<Message>,
}

impl Caller {
    /// At the very start.
    fn new() -> Self {
        Self::with(None)
    }

    /// At the very start, with a heartbeat.
    fn with(rhythm: Option<Rhythm>) -> Self {
        let limits = Limits { frame: 100_000, message: 100_000, parts: 20, handshake: 8192 };
        let handshake_timeout = Some(30 * SECOND);
        let config = Config {
            socket_type: SocketType::Pull,
            identity: Bytes::new(),
            handshake_timeout,
            answers: false,
            rhythm,
            max_pongs: MAX_PONGS,
            limits,
        };
        let now = Instant::now();
        Self { connection: Connection::new(&config, now), now, held: Vec::new(), messages: Vec::new() }
    }

    /// In traffic, with nothing left to say or to tell.
    fn ready() -> Self {
        Self::new().met(&opening())
    }

    /// In traffic, with a PING every second, and two seconds to answer it.
    fn beating() -> Self {
        let mut caller = Self::with(Some(Rhythm { interval: 1000, timeout: 2000, ttl: 50 }));
        assert_eq!(caller.connection.poll_timeout(), Some(caller.now + 30 * SECOND));
        caller = caller.met(&opening());
        assert_eq!(caller.connection.poll_timeout(), Some(caller.now + SECOND));
        caller
    }

    fn met(self, opening: &[u8]) -> Self {
        let mut caller = self;
        caller.read(opening, usize::MAX).unwrap();
        caller.said();
        assert!(matches!(caller.connection.poll_event(), Some(Event::Ready(_))));
        caller
    }

    /// Handles what was read: a large body straight into its buffer, and at most `room` messages at once.
    fn read(&mut self, octets: &[u8], room: usize) -> Result<(), Violation> {
        let mut octets = octets;
        while let Some(body) = self.connection.body().filter(|_| !octets.is_empty()) {
            let (grown, rest) = octets.split_at(octets.len().min(body.spare.len()));
            body.spare[..grown.len()].copy_from_slice(grown);
            self.connection.body_grew(grown.len(), self.now, &mut self.messages)?;
            octets = rest;
        }
        self.held.extend_from_slice(octets);
        let mut taken = 0;
        loop {
            let before = self.messages.len();
            let rest = &self.held[taken..];
            let more = self.connection.handle_input(
                rest,
                Space { messages: room, octets: usize::MAX },
                self.now,
                &mut self.messages,
            )?;
            assert!(more <= rest.len() && self.messages.len() - before <= room);
            taken += more;
            if more == 0 || taken == self.held.len() {
                break;
            }
        }
        self.held.drain(..taken);
        assert!(self.held.len() < LOOKAHEAD);
        Ok(())
    }

    /// The time has come, and the inbox is not full.
    fn expire(&mut self, at: Instant) -> Result<(), Violation> {
        self.connection.handle_timeout(at, Spoken::default(), false)
    }

    fn said(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.connection.poll_output(&mut out);
        assert!(!self.connection.has_output());
        out
    }

    /// What a test of cuts compares: everything the caller can see.
    fn outcome(mut self, result: Result<(), Violation>) -> Outcome {
        let deadline = self.connection.poll_timeout().map(|deadline| deadline - self.now);
        (self.said(), result, deadline, self.messages, self.held)
    }
}

type Outcome = (Vec<u8>, Result<(), Violation>, Option<Duration>, Vec<Message>, Vec<u8>);

/// Greeting and READY of a PUSH.
fn opening() -> Vec<u8> {
    let mut out = greeting::ours(b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").to_vec();
    command::put_ready(&mut out, SocketType::Push, b"");
    out
}

fn put_message(out: &mut Vec<u8>, parts: &[Vec<u8>]) {
    for (index, part) in parts.iter().enumerate() {
        put_header(out, index + 1 < parts.len(), part.len());
        out.extend_from_slice(part);
    }
}

/// What a PULL in traffic makes of a few octets.
fn traffic(octets: &[u8]) -> (Result<(), Violation>, Vec<Message>, Vec<u8>) {
    let mut caller = Caller::ready();
    let result = caller.read(octets, usize::MAX);
    let said = caller.said();
    (result, caller.messages, said)
}

fn refusal(octets: &[u8]) -> Violation {
    let (result, messages, _) = traffic(octets);
    assert!(messages.is_empty());
    result.unwrap_err()
}

const SECOND: Duration = Duration::from_secs(1);
const MAX_PONGS: usize = 5;

#[test]
fn the_signature_leaves_before_anything_is_read() {
    let mut caller = Caller::new();
    assert_eq!(caller.said(), b"\xFF\0\0\0\0\0\0\0\0\x7F");
    assert!(!caller.connection.is_ready());
}

#[test]
fn greeting_ready_and_messages_may_come_in_one_segment() {
    let mut caller = Caller::new();
    caller.read(&[&opening()[..], b"\x00\x02hi"].concat(), usize::MAX).unwrap();
    let (socket_type, identity) = (SocketType::Push, Bytes::new());
    assert_eq!(
        caller.connection.poll_event(),
        Some(Event::Ready(PeerInfo { socket_type, identity, minor: 1 }))
    );
    assert_eq!(caller.connection.poll_event(), None);
    assert!(caller.connection.is_ready());
    assert_eq!(caller.messages, [Message::from("hi")]);
    assert_eq!(caller.said().len(), 64 + 28);
}

#[test]
fn an_error_for_the_peer_outlives_the_violation() {
    let mut caller = Caller::new();
    let mut pull = opening();
    pull.truncate(64);
    command::put_ready(&mut pull, SocketType::Pull, b"");
    assert!(caller.read(&pull, 1).is_err());
    assert!(caller.said().windows(6).any(|window| window == b"\x05ERROR"));
}

#[test]
fn the_handshake_has_to_be_over_in_time_however_it_dribbles() {
    let mut caller = Caller::new();
    let end = caller.now + 30 * SECOND;
    for octet in &opening()[..20] {
        caller.now += SECOND;
        caller.read(&[*octet], 1).unwrap();
        assert_eq!(caller.connection.poll_timeout(), Some(end));
    }
    assert_eq!(caller.expire(end - SECOND), Ok(()));
    assert_eq!(caller.expire(end), Err(Violation::HandshakeTimeout));
    assert_eq!(Caller::ready().connection.poll_timeout(), None);
}

#[test]
fn nothing_is_decoded_without_room() {
    let mut caller = Caller::new();
    caller.read(&[&opening()[..], b"\x00\x00"].concat(), 0).unwrap();
    assert!(caller.connection.is_ready());
    assert_eq!((caller.held.len(), caller.messages.len()), (2, 0));
    caller.read(b"", 1).unwrap();
    assert_eq!((caller.held.len(), caller.messages.len()), (0, 1));
}

#[test]
fn messages_before_a_violation_are_whole() {
    let (result, messages, _) = traffic(b"\x00\x01A\x01\x01B\x08\x01C");
    assert_eq!((result, messages), (Err(Violation::ReservedBits), vec!["A".into()]));
}

#[test]
fn reserved_bits_and_wild_sizes_are_refused() {
    for octets in [b"\x08\x01A", b"\x10\x01A", b"\xF8\x01A"] {
        assert_eq!(refusal(octets), Violation::ReservedBits);
    }
    assert_eq!(refusal(b"\x02\x80\0\0\0\0\0\0\0"), Violation::BadFrameSize);
    assert_eq!(refusal(&[&b"\x02"[..], &[0xFF; 8]].concat()), Violation::BadFrameSize);
    let too_large = Violation::MessageTooLarge { limit: 100_000 };
    assert_eq!(refusal(b"\x02\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), too_large);
    assert_eq!(refusal(b"\x02\x00\x00\x01\x00\x00\x00\x00\x00"), too_large);
}

#[test]
fn malformed_commands_are_refused() {
    for octets in [&b"\x04\x00"[..], b"\x04\x01\x00", b"\x04\x02\xFFA"] {
        assert_eq!(refusal(octets), Violation::MalformedCommand);
    }
    assert_eq!(refusal(b"\x05\x0A\x09SUBSCRIBE"), Violation::CommandWithMore);
}

#[test]
fn commands_without_meaning_in_traffic_are_ignored() {
    let commands: [&[u8]; 10] = [
        b"\x04\x05\x04FOOO",
        b"\x04\x0A\x05ERROR\x03400",
        b"\x04\x06\x05ERROR",
        b"\x04\x06\x05HELLO",
        b"\x04\x0B\x09SUBSCRIBEA",
        b"\x04\x08\x06CANCELA",
        b"\x04\x06\x04JOINA",
        b"\x04\x07\x05LEAVEA",
        b"\x04\x08\x04ping\0\0A",
        b"\x04\x06\x04PONGA",
    ];
    for command in commands {
        let (result, messages, said) = traffic(&[command, b"\x00\x02hi"].concat());
        assert_eq!((result, messages, said), (Ok(()), vec!["hi".into()], vec![]));
    }
}

#[test]
fn a_peer_that_introduces_itself_again_is_refused() {
    assert_eq!(refusal(&opening()[64..]), Violation::UnexpectedCommand);
}

#[test]
fn a_ping_between_two_parts_is_answered_and_disturbs_nothing() {
    let (result, messages, said) = traffic(b"\x01\x01A\x04\x08\x04PING\0\0!\x00\x01B");
    assert_eq!((result, messages), (Ok(()), vec![["A", "B"].into()]));
    assert_eq!(said, b"\x04\x06\x04PONG!");
}

#[test]
fn a_short_ping_is_refused() {
    assert_eq!(refusal(b"\x04\x05\x04PING"), Violation::MalformedCommand);
    assert_eq!(refusal(b"\x04\x06\x04PING\0"), Violation::MalformedCommand);
}

#[test]
fn every_ping_of_a_few_is_answered() {
    let (_, _, said) = traffic(b"\x04\x08\x04PING\0\0a\x04\x08\x04PING\0\0b");
    assert_eq!(said, b"\x04\x06\x04PONGa\x04\x06\x04PONGb");
}

#[test]
fn a_flood_of_pings_does_not_leave_a_flood_of_answers_and_is_told_once_each_time() {
    let mut caller = Caller::ready();
    let (ping, pong) = (b"\x04\x08\x04PING\0\0a", b"\x04\x06\x04PONGa");
    for _ in 0..3 {
        caller.read(&ping.repeat(MAX_PONGS), 1).unwrap();
        assert_eq!(caller.connection.poll_event(), None);
        caller.read(&ping.repeat(10_000), 1).unwrap();
        assert_eq!(caller.connection.poll_event(), Some(Event::TooManyPings));
        caller.read(&ping.repeat(10_000), 1).unwrap();
        assert_eq!(caller.connection.poll_event(), None);
        assert_eq!(caller.said(), pong.repeat(MAX_PONGS));
    }
}

#[test]
fn a_ping_goes_out_every_interval_and_says_which_it_is() {
    let mut caller = Caller::beating();
    for number in 1..4_u8 {
        caller.now = caller.connection.poll_timeout().unwrap();
        caller.expire(caller.now).unwrap();
        let mark = [b"ferromq\0\0\0", &[number, 0, 0, 0x03, 0xE8][..]].concat();
        assert_eq!(caller.said(), [b"\x04\x16\x04PING\0\x32", &mark[..]].concat());
        caller.now += SECOND / 10;
        caller.read(&[b"\x04\x14\x04PONG", &mark[..]].concat(), 1).unwrap();
    }
}

#[test]
fn a_peer_that_does_not_answer_is_given_up() {
    let mut caller = Caller::beating();
    let start = caller.now;
    let violation = loop {
        caller.now = caller.connection.poll_timeout().unwrap();
        match caller.expire(caller.now) {
            Ok(()) => _ = caller.said(),
            Err(violation) => break violation,
        }
    };
    assert_eq!((violation, caller.now - start), (Violation::HeartbeatTimeout, 3 * SECOND));
}

#[test]
fn a_part_of_a_large_body_is_a_sign_of_life() {
    let mut caller = Caller::beating();
    caller.read(b"\x02\0\0\0\0\0\x01\x00\x00", 1).unwrap();
    for _ in 0..100 {
        caller.now += SECOND * 9 / 10;
        caller.expire(caller.now).unwrap();
        caller.said();
        caller.read(b"x", 1).unwrap();
    }
}

#[test]
fn a_peer_of_an_older_version_is_sent_no_pings_and_not_judged() {
    let mut older = opening();
    older[11] = 0;
    let rhythm = Some(Rhythm { interval: 1000, timeout: 2000, ttl: 0 });
    let caller = Caller::with(rhythm).met(&older);
    assert_eq!(caller.connection.poll_timeout(), None);
}

#[test]
fn a_peer_has_to_keep_its_promise_to_speak() {
    let mut caller = Caller::ready();
    caller.read(b"\x04\x07\x04PING\0\x01", 1).unwrap();
    let deadline = caller.now + SECOND / 10;
    assert_eq!(caller.connection.poll_timeout(), Some(deadline));
    assert_eq!(caller.expire(deadline - SECOND / 1000), Ok(()));
    assert_eq!(caller.expire(deadline), Err(Violation::Silent));

    caller.read(b"\x04\x07\x04PING\xFF\xFF", 1).unwrap();
    assert_eq!(caller.connection.poll_timeout(), Some(caller.now + Duration::from_millis(6_553_500)));
}

#[test]
fn any_octet_keeps_the_promise() {
    for octet in [&b"\x00"[..], b"\x01", b"\x04"] {
        let mut caller = Caller::ready();
        caller.read(b"\x04\x07\x04PING\0\x01", 1).unwrap();
        caller.read(octet, 1).unwrap();
        assert_eq!(caller.connection.poll_timeout(), None);
    }
    let mut caller = Caller::ready();
    caller.read(b"\x04\x07\x04PING\0\x01\x00", 1).unwrap();
    assert_eq!(caller.connection.poll_timeout(), None, "what stands behind the PING came after it");
}

#[test]
fn is_small_once_it_is_in_traffic() {
    assert!(size_of::<Connection>() <= 320, "{} octets", size_of::<Connection>());
}

/// Something a peer may send.
#[derive(Clone, Debug)]
enum Sent {
    Message(Vec<Vec<u8>>),
    /// A message of one part whose body takes more than a frame at once.
    Large(u16),
    Ping(u16, Vec<u8>),
    Junk(Vec<u8>),
}

impl Sent {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Message(parts) => put_message(out, parts),
            Self::Large(len) => put_message(out, &[vec![b'L'; 16_000 + usize::from(*len)]]),
            Self::Ping(ttl, context) => {
                let context = &context[..context.len().min(30)];
                out.extend_from_slice(&[4, 7 + context.len() as u8]);
                out.extend_from_slice(b"\x04PING");
                out.extend_from_slice(&ttl.to_be_bytes());
                out.extend_from_slice(context);
            }
            Self::Junk(octets) => out.extend_from_slice(octets),
        }
    }
}

impl Arbitrary for Sent {
    fn arbitrary(g: &mut Gen) -> Self {
        match u8::arbitrary(g) {
            0..=180 => Self::Message(Vec::arbitrary(g).into_iter().take(usize::arbitrary(g) % 22).collect()),
            181..=210 => Self::Ping(u16::arbitrary(g), Vec::arbitrary(g)),
            211..=225 => Self::Large(u16::arbitrary(g)),
            _ => Self::Junk(Vec::arbitrary(g)),
        }
    }
}

#[test]
fn it_does_not_matter_how_the_stream_is_cut() {
    // Short streams: each is fed once octet by octet.
    QuickCheck::new().rng(Gen::new(25)).quickcheck(check as fn(Vec<Sent>, Vec<u16>, u8));

    fn check(sent: Vec<Sent>, cuts: Vec<u16>, room: u8) {
        let mut stream = opening();
        sent.iter().for_each(|sent| sent.put(&mut stream));

        let whole = feed(&stream, &[stream.len()], usize::MAX);
        assert_eq!(feed(&stream, &[1], usize::MAX), whole);
        let cuts: Vec<usize> = cuts.into_iter().map(|cut| usize::from(cut) + 1).chain([1000]).collect();
        assert_eq!(feed(&stream, &cuts, 1 + usize::from(room)), whole);
    }

    /// Feeds a stream in pieces of the given lengths, over and over.
    fn feed(mut stream: &[u8], cuts: &[usize], room: usize) -> Outcome {
        let mut caller = Caller::new();
        for cut in cuts.iter().cycle() {
            let (piece, rest) = stream.split_at(stream.len().min(*cut));
            let result = caller.read(piece, room);
            if result.is_err() || rest.is_empty() {
                if result.is_err() {
                    caller.held.clear(); // how much lay behind the violation is a matter of the cuts
                }
                return caller.outcome(result);
            }
            stream = rest;
        }
        unreachable!("a cycle does not end")
    }
}

#[test]
fn messages_come_back() {
    quickcheck(round_trip as fn(Vec<Vec<Vec<u8>>>));

    fn round_trip(mut sent: Vec<Vec<Vec<u8>>>) {
        sent.iter_mut().for_each(|parts| parts.truncate(20));
        sent.retain(|parts| !parts.is_empty());
        let mut stream = Vec::new();
        sent.iter().for_each(|parts| put_message(&mut stream, parts));
        let (result, messages, _) = traffic(&stream);
        assert_eq!(result, Ok(()));
        assert_eq!(messages, sent.into_iter().map(Message::from).collect::<Vec<_>>());
    }
}

#[test]
fn garbage_never_panics() {
    quickcheck(feed as fn(Vec<u8>, Vec<u8>));

    fn feed(before: Vec<u8>, after: Vec<u8>) {
        let _ = Caller::new().read(&before, usize::MAX);
        let _ = Caller::new().read(&[&opening()[..64], &before].concat(), usize::MAX);
        // Flags that are legal lead deeper.
        let tame = after.iter().map(|octet| octet & 7).collect::<Vec<_>>();
        for octets in [after, tame] {
            let mut caller = Caller::ready();
            let _ = caller.read(&octets, 3);
            assert!(caller.held.len() <= octets.len());
        }
    }
}

#[test]
fn who_answers_says_nothing_of_itself_until_the_peer_is_admitted() {
    let limits = Limits { frame: 100, message: 100, parts: 100, handshake: 1000 };
    let config = Config {
        socket_type: SocketType::Pair,
        identity: Bytes::new(),
        handshake_timeout: None,
        answers: true,
        rhythm: None,
        max_pongs: MAX_PONGS,
        limits,
    };
    let now = Instant::now();
    let mut connection = Connection::new(&config, now);
    let greeting = greeting::ours(b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let mut ready = Vec::new();
    command::put_ready(&mut ready, SocketType::Pair, b"");
    connection.handle_input(&[&greeting[..], &ready].concat(), Space::ENDLESS, now, &mut Vec::new()).unwrap();
    assert!(matches!(connection.poll_event(), Some(Event::Ready(_))));
    let mut said = Vec::new();
    connection.poll_output(&mut said);
    assert_eq!(said, greeting, "the greeting, and no READY");
    connection.admit();
    said.clear();
    connection.poll_output(&mut said);
    assert_eq!(said, ready);
}

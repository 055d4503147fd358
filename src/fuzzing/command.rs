//! Commands and what they carry: metadata, PINGs, subscriptions, errors.

use super::reader::Reader;
use crate::message::Message;
use crate::zmtp::command::{self, CANCEL, Command, ERROR, Ping, SUBSCRIBE, parse_error, put_pong};
use crate::zmtp::frame::Header;
use crate::zmtp::metadata::{self, Metadata};
use crate::zmtp::{SocketType, Violation, put_subscription};

/// Takes the octets for the body of a command, and for the data of each command that we know.
pub(super) fn run(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    body(data);
    metadata(data);
    ping(data);
    error(data);
    subscription(data);
}

fn body(body: &[u8]) {
    let Ok(Command { name, data }) = Command::parse(body) else {
        let named = body.first().is_some_and(|&len| len > 0 && body.len() > usize::from(len));
        return assert!(!named, "a command with a name is refused");
    };
    let mut out = Vec::new();
    command::put(&mut out, name, data);
    assert_eq!(body_of(&out), body);
    traffic(&out, name, data);
}

/// What a publisher makes of a command, which is told as the message that says the same.
fn traffic(frame: &[u8], name: &[u8], data: &[u8]) {
    let outcome = Reader::in_traffic(SocketType::XPub, SocketType::XSub).feed(frame, &[frame.len()]);
    let expected = match name {
        SUBSCRIBE => vec![Message::subscription(true, data)],
        CANCEL => vec![Message::subscription(false, data)],
        _ => Vec::new(),
    };
    assert_eq!(outcome.messages, expected);
}

fn metadata(list: &[u8]) {
    let Ok(told) = Metadata::parse(list) else { return };
    let Metadata { socket_type, identity } = &told;
    assert!(identity.len() <= list.len() && identity.len() <= 255 && identity.first() != Some(&0));
    let again = metadata::encode(*socket_type, identity);
    let expected = Metadata {
        socket_type: *socket_type,
        identity: if socket_type.tells_identity() { identity.clone() } else { Default::default() },
    };
    assert_eq!(Metadata::parse(&again), Ok(expected));
    let twice = Metadata::parse(&[list, list].concat());
    assert_eq!(twice, Err(Violation::DuplicateProperty), "a socket has one type");
    let more = Metadata::parse(&[list, b"\x05X-New\0\0\0\x01!"].concat());
    assert_eq!(more, Ok(told), "what we do not know changes nothing");
}

fn ping(data: &[u8]) {
    let Ok(Ping { ttl, context }) = Ping::parse(data) else {
        return assert!(data.len() < 2, "a PING with a time is refused");
    };
    assert_eq!(ttl.as_millis(), u128::from(data[0]) * 25_600 + u128::from(data[1]) * 100);
    let mut out = Vec::new();
    put_pong(&mut out, context);
    let repeated = &data[2..data.len().min(2 + 16)];
    assert_eq!(Command::parse(body_of(&out)), Ok(Command { name: b"PONG", data: repeated }));
}

fn error(data: &[u8]) {
    let Violation::PeerError { reason } = parse_error(data) else { return };
    assert!(reason.len() < data.len() && reason.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
    let mut out = Vec::new();
    command::put_error(&mut out, &reason);
    let again = Command::parse(body_of(&out)).expect("we say it properly");
    assert_eq!(again.name, ERROR);
    assert_eq!(parse_error(again.data), Violation::PeerError { reason });
}

/// In either dialect a publisher hears the same.
fn subscription(topic: &[u8]) {
    for (minor, on) in [(0, true), (0, false), (1, true), (1, false)] {
        let mut out = Vec::new();
        put_subscription(&mut out, minor, on, topic);
        let outcome = Reader::in_traffic(SocketType::XPub, SocketType::XSub).feed(&out, &[out.len()]);
        assert_eq!(outcome.messages, [Message::subscription(on, topic)], "minor {minor}");
    }
}

/// The body of the one frame that is there.
fn body_of(frame: &[u8]) -> &[u8] {
    let header = Header::parse(frame).expect("it is sound").expect("it is whole");
    let body = &frame[header.size..];
    assert!(header.is_command() && header.len == body.len() as u64);
    body
}

/// The most that is said in one command, about.
const LONGEST: usize = 16_000;

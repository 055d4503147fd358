//! The first 64 octets, and those who never get that far.

use super::Deed::{Finish, Reset, Trickle};
use super::Reaction::{Accept, Close, Gone, Timeout};
use super::wire::{SIGNATURE, command, greeting, message, ready, subscribe};
use super::{Row, greeted, sound_greeting};

pub(super) fn rows() -> Vec<Row> {
    [silence(), cut(), other_protocols(), lenient(), versions(), mechanisms(), behind()].concat()
}

/// A sound handshake with this greeting, and a message.
fn whole(greeting: &[u8], said: &[u8]) -> Vec<u8> {
    [greeting, &ready("PUSH"), &message(&[said])].concat()
}

/// The sound greeting with other octets from this place on.
fn patched(at: usize, octets: &[u8]) -> Vec<u8> {
    let mut greeting = sound_greeting();
    greeting[at..at + octets.len()].copy_from_slice(octets);
    greeting
}

/// A greeting that is fine for us and odd for others: the message behind it is delivered.
fn accepted(number: u8, name: &str, greeting: &[u8]) -> Row {
    let hello = format!("{number}: {name}");
    Row::new(number, name, whole(greeting, hello.as_bytes()), Accept).delivers(&[hello.as_bytes()])
}

/// A greeting that is refused, although all that follows is sound.
fn refused(number: u8, name: &str, greeting: &[u8], why: &'static str) -> Row {
    Row::new(number, name, whole(greeting, b"never"), Close(why))
}

fn silence() -> Vec<Row> {
    let trickle = Row::new(3, "a handshake that trickles", [], Timeout).then(Trickle(handshake()));
    let mut rows =
        vec![Row::new(1, "nothing", [], Timeout), Row::new(2, "one octet", [0xFF], Timeout), trickle];
    for len in [9, 10, 11, 12, 32, 63, 64, 65, 66, 80, 91] {
        rows.push(Row::new(5, format!("{len} octets of a handshake"), &handshake()[..len], Timeout));
    }
    rows
}

fn cut() -> Vec<Row> {
    let mut rows = Vec::new();
    for len in 0..handshake().len() {
        for (ending, deed) in [("the end", Finish), ("a reset", Reset)] {
            let name = format!("{len} octets of a handshake, and {ending}");
            rows.push(Row::new(4, name, &handshake()[..len], Gone).then(deed));
        }
    }
    rows
}

fn handshake() -> Vec<u8> {
    greeted(&ready("PUSH"))
}

fn other_protocols() -> Vec<Row> {
    const OLD: &str = "takes it for ZMTP 1.0 and waits for more";
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[7; 53]].concat();
    let even = |octet| whole(&patched(9, &[octet]), b"never");
    vec![
        Row::new(6, "zeros", [0; 64], Close("NotZmtp")),
        Row::new(7, "a message of ZMTP 1.0", *b"\x01\x00\x08\x00sneaky\x00", Close("NotZmtp"))
            .libzmq("delivers it, as ZMTP 1.0"),
        Row::new(8, "HTTP", *b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Close("NotZmtp")).libzmq(OLD),
        Row::new(8, "a line of text", *b"not-a-handshake\r\n", Close("NotZmtp")).libzmq(OLD),
        Row::new(9, "TLS", tls, Close("NotZmtp")).libzmq("delivers some of it, as ZMTP 1.0"),
        Row::new(10, "a tenth octet of 7E", even(0x7E), Close("NotZmtp")),
        Row::new(10, "a tenth octet of 00", even(0), Close("NotZmtp")),
    ]
}

/// What is odd, and must or may be accepted.
fn lenient() -> Vec<Row> {
    vec![
        accepted(11, "a tenth octet of 01", &patched(9, &[0x01])),
        accepted(11, "a tenth octet of FF", &patched(9, &[0xFF])),
        accepted(12, "any padding", &patched(1, &[1, 2, 3, 4, 5, 6, 7, 8])),
        accepted(12, "the padding of libzmq", &patched(1, &[0, 0, 0, 0, 0, 0, 0, 1])),
        accepted(19, "as-server", &patched(32, &[1])),
        accepted(19, "as-server of any value", &patched(32, &[0x7F])),
        accepted(19, "any filler", &patched(33, &[0xAA; 31])),
    ]
}

fn versions() -> Vec<Row> {
    const OLD: &str = "speaks that version";
    let old = |major, minor| {
        let name = format!("version {major}.{minor}");
        refused(13, &name, &greeting(major, minor, "NULL"), "OldVersion")
    };
    let v2 = [&SIGNATURE[..], &[1, 8, 0, 0], &message(&[b"never"])].concat();
    let v1 = [&SIGNATURE[..], &[0], b"\x01\x00\x06\x00never"].concat();
    let mut rows = vec![
        old(2, 0).libzmq("takes it for version 3"),
        old(1, 0),
        old(0, 0).libzmq(OLD),
        Row::new(13, "a PUSH of ZMTP 2.0", v2, Close("OldVersion")).libzmq(OLD),
        Row::new(13, "a peer of ZMTP 1.0 with a signature", v1, Close("OldVersion")),
    ];
    for (major, minor) in [(3, 0), (3, 2), (3, 7), (4, 0), (255, 255)] {
        rows.push(accepted(14, &format!("version {major}.{minor}"), &greeting(major, minor, "NULL")));
    }
    let topics = [message(&[b"\x0121: old"]), subscribe(b"21: new"), command("CANCEL", b"21: none")];
    let subscriber = [greeting(3, 0, "NULL"), ready("SUB"), topics.concat()].concat();
    rows.push(
        Row::new(21, "version 3.0, and subscriptions in both dialects", subscriber, Accept)
            .to("XPUB")
            .delivers(&[b"\x0121: old"])
            .delivers(&[b"\x0121: new"])
            .delivers(&[b"\x0021: old"])
            .delivers(&[b"\x0021: new"])
            .libzmq("tells also of the end of what nobody had"),
    );
    rows
}

fn mechanisms() -> Vec<Row> {
    let names: [(u8, &str, &[u8]); 8] = [
        (15, "mechanism PLAIN", b"PLAIN"),
        (15, "mechanism CURVE", b"CURVE"),
        (15, "mechanism GSSAPI", b"GSSAPI"),
        (16, "mechanism null", b"null"),
        (16, "mechanism NULL with a space", b"NULL "),
        (16, "no mechanism", b"\0\0\0\0"),
        (17, "junk behind the mechanism", b"NULL\0\0X"),
        (18, "a mechanism without an end", &[b'A'; 20]),
    ];
    names
        .map(|(number, name, octets)| refused(number, name, &patched(12, octets), "MechanismMismatch"))
        .into()
}

fn behind() -> Vec<Row> {
    vec![Row::new(20, "two greetings", [sound_greeting(), sound_greeting()].concat(), Close("ReservedBits"))]
}

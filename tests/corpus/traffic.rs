//! The frames after the handshake.

use std::time::Duration;

use super::Deed::{Await, Finish, Reset, Say};
use super::Reaction::{Accept, Close, Gone, Ignore, Lapse, Wait};
use super::wire::{COMMAND, MORE, command, frame, message, property, subscribe};
use super::{Row, greeted, ready};

pub(super) fn rows() -> Vec<Row> {
    [sizes(), flags(), many_parts(), cut(), commands(), pings(), handshake_again(), not_for_us()].concat()
}

/// What a PUSH sends that ends its connection; a message behind it is never delivered.
fn refused(number: u8, name: &str, octets: &[u8], why: &'static str) -> Row {
    let then = message(&[format!("never {number}").as_bytes()]);
    Row::new(number, name, ready("PUSH", &[octets, &then].concat()), Close(why))
}

/// What a PUSH sends that is passed over; a message behind it is delivered.
fn ignored(number: u8, name: &str, octets: &[u8]) -> Row {
    let hello = format!("{number}: {name}");
    let octets = ready("PUSH", &[octets, &message(&[hello.as_bytes()])].concat());
    Row::new(number, name, octets, Ignore).delivers(&[hello.as_bytes()])
}

/// The header of a long frame that declares this size.
fn long(flags: u8, size: u64) -> Vec<u8> {
    [&[flags | 2][..], &size.to_be_bytes()].concat()
}

fn sizes() -> Vec<Row> {
    const TEBIBYTE: u64 = 1 << 40;
    let begun = |size| ready("PUSH", &[&long(0, size)[..], b"0123456789"].concat());
    let second = |size| [&frame(MORE, b"never")[..], &long(0, size)].concat();
    let sum = [frame(MORE, &[b'a'; 600]), frame(0, &[b'b'; 600])].concat();
    vec![
        refused(51, "a size of 2^63", &long(0, 1 << 63), "BadFrameSize"),
        refused(52, "a size of 2^64 - 1", &long(0, u64::MAX), "BadFrameSize"),
        refused(52, "a size of 2^63 - 1", &long(0, u64::MAX / 2), "MessageTooLarge"),
        Row::new(52, "a size of 2^63 - 1, and no limit", begun(u64::MAX / 2), Wait)
            .max_message_size(usize::MAX)
            .libzmq("cannot get the memory, and closes"),
        refused(53, "a size of a tebibyte", &long(0, TEBIBYTE), "MessageTooLarge"),
        Row::new(53, "a size of a tebibyte, and no limit", begun(TEBIBYTE), Wait)
            .max_message_size(usize::MAX),
        refused(54, "a second part of one octet too many", &second(1001), "MessageTooLarge")
            .max_message_size(1000),
        refused(54, "parts that are too large together", &sum, "MessageTooLarge")
            .max_message_size(1000)
            .libzmq("accepts it: the limit is for each part"),
        Row::new(55, "a long frame for a short body", ready("PUSH", b"\x02\0\0\0\0\0\0\0\x05hello"), Accept)
            .delivers(&[b"hello"]),
    ]
}

fn flags() -> Vec<Row> {
    let reserved = |octets: &[u8]| {
        refused(56, &format!("flags {:02X}", octets[0]), octets, "ReservedBits")
            .libzmq("does not look at these bits")
    };
    vec![
        reserved(b"\x08\x01A"),
        reserved(b"\x10\x01A"),
        reserved(b"\xF8\x01A"),
        refused(56, "flags FF behind a first part", b"\x01\x05never\xFF\0", "ReservedBits"),
        refused(64, "a command with MORE", &frame(COMMAND | MORE, b"\x09SUBSCRIBEA"), "CommandWithMore")
            .libzmq("accepts it"),
    ]
}

fn many_parts() -> Vec<Row> {
    let parts = |count: usize| b"\x01\x00".repeat(count);
    let last = [parts(100_000), frame(0, b"")].concat();
    vec![
        refused(57, "a million parts without end", &parts(1_000_000), "TooManyParts")
            .libzmq("gathers them for ever"),
        refused(58, "a message of 100,000 parts", &last, "TooManyParts").libzmq("delivers it"),
    ]
}

/// Messages that were whole before are delivered. A reset makes the system throw away what nobody has read yet, so the
/// stranger waits for that.
fn cut() -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, name, octets) in [
        (59, "a first part", &b"\x01\x01A"[..]),
        (60, "flags", b"\x00"),
        (60, "half a size", b"\x02\x00\x00"),
        (60, "half a body", b"\x00\x05hel"),
        (60, "half a large body", &[&long(0, 50_000)[..], &[b'.'; 20_000]].concat()),
    ] {
        for (ending, deed) in [("the end", Some(Finish)), ("a reset", Some(Reset)), ("silence", None)] {
            let whole = format!("{number}: whole, before {name} and {ending}");
            let before = [message(&[whole.as_bytes()]), command("PING", b"\0\0whole")].concat();
            let reaction = if deed.is_some() { Gone } else { Wait };
            let mut row = Row::new(number, format!("{name}, and {ending}"), ready("PUSH", &before), reaction)
                .delivers(&[whole.as_bytes()])
                .answers(command("PONG", b"whole"))
                .then(Await)
                .then(Say(octets.to_vec()));
            row.deeds.extend(deed);
            rows.push(row);
        }
    }
    rows
}

/// Malformed and unknown commands.
fn commands() -> Vec<Row> {
    vec![
        refused(61, "an empty command", &[4, 0], "MalformedCommand").libzmq("ignores it"),
        refused(61, "a command without a name", &[4, 1, 0], "MalformedCommand").libzmq("ignores it"),
        refused(62, "a name past the end", &[4, 2, 0xFF, b'A'], "MalformedCommand").libzmq("ignores it"),
        ignored(63, "an unknown command", &command("FOOO", b"")),
        refused(63, "an unknown command of a mebibyte", &command("FOOO", &[0; 1 << 20]), "CommandTooLarge")
            .libzmq("ignores it"),
        ignored(75, "ping in lower case", &command("ping", &[0, 0])),
        ignored(75, "subscribe in lower case", &command("subscribe", b"A")),
    ]
}

fn pings() -> Vec<Row> {
    let ping = |ttl: u16, context: &[u8]| command("PING", &[&ttl.to_be_bytes()[..], context].concat());
    let between = [frame(MORE, b"A"), ping(0, b"!"), frame(0, b"B")].concat();
    let often =
        [frame(MORE, b"A"), ping(0, b"?"), frame(MORE, b""), command("FOOO", b""), frame(0, b"B")].concat();
    let long = |len| {
        Row::new(67, format!("a context of {len} octets"), ready("PUSH", &ping(0, &vec![b'c'; len])), Accept)
            .answers(command("PONG", &[b'c'; 16]))
    };
    let lapse = |name, ttl, millis| {
        let octets = ready("PUSH", &ping(ttl, b""));
        Row::new(69, name, octets, Lapse(Duration::from_millis(millis))).answers(command("PONG", b""))
    };
    vec![
        Row::new(65, "a PING between two parts", ready("PUSH", &between), Accept)
            .delivers(&[b"A", b"B"])
            .answers(command("PONG", b"!")),
        Row::new(65, "commands between all parts", ready("PUSH", &often), Accept)
            .delivers(&[b"A", b"", b"B"])
            .answers(command("PONG", b"?")),
        refused(66, "a PING without its time", &frame(COMMAND, b"\x04PING"), "MalformedCommand")
            .libzmq("reads beyond its end"),
        refused(66, "a PING with half its time", &frame(COMMAND, b"\x04PING\0"), "MalformedCommand")
            .libzmq("reads beyond its end"),
        long(17),
        long(58),
        refused(67, "a context of a mebibyte", &ping(0, &[0; 1 << 20]), "CommandTooLarge")
            .libzmq("answers with the first 16 octets"),
        lapse("the longest time of a PING", u16::MAX, 6_553_500).libzmq("multiplies in 16 bits, and wraps"),
        lapse("the shortest time of a PING, and silence", 1, 100),
        ignored(70, "a PONG that nobody asked for", &command("PONG", b"why?")),
        refused(70, "a PONG of a mebibyte", &command("PONG", &[0; 1 << 20]), "CommandTooLarge")
            .libzmq("ignores it"),
    ]
}

/// What had its place in the handshake.
fn handshake_again() -> Vec<Row> {
    let again = command("READY", &property("Socket-Type", b"PUSH"));
    let named = |id: &[u8]| {
        let metadata = [property("Socket-Type", b"DEALER"), property("Identity", id)].concat();
        command("READY", &metadata)
    };
    let renamed =
        [named(b"72 A"), message(&[b"72: before"]), named(b"72 B"), message(&[b"never 72"])].concat();
    vec![
        ignored(71, "ERROR in traffic", &command("ERROR", b"\x03400")),
        ignored(71, "HELLO in traffic", &command("HELLO", b"")),
        refused(71, "READY in traffic", &again, "UnexpectedCommand").libzmq("ignores it"),
        Row::new(
            72,
            "READY in traffic, with another identity",
            greeted(&renamed),
            Close("UnexpectedCommand"),
        )
        .to("ROUTER")
        .delivers(&[b"72: before"])
        .libzmq("ignores it"),
    ]
}

/// Commands for other types of sockets.
fn not_for_us() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, octets) in [("SUBSCRIBE", subscribe(b"A")), ("CANCEL", command("CANCEL", b"A"))] {
        for (ours, theirs) in [("PULL", "PUSH"), ("DEALER", "DEALER"), ("REP", "REQ")] {
            let row = Row::new(73, name, ready(theirs, &octets), Ignore).to(ours);
            // A REP of libzmq takes it for a question without an envelope.
            rows.push(if ours == "REP" { row } else { row.libzmq("delivers it as a message") });
        }
    }
    rows.push(ignored(74, "JOIN", &command("JOIN", b"group")));
    rows.push(ignored(74, "LEAVE", &command("LEAVE", b"group")));
    rows
}

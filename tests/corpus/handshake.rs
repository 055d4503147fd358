//! The frames between the greeting and the first message.

use super::Reaction::{Accept, Close};
use super::wire::{COMMAND, MORE, command, frame, long_frame, message, property, ready};
use super::{Row, greeted};

pub(super) fn rows() -> Vec<Row> {
    [frames(), commands(), metadata(), socket_types(), identities(), sizes(), wrong_commands()].concat()
}

/// What takes the place of READY, and a message behind it that is never delivered.
fn refused(number: u8, name: &str, octets: &[u8], why: &'static str) -> Row {
    let octets = [octets, &message(&[format!("never {number}").as_bytes()])].concat();
    Row::new(number, name, greeted(&octets), Close(why))
}

/// READY with this metadata, which is refused.
fn refused_ready(number: u8, name: &str, metadata: &[&[u8]], why: &'static str) -> Row {
    refused(number, name, &command("READY", &metadata.concat()), why)
}

/// What takes the place of READY, and a message behind it that is delivered.
fn accepted(number: u8, name: &str, octets: &[u8]) -> Row {
    let hello = format!("{number}: {name}");
    let octets = greeted(&[octets, &message(&[hello.as_bytes()])].concat());
    Row::new(number, name, octets, Accept).delivers(&[hello.as_bytes()])
}

/// READY with this metadata, which is accepted.
fn accepted_ready(number: u8, name: &str, metadata: &[&[u8]]) -> Row {
    accepted(number, name, &command("READY", &metadata.concat()))
}

fn socket_type(value: &[u8]) -> Vec<u8> {
    property("Socket-Type", value)
}

/// A property whose name need not be text.
fn odd(name: &[u8]) -> Vec<u8> {
    [&[name.len() as u8], name, &[0, 0, 0, 0]].concat()
}

fn frames() -> Vec<Row> {
    let body = &ready("PUSH")[2..];
    let flags = |number, name, flags, why| {
        refused(number, name, &frame(flags, body), why).libzmq("does not look at the flags, and accepts it")
    };
    vec![
        refused(22, "a message first", b"\x00\x01A", "UnexpectedMessage"),
        flags(23, "READY in a message frame", 0, "UnexpectedMessage"),
        flags(24, "READY with MORE", COMMAND | MORE, "CommandWithMore"),
        flags(25, "READY with reserved bit 7", 0x84, "ReservedBits"),
        flags(25, "READY with reserved bit 3", 0x0C, "ReservedBits"),
        flags(25, "READY with reserved bits 4 to 7", 0xF4, "ReservedBits"),
        accepted(24, "READY in a long frame", &long_frame(COMMAND, body)),
    ]
}

fn commands() -> Vec<Row> {
    vec![
        refused(26, "an empty command", &[4, 0], "MalformedCommand"),
        refused(27, "a command without a name", &[4, 1, 0], "MalformedCommand"),
        refused(28, "a name past the end", &[4, 2, 9, b'A'], "MalformedCommand"),
        refused(29, "an unknown command", &command("FOO", b""), "UnexpectedCommand"),
        refused(30, "ready in lower case", &command("ready", &socket_type(b"PUSH")), "UnexpectedCommand"),
    ]
}

fn metadata() -> Vec<Row> {
    let push = &socket_type(b"PUSH")[..];
    let bad = "MalformedMetadata";
    vec![
        refused_ready(31, "one octet of metadata", &[&[0x0B]], bad),
        refused_ready(31, "one octet too many", &[push, &[0x0B]], bad),
        refused_ready(32, "a property name past the end", &[push, b"\xFFabc"], bad),
        refused_ready(33, "a value of 2 GiB less one", &[push, b"\x01X\x7F\xFF\xFF\xFFabcd"], bad),
        refused_ready(33, "a value of 2 GiB", &[push, b"\x01X\x80\x00\x00\x00abcd"], bad),
        refused_ready(33, "a value of 4 GiB less one", &[push, b"\x01X\xFF\xFF\xFF\xFFabcd"], bad),
        refused_ready(34, "a property without a name", &[push, b"\x00\x00\x00\x00\x00"], bad)
            .libzmq("accepts it"),
        accepted_ready(35, "a zero in a property name", &[push, &odd(b"\0")]),
        accepted_ready(35, "a space in a property name", &[push, &odd(b" ")]),
        accepted_ready(35, "a property name that is no UTF-8", &[push, &odd(b"\xC3\x28")]),
        accepted_ready(35, "properties that nobody knows", &[push, &property("X-Mine", &[0xFF; 300])]),
        accepted_ready(35, "a resource", &[&property("Resource", b"any"), push]),
        accepted_ready(40, "socket-type in lower case", &[&property("socket-type", b"PUSH")])
            .libzmq("does not see it, and does without"),
        refused_ready(36, "no property at all", &[], "MissingSocketType").libzmq("does without"),
    ]
}

fn socket_types() -> Vec<Row> {
    let mut rows = Vec::new();
    for name in [&b""[..], b"BANANA", b"push", b"PUSH\0", b"STREAM"] {
        let title = format!("socket type {:?}", String::from_utf8_lossy(name));
        rows.push(refused_ready(37, &title, &[&socket_type(name)], "UnknownSocketType"));
    }
    let huge = socket_type(&vec![b'A'; 1 << 20]);
    rows.push(refused_ready(37, "a socket type of a mebibyte", &[&huge], "HandshakeTooLarge"));
    let two = [&socket_type(b"PUSH")[..], &socket_type(b"PUB")];
    rows.push(refused_ready(38, "two socket types, legal and then not", &two, "DuplicateProperty"));
    let same = [&socket_type(b"PUSH")[..], &socket_type(b"PUSH")];
    rows.push(
        refused_ready(38, "the same socket type twice", &same, "DuplicateProperty").libzmq("accepts it"),
    );
    for (theirs, ours) in
        [("PUB", "PULL"), ("PULL", "PULL"), ("DEALER", "PULL"), ("PUB", "XPUB"), ("ROUTER", "REP")]
    {
        let name = format!("an illegal {theirs}");
        rows.push(refused(39, &name, &ready(theirs), "IncompatibleSocketType").to(ours));
    }
    rows
}

/// To a ROUTER, who is the only one to mind.
fn identities() -> Vec<Row> {
    let dealer = &socket_type(b"DEALER")[..];
    let id = |value: &[u8]| property("Identity", value);
    let rows = [
        accepted_ready(40, "IDENTITY in upper case", &[dealer, &property("IDENTITY", b"40 A")])
            .libzmq("does not see it, and makes up an identity"),
        accepted_ready(40, "identity in strange case", &[dealer, &property("iDeNtItY", b"40 B")])
            .libzmq("does not see it, and makes up an identity"),
        accepted_ready(41, "an identity of 255 octets", &[dealer, &id(&[b'i'; 255])]),
        accepted_ready(41, "an empty identity", &[dealer, &id(b"")]),
        refused_ready(41, "an identity of 256 octets", &[dealer, &id(&[b'i'; 256])], "BadIdentity")
            .libzmq("accepts it"),
        refused_ready(
            42,
            "an identity like those that are made up",
            &[dealer, &id(b"\0\0\0\0\x01")],
            "BadIdentity",
        )
        .libzmq("accepts it, if nobody has it"),
        refused_ready(41, "two identities", &[dealer, &id(b"41 A"), &id(b"41 B")], "DuplicateProperty")
            .libzmq("takes the last one"),
    ];
    let mut rows = rows.map(|row| row.to("ROUTER")).to_vec();
    let push = &socket_type(b"PUSH")[..];
    rows.push(accepted_ready(41, "an identity for who does not care", &[push, &id(&[b'i'; 255])]));
    rows.push(
        refused_ready(41, "a bad identity for who does not care", &[push, &id(b"\0")], "BadIdentity")
            .libzmq("accepts it"),
    );
    rows
}

fn sizes() -> Vec<Row> {
    let gibibyte = [&[6, 0, 0, 0, 0, 0x40, 0, 0, 0][..], &[b'.'; 100]].concat();
    let tiny = [socket_type(b"PUSH"), b"\x01X\0\0\0\0".repeat(100_000)].concat();
    let many = [socket_type(b"PUSH"), b"\x01X\0\0\0\0".repeat(1000)].concat();
    vec![
        refused(43, "READY of a gibibyte", &gibibyte, "HandshakeTooLarge")
            .libzmq("takes memory for it, and waits"),
        refused_ready(44, "100,000 tiny properties", &[&tiny], "HandshakeTooLarge").libzmq("accepts it"),
        accepted_ready(44, "1,000 tiny properties", &[&many]),
    ]
}

fn wrong_commands() -> Vec<Row> {
    let error = |name, data: &[u8], why| {
        Row::new(if why == "PeerError" { 46 } else { 47 }, name, greeted(&command("ERROR", data)), Close(why))
    };
    let twice = [ready("PUSH"), ready("PUSH")].concat();
    let other = [ready("SUB"), ready("PUSH")].concat();
    vec![
        refused(45, "READY twice", &twice, "UnexpectedCommand").libzmq("ignores the second one"),
        refused(45, "READY twice, the first of an illegal type", &other, "IncompatibleSocketType"),
        error("ERROR", b"\x03400", "PeerError"),
        error("ERROR without a reason", b"\x00", "PeerError"),
        error("ERROR without a length", b"", "MalformedCommand"),
        error("ERROR with its reason past the end", b"\xFF", "MalformedCommand"),
        error("ERROR with a short reason", b"\xFFshort", "MalformedCommand"),
        refused(48, "PING first", &command("PING", &[0, 0]), "UnexpectedCommand"),
        refused(48, "SUBSCRIBE first", &command("SUBSCRIBE", b"A"), "UnexpectedCommand"),
        refused(48, "MESSAGE first", &command("MESSAGE", &[0; 33]), "UnexpectedCommand"),
        refused(48, "HELLO of PLAIN first", &command("HELLO", b"\x01u\x01p"), "UnexpectedCommand"),
    ]
}

//! The octets of ZMTP, by hand, so that tests can put them together in ways that the library never would.
#![allow(dead_code, unreachable_pub)] // every test file uses another part of it

pub const MORE: u8 = 1;
pub const LONG: u8 = 2;
pub const COMMAND: u8 = 4;

/// The signature that starts every greeting.
pub const SIGNATURE: [u8; 10] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F];

/// A greeting of 64 octets.
pub fn greeting(major: u8, minor: u8, mechanism: &str) -> Vec<u8> {
    let mut greeting = SIGNATURE.to_vec();
    greeting.extend([major, minor]);
    greeting.extend(mechanism.as_bytes());
    greeting.resize(64, 0);
    greeting
}

/// A frame, in the short form if it fits.
pub fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    match u8::try_from(body.len()) {
        Ok(len) => [&[flags, len], body].concat(),
        Err(_) => long_frame(flags, body),
    }
}

/// A frame in the long form, whatever its size.
pub fn long_frame(flags: u8, body: &[u8]) -> Vec<u8> {
    [&[flags | LONG][..], &(body.len() as u64).to_be_bytes(), body].concat()
}

/// A command frame.
pub fn command(name: &str, data: &[u8]) -> Vec<u8> {
    frame(COMMAND, &[&[name.len() as u8], name.as_bytes(), data].concat())
}

/// One property of the metadata.
pub fn property(name: &str, value: &[u8]) -> Vec<u8> {
    [&[name.len() as u8], name.as_bytes(), &(value.len() as u32).to_be_bytes(), value].concat()
}

/// READY of a socket of this type.
pub fn ready(socket_type: &str) -> Vec<u8> {
    command("READY", &property("Socket-Type", socket_type.as_bytes()))
}

/// SUBSCRIBE to a topic.
pub fn subscribe(topic: &[u8]) -> Vec<u8> {
    command("SUBSCRIBE", topic)
}

/// CANCEL of a topic.
pub fn cancel(topic: &[u8]) -> Vec<u8> {
    command("CANCEL", topic)
}

/// All frames of a message.
pub fn message(parts: &[&[u8]]) -> Vec<u8> {
    let last = parts.len() - 1;
    parts.iter().enumerate().flat_map(|(i, part)| frame(if i < last { MORE } else { 0 }, part)).collect()
}

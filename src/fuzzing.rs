//! The doors for the fuzz targets: each takes any octets at all and panics if they break a promise. Not part of the API.

mod command;
mod endpoint;
mod reader;

use crate::pattern::twin;
use crate::session::harness::program;
use crate::sim;
use crate::zmtp::SocketType;
use reader::{Reader, epoch};

/// Octets of a stranger, for a socket of every type that speaks first, or waits for the peer to introduce itself: whole
/// and octet by octet come to the same.
pub fn greeting(data: &[u8]) {
    for (socket_type, answers) in SocketType::ALL.into_iter().flat_map(|own| [(own, false), (own, true)]) {
        let new = || Reader::stranger(socket_type, answers);
        let whole = new().feed(data, &[data.len()]);
        assert_eq!(new().feed(data, &[1]), whole, "octet by octet, as {socket_type}, answers: {answers}");
    }
}

/// Octets behind a sound handshake: whole, cut anywhere, and octet by octet come to the same.
///
/// The first octet says how many cuts the next ones describe (its lower half), and how many messages are taken at once
/// (its upper half). What is left is the stream.
pub fn decoder(data: &[u8]) {
    let Some((&head, rest)) = data.split_first() else { return };
    let (cuts, stream) = rest.split_at(rest.len().min(usize::from(head & 15)));
    let cuts: Vec<usize> = cuts.iter().map(|&cut| 1 + usize::from(cut) * usize::from(cut)).collect();
    let cuts = if cuts.is_empty() { &[100] } else { &cuts[..] };
    let new = || Reader::in_traffic(SocketType::Pull, SocketType::Push);
    let whole = new().feed(stream, &[stream.len()]);
    assert_eq!(new().feed(stream, &[1]), whole, "octet by octet");
    let sparing = new().with_room(1 + usize::from(head >> 4));
    assert_eq!(sparing.feed(stream, cuts), whole, "cut, with little room");
    assert_eq!(new().copying().feed(stream, cuts), whole, "cut, with large bodies copied");
}

/// The body of a command, taken for one of each kind: what is understood comes back the same from what we say.
pub fn command(data: &[u8]) {
    command::run(data);
}

/// A program of what befalls two connected sessions; see [`program::run`].
pub fn session(data: &[u8]) {
    program::run(data, epoch());
}

/// A program of what befalls many sockets in a network in memory; see [`sim::run`].
pub fn sockets(data: &[u8]) {
    let _digest = sim::run(data);
}

/// A program of subscriptions and messages; see [`twin::run`].
pub fn topics(data: &[u8]) {
    twin::run(data);
}

/// An endpoint of any spelling: what is understood is printed in a form that means the same.
pub fn endpoint(data: &[u8]) {
    endpoint::run(&String::from_utf8_lossy(data));
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn replay(target: &str, door: fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let seeds: Vec<_> = fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(!seeds.is_empty());
        seeds.iter().for_each(|seed| door(&fs::read(seed).unwrap()));
    }

    #[test]
    fn every_seed_is_sound() {
        replay("greeting", greeting);
        replay("decoder", decoder);
        replay("command", command);
        replay("session", session);
        replay("sockets", sockets);
        replay("topics", topics);
        replay("endpoint", endpoint);
    }
}

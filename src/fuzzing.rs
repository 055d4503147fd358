//! The doors for the fuzz targets: each takes any octets at all and panics if they break a promise. Not part of the API.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::clock;
use crate::message::Message;
use crate::session::harness::program;
use crate::zmtp::{Config, Connection, Event, LOOKAHEAD, Limits, SocketType, Violation};

/// Octets of a stranger, for a socket of every type: whole and octet by octet come to the same.
pub fn greeting(data: &[u8]) {
    for socket_type in SOCKET_TYPES {
        let config = config(socket_type);
        let new = || Reader::new(Connection::new(&config, epoch()));
        let whole = new().feed(data, &[data.len()]);
        assert_eq!(new().feed(data, &[1]), whole, "octet by octet, as {socket_type}");
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
    let whole = Reader::in_traffic().feed(stream, &[stream.len()]);
    assert_eq!(Reader::in_traffic().feed(stream, &[1]), whole, "octet by octet");
    let sparing = Reader { room: 1 + usize::from(head >> 4), ..Reader::in_traffic() };
    assert_eq!(sparing.feed(stream, cuts), whole, "cut, with little room");
    let copying = Reader { in_place: false, ..Reader::in_traffic() };
    assert_eq!(copying.feed(stream, cuts), whole, "cut, with large bodies copied");
}

/// A program of what befalls two connected sessions; see [`program::run`].
pub fn session(data: &[u8]) {
    program::run(data, epoch());
}

/// A connection and whoever reads for it.
struct Reader {
    connection: Connection,
    /// How many messages are taken at once.
    room: usize,
    /// Whether large bodies are read in place.
    in_place: bool,
    /// How many octets have come.
    fed: usize,
    /// What has come and was not taken.
    held: Vec<u8>,
    messages: Vec<Message>,
    /// How many of the messages were counted, and how many octets those have.
    counted: (usize, usize),
}

/// Everything that the reader of a stream gets to see.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    result: Result<(), Violation>,
    messages: Vec<Message>,
    event: Option<Event>,
    deadline: Option<Duration>,
    /// What it says and what is left, of a stream that is sound: how much of either there is when a violation is seen
    /// is a matter of the cuts.
    peaceful: Option<(Vec<u8>, Vec<u8>)>,
}

impl Reader {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            room: usize::MAX,
            in_place: true,
            fed: 0,
            held: Vec::new(),
            messages: Vec::new(),
            counted: (0, 0),
        }
    }

    /// A PULL that has met a PUSH.
    fn in_traffic() -> Self {
        let [mut push, mut pull] =
            [SocketType::Push, SocketType::Pull].map(|own| Self::new(Connection::new(&config(own), epoch())));
        while push.connection.has_output() || pull.connection.has_output() {
            pull.read(&push.says()).expect("a PUSH is welcome");
            push.read(&pull.says()).expect("a PULL is welcome");
        }
        assert!(pull.connection.poll_event().is_some());
        Self::new(pull.connection)
    }

    /// Reads a stream in pieces of these lengths, over and over, as far as it is sound.
    fn feed(mut self, mut stream: &[u8], cuts: &[usize]) -> Outcome {
        for cut in cuts.iter().cycle() {
            let (piece, rest) = stream.split_at(stream.len().min(*cut));
            let result = self.read(piece);
            self.check_memory();
            if result.is_err() || rest.is_empty() {
                return self.outcome(result);
            }
            stream = rest;
        }
        unreachable!("a cycle does not end")
    }

    fn read(&mut self, octets: &[u8]) -> Result<(), Violation> {
        self.fed += octets.len();
        let rest = if self.in_place { self.fill_bodies(octets)? } else { octets };
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(rest);
        held.drain(..self.decode(&held)?);
        assert!(held.len() < LOOKAHEAD, "left more than a caller can present again");
        self.held = held;
        Ok(())
    }

    /// Has the connection take what it can of these octets, and tells how many that are.
    fn decode(&mut self, octets: &[u8]) -> Result<usize, Violation> {
        let mut taken = 0;
        loop {
            let before = self.messages.len();
            let step =
                self.connection.handle_input(&octets[taken..], self.room, epoch(), &mut self.messages)?;
            taken += step;
            assert!(taken <= octets.len(), "took more than it was given");
            assert!(self.messages.len() - before <= self.room, "took more than there was room for");
            if step == 0 || taken == octets.len() {
                return Ok(taken);
            }
        }
    }

    /// Appends to the large bodies under way, and returns what follows them.
    fn fill_bodies<'a>(&mut self, mut octets: &'a [u8]) -> Result<&'a [u8], Violation> {
        while let Some(body) = self.connection.body().filter(|_| !octets.is_empty()) {
            assert!(body.missing > 0 && self.held.is_empty());
            let (grown, rest) = octets.split_at(octets.len().min(body.missing));
            body.buffer.extend_from_slice(grown);
            self.connection.body_grew(epoch(), &mut self.messages)?;
            octets = rest;
        }
        Ok(octets)
    }

    /// No message is larger than what has come, and no body is allocated far ahead of it.
    fn check_memory(&mut self) {
        let (messages, before) = self.counted;
        let octets = before + self.messages[messages..].iter().map(Message::byte_len).sum::<usize>();
        self.counted = (self.messages.len(), octets);
        let (body, capacity) =
            self.connection.body().map_or((0, 0), |body| (body.buffer.len(), body.buffer.capacity()));
        assert!(octets + body + self.held.len() <= self.fed, "more octets than have come");
        assert!(capacity <= 2 * self.fed + AHEAD, "{capacity} octets allocated, and {} have come", self.fed);
    }

    fn outcome(mut self, result: Result<(), Violation>) -> Outcome {
        let event = self.connection.poll_event();
        let deadline = self.connection.poll_timeout().map(|deadline| deadline - epoch());
        let said = self.says();
        assert!(said.len() <= TALK, "said {} octets", said.len());
        let peaceful = result.is_ok().then_some((said, self.held));
        Outcome { result, messages: self.messages, event, deadline, peaceful }
    }

    fn says(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        self.connection.poll_output(&mut said);
        said
    }
}

fn config(socket_type: SocketType) -> Config {
    let limits = Limits { message: 200_000, parts: 20, handshake: 8192 };
    let identity = Bytes::from_static(b"fuzz");
    Config { socket_type, identity, handshake_timeout: Some(Duration::from_secs(30)), answers: false, limits }
}

/// The instant at which everything happens.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(clock::now)
}

const SOCKET_TYPES: [SocketType; 11] = [
    SocketType::Pair,
    SocketType::Pub,
    SocketType::Sub,
    SocketType::Req,
    SocketType::Rep,
    SocketType::Dealer,
    SocketType::Router,
    SocketType::Pull,
    SocketType::Push,
    SocketType::XPub,
    SocketType::XSub,
];

/// The most that a connection says and nobody reads: greeting, READY, ERROR, and a few KiB of answers to PINGs.
const TALK: usize = 4 * 1024 + 256;
/// The most that is allocated for a body before any of it has come.
const AHEAD: usize = 64 * 1024;

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
        replay("session", session);
    }
}

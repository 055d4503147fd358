//! [`Reader`]: a connection and whoever reads for it, for the targets that feed octets to the protocol.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::clock;
use crate::message::{Message, Space};
use crate::zmtp::{Config, Connection, Event, LOOKAHEAD, Limits, SocketType, Violation};

/// A connection and whoever reads for it.
pub(super) struct Reader {
    connection: Connection,
    /// Whether the peer has to introduce itself first.
    answers: bool,
    /// The peer, once it is let in.
    event: Option<Event>,
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
pub(super) struct Outcome {
    result: Result<(), Violation>,
    pub(super) messages: Vec<Message>,
    event: Option<Event>,
    deadline: Option<Duration>,
    /// What it says and what is left, of a stream that is sound: how much of either there is when a violation is seen
    /// is a matter of the cuts.
    peaceful: Option<(Vec<u8>, Vec<u8>)>,
}

impl Reader {
    /// A socket of this type, and nobody who has said anything.
    pub(super) fn stranger(own: SocketType, answers: bool) -> Self {
        Self::new(Connection::new(&Config { answers, ..config(own) }, epoch()), answers, None)
    }

    /// A socket of this type that has met one of that.
    pub(super) fn in_traffic(own: SocketType, other: SocketType) -> Self {
        let [mut own, mut other] = [own, other].map(|socket_type| Self::stranger(socket_type, false));
        while own.connection.has_output() || other.connection.has_output() {
            own.read(&other.says()).expect("the other is welcome");
            other.read(&own.says()).expect("it is welcome there");
        }
        assert!(own.event.is_some());
        Self::new(own.connection, false, own.event)
    }

    fn new(connection: Connection, answers: bool, event: Option<Event>) -> Self {
        Self {
            connection,
            answers,
            event,
            room: usize::MAX,
            in_place: true,
            fed: 0,
            held: Vec::new(),
            messages: Vec::new(),
            counted: (0, 0),
        }
    }

    /// Takes so many messages at once.
    pub(super) fn with_room(self, room: usize) -> Self {
        Self { room, ..self }
    }

    /// Does not read large bodies in place.
    pub(super) fn copying(self) -> Self {
        Self { in_place: false, ..self }
    }

    /// Reads a stream in pieces of these lengths, over and over, as far as it is sound.
    pub(super) fn feed(mut self, mut stream: &[u8], cuts: &[usize]) -> Outcome {
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
            // Nobody has room for messages while the handshake goes on.
            let messages = if self.event.is_some() { self.room } else { 0 };
            let room = Space { messages, octets: usize::MAX };
            let step = self.connection.handle_input(&octets[taken..], room, epoch(), &mut self.messages)?;
            while let Some(event) = self.connection.poll_event() {
                if event == Event::TooManyPings {
                    assert!(self.event.is_some(), "PINGs are for peers that are let in");
                    continue;
                }
                assert!(self.event.is_none(), "a peer is let in once");
                self.event = Some(event);
                self.connection.admit();
            }
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
            assert!(!body.spare.is_empty() && self.held.is_empty());
            let (grown, rest) = octets.split_at(octets.len().min(body.spare.len()));
            body.spare[..grown.len()].copy_from_slice(grown);
            self.connection.body_grew(grown.len(), epoch(), &mut self.messages)?;
            octets = rest;
        }
        Ok(octets)
    }

    /// No message is larger than what has come, and no body is allocated far ahead of it.
    fn check_memory(&mut self) {
        let (messages, before) = self.counted;
        let octets = before + self.messages[messages..].iter().map(Message::byte_len).sum::<usize>();
        self.counted = (self.messages.len(), octets);
        let body = self.connection.body().map(|body| (body.filled, body.filled + body.spare.len()));
        let (body, capacity) = body.unwrap_or_default();
        assert!(octets + body + self.held.len() <= self.fed, "more octets than have come");
        assert!(capacity <= 2 * self.fed + AHEAD, "{capacity} octets allocated, and {} have come", self.fed);
    }

    fn outcome(mut self, result: Result<(), Violation>) -> Outcome {
        let deadline = self.connection.poll_timeout().map(|deadline| deadline - epoch());
        let said = self.says();
        assert!(said.len() <= TALK, "said {} octets", said.len());
        let introduced = said.windows(READY.len()).any(|octets| octets == READY);
        assert!(
            self.event.is_some() || !(self.answers && introduced),
            "introduced itself to who is not let in"
        );
        let peaceful = result.is_ok().then_some((said, self.held));
        Outcome { result, messages: self.messages, event: self.event, deadline, peaceful }
    }

    fn says(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        self.connection.poll_output(&mut said);
        said
    }
}

fn config(socket_type: SocketType) -> Config {
    let limits = Limits { frame: 150_000, message: 200_000, parts: 20, handshake: 8192 };
    let identity = Bytes::from_static(b"fuzz");
    let handshake_timeout = Some(Duration::from_secs(30));
    Config { socket_type, identity, handshake_timeout, answers: false, rhythm: None, max_pongs: 64, limits }
}

/// The instant at which everything happens.
pub(super) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(clock::now)
}

/// What an introduction begins with.
const READY: &[u8] = b"\x05READY";
/// The most that a connection says and nobody reads: greeting, READY, ERROR, and a few KiB of answers to PINGs.
const TALK: usize = 4 * 1024 + 256;
/// The most that is allocated for a body before any of it has come.
const AHEAD: usize = 64 * 1024;

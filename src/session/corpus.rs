//! The corpus of what strangers say, in memory: whole and octet by octet, under a clock that stands still unless told
//! otherwise, with an eye on what they make us remember and say.

#[path = "../../tests/corpus/mod.rs"]
mod table;

use std::io::Read;
use std::time::{Duration, Instant};

use self::table::{Deed, Reaction, Row, wire};
use super::harness::{Mock, Party, Pipe};
use super::{End, Scratch};
use crate::message::Message;
use crate::zmtp::{Config, Limits, SocketType, Violation};

/// A session of ours, and a stranger who reads whatever it says.
struct Meeting {
    party: Party,
    from: Pipe,
    to: Pipe,
    scratch: Scratch,
    start: Instant,
    now: Instant,
    /// The octets that the stranger has said.
    said: usize,
    /// What it has heard.
    heard: Vec<u8>,
    messages: Vec<Message>,
    end: Option<End>,
}

impl Meeting {
    fn new(row: &Row) -> Self {
        let now = Instant::now();
        Self {
            party: Party::new(Mock::new(MARK), &config(row), now),
            from: Pipe::default(),
            to: Pipe::default(),
            scratch: Scratch::new(),
            start: now,
            now,
            said: 0,
            heard: Vec::new(),
            messages: Vec::new(),
            end: None,
        }
    }

    /// The stranger does something, in pieces of so many octets.
    fn suffer(&mut self, deed: &Deed, piece: usize) {
        match deed {
            Deed::Say(octets) => {
                // What is very long is boring, and would take long octet by octet.
                let (first, rest) = octets.split_at(octets.len().min(INTERESTING));
                let pieces = first.chunks(piece).chain(rest.chunks(piece.max(1000)));
                pieces.for_each(|octets| self.listen(octets));
            }
            Deed::Trickle(octets) => {
                for octet in octets {
                    self.now += HANDSHAKE_TIMEOUT / 40;
                    self.expire();
                    self.listen(&[*octet]);
                }
            }
            Deed::Await => {}
            Deed::Finish | Deed::Reset => {
                self.from.cut(usize::MAX);
                self.listen(&[]);
            }
        }
    }

    /// Octets of the stranger come and are read, as far as the connection lasts.
    fn listen(&mut self, octets: &[u8]) {
        if self.end.is_some() {
            return;
        }
        self.from.put(octets);
        self.said += octets.len();
        let mut before = usize::MAX;
        while self.end.is_none() && self.from.moved() != before {
            before = self.from.moved();
            let Self { party, from, to, scratch, now, .. } = self;
            let result = party.read(from, to, scratch, *now);
            self.end = result.err();
            self.messages.append(&mut self.party.host.delivered());
            self.party.host.take(usize::MAX);
            self.check_memory();
        }
        self.hear();
    }

    fn expire(&mut self) {
        if self.end.is_none() {
            self.end = self.party.expire(&mut self.to, self.now).err();
        }
    }

    /// The stranger reads. What a connection has still to say when it is over is said as well.
    fn hear(&mut self) {
        let mut before = usize::MAX;
        while self.heard.len() != before {
            before = self.heard.len();
            self.party.unblock(&mut self.to);
            let _would_block = self.to.read_to_end(&mut self.heard);
        }
    }

    /// Memory follows the octets that came, whatever they declare.
    fn check_memory(&self) {
        let Party { session, outgoing, .. } = &self.party;
        let held = session.rest.capacity() + session.connection.memory() + outgoing.control.capacity();
        let most = FIRST_STEP + 2 * self.said + PART * self.said / SMALLEST_PART;
        assert!(held <= most, "{held} octets are held, and {} have come", self.said);
        assert!(
            session.peer().is_some() || held <= HANDSHAKE_MEMORY,
            "{held} octets are held in the handshake"
        );
    }

    /// What it has heard beside the greeting and READY.
    fn answer(&self) -> &[u8] {
        match self.heard.get(GREETING..) {
            Some([_, len, rest @ ..]) => &rest[usize::from(*len)..],
            _ => &[],
        }
    }

    fn check(&mut self, row: &Row) -> Result<(), String> {
        match row.reaction {
            Reaction::Close(why) => self.expect_violation(why)?,
            Reaction::Gone => match &self.end {
                Some(End::Closed) => {}
                end => return Err(format!("it is gone, and the connection is {end:?}")),
            },
            Reaction::Timeout => self.expect_deadline(self.start + HANDSHAKE_TIMEOUT, "HandshakeTimeout")?,
            Reaction::Lapse(silence) => self.expect_deadline(self.now + silence, "Silent")?,
            Reaction::Wait | Reaction::Accept | Reaction::Ignore => {
                if let Some(end) = &self.end {
                    return Err(format!("the connection is over: {end:?}"));
                }
            }
        }
        if !matches!(row.reaction, Reaction::Close(_)) && self.answer() != row.answer {
            return Err(format!("the answer is {:?}", self.answer()));
        }
        if matches!(row.reaction, Reaction::Accept | Reaction::Ignore) {
            self.expect_life()?;
        }
        // What other types make of a message is decided elsewhere.
        let delivered: Vec<Message> = row.delivered.iter().cloned().map(Message::from).collect();
        if row.socket == "PULL" && self.messages != delivered {
            return Err(format!("delivered is {:?}", self.messages));
        }
        Ok(())
    }

    fn expect_violation(&self, why: &str) -> Result<(), String> {
        let is_it = |violation: &Violation| {
            format!("{violation:?}")
                .strip_prefix(why)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        match &self.end {
            Some(End::Violation(violation)) if is_it(violation) => Ok(()),
            end => Err(format!("{end:?} instead of {why}")),
        }
    }

    /// Unless it has passed already, the deadline is this, and it counts.
    fn expect_deadline(&mut self, deadline: Instant, why: &str) -> Result<(), String> {
        if self.end.is_none() {
            if self.party.session.poll_timeout() != Some(deadline) {
                return Err("the deadline is another one".into());
            }
            self.now = deadline - Duration::from_nanos(1);
            self.expire();
            if self.end.is_some() {
                return Err("it is over before its time".into());
            }
            self.now = deadline;
            self.expire();
        }
        if self.now < deadline {
            return Err(format!("{:?} before its time", self.end));
        }
        self.expect_violation(why)
    }

    /// A PING is answered.
    fn expect_life(&mut self) -> Result<(), String> {
        self.heard.clear();
        self.listen(&wire::command("PING", b"\0\0alive?"));
        if self.heard != wire::command("PONG", b"alive?") {
            return Err(format!("a PING gets {:?}, and {:?}", self.heard, self.end));
        }
        Ok(())
    }
}

fn config(row: &Row) -> Config {
    let message = row.max_message_size.unwrap_or(64 << 20);
    Config {
        socket_type: SocketType::from_wire(row.socket.as_bytes())
            .expect("the table names types that there are"),
        identity: bytes::Bytes::new(),
        handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        answers: false,
        rhythm: None,
        max_pongs: 64,
        limits: Limits { frame: message, message, parts: 1 << 16, handshake: 8 << 10 },
    }
}

/// Plays a row in pieces of so many octets.
fn play(row: &Row, piece: usize) -> Result<(), String> {
    let mut meeting = Meeting::new(row);
    meeting.listen(&[]);
    if meeting.heard != wire::SIGNATURE {
        return Err(format!("the first words are {:?}", meeting.heard));
    }
    row.deeds.iter().for_each(|deed| meeting.suffer(deed, piece));
    meeting.check(row)
}

#[test]
fn every_case_comes_to_what_the_table_says() {
    let rows = table::rows();
    let mut faults = Vec::new();
    for row in &rows {
        for (manner, piece) in [("whole", usize::MAX), ("octet by octet", 1)] {
            if let Err(fault) = play(row, piece) {
                faults.push(format!("{} ({manner}): {fault:.300}", row.title()));
            }
        }
    }
    let played = 2 * rows.len();
    println!("{}/{played} played as expected", played - faults.len());
    assert!(faults.is_empty(), "{} of {played}:\n{}", faults.len(), faults.join("\n"));
}

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// More messages than any row delivers.
const MARK: usize = 100;
const GREETING: usize = 64;
/// Octets that are more than any handshake.
const INTERESTING: usize = 10_000;
/// What the documentation promises until a peer is let in.
const HANDSHAKE_MEMORY: usize = 20 << 10;
/// What a large body begins with, and some words to be said.
const FIRST_STEP: usize = 65 * 1024;
/// What a part takes beside its octets: its place in a list that doubles.
const PART: usize = 2 * size_of::<bytes::Bytes>();
/// The octets of an empty part.
const SMALLEST_PART: usize = 2;

//! One connection without its stream: octets on one side, a socket on the other.
//!
//! A connection has two halves that different threads work on at the same time:
//!
//! - [`Session`] reads. It belongs to whoever has the duty of running the reactor, and owns the protocol.
//! - [`Outgoing`] writes. It has a lock of its own, so that any thread may write what it has sent.

use std::io::{self, IoSlice, Read};
use std::sync::Arc;
use std::time::Instant;

use crate::limit::Limit;
use crate::message::{Message, Space};
pub(crate) use crate::monitor::End;
use crate::peer::{Carrier, Host, Word};
use crate::pipe::{Flight, SLICES, Wakes};
use crate::shield::shielded;
use crate::slots::Id;
use crate::zmtp::frame::put_header;
use crate::zmtp::{Config, Connection, Event, LOOKAHEAD, PeerInfo, Spoken, put_subscription};

/// The reading half of a connection.
pub(crate) struct Session {
    connection: Connection,
    host: Arc<dyn Host>,
    /// The peer that `connect` made for this connection, if it was dialled.
    dialled: Option<Id>,
    /// The peer this is, once the handshake is complete.
    peer: Option<Id>,
    /// The dialect it speaks.
    minor: u8,
    /// Octets received and not yet decoded: a frame that is not complete, or what a full inbox has no room for.
    rest: Vec<u8>,
    /// Octets of traffic decoded since messages were last handed on.
    octets: usize,
    /// How much more the socket takes.
    room: Space,
    /// Whether the last octets completed a large body, so that another large one is likely to follow.
    after_large: bool,
    /// A limit that the peer has reached, until somebody has asked.
    reached: Option<Limit>,
}

impl Session {
    pub(crate) fn new(config: &Config, host: Arc<dyn Host>, dialled: Option<Id>, now: Instant) -> Self {
        Self {
            connection: Connection::new(config, now),
            host,
            dialled,
            peer: None,
            minor: 0,
            rest: Vec::new(),
            octets: 0,
            room: Space::ENDLESS,
            after_large: false,
            reached: None,
        }
    }

    /// Reads once from the stream and hands on what came. Tells whether that may have been all.
    ///
    /// Wake-ups gather in the scratch space, whatever the result.
    pub(crate) fn read(
        &mut self,
        stream: &mut dyn Read,
        scratch: &mut Scratch,
        carrier: &Arc<dyn Carrier>,
        now: Instant,
    ) -> Result<Progress, End> {
        if self.connection.body().is_some() {
            return self.read_body(stream, &mut scratch.sink, now);
        }
        let held = self.rest.len();
        let end = if self.after_large { held + HEADER_READ } else { READ };
        self.after_large = false;
        scratch.buffer[..held].copy_from_slice(&self.rest);
        self.rest.clear();
        let result = stream.read(&mut scratch.buffer[held..end]);
        let filled = held + *result.as_ref().unwrap_or(&0);
        self.take_in(&scratch.buffer[..filled], &mut scratch.sink, carrier, now)?;
        match result {
            Ok(0) => Err(End::Closed),
            Ok(_) if filled < end => Ok(Progress::Short),
            Ok(_) => Ok(Progress::Full),
            Err(error) => would_block(error),
        }
    }

    /// Decodes what was held back while the inbox was full.
    pub(crate) fn resume(
        &mut self,
        scratch: &mut Scratch,
        carrier: &Arc<dyn Carrier>,
        now: Instant,
    ) -> Result<(), End> {
        if let Some(peer) = self.peer {
            self.room = self.host.room(peer);
        }
        self.connection.resumed(now);
        let rest = std::mem::take(&mut self.rest);
        self.take_in(&rest, &mut scratch.sink, carrier, now)
    }

    /// Whether the inbox is full and nothing may be read.
    pub(crate) fn is_paused(&self) -> bool {
        self.room.is_none()
    }

    /// The peer, once the handshake is complete.
    pub(crate) fn peer(&self) -> Option<Id> {
        self.peer
    }

    /// The dialect of the peer.
    pub(crate) fn minor(&self) -> u8 {
        self.minor
    }

    /// What the protocol has to say by itself, if anything; see [`Connection::poll_output`].
    pub(crate) fn poll_output(&mut self, out: &mut Vec<u8>) {
        self.connection.poll_output(out);
    }

    pub(crate) fn has_output(&self) -> bool {
        self.connection.has_output()
    }

    /// When [`Session::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// Fails if the peer is given up. There may be output afterwards. `spoken` is what [`Outgoing::spoken`] says.
    pub(crate) fn handle_timeout(&mut self, now: Instant, spoken: Spoken) -> Result<(), End> {
        Ok(self.connection.handle_timeout(now, spoken, self.is_paused())?)
    }

    /// A limit that the peer has reached since the last call, and that does not end its connection.
    pub(crate) fn poll_limit(&mut self) -> Option<Limit> {
        self.reached.take()
    }

    /// Reads straight into a large body.
    fn read_body(&mut self, stream: &mut dyn Read, sink: &mut Sink, now: Instant) -> Result<Progress, End> {
        let Some(body) = self.connection.body() else { return Ok(Progress::Full) };
        let result = stream.read(body.spare);
        let grown = *result.as_ref().unwrap_or(&0);
        self.octets += grown;
        if grown > 0 {
            self.connection.body_grew(grown, now, &mut sink.messages)?;
        }
        self.after_large = true;
        self.deliver(sink);
        match result {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(Progress::Full),
            Err(error) => would_block(error),
        }
    }

    /// Decodes octets that follow those decoded before. What cannot be decoded yet is kept.
    fn take_in(
        &mut self,
        octets: &[u8],
        sink: &mut Sink,
        carrier: &Arc<dyn Carrier>,
        now: Instant,
    ) -> Result<(), End> {
        let mut taken = 0;
        loop {
            // Nobody has room for messages yet while the handshake goes on.
            let in_traffic = self.peer.is_some();
            let room = if in_traffic { self.room } else { Space::NONE };
            let result = self.connection.handle_input(&octets[taken..], room, now, &mut sink.messages);
            while let Some(event) = self.connection.poll_event() {
                match event {
                    Event::Ready(info) => self.attach(&info, carrier, &mut sink.wakes)?,
                    Event::TooManyPings => self.reached = Some(Limit::Pongs),
                }
            }
            if in_traffic {
                self.octets += *result.as_ref().unwrap_or(&0);
            }
            // Before a violation counts: what came whole before it was sent in good order.
            self.deliver(sink);
            let consumed = result?;
            taken += consumed;
            if consumed == 0 || taken == octets.len() || self.is_paused() {
                break;
            }
        }
        match &octets[taken..] {
            // As a rule nothing is held back, and then no memory is, either.
            [] => self.rest = Vec::new(),
            rest => self.rest.extend_from_slice(rest),
        }
        Ok(())
    }

    fn attach(&mut self, info: &PeerInfo, carrier: &Arc<dyn Carrier>, wakes: &mut Wakes) -> Result<(), End> {
        let (peer, woken) = self.host.attach(self.dialled, info, carrier.clone())?;
        wakes.append(woken);
        self.connection.admit();
        self.peer = Some(peer);
        self.minor = info.minor;
        self.room = self.host.room(peer);
        Ok(())
    }

    fn deliver(&mut self, sink: &mut Sink) {
        if let Some(peer) = self.peer.filter(|_| !sink.messages.is_empty()) {
            let octets = std::mem::take(&mut self.octets);
            let (room, woken) = self.host.deliver(peer, &mut sink.messages, octets);
            sink.wakes.append(woken);
            self.room = room;
        }
    }
}

/// Space that all connections of a reactor use in turn.
pub(crate) struct Scratch {
    /// What a read fills. Its first octets are those that the connection held back.
    buffer: Vec<u8>,
    sink: Sink,
}

/// Where decoded messages and wake-ups gather.
#[derive(Default)]
struct Sink {
    messages: Vec<Message>,
    wakes: Wakes,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; READ], sink: Sink::default() }
    }

    /// Reads once and forgets what came.
    pub(crate) fn discard(&mut self, stream: &mut dyn Read) -> Result<Progress, End> {
        match stream.read(&mut self.buffer) {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(Progress::Full),
            Err(error) => would_block(error),
        }
    }

    /// The wake-ups that reading has brought about.
    pub(crate) fn take_wakes(&mut self) -> Wakes {
        std::mem::take(&mut self.sink.wakes)
    }
}

/// How much of what the stream had one read has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// As much as was asked for; there may be more.
    Full,
    /// Less than was asked for; as a rule that is all.
    Short,
    /// Nothing, or not all: the stream would block.
    Blocked,
}

fn would_block(error: io::Error) -> Result<Progress, End> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(Progress::Blocked),
        io::ErrorKind::Interrupted => Ok(Progress::Full),
        _ => Err(error.into()),
    }
}

/// The writing half of a connection.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// The peer whose outbox is drained, while there is one.
    peer: Option<Id>,
    /// The dialect it speaks.
    minor: u8,
    flight: Flight,
    /// What is said beside the messages: by the protocol itself, and by the socket. It goes between two batches, so
    /// never into the middle of a message.
    control: Vec<u8>,
    /// How much of `control` is written.
    control_written: usize,
    /// Changes with everything that is written for the socket, messages and words, but not for the protocol.
    said: u32,
    /// The stream takes no more for now.
    blocked: bool,
    /// Nothing more will be written.
    lost: bool,
}

impl Outgoing {
    /// The handshake is complete: from now on the peer's outbox is drained.
    pub(crate) fn attach(&mut self, peer: Id, minor: u8) {
        self.peer = Some(peer);
        self.minor = minor;
    }

    /// Takes what the protocol has to say, once all that it said before is written. True if there was something.
    pub(crate) fn offer(&mut self, session: &mut Session) -> bool {
        if self.lost {
            session.poll_output(&mut Vec::new());
        } else if self.control.is_empty() {
            session.poll_output(&mut self.control);
        } else {
            return false;
        }
        !self.control.is_empty()
    }

    /// What has been written, for those who judge whether the peer is there.
    pub(crate) fn spoken(&self) -> Spoken {
        Spoken { said: self.said, stuck: !self.control.is_empty() }
    }

    /// Whether the stream took no more when it was last written to.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The stream takes octets again.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Writes until the stream takes no more or nothing is left. Others may send meanwhile, and no thread should have to
    /// write for them for ever: true if it has done its share, and another is to go on.
    pub(crate) fn pump(
        &mut self,
        host: &dyn Host,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        wakes: &mut Wakes,
    ) -> io::Result<bool> {
        let mut share = SHARE;
        while !self.blocked && !self.lost {
            if self.flight.is_done() && self.control.is_empty() {
                self.exchange(host, wakes);
                if self.flight.is_done() && self.control.is_empty() {
                    break;
                }
                if share == 0 {
                    return Ok(true);
                }
            }
            match self.write(write) {
                Ok(octets) => share = share.saturating_sub(octets),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.block(host, wakes),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Nothing more will be written: gives what is left back to the socket.
    pub(crate) fn lose(&mut self, host: &dyn Host) -> Wakes {
        self.lost = true;
        match self.peer.take() {
            Some(peer) => {
                let mut flight = std::mem::take(&mut self.flight);
                let wakes = host.lose(peer, &mut flight);
                shielded(|| drop(flight));
                wakes
            }
            None => Wakes::default(),
        }
    }

    /// Gives unused memory back.
    pub(crate) fn trim(&mut self) {
        self.flight.trim();
    }

    fn write(&mut self, write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<usize> {
        if !self.control.is_empty() && !self.flight.is_under_way() {
            let octets = write(&[IoSlice::new(&self.control[self.control_written..])])?;
            self.control_written += octets;
            if self.control_written == self.control.len() {
                self.control = Vec::new();
                self.control_written = 0;
            }
            return Ok(octets);
        }
        let octets = if self.flight.gathers() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let used = self.flight.gather(&mut slices);
            write(&slices[..used])?
        } else {
            let mut slice = [IoSlice::new(&[])];
            self.flight.gather(&mut slice);
            write(&slice)?
        };
        self.said = self.said.wrapping_add(1);
        self.flight.wrote(octets);
        Ok(octets)
    }

    /// The stream is full. That is a good moment to count how far the batch has come.
    fn block(&mut self, host: &dyn Host, wakes: &mut Wakes) {
        self.blocked = true;
        if !self.flight.is_done() {
            self.exchange(host, wakes);
        }
    }

    /// Tells the socket how far the batch has come, and takes what it has next.
    fn exchange(&mut self, host: &dyn Host, wakes: &mut Wakes) {
        let Some(peer) = self.peer else { return };
        let mut words = Vec::new();
        wakes.append(host.exchange(peer, &mut self.flight, &mut words));
        self.said = self.said.wrapping_add(u32::from(!words.is_empty()));
        for word in words {
            match word {
                Word::Subscribe(topic) => put_subscription(&mut self.control, self.minor, true, &topic),
                Word::Cancel(topic) => put_subscription(&mut self.control, self.minor, false, &topic),
                Word::Greet(message) => put_message(&mut self.control, &message),
            }
        }
    }
}

/// Appends the frames of a message.
fn put_message(out: &mut Vec<u8>, message: &Message) {
    let parts = message.len();
    for (index, part) in message.parts().enumerate() {
        put_header(out, index + 1 < parts, part.len());
        out.extend_from_slice(part);
    }
}

/// Octets that one thread writes in one go before it lets another go on.
const SHARE: usize = 1024 * 1024;

/// Octets that one read may bring. More would only displace what the caches hold.
const READ: usize = 64 * 1024;
const _: () = assert!(READ > LOOKAHEAD, "what is held back must leave room for what follows");

/// Octets to read behind a large body: the next header, and little of the next body, which is better read into place.
const HEADER_READ: usize = 4 * 1024;

#[cfg(test)]
mod corpus;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod harness;
#[cfg(test)]
mod tests;

//! [`Connection`]: one peer's end of the protocol.

use std::mem;
use std::time::Instant;

use super::command::{self, Command, Mark, Ping};
use super::decoder::{Body, Decoded, Decoder};
use super::handshake::{Config, Handshake, PeerInfo};
use super::heartbeat::{Pulse, Spoken};
use super::timers::{Timer, Timers};
use super::{SocketType, Violation};
use crate::message::{Message, Space};

/// The protocol between us and one peer, from the first octet on, without any I/O.
///
/// The caller drives it, over and over, in any order:
///
/// - [`handle_input`](Self::handle_input) with what was read, or [`body`](Self::body) and
///   [`body_grew`](Self::body_grew) while a large body is under way;
/// - [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) has come;
/// - [`poll_event`](Self::poll_event) for what happened, [`poll_output`](Self::poll_output) for what is to be written.
///
/// After a [`Violation`] only the output is still of use: it may tell the peer what was wrong.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Phase,
    timers: Timers,
    /// Whether the peer is still there, if that is asked, from the end of the handshake on.
    pulse: Option<Pulse>,
    /// The peer, until somebody has asked what happened.
    ready: Option<Box<PeerInfo>>,
    /// What we say once the peer is admitted.
    answer: Vec<u8>,
    /// Whether SUBSCRIBE and CANCEL concern us: our socket publishes.
    publishes: bool,
    /// What the protocol has to say: the handshake, then PINGs and answers to PINGs. Once it is written it holds no
    /// memory.
    output: Vec<u8>,
    pongs: Pongs,
}

/// The answers to PINGs among what is yet to be said.
#[derive(Debug)]
struct Pongs {
    waiting: u32,
    max: u32,
    /// There were more PINGs than that.
    exceeded: bool,
    /// Somebody is yet to be told of it.
    news: bool,
}

/// What happened to a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The handshake is over: messages may be sent, and may come.
    Ready(PeerInfo),
    /// The peer sends PINGs and does not read the answers: it gets none for now.
    TooManyPings,
}

/// ```text
/// Handshake ──▶ Traffic
/// ```
#[derive(Debug)]
enum Phase {
    /// Boxed because a connection spends its life without it.
    Handshake(Box<Handshake>),
    Traffic(Decoder),
}

impl Connection {
    /// A connection that has just been made, at either end. Its handshake must be over in time from `now` on.
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let mut output = Vec::new();
        let mut timers = Timers::default();
        if let Some(timeout) = config.handshake_timeout {
            timers.set(Timer::Handshake, now, timeout);
        }
        let handshake = Handshake::new(config.clone(), &mut output);
        let publishes = matches!(config.socket_type, SocketType::Pub | SocketType::XPub);
        Self {
            phase: Phase::Handshake(Box::new(handshake)),
            timers,
            pulse: None,
            ready: None,
            answer: Vec::new(),
            publishes,
            output,
            pongs: Pongs {
                waiting: 0,
                max: u32::try_from(config.max_pongs).unwrap_or(u32::MAX),
                exceeded: false,
                news: false,
            },
        }
    }

    /// Takes octets, in order, and appends whole messages, as far as there is room for them. Returns how many octets were taken;
    /// the rest, fewer than [`LOOKAHEAD`](super::LOOKAHEAD) unless the room ran out, is to be presented again, in front
    /// of what follows.
    ///
    /// Messages that were whole before a violation are appended all the same.
    pub(crate) fn handle_input(
        &mut self,
        input: &[u8],
        room: Space,
        now: Instant,
        messages: &mut Vec<Message>,
    ) -> Result<usize, Violation> {
        if !input.is_empty() {
            self.heard(now);
        }
        let taken = self.handshake(input, now)?;
        let rest = self.traffic(&input[taken..], room, now, messages)?;
        Ok(input.len() - rest.len())
    }

    /// The large body under way, if there is one, so that the caller can read straight into it.
    pub(crate) fn body(&mut self) -> Option<Body<'_>> {
        match &mut self.phase {
            Phase::Handshake(_) => None,
            Phase::Traffic(decoder) => decoder.body(),
        }
    }

    /// To be called when so many octets of the [`body`](Self::body) have come. May append one message, for which there was
    /// room when the body began. Returns what every way in does, although a body, once its size was let through, breaks no
    /// rule.
    pub(crate) fn body_grew(
        &mut self,
        octets: usize,
        now: Instant,
        messages: &mut Vec<Message>,
    ) -> Result<(), Violation> {
        self.heard(now);
        if let Phase::Traffic(decoder) = &mut self.phase {
            decoder.body_grew(octets, messages);
        }
        Ok(())
    }

    /// What happened since the last call.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        if let Some(peer) = self.ready.take() {
            return Some(Event::Ready(*peer));
        }
        mem::take(&mut self.pongs.news).then_some(Event::TooManyPings)
    }

    /// The peer that was [`Event::Ready`] is wanted. One that has to introduce itself first is answered only now, so that
    /// what it has queued is not sent into a connection that is turned down.
    pub(crate) fn admit(&mut self) {
        self.output.append(&mut mem::take(&mut self.answer));
    }

    /// Appends what the protocol itself has to say, and forgets it. To be called when everything given before is
    /// written, so that answers the peer does not read pile up nowhere.
    pub(crate) fn poll_output(&mut self, out: &mut Vec<u8>) {
        (self.pongs.waiting, self.pongs.exceeded) = (0, false);
        out.append(&mut mem::take(&mut self.output));
    }

    /// Whether the protocol itself has something to say.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless something else happens before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let pulse = self.pulse.as_ref().map(Pulse::due);
        self.timers.next().into_iter().chain(pulse).min()
    }

    /// Fails if the peer has let a deadline pass. There may be output afterwards: a PING. `spoken` tells what was written,
    /// and `paused` that nothing is read for now.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        spoken: Spoken,
        paused: bool,
    ) -> Result<(), Violation> {
        if paused {
            // Whatever the peer has promised: what it says meanwhile nobody reads.
            self.timers.cancel(Timer::Silence);
        }
        self.timers.check(now)?;
        let Some(pulse) = &mut self.pulse else { return Ok(()) };
        let stuck = spoken.stuck || !self.output.is_empty();
        if let Some(mark) = pulse.look(now, Spoken { stuck, ..spoken }, paused)? {
            command::put_ping(&mut self.output, pulse.ttl(), mark);
        }
        Ok(())
    }

    /// The peer is read from again, after a while in which it was not.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.timers.cancel(Timer::Silence);
        if let Some(pulse) = &mut self.pulse {
            pulse.resumed(now);
        }
    }

    /// Whether the handshake is over.
    #[cfg(test)]
    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Traffic(_))
    }

    /// The octets of memory it holds beside its own size.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let phase = match &self.phase {
            Phase::Handshake(handshake) => size_of_val(&**handshake),
            Phase::Traffic(decoder) => decoder.memory(),
        };
        phase + self.answer.capacity() + self.output.capacity()
    }

    /// Something came from the peer.
    #[inline]
    fn heard(&mut self, now: Instant) {
        self.timers.cancel(Timer::Silence);
        if let Some(pulse) = &mut self.pulse {
            pulse.heard(now);
        }
    }

    /// Gives the handshake, if it is not over, what it can take.
    fn handshake(&mut self, input: &[u8], now: Instant) -> Result<usize, Violation> {
        let Phase::Handshake(handshake) = &mut self.phase else { return Ok(0) };
        let (taken, peer) = handshake.handle_input(input, &mut self.output)?;
        if let Some(peer) = peer {
            handshake.put_answer(&mut self.answer);
            self.pulse = handshake.rhythm(peer.minor).map(|rhythm| Pulse::new(rhythm, now));
            self.phase = Phase::Traffic(Decoder::new(handshake.limits()));
            self.timers.cancel(Timer::Handshake);
            self.ready = Some(Box::new(peer));
        }
        Ok(taken)
    }

    /// Decodes what comes after the handshake and returns what is left.
    fn traffic<'a>(
        &mut self,
        mut input: &'a [u8],
        mut room: Space,
        now: Instant,
        messages: &mut Vec<Message>,
    ) -> Result<&'a [u8], Violation> {
        loop {
            let Phase::Traffic(decoder) = &mut self.phase else { return Ok(input) };
            let Decoded { command, rest } = decoder.decode(input, &mut room, messages)?;
            let Some(body) = command else { return Ok(rest) };
            self.command(body, now, messages)?;
            if !rest.is_empty() {
                self.timers.cancel(Timer::Silence); // what stands behind a PING came after it
            }
            input = rest;
        }
    }

    /// Takes a command in traffic. Whatever we do not know is ignored, as libzmq does, so that the protocol can grow;
    /// that includes what had its place in the handshake. Only what is malformed is refused, and a second READY: two
    /// readers of the same octets must not disagree about who the peer is. libzmq ignores that, too.
    ///
    /// A subscription becomes the message that says the same in ZMTP 3.0, so that there is one form of it above.
    fn command(&mut self, body: &[u8], now: Instant, messages: &mut Vec<Message>) -> Result<(), Violation> {
        let Command { name, data } = Command::parse(body)?;
        match name {
            command::PING => self.ping(data, now)?,
            command::PONG => self.pong(data),
            command::SUBSCRIBE if self.publishes => messages.push(Message::subscription(true, data)),
            command::CANCEL if self.publishes => messages.push(Message::subscription(false, data)),
            command::READY => return Err(Violation::UnexpectedCommand),
            _ => {}
        }
        Ok(())
    }

    fn ping(&mut self, data: &[u8], now: Instant) -> Result<(), Violation> {
        let Ping { ttl, context } = Ping::parse(data)?;
        // Who sends PINGs and does not read the answers gets no more of them, so that they fill no memory.
        let pongs = &mut self.pongs;
        if pongs.waiting < pongs.max {
            pongs.waiting += 1;
            command::put_pong(&mut self.output, context);
        } else {
            pongs.news |= !mem::replace(&mut pongs.exceeded, true);
        }
        if !ttl.is_zero() {
            self.timers.set(Timer::Silence, now, ttl);
        }
        if let (Some(pulse), Some(mark)) = (&mut self.pulse, context.mark()) {
            pulse.promised(mark);
        }
        Ok(())
    }

    fn pong(&mut self, context: &[u8]) {
        if let (Some(pulse), Some(mark)) = (&mut self.pulse, Mark::parse(context)) {
            pulse.answered(mark);
        }
    }
}

#[cfg(test)]
mod tests;

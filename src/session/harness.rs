//! Connections in memory, for the tests and the fuzz targets: sockets that keep books, a scripted stream, and a clock
//! that stands still unless told otherwise.
//!
//! - [`Mock`]: a socket with one peer. - [`Pipe`]: one direction of a stream. - [`Party`]: what the engine keeps of a
//!   connection. - [`Pair`]: two of them, joined. - [`program`]: what befalls a pair, decoded from octets.

mod mock;
mod party;
mod pipe;
pub(crate) mod program;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub(crate) use mock::Mock;
pub(crate) use party::Party;
pub(crate) use pipe::{Piece, Pipe};

use super::{End, Scratch};
use crate::message::Message;
use crate::zmtp::{Config, Limits, SocketType};

/// Two parties and what lies between them. The party of a *side*, 0 or 1, writes to the pipe of that number.
pub(crate) struct Pair {
    pub(crate) parties: [Party; 2],
    pub(crate) pipes: [Pipe; 2],
    pub(crate) scratch: Scratch,
    pub(crate) now: Instant,
    /// What both have for a configuration when they meet again.
    config: Config,
    /// How many messages of each side had been written when the present connection began.
    base: [usize; 2],
    /// How many messages of each side have come on the present connection.
    come: [usize; 2],
    /// What comes from this side need not be what was sent.
    spoiled: [bool; 2],
    /// Whether the first side has accepted the connection, and waits for the other to introduce itself.
    answers: bool,
}

impl Pair {
    /// Two sockets with room for `mark` messages each way, about to shake hands.
    #[cfg(test)]
    pub(crate) fn new(mark: usize, now: Instant) -> Self {
        Self::with(config(SocketType::Pair), false, mark, now)
    }

    /// As [`Pair::new`], both with this configuration; the first side perhaps as a socket behaves that has been dialled, and
    /// may have to turn the other away.
    pub(crate) fn with(config: Config, answers: bool, mark: usize, now: Instant) -> Self {
        let [a, b] = shake_hands([(); 2].map(|()| Mock::new(mark)), &config, answers, now);
        Self { config, answers, ..Self::of(a, b, now) }
    }

    pub(crate) fn of(a: Party, b: Party, now: Instant) -> Self {
        Self {
            parties: [a, b],
            pipes: Default::default(),
            scratch: Scratch::new(),
            now,
            config: config(SocketType::Pair),
            base: [0; 2],
            come: [0; 2],
            spoiled: [false; 2],
            answers: false,
        }
    }

    pub(crate) fn host(&self, side: usize) -> &Mock {
        &self.parties[side].host
    }

    pub(crate) fn is_over(&self, side: usize) -> bool {
        self.parties[side].end.is_some()
    }

    /// The stream is found writable.
    pub(crate) fn write(&mut self, side: usize) {
        self.parties[side].unblock(&mut self.pipes[side]);
    }

    /// The sender writes what it has sent.
    pub(crate) fn pump(&mut self, side: usize) {
        self.parties[side].pump(&mut self.pipes[side]);
    }

    /// The stream is found readable.
    pub(crate) fn read(&mut self, side: usize) {
        if self.is_over(side) {
            return;
        }
        let [first, second] = &mut self.pipes;
        let (from, to) = if side == 0 { (second, first) } else { (first, second) };
        let result = self.parties[side].read(from, to, &mut self.scratch, self.now);
        self.check_delivery(1 - side);
        if let Err(end) = result {
            self.end(side, end);
        }
    }

    /// The application takes messages out of its inbox.
    pub(crate) fn take(&mut self, side: usize, count: usize) -> Vec<Message> {
        let (messages, resumes) = self.host(side).take(count);
        self.parties[side].resumed |= resumes;
        messages
    }

    /// Time goes by.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        for side in [0, 1] {
            if let Err(end) = self.parties[side].expire(&mut self.pipes[side], self.now) {
                self.end(side, end);
            }
        }
    }

    /// Goes on until nothing moves any more, except that nobody takes messages out of an inbox.
    pub(crate) fn settle(&mut self) {
        let patience = 1 + self.pipes.iter().map(Pipe::patience).max().unwrap_or(0);
        let mut quiet = 0;
        while quiet < patience {
            let before = self.moved();
            for side in [0, 1] {
                self.write(side);
                self.read(side);
            }
            quiet = if self.moved() == before { quiet + 1 } else { 0 };
        }
    }

    /// As [`Pair::settle`], while both applications take whatever comes.
    pub(crate) fn drain(&mut self) -> [Vec<Message>; 2] {
        let mut taken = [Vec::new(), Vec::new()];
        loop {
            self.settle();
            let fresh = [0, 1].map(|side| self.take(side, usize::MAX));
            if fresh.iter().all(Vec::is_empty) {
                return taken;
            }
            for (taken, mut fresh) in taken.iter_mut().zip(fresh) {
                taken.append(&mut fresh);
            }
        }
    }

    /// The link breaks, and `kept` octets of what is on its way in each direction still arrive.
    pub(crate) fn cut(&mut self, kept: usize) {
        self.pipes.iter_mut().for_each(|pipe| pipe.cut(kept));
    }

    /// Corrupts an octet on its way from this side, if there is one.
    pub(crate) fn spoil(&mut self, side: usize, at: usize, mask: u8) {
        self.spoiled[side] |= self.pipes[side].spoil(at, mask);
    }

    /// A stranger has its say behind what is on its way from this side, if the link lasts.
    pub(crate) fn intrude(&mut self, side: usize, octets: &[u8]) {
        self.spoiled[side] = true;
        self.pipes[side].put(octets);
    }

    /// Whether the connection cannot last, or not everything can arrive.
    pub(crate) fn is_doomed(&self) -> bool {
        [0, 1].iter().any(|&side| self.is_over(side) || self.spoiled[side] || self.pipes[side].is_doomed())
    }

    /// Ends the present connection, which must be broken, with all that still arrives, and makes a new one.
    pub(crate) fn reconnect(&mut self) {
        self.pipes.iter_mut().for_each(|pipe| pipe.obey(&[]));
        self.drain();
        for side in [0, 1] {
            assert!(self.is_over(side), "a broken link was not noticed");
            self.check_end(side);
        }
        self.pipes = Default::default();
        let hosts = [0, 1].map(|side| self.parties[side].host.clone());
        self.base = [0, 1].map(|side| hosts[side].written());
        self.parties = shake_hands(hosts, &self.config, self.answers, self.now);
        (self.come, self.spoiled) = ([0; 2], [false; 2]);
    }

    /// How many messages of this side were wholly written on the present connection, and how many have come.
    pub(crate) fn progress(&self, side: usize) -> (usize, usize) {
        (self.host(side).written() - self.base[side], self.come[side])
    }

    /// This side is done with the connection, which its peer will notice.
    fn end(&mut self, side: usize, end: End) {
        self.parties[side].over(end);
        self.pipes[side].cut(usize::MAX);
        self.pipes[1 - side].cut(0);
    }

    /// What has come from a side is what it sent, from the first message that no connection before had written.
    fn check_delivery(&mut self, side: usize) {
        for message in self.host(1 - side).delivered() {
            let at = self.base[side] + self.come[side];
            self.come[side] += 1;
            if !self.spoiled[side] {
                let sent = self.host(side).sent(at).expect("a message came that was not sent");
                assert!(message == sent, "message {at} is another: {message:?} instead of {sent:?}");
            }
        }
    }

    /// What a side is told to have written has come, unless the link has lost it.
    fn check_end(&self, side: usize) {
        self.host(side).check();
        let (written, come) = self.progress(side);
        if !self.spoiled[side] {
            assert!(come <= written, "side {side}: {come} messages have come, and {written} were written");
            assert!(
                come == written || self.pipes[side].is_lossy(),
                "side {side}: {come} of {written} have come"
            );
        }
    }

    fn moved(&self) -> usize {
        self.come.iter().sum::<usize>() + self.pipes.iter().map(Pipe::moved).sum::<usize>()
    }
}

/// Two PAIRs about to shake hands. The first may have to hear who the other is before it says so itself.
fn shake_hands(hosts: [Arc<Mock>; 2], config: &Config, answers: bool, now: Instant) -> [Party; 2] {
    let [first, second] = hosts;
    let second = Party::new(second, config, now);
    [Party::new(first, &Config { answers, ..config.clone() }, now), second]
}

pub(crate) fn config(socket_type: SocketType) -> Config {
    let limits = Limits { frame: 1 << 20, message: 1 << 20, parts: 100, handshake: 8192 };
    Config {
        socket_type,
        identity: Bytes::new(),
        handshake_timeout: Some(HANDSHAKE_TIMEOUT),
        answers: false,
        rhythm: None,
        max_pongs: 64,
        limits,
    }
}

/// The message of a serial number. The lower half of `shape` chooses how large it is, the upper half how many parts it
/// has.
pub(crate) fn message(serial: usize, shape: u8) -> Message {
    let size = SIZES[usize::from(shape & 15)];
    let start = serial % PERIOD;
    let body = Bytes::from_static(&FILLER).slice(start..start + size);
    let name = Bytes::copy_from_slice(&serial.to_be_bytes());
    match shape >> 4 {
        0..=9 => Message::from(body),
        10 | 11 => Message::from([name, body]),
        12 | 13 => Message::from([body, Bytes::new()]),
        _ => Message::from([Bytes::new(), body.clone(), name, body]),
    }
}

pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Sizes of parts that lie about where something changes: what fits inside of a message, the short frame, what is
/// shared, what is read in place, the steps in which its buffer grows.
const SIZES: [usize; 16] =
    [0, 1, 8, 70, 71, 255, 256, 1000, 4095, 4096, 9000, 16_384, 16_385, 65_536, 80_000, LARGEST];
const LARGEST: usize = 200_000;

/// What bodies are made of. A body begins at its serial number, so that neighbours differ.
static FILLER: [u8; LARGEST + PERIOD] = filler();
const PERIOD: usize = 251;

const fn filler() -> [u8; LARGEST + PERIOD] {
    let mut octets = [0; LARGEST + PERIOD];
    let mut at = 0;
    while at < octets.len() {
        octets[at] = (at % PERIOD) as u8;
        at += 1;
    }
    octets
}

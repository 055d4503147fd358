//! [`Way`]: one direction of a connection in memory.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::time::{Duration, Instant};

use super::Weather;
use crate::random::Rng;

/// What one end writes and the other reads, and what lies between.
#[derive(Debug)]
pub(super) struct Way {
    /// All that was written, as it was before anything befell it.
    pub(super) sent: Vec<u8>,
    /// How often something was written.
    pub(super) writes: usize,
    /// How many octets were read.
    pub(super) read: usize,
    /// What is on its way, in order, and when each piece is there.
    transit: VecDeque<(Instant, Piece)>,
    /// What can be read.
    arrived: VecDeque<u8>,
    /// What can be read behind that.
    end: Option<Ending>,
    /// How many octets are on their way.
    moving: usize,
    /// How many octets may be on their way or unread; a writer of more has to wait.
    capacity: usize,
    /// A writer waits for room.
    blocked: bool,
    /// Nothing arrives before.
    stalled: Option<Instant>,
    /// What is written from now on is lost, and the writer does not know.
    severed: bool,
    /// The writer has been told that nobody reads.
    refused: bool,
    /// The writer has said that nothing more comes.
    finished: bool,
}

#[derive(Clone, Debug)]
enum Piece {
    Octets(Vec<u8>),
    End(Ending),
}

/// How a stream ends for who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing more comes.
    Finished,
    /// The connection is reset.
    Reset,
}

/// What has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Octets,
    End,
}

impl Way {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            sent: Vec::new(),
            writes: 0,
            read: 0,
            transit: VecDeque::new(),
            arrived: VecDeque::new(),
            end: None,
            moving: 0,
            capacity,
            blocked: false,
            stalled: None,
            severed: false,
            refused: false,
            finished: false,
        }
    }

    /// When the next piece arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        let (at, _) = self.transit.front()?;
        Some(self.stalled.map_or(*at, |until| until.max(*at)))
    }

    /// Takes in one piece that is there by now.
    pub(super) fn arrive(&mut self, now: Instant) -> Option<Arrival> {
        self.next().filter(|at| *at <= now)?;
        Some(match self.transit.pop_front()?.1 {
            Piece::Octets(octets) => {
                self.moving -= octets.len();
                self.arrived.extend(octets);
                Arrival::Octets
            }
            Piece::End(end) => {
                self.end = Some(end);
                Arrival::End
            }
        })
    }

    pub(super) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        (weather, rng): (&Weather, &mut Rng),
        now: Instant,
    ) -> io::Result<usize> {
        if self.refused || self.finished {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = self.capacity.saturating_sub(self.load());
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let taken = offered.min(room);
        if taken == 0 {
            self.blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.writes += 1;
        let before = self.sent.len();
        for slice in slices {
            let left = taken - (self.sent.len() - before);
            self.sent.extend_from_slice(&slice[..slice.len().min(left)]);
        }
        if !self.severed {
            let mut fresh = &self.sent[before..];
            let most = weather.piece.max(taken / PIECES);
            self.moving += taken;
            while !fresh.is_empty() {
                let (piece, rest) = fresh.split_at(1 + rng.below(most.min(fresh.len())));
                let at = weather.arrival(now, rng).max(self.transit.back().map_or(now, |(at, _)| *at));
                self.transit.push_back((at, Piece::Octets(piece.to_vec())));
                fresh = rest;
            }
        }
        Ok(taken)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || !self.arrived.is_empty() {
            // Whatever is there is read, as far as there is room: a short read says that this was all.
            let len = buffer.len().min(self.arrived.len());
            buffer.iter_mut().zip(self.arrived.drain(..len)).for_each(|(to, octet)| *to = octet);
            self.read += len;
            return Ok(len);
        }
        match self.end {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(Ending::Finished) => Ok(0),
            Some(Ending::Reset) => Err(ErrorKind::ConnectionReset.into()),
        }
    }

    /// Whether a writer that had to wait may go on, which it is told once.
    pub(super) fn unblocks(&mut self) -> bool {
        let opens = self.blocked && self.load() <= self.capacity - self.capacity.div_ceil(3);
        self.blocked &= !opens;
        opens
    }

    pub(super) fn is_readable(&self) -> bool {
        !self.arrived.is_empty() || self.end.is_some()
    }

    /// Whether octets have come that were not read.
    pub(super) fn has_unread(&self) -> bool {
        !self.arrived.is_empty()
    }

    pub(super) fn is_writable(&self) -> bool {
        !self.blocked
    }

    pub(super) fn end(&self) -> Option<Ending> {
        self.end
    }

    /// Octets that were written and not read.
    pub(super) fn load(&self) -> usize {
        self.arrived.len() + self.moving
    }

    /// Nothing comes behind what is on its way.
    pub(super) fn finish(&mut self, end: Ending, at: Instant) {
        if self.severed || self.finished {
            return;
        }
        self.finished = true;
        let at = self.transit.back().map_or(at, |(last, _)| at.max(*last));
        self.transit.push_back((at, Piece::End(end)));
    }

    /// Nobody reads any more: the writer hears of it when it writes.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
        self.blocked = false;
    }

    /// The reader is told of a reset in place of whatever has not arrived.
    pub(super) fn reset(&mut self, at: Instant) {
        if self.end.is_none() || self.end == Some(Ending::Finished) {
            self.transit.clear();
            self.moving = 0;
            self.transit.push_back((at, Piece::End(Ending::Reset)));
        }
    }

    /// The network loses the connection: of what is on its way so many octets still arrive, then this end, and what is
    /// written from now on is lost.
    pub(super) fn cut(&mut self, mut kept: usize, end: Ending, at: Instant) {
        if self.severed {
            return;
        }
        self.moving = self.moving.min(kept);
        for (_, piece) in &mut self.transit {
            if let Piece::Octets(octets) = piece {
                octets.truncate(kept);
                kept -= octets.len();
            }
        }
        let ends = |piece: &Piece| matches!(piece, Piece::End(_));
        self.transit.retain(|(_, piece)| !ends(piece));
        if self.end.is_none() {
            let at = self.transit.back().map_or(at, |(last, _)| at.max(*last));
            self.transit.push_back((at, Piece::End(end)));
        }
        self.severed = true;
    }

    /// Whether what is written is lost.
    pub(super) fn is_severed(&self) -> bool {
        self.severed
    }

    /// Corrupts an octet on its way. False if there is none.
    pub(super) fn spoil(&mut self, at: usize, mask: u8) -> bool {
        let octets = self.transit.iter_mut().filter_map(|(_, piece)| match piece {
            Piece::Octets(octets) => Some(octets),
            Piece::End(_) => None,
        });
        let octet = octets.flatten().nth(at);
        let found = octet.is_some();
        octet.into_iter().for_each(|octet| *octet ^= mask);
        found
    }

    pub(super) fn stall(&mut self, until: Instant) {
        self.stalled = Some(until);
    }

    /// From now on so much may be on its way.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
    }
}

/// Pieces that one write may come in, about.
const PIECES: usize = 16;

impl Weather {
    /// When something arrives that is sent now.
    pub(super) fn arrival(&self, now: Instant, rng: &mut Rng) -> Instant {
        now + self.delay + Duration::from_micros(rng.below(1 + self.jitter.as_micros() as usize) as u64)
    }
}

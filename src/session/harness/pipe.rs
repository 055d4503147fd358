//! [`Pipe`]: one direction of a stream, which splits, stalls, breaks and lies as it is told.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read};

pub(crate) struct Pipe {
    /// Octets written and not yet read.
    transit: VecDeque<u8>,
    /// How many octets may be on their way; a writer of more has to wait.
    pub(crate) capacity: usize,
    /// How many more octets it takes before it breaks, if it is to.
    life: Option<usize>,
    /// What the reads bring, in turn and over again.
    script: Vec<Piece>,
    turn: usize,
    /// Nothing comes behind what is on its way.
    ended: bool,
    /// Octets were written that nobody will read.
    lossy: bool,
    /// Octets that were written or read, and ends that were noticed.
    moved: usize,
}

/// What a read brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    /// So many octets at most, and at least one.
    Octets(usize),
    /// It would block, although something is on its way.
    Stall,
    /// A signal interrupts it.
    Interrupt,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            transit: VecDeque::new(),
            capacity: usize::MAX,
            life: None,
            script: Vec::new(),
            turn: 0,
            ended: false,
            lossy: false,
            moved: 0,
        }
    }
}

impl Pipe {
    /// Follows another script from now on; none lets everything through at once.
    pub(crate) fn obey(&mut self, script: &[Piece]) {
        self.script = script.to_vec();
        self.turn = 0;
    }

    /// Breaks the pipe, and keeps at most so many octets of what is on its way.
    pub(crate) fn cut(&mut self, kept: usize) {
        self.lossy |= self.transit.len() > kept;
        self.transit.truncate(kept);
        self.life = Some(0);
        self.ended = true;
    }

    /// Corrupts an octet on its way, counted from the next to be read. False if there is none.
    pub(crate) fn spoil(&mut self, at: usize, mask: u8) -> bool {
        let octet = self.transit.get_mut(at);
        let found = octet.is_some();
        octet.into_iter().for_each(|octet| *octet ^= mask);
        found
    }

    /// Octets that nobody's session has written, unless the pipe is broken.
    pub(crate) fn put(&mut self, octets: &[u8]) {
        if !self.ended {
            self.transit.extend(octets);
        }
    }

    /// The pipe breaks when it has taken so many octets more, unless it is doomed already.
    pub(crate) fn doom(&mut self, life: usize) {
        let life = *self.life.get_or_insert(life);
        self.ended |= life == 0;
    }

    /// Whether it is broken, or about to be.
    pub(crate) fn is_doomed(&self) -> bool {
        self.life.is_some()
    }

    /// Whether octets were written that nobody will read.
    pub(crate) fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// How many tries in a row may come to nothing although something is on its way.
    pub(crate) fn patience(&self) -> usize {
        self.script.len()
    }

    /// How much has happened.
    pub(crate) fn moved(&self) -> usize {
        self.moved
    }

    /// As much as the pipe has room for, or an error.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(offered > 0, "a write of nothing would be repeated for ever");
        if self.life == Some(0) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let taken = offered
            .min(self.capacity.saturating_sub(self.transit.len()))
            .min(self.life.unwrap_or(usize::MAX));
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut left = taken;
        for slice in slices {
            let piece = &slice[..slice.len().min(left)];
            self.transit.extend(piece);
            left -= piece.len();
        }
        self.life = self.life.map(|life| life - taken);
        self.ended = self.life == Some(0);
        self.moved += taken;
        Ok(taken)
    }

    fn next_piece(&mut self) -> Piece {
        let Some(piece) = self.script.get(self.turn % self.script.len().max(1)) else {
            return Piece::Octets(usize::MAX);
        };
        self.turn += 1;
        *piece
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = match self.next_piece() {
            Piece::Octets(octets) => octets.max(1),
            Piece::Interrupt => return Err(ErrorKind::Interrupted.into()),
            // What a broken link still brings is all there.
            Piece::Stall if self.ended => usize::MAX,
            Piece::Stall => return Err(ErrorKind::WouldBlock.into()),
        };
        if self.transit.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = buffer.len().min(piece);
        let octets = self.transit.read(&mut buffer[..len])?;
        self.moved += octets.max(1);
        Ok(octets)
    }
}

//! [`Flight`]: the batch that a wire is writing, and how much of it is out.

use std::io::IoSlice;

use super::batch::{Batch, Place};
use crate::message::Message;
use crate::shield::shielded;

/// A batch on its way out.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    batch: Batch,
    written: Place,
    /// The beginning of the first message that has not been counted as written.
    counted: Place,
    /// How many messages lie before `counted`.
    count: usize,
}

/// What a wire has wholly written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) messages: usize,
    pub(crate) octets: usize,
}

impl Flight {
    /// Takes everything out of an open batch. Only when this one is done.
    pub(crate) fn load(&mut self, open: &mut Batch) {
        debug_assert!(self.is_done(), "a batch is still being written");
        self.batch.clear();
        std::mem::swap(&mut self.batch, open);
        self.written = self.batch.front();
        self.counted = self.batch.front();
        self.count = 0;
    }

    /// Whether every octet is written.
    pub(crate) fn is_done(&self) -> bool {
        self.written.offset == self.batch.end()
    }

    /// Whether some octets are written and some are not.
    pub(crate) fn is_under_way(&self) -> bool {
        self.written.offset > self.batch.front().offset && !self.is_done()
    }

    /// Whether there is more than one run of octets to write.
    #[inline]
    pub(crate) fn gathers(&self) -> bool {
        self.batch.gathers()
    }

    /// Points `slices` at what is to be written next and tells how many of them it used.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let limit = if self.batch.gathers() { GATHERED } else { COPIED };
        self.batch.gather(self.written, limit, slices)
    }

    /// Notes that the stream took this many octets more.
    pub(crate) fn wrote(&mut self, octets: usize) {
        self.written = self.batch.advance(self.written, octets);
    }

    /// How many messages have been wholly written since the last call, and how many octets they took.
    pub(crate) fn newly_written(&mut self) -> Written {
        let before = (self.count, self.counted);
        if self.is_done() {
            self.count = self.batch.messages();
            self.counted = self.written;
        } else {
            while let Some(end) = self.batch.message_end(self.counted) {
                if end.offset > self.written.offset {
                    break;
                }
                self.counted = end;
                self.count += 1;
            }
        }
        self.batch.release(before.1, self.counted);
        Written { messages: self.count - before.0, octets: self.counted.offset - before.1.offset }
    }

    /// The messages not wholly written, one that is half out included, in order.
    pub(crate) fn unsent(&mut self) -> impl Iterator<Item = Message> + '_ {
        self.newly_written();
        self.batch.messages_from(self.counted)
    }

    /// Gives unused memory back; for a wire that has fallen idle.
    pub(crate) fn trim(&mut self) {
        if self.is_done() && self.count == self.batch.messages() {
            let before = std::mem::take(self);
            shielded(|| drop(before));
        }
    }
}

/// Slices that one gathered write may have: enough for a batch of bodies of 8 KiB, each with its header.
pub(crate) const SLICES: usize = 130;

/// The largest segment of loopback with segmentation offload. A write of a little more than so many segments costs one more,
/// a tiny one with an interrupt and an acknowledgement of its own.
const SEGMENT: usize = 65_483;

/// The most that one write takes of copied octets.
pub(super) const COPIED: usize = 4 * SEGMENT;

/// How large a batch grows before it should be written, if it has large bodies, which are gathered and cost us no copying.
pub(super) const fn ripe(message: usize) -> usize {
    // The more at a time, the fewer times the reader is woken; but more than so many smaller ones no longer fit in one write,
    // nor in the nearest cache.
    if message < 32 * 1024 { 8 * SEGMENT } else { GATHERED }
}

/// The most that one write takes if large bodies are gathered.
pub(super) const GATHERED: usize = 16 * SEGMENT;

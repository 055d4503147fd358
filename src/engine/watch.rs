//! [`Watch`]: writes what callers have left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use crate::clock;

/// While messages are sent in a stream, the callers write full batches themselves, and what they leave in the last one
/// is written by a look now and then. The looks become rarer while the stream goes on, and end when one finds nothing.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    next: Option<Instant>,
    pause: Duration,
}

impl Watch {
    /// When the next look is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Starts watching if a socket has asked for it.
    pub(crate) fn begin(&mut self, shared: &Arc<Shared>) {
        if self.next.is_none() && shared.is_watched() {
            self.pause = FIRST;
            self.next = Some(clock::now() + self.pause);
        }
    }

    /// Looks, if it is time.
    pub(crate) fn look(&mut self, shared: &Arc<Shared>, now: Instant) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        self.pause = (self.pause * 2).min(LAST);
        self.next = shared.look().then(|| now + self.pause);
    }
}

/// The pause before the first look.
const FIRST: Duration = Duration::from_millis(1);

/// The longest pause between two looks.
const LAST: Duration = Duration::from_millis(4);

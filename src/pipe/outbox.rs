//! [`Outbox`]: what a socket has accepted for one peer and not yet written.

use super::batch::Batch;
use super::flight::{COPIED, Flight, GATHERED};
use crate::message::Message;

/// The outbound queue of one peer: an open batch, and a count of the messages a wire has taken out of it.
///
/// The mark counts both in whole messages. Once it is reached the queue stays shut until half of it has drained, so
/// that a blocked sender is woken for a run of messages and not for each one.
#[derive(Debug)]
pub(crate) struct Outbox {
    open: Batch,
    /// Messages taken by the wire and not yet wholly written.
    in_flight: usize,
    mark: usize,
    shut: bool,
    /// Keep only the newest message.
    conflate: bool,
}

/// What came of [`Outbox::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// The open batch was empty before.
    pub(crate) first: bool,
    /// The batch should be written now: another message like this one would not fit, or the mark is reached.
    pub(crate) ripe: bool,
    /// An older message made room for this one and is gone.
    pub(crate) replaced: bool,
}

impl Outbox {
    /// A queue for `mark` messages, or for the newest one only.
    pub(crate) fn new(mark: usize, conflate: bool) -> Self {
        Self { open: Batch::default(), in_flight: 0, mark, shut: false, conflate }
    }

    /// Accepts a message. The caller has seen that there is room.
    #[inline]
    pub(crate) fn push(&mut self, message: &Message) -> Pushed {
        let replaced = self.conflate && !self.open.is_empty();
        if replaced {
            self.open.clear();
        }
        let first = self.open.is_empty();
        let octets = self.open.push(message);
        self.shut = self.is_full();
        let limit = if self.open.gathers() { GATHERED } else { COPIED };
        Pushed { first, ripe: self.shut || self.open.len() + octets > limit, replaced }
    }

    /// Whether another message may be pushed.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        !self.shut
    }

    /// Whether the mark is reached. Unlike [`Outbox::has_room`] this changes with every message that is written.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        !self.conflate && self.queued() >= self.mark
    }

    /// Gives up the oldest message that no wire has taken. False if there is none.
    pub(crate) fn shed(&mut self) -> bool {
        let sheds = self.has_open();
        if sheds {
            self.open.shed();
            self.shut = self.is_full();
        }
        sheds
    }

    /// Messages accepted and not yet wholly written.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.open.messages() + self.in_flight
    }

    /// Whether the wire still works on what it took: it will come back for more by itself.
    #[inline]
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// Whether messages wait that no wire has taken.
    pub(crate) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Moves the open batch into the wire.
    pub(crate) fn take(&mut self, flight: &mut Flight) {
        self.in_flight += self.open.messages();
        flight.load(&mut self.open);
    }

    /// Notes that the wire has wholly written `messages` more. True if a queue that was shut has opened.
    pub(crate) fn written(&mut self, messages: usize) -> bool {
        self.in_flight -= messages;
        self.reopen()
    }

    /// Takes everything back that was not wholly written, in order, from a wire that is gone and from the open batch.
    pub(crate) fn take_back(&mut self, flight: Option<&mut Flight>) -> Vec<Message> {
        let mut messages = Vec::with_capacity(self.queued());
        if let Some(flight) = flight {
            messages.extend(flight.unsent());
        }
        messages.append(&mut self.give_up());
        self.in_flight = 0;
        self.shut = false;
        messages
    }

    /// Takes the messages back that no wire has taken, in order.
    pub(crate) fn give_up(&mut self) -> Vec<Message> {
        let open = std::mem::take(&mut self.open);
        self.shut = self.is_full();
        open.messages_from(open.front()).collect()
    }

    /// Gives unused memory back; for a peer that has fallen idle.
    pub(crate) fn trim(&mut self) {
        self.open.trim();
    }

    fn reopen(&mut self) -> bool {
        let opens = self.shut && self.queued() <= self.mark / 2;
        self.shut &= !opens;
        opens
    }
}

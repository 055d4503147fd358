//! [`Outbox`]: what a socket has accepted for one peer and not yet written.

use std::collections::VecDeque;

use super::batch::Batch;
use super::flight::{COPIED, Flight, GATHERED};
use crate::message::Message;
use crate::shield::shielded;

/// The outbound queue of one peer: what no wire has taken, and a count of the messages one has.
///
/// The mark counts both in whole messages. Once it is reached the queue stays shut until half of it has drained, so
/// that a blocked sender is woken for a run of messages and not for each one.
#[derive(Debug)]
pub(crate) struct Outbox {
    open: Open,
    /// Messages taken by the wire and not yet wholly written.
    in_flight: usize,
    mark: usize,
    shut: bool,
    /// Keep only the newest message.
    conflate: bool,
}

/// What no wire has taken.
#[derive(Debug)]
enum Open {
    /// For a stream: the octets that will be written.
    Encoded(Batch),
    /// For a peer in this process: the messages as they are.
    Whole(VecDeque<Message>),
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
    /// A queue for `mark` messages, or for the newest one only, that go to a stream.
    pub(crate) fn new(mark: usize, conflate: bool) -> Self {
        Self { open: Open::Encoded(Batch::default()), in_flight: 0, mark, shut: false, conflate }
    }

    /// As [`Outbox::new`], for messages that stay in this process.
    pub(crate) fn whole(mark: usize, conflate: bool) -> Self {
        Self { open: Open::Whole(VecDeque::new()), in_flight: 0, mark, shut: false, conflate }
    }

    /// Whether the messages stay in this process.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.open, Open::Whole(_))
    }

    /// Accepts a message. The caller has seen that there is room.
    #[inline]
    pub(crate) fn push(&mut self, message: &Message) -> Pushed {
        let replaced = self.conflate && !self.open.is_empty();
        if replaced {
            self.open.clear();
        }
        let first = self.open.is_empty();
        let full = match &mut self.open {
            Open::Encoded(batch) => {
                let octets = batch.push(message);
                batch.len() + octets > if batch.gathers() { GATHERED } else { COPIED }
            }
            Open::Whole(messages) => {
                messages.push_back(message.clone());
                false
            }
        };
        self.shut = self.is_full();
        Pushed { first, ripe: self.shut || full, replaced }
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
            match &mut self.open {
                Open::Encoded(batch) => batch.shed(),
                Open::Whole(messages) => {
                    let oldest = messages.pop_front();
                    shielded(|| drop(oldest));
                }
            }
            self.shut = self.is_full();
        }
        sheds
    }

    /// Messages accepted and not yet wholly written.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.open.len() + self.in_flight
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
        self.in_flight += self.open.len();
        if let Open::Encoded(batch) = &mut self.open {
            flight.load(batch);
        }
    }

    /// Gives away up to `room` messages that stay in this process. True if a queue that was shut has opened.
    pub(crate) fn hand_over(&mut self, room: usize, into: &mut Vec<Message>) -> bool {
        if let Open::Whole(messages) = &mut self.open {
            into.extend(messages.drain(..room.min(messages.len())));
        }
        self.reopen()
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
        let messages = match &mut self.open {
            Open::Encoded(batch) => {
                let batch = std::mem::take(batch);
                let messages = batch.messages_from(batch.front()).collect();
                // With it may go bodies that were shed before.
                shielded(|| drop(batch));
                messages
            }
            Open::Whole(messages) => std::mem::take(messages).into(),
        };
        self.shut = self.is_full();
        messages
    }

    /// Gives unused memory back; for a peer that has fallen idle.
    pub(crate) fn trim(&mut self) {
        match &mut self.open {
            Open::Encoded(batch) => batch.trim(),
            Open::Whole(messages) => messages.shrink_to(messages.len()),
        }
    }

    fn reopen(&mut self) -> bool {
        // Whole messages move in runs already, and the marks of both ends are to add up.
        let low = if self.is_whole() { self.mark.saturating_sub(1) } else { self.mark / 2 };
        let opens = self.shut && self.queued() <= low;
        self.shut &= !opens;
        opens
    }
}

impl Open {
    #[inline]
    fn is_empty(&self) -> bool {
        match self {
            Self::Encoded(batch) => batch.is_empty(),
            Self::Whole(messages) => messages.is_empty(),
        }
    }

    /// How many messages there are.
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Encoded(batch) => batch.messages(),
            Self::Whole(messages) => messages.len(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Encoded(batch) => batch.clear(),
            Self::Whole(messages) => _ = shielded(|| messages.clear()),
        }
    }
}

//! [`Outbox`]: what a socket has accepted for one peer and not yet written.

use std::collections::VecDeque;

use super::batch::Batch;
use super::flight::{COPIED, Flight, GATHERED, Written, ripe};
use crate::message::{Message, Space};
use crate::options::Mark;
use crate::shield::shielded;

/// The outbound queue of one peer: what no wire has taken, and a count of the messages one has.
///
/// The mark counts both, in whole messages and in octets. Once it is reached the queue stays shut until half of it has
/// drained, so that a blocked sender is woken for a run of messages and not for each one.
#[derive(Debug)]
pub(crate) struct Outbox {
    open: Open,
    /// Messages taken by the wire and not yet wholly written.
    in_flight: usize,
    /// Octets of both.
    octets: usize,
    mark: Mark,
    /// Why it is shut, if it is.
    shut: Option<Shut>,
    /// How many octets may be left when it opens again.
    low: usize,
    /// Keep only the newest message.
    conflate: bool,
    /// The most that a batch with large bodies grows to before it should be written.
    most: usize,
}

/// What no wire has taken.
#[derive(Debug)]
enum Open {
    /// For a stream: the octets that will be written.
    Encoded(Batch),
    /// For a peer in this process: the messages as they are.
    Whole(Whole),
}

/// Messages as they are.
#[derive(Debug, Default)]
struct Whole {
    messages: VecDeque<Message>,
    /// Octets of memory that they take.
    weight: usize,
    /// Octets of their parts.
    body: usize,
}

/// What a queue was shut for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// It has as many messages as its mark says.
    Messages,
    /// It has as many octets as its mark says.
    Octets,
    /// It and the others together have as many octets as their socket allows.
    Total,
}

/// What came of [`Outbox::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// The open batch was empty before.
    pub(crate) first: bool,
    /// The batch should be written now: another message like this one would not fit, or the mark is reached.
    pub(crate) ripe: bool,
    /// By how many octets the queue has grown; less than none, if a larger message made room for this one.
    pub(crate) grown: isize,
    /// An older message made room for this one and is gone.
    pub(crate) replaced: bool,
    /// This has shut the queue.
    pub(crate) shuts: bool,
}

impl Outbox {
    /// A queue with this mark, or for the newest message only, for messages that go to a stream.
    pub(crate) fn new(mark: Mark, conflate: bool) -> Self {
        Self::of(Open::Encoded(Batch::default()), mark, conflate)
    }

    /// As [`Outbox::new`], for messages that stay in this process.
    pub(crate) fn whole(mark: Mark, conflate: bool) -> Self {
        Self::of(Open::Whole(Whole::default()), mark, conflate)
    }

    fn of(open: Open, mark: Mark, conflate: bool) -> Self {
        // A queue that makes room by itself has no mark to reach.
        let mark = if conflate { Mark::NONE } else { mark };
        let most = GATHERED.min(mark.octets / 4);
        Self { open, in_flight: 0, octets: 0, mark, shut: None, low: 0, conflate, most }
    }

    /// All queues of the socket together may have so many octets: a batch is written before it reaches that by itself.
    pub(crate) fn within(self, total: usize) -> Self {
        Self { most: self.most.min(total / 4), ..self }
    }

    /// Whether the messages stay in this process.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.open, Open::Whole(..))
    }

    /// Accepts a message. The caller has seen that there is room.
    #[inline(always)] // as what calls it, for it is most of that
    pub(crate) fn push(&mut self, message: &Message) -> Pushed {
        let gone = if self.conflate { self.replace() } else { 0 };
        let (octets, messages, fills) = match &mut self.open {
            Open::Encoded(batch) => {
                let octets = batch.push(message);
                let limit = if batch.gathers() { ripe(octets).min(self.most) } else { COPIED };
                (octets, batch.messages(), batch.len() + octets > limit)
            }
            Open::Whole(whole) => (whole.push(message), whole.messages.len(), false),
        };
        self.octets += octets;
        let full = messages + self.in_flight >= self.mark.messages || self.octets >= self.mark.octets;
        Pushed {
            first: messages == 1,
            ripe: fills || full,
            grown: octets.wrapping_sub(gone) as isize,
            replaced: gone > 0,
            shuts: full && self.shut_if_open(),
        }
    }

    /// The mark is reached: shuts the queue. False if it is shut already.
    #[cold]
    fn shut_if_open(&mut self) -> bool {
        let opened = self.shut.is_none();
        if opened {
            self.shut = self.fullness();
            self.low = self.own_low();
        }
        opened
    }

    /// Gives up what no wire has taken for what is to come. Tells how many octets that was.
    fn replace(&mut self) -> usize {
        let octets = self.open.octets();
        self.octets -= octets;
        self.open.clear();
        octets
    }

    /// Whether another message may be pushed.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.shut.is_none()
    }

    /// What the queue was shut for, if it is.
    pub(crate) fn shut(&self) -> Option<Shut> {
        self.shut
    }

    /// Whether the mark is reached. Unlike [`Outbox::has_room`] this changes with every message that is written.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.fullness().is_some()
    }

    /// Shuts the queue until it has no more octets than this, or [`Outbox::reopen`] is called.
    pub(crate) fn shut_at(&mut self, low: usize) {
        if self.shut.is_none() {
            self.shut = Some(Shut::Total);
            self.low = low.min(self.own_low());
        }
    }

    /// The socket has room again for what it was shut for. True if it has opened.
    pub(crate) fn readmit(&mut self) -> bool {
        self.low = self.own_low();
        self.reopen()
    }

    /// Gives up the oldest message that no wire has taken. False if there is none.
    pub(crate) fn shed(&mut self) -> bool {
        let sheds = self.has_open();
        if sheds {
            let before = self.open.octets();
            match &mut self.open {
                Open::Encoded(batch) => batch.shed(),
                Open::Whole(whole) => {
                    let oldest = whole.pop();
                    shielded(|| drop(oldest));
                }
            }
            self.octets -= before - self.open.octets();
            self.reopen();
        }
        sheds
    }

    /// Messages accepted and not yet wholly written.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.open.len() + self.in_flight
    }

    /// The octets of these, as they are written or, if they stay in this process, as they lie in memory.
    #[inline]
    pub(crate) fn octets(&self) -> usize {
        self.octets
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

    /// Gives away as many messages as there is room for, which stay in this process, to a vector that is empty. Tells how many
    /// octets their parts have, and whether a queue that was shut has opened.
    pub(crate) fn hand_over(&mut self, room: Space, into: &mut Vec<Message>) -> (usize, bool) {
        let before = self.open.octets();
        let given = match &mut self.open {
            Open::Whole(whole) => whole.hand_over(room, into),
            Open::Encoded(_) => 0,
        };
        self.octets -= before - self.open.octets();
        (given, self.reopen())
    }

    /// Notes what the wire has wholly written. True if a queue that was shut has opened.
    pub(crate) fn written(&mut self, written: Written) -> bool {
        self.in_flight -= written.messages;
        self.octets -= written.octets;
        self.reopen()
    }

    /// Takes everything back that was not wholly written, in order, from a wire that is gone and from the open batch.
    pub(crate) fn take_back(&mut self, flight: Option<&mut Flight>) -> Vec<Message> {
        let mut messages = Vec::with_capacity(self.queued());
        if let Some(flight) = flight {
            messages.extend(flight.unsent());
        }
        messages.append(&mut self.give_up());
        (self.in_flight, self.octets) = (0, 0);
        self.shut = None;
        messages
    }

    /// Takes the messages back that no wire has taken, in order.
    pub(crate) fn give_up(&mut self) -> Vec<Message> {
        self.octets -= self.open.octets();
        let messages = match &mut self.open {
            Open::Encoded(batch) => {
                let batch = std::mem::take(batch);
                let messages = batch.messages_from(batch.front()).collect();
                // With it may go bodies that were shed before.
                shielded(|| drop(batch));
                messages
            }
            Open::Whole(whole) => std::mem::take(whole).messages.into(),
        };
        self.shut = self.fullness();
        self.low = self.own_low();
        messages
    }

    /// Gives unused memory back; for a peer that has fallen idle.
    pub(crate) fn trim(&mut self) {
        match &mut self.open {
            Open::Encoded(batch) => batch.trim(),
            Open::Whole(whole) => whole.messages.shrink_to(whole.messages.len()),
        }
    }

    fn reopen(&mut self) -> bool {
        if self.shut.is_none() {
            return false;
        }
        let opens = self.queued() <= self.half(self.mark.messages) && self.octets() <= self.low;
        if opens {
            self.shut = None;
        }
        opens
    }

    /// Which mark is reached, if one is.
    #[inline]
    fn fullness(&self) -> Option<Shut> {
        if self.queued() >= self.mark.messages {
            Some(Shut::Messages)
        } else if self.octets >= self.mark.octets {
            Some(Shut::Octets)
        } else {
            None
        }
    }

    /// How many octets may be left when only the marks of this queue matter.
    fn own_low(&self) -> usize {
        self.half(self.mark.octets)
    }

    /// Where a queue opens again that was shut at `mark`.
    fn half(&self, mark: usize) -> usize {
        // Whole messages move in runs already, and the marks of both ends are to add up.
        if self.is_whole() { mark.saturating_sub(1) } else { mark / 2 }
    }
}

impl Open {
    #[inline]
    fn is_empty(&self) -> bool {
        match self {
            Self::Encoded(batch) => batch.is_empty(),
            Self::Whole(whole) => whole.messages.is_empty(),
        }
    }

    /// How many messages there are.
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Encoded(batch) => batch.messages(),
            Self::Whole(whole) => whole.messages.len(),
        }
    }

    #[inline]
    fn octets(&self) -> usize {
        match self {
            Self::Encoded(batch) => batch.len(),
            Self::Whole(whole) => whole.weight,
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Encoded(batch) => batch.clear(),
            Self::Whole(whole) => {
                let before = std::mem::take(whole);
                shielded(|| drop(before));
            }
        }
    }
}

impl Whole {
    /// Tells how many octets of memory the message takes.
    #[inline]
    fn push(&mut self, message: &Message) -> usize {
        let weight = message.weight();
        self.weight += weight;
        self.body += message.byte_len();
        self.messages.push_back(message.clone());
        weight
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.weight -= message.weight();
        self.body -= message.byte_len();
        Some(message)
    }

    /// See [`Outbox::hand_over`]. The lock of the sender is held: as a rule that is for no longer than it takes to change two
    /// queues for each other. Whichever part is smaller is moved, what is given or what stays.
    fn hand_over(&mut self, room: Space, into: &mut Vec<Message>) -> usize {
        debug_assert!(into.is_empty(), "what is handed over replaces what was there");
        let count = self.fitting(room);
        let (weight, body) = (self.weight, self.body);
        if 2 * count < self.messages.len() {
            into.extend(self.messages.drain(..count));
            let given = sums(into.iter());
            (self.weight, self.body) = (weight - given.0, body - given.1);
        } else {
            let mut rest = VecDeque::from(std::mem::take(into));
            rest.extend(self.messages.drain(count..));
            *into = Vec::from(std::mem::replace(&mut self.messages, rest));
            (self.weight, self.body) = sums(self.messages.iter());
        }
        body - self.body
    }

    /// How many messages there is room for.
    fn fitting(&self, room: Space) -> usize {
        let most = self.messages.len().min(room.messages);
        if self.weight <= room.octets {
            return most;
        }
        let mut given = 0;
        let mut fits = |message: &&Message| {
            let fits = given < room.octets;
            given += if fits { message.weight() } else { 0 };
            fits
        };
        self.messages.iter().take(most).take_while(&mut fits).count()
    }
}

/// The octets of memory that messages take, and those of their parts.
fn sums<'a>(messages: impl Iterator<Item = &'a Message>) -> (usize, usize) {
    messages.fold((0, 0), |(weight, body), message| (weight + message.weight(), body + message.byte_len()))
}

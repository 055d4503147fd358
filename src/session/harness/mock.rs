//! [`Mock`]: a socket with one peer, which keeps the books of what becomes of its messages.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use crate::error::RecvError;
use crate::limit::Limit;
use crate::lock::lock;
use crate::message::{Message, Space};
use crate::monitor::{End, Event, Remote};
use crate::options::Mark;
use crate::peer::{Carrier, Host, Rejection, Word};
use crate::pipe::{Flight, Inbox, Outbox, Wakes};
use crate::slots::{Id, Slots};
use crate::zmtp::PeerInfo;

pub(crate) struct Mock {
    mark: usize,
    books: Mutex<Books>,
}

struct Books {
    outbox: Outbox,
    inbox: Inbox,
    /// Gives each connection's peer a name of its own.
    names: Slots<()>,
    peer: Option<Id>,
    /// Turns every peer away.
    refuses: bool,
    /// Everything that was accepted, in order.
    sent: Vec<Message>,
    /// How many of those were wholly written.
    written: usize,
    /// What was delivered since somebody last looked.
    delivered: Vec<Message>,
}

impl Mock {
    /// A socket with room for `mark` messages each way.
    pub(crate) fn new(mark: usize) -> Arc<Self> {
        let books = Books {
            outbox: Outbox::new(Mark::of(mark), false),
            inbox: Inbox::new(Mark::of(mark), false),
            names: Slots::new(),
            peer: None,
            refuses: false,
            sent: Vec::new(),
            written: 0,
            delivered: Vec::new(),
        };
        Arc::new(Self { mark, books: Mutex::new(books) })
    }

    /// A socket that turns every peer away.
    #[cfg(test)]
    pub(crate) fn refusing() -> Arc<Self> {
        let mock = Self::new(1);
        mock.books().refuses = true;
        mock
    }

    /// Accepts a message if there is room.
    pub(crate) fn send(&self, message: &Message) -> bool {
        let books = &mut *self.books();
        let room = books.outbox.has_room();
        if room {
            books.outbox.push(message);
            books.sent.push(message.clone());
        }
        books.check();
        room
    }

    /// Takes messages out of the inbox, and tells whether the carrier is to be resumed.
    pub(crate) fn take(&self, count: usize) -> (Vec<Message>, bool) {
        let inbox = &mut self.books().inbox;
        let count = count.min(inbox.len());
        let mut outside = inbox.outside();
        let pop = |_| {
            let mut message = Err(RecvError::Empty);
            inbox.pop(&mut outside, &mut message);
            message.ok()
        };
        let messages = (0..count).filter_map(pop).collect();
        (messages, inbox.resumes())
    }

    /// How many messages have been accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.books().sent.len()
    }

    /// How many messages were wholly written.
    pub(crate) fn written(&self) -> usize {
        self.books().written
    }

    /// How many messages are accepted and not wholly written.
    pub(crate) fn queued(&self) -> usize {
        self.books().outbox.queued()
    }

    /// The message that was accepted as the one of this number.
    pub(crate) fn sent(&self, number: usize) -> Option<Message> {
        self.books().sent.get(number).cloned()
    }

    /// What was delivered since the last call.
    pub(crate) fn delivered(&self) -> Vec<Message> {
        std::mem::take(&mut self.books().delivered)
    }

    /// The books are in order.
    pub(crate) fn check(&self) {
        self.books().check();
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    /// The books, on the page of this peer.
    fn page(&self, peer: Id) -> MutexGuard<'_, Books> {
        let books = self.books();
        assert_eq!(books.peer, Some(peer), "a connection talks to a socket that it is no part of");
        books
    }
}

impl Books {
    fn check(&self) {
        let (accepted, queued) = (self.sent.len(), self.outbox.queued());
        assert_eq!(accepted, self.written + queued, "accepted = written + queued");
    }

    fn count(&mut self, flight: &mut Flight) {
        let written = flight.newly_written();
        self.written += written.messages;
        self.outbox.written(written);
    }
}

impl Host for Mock {
    fn attach(
        &self,
        dialled: Option<Id>,
        _: &PeerInfo,
        _: Arc<dyn Carrier>,
    ) -> Result<(Id, Wakes), Rejection> {
        let books = &mut *self.books();
        assert!(dialled.is_none() && books.peer.is_none(), "attached twice");
        if books.refuses {
            return Err(Rejection::Closed);
        }
        let peer = books.names.insert(());
        books.peer = Some(peer);
        Ok((peer, Wakes::default()))
    }

    fn exchange(&self, peer: Id, flight: &mut Flight, _: &mut Vec<Word>) -> Wakes {
        let books = &mut *self.page(peer);
        books.count(flight);
        if flight.is_done() {
            books.outbox.take(flight);
        }
        books.check();
        Wakes::default()
    }

    fn hand_over(&self, _: Id, _: Space, _: &mut Vec<Message>, _: &mut Vec<Word>) -> (usize, Wakes) {
        unreachable!("only whole messages are handed over")
    }

    fn deliver(&self, peer: Id, messages: &mut Vec<Message>, _octets: usize) -> (Space, Wakes) {
        let books = &mut *self.page(peer);
        books.delivered.extend_from_slice(messages);
        books.inbox.accept(messages);
        assert!(books.inbox.len() <= self.mark, "delivered beyond the mark");
        (books.inbox.room_or_pause(), Wakes::default())
    }

    fn room(&self, peer: Id) -> Space {
        self.page(peer).inbox.room_or_pause()
    }

    /// What was not written waits for the next connection, and must be the end of what was sent.
    fn lose(&self, peer: Id, flight: &mut Flight) -> Wakes {
        let books = &mut *self.page(peer);
        books.count(flight);
        books.check();
        let back = books.outbox.take_back(Some(flight));
        assert!(back == books.sent[books.written..], "taken back is what was not written, in order");
        for message in &back {
            books.outbox.push(message);
        }
        books.check();
        Wakes::default()
    }

    fn part(&self, peer: Id, _: &End) -> Wakes {
        let books = &mut *self.page(peer);
        books.names.remove(peer);
        books.peer = None;
        Wakes::default()
    }

    fn abandon(&self, _peer: Id) -> Wakes {
        Wakes::default()
    }

    fn report(&self, _: &dyn Fn() -> Event) -> Wakes {
        Wakes::default()
    }

    fn limit_reached(&self, _: Limit, _: &dyn Fn() -> Remote) -> Wakes {
        Wakes::default()
    }

    fn flush(&self) {}

    fn look(&self) -> bool {
        false
    }

    fn poll_drained(&self, _: &Waker) -> bool {
        self.queued() == 0
    }

    fn settle(&self) {}
}

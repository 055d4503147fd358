//! [`State`]: what the lock of a socket guards.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};

use super::attachments::Attachment;
use super::feed::{Feed, Feeds};
use super::gauge::Gauge;
use super::pattern::{Pattern, Sent};
use super::pipes::Pipes;
use crate::error::{Received, RecvError, Refusal};
use crate::message::Message;
use crate::monitor::Event;
use crate::options::Options;
use crate::pipe::{Waiters, Wakes};
use crate::slots::Id;

/// What the lock of a socket guards.
pub(super) struct State {
    pub(super) pipes: Pipes,
    pub(super) pattern: Box<dyn Pattern>,
    /// Who waits for room.
    pub(super) senders: Waiters,
    /// Who waits for a message.
    pub(super) receivers: Waiters,
    /// Who waits for peers.
    pub(super) connecting: Waiters,
    /// Who waits for the socket to become ready for whatever they want to do with it.
    pub(super) watchers: Waiters,
    /// The descriptors that tell event loops of others whether it is ready.
    pub(super) gauges: Vec<Gauge>,
    /// Who waits for everything to be written.
    pub(super) draining: Waiters,
    /// Who is told what happens.
    pub(super) feeds: Feeds,
    pub(super) phase: Phase,
    pub(super) attachments: Vec<Attachment>,
    /// How many calls are undoing a bind or connect.
    pub(super) detaching: usize,
    /// The engine looks in from time to time for batches that nobody writes.
    watched: bool,
    takes_turns: bool,
}

/// The life of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The user has no more to do with it. What it has accepted is still being sent.
    Closing,
    /// It sends no more: what its connections have not written goes back to the caller.
    Ending,
    /// Its connections are being ended.
    Closed,
}

impl State {
    pub(super) fn new(options: &Options, pattern: Box<dyn Pattern>) -> Self {
        Self {
            pipes: Pipes::new(options),
            takes_turns: pattern.takes_turns(),
            pattern,
            senders: Waiters::default(),
            receivers: Waiters::default(),
            connecting: Waiters::default(),
            watchers: Waiters::default(),
            gauges: Vec::new(),
            draining: Waiters::default(),
            feeds: Feeds::default(),
            phase: Phase::Open,
            attachments: Vec::new(),
            detaching: 0,
            watched: false,
        }
    }

    #[inline]
    pub(super) fn send(&mut self, message: &Message) -> Result<(), Refusal> {
        if self.phase != Phase::Open {
            return Err(Refusal::Closed);
        }
        match self.pattern.send(&mut self.pipes, message)? {
            Sent::Message => self.pipes.stats.accepted += 1,
            Sent::Subscription => {}
        }
        Ok(())
    }

    #[inline]
    pub(super) fn recv(&mut self, into: &mut Received) {
        if self.phase == Phase::Open {
            self.pattern.recv(&mut self.pipes, into);
        } else {
            *into = Err(RecvError::Closed);
        }
    }

    /// True if the engine is to be asked to look in, which it is not asked twice.
    #[inline]
    pub(super) fn begins_watch(&mut self) -> bool {
        let begins = self.wants_watch() && !self.watched;
        self.watched |= begins;
        begins
    }

    /// As [`State::begins_watch`], when the engine has looked in.
    pub(super) fn goes_on_watch(&mut self) -> bool {
        self.watched = self.wants_watch();
        self.watched
    }

    #[inline]
    pub(super) fn wants_watch(&self) -> bool {
        self.pipes.is_dirty() || self.feeds.owes()
    }

    /// Whoever waited for their turn looks again when somebody else has had it, and monitors learn what it has cost.
    #[inline]
    pub(super) fn end_turn(&mut self, done: bool) -> Option<Wakes> {
        let passes = self.takes_turns && done;
        (passes || self.feeds.any()).then(|| {
            let mut wakes = Wakes::default();
            if passes {
                self.receivers.wake_all(&mut wakes);
                self.watchers.wake_all(&mut wakes);
                // Whoever takes turns may have given up what it had queued.
                self.uncram(&mut wakes);
            }
            self.tell_news(&mut wakes);
            wakes
        })
    }

    /// Tells monitors of messages that were given up, and of limits that were reached on the way.
    #[inline]
    pub(super) fn tell_news(&mut self, wakes: &mut Wakes) {
        if self.pipes.has_reached() || self.feeds.any() || self.feeds.owes() {
            self.tell_of_losses(wakes);
        }
    }

    fn tell_of_losses(&mut self, wakes: &mut Wakes) {
        for (limit, peer) in self.pipes.take_reached() {
            self.feeds.tell(|| Event::LimitReached { limit, peer }, wakes);
        }
        self.feeds.tell_dropped(self.pipes.stats.dropped, wakes);
    }

    /// A feed for a new monitor.
    pub(super) fn open_feed(&mut self, mark: usize, wakes: &mut Wakes) -> Arc<Feed> {
        self.tell_news(wakes);
        let feed = self.feeds.open(mark, self.pipes.stats.dropped, wakes);
        self.end_feeds_with_the_last(wakes);
        feed
    }

    /// Nothing more will happen.
    pub(super) fn end_feeds(&mut self, wakes: &mut Wakes) {
        self.feeds.end(self.pipes.stats.dropped, wakes);
    }

    /// As [`State::end_feeds`], once the socket is closed and no connection is left.
    pub(super) fn end_feeds_with_the_last(&mut self, wakes: &mut Wakes) {
        if self.phase == Phase::Closed
            && self.feeds.any()
            && self.pipes.peers.iter().all(|(_, peer)| peer.source.is_none())
        {
            self.end_feeds(wakes);
        }
    }

    pub(super) fn writable(&mut self, peer: Id, wakes: &mut Wakes) {
        if self.pipes.peers.get(peer).is_none_or(|peer| peer.forsaken) {
            return;
        }
        self.pattern.writable(&mut self.pipes, peer);
        self.wake_senders(wakes);
    }

    /// Peers that had no room because of all queues together may have it again.
    #[inline]
    pub(super) fn uncram(&mut self, wakes: &mut Wakes) {
        for peer in self.pipes.uncram() {
            self.writable(peer, wakes);
        }
    }

    pub(super) fn wake_senders(&mut self, wakes: &mut Wakes) {
        if self.pattern.can_send(&self.pipes) {
            self.senders.wake_all(wakes);
            self.watchers.wake_all(wakes);
        }
    }

    /// A subscription may be what somebody waits for, and the end of one leaves a sender less to wait for.
    pub(super) fn resubscribed(&mut self, wakes: &mut Wakes) {
        self.connecting.wake_all(wakes);
        self.wake_senders(wakes);
    }

    /// A peer is gone: also who waits for no other has to look again, for what is for that peer is now refused.
    pub(super) fn wake_all_senders(&mut self, wakes: &mut Wakes) {
        self.senders.wake_all(wakes);
        self.watchers.wake_all(wakes);
    }

    /// So many messages have come.
    pub(super) fn wake_receivers(&mut self, count: usize, wakes: &mut Wakes) {
        if count > 0 {
            self.receivers.wake(count, wakes);
            self.watchers.wake_all(wakes);
        }
    }

    /// The peer is sent nothing more, and is gone once its connection is.
    pub(super) fn forsake(&mut self, peer: Id) {
        self.pattern.leave(peer);
        if let Some(peer) = self.pipes.peers.get_mut(peer) {
            peer.dialled = false;
            peer.forsaken = true;
        }
    }
}

/// The state of a socket, locked. Whatever was done to it, the descriptors of those who watch say the truth when the lock is
/// released.
pub(super) struct Locked<'a>(pub(super) MutexGuard<'a, State>);

impl Deref for Locked<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.0
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        // Whoever takes the lock next would do them, perhaps where that must not be done: see `Core::release`.
        debug_assert!(!self.0.pipes.has_errands() || std::thread::panicking(), "errands are left behind");
        if !self.0.gauges.is_empty() {
            self.0.show_gauges();
        }
    }
}

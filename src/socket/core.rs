//! [`Core`]: the state of a socket, one lock around it, and what is done once the lock is released.

use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;

use super::pattern::{Pattern, Wish};
use super::pipes::Errands;
use super::state::{Locked, Phase, State};
use super::stats::{PeerStats, Stats};
use crate::clock;
use crate::context::{Engine, Hub, left_behind};
use crate::error::{Received, RecvError, Refusal};
use crate::lock::lock;
use crate::message::Message;
use crate::options::Options;
use crate::pipe::{Ticket, Waiters, Wakes};
use crate::shield::shielded;
use crate::slots::Slots;
use crate::zmtp::SocketType;

/// A socket without its type.
pub(crate) struct Core {
    pub(super) engine: Engine,
    pub(super) hub: Arc<Hub>,
    pub(super) options: Arc<Options>,
    pub(super) socket_type: SocketType,
    pub(super) receives: bool,
    state: Mutex<State>,
    pub(super) this: Weak<Self>,
}

impl Core {
    pub(crate) fn new(
        (engine, hub): (Engine, Arc<Hub>),
        options: Options,
        socket_type: SocketType,
        pattern: Box<dyn Pattern>,
    ) -> Arc<Self> {
        let receives = pattern.receives();
        let state = State::new(&options, pattern);
        Arc::new_cyclic(|this| Self {
            engine,
            hub,
            options: Arc::new(options),
            socket_type,
            receives,
            state: Mutex::new(state),
            this: this.clone(),
        })
    }

    /// Queues a message if there is room for it. The thread that sends writes what is ready to be written.
    #[inline]
    pub(crate) fn try_send(&self, message: &Message) -> Result<(), Refusal> {
        self.send_or(message, |_| {}, |_| {})
    }

    /// As [`Core::try_send`]; if there is no room the operation waits, from that very moment on. Tells whose
    /// [turn](Pattern::turn) it was.
    pub(super) fn send_or_wait(
        &self,
        message: &Message,
        ticket: &mut Ticket,
        waker: &Waker,
    ) -> Result<u64, Refusal> {
        let mine = waker.clone();
        let (mut before, mut turn) = (None, 0);
        let full = |senders: &mut Waiters| before = senders.wait(ticket, mine);
        let result = self.send_or(message, full, |pattern| turn = pattern.turn());
        drop(before);
        result.map(|()| turn)
    }

    #[inline]
    fn send_or(
        &self,
        message: &Message,
        full: impl FnOnce(&mut Waiters),
        sent: impl FnOnce(&dyn Pattern),
    ) -> Result<(), Refusal> {
        let Some(mut state) = self.enter() else { return Err(Refusal::Forked) };
        let result = state.send(message);
        match result {
            Ok(()) => sent(&*state.pattern),
            Err(refusal) if refusal.is_full() => full(&mut state.senders),
            Err(_) => {}
        }
        let done = result.is_ok() || state.pattern.has_moved_on();
        let turn = state.end_turn(done);
        let dirty = state.pipes.is_dirty();
        let pumped = self.release(state);
        if dirty || !pumped {
            left_behind::note(&self.this);
        }
        if let Some(wakes) = turn {
            wakes.wake();
        }
        result
    }

    /// Takes a message if there is one, into what was [`RecvError::Empty`] before.
    #[inline]
    pub(crate) fn try_recv(&self, into: &mut Received) {
        self.recv_and(into, State::recv, |_, _| {});
    }

    /// As [`Core::try_recv`]; if there is no message the operation waits, from that very moment on. What has to answer a
    /// request is none if another one has the [turn](Pattern::turn) by now.
    pub(super) fn recv_or_wait(
        &self,
        turn: Option<u64>,
        ticket: &mut Ticket,
        waker: &Waker,
        into: &mut Received,
    ) {
        let take = |state: &mut State, into: &mut Received| {
            if turn.is_none_or(|turn| turn == state.pattern.turn()) {
                state.recv(into);
            } else {
                *into = Err(RecvError::OutOfTurn);
            }
        };
        let mine = waker.clone();
        let (mut before, mut left) = (None, None);
        self.recv_and(into, take, |receivers, done| {
            if done {
                left = Some(receivers.leave(ticket));
            } else {
                before = receivers.wait(ticket, mine);
            }
        });
        drop((before, left));
    }

    /// Receives, and tells who may be waiting for it whether there was something, before anything else can happen.
    #[inline]
    fn recv_and(
        &self,
        into: &mut Received,
        take: impl FnOnce(&mut State, &mut Received),
        tell: impl FnOnce(&mut Waiters, bool),
    ) {
        debug_assert!(matches!(into, Err(RecvError::Empty)), "there is something already");
        let Some(mut state) = self.enter() else {
            *into = Err(RecvError::Forked);
            return;
        };
        take(&mut state, into);
        let done = !matches!(into, Err(RecvError::Empty));
        tell(&mut state.receivers, done);
        let turn = state.end_turn(done);
        // As in `release`, but for the watch: whoever receives leaves nothing to be written.
        let errands = state.pipes.take_errands();
        drop(state);
        if let Some(errands) = errands {
            errands.run();
        }
        if let Some(wakes) = turn {
            wakes.wake();
        }
    }

    /// Has the pattern do what only sockets of its type can be asked for.
    /// False if the socket is closed.
    pub(super) fn obey(&self, wish: Wish) -> bool {
        let Some(mut state) = self.enter() else { return false };
        if state.phase != Phase::Open {
            return false;
        }
        let State { pattern, pipes, .. } = &mut *state;
        pattern.obey(pipes, wish);
        let mut wakes = state.end_turn(true).unwrap_or_default();
        state.resubscribed(&mut wakes);
        self.release(state);
        wakes.wake();
        true
    }

    #[inline]
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked(lock(&self.state))
    }

    /// As [`Core::lock`], unless this process has only a copy of the socket: the lock may be held by a thread that a fork
    /// does not have.
    #[inline]
    pub(super) fn enter(&self) -> Option<Locked<'_>> {
        (!self.engine.is_forked()).then(|| self.lock())
    }

    /// Whether the socket still does what it is asked to.
    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    pub(crate) fn stats(&self) -> Stats {
        let Some(state) = self.enter() else { return Stats::default() };
        state.pipes.check();
        Stats {
            queued: (state.pipes.queued() + state.pattern.homeless()) as u64,
            queued_bytes: (state.pipes.queued_octets() + state.pattern.homeless_octets()) as u64,
            waiting: state.pipes.waiting() as u64,
            waiting_bytes: state.pipes.waiting_octets() as u64,
            ..state.pipes.stats
        }
    }

    pub(crate) fn peer_stats(&self) -> Vec<PeerStats> {
        let Some(state) = self.enter() else { return Vec::new() };
        state.pipes.peers.iter().map(|(_, peer)| PeerStats::of(peer)).collect()
    }

    /// Releases the lock, and does what could not be done under it. Tells whether there were errands.
    #[inline(always)] // merely inlined it costs each `send` more than it does
    fn release(&self, mut state: Locked<'_>) -> bool {
        let errands = state.pipes.take_errands();
        let watch = state.begins_watch();
        drop(state);
        let any = errands.is_some();
        if errands.is_some_and(Errands::run) {
            self.lock().pipes.pace.written(clock::now());
        }
        if watch {
            self.watch();
        }
        any
    }

    #[cold]
    fn watch(&self) {
        if let Some(this) = self.this.upgrade() {
            self.engine.watch(this);
        }
    }

    /// Runs `change` under the lock. What it queues in passing is left to the engine's next look, for nobody who could
    /// write it is at hand.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State, &mut Wakes) -> T) -> (T, Wakes) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        state.pipes.defer(true);
        let result = change(&mut state, &mut wakes);
        state.uncram(&mut wakes);
        state.tell_news(&mut wakes);
        state.pipes.defer(false);
        self.release(state);
        (result, wakes)
    }
}

/// A socket that was dropped, and not closed, is over with its last connection.
impl Drop for Core {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        state.end_feeds(&mut wakes);
        let peers = std::mem::replace(&mut state.pipes.peers, Slots::new());
        let homeless = state.pattern.drain();
        drop(state);
        wakes.wake();
        shielded(|| drop(homeless));
        shielded(|| drop(peers));
    }
}

//! How a [`Core`] ends.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::core::Core;
use super::state::{Phase, State};
use super::wait::Place;
use crate::clock;
use crate::context::Member;
use crate::error::Closed;
use crate::message::Message;
use crate::peer::{Ending, Host};
use crate::pipe::Wakes;

impl Core {
    /// Sends what is left in the background, until the linger time is over.
    pub(crate) fn linger(&self) {
        if self.poll_drained(Waker::noop()) || self.options.linger.is_zero() {
            return self.settle();
        }
        if let Some(this) = self.this.upgrade() {
            self.engine.linger(this, clock::now().checked_add(self.options.linger));
        }
    }

    /// Takes what is with no wire out of the socket, for the caller.
    fn hand_back(&self) -> Vec<Message> {
        let mut state = self.lock();
        let unsent = state.give_up();
        state.pipes.stats.returned += unsent.len() as u64;
        unsent
    }

    pub(super) fn farewell(&self) -> Ending {
        // A peer of a socket that does not send is not waited for: what it sends meanwhile would be lost on us, and it
        // could not know.
        if self.lock().pipes.stats.written > 0 { Ending::Graceful } else { Ending::Abrupt }
    }
}

impl State {
    pub(super) fn is_drained(&self) -> bool {
        self.pattern.homeless() == 0 && self.pipes.queued() == 0
    }

    /// Whether there is nothing left to send, or nobody it could go to.
    pub(super) fn is_finished(&self) -> bool {
        self.is_drained() || self.is_alone()
    }

    /// Whether there is no peer, and none can come.
    fn is_alone(&self) -> bool {
        let listens = self.attachments.iter().any(|attachment| attachment.peer.is_none());
        !listens && self.pipes.peers.iter().all(|(_, peer)| !peer.dialled && peer.carrier.is_none())
    }

    pub(super) fn wake_draining(&mut self, wakes: &mut Wakes) {
        if self.phase != Phase::Open && self.is_finished() {
            self.draining.wake_all(wakes);
        }
    }

    /// Takes out everything that is queued and with no wire.
    pub(super) fn give_up(&mut self) -> Vec<Message> {
        let mut unsent = self.pattern.drain();
        for (_, peer) in self.pipes.peers.iter_mut() {
            let queued = peer.outbox.give_up();
            peer.tally.taken_back += queued.len() as u64;
            unsent.extend(queued);
        }
        unsent
    }
}

impl Member for Core {
    /// Ends the socket for its users and wakes all that wait. True if that had not happened before.
    fn begin_close(&self) -> bool {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return false;
        }
        state.phase = Phase::Closing;
        let stays = !state.is_finished();
        let State { senders, receivers, connecting, watchers, pipes, .. } = &mut *state;
        for waiters in [senders, receivers, connecting, watchers] {
            waiters.wake_all(&mut wakes);
        }
        pipes.discard_all();
        let errands = pipes.take_errands();
        drop(state);
        wakes.wake();
        // While it stays, reading goes on where it has paused, so that it hears of peers that are lost. If it does not,
        // what peers still have is better sent to others.
        if let Some(errands) = errands.filter(|_| stays) {
            errands.run();
        }
        self.flush();
        true
    }

    fn owes(&self) -> bool {
        !self.lock().is_drained()
    }

    /// Waits until everything is written, then ends all connections and hands back what was not.
    fn finish_close(&self, deadline: Option<Instant>) -> Vec<Message> {
        let drained = self.engine.block_on(Drain(Place::of_draining(self)), deadline).is_some();
        let ending = if drained { self.farewell() } else { Ending::Abrupt };
        let attachments = std::mem::take(&mut self.lock().attachments);
        for attachment in attachments {
            // Meanwhile what its wires had begun to write comes back.
            self.forget(attachment.key, ending, true);
        }
        let unsent = self.hand_back();
        let mut state = self.lock();
        state.phase = Phase::Closed;
        let mut wakes = Wakes::default();
        state.end_feeds(&mut wakes);
        drop(state);
        wakes.wake();
        unsent
    }
}

/// Closes a socket once all it has is sent. If this is dropped before, the rest is sent in the background, as for a
/// socket that is dropped.
pub(super) struct Draining<'a> {
    /// Gone once there is nothing left to do.
    drain: Option<Drain<'a>>,
}

impl<'a> Draining<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self { drain: core.begin_close().then(|| Drain(Place::of_draining(core))) }
    }
}

impl Future for Draining<'_> {
    type Output = Closed;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Closed> {
        let Some(drain) = &mut self.drain else { return Poll::Ready(Closed::default()) };
        let core = drain.0.core;
        let drained = Pin::new(drain).poll(context);
        drained.map(|()| {
            self.drain = None;
            let unsent = core.hand_back();
            core.settle();
            Closed { unsent }
        })
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        if let Some(Drain(place)) = &self.drain {
            place.core.linger();
        }
    }
}

/// Ends when a closed socket has nothing left to send, or nobody to send it to.
struct Drain<'a>(Place<'a>);

impl Future for Drain<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_until(context, |state| state.is_finished().then_some(()))
    }
}

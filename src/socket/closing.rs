//! How a [`Core`] ends.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::core::Core;
use super::ledger::{Ledger, place_of};
use super::state::{Phase, State};
use super::wait::{Place, Wait};
use crate::clock;
use crate::context::{Member, Places};
use crate::error::{Closed, Unmet};
use crate::message::Message;
use crate::peer::{Ending, Host};
use crate::pipe::{Outbox, Wakes};
use crate::shield::shielded;
use crate::slots::Id;
use crate::zmtp::SocketType;

impl Core {
    /// Sends what is left in the background, until the linger time is over.
    pub(crate) fn linger(&self) {
        self.keep_no_account();
        if self.poll_drained(Waker::noop()) || self.options.linger.is_zero() {
            return self.settle();
        }
        if let Some(this) = self.this.upgrade() {
            self.engine.linger(this, clock::now().checked_add(self.options.linger));
        }
    }

    /// Nobody is left who could be given account, or have anything back.
    fn keep_no_account(&self) {
        let mut state = self.lock();
        let unsent = state.pipes.ledger.take().map_or_else(Vec::new, |ledger| ledger.into_unsent());
        state.pipes.stats.returned -= unsent.len() as u64;
        state.pipes.stats.dropped.lingered += unsent.len() as u64;
        drop(state);
        self.tell_of_lost(unsent.len());
        shielded(|| drop(unsent));
    }

    /// Says in the log what nobody can ask a dropped socket any more.
    pub(super) fn tell_of_lost(&self, messages: usize) {
        if messages > 0 {
            let socket = self.socket_type;
            log::warn!("a dropped {socket} socket gives up {messages} messages it could not send in time");
        }
    }

    pub(super) fn farewell(&self) -> Ending {
        // A peer of a socket that does not send is not waited for: what it sends meanwhile would be lost on us, and it
        // could not know.
        if self.lock().pipes.stats.written > 0 { Ending::Graceful } else { Ending::Abrupt }
    }
}

impl State {
    pub(super) fn is_drained(&self) -> bool {
        // Messages take octets, and the sum of these is at hand.
        self.pattern.homeless() == 0 && self.pipes.queued_octets() == 0
    }

    /// Whether there is nothing left to send, or nobody it could go to.
    pub(super) fn is_finished(&self) -> bool {
        self.is_drained() || self.is_alone()
    }

    /// Whether there is no peer, and none can come.
    fn is_alone(&self) -> bool {
        let listens =
            self.attachments.iter().any(|attachment| attachment.peer.is_none() && !attachment.deserted);
        !listens && self.pipes.peers.iter().all(|(_, peer)| !peer.dialled && peer.carrier.is_none())
    }

    pub(super) fn wake_draining(&mut self, wakes: &mut Wakes) {
        if self.phase != Phase::Open && self.is_finished() {
            self.draining.wake_all(wakes);
        }
    }

    /// See [`Member::expect_none_of`].
    fn expect_none_of(&mut self, places: &Places, wakes: &mut Wakes) {
        let pipes = &self.pipes;
        let mut gone = Vec::new();
        for attachment in &mut self.attachments {
            match attachment.peer {
                Some(peer) => {
                    let own = places.listening.contains(&attachment.endpoint);
                    gone.extend((own || pipes.is_at(peer, &places.listening)).then_some(peer));
                }
                None => {
                    let guests = pipes.guests(&attachment.endpoint);
                    let own =
                        !guests.is_empty() && guests.iter().all(|id| pipes.is_at(*id, &places.dialling));
                    attachment.deserted |= own;
                }
            }
        }
        for peer in gone {
            self.forsake(peer);
            self.remove(peer, wakes);
        }
        self.wake_draining(wakes);
    }

    /// Opens the account of a close, with a line for each endpoint.
    fn open_account(&mut self, socket: SocketType) {
        let mut ledger = Ledger::new(socket, self.pipes.stats);
        for attachment in &self.attachments {
            ledger.line(Some((attachment.endpoint.clone(), attachment.peer.is_none())));
        }
        self.pipes.ledger = Some(Box::new(ledger));
    }

    /// What a peer was not sent goes back to the caller.
    pub(super) fn hand_back(&mut self, peer: Id, unsent: Vec<Message>) {
        self.pipes.stats.returned += unsent.len() as u64;
        if let Some(line) = self.pipes.line(peer).filter(|_| !unsent.is_empty()) {
            line.hand_back(unsent);
        }
    }

    /// Closes the account, with all that is with no wire.
    fn close_account(&mut self) -> Closed {
        self.phase = Phase::Closed;
        let Self { pipes, pattern, .. } = self;
        let Some(mut ledger) = pipes.ledger.take() else { return Closed::default() };
        let homeless = pattern.drain();
        let peers: Vec<Id> = pipes.peers.iter().map(|(id, _)| id).collect();
        for id in peers {
            let queued = pipes.with_outbox(id, Outbox::give_up).unwrap_or_default();
            // What the socket has told itself meanwhile.
            let unread = pipes.clear_inbox(id) as u64;
            let Some(peer) = pipes.peers.get_mut(id) else { continue };
            peer.tally.taken_back += queued.len() as u64;
            pipes.stats.returned += queued.len() as u64;
            pipes.stats.discarded += unread;
            if unread > 0 || !queued.is_empty() {
                let line = ledger.line(place_of(peer));
                line.figures.discarded += unread;
                line.hand_back(queued);
            }
            pipes.forget_leftover(id);
        }
        // They wait behind what has a peer.
        pipes.stats.returned += homeless.len() as u64;
        if !homeless.is_empty() {
            ledger.line(None).hand_back(homeless);
        }
        ledger.close(&pipes.stats)
    }

    /// Takes out everything that is queued and with no wire.
    pub(super) fn give_up(&mut self) -> Vec<Message> {
        let mut unsent = self.pattern.drain();
        let peers: Vec<Id> = self.pipes.peers.iter().map(|(id, _)| id).collect();
        for id in peers {
            let queued = self.pipes.with_outbox(id, Outbox::give_up).unwrap_or_default();
            if let Some(peer) = self.pipes.peers.get_mut(id) {
                peer.tally.taken_back += queued.len() as u64;
            }
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
        state.open_account(self.socket_type);
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

    fn add_places(&self, places: &mut Places) {
        let state = self.lock();
        for attachment in &state.attachments {
            // On `ipc` one end of a connection has no name, and goes by that of the other.
            let of_kind =
                if attachment.peer.is_none() { &mut places.listening } else { &mut places.dialling };
            of_kind.insert(attachment.endpoint.clone());
        }
        for (_, peer) in state.pipes.peers.iter() {
            let of_kind = if peer.listener.is_some() { &mut places.listening } else { &mut places.dialling };
            of_kind.extend(peer.carrier.as_ref().and_then(|carrier| carrier.local()));
        }
    }

    fn expect_none_of(&self, places: &Places) {
        self.change(|state, wakes| state.expect_none_of(places, wakes)).1.wake();
        // What one of them has not got may have gone to another peer.
        self.flush();
    }

    /// Waits until everything is written, then ends all connections and hands back what was not.
    fn finish_close(&self, deadline: Option<Instant>) -> Closed {
        let drained = self.engine.block_on(Drain(Place::of_draining(self)), deadline).is_ok();
        let ending = if drained { self.farewell() } else { Ending::Abrupt };
        let mut state = self.lock();
        state.phase = Phase::Ending;
        let attachments = std::mem::take(&mut state.attachments);
        drop(state);
        for attachment in attachments {
            // Meanwhile what its wires had begun to write comes back.
            self.forget(attachment.key, ending, true);
        }
        // Also of one that another thread is just about to disconnect or unbind.
        let _but_in_a_waker = self.engine.block_on(Detached(Place::of_draining(self)), None);
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let closed = state.close_account();
        state.end_feeds(&mut wakes);
        drop(state);
        wakes.wake();
        closed
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
        let begun = !core.engine.is_forked() && core.begin_close();
        Self { drain: begun.then(|| Drain(Place::of_draining(core))) }
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
            let closed = core.lock().close_account();
            core.settle();
            closed
        })
    }
}

impl Wait for Draining<'_> {
    fn end(&mut self, _: Unmet) -> Closed {
        Closed::default()
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        if let Some(Drain(place)) = self.drain.as_ref().filter(|Drain(place)| !place.core.engine.is_forked())
        {
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

/// Ends when no call is undoing a bind or connect.
struct Detached<'a>(Place<'a>);

impl Future for Detached<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_until(context, |state| (state.detaching == 0).then_some(()))
    }
}

/// A call is undoing a bind or connect. What comes of that is still accounted for by a `close` that has begun meanwhile.
pub(super) struct Detaching<'a>(pub(super) &'a Core);

impl Drop for Detaching<'_> {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        let mut state = self.0.lock();
        state.detaching -= 1;
        if state.detaching == 0 {
            state.draining.wake_all(&mut wakes);
        }
        drop(state);
        wakes.wake();
    }
}

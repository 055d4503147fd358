//! A [`Core`] as its connections see it.

use std::sync::Arc;
use std::task::Waker;

use super::attachments::Attachment;
use super::core::Core;
use super::state::{Phase, State};
use crate::endpoint::Inproc;
use crate::limit::Limit;
use crate::message::{Message, Space};
use crate::monitor::{End, Event, Remote};
use crate::options::Overflow;
use crate::peer::{Carrier, Ending, Host, Rejection, Word, Words};
use crate::pipe::{Flight, Ticket, Wakes, Written};
use crate::shield::shielded;
use crate::slots::Id;
use crate::zmtp::PeerInfo;

impl Host for Core {
    fn attach(
        &self,
        dialled: Option<Id>,
        info: &PeerInfo,
        carrier: Arc<dyn Carrier>,
    ) -> Result<(Id, Wakes), Rejection> {
        let (id, wakes) = self.change(|state, wakes| state.attach(dialled, info, carrier, wakes));
        Ok((id?, wakes))
    }

    fn exchange(&self, id: Id, flight: &mut Flight, words: &mut Vec<Word>) -> Wakes {
        let exchange = |state: &mut State, wakes: &mut Wakes| {
            let written = flight.newly_written();
            let Some(opens) = state.pipes.with_outbox(id, |outbox| outbox.written(written)) else { return };
            state.count_written(id, written);
            if opens {
                state.writable(id, wakes);
            }
            if let Some(peer) = state.pipes.peers.get_mut(id).filter(|peer| !peer.severed) {
                // In the midst of a batch they could not go out either.
                if flight.is_done() {
                    peer.words.move_to(words);
                    peer.outbox.take(flight);
                }
            }
            state.wake_draining(wakes);
        };
        self.change(exchange).1
    }

    fn hand_over(
        &self,
        id: Id,
        room: Space,
        messages: &mut Vec<Message>,
        words: &mut Vec<Word>,
    ) -> (usize, Wakes) {
        self.change(|state, wakes| {
            let Some(peer) = state.pipes.peers.get_mut(id).filter(|peer| !peer.severed) else { return 0 };
            peer.words.move_to(words);
            let handed = state.pipes.with_outbox(id, |outbox| outbox.hand_over(room, messages));
            let (octets, opens) = handed.unwrap_or_default();
            let ran_dry = messages.is_empty() && !room.is_none();
            if let Some(peer) = state.pipes.peers.get_mut(id).filter(|_| ran_dry) {
                peer.heard = true;
            }
            state.count_written(id, Written { messages: messages.len(), octets });
            if opens {
                state.writable(id, wakes);
            }
            state.wake_draining(wakes);
            octets
        })
    }

    fn deliver(&self, id: Id, messages: &mut Vec<Message>, octets: usize) -> (Space, Wakes) {
        self.change(|state, wakes| {
            let open = state.phase == Phase::Open;
            let State { pipes, pattern, .. } = &mut *state;
            let here = pipes.peers.get_mut(id).filter(|peer| open && !peer.severed);
            let Some(peer) = here else {
                let count = messages.len();
                shielded(|| messages.clear());
                state.count_received(id, count, octets);
                state.pipes.count_discarded(id, count);
                return Space::ENDLESS;
            };
            peer.heard = true;
            let (subscribers, received) = (pattern.subscribers(), pipes.stats.received);
            let came = messages.len();
            // What it discards may be all that is left of somebody's, on `inproc`.
            let arrived = shielded(|| pattern.arrive(pipes, id, messages));
            let discarded = arrived.unwrap_or_else(|| came - messages.len());
            let noticed = pipes.stats.received - received;
            if pattern.subscribers() > subscribers || self.options.overflow == Overflow::Block {
                state.resubscribed(wakes);
            }
            state.wake_receivers(noticed as usize, wakes);
            state.count_received(id, messages.len() + discarded, octets);
            state.accept(id, messages, discarded, wakes)
        })
    }

    fn room(&self, id: Id) -> Space {
        self.lock().pipes.room(id)
    }

    fn lose(&self, id: Id, flight: &mut Flight) -> Wakes {
        self.change(|state, wakes| state.lose(id, flight, self.options.immediate, wakes)).1
    }

    fn part(&self, id: Id, why: &End) -> Wakes {
        let part = |state: &mut State, wakes: &mut Wakes| {
            state.dry_up(id);
            let State { pipes, feeds, .. } = &mut *state;
            if let Some(peer) = pipes.peers.get(id) {
                let disconnected = || Event::Disconnected { peer: peer.remote.clone(), why: why.clone() };
                feeds.tell(disconnected, wakes);
            }
            state.remove(id, wakes);
            state.end_feeds_with_the_last(wakes);
            // Who did not want us had no place that others could have now, and is not to be asked again at once.
            if matches!(why, End::Refused(_)) { Vec::new() } else { state.names_with_a_place() }
        };
        let (names, wakes) = self.change(part);
        if !names.is_empty() {
            let hub = self.hub.clone();
            self.engine.run(move || names.iter().for_each(|name| hub.meet(name)));
        }
        wakes
    }

    fn abandon(&self, id: Id) -> Wakes {
        self.lock().forsake(id);
        self.remove(id)
    }

    fn desert(&self) {
        let desert = |state: &mut State, wakes: &mut Wakes| {
            let names = state.attachments.iter_mut().filter(|attachment| attachment.inproc().is_some());
            names.for_each(|attachment| attachment.deserted = true);
            state.wake_draining(wakes);
        };
        self.change(desert).1.wake();
    }

    fn report(&self, event: &dyn Fn() -> Event) -> Wakes {
        let mut wakes = Wakes::default();
        self.lock().feeds.tell(event, &mut wakes);
        wakes
    }

    fn limit_reached(&self, limit: Limit, peer: &dyn Fn() -> Remote) -> Wakes {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        state.pipes.stats.limits.add(limit);
        state.feeds.tell(|| Event::LimitReached { limit, peer: peer() }, &mut wakes);
        drop(state);
        wakes
    }

    fn flush(&self) {
        // It may have been left behind before a fork, which has only a copy of it, and writes nothing.
        let carriers = self.enter().map(|mut state| state.pipes.take_dirty()).unwrap_or_default();
        carriers.iter().for_each(|carrier| carrier.pump());
    }

    fn look(&self) -> bool {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        state.tell_news(&mut wakes);
        let goes_on = state.goes_on_watch();
        if state.pipes.is_dirty() {
            let carriers = state.pipes.take_dirty();
            drop(state);
            carriers.iter().for_each(|carrier| carrier.pump());
        } else {
            let idle = state.pipes.cool();
            drop(state);
            idle.iter().for_each(|carrier| carrier.trim());
        }
        wakes.wake();
        goes_on
    }

    fn poll_drained(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let finished = state.is_finished();
        if !finished {
            // Without a ticket to leave by: whoever asks stays until it is so, or until the socket is settled.
            let before = state.draining.wait(&mut Ticket::default(), waker.clone());
            debug_assert!(before.is_none(), "a new ticket had no waker before");
        }
        finished
    }

    fn settle(&self) {
        let ending = self.farewell();
        let mut state = self.lock();
        let ending = if state.is_drained() { ending } else { Ending::Abrupt };
        state.phase = Phase::Closed;
        let dropped = state.give_up();
        state.pipes.stats.dropped.lingered += dropped.len() as u64;
        let lost = dropped.len() + state.pipes.queued();
        let attachments = std::mem::take(&mut state.attachments);
        drop(state);
        self.tell_of_lost(lost);
        shielded(|| drop(dropped));
        attachments.iter().for_each(|attachment| self.forget(attachment.key, ending, false));
        let mut wakes = Wakes::default();
        self.lock().end_feeds_with_the_last(&mut wakes);
        wakes.wake();
    }
}

impl Core {
    /// A peer that is not expected back is gone.
    pub(super) fn remove(&self, id: Id) -> Wakes {
        self.change(|state, wakes| state.remove(id, wakes)).1
    }
}

impl State {
    fn attach(
        &mut self,
        dialled: Option<Id>,
        info: &PeerInfo,
        carrier: Arc<dyn Carrier>,
        wakes: &mut Wakes,
    ) -> Result<Id, Rejection> {
        if matches!(self.phase, Phase::Ending | Phase::Closed) {
            return Err(Rejection::Closed);
        }
        let id = dialled.unwrap_or_else(|| self.pipes.insert(false, carrier.is_inproc()));
        let Some(peer) = self.pipes.peers.get_mut(id) else { return Err(Rejection::Closed) };
        let address = carrier.address();
        peer.listener = carrier.listener();
        peer.carrier = Some(carrier.clone());
        peer.source = Some(carrier);
        if let Err(rejection) = self.pattern.attach(&mut self.pipes, id, info) {
            match dialled {
                Some(_) => {
                    self.detach(id);
                    self.dry_up(id);
                }
                None => _ = self.pipes.peers.remove(id),
            }
            return Err(rejection);
        }
        self.pipes.welcome(id);
        let routing_id = self.pattern.name(id).unwrap_or_else(|| info.identity.clone());
        let Some(peer) = self.pipes.peers.get_mut(id) else { return Err(Rejection::Closed) };
        peer.remote.address = Some(address);
        peer.remote.socket_type = Some(info.socket_type);
        peer.remote.routing_id = routing_id;
        self.pipes.stats.reconnects += u64::from(peer.tally.connections > 0);
        peer.tally.connections += 1;
        // What was filled up before there was a connection opens when it has drained.
        let room = peer.outbox.has_room();
        self.pipes.stats.peers += 1;
        self.feeds.tell(|| Event::Ready { peer: peer.remote.clone() }, wakes);
        self.connecting.wake_all(wakes);
        if room {
            self.writable(id, wakes);
        }
        Ok(id)
    }

    /// The peer has no connection any more that could be written to.
    fn detach(&mut self, id: Id) {
        let Some(peer) = self.pipes.peers.get_mut(id) else { return };
        peer.carrier = None;
        peer.words = Words::default();
        peer.severed = false;
    }

    /// Nothing more comes from the peer on the connection it had.
    fn dry_up(&mut self, id: Id) {
        if let Some(peer) = self.pipes.peers.get_mut(id) {
            peer.source = None;
        }
    }

    /// Puts what has come, and is wanted, into the inbox of a peer. Tells how much more may come.
    fn accept(&mut self, id: Id, messages: &mut Vec<Message>, discarded: usize, wakes: &mut Wakes) -> Space {
        let Self { pipes, pattern, .. } = self;
        let count = messages.len();
        pipes.stats.discarded += discarded as u64;
        if count > 0 {
            pipes.accept(id, messages);
            pattern.readable(id);
        }
        let room = if pattern.receives() { pipes.room(id) } else { Space::ENDLESS };
        self.wake_receivers(count, wakes);
        room
    }

    fn lose(&mut self, id: Id, flight: &mut Flight, immediate: bool, wakes: &mut Wakes) {
        let written = flight.newly_written();
        if self.pipes.with_outbox(id, |outbox| outbox.written(written)).is_none() {
            return;
        }
        self.count_written(id, written);
        let unsent = self.pipes.with_outbox(id, |outbox| outbox.take_back(Some(flight))).unwrap_or_default();
        let Some(peer) = self.pipes.peers.get_mut(id) else { return };
        let unconfirmed = std::mem::take(&mut peer.written);
        peer.tally.unconfirmed += unconfirmed;
        let was_attached = peer.carrier.is_some();
        let expected = peer.dialled && !immediate;
        self.pipes.stats.unconfirmed += unconfirmed;
        self.pipes.stats.peers -= usize::from(was_attached);
        self.detach(id);
        if self.phase == Phase::Closed {
            self.pipes.stats.dropped.lingered += unsent.len() as u64;
            if let Some(peer) = self.pipes.peers.get_mut(id) {
                peer.tally.taken_back += unsent.len() as u64;
            }
            shielded(|| drop(unsent));
            return;
        }
        self.take_back(id, unsent, expected);
        self.wake_all_senders(wakes);
        if self.pattern.can_recv() {
            self.wake_receivers(usize::MAX, wakes);
        }
        self.wake_draining(wakes);
    }

    /// The inproc names at which somebody may have been turned away, by whichever side, who is welcome now. Only an end
    /// of theirs would have them tried again otherwise.
    fn names_with_a_place(&self) -> Vec<Inproc> {
        let free = |other: &&Attachment| other.peer.is_none_or(|peer| !self.pipes.is_connected(peer));
        self.attachments.iter().filter(free).filter_map(Attachment::inproc).cloned().collect()
    }

    /// A peer that is not expected back is gone, but for what is left in its inbox.
    pub(super) fn remove(&mut self, id: Id, wakes: &mut Wakes) {
        // While it is connected what its wire has begun to write is not back: when it is, the peer is gone.
        if self.pipes.peers.get(id).is_none_or(|peer| peer.dialled || peer.carrier.is_some()) {
            return;
        }
        let unsent = self.pipes.with_outbox(id, |outbox| outbox.take_back(None)).unwrap_or_default();
        self.take_back(id, unsent, false);
        self.pattern.gone(id);
        self.pipes.leave_over(id);
        self.wake_all_senders(wakes);
        self.wake_draining(wakes);
    }

    /// The pattern decides what becomes of messages that a peer has not got.
    fn take_back(&mut self, id: Id, unsent: Vec<Message>, expected: bool) {
        let count = unsent.len();
        if let Some(peer) = self.pipes.peers.get_mut(id) {
            peer.tally.taken_back += count as u64;
        }
        let keeps = self.pattern.keeps(id);
        if self.phase == Phase::Ending && keeps {
            self.hand_back(id, unsent);
            return;
        }
        let bodies = unsent.clone();
        let kept = self.pattern.lost(&mut self.pipes, id, unsent, expected);
        if self.phase == Phase::Closing && keeps && kept == 0 && self.pipes.ledger.is_some() {
            // It was for this peer alone, which is closed together with the socket, and somebody asks what is left.
            self.hand_back(id, bodies);
            return;
        }
        let stats = &mut self.pipes.stats;
        stats.requeued += kept as u64;
        let dropped =
            if self.pipes.conflate { &mut stats.dropped.conflated } else { &mut stats.dropped.disconnected };
        *dropped += (count - kept) as u64;
        if let Some(line) = self.pipes.line(id).filter(|_| count > kept) {
            line.figures.dropped += (count - kept) as u64;
        }
        // Not before it is all done.
        shielded(|| drop(bodies));
    }

    fn count_received(&mut self, id: Id, messages: usize, octets: usize) {
        self.pipes.stats.received += messages as u64;
        self.pipes.stats.bytes_received += octets as u64;
        if let Some(peer) = self.pipes.peers.get_mut(id) {
            peer.tally.received += messages as u64;
            peer.tally.octets_received += octets as u64;
        }
    }

    fn count_written(&mut self, id: Id, written: Written) {
        let Some(peer) = self.pipes.peers.get_mut(id) else { return };
        peer.written += written.messages as u64;
        peer.tally.written += written.messages as u64;
        peer.tally.octets_written += written.octets as u64;
        self.pipes.stats.written += written.messages as u64;
        self.pipes.stats.bytes_written += written.octets as u64;
        if let Some(line) = self.pipes.line(id) {
            line.figures.flushed += written.messages as u64;
        }
    }
}

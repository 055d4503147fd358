//! [`Pipes`]: the peers of a socket with their queues, and what is to be done for them once the core lock is released.

use std::collections::HashSet;
use std::sync::Arc;

use super::ledger::{Ledger, Line, place_of};
use super::stats::Stats;
use crate::clock;
use crate::endpoint::Endpoint;
use crate::limit::Limit;
use crate::message::Message;
use crate::monitor::Remote;
use crate::options::{Options, mark};
use crate::pattern::{self, Pipes as _};
use crate::peer::{Carrier, Peer, Word};
use crate::pipe::{Inbox, Outbox};
use crate::shield::shielded;
use crate::slots::{Id, Slots};

/// The peers of a socket.
pub(crate) struct Pipes {
    pub(super) peers: Slots<Peer>,
    pub(super) stats: Stats,
    /// Kept while the socket is being closed.
    pub(super) ledger: Option<Box<Ledger>>,
    errands: Errands,
    /// Peers with messages that nobody will write unless reminded. Each stands here once: see [`Peer::dirty`].
    dirty: Vec<Id>,
    /// Peers that were written to in the last look, whose memory may be given back when they have fallen idle.
    recent: Vec<Id>,
    /// Limits that were reached, and by whom, until monitors are told.
    reached: Vec<(Limit, Remote)>,
    /// Nobody will pump: what is queued now goes to `dirty`.
    deferring: bool,
    send_mark: usize,
    recv_mark: usize,
    pub(super) conflate: bool,
    /// What each connection begins with.
    welcome: Option<Message>,
}

/// What is to be done for connections once the core lock is released.
#[derive(Default)]
pub(super) struct Errands {
    /// A connection to be written to by the thread that has just sent. As a rule there is one, if any.
    pump: Option<Arc<dyn Carrier>>,
    rest: Vec<(Errand, Arc<dyn Carrier>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    Pump,
    /// The inbox has room again.
    Resume,
    HangUp,
}

impl Errands {
    /// Does it all. No lock may be held.
    #[inline]
    pub(super) fn run(self) {
        if let Some(carrier) = self.pump {
            carrier.pump();
        }
        for (errand, carrier) in self.rest {
            match errand {
                Errand::Pump => carrier.pump(),
                Errand::Resume => carrier.resume(),
                Errand::HangUp => carrier.hang_up(),
            }
        }
    }

    /// Adds what is to be done for a connection, if there is one.
    fn add(&mut self, errand: Errand, carrier: Option<Arc<dyn Carrier>>) {
        self.rest.extend(carrier.map(|carrier| (errand, carrier)));
    }

    fn add_pump(&mut self, carrier: Arc<dyn Carrier>) {
        if self.pump.is_none() {
            self.pump = Some(carrier);
        } else {
            self.rest.push((Errand::Pump, carrier));
        }
    }
}

impl Pipes {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            peers: Slots::new(),
            stats: Stats::default(),
            ledger: None,
            errands: Errands::default(),
            dirty: Vec::new(),
            recent: Vec::new(),
            reached: Vec::new(),
            deferring: false,
            send_mark: mark(options.send_hwm),
            recv_mark: mark(options.recv_hwm),
            conflate: options.conflate,
            welcome: options.welcome.clone(),
        }
    }

    /// A new peer; `dialled` if `connect` made it, `inproc` if it is in this process.
    pub(super) fn insert(&mut self, dialled: bool, inproc: bool) -> Id {
        let new = if inproc { Outbox::whole } else { Outbox::new };
        let outbox = new(self.send_mark, self.conflate);
        let inbox = Inbox::new(self.recv_mark, self.conflate);
        self.peers.insert(Peer::new(outbox, inbox, dialled))
    }

    /// Where the messages of a peer are accounted for while the socket is being closed.
    pub(super) fn line(&mut self, id: Id) -> Option<&mut Line> {
        let ledger = self.ledger.as_mut()?;
        Some(ledger.line(self.peers.get(id).and_then(place_of)))
    }

    /// Messages came from a peer that nobody will receive.
    pub(super) fn count_discarded(&mut self, id: Id, messages: usize) {
        self.stats.discarded += messages as u64;
        if let Some(line) = self.line(id).filter(|_| messages > 0) {
            line.figures.discarded += messages as u64;
        }
    }

    /// Messages in all outbound queues.
    pub(super) fn queued(&self) -> usize {
        self.peers.iter().map(|(_, peer)| peer.outbox.queued()).sum()
    }

    /// Messages in all inbound queues.
    pub(super) fn waiting(&self) -> usize {
        self.peers.iter().map(|(_, peer)| peer.inbox.len()).sum()
    }

    /// The peers that have a connection.
    pub(super) fn connected(&self) -> Vec<Id> {
        let connected = |(id, peer): (Id, &Peer)| (peer.carrier.is_some() && !peer.severed).then_some(id);
        self.peers.iter().filter_map(connected).collect()
    }

    /// What is to be done once the lock is released; none if there is nothing.
    #[inline]
    pub(super) fn take_errands(&mut self) -> Option<Errands> {
        let some = self.errands.pump.is_some() || !self.errands.rest.is_empty();
        some.then(|| std::mem::take(&mut self.errands))
    }

    /// Whether anything waits for [`Pipes::take_dirty`].
    #[inline]
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The connections that have something to write which nobody writes.
    pub(super) fn take_dirty(&mut self) -> Vec<Arc<dyn Carrier>> {
        let mut carriers = Vec::new();
        for id in &self.dirty {
            let Some(peer) = self.peers.get_mut(*id) else { continue };
            peer.dirty = false;
            if peer.wants_pump() {
                carriers.extend(peer.carrier.clone());
            }
        }
        self.recent.clear();
        self.recent.append(&mut self.dirty);
        carriers
    }

    /// Nothing has been sent for a while: the connections that may give their memory back.
    pub(super) fn cool(&mut self) -> Vec<Arc<dyn Carrier>> {
        let mut carriers = Vec::new();
        for id in std::mem::take(&mut self.recent) {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            if peer.outbox.queued() == 0 {
                peer.outbox.trim();
                carriers.extend(peer.carrier.clone());
            }
        }
        carriers
    }

    /// While this is set, messages are queued in passing: nobody will pump.
    pub(super) fn defer(&mut self, deferring: bool) {
        self.deferring = deferring;
    }

    /// Tells a peer something, if it has a connection. What it is told does not outlive that.
    pub(super) fn say(&mut self, id: Id, word: Word) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if peer.carrier.is_none() || peer.severed {
            return;
        }
        peer.words.push(word);
        self.schedule(id, true);
    }

    /// Says what each connection begins with.
    pub(super) fn welcome(&mut self, id: Id) {
        if let Some(message) = self.welcome.clone() {
            self.say(id, Word::Greet(message));
        }
    }

    /// Whether the peer has a connection at present.
    pub(super) fn is_connected(&self, id: Id) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.carrier.is_some())
    }

    /// Whether the peer has a connection to one of these places.
    pub(super) fn is_at(&self, id: Id, places: &HashSet<Endpoint>) -> bool {
        let carrier = self.peers.get(id).and_then(|peer| peer.carrier.as_ref());
        carrier.is_some_and(|carrier| places.contains(&carrier.address()))
    }

    /// The peers that came in at an endpoint and are connected.
    pub(super) fn guests(&self, at: &Endpoint) -> Vec<Id> {
        let came_in = |peer: &Peer| peer.listener.as_ref() == Some(at) && peer.carrier.is_some();
        self.peers.iter().filter(|(_, peer)| came_in(peer)).map(|(id, _)| id).collect()
    }

    /// Messages of one peer that are not received.
    pub(super) fn unread(&self, id: Id) -> usize {
        self.peers.get(id).map_or(0, |peer| peer.inbox.len())
    }

    /// Whether `connect` made the peer, so that it comes back when it is lost.
    pub(super) fn is_dialled(&self, id: Id) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.dialled)
    }

    /// Gives up what is queued for a peer and with no wire. Tells whether its queue has room.
    pub(super) fn revoke(&mut self, id: Id) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let given_up = peer.outbox.give_up();
        let revoked = given_up.len() as u64;
        shielded(|| drop(given_up));
        peer.tally.taken_back += revoked;
        self.stats.dropped.abandoned += revoked;
        peer.outbox.has_room()
    }

    /// Throws away what came from a peer and was not received.
    pub(super) fn discard(&mut self, id: Id) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let unread = peer.inbox.clear();
        let over = peer.over;
        if peer.inbox.resumes() || peer.outbox.is_whole() {
            self.errands.add(Errand::Resume, peer.source.clone());
        }
        self.count_discarded(id, unread);
        if over {
            self.peers.remove(id);
        }
    }

    /// As [`Pipes::discard`], for all peers.
    pub(super) fn discard_all(&mut self) {
        let peers: Vec<Id> = self.peers.iter().map(|(id, _)| id).collect();
        peers.into_iter().for_each(|peer| self.discard(peer));
    }

    /// A peer has reached a limit. That is counted; monitors are told when the caller is done, if there are any.
    pub(super) fn reach(&mut self, limit: Limit, id: Id) {
        self.stats.limits.add(limit);
        if self.reached.len() < UNTOLD {
            self.reached.extend(self.peers.get(id).map(|peer| (limit, peer.remote.clone())));
        }
    }

    /// Limits that were reached since the last call.
    pub(super) fn take_reached(&mut self) -> Vec<(Limit, Remote)> {
        std::mem::take(&mut self.reached)
    }

    /// A peer that has gone beyond a limit is not borne any longer.
    pub(super) fn expel(&mut self, id: Id, limit: Limit) {
        if self.peers.get(id).is_some_and(|peer| !peer.severed) {
            self.reach(limit, id);
            self.sever(id);
        }
    }

    /// Puts a message of the socket itself into the inbox of a peer, behind what had come from that before, which is
    /// taken. It does not count for the high-water mark.
    pub(super) fn notify(&mut self, id: Id, before: &mut Vec<Message>, message: Message) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let count = before.len() as u64 + 1;
        self.stats.received += count;
        peer.tally.received += count;
        self.stats.discarded += peer.inbox.accept(before) as u64;
        peer.inbox.notice(message);
    }

    /// Sees to it that a batch is written: one that is `ripe`, or one that has just been begun.
    fn schedule(&mut self, id: Id, ripe: bool) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let Some(carrier) = peer.carrier.as_ref().filter(|_| !peer.outbox.is_in_flight()) else {
            // A wire that is at work comes back for more by itself, and a peer without one has to wait for it.
            return;
        };
        let at_once = if peer.outbox.is_whole() {
            // A peer in this process takes what there is when it has nothing left, and says so if that was nothing.
            if !ripe && !peer.pace.answers() {
                return;
            }
            true
        } else if ripe {
            peer.pace.flushed(clock::now());
            true
        } else {
            !self.deferring && peer.pace.at_once(clock::now)
        };
        if at_once && !self.deferring {
            self.errands.add_pump(carrier.clone());
        } else if !std::mem::replace(&mut peer.dirty, true) {
            self.dirty.push(id);
        }
    }
}

/// Limits that may be reached until somebody looks whether a monitor is to be told; the others are only counted.
const UNTOLD: usize = 64;

impl pattern::Pipes for Pipes {
    #[inline]
    fn push(&mut self, id: Id, message: &Message) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            debug_assert!(false, "a message for nobody");
            return false;
        };
        let pushed = peer.outbox.push(message);
        let room = peer.outbox.has_room();
        peer.tally.given += 1;
        if pushed.replaced {
            peer.tally.taken_back += 1;
            self.stats.dropped.conflated += 1;
            self.line(id).into_iter().for_each(|line| line.figures.dropped += 1);
        }
        if pushed.first || pushed.ripe {
            self.schedule(id, pushed.ripe);
        }
        room
    }

    #[inline]
    fn pop(&mut self, id: Id) -> Option<Message> {
        let peer = self.peers.get_mut(id)?;
        let message = peer.inbox.pop();
        if message.is_some() {
            self.stats.delivered += 1;
            peer.tally.delivered += 1;
        }
        if peer.inbox.resumes() || (peer.outbox.is_whole() && peer.inbox.is_empty()) {
            self.errands.add(Errand::Resume, peer.source.clone());
        }
        if peer.over && peer.inbox.is_empty() {
            self.peers.remove(id);
        }
        message
    }

    #[inline]
    fn is_dry(&self, id: Id) -> bool {
        self.peers.get(id).is_none_or(|peer| peer.inbox.is_empty())
    }

    #[inline]
    fn has_room(&self, id: Id) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.outbox.has_room())
    }

    #[inline]
    fn is_full(&self, id: Id) -> bool {
        self.peers.get(id).is_none_or(|peer| peer.outbox.is_full())
    }

    fn shed(&mut self, id: Id) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let shed = peer.outbox.shed();
        peer.tally.taken_back += u64::from(shed);
        shed
    }

    fn sever(&mut self, id: Id) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let carrier = peer.carrier.clone().filter(|_| !peer.severed);
        peer.severed |= carrier.is_some();
        self.errands.add(Errand::HangUp, carrier);
        peer.severed
    }
}

//! [`Pipes`]: the peers of a socket with their queues, and what is to be done for them once the core lock is released.

use std::collections::HashSet;
use std::sync::Arc;

use super::ledger::{Ledger, Line, place_of};
use super::pace::Pace;
use super::stats::Stats;
use crate::clock;
use crate::endpoint::Endpoint;
use crate::error::{Received, Refusal};
use crate::limit::Limit;
use crate::message::{Message, Space};
use crate::monitor::Remote;
use crate::options::{Mark, Options, limit};
use crate::pattern::{self, Pipes as _};
use crate::peer::{Carrier, Peer, Word};
use crate::pipe::{Inbox, Outbox, Pushed, Shut};
use crate::shield::shielded;
use crate::slots::{Id, Slots};

/// The peers of a socket.
pub(crate) struct Pipes {
    pub(super) peers: Slots<Peer>,
    pub(super) stats: Stats,
    /// Kept while the socket is being closed.
    pub(super) ledger: Option<Box<Ledger>>,
    errands: Errands,
    pub(super) pace: Pace,
    /// Peers with messages that nobody will write unless reminded. Each stands here once: see [`Peer::dirty`].
    dirty: Vec<Id>,
    /// Peers that were written to in the last look, whose memory may be given back when they have fallen idle.
    recent: Vec<Id>,
    /// Limits that were reached, and by whom, until monitors are told.
    reached: Vec<(Limit, Remote)>,
    /// Nobody will pump: what is queued now goes to `dirty`.
    deferring: bool,
    send_mark: Mark,
    recv_mark: Mark,
    /// The most octets that may wait to be written, to all peers together.
    max_send: usize,
    /// Octets in all outbound queues.
    queued_octets: usize,
    /// They were too many, and half of them have not drained since.
    crammed: bool,
    /// The most octets that may wait to be received of all peers together.
    max_recv: usize,
    /// Octets that what waits to be received holds outside of the inboxes.
    outside: usize,
    /// Peers that are [over](Peer::over), and there for what is left in their inboxes.
    leftovers: usize,
    /// Some peers are held up for that: see [`Peer::held_up`].
    holds_up: bool,
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
    /// When they are done the pace is to be told.
    paces: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    Pump,
    /// The inbox has room again.
    Resume,
    HangUp,
}

impl Errands {
    /// Does it all, and tells whether the pace is to be told of it. No lock may be held.
    #[inline]
    pub(super) fn run(self) -> bool {
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
        self.paces
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
            pace: Pace::default(),
            dirty: Vec::new(),
            recent: Vec::new(),
            reached: Vec::new(),
            deferring: false,
            send_mark: options.send_mark(),
            recv_mark: options.recv_mark(),
            max_send: limit(options.max_send_bytes),
            queued_octets: 0,
            crammed: false,
            max_recv: limit(options.max_recv_bytes),
            outside: 0,
            leftovers: 0,
            holds_up: false,
            conflate: options.conflate,
            welcome: options.welcome.clone(),
        }
    }

    /// A new peer; `dialled` if `connect` made it, `inproc` if it is in this process.
    pub(super) fn insert(&mut self, dialled: bool, inproc: bool) -> Id {
        let new = if inproc { Outbox::whole } else { Outbox::new };
        let outbox = new(self.send_mark, self.conflate).within(self.max_send);
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

    /// Checks that the sums over all queues are right, where assertions are.
    pub(super) fn check(&self) {
        let sum = |octets: fn(&Peer) -> usize| self.peers.iter().map(|(_, peer)| octets(peer)).sum::<usize>();
        debug_assert_eq!(self.queued_octets, sum(|peer| peer.outbox.octets()));
        let waiting = |peer: &Peer| peer.inbox.octets() + usize::from(peer.over) * LEFTOVER;
        debug_assert_eq!(self.waiting_octets(), sum(waiting));
    }

    /// Octets in all outbound queues.
    pub(super) fn queued_octets(&self) -> usize {
        self.queued_octets
    }

    /// Does something to the outbound queue of a peer, and keeps account of its octets.
    pub(super) fn with_outbox<T>(&mut self, id: Id, change: impl FnOnce(&mut Outbox) -> T) -> Option<T> {
        let peer = self.peers.get_mut(id)?;
        let before = peer.outbox.octets();
        let result = change(&mut peer.outbox);
        self.queued_octets = self.queued_octets + peer.outbox.octets() - before;
        Some(result)
    }

    /// Whether all outbound queues together have as many octets as they may.
    #[inline]
    fn is_crammed(&self) -> bool {
        self.queued_octets >= self.max_send && !self.conflate
    }

    /// What a queue may have when all are crammed: its share, so that some slow peers do not keep everything from the others.
    fn share(&self) -> usize {
        // Who is over is sent nothing.
        let peers = self.peers.len() - self.leftovers;
        (self.max_send / peers.max(1)).max(1)
    }

    /// Takes note that a push has shut a queue, or that all of them are crammed. True if this one is shut for that.
    #[cold]
    fn cram(&mut self, id: Id, shuts: bool) -> bool {
        let crammed = self.is_crammed();
        if crammed && !std::mem::replace(&mut self.crammed, true) {
            self.reach(Limit::TotalSendBytes, id);
        }
        let share = self.share();
        let Some(peer) = self.peers.get_mut(id) else { return false };
        if shuts && peer.outbox.shut() == Some(Shut::Octets) {
            self.reach(Limit::SendBytes, id);
        } else if crammed && peer.outbox.octets() >= share {
            peer.outbox.shut_at(share / 2);
            return true;
        }
        false
    }

    /// The peers that have room again now that all queues together have; none if that is not so, or was so before.
    #[inline]
    pub(super) fn uncram(&mut self) -> Vec<Id> {
        if !self.crammed || self.queued_octets > self.max_send / 2 {
            return Vec::new();
        }
        self.crammed = false;
        let shut = |peer: &Peer| peer.outbox.shut() == Some(Shut::Total);
        let reopened = |(id, peer): (Id, &mut Peer)| (shut(peer) && peer.outbox.readmit()).then_some(id);
        self.peers.iter_mut().filter_map(reopened).collect()
    }

    /// Messages in all inbound queues.
    pub(super) fn waiting(&self) -> usize {
        self.peers.iter().map(|(_, peer)| peer.inbox.len()).sum()
    }

    /// The peers that have a connection.
    pub(super) fn connected(&self) -> Vec<Id> {
        let connected = |(id, peer): (Id, &Peer)| peer.listens().then_some(id);
        self.peers.iter().filter_map(connected).collect()
    }

    /// What is to be done once the lock is released; none if there is nothing.
    #[inline]
    pub(super) fn take_errands(&mut self) -> Option<Errands> {
        self.pace.end_call();
        self.has_errands().then(|| std::mem::take(&mut self.errands))
    }

    #[inline]
    pub(super) fn has_errands(&self) -> bool {
        self.errands.pump.is_some() || !self.errands.rest.is_empty()
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

    /// Tells a peer something, if it has a connection. What it is told does not outlive that. One that does not listen, so
    /// that too much is left to be said, is not borne any longer: it is told what still holds when it is back.
    pub(super) fn say(&mut self, id: Id, word: Word) {
        let most = self.share().min(self.send_mark.octets);
        let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.listens()) else { return };
        if peer.words.push(word, most) {
            self.schedule(id, true);
        } else {
            self.expel(id, Limit::SendBytes);
        }
    }

    /// As [`Pipes::say`], for what each connection begins with, whatever that is.
    pub(super) fn begin_with(&mut self, id: Id, word: Word) {
        let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.listens()) else { return };
        peer.words.begin_with(word);
        self.schedule(id, true);
    }

    /// Says what the socket was built to begin each connection with.
    pub(super) fn welcome(&mut self, id: Id) {
        if let Some(message) = self.welcome.clone() {
            self.begin_with(id, Word::Greet(message));
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
        let Some(revoked) = self.with_outbox(id, Outbox::give_up) else { return false };
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let count = revoked.len() as u64;
        shielded(|| drop(revoked));
        peer.tally.taken_back += count;
        self.stats.dropped.abandoned += count;
        peer.outbox.has_room()
    }

    /// Octets of memory that the messages in all inbound queues take, and what is kept for them of peers that are gone.
    #[inline]
    pub(super) fn waiting_octets(&self) -> usize {
        // What has come and is nowhere else waits.
        let waiting = self.stats.received - self.stats.delivered - self.stats.discarded;
        waiting as usize * Message::WEIGHT + self.outside + self.leftovers * LEFTOVER
    }

    /// The connection of a peer is over, and it will not come back: it stays for what is left in its inbox, if there is
    /// anything.
    pub(super) fn leave_over(&mut self, id: Id) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if peer.inbox.is_empty() {
            self.peers.remove(id);
        } else {
            self.leftovers += usize::from(!std::mem::replace(&mut peer.over, true));
        }
    }

    /// Forgets a peer that was [left over](Self::leave_over), if its inbox is empty by now.
    #[cold]
    pub(super) fn forget_leftover(&mut self, id: Id) {
        if self.peers.get(id).is_some_and(|peer| peer.over && peer.inbox.is_empty()) {
            self.peers.remove(id);
            self.leftovers -= 1;
        }
    }

    /// Puts what has come from a peer, and was counted, into its inbox.
    pub(super) fn accept(&mut self, id: Id, messages: &mut Vec<Message>) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let before = peer.inbox.outside();
        let replaced = peer.inbox.accept(messages);
        self.outside = self.outside + peer.inbox.outside() - before;
        peer.served = self.stats.received;
        self.stats.discarded += replaced as u64;
    }

    /// How much more a peer may bring. If that is nothing its carrier has to pause, and will be resumed.
    pub(super) fn room(&mut self, id: Id) -> Space {
        let left = self.max_recv.saturating_sub(self.waiting_octets());
        let Some(peer) = self.peers.get_mut(id) else { return Space::ENDLESS };
        let was_paused = peer.inbox.is_paused();
        let own = peer.inbox.room_or_pause();
        let room = if self.conflate { own } else { own.within(left) };
        peer.held_up = room.is_none() && !own.is_none();
        if !was_paused && peer.inbox.is_heavy() {
            self.reach(Limit::RecvBytes, id);
        } else if peer.held_up && !std::mem::replace(&mut self.holds_up, true) {
            self.reach(Limit::TotalRecvBytes, id);
        }
        room
    }

    /// Has those read on who are held up, if there is room for what they bring: first of all who has brought nothing for the
    /// longest time.
    #[cold]
    fn let_on(&mut self) {
        if self.waiting_octets() > self.max_recv / 2 {
            return;
        }
        self.holds_up = false;
        let Self { peers, errands, .. } = self;
        let mut held_up: Vec<&mut Peer> =
            peers.iter_mut().map(|(_, peer)| peer).filter(|peer| peer.held_up).collect();
        held_up.sort_by_key(|peer| peer.served);
        for peer in held_up {
            peer.held_up = false;
            errands.add(Errand::Resume, peer.source.clone());
        }
    }

    /// Drops what came from a peer and was not received, and tells how many messages that was.
    pub(super) fn clear_inbox(&mut self, id: Id) -> usize {
        let Some(peer) = self.peers.get_mut(id) else { return 0 };
        self.outside -= peer.inbox.outside();
        peer.inbox.clear()
    }

    /// Throws away what came from a peer and was not received.
    pub(super) fn discard(&mut self, id: Id) {
        let unread = self.clear_inbox(id);
        let Some(peer) = self.peers.get_mut(id) else { return };
        if peer.inbox.resumes() || peer.outbox.is_whole() {
            self.errands.add(Errand::Resume, peer.source.clone());
        }
        self.count_discarded(id, unread);
        self.forget_leftover(id);
        if self.holds_up {
            self.let_on();
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

    /// Whether there is anything for [`Pipes::take_reached`].
    #[inline]
    pub(super) fn has_reached(&self) -> bool {
        !self.reached.is_empty()
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
        self.accept(id, before);
        if let Some(peer) = self.peers.get_mut(id) {
            self.outside += message.outside();
            peer.inbox.notice(message);
        }
    }

    /// Sees to what a push has brought about beside one more message in a queue. Tells whether that has room still.
    fn pushed(&mut self, id: Id, pushed: Pushed) -> bool {
        if pushed.replaced {
            self.stats.dropped.conflated += 1;
            if let Some(peer) = self.peers.get_mut(id) {
                peer.tally.taken_back += 1;
            }
            self.line(id).into_iter().for_each(|line| line.figures.dropped += 1);
        }
        let mut ripe = pushed.ripe;
        if pushed.shuts || self.is_crammed() {
            ripe |= self.cram(id, pushed.shuts);
        }
        if pushed.first || ripe {
            self.schedule(id, ripe);
        }
        self.peers.get(id).is_some_and(|peer| peer.outbox.has_room())
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
            if !ripe && !std::mem::take(&mut peer.heard) {
                return;
            }
            true
        } else if self.deferring {
            false
        } else if std::mem::take(&mut peer.heard) {
            true // as in lockstep, and the clock need not be looked at
        } else {
            let at_once = ripe || self.pace.is_at_once(clock::now);
            self.errands.paces |= at_once;
            at_once
        };
        if at_once && !self.deferring {
            self.errands.add_pump(carrier.clone());
        } else if !std::mem::replace(&mut peer.dirty, true) {
            self.dirty.push(id);
        }
    }
}

/// Octets of memory that are kept of a peer that is gone, beside its messages.
const LEFTOVER: usize = 1024;

/// Limits that may be reached until somebody looks whether a monitor is to be told; the others are only counted.
const UNTOLD: usize = 64;

impl pattern::Pipes for Pipes {
    #[inline(always)] // it is what most of `send` consists of
    fn push(&mut self, id: Id, message: &Message) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            debug_assert!(false, "a message for nobody");
            return false;
        };
        let pushed = peer.outbox.push(message);
        peer.tally.given += 1;
        self.queued_octets = self.queued_octets.wrapping_add_signed(pushed.grown);
        if pushed.first || pushed.ripe || self.queued_octets >= self.max_send {
            return self.pushed(id, pushed);
        }
        peer.outbox.has_room()
    }

    #[inline(always)] // as what calls it, for it is most of that
    fn pop(&mut self, id: Id, into: &mut Received) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let popped = peer.inbox.pop(&mut self.outside, into);
        if popped {
            self.stats.delivered += 1;
            peer.tally.delivered += 1;
        }
        let resumes = peer.inbox.resumes();
        let wants_more = if peer.outbox.is_whole() { peer.inbox.is_empty() } else { resumes };
        if wants_more {
            if self.holds_up {
                peer.held_up = true; // others have waited for longer
            } else {
                self.errands.add(Errand::Resume, peer.source.clone());
            }
        }
        if peer.over {
            self.forget_leftover(id);
        }
        if self.holds_up {
            self.let_on();
        }
        popped
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
        let full = |peer: &Peer| {
            peer.outbox.is_full() || (self.is_crammed() && peer.outbox.octets() >= self.share())
        };
        self.peers.get(id).is_none_or(full)
    }

    #[cold]
    fn refusal(&self, id: Option<Id>) -> Refusal {
        let of_octets = |peer: &Peer| matches!(peer.outbox.shut(), Some(Shut::Octets | Shut::Total));
        let of_bytes = match id {
            Some(id) => self.peers.get(id).is_some_and(of_octets),
            None => self.peers.iter().any(|(_, peer)| of_octets(peer)),
        };
        if of_bytes { Refusal::FullOfBytes } else { Refusal::Full }
    }

    fn takes(&self, octets: usize) -> bool {
        self.queued_octets.saturating_add(octets) < self.max_send
    }

    fn shed(&mut self, id: Id) -> bool {
        let shed = self.with_outbox(id, Outbox::shed).unwrap_or(false);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.tally.taken_back += u64::from(shed);
        }
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

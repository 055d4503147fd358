//! [`Core`]: the state of a socket, one lock around it, and what is done once the lock is released.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::pattern::Pattern;
use super::pipes::Pipes;
use super::stats::Stats;
use crate::context::{Engine, Member, Setup, left_behind};
use crate::endpoint::{Address, Endpoint, EndpointError};
use crate::error::{BindError, ConnectError, DetachError, RecvError, Refusal};
use crate::lock::lock;
use crate::message::Message;
use crate::options::Options;
use crate::peer::{Carrier, Ending, Host};
use crate::pipe::{Flight, Ticket, Waiters, Wakes};
use crate::slots::Id;
use crate::zmtp::{self, PeerInfo, SocketType};

/// A socket without its type.
pub(crate) struct Core {
    pub(super) engine: Engine,
    pub(super) options: Arc<Options>,
    socket_type: SocketType,
    receives: bool,
    state: Mutex<State>,
    this: Weak<Self>,
}

pub(super) struct State {
    pub(super) pipes: Pipes,
    pub(super) pattern: Box<dyn Pattern>,
    /// Who waits for room.
    pub(super) senders: Waiters,
    /// Who waits for a message.
    pub(super) receivers: Waiters,
    /// Who waits for peers.
    pub(super) connecting: Waiters,
    /// Who waits for everything to be written.
    draining: Waiters,
    pub(super) phase: Phase,
    attachments: Vec<Attachment>,
    /// The engine looks in from time to time for batches that nobody writes.
    watched: bool,
}

/// The life of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The user has no more to do with it. What it has accepted is still being sent.
    Closing,
    /// Its connections are being ended.
    Closed,
}

/// What became of `bind` or `connect`.
struct Attachment {
    endpoint: Endpoint,
    key: crate::context::Key,
    /// The peer that `connect` made; none for `bind`.
    peer: Option<Id>,
}

impl Core {
    pub(crate) fn new(
        engine: Engine,
        options: Options,
        socket_type: SocketType,
        pattern: Box<dyn Pattern>,
    ) -> Arc<Self> {
        let receives = pattern.receives();
        let state = State {
            pipes: Pipes::new(&options),
            pattern,
            senders: Waiters::default(),
            receivers: Waiters::default(),
            connecting: Waiters::default(),
            draining: Waiters::default(),
            phase: Phase::Open,
            attachments: Vec::new(),
            watched: false,
        };
        Arc::new_cyclic(|this| Self {
            engine,
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
        let mut state = self.lock();
        let result = state.send(message);
        let pump = state.pipes.take_pump();
        let watch = state.begins_watch();
        drop(state);
        match pump {
            Some(carrier) => carrier.pump(),
            None => left_behind::note(&self.this),
        }
        if watch {
            self.watch();
        }
        result
    }

    /// Takes a message if there is one.
    #[inline]
    pub(crate) fn try_recv(&self) -> Result<Message, RecvError> {
        let mut state = self.lock();
        let message = state.recv();
        let resume = state.pipes.take_resume();
        drop(state);
        if let Some(carrier) = resume {
            carrier.resume();
        }
        message
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether the socket still does what it is asked to.
    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.lock();
        Stats {
            queued: (state.pipes.queued() + state.pattern.waiting()) as u64,
            waiting: state.pipes.waiting() as u64,
            ..state.pipes.stats
        }
    }

    pub(crate) fn bind(&self, endpoint: &Endpoint) -> Result<Endpoint, BindError> {
        endpoint.check_bind()?;
        check_carried(endpoint)?;
        if !self.is_open() {
            return Err(BindError::Closed);
        }
        let (listener, bound) = self.engine.open_listener(endpoint, &self.options)?;
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(BindError::Closed);
        }
        let key = self.engine.listen(listener, self.setup());
        state.attachments.push(Attachment { endpoint: bound.clone(), key, peer: None });
        Ok(bound)
    }

    pub(crate) fn connect(&self, endpoint: &Endpoint) -> Result<(), ConnectError> {
        endpoint.check_connect()?;
        check_carried(endpoint)?;
        let (connected, wakes) = self.change(|state, wakes| {
            if state.phase != Phase::Open {
                return Err(ConnectError::Closed);
            }
            let peer = state.pipes.insert(true);
            if !self.options.immediate {
                state.writable(peer, wakes);
            }
            let key = self.engine.dial(endpoint.clone(), peer, self.setup());
            state.attachments.push(Attachment { endpoint: endpoint.clone(), key, peer: Some(peer) });
            Ok(())
        });
        wakes.wake();
        connected
    }

    pub(crate) fn unbind(&self, endpoint: &Endpoint) -> Result<(), DetachError> {
        self.detach(endpoint, |attachment| attachment.peer.is_none())
    }

    pub(crate) fn disconnect(&self, endpoint: &Endpoint) -> Result<(), DetachError> {
        self.detach(endpoint, |attachment| attachment.peer.is_some())
    }

    /// Undoes one bind or connect, and takes back what its peers have not got.
    fn detach(&self, endpoint: &Endpoint, of_kind: impl Fn(&Attachment) -> bool) -> Result<(), DetachError> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(DetachError::Closed);
        }
        let place = state
            .attachments
            .iter()
            .position(|attachment| attachment.endpoint == *endpoint && of_kind(attachment));
        let Some(place) = place else { return Err(DetachError::Unknown(endpoint.clone())) };
        let attachment = state.attachments.remove(place);
        if let Some(peer) = attachment.peer {
            // From here on it is treated like an accepted peer: when its connection ends, it is gone.
            state.forsake(peer);
        }
        drop(state);
        self.engine.forget_now(attachment.key, Ending::Abrupt);
        if let Some(peer) = attachment.peer {
            self.part(peer).wake();
            self.flush();
        }
        Ok(())
    }

    /// Sends what is left in the background, until the linger time is over.
    pub(crate) fn linger(&self) {
        if self.poll_drained(Waker::noop()) || self.options.linger.is_zero() {
            return self.settle();
        }
        if let Some(this) = self.this.upgrade() {
            self.engine.linger(this, Instant::now().checked_add(self.options.linger));
        }
    }

    fn farewell(&self) -> Ending {
        // A peer of a socket that does not send is not waited for: what it sends meanwhile would be lost on us, and it
        // could not know.
        if self.lock().pipes.stats.written > 0 { Ending::Graceful } else { Ending::Abrupt }
    }

    fn setup(&self) -> Arc<Setup> {
        let this: Arc<Self> = self.this.upgrade().expect("it is borrowed, so it is there");
        // What will only be thrown away need not be gathered first.
        let message = if self.receives { self.options.max_message_size } else { UNWANTED };
        let config = zmtp::Config {
            socket_type: self.socket_type,
            identity: bytes::Bytes::new(),
            handshake_timeout: Some(self.options.handshake_timeout),
            limits: zmtp::Limits { message, parts: PARTS, handshake: HANDSHAKE },
        };
        Arc::new(Setup { host: this, options: self.options.clone(), config })
    }

    fn watch(&self) {
        if let Some(this) = self.this.upgrade() {
            self.engine.watch(this);
        }
    }

    /// Runs `change` under the lock. What it queues in passing is left to the engine's next look, for nobody who could
    /// write it is at hand.
    fn change<T>(&self, change: impl FnOnce(&mut State, &mut Wakes) -> T) -> (T, Wakes) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        state.pipes.defer(true);
        let result = change(&mut state, &mut wakes);
        state.pipes.defer(false);
        let watch = state.begins_watch();
        drop(state);
        if watch {
            self.watch();
        }
        (result, wakes)
    }
}

impl State {
    #[inline]
    fn send(&mut self, message: &Message) -> Result<(), Refusal> {
        if self.phase != Phase::Open {
            return Err(Refusal::Closed);
        }
        if !self.pattern.send(&mut self.pipes, message) {
            return Err(Refusal::Full);
        }
        self.pipes.stats.accepted += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn recv(&mut self) -> Result<Message, RecvError> {
        if self.phase != Phase::Open {
            return Err(RecvError::Closed);
        }
        self.pattern.recv(&mut self.pipes)
    }

    /// True if the engine is to be asked to look in, which it is not asked twice.
    #[inline]
    fn begins_watch(&mut self) -> bool {
        let begins = self.pipes.is_dirty() && !self.watched;
        self.watched |= begins;
        begins
    }

    fn writable(&mut self, peer: Id, wakes: &mut Wakes) {
        if self.pipes.peers.get(peer).is_none_or(|peer| peer.forsaken) {
            return;
        }
        self.pattern.writable(&mut self.pipes, peer);
        self.wake_senders(wakes);
    }

    fn wake_senders(&mut self, wakes: &mut Wakes) {
        if self.pattern.can_send() {
            self.senders.wake_all(wakes);
        }
    }

    /// The peer is sent nothing more, and is gone once its connection is.
    fn forsake(&mut self, peer: Id) {
        self.pattern.leave(peer);
        if let Some(peer) = self.pipes.peers.get_mut(peer) {
            peer.dialled = false;
            peer.forsaken = true;
        }
    }

    fn is_drained(&self) -> bool {
        self.pattern.waiting() == 0 && self.pipes.queued() == 0
    }

    fn wake_draining(&mut self, wakes: &mut Wakes) {
        if self.phase != Phase::Open && self.is_drained() {
            self.draining.wake_all(wakes);
        }
    }

    /// Takes out everything that is queued and with no wire.
    fn give_up(&mut self) -> Vec<Message> {
        let mut unsent = self.pattern.drain();
        for (_, peer) in self.pipes.peers.iter_mut() {
            unsent.extend(peer.outbox.give_up());
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
        let State { senders, receivers, connecting, pipes, .. } = &mut *state;
        for waiters in [senders, receivers, connecting] {
            waiters.wake_all(&mut wakes);
        }
        let discarded: usize = pipes.peers.iter_mut().map(|(_, peer)| peer.inbox.clear()).sum();
        pipes.stats.discarded += discarded as u64;
        drop(state);
        wakes.wake();
        self.flush();
        true
    }

    /// Waits until everything is written, then ends all connections and hands back what was not.
    fn finish_close(&self, deadline: Option<Instant>) -> Vec<Message> {
        let drain = Drain { core: self, ticket: Ticket::default() };
        let drained = self.engine.block_on(drain, deadline).is_some();
        let ending = if drained { self.farewell() } else { Ending::Abrupt };
        let attachments = std::mem::take(&mut self.lock().attachments);
        for attachment in attachments {
            // Meanwhile what its wires had begun to write comes back.
            self.engine.forget_now(attachment.key, ending);
        }
        let mut state = self.lock();
        state.phase = Phase::Closed;
        let unsent = state.give_up();
        state.pipes.stats.returned += unsent.len() as u64;
        unsent
    }
}

impl Host for Core {
    fn attach(
        &self,
        dialled: Option<Id>,
        _info: &PeerInfo,
        carrier: Arc<dyn Carrier>,
    ) -> Option<(Id, Wakes)> {
        let (id, wakes) = self.change(|state, wakes| {
            if state.phase == Phase::Closed {
                return None;
            }
            let id = dialled.unwrap_or_else(|| state.pipes.insert(false));
            state.pipes.peers.get_mut(id)?.carrier = Some(carrier);
            state.pipes.stats.peers += 1;
            state.connecting.wake_all(wakes);
            // What was filled up before there was a connection opens when it has drained.
            if state.pipes.peers.get(id)?.outbox.has_room() {
                state.writable(id, wakes);
            }
            Some(id)
        });
        Some((id?, wakes))
    }

    fn exchange(&self, id: Id, flight: &mut Flight) -> Wakes {
        let exchange = |state: &mut State, wakes: &mut Wakes| {
            let Some(peer) = state.pipes.peers.get_mut(id) else { return };
            let written = flight.newly_written();
            peer.written += written as u64;
            state.pipes.stats.written += written as u64;
            if peer.outbox.written(written) {
                state.writable(id, wakes);
            }
            if let Some(peer) = state.pipes.peers.get_mut(id).filter(|_| flight.is_done()) {
                peer.outbox.take(flight);
            }
            state.wake_draining(wakes);
        };
        self.change(exchange).1
    }

    fn deliver(&self, id: Id, messages: &mut Vec<Message>) -> (usize, Wakes) {
        self.change(|state, wakes| {
            let count = messages.len();
            state.pipes.stats.received += count as u64;
            let peer = state.pipes.peers.get_mut(id);
            let (Some(peer), Phase::Open, true) = (peer, state.phase, self.receives) else {
                state.pipes.stats.discarded += count as u64;
                messages.clear();
                return usize::MAX;
            };
            peer.pace.heard();
            state.pipes.stats.discarded += peer.inbox.accept(messages) as u64;
            let room = peer.inbox.room_or_pause();
            state.pattern.readable(id);
            state.receivers.wake(count, wakes);
            room
        })
    }

    fn room(&self, id: Id) -> usize {
        let mut state = self.lock();
        match state.pipes.peers.get_mut(id) {
            Some(peer) => peer.inbox.room_or_pause(),
            None => usize::MAX,
        }
    }

    fn lose(&self, id: Id, flight: &mut Flight) -> Wakes {
        let lose = |state: &mut State, wakes: &mut Wakes| {
            let Some(peer) = state.pipes.peers.get_mut(id) else { return };
            let written = flight.newly_written();
            peer.outbox.written(written);
            peer.written += written as u64;
            state.pipes.stats.written += written as u64;
            state.pipes.stats.unconfirmed += std::mem::take(&mut peer.written);
            state.pipes.stats.peers -= usize::from(peer.carrier.take().is_some());
            let mut unsent = peer.outbox.take_back(Some(flight));
            if state.phase == Phase::Closed {
                state.pipes.stats.dropped.lingered += unsent.len() as u64;
                return;
            }
            let stays = peer.dialled && !self.options.immediate;
            if self.options.conflate {
                // The newest message waits for the return of its peer; with another it would be out of place.
                let newest = if stays { unsent.pop() } else { None };
                newest.iter().for_each(|message| _ = peer.outbox.push(message));
                state.pipes.stats.requeued += u64::from(newest.is_some());
                state.pipes.stats.dropped.conflated += unsent.len() as u64;
                unsent.clear();
            }
            state.pipes.stats.requeued += unsent.len() as u64;
            // A queue that conflates has room for the next message always, and so keeps its turn.
            if !(stays && self.options.conflate) {
                state.pattern.lost(&mut state.pipes, id, unsent, stays);
            }
            state.wake_senders(wakes);
            state.wake_draining(wakes);
        };
        self.change(lose).1
    }

    fn part(&self, id: Id) -> Wakes {
        let part = |state: &mut State, wakes: &mut Wakes| {
            let Some(peer) = state.pipes.peers.get_mut(id) else { return };
            if peer.dialled {
                return;
            }
            let unsent = peer.outbox.take_back(None);
            peer.over = true;
            if peer.inbox.is_empty() {
                state.pipes.peers.remove(id);
            }
            state.pipes.stats.requeued += unsent.len() as u64;
            state.pattern.lost(&mut state.pipes, id, unsent, false);
            state.wake_senders(wakes);
        };
        self.change(part).1
    }

    fn abandon(&self, id: Id) -> Wakes {
        self.lock().forsake(id);
        self.part(id)
    }

    fn flush(&self) {
        let carriers = self.lock().pipes.take_dirty();
        carriers.iter().for_each(|carrier| carrier.pump());
    }

    fn look(&self) -> bool {
        let mut state = self.lock();
        state.watched = state.pipes.is_dirty();
        if !state.watched {
            let idle = state.pipes.cool();
            drop(state);
            idle.iter().for_each(|carrier| carrier.trim());
            return false;
        }
        let carriers = state.pipes.take_dirty();
        drop(state);
        carriers.iter().for_each(|carrier| carrier.pump());
        true
    }

    fn poll_drained(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let drained = state.is_drained();
        if !drained {
            // Without a ticket to leave by: whoever asks stays until it is so, or until the socket is settled.
            let before = state.draining.wait(&mut Ticket::default(), waker.clone());
            debug_assert!(before.is_none(), "a new ticket had no waker before");
        }
        drained
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
        if lost > 0 {
            log::warn!(
                "a dropped {} socket gives up {lost} messages it could not send in time",
                self.socket_type
            );
        }
        attachments.iter().for_each(|attachment| self.engine.forget(attachment.key, ending));
    }
}

/// Ends when a closed socket has nothing left to send.
struct Drain<'a> {
    core: &'a Core,
    ticket: Ticket,
}

impl Future for Drain<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = context.waker().clone();
        let mut state = this.core.lock();
        if state.is_drained() {
            return Poll::Ready(());
        }
        let before = state.draining.wait(&mut this.ticket, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        let left = self.core.lock().draining.leave(&mut self.ticket);
        drop(left);
    }
}

/// Refuses an endpoint whose transport the engine does not carry.
fn check_carried(endpoint: &Endpoint) -> Result<(), EndpointError> {
    match endpoint.address() {
        Address::Tcp(_) | Address::Ipc(_) => Ok(()),
        Address::Inproc(_) => Err(EndpointError::UnsupportedTransport("inproc")),
    }
}

/// Parts that an incoming message may have. Each costs memory beside its octets.
const PARTS: usize = 64 * 1024;

/// Octets of a message to a socket that does not receive.
const UNWANTED: usize = 64 * 1024;

/// Octets that a peer may send in one command of the handshake.
const HANDSHAKE: usize = 8 * 1024;

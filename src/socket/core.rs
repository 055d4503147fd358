//! [`Core`]: the state of a socket, one lock around it, and what is done once the lock is released.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Waker;

use bytes::Bytes;

use super::feed::{Feed, Feeds};
use super::gauge::Gauge;
use super::pattern::{Pattern, Sent, Wish};
use super::pipes::Pipes;
use super::stats::{PeerStats, Stats};
use crate::context::{self, Caller, Engine, Hub, Setup, left_behind};
use crate::endpoint::{Address, Endpoint, Inproc};
use crate::error::{BindError, ConnectError, DetachError, RecvError, Refusal};
use crate::inproc;
use crate::lock::lock;
use crate::message::Message;
use crate::monitor::{Event, Remote};
use crate::options::Options;
use crate::peer::{Ending, Host};
use crate::pipe::{Ticket, Waiters, Wakes};
use crate::slots::Id;
use crate::zmtp::{self, SocketType};

/// A socket without its type.
pub(crate) struct Core {
    pub(super) engine: Engine,
    pub(super) hub: Arc<Hub>,
    pub(super) options: Arc<Options>,
    pub(super) socket_type: SocketType,
    receives: bool,
    state: Mutex<State>,
    pub(super) this: Weak<Self>,
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
    /// The engine looks in from time to time for batches that nobody writes.
    watched: bool,
    pub(super) conflate: bool,
    takes_turns: bool,
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
pub(super) struct Attachment {
    endpoint: Endpoint,
    pub(super) key: Key,
    /// The peer that `connect` made; none for `bind`.
    pub(super) peer: Option<Id>,
}

/// Who looks after an attachment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    Engine(context::Key),
    Inproc(inproc::Key),
}

impl Attachment {
    /// The name, if it is one within the context.
    pub(super) fn inproc(&self) -> Option<&Inproc> {
        match self.endpoint.address() {
            Address::Inproc(name) => Some(name),
            _ => None,
        }
    }

    /// Whether this is a `connect` to the endpoint.
    fn leads_to(&self, endpoint: &Endpoint) -> bool {
        self.peer.is_some() && self.endpoint == *endpoint
    }
}

impl Core {
    pub(crate) fn new(
        (engine, hub): (Engine, Arc<Hub>),
        options: Options,
        socket_type: SocketType,
        pattern: Box<dyn Pattern>,
    ) -> Arc<Self> {
        let receives = pattern.receives();
        let state = State {
            pipes: Pipes::new(&options),
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
            watched: false,
            conflate: options.conflate,
        };
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
        self.send_or(message, |_| {})
    }

    /// As [`Core::try_send`]; if there is no room the operation waits, from that very moment on.
    pub(super) fn send_or_wait(
        &self,
        message: &Message,
        ticket: &mut Ticket,
        waker: &Waker,
    ) -> Result<(), Refusal> {
        let mine = waker.clone();
        let mut before = None;
        let result = self.send_or(message, |senders| before = senders.wait(ticket, mine));
        drop(before);
        result
    }

    #[inline]
    fn send_or(&self, message: &Message, full: impl FnOnce(&mut Waiters)) -> Result<(), Refusal> {
        let mut state = self.lock();
        let result = state.send(message);
        if result == Err(Refusal::Full) {
            full(&mut state.senders);
        }
        let turn = state.end_turn(result.is_ok());
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

    /// Takes a message if there is one.
    #[inline]
    pub(crate) fn try_recv(&self) -> Result<Message, RecvError> {
        self.recv_and(|_, _| {})
    }

    /// As [`Core::try_recv`]; if there is no message the operation waits, from that very moment on.
    pub(super) fn recv_or_wait(&self, ticket: &mut Ticket, waker: &Waker) -> Result<Message, RecvError> {
        let mine = waker.clone();
        let (mut before, mut left) = (None, None);
        let result = self.recv_and(|receivers, done| {
            if done {
                left = Some(receivers.leave(ticket));
            } else {
                before = receivers.wait(ticket, mine);
            }
        });
        drop((before, left));
        result
    }

    /// Receives, and tells who may be waiting for it whether there was something, before anything else can happen.
    #[inline]
    fn recv_and(&self, tell: impl FnOnce(&mut Waiters, bool)) -> Result<Message, RecvError> {
        // One variable, from the queue to the caller, spares moving the message.
        let mut state = self.lock();
        let result = state.recv();
        let done = !matches!(result, Err(RecvError::Empty));
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
        result
    }

    /// Has the pattern do what only sockets of its type can be asked for.
    /// False if the socket is closed.
    pub(super) fn obey(&self, wish: Wish) -> bool {
        let mut state = self.lock();
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

    /// Whether the socket still does what it is asked to.
    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.lock();
        Stats {
            queued: (state.pipes.queued() + state.pattern.homeless()) as u64,
            waiting: state.pipes.waiting() as u64,
            ..state.pipes.stats
        }
    }

    pub(crate) fn peer_stats(&self) -> Vec<PeerStats> {
        self.lock().pipes.peers.iter().map(|(_, peer)| PeerStats::of(peer)).collect()
    }

    pub(crate) fn bind(&self, endpoint: &Endpoint) -> Result<Endpoint, BindError> {
        endpoint.check_bind()?;
        if !self.is_open() {
            return Err(BindError::Closed);
        }
        if let Address::Inproc(name) = endpoint.address() {
            return self.bind_inproc(endpoint, name);
        }
        let (listener, bound) = self.engine.open_listener(endpoint, &self.options)?;
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(BindError::Closed);
        }
        let mut wakes = Wakes::default();
        state.feeds.tell(|| Event::Listening { endpoint: bound.clone() }, &mut wakes);
        let key = Key::Engine(self.engine.listen(listener, bound.clone(), self.setup()));
        state.attachments.push(Attachment { endpoint: bound.clone(), key, peer: None });
        drop(state);
        wakes.wake();
        Ok(bound)
    }

    fn bind_inproc(&self, endpoint: &Endpoint, name: &Inproc) -> Result<Endpoint, BindError> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(BindError::Closed);
        }
        let taken = || io::Error::from(io::ErrorKind::AddrInUse);
        let key = self
            .hub
            .bind(name, self.caller())
            .ok_or_else(|| BindError::Listen { endpoint: endpoint.clone(), source: taken() })?;
        state.attachments.push(Attachment { endpoint: endpoint.clone(), key: Key::Inproc(key), peer: None });
        let mut wakes = Wakes::default();
        state.feeds.tell(|| Event::Listening { endpoint: endpoint.clone() }, &mut wakes);
        drop(state);
        wakes.wake();
        self.hub.meet(name);
        Ok(endpoint.clone())
    }

    pub(crate) fn connect(&self, endpoint: &Endpoint, name: Option<Bytes>) -> Result<(), ConnectError> {
        endpoint.check_connect()?;
        let dead = self.lock().take_dead(endpoint);
        dead.into_iter().for_each(|key| self.forget(key, Ending::Abrupt, false));
        let (connected, wakes) = self.change(|state, wakes| {
            if state.phase != Phase::Open {
                return Err(ConnectError::Closed);
            }
            if self.connects_once() && state.attachments.iter().any(|other| other.leads_to(endpoint)) {
                return Ok(());
            }
            let inproc = matches!(endpoint.address(), Address::Inproc(_));
            let peer = state.pipes.insert(true, inproc);
            if let Err(error) = state.pattern.claim(peer, name) {
                state.pipes.peers.remove(peer);
                return Err(error);
            }
            let routing_id = state.pattern.name(peer).unwrap_or_default();
            if let Some(peer) = state.pipes.peers.get_mut(peer) {
                peer.remote = Remote { endpoint: Some(endpoint.clone()), routing_id, ..Remote::default() };
            }
            if self.options.immediate {
                // A name is enough for a ROUTER to send to.
                state.wake_senders(wakes);
            } else {
                state.writable(peer, wakes);
            }
            let key = match endpoint.address() {
                Address::Inproc(name) => Key::Inproc(self.hub.dial(name, peer, self.caller())),
                _ => Key::Engine(self.engine.dial(endpoint.clone(), peer, self.setup())),
            };
            state.attachments.push(Attachment { endpoint: endpoint.clone(), key, peer: Some(peer) });
            Ok(())
        });
        wakes.wake();
        if let Address::Inproc(name) = endpoint.address() {
            self.hub.meet(name);
        }
        connected
    }

    /// Ends what came of a `bind` or `connect`, at once or soon.
    pub(super) fn forget(&self, key: Key, ending: Ending, at_once: bool) {
        match key {
            Key::Inproc(key) => self.hub.forget(key),
            Key::Engine(key) if at_once => self.engine.forget_now(key, ending),
            Key::Engine(key) => self.engine.forget(key, ending),
        }
    }

    fn caller(&self) -> Caller {
        Caller { setup: self.setup(), engine: self.engine.clone() }
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
        self.forget(attachment.key, Ending::Abrupt, true);
        if let Some(peer) = attachment.peer {
            self.remove(peer).wake();
            self.flush();
        }
        Ok(())
    }

    /// Whether a second `connect` to the same endpoint changes nothing, as in libzmq: these types would only get twice
    /// what they want once.
    fn connects_once(&self) -> bool {
        use SocketType::{Dealer, Pub, Req, Sub};
        matches!(self.socket_type, Dealer | Pub | Req | Sub)
    }

    fn setup(&self) -> Arc<Setup> {
        let this: Arc<Self> = self.this.upgrade().expect("it is borrowed, so it is there");
        // What no legal peer sends need not be gathered first. An XSUB may send anything to a PUB, which throws it away.
        let wanted = self.receives || self.socket_type == SocketType::Pub;
        let message = if wanted { self.options.max_message_size } else { UNWANTED };
        let config = zmtp::Config {
            socket_type: self.socket_type,
            identity: self.options.routing_id.clone(),
            handshake_timeout: Some(self.options.handshake_timeout),
            answers: false,
            limits: zmtp::Limits { message, parts: PARTS, handshake: HANDSHAKE },
        };
        Arc::new(Setup { host: this, options: self.options.clone(), config })
    }

    /// Releases the lock, and does what could not be done under it. Tells whether there were errands.
    #[inline(always)] // merely inlined it costs each `send` more than it does
    fn release(&self, mut state: Locked<'_>) -> bool {
        let errands = state.pipes.take_errands();
        let watch = state.begins_watch();
        drop(state);
        let any = errands.is_some();
        if let Some(errands) = errands {
            errands.run();
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
        state.tell_dropped(&mut wakes);
        state.pipes.defer(false);
        self.release(state);
        (result, wakes)
    }
}

impl State {
    #[inline]
    fn send(&mut self, message: &Message) -> Result<(), Refusal> {
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
    pub(super) fn recv(&mut self) -> Result<Message, RecvError> {
        if self.phase != Phase::Open {
            return Err(RecvError::Closed);
        }
        self.pattern.recv(&mut self.pipes)
    }

    /// Takes out a `connect` to the endpoint whose peer would not have us, and which so is none any more.
    fn take_dead(&mut self, endpoint: &Endpoint) -> Option<Key> {
        let Self { attachments, pipes, .. } = self;
        let is_dead = |other: &Attachment| {
            other.leads_to(endpoint) && other.peer.is_none_or(|peer| !pipes.is_dialled(peer))
        };
        let place = attachments.iter().position(is_dead)?;
        Some(attachments.remove(place).key)
    }

    /// True if the engine is to be asked to look in, which it is not asked twice.
    #[inline]
    fn begins_watch(&mut self) -> bool {
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
    fn wants_watch(&self) -> bool {
        self.pipes.is_dirty() || self.feeds.owes()
    }

    /// Whoever waited for their turn looks again when somebody else has had it, and monitors learn what it has cost.
    #[inline]
    fn end_turn(&mut self, done: bool) -> Option<Wakes> {
        let passes = self.takes_turns && done;
        (passes || self.feeds.any()).then(|| {
            let mut wakes = Wakes::default();
            if passes {
                self.receivers.wake_all(&mut wakes);
                self.watchers.wake_all(&mut wakes);
            }
            self.tell_dropped(&mut wakes);
            wakes
        })
    }

    /// Tells monitors of messages that were given up.
    #[inline]
    pub(super) fn tell_dropped(&mut self, wakes: &mut Wakes) {
        if self.feeds.any() || self.feeds.owes() {
            self.feeds.tell_dropped(self.pipes.stats.dropped, wakes);
        }
    }

    /// A feed for a new monitor.
    pub(super) fn open_feed(&mut self, mark: usize, wakes: &mut Wakes) -> Arc<Feed> {
        let feed = self.feeds.open(mark, self.pipes.stats.dropped, wakes);
        if self.phase == Phase::Closed {
            self.end_feeds(wakes);
        }
        feed
    }

    /// Nothing more will happen.
    pub(super) fn end_feeds(&mut self, wakes: &mut Wakes) {
        self.feeds.end(self.pipes.stats.dropped, wakes);
    }

    /// As [`State::end_feeds`], once the socket is closed and no connection is left.
    pub(super) fn end_feeds_with_the_last(&mut self, wakes: &mut Wakes) {
        if self.phase == Phase::Closed && self.pipes.peers.iter().all(|(_, peer)| peer.source.is_none()) {
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
pub(super) struct Locked<'a>(MutexGuard<'a, State>);

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
        if !self.0.gauges.is_empty() {
            self.0.show_gauges();
        }
    }
}

/// A socket that was dropped, and not closed, is over with its last connection.
impl Drop for Core {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        self.lock().end_feeds(&mut wakes);
        wakes.wake();
    }
}

/// Parts that an incoming message may have. Each costs memory beside its octets.
const PARTS: usize = 64 * 1024;

/// Octets of a message to a socket whose peers have nothing to say.
const UNWANTED: usize = 64 * 1024;

/// Octets that a peer may send in one command of the handshake.
const HANDSHAKE: usize = 8 * 1024;

//! Peers in the same process: messages move from one socket's queue to the other's, on the threads of the callers.
//!
//! A [`Hub`] knows the names that are bound in a context, and who waits for one; a [`Link`] joins two sockets.
//!
//! Messages wait in the outbox of the sender until the inbox of the receiver has run dry, and then move all at once: a
//! busy pair meets once per batch, and the two high-water marks add up, as in libzmq. The receiver fetches them when it
//! takes its last message. If there was nothing to fetch, the sender brings its next message by itself, and so it does
//! with what the receiver has room for when its own queue is full.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;

use crate::clock;
use crate::endpoint::{Endpoint, Inproc};
use crate::engine::{Handle, Setup};
use crate::lock::lock;
use crate::message::Message;
use crate::monitor::{End, Event, Remote};
use crate::peer::{Carrier, Host, Rejection, Word};
use crate::pipe::{Flight, Wakes};
use crate::slots::Id;
use crate::zmtp::{PeerInfo, Violation};

/// The names of a context.
#[derive(Default)]
pub(crate) struct Hub(Mutex<Names>);

#[derive(Default)]
struct Names {
    next: u64,
    /// Nobody can bind or connect any more.
    closed: bool,
    bound: HashMap<Inproc, Binding>,
    /// In the order of their making, which is that of service.
    dials: Vec<Dial>,
}

/// Names one `bind` or `connect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

/// A socket at a name, or on its way to one.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) setup: Arc<Setup>,
    /// Does what must not be done at once.
    pub(crate) engine: Handle,
}

struct Binding {
    key: Key,
    caller: Caller,
}

struct Dial {
    key: Key,
    name: Inproc,
    /// The peer that `connect` made.
    peer: Id,
    caller: Caller,
    /// The present connection.
    link: Option<Arc<Link>>,
    /// It has just been hung up on, and is not to be connected again at once.
    pauses: bool,
    /// The binding that has been told that the two types cannot talk to each other, as this end has.
    mismatch: Option<Key>,
}

impl Hub {
    /// Binds a socket to a name. `None` if the name is taken. [`Hub::meet`] is to be called next, with no lock held.
    pub(crate) fn bind(&self, name: &Inproc, caller: Caller) -> Option<Key> {
        let names = &mut *lock(&self.0);
        if names.bound.contains_key(name) {
            return None;
        }
        let key = names.new_key();
        names.bound.insert(name.clone(), Binding { key, caller });
        Some(key)
    }

    /// Has a socket's peer connected to whoever is bound to a name, now and again. [`Hub::meet`] is to be called next,
    /// with no lock held.
    pub(crate) fn dial(&self, name: &Inproc, peer: Id, caller: Caller) -> Key {
        let names = &mut *lock(&self.0);
        let key = names.new_key();
        let name = name.clone();
        names.dials.push(Dial { key, name, peer, caller, link: None, pauses: false, mismatch: None });
        key
    }

    /// Connects those who wait for a name with who is bound to it. Who is turned away waits on, until somebody else has
    /// left.
    pub(crate) fn meet(self: &Arc<Self>, name: &Inproc) {
        let mut refused = Vec::new();
        while let Some(link) = self.introduce(name, &refused) {
            if let Err(rejection) = link.join() {
                log::warn!("inproc://{name}: {rejection}");
                refused.push(link.dial);
                self.release(&link);
            }
        }
        let mismatches = lock(&self.0).mismatches(name);
        mismatches.iter().for_each(|ends| complain(name, ends));
    }

    /// Ends a `bind` or a `connect`, with all connections that came of it.
    pub(crate) fn forget(self: &Arc<Self>, key: Key) {
        let links = lock(&self.0).forget(key);
        links.iter().for_each(|link| link.end(if link.dial == key { DIALLED } else { BOUND }));
    }

    /// Nobody can bind or connect any more: those who wait for the other are told that they wait in vain, and so is
    /// everybody who would from now on.
    pub(crate) fn close(&self) {
        let mut bound = Vec::new();
        let waiting: Vec<Dial> = {
            let names = &mut *lock(&self.0);
            names.closed = true;
            bound.extend(names.bound.values().map(|binding| binding.caller.clone()));
            let (waiting, linked) =
                std::mem::take(&mut names.dials).into_iter().partition(|dial| dial.link.is_none());
            names.dials = linked;
            waiting
        };
        waiting.iter().for_each(Dial::abandon);
        bound.iter().for_each(|caller| caller.setup.host.desert());
    }

    /// Has a dial wait until then before it is connected again; for ever if there is no such time.
    fn pause(self: &Arc<Self>, link: &Link, until: Option<Instant>) {
        let (hub, key, name) = (Arc::downgrade(self), link.dial, link.name.clone());
        let is_there = lock(&self.0).set_pause(key, true);
        if let Some(until) = until.filter(|_| is_there) {
            link.ends[DIALLED].engine.run_at(until, move || {
                let Some(hub) = hub.upgrade() else { return };
                lock(&hub.0).set_pause(key, false);
                hub.meet(&name);
            });
        }
    }

    fn introduce(self: &Arc<Self>, name: &Inproc, refused: &[Key]) -> Option<Arc<Link>> {
        lock(&self.0).introduce(self, name, refused)
    }

    /// The link of a dial is over.
    fn release(&self, link: &Link) {
        let abandoned = lock(&self.0).release(link);
        abandoned.iter().for_each(Dial::abandon);
    }
}

impl Dial {
    /// There will never be anybody at the name.
    fn abandon(&self) {
        self.caller.setup.host.abandon(self.peer).wake();
    }
}

impl Names {
    fn new_key(&mut self) -> Key {
        self.next += 1;
        Key(self.next)
    }

    /// The next pair that is not connected, as a link that has yet to join the two.
    fn introduce(&mut self, hub: &Arc<Hub>, name: &Inproc, refused: &[Key]) -> Option<Arc<Link>> {
        let binding = self.bound.get(name)?;
        let ours = &binding.caller.setup.config;
        let waits = |dial: &&mut Dial| {
            let theirs = &dial.caller.setup.config;
            let legal = ours.socket_type.accepts(theirs.socket_type);
            let is_free = dial.link.is_none() && !dial.pauses && !refused.contains(&dial.key);
            dial.name == *name && is_free && legal
        };
        let dial = self.dials.iter_mut().find(waits)?;
        let link = Arc::new(Link {
            hub: hub.clone(),
            binding: binding.key,
            dial: dial.key,
            dialled: dial.peer,
            name: name.clone(),
            ends: [binding.caller.clone(), dial.caller.clone()],
            made: clock::now(),
            state: Mutex::default(),
        });
        dial.link = Some(link.clone());
        Some(link)
    }

    /// False if there is no such dial any more.
    fn set_pause(&mut self, key: Key, pauses: bool) -> bool {
        let dial = self.dials.iter_mut().find(|dial| dial.key == key);
        dial.map(|dial| dial.pauses = pauses).is_some()
    }

    /// A dial waits again, unless that would be in vain: then it is returned.
    fn release(&mut self, link: &Link) -> Option<Dial> {
        let has_it = |dial: &Dial| dial.link.as_deref().is_some_and(|own| std::ptr::eq(own, link));
        let place = self.dials.iter().position(has_it)?;
        self.dials[place].link = None;
        self.closed.then(|| self.dials.remove(place))
    }

    /// Pairs of one that is bound to a name and one that waits for it, whose types cannot talk to each other; each once.
    fn mismatches(&mut self, name: &Inproc) -> Vec<[Caller; 2]> {
        let Some(binding) = self.bound.get(name) else { return Vec::new() };
        let ours = binding.caller.setup.config.socket_type;
        let tell = |dial: &mut Dial| {
            let legal = ours.accepts(dial.caller.setup.config.socket_type);
            let told = legal || dial.name != *name || dial.mismatch.replace(binding.key) == Some(binding.key);
            (!told).then(|| [binding.caller.clone(), dial.caller.clone()])
        };
        self.dials.iter_mut().filter_map(tell).collect()
    }

    /// The links that end with this.
    fn forget(&mut self, key: Key) -> Vec<Arc<Link>> {
        self.bound.retain(|_, binding| binding.key != key);
        let concerned =
            |dial: &Dial| dial.link.clone().filter(|link| link.binding == key || link.dial == key);
        let links = self.dials.iter().filter_map(concerned).collect();
        self.dials.retain(|dial| dial.key != key);
        links
    }
}

/// A connection between two sockets.
///
/// Its lock is taken before that of a core, as that of a wire is, and never while another link's is held.
struct Link {
    hub: Arc<Hub>,
    binding: Key,
    dial: Key,
    dialled: Id,
    name: Inproc,
    /// The one that bound, and the one that connected.
    ends: [Caller; 2],
    made: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The peers that the two ends are to each other, while they are connected.
    peers: Option<[Id; 2]>,
    over: bool,
    /// Messages on their way; empty but for a moment, and kept for its memory.
    transit: Vec<Message>,
}

const BOUND: usize = 0;
const DIALLED: usize = 1;

impl Link {
    /// Makes the two known to each other.
    fn join(self: &Arc<Self>) -> Result<(), Rejection> {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if state.over {
            return Ok(());
        }
        let [binder, dialler] = [BOUND, DIALLED].map(|end| self.host(end));
        let bound = match binder.attach(None, &self.info(DIALLED), self.carrier(BOUND)) {
            Ok((bound, woken)) => {
                wakes.append(woken);
                bound
            }
            Err(rejection) => {
                drop(state);
                let remote = Remote { address: Some(self.address()), ..Remote::default() };
                let why = End::Refused(rejection);
                binder.report(&|| Event::HandshakeFailed { peer: remote.clone(), why: why.clone() }).wake();
                return Err(rejection);
            }
        };
        match dialler.attach(Some(self.dialled), &self.info(BOUND), self.carrier(DIALLED)) {
            Ok((dialled, woken)) => {
                wakes.append(woken);
                state.peers = Some([bound, dialled]);
            }
            Err(rejection) => {
                wakes.append(binder.lose(bound, &mut Flight::default()));
                wakes.append(binder.part(bound, &End::Refused(rejection)));
                drop(state);
                wakes.wake();
                return Err(rejection);
            }
        }
        drop(state);
        wakes.wake();
        [BOUND, DIALLED].into_iter().for_each(|end| self.pump(end));
        Ok(())
    }

    /// Moves messages that this end has sent, as far as the other has room.
    fn pump(&self, from: usize) {
        let to = 1 - from;
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        let State { peers: Some(peers), transit, .. } = &mut *state else { return };
        loop {
            // Words need no room.
            let room = self.host(to).room(peers[to]);
            let mut words = Vec::new();
            let (mut octets, woken) = self.host(from).hand_over(peers[from], room, transit, &mut words);
            wakes.append(woken);
            if !words.is_empty() {
                let spelt: Vec<Message> = words.into_iter().map(spell).collect();
                octets += spelt.iter().map(Message::byte_len).sum::<usize>();
                transit.splice(..0, spelt);
            }
            if transit.is_empty() {
                break;
            }
            let (left, woken) = self.host(to).deliver(peers[to], transit, octets);
            wakes.append(woken);
            if left.messages < room.messages {
                break; // the receiver fetches the next when it has done with these, however much comes meanwhile
            }
            // It has discarded them all.
        }
        drop(state);
        wakes.wake();
    }

    /// One of the ends does not want the other any longer. What it did not like may well be there again at once, so that
    /// the two do not meet more often than once in the time after which one tries again on other transports.
    fn hang_up(&self, end: usize) {
        let interval = self.ends[DIALLED].setup.options.reconnect_interval;
        let until = self.made.checked_add(interval);
        if until.is_none_or(|until| until > clock::now()) {
            self.hub.pause(self, until);
        }
        self.end(end);
    }

    /// The connection is over, for one of the ends hung up: each has back what the other has not taken. Whoever waits for
    /// the name is next.
    fn end(&self, hung_up: usize) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if std::mem::replace(&mut state.over, true) {
            return;
        }
        for (end, peer) in state.peers.take().into_iter().flatten().enumerate() {
            wakes.append(self.host(end).lose(peer, &mut Flight::default()));
            let why = if hung_up == end { End::HungUp } else { End::Closed };
            wakes.append(self.host(end).part(peer, &why));
        }
        drop(state);
        wakes.wake();
        self.hub.release(self);
        self.hub.meet(&self.name);
    }

    fn address(&self) -> Endpoint {
        Endpoint::from_inproc(self.name.clone())
    }

    fn host(&self, end: usize) -> &dyn Host {
        &*self.ends[end].setup.host
    }

    /// What an end would say of itself in a handshake.
    fn info(&self, end: usize) -> PeerInfo {
        let config = &self.ends[end].setup.config;
        let told = config.socket_type.tells_identity();
        let identity = if told { config.identity.clone() } else { Bytes::new() };
        PeerInfo { socket_type: config.socket_type, identity, minor: 1 }
    }

    fn carrier(self: &Arc<Self>, end: usize) -> Arc<dyn Carrier> {
        Arc::new(Side { link: self.clone(), end })
    }
}

/// One end of a link.
struct Side {
    link: Arc<Link>,
    end: usize,
}

impl Carrier for Side {
    fn pump(&self) {
        self.link.pump(self.end);
    }

    fn trim(&self) {}

    fn resume(&self) {
        self.link.pump(1 - self.end);
    }

    fn hang_up(&self) {
        // Whoever calls this may be in the middle of moving messages, and hold the lock.
        let link = self.link.clone();
        let end = self.end;
        self.link.ends[end].engine.run(move || link.hang_up(end));
    }

    fn address(&self) -> Endpoint {
        self.link.address()
    }

    fn listener(&self) -> Option<Endpoint> {
        (self.end == BOUND).then(|| self.link.address())
    }

    fn is_inproc(&self) -> bool {
        true
    }
}

/// Tells both ends that they cannot talk to each other.
fn complain(name: &Inproc, ends: &[Caller; 2]) {
    let types = [BOUND, DIALLED].map(|end| ends[end].setup.config.socket_type);
    for end in [BOUND, DIALLED] {
        let (ours, theirs) = (types[end], types[1 - end]);
        let why = Violation::IncompatibleSocketType { ours, theirs };
        log::warn!("inproc://{name}: {why}");
        let at = Endpoint::from_inproc(name.clone());
        let failed = || {
            let endpoint = (end == DIALLED).then(|| at.clone());
            let peer = Remote { endpoint, address: Some(at.clone()), ..Remote::default() };
            Event::HandshakeFailed { peer, why: why.clone().into() }
        };
        ends[end].setup.host.report(&failed).wake();
    }
}

/// A word as the message that says it.
fn spell(word: Word) -> Message {
    match word {
        Word::Subscribe(topic) => Message::subscription(true, &topic),
        Word::Cancel(topic) => Message::subscription(false, &topic),
        Word::Greet(message) => message,
    }
}

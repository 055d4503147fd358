//! [`Turn`]: one turn of the reactor, and all that belongs to whoever has the duty to run it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Registry, Token};

use super::dialer::{Dialer, Stage};
use super::linger::{Lingerer, Lingering, Recheck};
use super::listener::Accepting;
use super::parker::Parker;
use super::timers::Timers;
use super::watch::Watch;
use super::wire::{Link, Origin, Source};
use super::{Command, Key, Setup, Shared};
use crate::endpoint::Host as HostName;
use crate::peer::{Ending, Host};
use crate::session::{End, Scratch};
use crate::slots::{Id, Slots};
use crate::transport::{Listener, Stream, rewatch, tcp, watch};

/// What the reactor looks after, and what it needs for that.
pub(crate) struct Turn {
    poll: Poll,
    events: Events,
    registry: Registry,
    entries: Slots<Entry>,
    /// Where the listeners and dialers are that sockets know by key.
    keys: HashMap<Key, Id>,
    timers: Timers,
    /// Links to be read and listeners to accept from, each at most once.
    ready: VecDeque<Id>,
    /// Turns since the poll was last asked.
    unpolled: u32,
    scratch: Scratch,
    watch: Watch,
    random: u64,
}

enum Entry {
    Accepting(Box<Accepting>),
    Dialer(Box<Dialer>),
    Link(Box<Link>),
    Lingerer(Lingerer),
}

impl Turn {
    pub(crate) fn new(poll: Poll, random: u64) -> io::Result<Self> {
        let registry = poll.registry().try_clone()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            registry,
            entries: Slots::new(),
            keys: HashMap::new(),
            timers: Timers::default(),
            ready: VecDeque::new(),
            unpolled: 0,
            scratch: Scratch::new(),
            watch: Watch::default(),
            random: random | 1,
        })
    }

    /// One turn: does what was asked for, waits for news if there is nothing to do, and attends to it.
    ///
    /// Waits until the deadline at the longest, and not at all once the parker is woken.
    pub(crate) fn run(&mut self, shared: &Arc<Shared>, parker: Option<&Parker>, deadline: Option<Instant>) {
        self.obey(shared);
        self.watch.begin(shared);
        if self.ready.is_empty() || self.unpolled >= UNPOLLED {
            self.poll(parker, deadline);
        }
        self.unpolled += 1;
        let now = Instant::now();
        self.read_ready(shared, now);
        self.expire(shared, now);
        self.watch.look(shared, now);
        self.scratch.take_wakes().wake();
    }

    fn poll(&mut self, parker: Option<&Parker>, deadline: Option<Instant>) {
        self.unpolled = 0;
        let timeout = if self.ready.is_empty() { self.timeout(deadline) } else { Some(Duration::ZERO) };
        if !parker.is_none_or(Parker::begin_poll) {
            return;
        }
        let result = self.poll.poll(&mut self.events, timeout);
        if let Some(parker) = parker {
            parker.end_poll();
        }
        match result {
            Ok(()) => self.note_events(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => log::error!("cannot poll: {error}"),
        }
    }

    /// The time to the earliest of all deadlines.
    fn timeout(&self, deadline: Option<Instant>) -> Option<Duration> {
        let next = [deadline, self.timers.next(), self.watch.next()].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn note_events(&mut self) {
        for event in &self.events {
            let id = Id::from_bits(event.token().0);
            // An event may be late, and its entry gone.
            let ready = match self.entries.get_mut(id) {
                Some(Entry::Link(link)) => link.note(event) && !std::mem::replace(&mut link.listed, true),
                Some(Entry::Accepting(accepting)) => !std::mem::replace(&mut accepting.listed, true),
                Some(Entry::Dialer(_)) => true,
                Some(Entry::Lingerer(_)) | None => false,
            };
            if ready {
                self.ready.push_back(id);
            }
        }
    }

    /// Gives everything that is ready one go.
    fn read_ready(&mut self, shared: &Arc<Shared>, now: Instant) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            match self.entries.get_mut(id) {
                Some(Entry::Link(_)) => self.read(id, now),
                Some(Entry::Accepting(_)) => self.accept(shared, id, now),
                Some(Entry::Dialer(_)) => self.progress(shared, id, now),
                Some(Entry::Lingerer(_)) | None => {}
            }
        }
    }

    fn read(&mut self, id: Id, now: Instant) {
        let Some(Entry::Link(link)) = self.entries.get_mut(id) else { return };
        link.listed = false;
        match link.read(&mut self.scratch, now) {
            Ok(seen) => {
                if seen.again {
                    link.listed = true;
                    self.ready.push_back(id);
                }
                let deadline = link.deadline();
                let origin = link.origin;
                self.timers.set(id, deadline);
                if let (true, Origin::Dialer(dialer)) = (seen.attached, origin)
                    && let Some(Entry::Dialer(dialer)) = self.entries.get_mut(dialer)
                {
                    dialer.succeeded();
                }
            }
            Err(end) => self.end(id, &end, now),
        }
    }

    fn accept(&mut self, shared: &Arc<Shared>, id: Id, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(Entry::Accepting(accepting)) = self.entries.get_mut(id) else { return };
            accepting.listed = false;
            match accepting.accept(now) {
                Some(Ok(stream)) => {
                    let setup = accepting.setup.clone();
                    self.link(
                        stream,
                        Source { origin: Origin::Listener(id), setup: &setup, dialled: None, shared },
                        now,
                    );
                }
                Some(Err(error)) => log::debug!("lost a connection before it was accepted: {error}"),
                None => {
                    let paused = accepting.paused;
                    return self.timers.set(id, paused);
                }
            }
        }
        // There may be more, after everybody else had a go.
        if let Some(Entry::Accepting(accepting)) = self.entries.get_mut(id) {
            accepting.listed = true;
            self.ready.push_back(id);
        }
    }

    /// Makes a link of a stream that is connected.
    fn link(&mut self, stream: Stream, from: Source<'_>, now: Instant) {
        let origin = from.origin;
        let id = self.entries.insert_with(|id| Entry::Link(Box::new(Link::new(stream, id, from, now))));
        match (origin, self.entries.get_mut(origin.id())) {
            (Origin::Listener(_), Some(Entry::Accepting(accepting))) => drop(accepting.links.insert(id)),
            (Origin::Dialer(_), Some(Entry::Dialer(dialer))) => dialer.stage = Stage::Linked(id),
            _ => {}
        }
        let Some(Entry::Link(link)) = self.entries.get_mut(id) else { return };
        let both = Interest::READABLE | Interest::WRITABLE;
        let watched = match origin {
            Origin::Listener(_) => watch(&self.registry, link.stream(), Token(id.to_bits()), both),
            // A dialled stream was watched while it connected.
            Origin::Dialer(_) => rewatch(&self.registry, link.stream(), Token(id.to_bits()), both),
        };
        if let Err(error) = watched {
            return self.end(id, &End::Broken(error), now);
        }
        link.unblock();
        let deadline = link.deadline();
        self.timers.set(id, deadline);
    }

    /// A link is over.
    fn end(&mut self, id: Id, end: &End, now: Instant) {
        let Some(Entry::Link(mut link)) = self.take(id) else { return };
        match end {
            End::Closed | End::Broken(_) => log::debug!("{}: {end}", link.stream().describe()),
            End::Violation(_) | End::Refused => log::warn!("{}: {end}", link.stream().describe()),
        }
        link.over().wake();
        let random = self.random();
        match (link.origin, self.entries.get_mut(link.origin.id())) {
            (Origin::Listener(_), Some(Entry::Accepting(accepting))) => drop(accepting.links.remove(&id)),
            (Origin::Dialer(dialer_id), Some(Entry::Dialer(dialer))) => {
                dialer.lost(end, now, random);
                let deadline = dialer.deadline();
                self.timers.set(dialer_id, deadline);
            }
            _ => {}
        }
    }

    /// Begins to connect, or to find out where to.
    fn dial(&mut self, shared: &Arc<Shared>, id: Id, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        if !matches!(dialer.endpoint.tcp().host, HostName::Name(_)) {
            let addresses = dialer.endpoint.tcp().addr().into_iter().collect();
            return self.connect(id, addresses, now);
        }
        dialer.stage = Stage::Resolving;
        let (endpoint, ipv6, shared_too) =
            (dialer.endpoint.clone(), dialer.setup.options.ipv6, Arc::downgrade(shared));
        let started = shared.resolver.look_up(move || {
            let found = tcp::addresses(endpoint.tcp(), ipv6);
            if let Some(shared) = shared_too.upgrade() {
                shared.command(Command::Resolved(id, found));
            }
        });
        if let Err(error) = started {
            self.dialing_failed(id, &error, now);
        }
    }

    fn resolved(&mut self, id: Id, found: io::Result<Vec<SocketAddr>>, now: Instant) {
        // The dialer may be gone.
        let Some(Entry::Dialer(_)) = self.entries.get(id) else { return };
        match found {
            Ok(addresses) => self.connect(id, addresses.into(), now),
            Err(error) => self.dialing_failed(id, &error, now),
        }
    }

    fn connect(&mut self, id: Id, addresses: VecDeque<SocketAddr>, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        let begun = dialer.connect(addresses, now).and_then(|()| match &dialer.stage {
            Stage::Connecting { stream, .. } => {
                watch(&self.registry, stream, Token(id.to_bits()), Interest::READABLE | Interest::WRITABLE)
            }
            _ => Ok(()),
        });
        let deadline = dialer.deadline();
        match begun {
            Ok(()) => self.timers.set(id, deadline),
            Err(error) => self.dialing_failed(id, &error, now),
        }
    }

    /// There is news of a connection that is being made.
    fn progress(&mut self, shared: &Arc<Shared>, id: Id, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        let Stage::Connecting { stream, .. } = &dialer.stage else { return };
        match stream.connected() {
            Ok(()) => {
                let Stage::Connecting { stream, .. } =
                    std::mem::replace(&mut dialer.stage, Stage::Waiting(None))
                else {
                    return;
                };
                let (setup, dialled) = (dialer.setup.clone(), Some(dialer.peer));
                self.timers.set(id, None);
                self.link(stream, Source { origin: Origin::Dialer(id), setup: &setup, dialled, shared }, now);
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {} // not yet
            Err(error) => self.next_address(id, &error, now),
        }
    }

    /// An address has not answered, or with a refusal.
    fn next_address(&mut self, id: Id, error: &io::Error, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        match std::mem::replace(&mut dialer.stage, Stage::Waiting(None)) {
            Stage::Connecting { left, .. } if !left.is_empty() => self.connect(id, left, now),
            _ => self.dialing_failed(id, error, now),
        }
    }

    fn dialing_failed(&mut self, id: Id, error: &io::Error, now: Instant) {
        let random = self.random();
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        dialer.failed(error, now, random);
        let deadline = dialer.deadline();
        self.timers.set(id, deadline);
    }

    /// Does what other threads have asked for.
    fn obey(&mut self, shared: &Arc<Shared>) {
        let commands = shared.take_commands();
        if commands.is_empty() {
            return;
        }
        let now = Instant::now();
        for command in commands {
            self.obey_one(shared, command, now);
        }
    }

    fn obey_one(&mut self, shared: &Arc<Shared>, command: Command, now: Instant) {
        match command {
            Command::Listen(key, listener, setup) => self.listen(key, listener, setup),
            Command::Dial(key, endpoint, peer, setup) => {
                let id = self.entries.insert(Entry::Dialer(Box::new(Dialer::new(endpoint, setup, peer))));
                self.keys.insert(key, id);
                self.dial(shared, id, now);
            }
            Command::Forget(key, ending, done) => {
                self.forget(shared, key, ending, now);
                if let Some(done) = done {
                    done.complete();
                }
            }
            Command::Resolved(dialer, found) => self.resolved(dialer, found, now),
            Command::Resume(link) => self.enlist(link, Link::resume),
            Command::Broken(link, error) => self.enlist(link, |link| link.break_off(error)),
            Command::Linger(host, until, lingering) => self.linger(shared, (host, until, lingering), now),
            Command::Recheck(lingerer) => self.recheck(lingerer, now),
        }
    }

    fn listen(&mut self, key: Key, listener: Listener, setup: Arc<Setup>) {
        let id = self.entries.insert(Entry::Accepting(Box::new(Accepting::new(listener, setup))));
        self.keys.insert(key, id);
        if let Some(Entry::Accepting(accepting)) = self.entries.get(id)
            && let Err(error) =
                watch(&self.registry, accepting.listener(), Token(id.to_bits()), Interest::READABLE)
        {
            log::error!("cannot watch a listener: {error}");
        }
    }

    /// A socket unbinds or disconnects, and drops the connections that came of it.
    fn forget(&mut self, shared: &Arc<Shared>, key: Key, ending: Ending, now: Instant) {
        let Some(id) = self.keys.remove(&key) else { return };
        let links = match self.take(id) {
            Some(Entry::Accepting(accepting)) => accepting.links.into_iter().collect(),
            Some(Entry::Dialer(dialer)) => match dialer.stage {
                Stage::Linked(link) => vec![link],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        for link in links {
            let lingering = (ending == Ending::Graceful).then(|| shared.linger_guard());
            self.part(link, lingering, now);
        }
    }

    /// Ends a link from our side: gracefully if something is to linger.
    fn part(&mut self, id: Id, lingering: Option<Lingering>, now: Instant) {
        let left = match (self.entries.get_mut(id), lingering) {
            (Some(Entry::Link(link)), Some(lingering)) => link.leave(lingering, now),
            _ => Err(End::Closed),
        };
        match left {
            Ok(()) => {
                self.enlist(id, |_| {});
                if let Some(Entry::Link(link)) = self.entries.get(id) {
                    self.timers.set(id, link.deadline());
                }
            }
            Err(end) => self.end(id, &end, now),
        }
    }

    fn linger(
        &mut self,
        shared: &Arc<Shared>,
        (host, until, lingering): (Arc<dyn Host>, Option<Instant>, Lingering),
        now: Instant,
    ) {
        let id = self.entries.insert_with(|lingerer| {
            let recheck = Recheck { shared: Arc::downgrade(shared), lingerer };
            Entry::Lingerer(Lingerer::new(host, until, lingering, recheck))
        });
        self.timers.set(id, until);
        self.recheck(id, now);
    }

    fn recheck(&mut self, id: Id, now: Instant) {
        if let Some(Entry::Lingerer(lingerer)) = self.entries.get(id)
            && lingerer.settle(now)
        {
            self.take(id);
        }
    }

    /// Changes a link and puts it on the list of those to be read.
    fn enlist(&mut self, id: Id, change: impl FnOnce(&mut Link)) {
        if let Some(Entry::Link(link)) = self.entries.get_mut(id) {
            change(link);
            if !std::mem::replace(&mut link.listed, true) {
                self.ready.push_back(id);
            }
        }
    }

    /// Attends to every deadline that has come.
    fn expire(&mut self, shared: &Arc<Shared>, now: Instant) {
        while let Some(id) = self.timers.due(now) {
            match self.entries.get_mut(id) {
                Some(Entry::Link(link)) => match link.expire(now) {
                    Ok(()) => {
                        let deadline = link.deadline();
                        self.timers.set(id, deadline);
                    }
                    Err(end) => self.end(id, &end, now),
                },
                Some(Entry::Dialer(dialer)) => match dialer.stage {
                    Stage::Connecting { .. } => self.next_address(id, &io::ErrorKind::TimedOut.into(), now),
                    Stage::Waiting(_) => self.dial(shared, id, now),
                    Stage::Resolving | Stage::Linked(_) => {}
                },
                Some(Entry::Accepting(_)) => self.accept(shared, id, now),
                Some(Entry::Lingerer(_)) => self.recheck(id, now),
                None => {}
            }
        }
    }

    fn take(&mut self, id: Id) -> Option<Entry> {
        self.timers.set(id, None);
        self.entries.remove(id)
    }

    /// Numbers for the jitter of pauses; they need not be good ones.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Events that one poll may bring.
const EVENTS: usize = 256;

/// Turns that may go by without a look at the poll while there is something to read.
const UNPOLLED: u32 = 16;

/// Connections to accept in one go.
const ACCEPTS: usize = 64;

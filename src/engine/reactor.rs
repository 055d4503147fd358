//! [`Turn`]: one turn of the reactor, and all that belongs to whoever has the duty to run it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry};

use super::dialer::{Dialer, Stage};
use super::linger::Lingerer;
use super::listener::Accepting;
use super::parker::Parker;
use super::timers::Timers;
use super::watch::Watch;
use super::wire::{Link, Origin};
use super::{Key, Shared};
use crate::clock;
use crate::peer::Rejection;
use crate::session::{End, Scratch};
use crate::slots::{Id, Slots};
use crate::transport::{Network, News};

/// What the reactor looks after, and what it needs for that.
pub(crate) struct Turn {
    poll: Poll,
    events: Events,
    /// What a simulated poll has reported.
    #[cfg(any(test, feature = "fuzzing"))]
    news: Vec<(mio::Token, News)>,
    pub(super) registry: Arc<Registry>,
    pub(super) entries: Slots<Entry>,
    /// Where the listeners and dialers are that sockets know by key.
    pub(super) keys: HashMap<Key, Id>,
    pub(super) timers: Timers,
    /// Links to be read and listeners to accept from, each at most once.
    pub(super) ready: VecDeque<Id>,
    /// When the poll was last asked.
    polled: Instant,
    /// That is too long ago.
    overdue: bool,
    scratch: Scratch,
    pub(super) watch: Watch,
    random: u64,
}

/// Whatever the reactor looks after.
pub(super) enum Entry {
    Accepting(Box<Accepting>),
    Dialer(Box<Dialer>),
    Link(Box<Link>),
    Lingerer(Box<Lingerer>),
    /// What is to be done when its time has come.
    Order(Box<dyn FnOnce() + Send>),
}

impl Entry {
    /// Takes note of what the poll reported. True if it is to be put on the list of what is ready.
    fn note(&mut self, news: News) -> bool {
        match self {
            Self::Link(link) => link.note(news) && !std::mem::replace(&mut link.listed, true),
            Self::Accepting(accepting) => !std::mem::replace(&mut accepting.listed, true),
            Self::Dialer(_) => true,
            Self::Lingerer(_) | Self::Order(_) => false,
        }
    }
}

impl Turn {
    pub(crate) fn new(poll: Poll, registry: Arc<Registry>, random: u64) -> Self {
        Self {
            poll,
            events: Events::with_capacity(EVENTS),
            #[cfg(any(test, feature = "fuzzing"))]
            news: Vec::new(),
            registry,
            entries: Slots::new(),
            keys: HashMap::new(),
            timers: Timers::default(),
            ready: VecDeque::new(),
            polled: clock::now(),
            overdue: false,
            scratch: Scratch::new(),
            watch: Watch::default(),
            random: random | 1,
        }
    }

    /// One turn: does what was asked for, waits for news if there is nothing to do, and attends to it.
    ///
    /// Waits until the deadline at the longest, and not at all once the parker is woken.
    pub(crate) fn run(&mut self, shared: &Arc<Shared>, parker: Option<&Parker>, deadline: Option<Instant>) {
        self.obey(shared);
        self.watch.begin(shared);
        let polls = self.ready.is_empty() || self.overdue;
        if polls {
            self.poll(shared, parker, deadline);
        }
        let now = clock::now();
        if polls {
            self.polled = now;
        }
        self.overdue = now.saturating_duration_since(self.polled) > UNPOLLED;
        self.read_ready(shared, now);
        self.expire(shared, now);
        self.watch.look(shared, now);
        self.scratch.take_wakes().wake();
    }

    fn poll(&mut self, shared: &Shared, parker: Option<&Parker>, deadline: Option<Instant>) {
        let timeout = if self.ready.is_empty() { self.timeout(deadline) } else { Some(Duration::ZERO) };
        if !parker.is_none_or(Parker::begin_poll) {
            return;
        }
        let result = match &shared.network {
            Network::System => self.poll.poll(&mut self.events, timeout),
            #[cfg(any(test, feature = "fuzzing"))]
            Network::Memory(node) => {
                node.poll(timeout, &mut self.news);
                Ok(())
            }
        };
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
        Some(next.saturating_duration_since(clock::now()))
    }

    fn note_events(&mut self) {
        for event in &self.events {
            let id = Id::from_bits(event.token().0);
            // An event may be late, and its entry gone.
            if self.entries.get_mut(id).is_some_and(|entry| entry.note(event.into())) {
                self.ready.push_back(id);
            }
        }
        #[cfg(any(test, feature = "fuzzing"))]
        for (token, news) in std::mem::take(&mut self.news) {
            let id = Id::from_bits(token.0);
            if self.entries.get_mut(id).is_some_and(|entry| entry.note(news)) {
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
                Some(Entry::Lingerer(_) | Entry::Order(_)) | None => {}
            }
        }
    }

    fn read(&mut self, id: Id, now: Instant) {
        let Some(Entry::Link(link)) = self.entries.get_mut(id) else { return };
        link.listed = false;
        let before = link.deadline();
        match link.read(&mut self.scratch, now) {
            Ok(seen) => {
                if seen.again {
                    link.listed = true;
                    self.ready.push_back(id);
                }
                let (origin, deadline) = (link.origin, link.deadline());
                // As a rule what came moves no deadline, and the table need not be looked at.
                if deadline != before {
                    self.timers.set(id, deadline);
                }
                if seen.attached {
                    self.attached(id, origin, now);
                }
            }
            Err(end) => self.end(id, &end, now),
        }
    }

    /// A link is over.
    pub(super) fn end(&mut self, id: Id, end: &End, now: Instant) {
        let Some(Entry::Link(mut link)) = self.take(id) else { return };
        match end {
            // As many as strangers like: what there is to know of them, monitors are told.
            End::Refused(Rejection::Displaced) => log::debug!("{}: {end}", link.address()),
            End::Closed | End::Broken(_) | End::HungUp => log::debug!("{}: {end}", link.address()),
            End::Violation(_) | End::Refused(_) => log::warn!("{}: {end}", link.address()),
        }
        let was_ready = link.is_ready();
        link.over(end).wake();
        let random = self.random();
        match (link.origin, self.entries.get_mut(link.origin.id())) {
            (Origin::Listener(listener), _) => self.settle(listener, id, true),
            (Origin::Dialer(dialer_id), Some(Entry::Dialer(dialer))) => {
                dialer.lost(end, was_ready, now, random).wake();
                let deadline = dialer.deadline();
                self.timers.set(dialer_id, deadline);
            }
            _ => {}
        }
    }

    /// Changes a link and puts it on the list of those to be read.
    pub(super) fn enlist(&mut self, id: Id, change: impl FnOnce(&mut Link)) {
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
                    Stage::Connecting { .. } => self.next_target(id, io::ErrorKind::TimedOut.into(), now),
                    Stage::Waiting(_) => self.dial(shared, id, now),
                    Stage::Resolving { .. } | Stage::Linked(_) | Stage::Dead => {}
                },
                Some(Entry::Accepting(_)) => self.accept(shared, id, now),
                Some(Entry::Lingerer(_)) => self.recheck(id, now),
                Some(Entry::Order(_)) => {
                    if let Some(Entry::Order(order)) = self.take(id) {
                        order();
                    }
                }
                None => {}
            }
        }
    }

    pub(super) fn take(&mut self, id: Id) -> Option<Entry> {
        self.timers.set(id, None);
        self.entries.remove(id)
    }

    /// Numbers for the jitter of pauses; they need not be good ones.
    pub(super) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Events that one poll may bring.
const EVENTS: usize = 256;

/// How long the poll may go unasked while there is something to read.
const UNPOLLED: Duration = Duration::from_millis(1);

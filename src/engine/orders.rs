//! What other threads ask of the reactor, and how a [`Turn`] does it.

use std::sync::Arc;
use std::time::Instant;

use mio::{Interest, Token};

use super::dialer::{Dialer, Stage};
use super::linger::{Lingerer, Lingering, Recheck};
use super::listener::Accepting;
use super::reactor::{Entry, Turn};
use super::wire::Link;
use super::{Command, Key, Shared};
use crate::clock;
use crate::peer::Host;
use crate::session::End;
use crate::slots::Id;
use crate::transport::rewatch;

impl Turn {
    /// Does what other threads have asked for.
    pub(super) fn obey(&mut self, shared: &Arc<Shared>) {
        let commands = shared.take_commands();
        if commands.is_empty() {
            return;
        }
        let now = clock::now();
        for command in commands {
            self.obey_one(shared, command, now);
        }
    }

    fn obey_one(&mut self, shared: &Arc<Shared>, command: Command, now: Instant) {
        match command {
            Command::Listen(key, listener, bound, setup) => {
                self.listen(key, Accepting::new(listener, bound, setup));
            }
            Command::Dial(key, endpoint, peer, setup) => {
                let id = self.entries.insert(Entry::Dialer(Box::new(Dialer::new(endpoint, setup, peer))));
                self.keys.insert(key, id);
                self.dial(shared, id, now);
            }
            Command::Forget(key, lingering, done) => {
                self.forget(shared, key, lingering, now);
                if let Some(done) = done {
                    done.complete();
                }
            }
            Command::Resolved(dialer, found) => self.resolved(dialer, found, now),
            Command::Resume(link) => self.enlist(link, Link::resume),
            Command::Pump(link) => self.enlist(link, Link::unblock),
            Command::HangUp(link) => self.end(link, &End::HungUp, now),
            Command::Broken(link, error) => self.enlist(link, |link| link.break_off(error)),
            Command::Run(order) => order(),
            Command::RunAt(when, order) => {
                let id = self.entries.insert(Entry::Order(order));
                self.timers.set(id, Some(when));
            }
            Command::Linger(host, until, lingering) => self.linger(shared, (host, until, lingering), now),
            Command::Recheck(lingerer) => self.recheck(lingerer, now),
            Command::CutLingering => self.cut_lingering(now),
        }
    }

    fn listen(&mut self, key: Key, accepting: Accepting) {
        let id = self.entries.insert(Entry::Accepting(Box::new(accepting)));
        self.keys.insert(key, id);
        let Some(Entry::Accepting(accepting)) = self.entries.get(id) else { return };
        // It is watched already, so that the system has no reason to refuse.
        if let Err(error) =
            rewatch(&self.registry, accepting.listener(), Token(id.to_bits()), Interest::READABLE)
        {
            log::error!("cannot watch a listener: {error}");
        }
        // Who has come meanwhile may have been reported, and to nobody.
        self.enlist_listener(id);
    }

    /// A socket unbinds or disconnects, and drops the connections that came of it.
    fn forget(&mut self, shared: &Arc<Shared>, key: Key, lingering: Option<Lingering>, now: Instant) {
        let Some(id) = self.keys.remove(&key) else { return };
        let links = match self.take(id) {
            Some(Entry::Accepting(accepting)) => accepting.arrivals.into_links(),
            Some(Entry::Dialer(dialer)) => match dialer.stage {
                Stage::Linked(link) => vec![link],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        for link in links {
            self.part(link, lingering.as_ref().map(|_| shared.linger_guard()), now);
        }
    }

    /// Ends a link from our side: gracefully if something is to linger.
    fn part(&mut self, id: Id, lingering: Option<Lingering>, now: Instant) {
        let left = match (self.entries.get_mut(id), lingering) {
            (Some(Entry::Link(link)), Some(lingering)) => link.leave(lingering, now),
            _ => Err(End::HungUp),
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
            Entry::Lingerer(Box::new(Lingerer::new(host, until, lingering, recheck)))
        });
        self.timers.set(id, until);
        self.recheck(id, now);
    }

    pub(super) fn cut_lingering(&mut self, now: Instant) {
        let lingers = |(id, entry): (Id, &Entry)| matches!(entry, Entry::Lingerer(_)).then_some(id);
        let ids: Vec<Id> = self.entries.iter().filter_map(lingers).collect();
        for id in ids {
            if let Some(Entry::Lingerer(lingerer)) = self.entries.get_mut(id) {
                lingerer.until = Some(now);
            }
            self.recheck(id, now);
        }
    }

    pub(super) fn recheck(&mut self, id: Id, now: Instant) {
        let settled = match self.entries.get(id) {
            Some(Entry::Lingerer(lingerer)) => lingerer.settle(now),
            _ => false,
        };
        if settled {
            self.take(id);
        }
    }
}

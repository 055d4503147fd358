//! How connections come about: what a [`Turn`] does for listeners and dialers.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::{Interest, Token};

use super::dialer::Stage;
use super::reactor::{Entry, Turn};
use super::wire::{Link, Origin, Source};
use super::{Command, Shared};
use crate::monitor::Event;
use crate::slots::Id;
use crate::transport::{Stream, Target, rewatch, watch};

impl Turn {
    pub(super) fn accept(&mut self, shared: &Arc<Shared>, id: Id, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(Entry::Accepting(accepting)) = self.entries.get_mut(id) else { return };
            accepting.listed = false;
            match accepting.accept(now) {
                Some(Ok((stream, address))) => {
                    let (setup, endpoint) = (accepting.setup.clone(), &accepting.endpoint);
                    let accepted =
                        || Event::Accepted { endpoint: endpoint.clone(), address: address.clone() };
                    setup.host.report(&accepted).wake();
                    let origin = Origin::Listener(id);
                    self.link(stream, Source { origin, dialled: None, address, setup: &setup, shared }, now);
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
            return self.end(id, &error.into(), now);
        }
        link.unblock();
        let deadline = link.deadline();
        self.timers.set(id, deadline);
    }

    /// Begins to connect, or to find out where to.
    pub(super) fn dial(&mut self, shared: &Arc<Shared>, id: Id, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        if let Some(target) = shared.network.target(&dialer.endpoint) {
            return self.connect(id, VecDeque::from([target]), now);
        }
        dialer.stage = Stage::Resolving;
        let (endpoint, ipv6, shared_too) =
            (dialer.endpoint.clone(), dialer.setup.options.ipv6, Arc::downgrade(shared));
        let started = shared.resolver.look_up(move || {
            let found = Target::look_up(&endpoint, ipv6);
            if let Some(shared) = shared_too.upgrade() {
                shared.command(Command::Resolved(id, found));
            }
        });
        if let Err(error) = started {
            self.dialing_failed(id, error, now);
        }
    }

    pub(super) fn resolved(&mut self, id: Id, found: io::Result<Vec<Target>>, now: Instant) {
        // The dialer may be gone.
        let Some(Entry::Dialer(_)) = self.entries.get(id) else { return };
        match found {
            Ok(targets) => self.connect(id, targets.into(), now),
            Err(error) => self.dialing_failed(id, error, now),
        }
    }

    fn connect(&mut self, id: Id, targets: VecDeque<Target>, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        let begun = dialer.connect(targets, now).and_then(|()| match &dialer.stage {
            Stage::Connecting { stream, .. } => {
                watch(&self.registry, stream, Token(id.to_bits()), Interest::READABLE | Interest::WRITABLE)
            }
            _ => Ok(()),
        });
        let deadline = dialer.deadline();
        match begun {
            Ok(()) => self.timers.set(id, deadline),
            Err(error) => self.dialing_failed(id, error, now),
        }
    }

    /// There is news of a connection that is being made.
    pub(super) fn progress(&mut self, shared: &Arc<Shared>, id: Id, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        let Stage::Connecting { stream, .. } = &dialer.stage else { return };
        match stream.connected() {
            Ok(()) => {
                let Stage::Connecting { stream, address, .. } =
                    std::mem::replace(&mut dialer.stage, Stage::Waiting(None))
                else {
                    return;
                };
                let (setup, endpoint, peer) = (dialer.setup.clone(), dialer.endpoint.clone(), dialer.peer);
                let connected = || Event::Connected { endpoint: endpoint.clone(), address: address.clone() };
                setup.host.report(&connected).wake();
                self.timers.set(id, None);
                let (origin, dialled) = (Origin::Dialer(id), Some((peer, endpoint)));
                self.link(stream, Source { origin, dialled, address, setup: &setup, shared }, now);
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {} // not yet
            Err(error) => self.next_target(id, error, now),
        }
    }

    /// A target has not answered, or with a refusal.
    pub(super) fn next_target(&mut self, id: Id, error: io::Error, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        match std::mem::replace(&mut dialer.stage, Stage::Waiting(None)) {
            Stage::Connecting { left, .. } if !left.is_empty() => self.connect(id, left, now),
            _ => self.dialing_failed(id, error, now),
        }
    }

    fn dialing_failed(&mut self, id: Id, error: io::Error, now: Instant) {
        let random = self.random();
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        dialer.failed(error, now, random).wake();
        let deadline = dialer.deadline();
        self.timers.set(id, deadline);
    }
}

/// Connections to accept in one go.
const ACCEPTS: usize = 64;

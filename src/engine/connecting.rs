//! How connections come about: what a [`Turn`] does for listeners and dialers.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use mio::{Interest, Token};

use super::dialer::Stage;
use super::listener::Accepted;
use super::reactor::{Entry, Turn};
use super::wire::{Link, Origin, Source};
use super::{Command, Shared};
use crate::monitor::Event;
use crate::peer::Rejection;
use crate::session::End;
use crate::slots::Id;
use crate::transport::{Stream, Target, rewatch, watch};

impl Turn {
    pub(super) fn accept(&mut self, shared: &Arc<Shared>, id: Id, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(Entry::Accepting(accepting)) = self.entries.get_mut(id) else { return };
            accepting.listed = false;
            match accepting.accept(now) {
                Accepted::Connection(stream, address, displaced) => {
                    let (setup, endpoint) = (accepting.setup.clone(), &accepting.endpoint);
                    let accepted =
                        || Event::Accepted { endpoint: endpoint.clone(), address: address.clone() };
                    setup.host.report(&accepted).wake();
                    let listener = Some(endpoint.clone());
                    displaced.into_iter().for_each(|link| self.displace(link, now));
                    let origin = Origin::Listener(id);
                    let from = Source { origin, dialled: None, listener, address, setup: &setup, shared };
                    self.link(stream, from, now);
                }
                Accepted::Displaced(link) => self.displace(link, now),
                Accepted::Lost => {}
                Accepted::Nothing => {
                    let paused = accepting.paused;
                    return self.timers.set(id, paused);
                }
            }
        }
        // There may be more, after everybody else had a go.
        self.enlist_listener(id);
    }

    /// A link has not finished its handshake, and others need its place.
    fn displace(&mut self, link: Id, now: Instant) {
        self.end(link, &End::Refused(Rejection::Displaced), now);
    }

    /// The handshake of a link is over.
    pub(super) fn attached(&mut self, link: Id, origin: Origin, now: Instant) {
        match self.entries.get_mut(origin.id()) {
            Some(Entry::Dialer(dialer)) => dialer.succeeded(now),
            Some(Entry::Accepting(_)) => self.settle(origin.id(), link, false),
            _ => {}
        }
    }

    /// A link that came in at a listener is over, or its handshake is: another may have waited for that.
    pub(super) fn settle(&mut self, listener: Id, link: Id, over: bool) {
        let Some(Entry::Accepting(accepting)) = self.entries.get_mut(listener) else { return };
        if accepting.settle(link, over) {
            self.enlist_listener(listener);
        }
    }

    /// Has a listener looked at.
    pub(super) fn enlist_listener(&mut self, id: Id) {
        let Some(Entry::Accepting(accepting)) = self.entries.get_mut(id) else { return };
        if !mem::replace(&mut accepting.listed, true) {
            self.ready.push_back(id);
        }
    }

    /// Makes a link of a stream that is connected.
    fn link(&mut self, stream: Stream, from: Source<'_>, now: Instant) {
        let origin = from.origin;
        let ip = from.address.socket_addr().map(|addr| addr.ip());
        let id = self.entries.insert_with(|id| Entry::Link(Box::new(Link::new(stream, id, from, now))));
        match (origin, self.entries.get_mut(origin.id())) {
            (Origin::Listener(_), Some(Entry::Accepting(accepting))) => accepting.arrivals.add(id, ip, now),
            (Origin::Dialer(_), Some(Entry::Dialer(dialer))) => dialer.stage = Stage::Linked(id),
            _ => {}
        }
        let Some(Entry::Link(link)) = self.entries.get_mut(id) else { return };
        let (token, readable) = (Token(id.to_bits()), Interest::READABLE);
        let watched = match origin {
            Origin::Listener(_) => watch(&self.registry, link.stream(), token, readable),
            // A dialled stream was watched while it connected.
            Origin::Dialer(_) => rewatch(&self.registry, link.stream(), token, readable),
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
        let waits = Arc::new(());
        let wanted = Arc::downgrade(&waits);
        dialer.stage = Stage::Resolving { _waits: waits };
        let (endpoint, ipv6, shared_too) =
            (dialer.endpoint.clone(), dialer.setup.options.ipv6, Arc::downgrade(shared));
        let started = shared.resolver.look_up(wanted, move || {
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
                    mem::replace(&mut dialer.stage, Stage::Waiting(None))
                else {
                    return;
                };
                let (setup, endpoint, peer) = (dialer.setup.clone(), dialer.endpoint.clone(), dialer.peer);
                let connected = || Event::Connected { endpoint: endpoint.clone(), address: address.clone() };
                setup.host.report(&connected).wake();
                self.timers.set(id, None);
                let (origin, dialled) = (Origin::Dialer(id), Some((peer, endpoint)));
                let from = Source { origin, dialled, listener: None, address, setup: &setup, shared };
                self.link(stream, from, now);
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {} // not yet
            Err(error) => self.next_target(id, error, now),
        }
    }

    /// A target has not answered, or with a refusal.
    pub(super) fn next_target(&mut self, id: Id, error: io::Error, now: Instant) {
        let Some(Entry::Dialer(dialer)) = self.entries.get_mut(id) else { return };
        let error = dialer.missed(error);
        match mem::replace(&mut dialer.stage, Stage::Waiting(None)) {
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

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::thread;
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::engine::Reactor;
    use crate::engine::dialer::tests::setup;
    use crate::options::Options;
    use crate::slots::Slots;

    #[test]
    fn the_addresses_of_a_name_are_tried_until_one_listens() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let dead = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        dead.bind(&any.into()).unwrap();
        let nobody = dead.local_addr().unwrap().as_socket().unwrap();
        let listener = TcpListener::bind(any).unwrap();
        listener.set_nonblocking(true).unwrap();

        let reactor = Reactor::start("test".into()).unwrap();
        let options = Options { reconnect_interval: Duration::MAX, ..Options::default() };
        // Which names have several addresses depends on the machine. So it dials one, and is then told of others.
        let handle = reactor.handle();
        handle.dial(Endpoint::from_addr(nobody), Slots::new().insert(()), setup(options));
        let somebody = listener.local_addr().unwrap();
        let found = [nobody, nobody, somebody].map(|addr| Target::Tcp { addr, source: None });
        let the_first = Slots::new().insert(());
        handle.0.command(Command::Resolved(the_first, Ok(found.into())));

        let deadline = Instant::now() + Duration::from_secs(30);
        while listener.accept().is_err() {
            assert!(Instant::now() < deadline, "the last address is not tried");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

//! A bound endpoint, as the reactor keeps it.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Setup;
use super::arrivals::Arrivals;
use crate::endpoint::Endpoint;
use crate::limit::Limit;
use crate::monitor::{Event, Remote};
use crate::slots::Id;
use crate::transport::{Listener, Stream};

/// Accepts connections, and knows those it has accepted.
pub(crate) struct Accepting {
    listener: Listener,
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    pub(crate) setup: Arc<Setup>,
    /// The connections that came in here and are still there.
    pub(crate) arrivals: Arrivals,
    /// Nothing is accepted before, whatever the poll reports.
    pub(crate) paused: Option<Instant>,
    /// That is because of handshakes that are not over: the end of one ends the pause.
    crowded: bool,
    shortage: Shortage,
    /// How many connections in a row were lost before they were accepted.
    lost: u32,
    /// Whether this stands in the reactor's list of what is to be looked at.
    pub(crate) listed: bool,
}

/// Whether the system is out of something that every connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortage {
    None,
    /// It is, and monitors know.
    Told,
    /// It was, and a connection has been accepted since. Others may still wait for what it is that was missing.
    Easing,
}

/// What came of accepting once.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection, and where it comes from. One that is there may have to make room, since its handshake takes too long
    /// while others wait.
    Connection(Stream, Endpoint, Option<Id>),
    /// For want of a descriptor there is none, but for that of one whose handshake takes too long.
    Displaced(Id),
    /// A connection that is over already. There may be others.
    Lost,
    /// No connection waits, or accepting pauses.
    Nothing,
}

impl Accepting {
    pub(crate) fn new(listener: Listener, endpoint: Endpoint, setup: Arc<Setup>) -> Self {
        let arrivals = Arrivals::new(&setup.options);
        Self {
            listener,
            endpoint,
            setup,
            arrivals,
            paused: None,
            crowded: false,
            shortage: Shortage::None,
            lost: 0,
            listed: false,
        }
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Accepts one connection, if any waits and there is a place for it.
    pub(crate) fn accept(&mut self, now: Instant) -> Accepted {
        if self.paused.is_some_and(|until| until > now) {
            return Accepted::Nothing;
        }
        (self.paused, self.crowded) = (None, false);
        if self.is_crowded(now) {
            return Accepted::Nothing;
        }
        match self.listener.accept(&self.setup.options) {
            Ok((stream, address)) => self.admit(stream, address, now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.all_accepted();
                Accepted::Nothing
            }
            Err(error) if is_of_one_connection(&error) && self.lost < MANY_LOST => {
                log::debug!("lost a connection before it was accepted: {error}");
                self.lost += 1;
                Accepted::Lost
            }
            Err(error) => self.run_short(error, now),
        }
    }

    /// Takes note of a connection that is over, or whose handshake is. True if accepting has waited for that.
    pub(crate) fn settle(&mut self, link: Id, over: bool) -> bool {
        if over {
            self.arrivals.remove(link);
        } else {
            self.arrivals.greeted(link);
        }
        let waited = mem::take(&mut self.crowded);
        if waited {
            self.paused = None;
        }
        waited
    }

    /// Whether nobody can be let in, since all places for handshakes are taken by some that have not had their time. Then
    /// accepting pauses until the oldest has had it, or one is over.
    fn is_crowded(&mut self, now: Instant) -> bool {
        let full = self.arrivals.is_full_of_handshakes();
        if let Some((until, _)) = self.arrivals.oldest().filter(|(until, _)| full && *until > now) {
            (self.paused, self.crowded) = (Some(until), true);
        }
        self.crowded
    }

    /// The connection to go when another needs its place.
    fn overdue(&self, now: Instant) -> Option<Id> {
        self.arrivals.oldest().filter(|(until, _)| *until <= now).map(|(_, link)| link)
    }

    /// A connection is there: it is let in, unless there are too many.
    fn admit(&mut self, stream: Stream, address: Endpoint, now: Instant) -> Accepted {
        self.lost = 0;
        if self.shortage == Shortage::Told {
            self.shortage = Shortage::Easing;
        }
        let refused = self.arrivals.refuses(address.socket_addr().map(|addr| addr.ip()));
        let full = match refused {
            None => self.arrivals.is_full_of_handshakes(),
            Some(limit) => limit == Limit::Connections,
        };
        let displaced = self.overdue(now).filter(|_| full);
        let Some(limit) = refused.filter(|_| displaced.is_none()) else {
            return Accepted::Connection(stream, address, displaced);
        };
        // It is closed without a word, but not left to wait where it would be in the way of others.
        drop(stream);
        log::debug!("{}: turned away {address}, one connection too many", self.endpoint);
        self.reached(limit, Some(address));
        Accepted::Lost
    }

    /// The system is out of something.
    fn run_short(&mut self, error: io::Error, now: Instant) -> Accepted {
        self.lost = 0;
        // Who says nothing must not keep what others could use.
        if let Some(link) = self.overdue(now) {
            return Accepted::Displaced(link);
        }
        if self.shortage == Shortage::None {
            log::error!("{}: cannot accept connections for now: {error}", self.endpoint);
            self.reached(Limit::Descriptors, None);
            let (endpoint, error) = (&self.endpoint, Arc::new(error));
            let paused = || Event::AcceptPaused { endpoint: endpoint.clone(), error: error.clone() };
            self.setup.host.report(&paused).wake();
        }
        self.shortage = Shortage::Told;
        self.paused = now.checked_add(PAUSE);
        Accepted::Nothing
    }

    /// No further connection waits.
    fn all_accepted(&mut self) {
        self.lost = 0;
        if self.shortage == Shortage::Easing {
            self.shortage = Shortage::None;
            log::info!("{}: connections are accepted again", self.endpoint);
            let endpoint = &self.endpoint;
            self.setup.host.report(&|| Event::AcceptResumed { endpoint: endpoint.clone() }).wake();
        }
    }

    fn reached(&self, limit: Limit, address: Option<Endpoint>) {
        let remote = || Remote { address: address.clone(), ..Remote::default() };
        self.setup.host.limit_reached(limit, &remote).wake();
    }
}

/// Whether only the connection that was to be accepted is lost. Everything else is taken for a shortage, of descriptors
/// or of memory, which a pause may mend.
///
/// Linux passes on what the network has to say of the connection (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
        NotConnected, PermissionDenied, TimedOut,
    };
    let kind = matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | PermissionDenied
            | TimedOut
    );
    kind || error.raw_os_error().is_some_and(|code| OF_THE_NETWORK.contains(&code))
}

/// `ENONET`, `EPROTO`, `ENOPROTOOPT`, `EOPNOTSUPP` and `EHOSTDOWN`, for which the standard library has no names.
#[cfg(any(target_os = "linux", target_os = "android"))]
const OF_THE_NETWORK: [i32; 5] = [64, 71, 92, 95, 112];
/// `ENOPROTOOPT`, `EOPNOTSUPP`, `EHOSTDOWN` and `EPROTO`, as macOS numbers them.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const OF_THE_NETWORK: [i32; 4] = [42, 102, 64, 100];

/// How many lost connections in a row are taken for what they seem to be. More look like an error that stays.
const MANY_LOST: u32 = 64;

/// How long to leave a system alone that has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_of_one_connection_is_told_from_a_shortage() {
        // As accept(2) lists them: EPERM, EINTR, ENETDOWN, ...
        let of_one = [1, 4, 64, 71, 92, 95, 100, 101, 103, 104, 110, 112, 113];
        for code in of_one {
            assert!(is_of_one_connection(&io::Error::from_raw_os_error(code)), "{code}");
        }
        // ENFILE, EMFILE, ENOBUFS, ENOMEM, EINVAL, EBADF
        for code in [23, 24, 105, 12, 22, 9] {
            assert!(!is_of_one_connection(&io::Error::from_raw_os_error(code)), "{code}");
        }
    }
}

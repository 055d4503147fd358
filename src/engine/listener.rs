//! A bound endpoint, as the reactor keeps it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Setup;
use crate::endpoint::Endpoint;
use crate::slots::Id;
use crate::transport::{Listener, Stream};

/// Accepts connections, and knows those it has accepted.
pub(crate) struct Accepting {
    listener: Listener,
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    pub(crate) setup: Arc<Setup>,
    /// The connections that came in here and are still there.
    pub(crate) links: BTreeSet<Id>,
    /// The system is out of something: when to try again.
    pub(crate) paused: Option<Instant>,
    /// Whether this stands in the reactor's list of what is to be looked at.
    pub(crate) listed: bool,
}

impl Accepting {
    pub(crate) fn new(listener: Listener, endpoint: Endpoint, setup: Arc<Setup>) -> Self {
        Self { listener, endpoint, setup, links: BTreeSet::new(), paused: None, listed: false }
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// One connection and where it comes from, if any waits. `None` also after an error, which may have ended one
    /// connection or all accepting for a while.
    pub(crate) fn accept(&mut self, now: Instant) -> Option<io::Result<(Stream, Endpoint)>> {
        match self.listener.accept(&self.setup.options) {
            Ok(accepted) => {
                self.paused = None;
                Some(Ok(accepted))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.paused = None;
                None
            }
            Err(error) if is_of_one_connection(&error) => Some(Err(error)),
            Err(error) => {
                if self.paused.is_none() {
                    log::error!("cannot accept connections for now: {error}");
                }
                self.paused = now.checked_add(PAUSE);
                None
            }
        }
    }
}

/// Whether only the connection that was to be accepted is lost. Everything else is taken for a shortage, of descriptors
/// or of memory, which a pause may mend.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, NotConnected, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | NotConnected | PermissionDenied | TimedOut
    )
}

/// How long to leave a system alone that has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

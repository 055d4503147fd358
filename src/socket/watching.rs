//! Being watched: what a socket is ready for, as pollers and other event loops see it.

use std::sync::Arc;
use std::task::Waker;

use super::core::Core;
use super::interest::{Interest, Ready};
use super::state::{Phase, State};
use super::{Kind, Socket};
use crate::context::{Context, Engine};
use crate::pipe::Ticket;

impl State {
    /// A closed socket is ready for everything: every call returns at once, with an error that says so.
    pub(super) fn ready(&self, interest: Interest) -> Ready {
        let closed = self.phase != Phase::Open;
        Ready {
            readable: interest.is_readable() && (closed || self.pattern.can_recv()),
            writable: interest.is_writable() && (closed || self.pattern.can_send(&self.pipes)),
            closed,
        }
    }

    /// Has the descriptors of those who watch say the truth.
    #[cold]
    pub(super) fn show_gauges(&mut self) {
        let mut gauges = std::mem::take(&mut self.gauges);
        gauges.iter_mut().for_each(|gauge| gauge.show(self.ready(gauge.interest).is_any()));
        self.gauges = gauges;
    }
}

/// A socket that is watched by one poller. It stays what it is when its user drops it, and is closed then.
pub(crate) struct Watched {
    core: Arc<Core>,
    /// Whoever watches may run the reactor, which must not end meanwhile. Declared behind `core` as in [`Socket`].
    _context: Context,
    ticket: Ticket,
}

impl<T: Kind> Socket<T> {
    /// The socket as a poller holds it.
    pub(crate) fn watched(&self) -> Watched {
        Watched { core: self.core.clone(), _context: self.context.clone(), ticket: Ticket::default() }
    }
}

impl Watched {
    /// The reactor that moves the socket's messages.
    pub(crate) fn engine(&self) -> &Engine {
        &self.core.engine
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// What the socket is ready for. If that is nothing, the waker is called once that may have changed, from this very
    /// moment on.
    pub(crate) fn look(&mut self, interest: Interest, waker: &Waker) -> Ready {
        let mine = waker.clone();
        let mut before = None;
        let mut state = self.core.lock();
        let ready = state.ready(interest);
        if !ready.is_any() {
            before = state.watchers.wait(&mut self.ticket, mine);
        }
        drop(state);
        drop(before);
        ready
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // All watchers are woken together, so there is nothing to pass on.
        let left = self.core.enter().map(|mut state| state.watchers.leave(&mut self.ticket));
        drop(left);
    }
}

//! What outlives a socket: what it still had to send, and connections that are being wound up.

use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use super::{Command, Shared};
use crate::lock::lock;
use crate::peer::Host;
use crate::pipe::{Ticket, Waiters, Wakes};
use crate::slots::Id;

/// Counts what lingers, for those who wait until nothing does.
#[derive(Default)]
pub(crate) struct Gate(Mutex<GateState>);

#[derive(Default)]
struct GateState {
    lingering: usize,
    waiters: Waiters,
}

impl Gate {
    /// Something lingers until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Lingering {
        lock(&self.0).lingering += 1;
        Lingering(self.clone())
    }

    /// Ends when nothing lingers any more.
    pub(crate) fn wait(self: &Arc<Self>) -> AllGone {
        AllGone { gate: self.clone(), ticket: Ticket::default() }
    }
}

/// Keeps a [`Gate`] shut.
pub(crate) struct Lingering(Arc<Gate>);

impl Drop for Lingering {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        {
            let mut state = lock(&self.0.0);
            state.lingering -= 1;
            if state.lingering == 0 {
                state.waiters.wake_all(&mut wakes);
            }
        }
        wakes.wake();
    }
}

/// Made by [`Gate::wait`].
pub(crate) struct AllGone {
    gate: Arc<Gate>,
    ticket: Ticket,
}

impl Future for AllGone {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = context.waker().clone();
        let mut state = lock(&this.gate.0);
        if state.lingering == 0 {
            return Poll::Ready(());
        }
        let before = state.waiters.wait(&mut this.ticket, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for AllGone {
    fn drop(&mut self) {
        let left = lock(&self.gate.0).waiters.leave(&mut self.ticket);
        drop(left);
    }
}

/// A dropped socket that still has something to send, as the reactor keeps it.
pub(crate) struct Lingerer {
    host: Arc<dyn Host>,
    waker: Waker,
    pub(crate) until: Option<Instant>,
    _lingering: Lingering,
}

impl Lingerer {
    pub(crate) fn new(
        host: Arc<dyn Host>,
        until: Option<Instant>,
        lingering: Lingering,
        recheck: Recheck,
    ) -> Self {
        Self { host, waker: Waker::from(Arc::new(recheck)), until, _lingering: lingering }
    }

    /// Winds the socket up if it has nothing left to send, or no time. True if that is done.
    pub(crate) fn settle(&self, now: Instant) -> bool {
        let expired = self.until.is_some_and(|until| until <= now);
        let done = expired || self.host.poll_drained(&self.waker);
        if done {
            self.host.settle();
        }
        done
    }
}

/// Has the reactor look at a lingerer again.
pub(crate) struct Recheck {
    pub(crate) shared: Weak<Shared>,
    pub(crate) lingerer: Id,
}

impl Wake for Recheck {
    fn wake(self: Arc<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.command(Command::Recheck(self.lingerer));
        }
    }
}

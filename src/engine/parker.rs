//! [`Parker`]: a blocked thread as a waker.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant;

use crate::clock;
use crate::owner::Owner;

/// A thread that waits, either parked or in the poll; waking it works both ways.
#[derive(Debug)]
pub(crate) struct Parker {
    thread: Thread,
    /// Interrupts the poll of the reactor that the thread may be running. Weak, so that a thread which once waited does
    /// not keep a descriptor of a reactor that is gone.
    poll: Weak<Interrupter>,
    state: AtomicU8,
}

const RUNNING: u8 = 0;
const PARKED: u8 = 1;
const POLLING: u8 = 2;
const WOKEN: u8 = 3;

thread_local! {
    /// The parker that this thread used last, and does not use at present; as a rule it will do for the next wait, too.
    static LAST: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) };
}

impl Parker {
    /// A parker for the calling thread and the reactor behind `poll`, which nobody else has. Who waits in a waker, while
    /// the thread waits already, has another one: what wakes the one must not be lost on the other.
    pub(crate) fn take(poll: &Arc<Interrupter>) -> Arc<Self> {
        // While a thread's locals are torn down, as when a socket is dropped there, a fresh one has to do.
        let last = LAST.try_with(RefCell::take).ok().flatten();
        last.filter(|parker| parker.poll.as_ptr() == Arc::as_ptr(poll)).unwrap_or_else(|| {
            let poll = Arc::downgrade(poll);
            Arc::new(Self { thread: thread::current(), poll, state: AtomicU8::new(RUNNING) })
        })
    }

    /// The thread waits no longer. The parker will do for its next wait, which forgets wake-ups that come late.
    pub(crate) fn give_back(self: Arc<Self>) {
        let before = LAST.try_with(|last| last.replace(Some(self)));
        drop(before);
    }

    /// Forgets wake-ups that were meant for what the thread waited for before.
    pub(crate) fn reset(&self) {
        self.state.store(RUNNING, Ordering::SeqCst);
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.state.load(Ordering::SeqCst) == WOKEN
    }

    /// Sleeps until woken, unparked or past the deadline. May also return for no reason.
    pub(crate) fn park(&self, deadline: Option<Instant>) {
        if !self.begin(PARKED) {
            return;
        }
        match deadline {
            Some(deadline) => thread::park_timeout(deadline.saturating_duration_since(clock::now())),
            None => thread::park(),
        }
        self.finish(PARKED);
    }

    /// Has the thread come for the duty: it returns from [`Parker::park`] without being woken.
    pub(crate) fn unpark(&self) {
        self.thread.unpark();
    }

    /// The thread is about to sleep in the poll. False if it has been woken and must not.
    pub(crate) fn begin_poll(&self) -> bool {
        self.begin(POLLING)
    }

    pub(crate) fn end_poll(&self) {
        self.finish(POLLING);
    }

    fn begin(&self, sleep: u8) -> bool {
        self.state.compare_exchange(RUNNING, sleep, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Back to running, unless woken meanwhile.
    fn finish(&self, sleep: u8) {
        let _ = self.state.compare_exchange(sleep, RUNNING, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.state.swap(WOKEN, Ordering::SeqCst) {
            PARKED => self.thread.unpark(),
            POLLING => self.poll.upgrade().iter().for_each(|poll| poll.interrupt()),
            _ => {}
        }
    }
}

/// Interrupts a poll.
#[derive(Debug)]
pub(crate) struct Interrupter {
    waker: mio::Waker,
    owner: Owner,
}

impl Interrupter {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self { waker, owner: Owner::current() }
    }

    /// Interrupts the poll, unless it is that of another process, which is not to be disturbed.
    ///
    /// It fails only when the system is out of memory for a single counter; the poll is then woken by the next event or
    /// deadline.
    pub(crate) fn interrupt(&self) {
        if self.owner.is_another() {
            return;
        }
        if let Err(error) = self.waker.wake() {
            log::error!("cannot interrupt the poll: {error}");
        }
    }
}

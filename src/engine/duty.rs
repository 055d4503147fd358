//! [`Roster`]: whose duty it is to run the reactor.
//!
//! There is one turn to be had, and whoever has it runs the reactor. Everybody may want it: a caller that would
//! otherwise sleep (so that octets are read by the thread that waits for them) and the I/O thread (so that they are
//! read when no caller waits). The rules, which this file states without a thread or a clock:
//!
//! - A caller takes the turn when it is free. If the I/O thread has it, it is asked to hand it over; if another caller
//!   has it, the newcomer waits in the queue.
//! - Who leaves passes the turn on to the caller that has waited longest. If none waits, the I/O thread *may* come for
//!   it, but is not woken: callers that come and go quickly would pay for that each time.
//! - So the I/O thread looks in now and then. It takes a turn that is free and that nobody has had since its last look.
//!   While one and the same caller has it all the time there is nothing to look for, and the I/O thread sleeps on until
//!   that caller leaves.
//! - It is called at once when somebody needs the reactor who will not drive it: a future, a new listener.
//!
//! ```text
//!                 ask                      leave, no queue
//!   free ───────────────────▶ a caller ───────────────────▶ free
//!    ▲ look, nobody came                     leave, queue      │ look, or called
//!    └── the I/O thread ◀─────────────────── an heir ◀─────────┘
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

/// Keeps the turn, and the order of those who want it. `T` is the turn and `C` a caller that waits.
#[derive(Debug)]
pub(crate) struct Roster<T, C> {
    /// The turn, while nobody has it.
    free: Option<T>,
    /// The I/O thread has the turn.
    io_drives: bool,
    queue: VecDeque<Arc<C>>,
    /// Callers that were told to come for the turn and have not come yet.
    heirs: usize,
    /// Counts the turns that callers have left.
    left: u64,
    /// `left` when the I/O thread last looked in.
    seen: u64,
    nap: Nap,
    /// Somebody needs the reactor who will not drive it.
    called: bool,
    stopped: bool,
}

/// How the I/O thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nap {
    /// It looks in again soon.
    Short,
    /// It sleeps until it is woken.
    Long,
}

/// The answer to a caller that wants the turn.
#[derive(Debug)]
pub(crate) enum Ask<T> {
    Granted(T),
    /// It waits in the queue. If the I/O thread has the turn, its poll has to be interrupted.
    Queued {
        interrupt: bool,
    },
}

/// The answer to the I/O thread when it looks in.
#[derive(Debug)]
pub(crate) enum Look<T> {
    Granted(T),
    Sleep(Nap),
    Stop,
}

/// Whom to wake.
#[derive(Debug)]
pub(crate) enum Next<C> {
    Nobody,
    Caller(Arc<C>),
    IoThread,
    /// Whoever runs the reactor: the poll is to be interrupted.
    Driver,
}

impl<T, C> Roster<T, C> {
    pub(crate) const fn new(turn: T) -> Self {
        Self {
            free: Some(turn),
            io_drives: false,
            queue: VecDeque::new(),
            heirs: 0,
            left: 0,
            seen: 0,
            nap: Nap::Short,
            called: false,
            stopped: false,
        }
    }

    /// A caller wants the turn. While it waits it must not ask again before [`Roster::withdraw`].
    pub(crate) fn ask(&mut self, caller: &Arc<C>) -> Ask<T> {
        match self.free.take() {
            Some(turn) => Ask::Granted(turn),
            None => {
                self.queue.push_back(caller.clone());
                Ask::Queued { interrupt: self.io_drives }
            }
        }
    }

    /// A caller that waited has woken, for whatever reason, and is out of the queue from now on. It may ask again; if
    /// it does not, it must call [`Roster::pass`].
    pub(crate) fn withdraw(&mut self, caller: &Arc<C>) {
        match self.queue.iter().position(|other| Arc::ptr_eq(other, caller)) {
            Some(place) => drop(self.queue.remove(place)),
            None => self.heirs -= 1,
        }
    }

    /// A caller that may have been the heir of the turn does not want it any more.
    pub(crate) fn pass(&mut self) -> Next<C> {
        if self.free.is_some() { self.hand_on() } else { Next::Nobody }
    }

    /// Whether somebody needs the reactor who will not drive it; to be told before the turn is left.
    pub(crate) fn need(&mut self, needed: bool) {
        self.called |= needed;
    }

    /// A caller leaves the turn.
    pub(crate) fn leave(&mut self, turn: T) -> Next<C> {
        self.free = Some(turn);
        self.left += 1;
        self.hand_on()
    }

    /// Whether the I/O thread, which has the turn, is to leave it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.stopped || !self.queue.is_empty()
    }

    /// The I/O thread leaves the turn.
    pub(crate) fn io_leave(&mut self, turn: T) -> Next<C> {
        self.free = Some(turn);
        self.io_drives = false;
        self.seen = self.left;
        self.hand_on()
    }

    /// The I/O thread looks in.
    pub(crate) fn look(&mut self) -> Look<T> {
        let nobody_came = self.seen == self.left && self.heirs == 0;
        self.seen = self.left;
        if self.stopped {
            return Look::Stop;
        }
        if self.free.is_none() {
            // The same caller has had it since the last look: it is asleep in the poll, or will soon be.
            self.nap = if nobody_came && self.nap == Nap::Short { Nap::Long } else { Nap::Short };
            return Look::Sleep(self.nap);
        }
        self.nap = Nap::Short;
        let wanted = self.heirs == 0 && (nobody_came || self.called);
        match self.free.take_if(|_| wanted) {
            Some(turn) => {
                self.called = false;
                self.io_drives = true;
                Look::Granted(turn)
            }
            None => Look::Sleep(Nap::Short),
        }
    }

    /// The turn, while nobody has it.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn free(&self) -> Option<&T> {
        self.free.as_ref()
    }

    /// Somebody needs the reactor to look around at once, and will not drive it.
    pub(crate) fn call(&mut self) -> Next<C> {
        if self.io_drives {
            return Next::Driver;
        }
        // Also when a caller has the turn, which may be about to leave it.
        self.called = true;
        if self.free.is_some() { self.hand_on() } else { Next::Driver }
    }

    /// Somebody waits who will not drive: the turn must not be left lying. Whoever has it now is enough.
    pub(crate) fn attend(&mut self) -> Next<C> {
        if self.io_drives {
            return Next::Nobody;
        }
        self.called = true;
        if self.free.is_some() { self.hand_on() } else { Next::Nobody }
    }

    /// There is something new to do, which can wait until the I/O thread looks in or the next caller comes; but whoever
    /// sleeps in the poll now would not see it.
    pub(crate) fn nudge(&self) -> Next<C> {
        if self.free.is_none() { Next::Driver } else { Next::Nobody }
    }

    /// The I/O thread is to end.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Takes the turn out for good, once the I/O thread has ended and no caller is left.
    pub(crate) fn close(&mut self) -> Option<T> {
        self.free.take()
    }

    /// The turn is free: who should come for it?
    fn hand_on(&mut self) -> Next<C> {
        if self.heirs > 0 {
            // Somebody is on the way already, and will pass it on.
            return Next::Nobody;
        }
        if let Some(caller) = self.queue.pop_front() {
            self.heirs += 1;
            return Next::Caller(caller);
        }
        if self.called || self.nap == Nap::Long {
            self.nap = Nap::Short;
            return Next::IoThread;
        }
        Next::Nobody
    }
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

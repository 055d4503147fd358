//! Waiting: how callers and the I/O thread share the duty of running the reactor.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;
use super::behind;
use super::duty::{Ask, Look, Nap, Next, Roster};
use super::parker::Parker;
use super::reactor::Turn;
use crate::clock;
use crate::error::Unmet;
use crate::lock::lock;

impl Shared {
    /// Runs a future to its end on the calling thread, which meanwhile runs the reactor or sleeps, or until
    /// the deadline passes.
    ///
    /// This is how every blocking call waits, so that it waits for the same things as its `async` twin.
    pub(crate) fn block_on<F: Future + Unpin>(
        self: &Arc<Self>,
        future: F,
        deadline: Option<Instant>,
    ) -> Result<F::Output, Unmet> {
        // Help before you wait: what this thread has sent must not lie about while it sleeps.
        behind::flush();
        self.poll_to_end(future, |parker| self.wait(parker, deadline))
    }

    /// Runs a future to its end on the calling thread, which meanwhile sleeps and never runs the reactor, or
    /// until the deadline passes.
    pub(crate) fn sleep_on<F: Future + Unpin>(
        &self,
        future: F,
        deadline: Option<Instant>,
    ) -> Result<F::Output, Unmet> {
        self.poll_to_end(future, |parker| {
            while !parker.is_woken() {
                if is_past(deadline) {
                    return false;
                }
                parker.park(deadline);
            }
            true
        })
    }

    /// Polls a future to its end, and in between has `wait` return when the parker is woken, or give up (false).
    ///
    /// Under a waker that the thread calls while it runs the reactor nothing can come of a wait: then it gives up at once.
    fn poll_to_end<F: Future + Unpin>(
        &self,
        mut future: F,
        wait: impl Fn(&Arc<Parker>) -> bool,
    ) -> Result<F::Output, Unmet> {
        let parker = Parker::take(&self.poll);
        let waker = Waker::from(parker.clone());
        let mut context = Context::from_waker(&waker);
        let result = loop {
            parker.reset();
            if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut context) {
                break Ok(output);
            }
            if self.owner.is_another() {
                break Err(Unmet::Forked);
            }
            if self.is_driven_here() || !wait(&parker) {
                break Err(Unmet::TimedOut);
            }
        };
        parker.give_back();
        result
    }

    /// Waits until the parker is woken, or the deadline has passed (false).
    fn wait(self: &Arc<Self>, parker: &Arc<Parker>, deadline: Option<Instant>) -> bool {
        loop {
            let answer = lock(&self.roster).ask(parker);
            match answer {
                Ask::Granted(turn) => return self.drive(turn, parker, deadline),
                Ask::Queued { interrupt: true } => self.poll.interrupt(),
                Ask::Queued { interrupt: false } => {}
            }
            parker.park(deadline);
            let mut roster = lock(&self.roster);
            roster.withdraw(parker);
            let woken = parker.is_woken();
            if woken || is_past(deadline) {
                roster.need(self.is_needed());
                let next = roster.pass();
                drop(roster);
                self.wake(next);
                return woken;
            }
        }
    }

    /// Runs the reactor until the parker is woken, or the deadline has passed (false). Even then it is run once: who
    /// asks again and again without waiting must not keep everything from moving.
    fn drive(self: &Arc<Self>, turn: Box<Turn>, parker: &Arc<Parker>, deadline: Option<Instant>) -> bool {
        let mut driver = Driver::new(self, turn, Roster::leave);
        while !parker.is_woken() {
            let last = is_past(deadline);
            driver.run(Some(parker), deadline);
            if last {
                return parker.is_woken();
            }
        }
        true
    }

    /// Runs one turn, which waits until then at the longest.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn run_once(self: &Arc<Self>, turn: Box<Turn>, deadline: Instant) {
        Driver::new(self, turn, Roster::leave).run(None, Some(deadline));
    }

    /// Whether the calling thread runs the reactor, so that somebody else's code which it has called cannot wait for
    /// anything here.
    pub(crate) fn is_driven_here(&self) -> bool {
        DRIVEN.get().contains(&std::ptr::from_ref(self).addr())
    }

    /// Whether somebody needs the reactor who will not drive it.
    fn is_needed(&self) -> bool {
        self.attending.load(Ordering::SeqCst) > 0
    }

    /// The life of the I/O thread.
    pub(crate) fn run_io_thread(self: &Arc<Self>) {
        loop {
            let look = lock(&self.roster).look();
            match look {
                Look::Granted(turn) => self.run_until_wanted(turn),
                Look::Sleep(Nap::Short) => thread::park_timeout(LOOK_IN),
                Look::Sleep(Nap::Long) => thread::park(),
                Look::Stop => return self.clear_up(),
            }
        }
    }

    fn run_until_wanted(self: &Arc<Self>, turn: Box<Turn>) {
        let mut driver = Driver::new(self, turn, Roster::io_leave);
        while !lock(&self.roster).is_wanted() {
            // A waker is somebody else's code. What it breaks must not end the I/O thread.
            let run = panic::catch_unwind(AssertUnwindSafe(|| driver.run(None, None)));
            if run.is_err() {
                log::error!("a waker panicked on the I/O thread");
            }
        }
    }

    /// No socket is left, and no handle: lets go of all that the reactor still holds. Connections hold what we share,
    /// and so do commands and watched sockets; without this they would keep each other alive.
    pub(super) fn clear_up(self: &Arc<Self>) {
        let mut turn = lock(&self.roster).close();
        // The last sockets have asked for the end of their connections, and may not have been heard yet.
        // A dropped one may still linger, if this could not be waited for.
        if let Some(turn) = &mut turn {
            turn.obey(self);
            turn.cut_lingering(clock::now());
            turn.obey(self);
        }
        let commands = self.take_commands();
        let watched = std::mem::take(&mut *lock(&self.watched));
        drop((turn, commands, watched));
    }

    /// Has somebody look after the reactor at once.
    pub(crate) fn call(&self) {
        let next = lock(&self.roster).call();
        self.wake(next);
    }

    /// Has somebody run the reactor: see [`super::duty::Roster::attend`]. A fork has nobody for that, and no thread that
    /// would release the roster if it was held by one.
    pub(crate) fn attend(&self) {
        if self.owner.is_another() {
            return;
        }
        let next = lock(&self.roster).attend();
        self.wake(next);
    }

    /// Has somebody look after the reactor soon: see [`super::duty::Roster::nudge`].
    pub(crate) fn nudge(&self) {
        let next = lock(&self.roster).nudge();
        self.wake(next);
    }

    fn wake(&self, next: Next<Parker>) {
        match next {
            Next::Nobody => {}
            Next::Caller(parker) => parker.unpark(),
            Next::IoThread => self.unpark_io_thread(),
            Next::Driver => self.poll.interrupt(),
        }
    }
}

/// Has the turn, and leaves it even when a waker panics.
struct Driver<'a> {
    shared: &'a Arc<Shared>,
    turn: Option<Box<Turn>>,
    /// How it is left: [`Roster::leave`] or [`Roster::io_leave`].
    leave: Leave,
    /// What the thread drove before: a waker may wait for another reactor.
    before: [usize; DEPTH],
}

type Leave = fn(&mut Roster<Box<Turn>, Parker>, Box<Turn>) -> Next<Parker>;

impl<'a> Driver<'a> {
    fn new(shared: &'a Arc<Shared>, turn: Box<Turn>, leave: Leave) -> Self {
        let before = DRIVEN.get();
        let mut driven = before;
        driven.rotate_right(1);
        driven[0] = Arc::as_ptr(shared).addr();
        DRIVEN.set(driven);
        Self { shared, turn: Some(turn), leave, before }
    }

    fn run(&mut self, parker: Option<&Parker>, deadline: Option<Instant>) {
        if let Some(turn) = &mut self.turn {
            turn.run(self.shared, parker, deadline);
        }
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        DRIVEN.set(self.before);
        if let Some(turn) = self.turn.take() {
            let mut roster = lock(&self.shared.roster);
            roster.need(self.shared.is_needed());
            let next = (self.leave)(&mut roster, turn);
            drop(roster);
            self.shared.wake(next);
        }
    }
}

fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= clock::now())
}

thread_local! {
    /// The reactors that the thread runs at present, by their addresses, the last first: a waker may wait for another one,
    /// which calls a waker that waits for a third.
    static DRIVEN: Cell<[usize; DEPTH]> = const { Cell::new([0; DEPTH]) };
}

/// How many reactors are known that a thread runs one within the other.
const DEPTH: usize = 4;

/// How often the I/O thread looks in while callers run the reactor. After the last of them has left, the second look at
/// the latest finds that nobody came, so that nothing waits for longer than twice this.
const LOOK_IN: Duration = Duration::from_millis(2);

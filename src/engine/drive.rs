//! Waiting: how callers and the I/O thread share the duty of running the reactor.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::Shared;
use super::duty::{Ask, Look, Nap, Next};
use super::parker::{Parker, interrupt};
use super::reactor::Turn;
use crate::lock::lock;

impl Shared {
    /// Runs a future to its end on the calling thread, which meanwhile runs the reactor or sleeps; `None` when the
    /// deadline passes first.
    ///
    /// This is how every blocking call waits, so that it waits for the same things as its `async` twin.
    pub(crate) fn block_on<F: Future + Unpin>(
        self: &Arc<Self>,
        mut future: F,
        deadline: Option<Instant>,
    ) -> Option<F::Output> {
        // Help before you wait: what this thread has sent must not lie about while it sleeps.
        self.flush();
        let parker = Parker::current(&self.poll);
        let waker = Waker::from(parker.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            parker.reset();
            if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut context) {
                return Some(output);
            }
            if !self.wait(&parker, deadline) {
                return None;
            }
        }
    }

    /// Waits until the parker is woken, or the deadline has passed (false).
    fn wait(self: &Arc<Self>, parker: &Arc<Parker>, deadline: Option<Instant>) -> bool {
        loop {
            let answer = lock(&self.roster).ask(parker);
            match answer {
                Ask::Granted(turn) => return self.drive(turn, parker, deadline),
                Ask::Queued { interrupt: true } => interrupt(&self.poll),
                Ask::Queued { interrupt: false } => {}
            }
            parker.park(deadline);
            let mut roster = lock(&self.roster);
            roster.withdraw(parker);
            let woken = parker.is_woken();
            if woken || is_past(deadline) {
                let next = roster.pass();
                drop(roster);
                self.wake(next);
                return woken;
            }
        }
    }

    /// Runs the reactor until the parker is woken, or the deadline has passed (false).
    fn drive(self: &Arc<Self>, mut turn: Box<Turn>, parker: &Arc<Parker>, deadline: Option<Instant>) -> bool {
        let woken = loop {
            if parker.is_woken() {
                break true;
            }
            if is_past(deadline) {
                break false;
            }
            turn.run(self, Some(parker), deadline);
        };
        let needed = self.attending.load(Ordering::SeqCst) > 0;
        let next = lock(&self.roster).leave(turn, needed);
        self.wake(next);
        woken
    }

    /// The life of the I/O thread.
    pub(crate) fn run_io_thread(self: &Arc<Self>) {
        loop {
            let look = lock(&self.roster).look();
            match look {
                Look::Granted(turn) => self.run_until_wanted(turn),
                Look::Sleep(Nap::Short) => thread::park_timeout(LOOK_IN),
                Look::Sleep(Nap::Long) => thread::park(),
                Look::Stop => break,
            }
        }
    }

    fn run_until_wanted(self: &Arc<Self>, mut turn: Box<Turn>) {
        loop {
            turn.run(self, None, None);
            let mut roster = lock(&self.roster);
            if roster.is_wanted() {
                let next = roster.io_leave(turn);
                drop(roster);
                return self.wake(next);
            }
        }
    }

    /// Has somebody look after the reactor at once.
    pub(crate) fn call(&self) {
        let next = lock(&self.roster).call();
        self.wake(next);
    }

    /// Has somebody run the reactor: see [`super::duty::Roster::attend`].
    pub(crate) fn attend(&self) {
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
            Next::Driver => interrupt(&self.poll),
        }
    }
}

fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

/// How often the I/O thread looks in while callers run the reactor. After the last of them has left, the second look at
/// the latest finds that nobody came, so that nothing waits for longer than twice this.
const LOOK_IN: Duration = Duration::from_millis(2);

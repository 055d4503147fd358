//! Waiting for a condition, always with a deadline, never for a time that hopefully suffices.
#![allow(dead_code, unreachable_pub)] // every test file uses another part of it

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Nothing that works takes this long, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the body of a test on a thread of its own, so that a hang is a failure with a name.
pub fn within<T: Send + 'static>(deadline: Duration, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    let body = thread::spawn(move || drop(done.send(body())));
    match outcome.recv_timeout(deadline) {
        Ok(value) => value,
        Err(RecvTimeoutError::Disconnected) => resume_unwind(body.join().unwrap_err()),
        Err(RecvTimeoutError::Timeout) => {
            panic!("{} hangs: not done after {deadline:?}", thread::current().name().unwrap_or("the test"))
        }
    }
}

/// Waits until the condition holds, and fails the test if it does not in [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, holds);
}

/// Waits until the condition holds, and fails the test if it does not by the deadline.
#[track_caller]
pub fn eventually_within(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + deadline;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited for this: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Starts `call` on a thread, and returns when that thread sleeps in it.
///
/// No test may depend on it for its truth, since a thread may sleep for another reason; it only makes sure that the case
/// meant is nearly always the one tested.
pub fn blocked<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    call: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    let (started, start) = mpsc::channel();
    let thread = scope.spawn(move || {
        started.send(std::fs::read_link("/proc/thread-self").ok()).unwrap();
        call()
    });
    match start.recv().unwrap() {
        Some(task) => {
            let stat = std::path::Path::new("/proc").join(task).join("stat");
            let mut seen = 0;
            while seen < 5 && !thread.is_finished() {
                thread::sleep(Duration::from_millis(1));
                let asleep = std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S "));
                seen = if asleep { seen + 1 } else { 0 };
            }
        }
        None => thread::sleep(Duration::from_millis(50)), // no /proc on this system
    }
    thread
}

/// A waker that calls a function.
pub fn caller(call: impl Fn() + Send + Sync + 'static) -> Waker {
    struct Caller<F>(F);

    impl<F: Fn() + Send + Sync> Wake for Caller<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    Waker::from(Arc::new(Caller(call)))
}

/// Polls a future a single time, with a waker that wakes nobody.
pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Keeps the other tests of the same file away: for those that measure time.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The one place where the time comes from.
//!
//! The simulation has a clock of its own, for the thread it runs on. Who really sleeps, in a parker or in the system, asks
//! here too: nobody sleeps in a simulation.

use std::time::Instant;

/// The present instant.
#[inline]
pub(crate) fn now() -> Instant {
    #[cfg(any(test, feature = "fuzzing"))]
    if let Some(now) = simulated::now() {
        return now;
    }
    Instant::now()
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use simulated::set;

#[cfg(any(test, feature = "fuzzing"))]
mod simulated {
    use std::cell::Cell;
    use std::time::Instant;

    thread_local! {
        static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    pub(super) fn now() -> Option<Instant> {
        NOW.get()
    }

    /// Has the clock stand still at an instant for the calling thread, or run again.
    pub(crate) fn set(now: Option<Instant>) {
        NOW.set(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_simulated_clock_stands_still_for_its_thread_alone() {
        let start = now();
        let later = start + Duration::from_secs(3600);
        set(Some(later));
        assert_eq!((now(), now()), (later, later));
        assert!(std::thread::spawn(now).join().unwrap() < later);
        set(None);
        assert!(now() < later);
    }
}

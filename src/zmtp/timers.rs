//! [`Timers`]: every deadline of a connection, in one table.

use std::time::{Duration, Instant};

use super::Violation;

/// What a connection waits for. One row per deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The handshake to be over, counted from the very start: a peer that dribbles gains nothing.
    Handshake,
    /// Anything from a peer that promised, in a PING, not to be silent for long.
    Silence,
}

impl Timer {
    /// Every row, once.
    const ALL: [Self; 2] = [Self::Handshake, Self::Silence];

    /// What it means when the deadline has passed.
    const fn violation(self) -> Violation {
        match self {
            Self::Handshake => Violation::HandshakeTimeout,
            Self::Silence => Violation::Silent,
        }
    }
}

/// The deadlines that are set.
#[derive(Debug, Default)]
pub(crate) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    /// Sets a deadline `after` from `now`, in place of the one before. One that lies beyond all time is none.
    pub(crate) fn set(&mut self, timer: Timer, now: Instant, after: Duration) {
        self.0[timer as usize] = now.checked_add(after);
    }

    /// Forgets a deadline.
    pub(crate) const fn cancel(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// The deadline that passes first.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.into_iter().flatten().min()
    }

    /// Fails if a deadline has passed.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Violation> {
        let passed = |timer: &Timer| self.0[*timer as usize].is_some_and(|deadline| deadline <= now);
        Timer::ALL.into_iter().find(passed).map_or(Ok(()), |timer| Err(timer.violation()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_counts() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);

        timers.set(Timer::Handshake, now, 2 * second);
        timers.set(Timer::Silence, now, second);
        assert_eq!(timers.next(), Some(now + second));
        assert_eq!(timers.check(now), Ok(()));
        assert_eq!(timers.check(now + second), Err(Violation::Silent));

        timers.cancel(Timer::Silence);
        assert_eq!(timers.check(now + second), Ok(()));
        assert_eq!(timers.check(now + 2 * second), Err(Violation::HandshakeTimeout));
    }

    #[test]
    fn a_deadline_beyond_all_time_is_none() {
        let mut timers = Timers::default();
        timers.set(Timer::Handshake, Instant::now(), Duration::MAX);
        assert_eq!(timers.next(), None);
    }
}

//! [`Backoff`]: how long to wait before the next attempt to connect.

use std::time::Duration;

/// Pauses that double from attempt to attempt, with jitter so that peers which lost the same server do not all come
/// back to it in the same instant.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, attempts: 0 }
    }

    /// The pause before the next attempt: between one and two times the doubled interval, and never more than the
    /// maximum. `random` is any number.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let factor = 1u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.jittered(self.first.saturating_mul(factor), random)
    }

    /// The pause after something that trying again is unlikely to mend: long from the first time on.
    pub(crate) fn next_slow(&mut self, random: u64) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        self.jittered(self.max, random)
    }

    /// All is well; the next pause is a short one again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    fn jittered(&self, pause: Duration, random: u64) -> Duration {
        // Leave room for the jitter below the maximum, or it would vanish just when many peers wait long.
        let base = pause.min((self.max / 2).max(self.first));
        let span = base.min(self.max.saturating_sub(base));
        let share = (u128::from(random) * span.as_nanos().min(u128::from(u64::MAX))) >> 64;
        base.saturating_add(Duration::from_nanos(share as u64)).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(100 * MS, 1000 * MS);
        assert_eq!(
            [0; 5].map(|random| backoff.next(random)),
            [100 * MS, 200 * MS, 400 * MS, 500 * MS, 500 * MS]
        );
        assert_eq!(backoff.next(u64::MAX).as_millis(), 999);
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX).as_millis(), 199);
        assert!(Backoff::new(Duration::MAX, Duration::MAX).next(u64::MAX) == Duration::MAX);
    }

    #[test]
    fn is_long_at_once_when_told_that_haste_is_useless() {
        let mut backoff = Backoff::new(100 * MS, 5000 * MS);
        assert_eq!(backoff.next_slow(0), 2500 * MS);
    }

    quickcheck! {
        fn stays_between_the_interval_and_the_maximum(first: u16, more: u16, attempts: u8, random: u64) -> bool {
            let first = MS * (1 + u32::from(first));
            let max = first + MS * u32::from(more);
            let mut backoff = Backoff::new(first, max);
            (0..=attempts).all(|_| (first..=max).contains(&backoff.next(random)))
        }
    }
}

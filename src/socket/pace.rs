//! [`Pace`]: whether a message that finds its wire idle is written at once or gathered with those that may follow.

use std::time::{Duration, Instant};

/// How a socket is sent on: message by message, or in bursts.
///
/// A message at once costs a system call; a message that waits costs time. The first after a pause is written at once, for
/// nobody knows whether another one follows; what comes close behind is gathered. A pause is time between two calls: how
/// long a write takes does not count, for it may have woken its reader, who ran first.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last decision was made, or the write that came of it was over.
    last: Option<Instant>,
    /// What was decided in the present call. A message that goes to many peers is gathered for none or for all.
    decided: Option<bool>,
}

impl Pace {
    /// Whether the first message of a batch is written at once.
    pub(super) fn is_at_once(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let Self { last, decided } = self;
        *decided.get_or_insert_with(|| {
            let now = now();
            let before = last.replace(now);
            before.is_none_or(|last| now.saturating_duration_since(last) > BURST)
        })
    }

    /// A call that sends is over, but for the writing.
    #[inline]
    pub(super) fn end_call(&mut self) {
        self.decided = None;
    }

    /// Something was written: what follows soon belongs to the same burst.
    pub(super) fn written(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

/// Messages closer together than this are taken for one burst.
const BURST: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_burst_goes_at_once_and_the_rest_is_gathered() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let at_once = |pace: &mut Pace, after| {
            pace.end_call();
            pace.is_at_once(|| start + after)
        };
        assert!(at_once(&mut pace, Duration::ZERO));
        assert!(!at_once(&mut pace, BURST / 2));
        assert!(!at_once(&mut pace, BURST), "measured from the last decision");
        assert!(at_once(&mut pace, BURST * 3));
        pace.written(start + BURST * 5);
        assert!(!at_once(&mut pace, BURST * 6), "measured from the end of the write");
        assert!(at_once(&mut pace, BURST * 8));
    }

    #[test]
    fn one_call_decides_once() {
        let mut pace = Pace::default();
        assert!(pace.is_at_once(Instant::now));
        assert!(pace.is_at_once(|| panic!("decided again")));
    }
}

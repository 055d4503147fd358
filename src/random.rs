//! The one place where chance comes from.

#[cfg(any(test, feature = "fuzzing"))]
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A number that nobody can guess, to begin a row of names or of pauses with.
pub(crate) fn seed() -> u64 {
    #[cfg(any(test, feature = "fuzzing"))]
    if let Some(next) = SIMULATED.get() {
        SIMULATED.set(Some(next.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1)));
        return next;
    }
    RandomState::new().build_hasher().finish()
}

#[cfg(any(test, feature = "fuzzing"))]
thread_local! {
    static SIMULATED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Has [`seed`] give the same numbers again on the calling thread, those that follow from this one; or be random again.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn set(first: Option<u64>) {
    SIMULATED.set(first);
}

/// Numbers that follow from a seed, for simulations: splitmix64.
#[cfg(any(test, feature = "fuzzing"))]
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

#[cfg(any(test, feature = "fuzzing"))]
impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below the limit, which is not zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// True in one of so many cases.
    pub(crate) fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_another_each_time_and_the_same_again_in_a_simulation() {
        assert_ne!(seed(), seed());
        let simulate = || {
            set(Some(7));
            [seed(), seed(), seed()]
        };
        let first = simulate();
        assert_ne!(first[0], first[1]);
        assert_eq!(simulate(), first);
        set(None);
        assert_ne!(seed(), first[0]);
    }
}

//! Chance for everyday decisions: jitter, and which two of several are looked at. Good enough to spread load, not to keep
//! secrets; one seed, one sequence, so that a simulation can be run again.

use std::sync::atomic::{AtomicU64, Ordering};

/// A sequence of numbers that look random (splitmix64).
#[derive(Debug)]
pub(super) struct Dice(AtomicU64);

impl Dice {
    /// The sequence of this seed.
    pub(super) const fn of(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number.
    pub(super) fn roll(&self) -> u64 {
        let mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of so many; 0 when there are none.
    pub(super) fn below(&self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.roll() % count).unwrap_or(0)
    }

    /// In `0.0..1.0`.
    pub(super) fn unit(&self) -> f64 {
        let high = u32::try_from(self.roll() >> 32).unwrap_or(0);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::of(getrandom::u64().unwrap_or(STEP))
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_sequence_within_its_bounds() {
        let (one, same, other) = (Dice::of(7), Dice::of(7), Dice::of(8));
        let rolls = |dice: &Dice| (0..50).map(|_| dice.below(6)).collect::<Vec<_>>();
        let first = rolls(&one);
        assert_eq!(first, rolls(&same));
        assert_ne!(first, rolls(&other));
        assert!((0..6).all(|face| first.contains(&face)));
        assert!((0..50).all(|_| (0.0..1.0).contains(&one.unit())));
        assert_eq!(one.below(0), 0);
    }
}

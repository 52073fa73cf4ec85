//! A token bucket as one number: the moment at which it would be full again (the generic cell rate algorithm).
//!
//! Whole numbers only, so nothing drifts: time is counted in units of which `count` make a millisecond; then one token is
//! exactly `period_ms` units, and a full bucket is `burst` of those.

/// How fast, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rate {
    /// Tokens in each period, at least 1.
    pub(crate) count: u32,
    /// The period in milliseconds.
    pub(crate) period_ms: u32,
    /// Tokens that a full bucket has, at least 1.
    pub(crate) burst: u32,
}

/// A bucket after one token was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// When it is full again, in units.
    pub(crate) full_at: u128,
    /// When it is full again, in milliseconds from now: from then on there is no need to keep it.
    pub(crate) full_in_ms: u64,
}

/// There is no token; there is one in so many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Empty(pub(crate) u64);

impl Rate {
    /// Takes one token at `now_ms` out of a bucket that is full again at `full_at` (units; 0 is a full one).
    pub(crate) fn take(self, full_at: u128, now_ms: u64) -> Result<Taken, Empty> {
        let now = self.units(now_ms);
        let full_at = full_at.max(now) + u128::from(self.period_ms);
        let missing = full_at - now;
        let room = u128::from(self.burst) * u128::from(self.period_ms);
        match missing.checked_sub(room).filter(|over| *over > 0) {
            Some(over) => Err(Empty(self.ms(over))),
            None => Ok(Taken { full_at, full_in_ms: self.ms(missing) }),
        }
    }

    /// Puts one token back. A bucket that has filled up since is full.
    pub(crate) fn give_back(self, full_at: u128, now_ms: u64) -> Taken {
        let now = self.units(now_ms);
        let full_at = full_at.saturating_sub(u128::from(self.period_ms)).max(now);
        Taken { full_at, full_in_ms: self.ms(full_at - now) }
    }

    fn units(self, ms: u64) -> u128 {
        u128::from(ms) * u128::from(self.count)
    }

    /// Units as milliseconds, rounded up.
    fn ms(self, units: u128) -> u64 {
        u64::try_from(units.div_ceil(u128::from(self.count.max(1)))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the moments get a token (`+`) and how long the others would have to wait.
    fn run(count: u32, period_ms: u32, burst: u32, moments: &[u64]) -> String {
        let rate = Rate { count, period_ms, burst };
        let mut full_at = 0;
        let mut words = Vec::new();
        for now in moments {
            match rate.take(full_at, *now) {
                Ok(taken) => {
                    full_at = taken.full_at;
                    words.push("+".to_owned());
                }
                Err(Empty(wait)) => words.push(wait.to_string()),
            }
        }
        words.join(" ")
    }

    #[test]
    fn tokens_come_back_one_by_one() {
        for (count, period_ms, burst, moments, expected) in [
            (1, 1000, 1, &[0_u64, 0, 999, 1000, 1001][..], "+ 1000 1 + 999"),
            (10, 1000, 3, &[0, 0, 0, 0, 100, 100, 300], "+ + + 100 + 100 +"),
            (3, 1000, 1, &[0, 333, 334, 667, 668], "+ 1 + 1 +"),
            (100, 60_000, 2, &[5000, 5000, 5000, 5600, 5600], "+ + 600 + 600"),
            (1, 3_600_000, 1, &[0, 1, 3_600_000], "+ 3599999 +"),
            (1, 1000, 5, &[1 << 40, 1 << 40], "+ +"),
        ] {
            assert_eq!(run(count, period_ms, burst, moments), expected, "{count}/{period_ms} {burst}");
        }
    }

    #[test]
    fn nothing_drifts() {
        // 7 a second do not divide a second: in 1000 seconds, asked every millisecond, there are 7 for each and the burst.
        let rate = Rate { count: 7, period_ms: 1000, burst: 1 };
        let (mut full_at, mut taken) = (0, 0);
        for now in 0..1_000_000 {
            if let Ok(next) = rate.take(full_at, now) {
                full_at = next.full_at;
                taken += 1;
            }
        }
        assert!((6_990..=7_000).contains(&taken), "{taken}");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let rate = Rate { count: 1, period_ms: 1000, burst: 2 };
        let one = rate.take(0, 10).unwrap();
        let two = rate.take(one.full_at, 10).unwrap();
        assert_eq!(rate.take(two.full_at, 10), Err(Empty(1000)));
        assert_eq!(rate.give_back(two.full_at, 10).full_at, one.full_at);
        assert_eq!(rate.give_back(two.full_at, 60_000).full_at, 60_000);
    }

    #[test]
    fn the_ends_of_the_range_are_survived() {
        let rate = Rate { count: 1_000_000, period_ms: 3_600_000, burst: 1_000_000 };
        assert!(rate.take(0, u64::MAX).is_ok());
        assert!(rate.take(u128::from(u64::MAX) * 1_000_000, 0).is_err());
        let one = Rate { count: 1, period_ms: 1, burst: 1 };
        assert_eq!(one.give_back(0, 0).full_in_ms, 0);
    }
}

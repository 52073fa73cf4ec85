//! How long to wait before a server that failed is started again. No clock, no randomness: both are handed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The record of one server's failures.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Failures in a row.
    row: u32,
    recent: VecDeque<Instant>,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// How long to wait.
    pub(super) length: Duration,
    /// Whether the circuit opened: so many failures in a minute that only a rare probe is worth it.
    pub(super) is_open: bool,
}

impl Backoff {
    /// A start failed, or a server that was serving ended. `jitter` is in `0.0..1.0`.
    pub(super) fn failed(&mut self, now: Instant, jitter: f64) -> Pause {
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > MINUTE) {
            self.recent.pop_front();
        }
        let is_open = self.recent.len() >= OPEN_AT;
        let step = if is_open { LONGEST } else { SHORTEST * 2_u32.saturating_pow(self.row.min(7)) };
        self.row = self.row.saturating_add(1);
        let length = step.min(LONGEST).mul_f64(0.75 + jitter / 2.0);
        Pause { length: length.clamp(SHORTEST, LONGEST), is_open }
    }

    /// The server served for so long; after a while that counts as healthy.
    pub(super) fn served(&mut self, length: Duration) {
        if length >= MINUTE {
            self.row = 0;
        }
    }
}

/// The shortest pause.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest pause, and about how often a server behind an open circuit is probed.
const LONGEST: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);
/// So many failures in a minute open the circuit.
const OPEN_AT: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_their_bounds() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        let pauses: Vec<u64> =
            (0..9).map(|n| backoff.failed(start + MINUTE * 2 * n, 0.5).length.as_millis() as u64).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    }

    #[test]
    fn jitter_spreads_but_never_leaves_the_bounds() {
        for jitter in [0.0, 0.3, 0.999] {
            let mut backoff = Backoff::default();
            for _ in 0..12 {
                let pause = backoff.failed(Instant::now(), jitter).length;
                assert!((SHORTEST..=LONGEST).contains(&pause));
            }
        }
        let second = |jitter| {
            let mut backoff = Backoff::default();
            backoff.failed(Instant::now(), jitter);
            backoff.failed(Instant::now(), jitter).length
        };
        assert!(second(0.0) < second(0.9));
    }

    #[test]
    fn the_fifth_failure_in_a_minute_opens_the_circuit() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        let open: Vec<bool> =
            (0..6).map(|n| backoff.failed(start + Duration::from_secs(10 * n), 0.5).is_open).collect();
        assert_eq!(open, [false, false, false, false, true, true]);
        assert!(!backoff.failed(start + Duration::from_secs(3000), 0.5).is_open);
    }

    #[test]
    fn a_minute_of_service_forgets() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        backoff.failed(start, 0.5);
        backoff.failed(start, 0.5);
        backoff.served(Duration::from_secs(59));
        assert_eq!(backoff.failed(start, 0.5).length, Duration::from_secs(2));
        backoff.served(MINUTE);
        assert_eq!(backoff.failed(start + MINUTE * 3, 0.5).length, SHORTEST);
    }
}

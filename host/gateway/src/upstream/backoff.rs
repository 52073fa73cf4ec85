//! How long to wait before a server that failed is started again. No clock, no randomness: both are handed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The record of the failures of one server, or of one client's instance of it.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Failures in a row.
    row: u32,
    recent: VecDeque<Instant>,
    /// When it last ended for want of memory.
    out_of_memory: Option<Instant>,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It took more memory than it may.
    OutOfMemory,
    /// Anything else.
    Other,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// How long to wait.
    pub(super) length: Duration,
    /// Why so long.
    pub(super) kind: PauseKind,
}

/// Why a pause is as long as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PauseKind {
    /// The next start may succeed.
    Short,
    /// The circuit opened: so many failures in a minute that only a rare probe is worth it.
    Open,
    /// It would take the machine's memory again and again.
    Quarantine,
}

impl Cause {
    /// By the code of a failure.
    pub(super) fn of(code: &str) -> Self {
        if code == "oom_killed" { Self::OutOfMemory } else { Self::Other }
    }
}

impl Backoff {
    /// A start failed, or a server that was serving ended. `jitter` is in `0.0..1.0`.
    pub(super) fn failed(&mut self, cause: Cause, now: Instant, jitter: f64) -> Pause {
        if cause == Cause::OutOfMemory {
            let before = self.out_of_memory.replace(now);
            if before.is_some_and(|before| now.duration_since(before) <= MEMORY) {
                // Two more are needed after the quarantine.
                self.out_of_memory = None;
                return Pause { length: QUARANTINE, kind: PauseKind::Quarantine };
            }
        }
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > MINUTE) {
            self.recent.pop_front();
        }
        let is_open = self.recent.len() >= OPEN_AT;
        let step = if is_open { LONGEST } else { SHORTEST * 2_u32.saturating_pow(self.row.min(7)) };
        self.row = self.row.saturating_add(1);
        let length = step.min(LONGEST).mul_f64(0.75 + jitter / 2.0);
        let kind = if is_open { PauseKind::Open } else { PauseKind::Short };
        Pause { length: length.clamp(SHORTEST, LONGEST), kind }
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
/// Twice out of memory within so long is once too often (fault F02).
const MEMORY: Duration = Duration::from_secs(300);
/// How long a server that keeps running out of memory is left alone.
pub(super) const QUARANTINE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(backoff: &mut Backoff, now: Instant, jitter: f64) -> Duration {
        backoff.failed(Cause::Other, now, jitter).length
    }

    #[tokio::test]
    async fn pauses_double_within_their_bounds() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        let pauses: Vec<u64> =
            (0..9).map(|n| failed(&mut backoff, start + MINUTE * 2 * n, 0.5).as_millis() as u64).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    }

    #[tokio::test]
    async fn jitter_spreads_but_never_leaves_the_bounds() {
        for jitter in [0.0, 0.3, 0.999] {
            let mut backoff = Backoff::default();
            for _ in 0..12 {
                let pause = failed(&mut backoff, Instant::now(), jitter);
                assert!((SHORTEST..=LONGEST).contains(&pause));
            }
        }
        let second = |jitter| {
            let mut backoff = Backoff::default();
            failed(&mut backoff, Instant::now(), jitter);
            failed(&mut backoff, Instant::now(), jitter)
        };
        assert!(second(0.0) < second(0.9));
    }

    #[tokio::test]
    async fn the_fifth_failure_in_a_minute_opens_the_circuit() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        let mut kind =
            |after: u64| backoff.failed(Cause::Other, start + Duration::from_secs(after), 0.5).kind;
        let kinds: Vec<PauseKind> = (0..6).map(|n| kind(10 * n)).collect();
        assert_eq!(kinds[..4], [PauseKind::Short; 4]);
        assert_eq!(kinds[4..], [PauseKind::Open; 2]);
        assert_eq!(kind(3000), PauseKind::Short);
    }

    #[tokio::test]
    async fn a_minute_of_service_forgets() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        failed(&mut backoff, start, 0.5);
        failed(&mut backoff, start, 0.5);
        backoff.served(Duration::from_secs(59));
        assert_eq!(failed(&mut backoff, start, 0.5), Duration::from_secs(2));
        backoff.served(MINUTE);
        assert_eq!(failed(&mut backoff, start + MINUTE * 3, 0.5), SHORTEST);
    }

    #[tokio::test]
    async fn twice_out_of_memory_within_five_minutes_is_quarantine() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        let mut kind = |after: u64| {
            backoff.failed(Cause::OutOfMemory, start + Duration::from_secs(after), 0.5).kind
                == PauseKind::Quarantine
        };
        assert_eq!([kind(0), kind(301), kind(601), kind(602), kind(700)], [false, false, true, false, true]);
    }
}

//! How many notifications a server may send: a bucket that fills steadily. No clock.

use std::time::{Duration, Instant};

use super::Limits;

/// What one server may still say unasked.
#[derive(Debug)]
pub(super) struct Budget {
    per_second: f64,
    most: f64,
    left: f64,
    filled: Option<Instant>,
    dropped: u64,
}

impl Budget {
    /// A full one.
    pub(super) fn new(limits: &Limits) -> Self {
        let number = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let most = number(limits.notifications_at_once.get());
        let per_second = number(limits.notifications.get());
        Self { per_second, most, left: most, filled: None, dropped: 0 }
    }

    /// Whether one more may pass now; one that may not is counted.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        self.fill(now);
        let passes = self.left >= 1.0;
        match passes {
            true => self.left -= 1.0,
            false => self.dropped += 1,
        }
        passes
    }

    /// How long until one may pass.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        Duration::from_secs_f64(((1.0 - self.left) / self.per_second).max(0.0))
    }

    /// How many did not pass.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn fill(&mut self, now: Instant) {
        let since = self.filled.map_or(Duration::ZERO, |filled| now.saturating_duration_since(filled));
        self.left = (self.left + since.as_secs_f64() * self.per_second).min(self.most);
        self.filled = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let number = |number| NonZeroUsize::new(number).unwrap();
        let limits =
            Limits { notifications: number(10), notifications_at_once: number(5), ..Limits::default() };
        let (mut budget, start) = (Budget::new(&limits), Instant::now());
        let passed = |budget: &mut Budget, at: u64| {
            (0..100).filter(|_| budget.spend(start + Duration::from_millis(at))).count()
        };
        assert_eq!(passed(&mut budget, 0), 5);
        assert_eq!(budget.dropped(), 95);
        assert_eq!(budget.wait(start), Duration::from_millis(100));
        assert_eq!(passed(&mut budget, 250), 2);
        assert_eq!(passed(&mut budget, 60_000), 5, "what was not used gathers no further than one burst");
        assert_eq!(budget.wait(start + Duration::from_secs(90)), Duration::ZERO);
    }
}

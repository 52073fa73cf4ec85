//! Whether a server writes too much to its output that is no message: a count for each minute. No clock.

use std::time::{Duration, Instant};

/// The bad lines of one connection.
#[derive(Debug, Default)]
pub(super) struct Noise {
    minute: Option<Instant>,
    lines: u32,
    /// It counts as noisy until then.
    until: Option<Instant>,
}

impl Noise {
    /// Another bad line. Whether the server is noisy by it, and was not before.
    pub(super) fn add(&mut self, now: Instant) -> bool {
        if self.minute.is_none_or(|began| now.saturating_duration_since(began) >= MINUTE) {
            (self.minute, self.lines) = (Some(now), 0);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines <= MANY {
            return false;
        }
        let was_noisy = self.until(now).is_some();
        self.until = Some(now + MINUTE);
        !was_noisy
    }

    /// Until when it is noisy, if it is.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

/// What is said of a noisy server.
pub(super) fn in_words() -> String {
    format!("more than {MANY} lines of its output within a minute were no messages; it serves all the same")
}

/// So many bad lines a minute are bearable (fault F09).
const MANY: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_too_many_within_a_minute_is_noise_and_a_quiet_minute_ends_it() {
        let (start, mut noise) = (Instant::now(), Noise::default());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!((0..MANY).all(|_| !noise.add(at(0))), "so many are bearable");
        assert_eq!(noise.until(at(0)), None);
        assert!(noise.add(at(59)), "one more within the minute");
        assert!(!noise.add(at(59)), "which is no news twice");
        assert_eq!(noise.until(at(60)), Some(at(119)));
        assert_eq!(noise.until(at(119)), None, "it has been quiet since");
        // So many in each of two minutes are not too many in one.
        let mut slow = Noise::default();
        assert!((0..MANY).all(|_| !slow.add(at(0))) && (0..MANY).all(|_| !slow.add(at(60))));
    }

    #[test]
    fn a_server_that_goes_on_stays_noisy() {
        let (start, mut noise) = (Instant::now(), Noise::default());
        for second in 0..600_u32 {
            let now = start + Duration::from_secs(second.into());
            let _news = (0..10).filter(|_| noise.add(now)).count();
            assert_eq!(noise.until(now).is_some(), second >= 10, "at {second} s");
        }
    }
}

//! Whether the server behind a pair of pipes is still there. No clock.
//!
//! A server that has said nothing at all for as long as one of its calls has waited may be frozen. It is asked for a sign
//! of life, and any byte is one; when none comes it is not waited for any longer. A busy one that goes on saying something
//! is never asked.

use std::time::{Duration, Instant};

/// What is known of a server's life.
#[derive(Debug)]
pub(super) struct Pulse {
    heard: Instant,
    /// A call that its client has given up would have ended then, having waited for so long.
    doubt: Option<(Instant, Duration)>,
    /// It has been asked for a sign of life, and has until then.
    asked: Option<Instant>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing.
    None,
    /// Ask it for a sign of life.
    Ask,
    /// It is gone.
    Stopped,
}

impl Pulse {
    /// It has just been connected to.
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard: now, doubt: None, asked: None }
    }

    /// It said something.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard, self.asked) = (now, None);
    }

    /// A call has been given up that would have ended `at` if nothing had come for `idle`.
    pub(super) fn given_up(&mut self, at: Instant, idle: Duration) {
        self.doubt.get_or_insert((at, idle));
    }

    /// A call has waited for `idle` in vain.
    pub(super) fn missed(&mut self, now: Instant, idle: Duration) -> Beat {
        if self.asked.is_some() || now.saturating_duration_since(self.heard) < idle {
            return Beat::None;
        }
        self.asked = Some(now + idle.min(PATIENCE));
        Beat::Ask
    }

    /// Nobody could listen for so long.
    pub(super) fn excuse(&mut self, length: Duration) {
        self.asked = self.asked.map(|until| until + length);
        self.doubt = self.doubt.map(|(at, idle)| (at + length, idle));
    }

    /// When to call [`Pulse::check`].
    pub(super) fn check_at(&self) -> Option<Instant> {
        self.asked.into_iter().chain(self.doubt.map(|(at, _)| at)).min()
    }

    /// Time has passed.
    pub(super) fn check(&mut self, now: Instant) -> Beat {
        if self.asked.is_some_and(|until| until <= now) {
            return Beat::Stopped;
        }
        match self.doubt.take_if(|(at, _)| *at <= now) {
            Some((_, idle)) => self.missed(now, idle),
            None => Beat::None,
        }
    }
}

/// How long a sign of life may take; less where calls have less.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const IDLE: Duration = Duration::from_secs(60);

    #[test]
    fn who_says_nothing_is_asked_and_then_gone() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.missed(start + IDLE, IDLE), Beat::Ask);
        assert_eq!(pulse.missed(start + IDLE, IDLE), Beat::None, "asked once");
        assert_eq!(pulse.check_at(), Some(start + IDLE + PATIENCE));
        assert_eq!(pulse.check(start + IDLE + SECOND * 9), Beat::None);
        assert_eq!(pulse.check(start + IDLE + PATIENCE), Beat::Stopped);
    }

    #[test]
    fn any_word_is_a_sign_of_life() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.heard(start + SECOND);
        assert_eq!(pulse.missed(start + IDLE, IDLE), Beat::None, "it said something to another call");
        assert_eq!(pulse.missed(start + IDLE * 2, IDLE), Beat::Ask);
        pulse.heard(start + IDLE * 2 + SECOND);
        assert_eq!((pulse.check_at(), pulse.check(start + IDLE * 3)), (None, Beat::None));
    }

    #[test]
    fn who_could_not_be_heard_has_longer() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.missed(start + IDLE, IDLE), Beat::Ask);
        pulse.given_up(start + IDLE * 2, IDLE);
        pulse.excuse(IDLE * 10);
        assert_eq!(pulse.check_at(), Some(start + IDLE * 11 + PATIENCE));
        assert_eq!(pulse.check(start + IDLE * 11), Beat::None);
        pulse.heard(start + IDLE * 11);
        assert_eq!(pulse.check_at(), Some(start + IDLE * 12));
    }

    #[test]
    fn a_call_that_was_given_up_counts_too() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.given_up(start + IDLE, IDLE);
        pulse.given_up(start + IDLE * 2, IDLE);
        assert_eq!(pulse.check_at(), Some(start + IDLE));
        assert_eq!(pulse.check(start + SECOND), Beat::None);
        assert_eq!(pulse.check(start + IDLE), Beat::Ask);
        assert_eq!(pulse.check(start + IDLE + PATIENCE), Beat::Stopped);
    }
}

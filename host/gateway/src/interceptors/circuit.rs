//! When a stage that keeps failing in one phase is left alone there for a while: the states of a circuit breaker, without a
//! clock.
//!
//! Five failures in a row within a minute open the circuit; half a minute later one call is let through to try, and its
//! success closes the circuit again. A success in between starts the count anew, so that a stage which fails on some
//! messages only is never taken from all the others. Who runs stages and logs what changes is [`super::guarded`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The state of one stage.
#[derive(Debug, Default)]
pub(super) struct Circuit(State);

#[derive(Debug)]
enum State {
    /// Calls pass; the failures since the last success.
    Closed(VecDeque<Instant>),
    /// No call passes until `until`; then one does.
    Open { until: Instant },
    /// One call is on its way to find out.
    Trying,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(VecDeque::new())
    }
}

/// What is to become of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It runs.
    Run,
    /// It runs, alone, to see whether the stage works again. Its end must be told, whatever it is.
    Try,
    /// It does not run.
    Refuse,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an answer.
    Well,
    /// With a failure of the stage.
    Badly,
    /// Nobody waited for it any more.
    Unknown,
}

/// A change worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The stage is left alone from now on.
    Opened,
    /// It works again.
    Closed,
}

impl Circuit {
    /// Decides about a call that comes at `now`.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match &self.0 {
            State::Closed(_) => Admission::Run,
            State::Open { until } if now >= *until => {
                self.0 = State::Trying;
                Admission::Try
            }
            State::Open { .. } | State::Trying => Admission::Refuse,
        }
    }

    /// Learns how a call that was admitted ended, at `now`.
    pub(super) fn settle(&mut self, admission: Admission, ended: Ended, now: Instant) -> Option<Change> {
        match (admission, ended, &mut self.0) {
            (Admission::Try, Ended::Well, _) => {
                self.0 = State::default();
                Some(Change::Closed)
            }
            (Admission::Try, Ended::Badly, _) => {
                self.0 = State::Open { until: now + PAUSE };
                None
            }
            // Nothing was learnt: the next call may try.
            (Admission::Try, Ended::Unknown, _) => {
                self.0 = State::Open { until: now };
                None
            }
            (Admission::Run, Ended::Well, State::Closed(failures)) => {
                failures.clear();
                None
            }
            (Admission::Run, Ended::Badly, State::Closed(failures)) => {
                failures.retain(|failure| now.saturating_duration_since(*failure) < WINDOW);
                failures.push_back(now);
                (failures.len() >= FAILURES).then(|| {
                    self.0 = State::Open { until: now + PAUSE };
                    Change::Opened
                })
            }
            // A call from before the circuit opened says nothing about the stage of today.
            _ => None,
        }
    }
}

/// Failures in a row that open the circuit.
const FAILURES: usize = 5;
/// The time within which they count together.
const WINDOW: Duration = Duration::from_secs(60);
/// How long the stage is left alone.
pub(super) const PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    /// `steps`: seconds since the start, and `+` a call that ends well, `-` one that fails, `?` one that is given up, `x`
    /// one that must be refused; `!` after the mark says that this is logged.
    #[track_caller]
    fn check(steps: &str) {
        let start = Instant::now();
        let mut circuit = Circuit::default();
        for step in steps.split_whitespace() {
            let (seconds, mark) = step.split_at(step.find(|c: char| !c.is_ascii_digit()).unwrap());
            let now = start + Duration::from_secs(seconds.parse().unwrap());
            let admission = circuit.admit(now);
            let ended = match mark.trim_end_matches('!') {
                "+" => Ended::Well,
                "-" => Ended::Badly,
                "?" => Ended::Unknown,
                _ => {
                    assert_eq!(admission, Admission::Refuse, "{step} in {steps}");
                    continue;
                }
            };
            assert_ne!(admission, Admission::Refuse, "{step} in {steps}");
            let change = circuit.settle(admission, ended, now);
            assert_eq!(change.is_some(), mark.ends_with('!'), "{step} in {steps}: {change:?}");
        }
    }

    #[test]
    fn five_failures_in_a_row_within_a_minute_open_it() {
        check("0- 0- 0- 0- 0-! 0x 29x");
        check("0- 10- 20- 30- 59-! 60x");
        check("0- 10- 20- 30- 60- 69-! 70x");
        check("0- 0- 0- 0- 0+ 0- 0- 0- 0- 0-! 0x");
        check("0- 0- 0? 0- 0- 0? 0-! 0x");
    }

    #[test]
    fn after_half_a_minute_one_call_tries() {
        check("0- 0- 0- 0- 0-! 30+! 30+ 31-");
        check("0- 0- 0- 0- 0-! 30- 31x 59x 60+!");
        check("0- 0- 0- 0- 0-! 30? 30? 30+!");
    }

    #[test]
    fn while_one_tries_the_others_wait_for_it_to_end() {
        let start = Instant::now();
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES {
            circuit.settle(Admission::Run, Ended::Badly, start);
        }
        let later = start + PAUSE;
        assert_eq!(circuit.admit(later), Admission::Try);
        assert_eq!(circuit.admit(later + PAUSE), Admission::Refuse);
        // A call that began before the circuit opened ends well only now: it is no proof.
        assert_eq!(circuit.settle(Admission::Run, Ended::Well, later), None);
        assert_eq!(circuit.admit(later), Admission::Refuse);
        assert_eq!(circuit.settle(Admission::Try, Ended::Well, later), Some(Change::Closed));
        assert_eq!(circuit.admit(later), Admission::Run);
    }
}

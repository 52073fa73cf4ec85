//! Lines and counters of plugins. Lines go to tracing under the target `wasmgate::plugin`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bindings::log::{Host, Level};
use crate::guest::Guest;
use crate::text::printable;

/// Lines of one call that are written.
const MAX_LINES: u32 = 64;

/// Bytes of one line, fields included.
const MAX_LINE_BYTES: usize = 2 << 10;

/// Fields of one line.
const MAX_FIELDS: usize = 16;

/// Seconds' worth of lines in a burst.
const BURST_SECONDS: f64 = 10.0;

/// How often a plugin's dropped lines are mentioned.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Counters of one plugin.
const MAX_COUNTERS: usize = 64;
const MAX_COUNTER_NAME: usize = 64;

/// What one call may still write.
#[derive(Default)]
pub(crate) struct LogBudget {
    lines: u32,
}

impl LogBudget {
    /// Whether one more line may be written.
    fn take(&mut self) -> bool {
        self.lines = self.lines.saturating_add(1);
        self.lines <= MAX_LINES
    }
}

/// What one plugin may write over all its calls: so many lines a second, ten times as many in a burst. What is not written
/// is counted, and said once in a while.
#[derive(Debug)]
pub(crate) struct LogRate {
    rate: f64,
    state: Mutex<RateState>,
}

#[derive(Debug)]
struct RateState {
    lines: f64,
    filled: Instant,
    dropped: u64,
    reported: Option<Instant>,
}

/// What comes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// It is written; and so is, before it, how many were not.
    Written(Option<u64>),
    Dropped,
}

impl LogRate {
    /// Begins with a full burst.
    pub(crate) fn new(lines_a_second: u32) -> Self {
        let rate = f64::from(lines_a_second);
        let state =
            RateState { lines: rate * BURST_SECONDS, filled: Instant::now(), dropped: 0, reported: None };
        Self { rate, state: Mutex::new(state) }
    }

    /// One more line; `fits` says whether the call it is from may still write one.
    fn take(&self, fits: bool, now: Instant) -> Turn {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.filled).as_secs_f64();
        state.lines = (state.lines + passed * self.rate).min(self.rate * BURST_SECONDS);
        state.filled = now;
        if !fits || state.lines < 1.0 {
            state.dropped = state.dropped.saturating_add(1);
            return Turn::Dropped;
        }
        state.lines -= 1.0;
        let due = state.reported.is_none_or(|last| now.saturating_duration_since(last) >= REPORT_EVERY);
        if state.dropped == 0 || !due {
            return Turn::Written(None);
        }
        state.reported = Some(now);
        Turn::Written(Some(std::mem::take(&mut state.dropped)))
    }
}

/// A plugin's counters, over all its calls.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<String, u64>>);

impl Counters {
    /// Every counter by name.
    pub(crate) fn all(&self) -> Vec<(String, u64)> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.iter().map(|(name, value)| (name.clone(), *value)).collect()
    }

    fn add(&self, name: &str, delta: u64) {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > MAX_COUNTER_NAME || !name.bytes().all(fits) {
            return;
        }
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = counters.get_mut(name) {
            *value = value.saturating_add(delta);
        } else if counters.len() < MAX_COUNTERS {
            counters.insert(name.to_owned(), delta);
        }
    }
}

impl Host for Guest {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        if !self.identity.grants.log {
            return Ok(());
        }
        let fits = self.log.take();
        let Turn::Written(dropped) = self.identity.lines.take(fits, Instant::now()) else { return Ok(()) };
        if let Some(dropped) = dropped {
            tracing::warn!(target: "wasmgate::plugin", plugin = %self.identity.name, dropped, "logged too many lines");
        }
        let mut line = message;
        for (name, value) in fields.into_iter().take(MAX_FIELDS) {
            line.push(' ');
            line.push_str(&name);
            line.push('=');
            line.push_str(&value);
        }
        write(level, &self.identity.name, self.request(), &printable(&line, MAX_LINE_BYTES));
        Ok(())
    }

    fn count(&mut self, name: String, delta: u64) -> wasmtime::Result<()> {
        if self.identity.grants.log {
            self.identity.counters.add(&name, delta);
        }
        Ok(())
    }
}

fn write(level: Level, plugin: &str, request: &str, line: &str) {
    match level {
        Level::Trace => tracing::trace!(target: "wasmgate::plugin", plugin, request, "{line}"),
        Level::Debug => tracing::debug!(target: "wasmgate::plugin", plugin, request, "{line}"),
        Level::Info => tracing::info!(target: "wasmgate::plugin", plugin, request, "{line}"),
        Level::Warn => tracing::warn!(target: "wasmgate::plugin", plugin, request, "{line}"),
        Level::Error => tracing::error!(target: "wasmgate::plugin", plugin, request, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_bounded_and_their_names_plain() {
        let counters = Counters::default();
        for name in ["a.b_c-1", "", "UPPER", "line\nbreak", &"x".repeat(65)] {
            counters.add(name, 2);
        }
        counters.add("a.b_c-1", u64::MAX);
        assert_eq!(counters.all(), [("a.b_c-1".to_owned(), u64::MAX)]);
        for number in 0..100 {
            counters.add(&number.to_string(), 1);
        }
        assert_eq!(counters.all().len(), MAX_COUNTERS);
    }

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let mut budget = LogBudget::default();
        assert_eq!((0..100).filter(|_| budget.take()).count(), 64);
    }

    #[test]
    fn a_plugin_writes_so_many_lines_a_second_and_owns_up_to_the_rest() {
        let rate = LogRate::new(100);
        let start = Instant::now() + Duration::from_secs(1);
        let at = |ms| start + Duration::from_millis(ms);
        let written = (0..2000).filter(|_| rate.take(true, start) != Turn::Dropped).count();
        assert_eq!(written, 1000);
        assert_eq!(rate.take(true, at(10)), Turn::Written(Some(1000)));
        assert_eq!(rate.take(true, at(11)), Turn::Dropped);
        assert_eq!(rate.take(false, at(500)), Turn::Dropped);
        assert_eq!(rate.take(true, at(501)), Turn::Written(None));
        assert_eq!(rate.take(true, at(10_010)), Turn::Written(Some(2)));
    }
}

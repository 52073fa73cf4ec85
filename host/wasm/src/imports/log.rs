//! Lines and counters of plugins. Lines go to tracing under the target `wasmgate::plugin`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::bindings::log::{Host, Level};
use crate::guest::Guest;
use crate::text::printable;

/// Lines of one call that are written; the rest is counted.
const MAX_LINES: u32 = 64;

/// Bytes of one line, fields included.
const MAX_LINE_BYTES: usize = 2 << 10;

/// Fields of one line.
const MAX_FIELDS: usize = 16;

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

    /// Lines that were not written.
    pub(crate) fn dropped(&self) -> u32 {
        self.lines.saturating_sub(MAX_LINES)
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
        if !self.identity.grants.log || !self.log.take() {
            return Ok(());
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
        assert_eq!(budget.dropped(), 36);
    }
}

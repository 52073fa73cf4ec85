//! What a server writes to stdout that is no message: counted, logged escaped and not too often, and the last of it kept
//! for whoever asks why the server ended.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wasmgate_core::name::ServerName;

use crate::launch::Censor;

/// The garbage of one connection.
#[derive(Default)]
pub(super) struct Garbage {
    censor: Censor,
    last: VecDeque<String>,
    lines: u64,
    minute: Option<Instant>,
    logged: u32,
}

impl Garbage {
    /// None yet. What `censor` knows is never shown.
    pub(super) fn new(censor: Censor) -> Self {
        Self { censor, ..Self::default() }
    }

    /// Another line of it.
    pub(super) fn add(&mut self, server: &ServerName, line: &[u8], now: Instant) {
        self.lines += 1;
        let text = neutral(&self.censor.redacted(line.get(..4 * SHOWN).unwrap_or(line)));
        if self.is_due(now) {
            tracing::warn!(%server, line = %text, lines = self.lines, "stdout line is not a message: ignored");
        }
        self.last.push_back(text);
        if self.last.len() > KEPT {
            self.last.pop_front();
        }
    }

    /// The last lines of it.
    pub(super) fn last(&self) -> Option<String> {
        let said = |text: &String| format!("stdout: {text}");
        (!self.last.is_empty()).then(|| self.last.iter().map(said).collect::<Vec<_>>().join("\n"))
    }

    /// How many lines there were.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether this one is logged: so many a minute are.
    fn is_due(&mut self, now: Instant) -> bool {
        if self.minute.is_none_or(|began| now.duration_since(began) >= Duration::from_secs(60)) {
            self.minute = Some(now);
            self.logged = 0;
        }
        self.logged = self.logged.saturating_add(1);
        self.logged <= PER_MINUTE
    }
}

/// The start of a line with nothing in it that a terminal or a log reader would obey.
fn neutral(line: &str) -> String {
    line.escape_debug().take(SHOWN).collect()
}

const PER_MINUTE: u32 = 10;
const SHOWN: usize = 200;
const KEPT: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_works_on_a_terminal() {
        let text = neutral("\u{1b}[31mred\u{7}\r\0 \u{fffd} \u{202e}");
        assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text}");
        assert!(neutral(&"x".repeat(1000)).len() <= SHOWN);
    }

    #[test]
    fn only_a_few_lines_a_minute_are_logged() {
        let (now, mut garbage) = (Instant::now(), Garbage::default());
        let due = (0..100).filter(|_| garbage.is_due(now)).count();
        assert_eq!(due, PER_MINUTE as usize);
        assert!(garbage.is_due(now + Duration::from_secs(61)));
    }

    #[test]
    fn the_last_lines_are_kept() {
        let (now, name, mut garbage) = (Instant::now(), ServerName::new("s").unwrap(), Garbage::default());
        assert_eq!(garbage.last(), None);
        (0..1000).for_each(|n| garbage.add(&name, format!("line {n}").as_bytes(), now));
        let last = garbage.last().unwrap();
        assert_eq!((last.lines().count(), last.lines().next_back()), (KEPT, Some("stdout: line 999")));
    }
}

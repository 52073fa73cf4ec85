//! What a server writes to stdout that is no message: counted, and logged escaped and not too often.

use std::time::{Duration, Instant};

use wasmgate_core::name::ServerName;

/// The garbage of one connection.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    lines: u64,
    minute: Option<Instant>,
    logged: u32,
}

impl Garbage {
    /// Another line of it.
    pub(super) fn add(&mut self, server: &ServerName, line: &[u8], now: Instant) {
        self.lines += 1;
        if self.is_due(now) {
            let text = neutral(line);
            tracing::warn!(%server, line = %text, lines = self.lines, "stdout line is not a message: ignored");
        }
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
fn neutral(line: &[u8]) -> String {
    let shown = line.get(..SHOWN).unwrap_or(line);
    String::from_utf8_lossy(shown).escape_debug().to_string()
}

const PER_MINUTE: u32 = 10;
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_works_on_a_terminal() {
        let text = neutral(b"\x1b[31mred\x07\r\0 \xff \xe2\x80\xae");
        assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text}");
        assert!(neutral(&[b'x'; 1000]).len() <= SHOWN);
    }

    #[test]
    fn only_a_few_lines_a_minute_are_logged() {
        let (now, mut garbage) = (Instant::now(), Garbage::default());
        let due = (0..100).filter(|_| garbage.is_due(now)).count();
        assert_eq!(due, PER_MINUTE as usize);
        assert!(garbage.is_due(now + Duration::from_secs(61)));
    }
}

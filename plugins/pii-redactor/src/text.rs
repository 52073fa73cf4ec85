//! Small questions about bytes of text that every detector asks.

/// Whether a word goes on at this byte: letters, digits, `_`, and every byte of a letter that is not ASCII.
pub(crate) fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
}

/// The byte before `at`.
pub(crate) fn before(text: &[u8], at: usize) -> Option<&u8> {
    text.get(at.checked_sub(1)?)
}

/// Whether a number can begin at `at`: not within a word, a longer number, or a chain such as a UUID or a version.
pub(crate) fn begins_number(text: &[u8], at: usize) -> bool {
    let previous = before(text, at);
    let chained = match previous {
        Some(b'-') => before(text, at - 1).is_some_and(u8::is_ascii_alphanumeric),
        Some(b'.' | b',' | b':') => before(text, at - 1).is_some_and(u8::is_ascii_digit),
        _ => false,
    };
    !chained
        && (is_escape(text, at)
            || !previous.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'))
}

/// Whether `\n`, `\r` or `\t`, spelt out, stands before `at`: JSON within a string.
pub(crate) fn is_escape(text: &[u8], at: usize) -> bool {
    let before = text.get(at.saturating_sub(2)..at);
    matches!(before, Some([b'\\', b'n' | b'r' | b't']))
}

/// Whether a number can end before `at`.
pub(crate) fn ends_number(text: &[u8], at: usize) -> bool {
    let next_is_digit = || text.get(at + 1).is_some_and(u8::is_ascii_digit);
    match text.get(at) {
        Some(b'-' | b'.' | b':' | b',' | b'/') => !next_is_digit(),
        Some(byte) => !byte.is_ascii_alphanumeric() && *byte != b'_',
        None => true,
    }
}

/// A number written in groups: digits, and between two groups one or two characters that are no digits.
pub(crate) struct Grouped {
    /// The digits, at most [`MOST_DIGITS`].
    pub(crate) digits: Vec<u8>,
    /// Where each group ends: bytes of the text, and digits so far.
    pub(crate) ends: Vec<(usize, usize)>,
    /// What stands between the groups.
    pub(crate) gaps: Vec<Gap>,
}

/// What stands between two groups of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    Space,
    Dash,
    Dot,
    Slash,
    /// A parenthesis, with or without a space beside it.
    Parenthesis,
}

/// The most digits that are read of one number; no detector knows a longer one.
pub(crate) const MOST_DIGITS: usize = 20;

/// Reads a number that begins at `at` with a digit, or with `(` and a digit.
pub(crate) fn grouped(text: &[u8], at: usize) -> Grouped {
    let mut number = Grouped { digits: Vec::new(), ends: Vec::new(), gaps: Vec::new() };
    let mut at = at;
    loop {
        let group = text.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
        let group = group.take(MOST_DIGITS + 1).count();
        if group == 0 || number.digits.len() + group > MOST_DIGITS {
            break;
        }
        number.digits.extend(text.get(at..at + group).unwrap_or_default().iter().map(|byte| byte - b'0'));
        at += group;
        number.ends.push((at, number.digits.len()));
        let Some((gap, length)) = gap(text.get(at..).unwrap_or_default()) else { break };
        number.gaps.push(gap);
        at += length;
    }
    number.gaps.truncate(number.ends.len().saturating_sub(1));
    number
}

impl Grouped {
    /// The sizes of the groups.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, digits)| *digits));
        self.ends.iter().zip(starts).map(|((_, end), start)| end - start).collect()
    }

    /// Only the first `groups` groups.
    pub(crate) fn cut(mut self, groups: usize) -> Self {
        self.ends.truncate(groups);
        self.gaps.truncate(groups.saturating_sub(1));
        self.digits.truncate(self.ends.last().map_or(0, |(_, digits)| *digits));
        self
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> Option<usize> {
        self.ends.last().map(|(end, _)| *end)
    }
}

/// The gap before the next digit, and its bytes; None when no digit follows.
fn gap(rest: &[u8]) -> Option<(Gap, usize)> {
    let (gap, length) = match rest {
        [b')', b' ' | b'-', ..] | [b' ', b'(', ..] => (Gap::Parenthesis, 2),
        [b'(' | b')', ..] => (Gap::Parenthesis, 1),
        [b' ', ..] => (Gap::Space, 1),
        // NO-BREAK SPACE and NON-BREAKING HYPHEN.
        [0xc2, 0xa0, ..] => (Gap::Space, 2),
        [0xe2, 0x80, 0x91, ..] => (Gap::Dash, 3),
        [b'-', ..] => (Gap::Dash, 1),
        [b'.', ..] => (Gap::Dot, 1),
        [b'/', ..] => (Gap::Slash, 1),
        _ => return None,
    };
    rest.get(length).filter(|byte| byte.is_ascii_digit()).map(|_| (gap, length))
}

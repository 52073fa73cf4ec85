//! Shallow steps over checked bytes: from member to member, from element to element, past values unread.
//!
//! Nothing here checks the grammar; that was done once. Bytes that were not checked (the start of a line that was too
//! long) give None or an early end, never a loop or a panic.

use std::ops::Range;

use super::text::Quoted;
use super::words::quote_or_backslash;

/// The members of an object, in order.
pub(crate) struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A member: where it starts, with the quote of its name, and where its value is.
pub(crate) struct Member<'a> {
    pub(crate) start: usize,
    pub(crate) name: Quoted<'a>,
    pub(crate) value: Range<usize>,
}

impl<'a> Members<'a> {
    /// None when the text does not start with an object.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        (bytes.first() == Some(&b'{')).then_some(Self { bytes, at: 1 })
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let start = next_item(self.bytes, self.at)?;
        if self.bytes.get(start) != Some(&b'"') {
            return None;
        }
        let (name_end, escaped) = string(self.bytes, start)?;
        let colon = skip_space(self.bytes, name_end);
        if self.bytes.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_space(self.bytes, colon + 1);
        self.at = value_end(self.bytes, value)?;
        let name = Quoted { raw: self.bytes.get(start + 1..name_end - 1)?, escaped };
        Some(Member { start, name, value: value..self.at })
    }
}

/// The elements of an array, in order.
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Elements<'a> {
    /// None when the text does not start with an array.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        (bytes.first() == Some(&b'[')).then_some(Self { bytes, at: 1 })
    }
}

impl Iterator for Elements<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = next_item(self.bytes, self.at)?;
        self.at = value_end(self.bytes, start)?;
        Some(start..self.at)
    }
}

/// How many containers are open at the deepest place of a checked value.
pub(super) fn depth(bytes: &[u8]) -> usize {
    let (mut at, mut open, mut deepest) = (0, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at - 1).unwrap_or(bytes.len()),
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// The first place from `at` on that is not white space.
pub(super) fn skip_space(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

/// The place behind the string whose opening quote is at `at`.
pub(super) fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    string(bytes, at).map(|(end, _)| end)
}

/// The same, and whether anything in it is escaped.
fn string(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (at + 1, false);
    loop {
        at += quote_or_backslash(bytes.get(at..)?)?;
        match bytes.get(at)? {
            b'"' => return Some((at + 1, escaped)),
            _ => (at, escaped) = (at + 2, true),
        }
    }
}

/// The next member or element of a container: past the comma. None at the closing bracket.
fn next_item(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = skip_space(bytes, at);
    if bytes.get(at)? == &b',' {
        at = skip_space(bytes, at + 1);
    }
    (!matches!(bytes.get(at)?, b'}' | b']' | b',')).then_some(at)
}

/// The place behind the value that starts at `at`.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => container_end(bytes, at),
        _ => {
            let rest = bytes.get(at..)?;
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
            Some(at + rest.iter().position(ends).unwrap_or(rest.len()))
        }
    }
}

fn container_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut open = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
        if open == 0 {
            return Some(at);
        }
    }
}

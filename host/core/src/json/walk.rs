//! Shallow steps over checked bytes: from member to member, from element to element, past values unread.
//!
//! Nothing here checks the grammar; that was done once. Bytes that were not checked (the start of a line that was too
//! long) give None or an early end, never a loop or a panic.

use std::ops::Range;

use memchr::memchr2;

/// The members of an object, in order.
pub(crate) struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Where a member is: its name without the quotes, and its value.
pub(crate) struct Member {
    pub(crate) name: Range<usize>,
    pub(crate) value: Range<usize>,
}

impl<'a> Members<'a> {
    /// None when the text does not start with an object.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        (bytes.first() == Some(&b'{')).then_some(Self { bytes, at: 1 })
    }
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        let start = next_item(self.bytes, self.at)?;
        if self.bytes.get(start) != Some(&b'"') {
            return None;
        }
        let name_end = string_end(self.bytes, start)?;
        let colon = skip_space(self.bytes, name_end);
        if self.bytes.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_space(self.bytes, colon + 1);
        self.at = value_end(self.bytes, value)?;
        Some(Member { name: start + 1..name_end - 1, value: value..self.at })
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
    let mut at = at + 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
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

//! Finds what is hidden in a text and takes it out, in one pass.
//!
//! A character that has uses is judged by its neighbours: the last one that was kept, and the next one. So a run of joiners
//! or selectors, which is how data is smuggled, shrinks to the one that shapes something.

use std::fmt::Write as _;

use crate::chars::{self, Class};

/// What becomes of a hidden character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cure {
    /// It is taken out, an escape sequence of a terminal as a whole.
    Remove,
    /// It becomes visible: `\u{202e}`.
    Escape,
}

/// What counts as hidden where it is a matter of taste.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taste {
    /// Control characters and terminal escapes.
    pub(crate) controls: bool,
    /// Single direction marks.
    pub(crate) marks: bool,
}

/// A stretch of text that a reader does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// Where it begins, in bytes.
    at: usize,
    /// Its bytes; more than one character only for a terminal's escape sequence.
    bytes: usize,
    /// Its first character.
    pub(crate) first: char,
}

/// Whether nothing in these bytes of text can be hidden: printable ASCII and white space.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x20..=0x7e | b'\n' | b'\r' | b'\t'))
}

/// The first hidden thing in `text`.
pub(crate) fn first(text: &str, taste: Taste) -> Option<Hidden> {
    if is_plain(text) { None } else { Search::new(text, taste).next() }
}

/// `text` without what is hidden in it; None when nothing is.
pub(crate) fn cured(text: &str, taste: Taste, cure: Cure) -> Option<String> {
    if is_plain(text) {
        return None;
    }
    let (mut out, mut done) = (String::new(), 0);
    for hidden in Search::new(text, taste) {
        out.push_str(text.get(done..hidden.at).unwrap_or_default());
        let end = hidden.at + hidden.bytes;
        if cure == Cure::Escape {
            text.get(hidden.at..end).unwrap_or_default().chars().for_each(|c| escape(c, &mut out));
        }
        done = end;
    }
    if done == 0 {
        return None;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Some(out)
}

/// `text` as it may stand in a log line: everything hidden made visible.
pub(crate) fn visible(text: &str) -> String {
    let taste = Taste { controls: true, marks: true };
    cured(text, taste, Cure::Escape).unwrap_or_else(|| text.to_owned())
}

/// What is seen of an escape sequence stays as it is.
fn escape(c: char, out: &mut String) {
    if chars::class(c) == Class::Seen {
        out.push(c);
    } else {
        let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
    }
}

/// Every hidden thing of a text, in order.
struct Search<'a> {
    text: &'a str,
    at: usize,
    taste: Taste,
    /// The last character that was kept, but for selectors.
    before: Option<char>,
    /// What directly precedes is a kept selector or mark, so another of its kind has no use.
    held: Option<Class>,
}

impl<'a> Search<'a> {
    fn new(text: &'a str, taste: Taste) -> Self {
        Self { text, at: 0, taste, before: None, held: None }
    }

    /// How many bytes at the start of `rest` are kept, zero when `c`, which it begins with, is hidden.
    fn kept(&self, c: char, class: Class, rest: &str) -> usize {
        let one = c.len_utf8();
        let after = rest.get(one..).unwrap_or_default();
        let next = after.chars().next();
        let between = |test: fn(char, char) -> bool| self.before.zip(next).is_some_and(|(a, b)| test(a, b));
        let has_use = match class {
            Class::Seen if c == chars::FLAG => {
                let tags = chars::REGIONS.iter().find(|tags| after.starts_with(**tags));
                return one + tags.map_or(0, |tags| tags.len());
            }
            Class::Seen => true,
            Class::Joiner => between(chars::joins),
            Class::Break => between(chars::breaks),
            Class::Selector => {
                self.held.is_none() && self.before.is_some_and(|before| chars::selects(before, c))
            }
            Class::Filler => [self.before, next].into_iter().flatten().any(chars::is_jamo),
            Class::Mark => !self.taste.marks && self.held.is_none(),
            Class::Control => !self.taste.controls,
            Class::Unseen => false,
        };
        if has_use { one } else { 0 }
    }
}

impl Iterator for Search<'_> {
    type Item = Hidden;

    fn next(&mut self) -> Option<Hidden> {
        loop {
            let (at, rest) = (self.at, self.text.get(self.at..)?);
            let c = rest.chars().next()?;
            let class = chars::class(c);
            let kept = self.kept(c, class, rest);
            if kept == 0 {
                let bytes = if class == Class::Control { sequence(rest) } else { c.len_utf8() };
                self.at += bytes;
                return Some(Hidden { at, bytes, first: c });
            }
            self.at += kept;
            self.held = matches!(class, Class::Selector | Class::Mark).then_some(class);
            if !matches!(class, Class::Selector | Class::Mark | Class::Joiner | Class::Break) {
                self.before = Some(c);
            }
        }
    }
}

/// The bytes of the terminal escape sequence (ECMA-48) that `text` begins with; of its first character when it is none.
/// Strings end at the next escape at the latest, so that no byte is looked at more than twice.
fn sequence(text: &str) -> usize {
    let mut chars = text.chars();
    let first = chars.next().map_or(0, char::len_utf8);
    let (introducer, start) = match (text.chars().next(), chars.next()) {
        (Some('\u{1b}'), Some(second)) if second.is_ascii() => (second, first + 1),
        (Some('\u{9b}'), _) => ('[', first),
        (Some('\u{9d}'), _) => (']', first),
        _ => return first,
    };
    let body = text.get(start..).unwrap_or_default();
    match introducer {
        '[' => {
            let parameters = body.bytes().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
            match body.as_bytes().get(parameters) {
                Some(0x40..=0x7e) => start + parameters + 1,
                _ => start + parameters,
            }
        }
        ']' | 'P' | 'X' | '^' | '_' => start + string(body).unwrap_or_default(),
        '\u{1b}' | '\n' | '\r' | '\t' => first,
        _ => start,
    }
}

/// The bytes of a control string up to and with its end; None when it has none.
fn string(body: &str) -> Option<usize> {
    let end = body.find(['\u{7}', '\u{1b}', '\u{9c}', '\n'])?;
    let rest = body.get(end..)?;
    match rest.chars().next()? {
        '\u{1b}' if rest.starts_with("\u{1b}\\") => Some(end + 2),
        '\u{7}' => Some(end + 1),
        '\u{9c}' => Some(end + 2),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! The contents of strings: escaped as in the text, and as what they mean.
//!
//! Works on checked text. On anything else it gives replacement characters, never a wrong match or a panic.

use std::borrow::Cow;

use super::words::has_backslash;

/// What a string means. `raw` is the text between its quotes; borrowed when nothing in it is escaped.
pub(crate) fn unescape(raw: &[u8]) -> Cow<'_, str> {
    let raw = text(raw);
    if !has_backslash(raw.as_bytes()) {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let (meant, after) = decode(escape);
        text.push(meant);
        rest = after;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// A string as it is written: what is between its quotes, and whether anything there is escaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted<'a> {
    pub(super) raw: &'a [u8],
    pub(super) escaped: bool,
}

impl<'a> Quoted<'a> {
    /// What it means.
    pub(crate) fn meant(self) -> Cow<'a, str> {
        if self.escaped { unescape(self.raw) } else { Cow::Borrowed(text(self.raw)) }
    }

    /// Whether it means `name`.
    pub(crate) fn is(self, name: &str) -> bool {
        match self.escaped {
            false => self.raw == name.as_bytes(),
            // An escape is always longer than what it means.
            true => self.raw.len() > name.len() && unescape(self.raw) == name,
        }
    }

    /// Which of some names it means, the first of them.
    pub(crate) fn which<'n>(self, mut names: impl Iterator<Item = &'n str>) -> Option<usize> {
        if !self.escaped {
            return names.position(|name| self.raw == name.as_bytes());
        }
        let meant = unescape(self.raw);
        names.position(|name| meant == name)
    }
}

fn text(raw: &[u8]) -> &str {
    std::str::from_utf8(raw).unwrap_or("\u{FFFD}")
}

/// The character that an escape means, and what follows it. `escape` starts behind the backslash.
fn decode(escape: &str) -> (char, &str) {
    let mut chars = escape.chars();
    let meant = match chars.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return decode_unicode(chars.as_str()),
        Some(itself @ ('"' | '\\' | '/')) => itself,
        _ => char::REPLACEMENT_CHARACTER,
    };
    (meant, chars.as_str())
}

fn decode_unicode(digits: &str) -> (char, &str) {
    let (unit, rest) = code_unit(digits);
    if let Some(meant) = char::from_u32(unit) {
        return (meant, rest);
    }
    let (low, rest) = rest.strip_prefix("\\u").map_or((0, rest), code_unit);
    let point = 0x1_0000 + ((unit & 0x3FF) << 10) + (low & 0x3FF);
    (char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

fn code_unit(digits: &str) -> (u32, &str) {
    let (unit, rest) = digits.split_at_checked(4).unwrap_or((digits, ""));
    (u32::from_str_radix(unit, 16).unwrap_or(0xFFFD), rest)
}

//! The contents of strings: escaped as in the text, and as what they mean.
//!
//! Works on checked text. On anything else it gives replacement characters, never a wrong match or a panic.

use std::borrow::Cow;

use memchr::memchr;

/// What a string means. `raw` is the text between its quotes; borrowed when nothing in it is escaped.
pub(crate) fn unescape(raw: &[u8]) -> Cow<'_, str> {
    let raw = std::str::from_utf8(raw).unwrap_or("\u{FFFD}");
    if memchr(b'\\', raw.as_bytes()).is_none() {
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

/// Whether a string means `name`. `raw` is the text between its quotes.
pub(crate) fn is_name(raw: &[u8], name: &str) -> bool {
    // An escape is always longer than what it means, so equal lengths leave only a comparison of bytes, ...
    if raw.len() == name.len() {
        return raw == name.as_bytes() && memchr(b'\\', raw).is_none();
    }
    // ... and a shorter text cannot mean the name.
    raw.len() > name.len() && memchr(b'\\', raw).is_some() && unescape(raw) == name
}

/// Which of some names a string means, the first of them. `raw` is the text between its quotes.
pub(crate) fn which<'a>(raw: &[u8], names: impl Iterator<Item = (usize, &'a str)> + Clone) -> Option<usize> {
    let literal = names.clone().find(|(_, name)| raw == name.as_bytes());
    if memchr(b'\\', raw).is_none() {
        return literal.map(|(index, _)| index);
    }
    let meant = unescape(raw);
    names.into_iter().find(|(_, name)| meant == *name).map(|(index, _)| index)
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

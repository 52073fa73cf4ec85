//! A first look at a payload as JSON text: whether anything in it can be hidden at all, and whether a member name is.
//!
//! One pass, so that an ordinary message costs one crossing and one read.

use crate::clean::{self, Taste};

/// What a payload may hide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// A string value contains something that may be hidden.
    pub(crate) values: bool,
    /// A member name contains something that is hidden.
    pub(crate) names: bool,
}

/// Looks at checked JSON text.
pub(crate) fn look(json: &str, taste: Taste) -> Look {
    let mut look = Look::default();
    any(json, |is_name, text| {
        match is_name {
            true => look.names = look.names || clean::first(text, taste).is_some(),
            false => look.values = true,
        }
        look.names && look.values
    });
    look
}

/// Whether `test` (is it a member name, and what it means) is true of a string in which something can be hidden.
pub(crate) fn any(json: &str, mut test: impl FnMut(bool, &str) -> bool) -> bool {
    let (bytes, mut at) = (json.as_bytes(), 0);
    while let Some(begin) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'"')) {
        let start = at + begin + 1;
        let (length, plain) = string(bytes.get(start..).unwrap_or_default());
        at = start + length + 1;
        if plain {
            continue;
        }
        let next = bytes.get(at..).and_then(|rest| rest.iter().find(|byte| !byte.is_ascii_whitespace()));
        if test(next == Some(&b':'), &unescaped(json.get(start..start + length).unwrap_or_default())) {
            return true;
        }
    }
    false
}

/// The bytes of a string up to its closing quote, and whether nothing in it can be hidden.
fn string(rest: &[u8]) -> (usize, bool) {
    let (mut at, mut plain) = (0, true);
    while let Some(byte) = rest.get(at) {
        match byte {
            b'"' => break,
            b'\\' => {
                at += 1;
                plain &= !matches!(rest.get(at), Some(b'u' | b'b' | b'f'));
            }
            0x20..=0x7e => {}
            _ => plain = false,
        }
        at += 1;
    }
    (at, plain)
}

/// What a JSON string means. Lone surrogates, which nobody sees either, become REPLACEMENT CHARACTER.
fn unescaped(inside: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(inside.len());
    let mut rest = inside.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        units.push(match rest.next().unwrap_or_default() {
            'u' => hex(&mut rest),
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            other => u16::try_from(u32::from(other)).unwrap_or_default(),
        });
    }
    String::from_utf16_lossy(&units)
}

fn hex(rest: &mut std::str::Chars<'_>) -> u16 {
    let digits = rest.by_ref().take(4).filter_map(|digit| digit.to_digit(16));
    digits.fold(0, |value, digit| (value << 4) | u16::try_from(digit).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_told_by_its_names_and_values() {
        let (clean, values) = (Look::default(), Look { values: true, names: false });
        for (json, expected) in [
            ("{}", clean),
            (r#"{"a":"b\n\"c\\","d":[1,"\/"]}"#, clean),
            (r#"{"\u0061":1,"ä":2}"#, clean),
            ("{\"a\":\"\u{202e}\"}", values),
            (r#"{"a":["\u202e"]}"#, values),
            (r#"{"a":"\b"}"#, values),
            ("[\"\u{e4}\"]", values),
            ("{\"a\u{200b}\" : 1}", Look { values: false, names: true }),
            (r#"{"\udb40\udc41":"ä"}"#, Look { values: true, names: true }),
            ("{\"\u{1f468}\u{200d}\u{1f469}\":1}", clean),
        ] {
            assert_eq!(look(json, Taste { controls: true, marks: true }), expected, "{json}");
        }
    }
}

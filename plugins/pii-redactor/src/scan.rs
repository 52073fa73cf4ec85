//! One pass over a text: at each byte that can begin or be in the middle of something, the detectors that know it.
//!
//! Linear: each detector looks at a bounded stretch, and what is found is not looked at again.

use std::ops::Range;

use serde::Deserialize;

use crate::custom::Pattern;
use crate::{numbers, words};

/// What can be detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Email,
    Phone,
    Card,
    Iban,
    Ssn,
    Ip,
}

impl Kind {
    /// Its name in labels and in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ssn => "ssn",
            Self::Ip => "ip",
        }
    }
}

/// Something found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// What it is.
    pub(crate) name: &'a str,
    /// Where it is, in bytes.
    pub(crate) range: Range<usize>,
}

/// Everything in `text` of the kinds and patterns that are wanted, in order, none overlapping.
pub(crate) fn find<'a>(text: &str, kinds: &[Kind], patterns: &'a [Pattern]) -> Vec<Found<'a>> {
    let mut found: Vec<Found<'a>> = Vec::new();
    let (mut at, mut done) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match custom(text, at, patterns).or_else(|| known(text, at, done, kinds)) {
            Some(next) => {
                at = next.range.end.max(at + 1);
                done = at;
                found.push(next);
            }
            None => at += 1,
        }
    }
    found
}

/// Says where what begins at a byte ends.
type Detector = fn(&[u8], usize) -> Option<usize>;

fn custom<'a>(text: &str, at: usize, patterns: &'a [Pattern]) -> Option<Found<'a>> {
    if patterns.is_empty() || !text.is_char_boundary(at) {
        return None;
    }
    let (before, rest) = text.split_at(at);
    let before = before.chars().next_back();
    let matched =
        |pattern: &'a Pattern| pattern.matches(before, rest).map(|length| (pattern.name.as_str(), length));
    let (name, length) = patterns.iter().find_map(matched)?;
    Some(Found { name, range: at..at + length })
}

fn known<'a>(text: &str, at: usize, done: usize, kinds: &[Kind]) -> Option<Found<'a>> {
    let bytes = text.as_bytes();
    let byte = *bytes.get(at)?;
    let wants = |kind: Kind| kinds.contains(&kind);
    let found = |kind: Kind, range: Range<usize>| Found { name: kind.name(), range };
    let try_all = |detectors: &[(Kind, Detector)]| {
        let wanted = detectors.iter().filter(|(kind, _)| wants(*kind));
        wanted.copied().find_map(|(kind, detect)| detect(bytes, at).map(|end| found(kind, at..end)))
    };
    match byte {
        b'@' if wants(Kind::Email) => words::email(text, at, done).map(|range| found(Kind::Email, range)),
        b'0'..=b'9' if at.checked_sub(1).and_then(|at| bytes.get(at)).is_none_or(|b| !b.is_ascii_digit()) => {
            try_all(&[
                (Kind::Card, numbers::card),
                (Kind::Ssn, numbers::ssn),
                (Kind::Ip, words::ipv4),
                (Kind::Ip, words::ipv6),
                (Kind::Phone, numbers::phone),
            ])
        }
        b'+' | b'(' => try_all(&[(Kind::Phone, numbers::phone)]),
        b'a'..=b'z' | b'A'..=b'Z' => try_all(&[(Kind::Iban, words::iban), (Kind::Ip, words::ipv6)]),
        b':' => try_all(&[(Kind::Ip, words::ipv6)]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 6] = [Kind::Email, Kind::Phone, Kind::Card, Kind::Iban, Kind::Ssn, Kind::Ip];

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let patterns = [Pattern::new("badge", "B-####").unwrap()];
        let found = find(text, &ALL, &patterns);
        let found: Vec<_> = found.iter().map(|found| (found.name, &text[found.range.clone()])).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_text_is_read_once_from_left_to_right() {
        check(
            "Jan <jan@example.org>, +49 30 1234567; card 4111 1111 1111 1111, from 192.0.2.1",
            &[
                ("email", "jan@example.org"),
                ("phone", "+49 30 1234567"),
                ("card", "4111 1111 1111 1111"),
                ("ip", "192.0.2.1"),
            ],
        );
        check("ä DE89370400440532013000/B-1234", &[("iban", "DE89370400440532013000"), ("badge", "B-1234")]);
        check("123-45-6789 123-45-6789", &[("ssn", "123-45-6789"), ("ssn", "123-45-6789")]);
        check("a@example.org,b@example.org", &[("email", "a@example.org"), ("email", "b@example.org")]);
        check("fe80::1 and ::ffff:192.0.2.1", &[("ip", "fe80::1"), ("ip", "::ffff:192.0.2.1")]);
    }

    #[test]
    fn ordinary_numbers_are_left() {
        for text in [
            "2024-01-31T12:30:45.123456Z",
            "550e8400-e29b-41d4-a716-446655440000",
            "version 10.2.3, build 20240131",
            "1700000000000",
            "3.14159265358979",
            "sha256:0123456789012345678901234567890123456789",
            "x = 12345678; y = (1, 2)",
            "12 34 56 78 90",
            "@@ -1,7 +1,9 @@",
            "ISBN 978-3-16-148410-0",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn long_texts_take_linear_time() {
        for part in ["a", "1", "1 ", "@", "a@", "a.", "+", "(", ":", "+1 ", "DE89 "] {
            // Quadratic would take long.
            find(&part.repeat(10_000), &ALL, &[]);
        }
    }
}

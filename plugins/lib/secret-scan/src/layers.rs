//! One layer of decoding: percent-encoding anywhere in a text, and runs of base64.

use std::ops::Range;

/// Shortest run that is taken for base64: what the shortest credential becomes.
const SHORTEST_RUN: usize = 20;

/// Shortest line that may go on in the next one: `base64` breaks lines at 76 characters, PEM at 64.
const SHORTEST_LINE: usize = 60;

/// A text without its percent-encoding (RFC 3986 section 2.1).
pub(crate) struct Percent {
    pub(crate) decoded: Vec<u8>,
}

impl Percent {
    /// None when nothing in `text` is percent-encoded.
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        text.windows(3).position(|window| escaped(window).is_some())?;
        let mut decoded = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((byte, behind)) = next(rest) {
            decoded.push(byte);
            rest = behind;
        }
        Some(Self { decoded })
    }

    /// For each decoded byte where it begins in `text`, and where that ends.
    pub(crate) fn places(text: &[u8]) -> Vec<usize> {
        let mut places = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((_, behind)) = next(rest) {
            places.push(text.len() - rest.len());
            rest = behind;
        }
        places.push(text.len());
        places
    }
}

fn next(text: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = text.split_first()?;
    Some(match escaped(text) {
        Some(byte) => (byte, text.get(3..).unwrap_or_default()),
        None => (*first, rest),
    })
}

fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Every run that can be base64 (either alphabet, RFC 4648 sections 4 and 5), padding and line breaks included, with what
/// it decodes to.
pub(crate) fn base64_runs(text: &[u8], visit: &mut dyn FnMut(Range<usize>, &[u8])) {
    let mut at = 0;
    let mut decoded = Vec::new();
    while at < text.len() {
        let end = run(text, at);
        if end - at >= SHORTEST_RUN {
            decoded.clear();
            decode(text.get(at..end).unwrap_or_default(), &mut decoded);
            visit(at..padded(text, end), &decoded);
        }
        at = end + 1;
    }
}

/// Where the run that begins at `start` ends, without padding.
fn run(text: &[u8], start: usize) -> usize {
    let (mut at, mut line) = (start, start);
    loop {
        let digits = text.get(at..).unwrap_or_default();
        at += digits.iter().position(|byte| digit(*byte).is_none()).unwrap_or(digits.len());
        let length = at - line;
        let is_whole = length >= SHORTEST_LINE && length.is_multiple_of(4);
        let gap = match text.get(at..).unwrap_or_default() {
            [b'\r', b'\n', next, ..] if is_whole && digit(*next).is_some() => 2,
            [b'\n', next, ..] if is_whole && digit(*next).is_some() => 1,
            _ => return at,
        };
        at += gap;
        line = at;
    }
}

fn padded(text: &[u8], end: usize) -> usize {
    let padding =
        text.get(end..).unwrap_or_default().iter().take(2).take_while(|byte| **byte == b'=').count();
    end + padding
}

fn decode(run: &[u8], into: &mut Vec<u8>) {
    into.reserve(run.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in run.iter().filter_map(|byte| digit(*byte)) {
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            into.push((bits >> count & 0xff) as u8);
        }
    }
}

/// The value of a digit of base64, of either alphabet.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    DIGITS.get(usize::from(byte)).copied().filter(|digit| *digit < 64)
}

static DIGITS: [u8; 256] = digits();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not compile")]
const fn digits() -> [u8; 256] {
    let mut table = [64; 256];
    let mut at = 0;
    while at < 26 {
        table[b'A' as usize + at] = at as u8;
        table[b'a' as usize + at] = at as u8 + 26;
        at += 1;
    }
    at = 0;
    while at < 10 {
        table[b'0' as usize + at] = at as u8 + 52;
        at += 1;
    }
    table[b'+' as usize] = 62;
    table[b'-' as usize] = 62;
    table[b'/' as usize] = 63;
    table[b'_' as usize] = 63;
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_and_its_places_are_known() {
        for (text, expected) in [
            ("plain", None),
            ("100% and 5%x", None),
            ("a%20b", Some("a b")),
            ("%41%42%", Some("AB%")),
            ("%2541", Some("%41")),
        ] {
            let decoded = Percent::of(text.as_bytes()).map(|percent| percent.decoded);
            assert_eq!(decoded.as_deref(), expected.map(str::as_bytes), "{text}");
        }
        assert_eq!(Percent::places(b"a%20b%"), [0, 1, 4, 5, 6]);
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut found = Vec::new();
        base64_runs(text.as_bytes(), &mut |range, decoded| {
            found.push((text.get(range).unwrap().to_owned(), String::from_utf8_lossy(decoded).into_owned()));
        });
        let expected: Vec<_> =
            expected.iter().map(|(run, text)| ((*run).to_owned(), (*text).to_owned())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn runs_of_base64_are_decoded() {
        let hello = "aGVsbG8gd29ybGQsIGhlbGxvIQ";
        let said = "hello world, hello!";
        check("", &[]);
        check("short words and dots. aGVsbG8=", &[]);
        check(&format!("x={hello}=="), &[(&format!("{hello}=="), said)]);
        check(&format!("Basic {hello}, {hello}"), &[(hello, said), (hello, said)]);
        let line = "QUFB".repeat(19);
        let wrapped = format!("{line}\n{hello}==");
        check(&wrapped, &[(&wrapped, &format!("{}{said}", "A".repeat(57)))]);
        check(&format!("{hello}\n{hello}"), &[(hello, said), (hello, said)]);
    }

    #[test]
    fn bytes_of_every_kind_are_survived() {
        let all: Vec<u8> = (0..=255).cycle().take(2000).collect();
        base64_runs(&all, &mut |_, _| {});
        assert_eq!(Percent::places(&all).len(), all.len() + 1);
    }
}

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
        let mut signs = memchr::memchr_iter(b'%', text);
        signs.find(|at| escaped(text.get(*at..).unwrap_or_default()).is_some())?;
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
    // Everything before was looked at, and no run goes on here.
    let mut at = 0;
    let mut decoded = Vec::new();
    // A run that is long enough and begins among these has a digit at their end.
    while let Some(probed) = text.get(at..at + SHORTEST_RUN) {
        let before = probed.iter().rev().take_while(|byte| digit(**byte).is_some()).count();
        let start = at + SHORTEST_RUN - before;
        if before == 0 {
            at = start;
            continue;
        }
        let end = run(text, start);
        if end - start >= SHORTEST_RUN {
            decoded.clear();
            decode(text.get(start..end).unwrap_or_default(), &mut decoded);
            visit(start..padded(text, end), &decoded);
        }
        at = end + 1;
    }
}

/// Where the run that begins at `start` ends, without padding.
fn run(text: &[u8], start: usize) -> usize {
    let (mut at, mut line) = (start, start);
    loop {
        at += digits(text.get(at..).unwrap_or_default());
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

/// How many digits a text begins with.
fn digits(text: &[u8]) -> usize {
    let all_digits = |block: &[u8]| block.iter().fold(0, |any, byte| any | value(*byte)) < NO_DIGIT;
    let whole = text.chunks_exact(BLOCK).take_while(|block| all_digits(block)).count() * BLOCK;
    let rest = text.get(whole..).unwrap_or_default();
    whole + rest.iter().take_while(|byte| digit(**byte).is_some()).count()
}

fn padded(text: &[u8], end: usize) -> usize {
    let padding =
        text.get(end..).unwrap_or_default().iter().take(2).take_while(|byte| **byte == b'=').count();
    end + padding
}

/// Decodes a run line by line: each but the last has a multiple of four digits.
fn decode(run: &[u8], into: &mut Vec<u8>) {
    into.reserve(run.len() / 4 * 3 + 3);
    let mut left = run;
    while !left.is_empty() {
        let (line, behind) = left.split_at(digits(left));
        let mut blocks = line.chunks_exact(BLOCK);
        for block in &mut blocks {
            let mut bytes = [0; BLOCK / 4 * 3];
            for (quad, bytes) in block.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
                bytes.copy_from_slice(&three(quad));
            }
            into.extend_from_slice(&bytes);
        }
        for quad in blocks.remainder().chunks(4) {
            into.extend_from_slice(three(quad).get(..quad.len() * 6 / 8).unwrap_or_default());
        }
        // A line break has one byte or two.
        left = behind.get(1..).unwrap_or_default();
    }
}

/// The three bytes of four digits, or what fewer are the beginning of.
fn three(digits: &[u8]) -> [u8; 3] {
    let bits = digits.iter().fold(0, |bits, byte| bits << 6 | u32::from(value(*byte)));
    let [_, bytes @ ..] = (bits << (6 * (4 - digits.len()))).to_be_bytes();
    bytes
}

/// Digits that are looked at together.
const BLOCK: usize = 16;

/// The value of a digit of base64, of either alphabet.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    Some(value(byte)).filter(|value| *value < NO_DIGIT)
}

/// The same, or [`NO_DIGIT`].
fn value(byte: u8) -> u8 {
    // Never out of bounds, and the compiler knows it.
    VALUES.get(usize::from(byte)).copied().unwrap_or(NO_DIGIT)
}

const NO_DIGIT: u8 = 64;
static VALUES: [u8; 256] = values();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not compile")]
const fn values() -> [u8; 256] {
    let mut table = [NO_DIGIT; 256];
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

    /// However runs and what is between them fall on the places that are looked at.
    #[test]
    fn no_run_is_passed_over() {
        for before in 0..50 {
            for length in 15..50 {
                for gap in 1..4 {
                    let run = "QUJD".repeat(13)[..length].to_owned();
                    let text = format!("{}{run}{}{run}.", "-. ".repeat(before), " ".repeat(gap));
                    let mut found = Vec::new();
                    base64_runs(text.as_bytes(), &mut |range, decoded| {
                        found.push((text.get(range).unwrap().to_owned(), decoded.len()));
                    });
                    let expected =
                        if length < SHORTEST_RUN { vec![] } else { vec![(run, length * 6 / 8); 2] };
                    assert_eq!(found, expected, "{text}");
                }
            }
        }
    }

    #[test]
    fn bytes_of_every_kind_are_survived() {
        let all: Vec<u8> = (0..=255).cycle().take(2000).collect();
        base64_runs(&all, &mut |_, _| {});
        assert_eq!(Percent::places(&all).len(), all.len() + 1);
    }
}

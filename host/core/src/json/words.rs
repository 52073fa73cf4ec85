//! Bytes looked for eight at a time. Names and most strings are short, where a search that is set up for long ones costs
//! more than it saves.

use memchr::{memchr, memchr2};

/// How many bytes from the start are neither a quote, a backslash nor a control character.
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (control | equal(word, b'"') | equal(word, b'\\')) & TOPS;
        if found != 0 {
            return index * 8 + first(found);
        }
    }
    let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
    words.len() * 8 + plain
}

/// Where the first quote or backslash is.
pub(super) fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.get(..SHORT).unwrap_or(words);
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = (equal(word, b'"') | equal(word, b'\\')) & TOPS;
        if found != 0 {
            return Some(index * 8 + first(found));
        }
    }
    let looked_at = words.len() * 8;
    Some(looked_at + memchr2(b'"', b'\\', bytes.get(looked_at..)?)?)
}

/// Whether there is a backslash.
pub(super) fn has_backslash(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    if words.len() > SHORT {
        return memchr(b'\\', bytes).is_some();
    }
    let has = |word: &[u8; 8]| equal(u64::from_le_bytes(*word), b'\\') & TOPS != 0;
    // The last eight bytes once more are fewer steps than the rest one by one.
    words.iter().any(has) || bytes.last_chunk().map_or_else(|| rest.contains(&b'\\'), has)
}

/// Sets the top bit of the first byte that is `wanted`, and of none before it: a subtraction borrows into the top bit of a
/// byte exactly where the first such byte is. Later bytes and lower bits may be wrong.
const fn equal(word: u64, wanted: u8) -> u64 {
    let difference = word ^ (ONES * wanted as u64);
    difference.wrapping_sub(ONES) & !difference
}

/// The first byte whose top bit is set.
const fn first(found: u64) -> usize {
    found.trailing_zeros() as usize / 8
}

/// How many words a short string has.
const SHORT: usize = 4;

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = ONES << 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_and_every_byte_is_found_as_one_by_one() {
        for length in 0..80 {
            for at in 0..=length {
                for byte in [0, 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', 0x7f, 0x80, 0x9c, 0xa2, 0xff]
                {
                    let mut bytes = vec![b'a'; length];
                    if let Some(place) = bytes.get_mut(at) {
                        *place = byte;
                    }
                    // What is behind the first must not matter.
                    bytes.extend([0x80, b'"', b'\\', 1]);
                    let special = |byte: &u8| matches!(byte, b'"' | b'\\');
                    let odd = |byte: &u8| special(byte) || *byte < 0x20;
                    assert_eq!(plain_bytes(&bytes), bytes.iter().position(odd).unwrap());
                    assert_eq!(quote_or_backslash(&bytes), bytes.iter().position(special));
                    let bytes = &bytes[..length];
                    assert_eq!(plain_bytes(bytes), bytes.iter().position(odd).unwrap_or(length));
                    assert_eq!(quote_or_backslash(bytes), bytes.iter().position(special));
                    assert_eq!(has_backslash(bytes), bytes.contains(&b'\\'));
                }
            }
        }
    }
}

//! Finds values that the gateway keeps secret in text, as they are and as they are commonly written: percent-encoded and in
//! base64. One pass whatever the number of secrets: an automaton over all of them.
//!
//! What is found is a name and a place; the values stay in here and are in nobody's `Debug`.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// Shorter values are in too many places by chance.
const MIN_BYTES: usize = 8;

/// Values the gateway keeps secret, by name.
pub struct KnownSecrets {
    names: Vec<Box<str>>,
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
}

/// What one pattern of the automaton stands for.
#[derive(Clone, Copy)]
struct Pattern {
    secret: usize,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// In base64; whether the characters before and behind hold bits of the value too.
    Base64 {
        before: bool,
        behind: bool,
    },
}

/// There are more secrets than can be looked for.
#[derive(Debug, thiserror::Error)]
#[error("the secrets are too large to be looked for")]
pub struct TooManySecrets(#[source] Box<aho_corasick::BuildError>);

impl std::fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownSecrets").field("names", &self.names).finish_non_exhaustive()
    }
}

impl KnownSecrets {
    /// Learns values by name. Values shorter than 8 bytes are not looked for.
    ///
    /// # Errors
    /// [`TooManySecrets`] beyond some gigabytes.
    pub fn new(secrets: impl IntoIterator<Item = (String, SecretString)>) -> Result<Self, TooManySecrets> {
        let mut names = Vec::new();
        let mut patterns = Vec::new();
        let mut texts: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for (name, value) in secrets {
            let value = value.expose_secret().as_bytes();
            if value.len() < MIN_BYTES {
                continue;
            }
            patterns.push(Pattern { secret: names.len(), form: Form::Plain });
            texts.push(Zeroizing::new(value.to_vec()));
            for (text, form) in in_base64(value) {
                patterns.push(Pattern { secret: names.len(), form });
                texts.push(text);
            }
            names.push(name.into());
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(texts.iter().map(|text| text.as_slice()))
            .map_err(|error| TooManySecrets(Box::new(error)))?;
        Ok(Self { names, automaton, patterns })
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The name of a secret and the bytes of `text` that give it away, for every place, in order. In base64 the first and
    /// the last character may hold bits of their neighbours too.
    pub(crate) fn find<'a>(&'a self, text: &str) -> Vec<(&'a str, Range<usize>)> {
        let mut found = self.find_in(text.as_bytes(), text.as_bytes(), &|at| at);
        // Asked first because a search for one byte is much faster than a look at each.
        if memchr::memchr(b'%', text.as_bytes()).is_some()
            && let Cow::Owned(decoded) = percent_encoding::percent_decode_str(text).into()
        {
            let places = places(text.as_bytes());
            let place = |at: usize| places.get(at).copied().unwrap_or(text.len());
            let encoded = self.find_in(&decoded, text.as_bytes(), &place);
            // Those without a percent sign were found before.
            found.extend(encoded.into_iter().filter(|(_, range)| {
                text.as_bytes().get(range.clone()).is_some_and(|bytes| bytes.contains(&b'%'))
            }));
            found.sort_by_key(|(_, range)| range.start);
        }
        found
    }

    fn find_in(
        &self,
        haystack: &[u8],
        text: &[u8],
        place: &dyn Fn(usize) -> usize,
    ) -> Vec<(&str, Range<usize>)> {
        let sighting = |found: aho_corasick::Match| {
            let pattern = self.patterns.get(found.pattern().as_usize())?;
            let mut range = place(found.start())..place(found.end());
            if let Form::Base64 { before, behind } = pattern.form {
                let is_base64 = |at: usize| text.get(at).is_some_and(|byte| in_alphabet(*byte));
                range.start -= usize::from(before && range.start > 0 && is_base64(range.start - 1));
                range.end += usize::from(behind && is_base64(range.end));
            }
            Some((&**self.names.get(pattern.secret)?, range))
        };
        self.automaton.find_iter(haystack).filter_map(sighting).collect()
    }
}

/// Where the bytes of a percent-decoded text began in the text itself.
fn places(text: &[u8]) -> Vec<usize> {
    let is_hex = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut places = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        places.push(at);
        at += if *byte == b'%' && is_hex(at + 1) && is_hex(at + 2) { 3 } else { 1 };
    }
    places
}

/// The characters that every base64 text with this value in it has, for the three ways it can be aligned and the two
/// alphabets.
fn in_base64(value: &[u8]) -> Vec<(Zeroizing<Vec<u8>>, Form)> {
    let mut forms: Vec<(Zeroizing<Vec<u8>>, Form)> = Vec::new();
    for shift in 0..3 {
        let mut shifted = Zeroizing::new(vec![0; shift]);
        shifted.extend_from_slice(value);
        // A character is six bits: those that hold nothing but bits of the value.
        let (first, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        let form = Form::Base64 { before: shift > 0, behind: !(shifted.len() * 8).is_multiple_of(6) };
        for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = Zeroizing::new(alphabet.encode(&*shifted));
            let text = encoded.as_bytes().get(first..end).unwrap_or_default();
            if !forms.iter().any(|(known, _)| ***known == *text) {
                forms.push((Zeroizing::new(text.to_vec()), form));
            }
        }
    }
    forms
}

fn in_alphabet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(values: &[(&str, &str)]) -> KnownSecrets {
        KnownSecrets::new(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()))).unwrap()
    }

    /// What is found, with the text at each place.
    fn found(known: &KnownSecrets, text: &str) -> Vec<String> {
        known.find(text).into_iter().map(|(name, range)| format!("{name}: {}", &text[range])).collect()
    }

    const VALUE: &str = "s3cret/value+é?";

    #[test]
    fn a_value_is_found_as_it_is() {
        let known = known(&[("KEY", VALUE), ("SHORT", "1234567"), ("LONGER", "s3cret/value+é?!")]);
        for (text, expected) in [
            ("", vec![]),
            ("nothing 1234567", vec![]),
            ("s3cret/value+é?", vec!["KEY: s3cret/value+é?"]),
            ("as3cret/value+é?a s3cret/value+é?", vec!["KEY: s3cret/value+é?"; 2]),
            ("is s3cret/value+é?!", vec!["LONGER: s3cret/value+é?!"]),
        ] {
            assert_eq!(found(&known, text), expected, "{text}");
        }
    }

    #[test]
    fn a_value_is_found_percent_encoded() {
        let known = known(&[("KEY", VALUE)]);
        for encoded in [
            "s3cret%2Fvalue%2B%C3%A9%3F",
            "s3cret%2fvalue%2b%c3%a9%3f",
            "s3cret/value+%C3%A9?",
            "%73%33%63%72%65%74%2F%76%61%6C%75%65%2B%C3%A9%3F",
        ] {
            let text = format!("100% of é%20?k={encoded}&x=%zz%4");
            assert_eq!(found(&known, &text), [format!("KEY: {encoded}")], "{encoded}");
        }
        assert_eq!(found(&known, "%20 s3cret/value+é? %20"), ["KEY: s3cret/value+é?"]);
    }

    #[test]
    fn a_value_is_found_in_base64_wherever_it_stands() {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let known = known(&[("KEY", VALUE)]);
        for before in ["", "u", "us", "use", "user:"] {
            for behind in ["", "\n", "??", "the rest"] {
                for alphabet in [STANDARD, URL_SAFE] {
                    let whole = format!("{before}{VALUE}{behind}");
                    let encoded = alphabet.encode(&whole);
                    let text = format!("Basic {encoded}");
                    let sightings = known.find(&text);
                    assert_eq!(sightings.len(), 1, "{whole}");
                    // Every character with a bit of the value in it is covered.
                    let (first, end) = (before.len() * 8 / 6, ((before.len() + VALUE.len()) * 8).div_ceil(6));
                    assert_eq!(sightings[0].1, 6 + first..6 + end, "{whole}");
                }
            }
        }
    }

    #[test]
    fn values_are_nobodys_to_print() {
        let known = known(&[("KEY", VALUE)]);
        assert_eq!(format!("{known:?}"), r#"KnownSecrets { names: ["KEY"], .. }"#);
        assert!(found(&known, "KEY").is_empty());
    }
}

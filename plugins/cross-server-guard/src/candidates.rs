//! What of a message could be a secret.

use std::ops::ControlFlow;

use secret_scan::{Allowed, json, layers, look, shown};
use wasmgate_plugin::secrets::Sighting;
use wasmgate_plugin::{Payload, Refusal};

use crate::config::Settings;
use crate::memory::{Fingerprint, Prints};

/// Shortest string that counts as random.
const SHORTEST_RANDOM: usize = 20;

/// So many different characters a random string has.
const RANDOM_VARIETY: usize = 12;

/// Where a string stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this RFC 6901 pointer.
    At(String),
    /// In a member's name, which a pointer would repeat.
    Name,
}

/// The secrets that a message brings: what has the format of one, what the gateway keeps secret, and, if that is wanted,
/// what looks random.
pub(crate) fn brought(
    payload: &dyn Payload,
    prints: Prints,
    settings: &Settings,
) -> Result<Vec<Fingerprint>, String> {
    let mut secrets: Vec<_> = sightings(payload)?.iter().map(|known| prints.of(&named(known))).collect();
    json::strings(&payload.text(), settings.min_length, &mut |text| {
        look(&text.text, text.name().as_deref(), Allowed::default(), &mut |found| {
            if found.secret.len() >= settings.min_length {
                secrets.push(prints.of(found.secret));
            }
        });
        if settings.high_entropy {
            layers(&text.text, &mut |layer, _| {
                let words = words(layer).filter(|word| word.len() >= settings.min_length && is_random(word));
                secrets.extend(words.map(|word| prints.of(word)));
            });
        }
        ControlFlow::Continue(())
    });
    secrets.sort_unstable();
    secrets.dedup();
    Ok(secrets)
}

/// Shows everything in a message that could be a secret brought before: whole strings, their words, what has the format of
/// a secret; as they stand and under one layer of encoding.
pub(crate) fn carried(
    json: &str,
    prints: Prints,
    settings: &Settings,
    visit: &mut dyn FnMut(Fingerprint, &dyn Fn() -> Place),
) {
    json::strings(json, settings.min_length, &mut |text| {
        let place = || if text.is_name { Place::Name } else { Place::At(shown(text.pointer())) };
        let mut one = |secret: &[u8]| {
            if secret.len() >= settings.min_length {
                visit(prints.of(secret), &place);
            }
        };
        look(&text.text, text.name().as_deref(), Allowed::default(), &mut |found| one(found.secret));
        layers(&text.text, &mut |layer, _| {
            one(layer.trim_ascii());
            words(layer).for_each(&mut one);
        });
        ControlFlow::Continue(())
    });
}

/// Where the gateway's own secrets stand. Without the grant they are not looked for.
pub(crate) fn sightings(payload: &dyn Payload) -> Result<Vec<Sighting>, String> {
    match payload.known_secrets("") {
        Ok(sightings) => Ok(sightings),
        Err(Refusal::Denied(_)) => Ok(Vec::new()),
        Err(other) => Err(other.into()),
    }
}

/// What stands for a secret that only the gateway knows the value of. No string of a message begins with this byte.
pub(crate) fn named(known: &Sighting) -> Vec<u8> {
    [b"\xff", known.secret.as_bytes()].concat()
}

/// What stands between spaces, quotes, brackets and the marks that part names from values.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| byte.is_ascii_whitespace() || b"\"'`<>(){}[],;|&=:@?".contains(byte))
}

/// Letters and digits, and many different ones.
fn is_random(word: &[u8]) -> bool {
    let any = |test: fn(&u8) -> bool| word.iter().any(test);
    let plain = word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_+/.~-".contains(byte));
    let mut seen = [false; 128];
    word.iter().filter_map(|byte| seen.get_mut(usize::from(*byte)).map(|seen| *seen = true)).for_each(drop);
    word.len() >= SHORTEST_RANDOM
        && plain
        && any(u8::is_ascii_digit)
        && any(u8::is_ascii_alphabetic)
        && seen.iter().filter(|seen| **seen).count() >= RANDOM_VARIETY
}

#[cfg(test)]
mod tests {
    use super::is_random;

    #[test]
    fn random_strings_are_told_from_words() {
        for (word, expected) in [
            ("9f86d081884c7d659a2feaa0c55ad015", true),
            ("wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMPLEKEY", true),
            ("wJalrXUtnFEMI", false),
            ("create_pull_request_review_comment", false),
            ("11111111111111111111111a", false),
            ("abc123abc123abc123abc123", false),
            ("0123456789012345678901234", false),
        ] {
            assert_eq!(is_random(word.as_bytes()), expected, "{word}");
        }
    }
}

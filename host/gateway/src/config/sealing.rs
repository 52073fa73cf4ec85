//! The keys under which clients keep things for us: `sealing`.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use wasmgate_core::seal::{MIN_KEY_TEXT, key_of};

use crate::document::{Diagnostic, Source, Spanned};
use crate::secrets::{Secrets, Wanted, variable};

/// `sealing:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSealing {
    /// Names of secrets, each of which is a key. The first one seals, all of them open; a random one when there are none.
    pub(super) keys: Vec<Spanned<String>>,
}

/// The keys as written, the one that seals first.
pub(super) fn keys(
    raw: &RawSealing,
    secrets: &Secrets,
    source: &Source<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<SecretString> {
    let mut keys = Vec::new();
    for name in &raw.keys {
        let found = secrets.find(Wanted { name: &name.value, env: "", trusted: true });
        let (message, cure) = match found {
            Some(key) if key_of(key.expose_secret()).is_some() => {
                keys.push(key);
                continue;
            }
            Some(_) => (
                format!("the sealing key `{}` is too short", name.value),
                format!("make one of at least {MIN_KEY_TEXT} characters, with `openssl rand -base64 32`"),
            ),
            None => (
                format!("the secret `{}` was not found", name.value),
                format!("set the variable `{}`, or correct `keys`", variable(&name.value)),
            ),
        };
        problems.push(source.at(&name.referenced, &name.value, message, cure));
    }
    keys
}

impl super::Config {
    /// Whether another configuration has the same keys in the same order.
    pub fn seals_like(&self, other: &Self) -> bool {
        let texts =
            |keys: &[SecretString]| keys.iter().map(|key| key.expose_secret().to_owned()).collect::<Vec<_>>();
        texts(&self.sealing) == texts(&other.sealing)
    }
}

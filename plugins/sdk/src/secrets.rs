//! The gateway's secrets, by name: where they stand in a message, and which of them this plugin may send. Never a value.

use std::ops::Range;

#[cfg(not(target_arch = "wasm32"))]
use crate::{Leaf, Refusal};

/// Where a secret's value stands in a message. See [`crate::Call::known_secrets`]; needs the grant `find-secrets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// RFC 6901 pointer to the string that holds it.
    pub pointer: String,
    /// The secret's name.
    pub secret: String,
    /// Bytes of the unescaped string.
    pub range: Range<usize>,
}

/// The names of the secrets that this plugin may send with [`crate::http`].
#[cfg(target_arch = "wasm32")]
pub fn names() -> Vec<String> {
    crate::guest::secrets::names()
}

/// The names that [`know`] was told on this thread.
#[cfg(not(target_arch = "wasm32"))]
pub fn names() -> Vec<String> {
    KNOWN.with_borrow(|known| known.iter().map(|(name, _)| name.clone()).collect())
}

/// Makes a secret known to this thread's native tests.
#[cfg(not(target_arch = "wasm32"))]
pub fn know(name: &str, value: &str) {
    KNOWN.with_borrow_mut(|known| known.push((name.to_owned(), value.to_owned())));
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn find_in(leaves: &[Leaf]) -> Result<Vec<Sighting>, Refusal> {
    KNOWN.with_borrow(|known| {
        let mut found = Vec::new();
        for leaf in leaves {
            for (name, value) in known {
                let places = leaf.text.match_indices(value.as_str());
                found.extend(places.map(|(at, _)| Sighting {
                    pointer: leaf.pointer.clone(),
                    secret: name.clone(),
                    range: at..at + value.len(),
                }));
            }
        }
        Ok(found)
    })
}

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    static KNOWN: std::cell::RefCell<Vec<(String, String)>> = const { std::cell::RefCell::new(Vec::new()) };
}

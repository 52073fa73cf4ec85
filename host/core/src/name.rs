//! The names of things: servers here, tools and prompts in [`crate::index`].

use std::fmt;
use std::sync::Arc;

/// The name of one server, as catalogs and the command line spell it.
///
/// One to 128 characters of `A-Z a-z 0-9 . _ -`, starting with a letter or digit. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct ServerName(Arc<str>);

/// Why a text cannot be a server's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a server: use 1 to 128 letters, digits, `.`, `_` or `-`, a letter or digit first")]
pub struct BadName(String);

impl ServerName {
    /// The longest name accepted, in bytes.
    pub const MAX: usize = 128;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`BadName`] when a character, the first character or the length is not allowed.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if first && rest && name.len() <= Self::MAX {
            Ok(Self(name.into()))
        } else {
            Err(BadName(name.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form Docker's configuration files use as a key: dots become underscores.
    pub fn canonical(&self) -> String {
        self.0.replace('.', "_")
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for good in ["time", "io-github-a-b", "a.b_c", "0x"] {
            assert_eq!(ServerName::new(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", ".a", "-rm", "a/b", "a b", "é", "a\n", &"a".repeat(129)] {
            assert!(ServerName::new(bad).is_err(), "{bad:?}");
        }
    }
}

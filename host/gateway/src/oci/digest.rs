//! The name of bytes: their sha256, in the spelling of the OCI image spec (`sha256:` and 64 hexadecimal digits).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A sha256 digest. Other algorithms are refused: registries and tools do not agree on them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Text that is no digest this program uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADigest {
    /// Another algorithm.
    #[error("digests of the kind `{0}` are not supported: use `sha256:`")]
    Algorithm(String),
    /// Not an algorithm and 64 digits.
    #[error("a digest is `sha256:` and 64 lower-case hexadecimal digits")]
    Malformed,
}

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Hash::new();
        hash.update(bytes);
        hash.finish()
    }

    /// The 64 digits, without the algorithm.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A digest being computed.
pub(super) struct Hash(ring::digest::Context);

impl Hash {
    pub(super) fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Digest {
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        Digest(digest)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let (algorithm, hex) = text.split_once(':').ok_or(NotADigest::Malformed)?;
        if algorithm != "sha256" {
            let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-".contains(&b);
            let known = !algorithm.is_empty() && algorithm.len() <= 32 && algorithm.bytes().all(word);
            return Err(if known {
                NotADigest::Algorithm(algorithm.to_owned())
            } else {
                NotADigest::Malformed
            });
        }
        let mut digest = [0; 32];
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(NotADigest::Malformed);
        }
        for (to, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotADigest::Malformed)?;
            *to = u8::from_str_radix(pair, 16).map_err(|_| NotADigest::Malformed)?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_digest_everybody_computes() {
        // FIPS 180-4: the empty message and `abc`.
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert_eq!(Digest::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse(), Ok(Digest::of(b"abc")));
        assert_eq!(format!("sha256:{}", Digest::of(b"abc").hex()), abc);
    }

    #[test]
    fn what_is_no_digest_says_why() {
        let check = |text: &str, why: &str| {
            let said = text.parse::<Digest>().unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        };
        check("", "64 lower-case");
        check("sha256:abc", "64 lower-case");
        check(&format!("sha256:{}", "A".repeat(64)), "64 lower-case");
        check(&format!("sha512:{}", "a".repeat(128)), "`sha512` are not supported");
        check(&"a".repeat(64), "64 lower-case");
        check(&format!("sha256:{}é", "a".repeat(62)), "64 lower-case");
        check("SHA 256:00", "64 lower-case");
    }
}

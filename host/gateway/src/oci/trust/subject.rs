//! What a signature has to be for: the manifest that is pulled, by its digest.

use bytes::Bytes;
use ring::digest;
use sigstore_verify::types::{Artifact, ArtifactDigest, HashAlgorithm};

/// A manifest. Verified is what is pulled: the digest is that of a pinned reference or what a tag was resolved to once.
#[derive(Debug, Clone)]
pub struct Subject {
    algorithm: HashAlgorithm,
    raw: Vec<u8>,
    manifest: Option<Bytes>,
}

/// Why there is no such subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Not `sha256:` or `sha512:` with the right number of small hex digits.
    #[error("is not a digest that signatures are made for (`sha256:` and 64 hex digits)")]
    Digest,
    /// The bytes are not those of the digest.
    #[error("the manifest does not have this digest")]
    Manifest,
}

impl Subject {
    /// A manifest of which the digest is known, as in `sha256:...`.
    ///
    /// # Errors
    /// When that is no digest.
    pub fn new(digest: &str) -> Result<Self, SubjectError> {
        let (algorithm, hex) = digest.split_once(':').ok_or(SubjectError::Digest)?;
        let algorithm = match algorithm {
            "sha256" => HashAlgorithm::Sha2256,
            "sha512" => HashAlgorithm::Sha2512,
            _ => return Err(SubjectError::Digest),
        };
        let raw = bytes_of(hex).filter(|raw| raw.len() == algorithm.digest_size());
        Ok(Self { algorithm, raw: raw.ok_or(SubjectError::Digest)?, manifest: None })
    }

    /// The same with the manifest itself, for the few signatures that are made over it and not over a statement about it.
    ///
    /// # Errors
    /// When it is not the digest's.
    pub fn with_manifest(mut self, manifest: Bytes) -> Result<Self, SubjectError> {
        let algorithm =
            if self.algorithm == HashAlgorithm::Sha2512 { &digest::SHA512 } else { &digest::SHA256 };
        if digest::digest(algorithm, &manifest).as_ref() != self.raw {
            return Err(SubjectError::Manifest);
        }
        self.manifest = Some(manifest);
        Ok(self)
    }

    pub(super) fn manifest(&self) -> Option<&Bytes> {
        self.manifest.as_ref()
    }

    /// The digest as statements write it: without the algorithm, and the algorithm's name.
    pub(super) fn named(&self) -> (&'static str, String) {
        let name = if self.algorithm == HashAlgorithm::Sha2512 { "sha512" } else { "sha256" };
        (name, self.raw.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")))
    }

    pub(super) fn artifact(&self) -> Option<Artifact<'_>> {
        let digest = ArtifactDigest::new(self.algorithm, self.raw.clone()).ok()?;
        Some(Artifact::Digest(digest))
    }
}

impl From<crate::oci::Digest> for Subject {
    fn from(digest: crate::oci::Digest) -> Self {
        let raw = bytes_of(&digest.hex()).unwrap_or_default();
        Self { algorithm: HashAlgorithm::Sha2256, raw, manifest: None }
    }
}

/// The bytes that small hex digits stand for.
pub(super) fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let nibble = |c: &u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let pairs = hex.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some((nibble(pair.first()?)? << 4) | nibble(pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_digest_and_perhaps_the_manifest_of_it() {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let subject = Subject::new(abc).expect("a digest");
        assert_eq!(subject.named().1, abc[7..]);
        assert!(subject.clone().with_manifest(Bytes::from_static(b"abc")).is_ok());
        let other = subject.with_manifest(Bytes::from_static(b"abd"));
        assert_eq!(other.map(|_| ()), Err(SubjectError::Manifest));
        for wrong in ["", "abc", "sha256:", "sha256:ba78", &abc.to_uppercase(), &abc.replace("sha256", "md5")]
        {
            assert_eq!(Subject::new(wrong).map(|_| ()), Err(SubjectError::Digest), "{wrong}");
        }
        assert_eq!(Subject::new(&format!("{abc}0")).map(|_| ()), Err(SubjectError::Digest));
    }
}

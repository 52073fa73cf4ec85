//! The name of something in a registry, in Docker's spelling: `host/repository:tag@sha256:...`.
//!
//! What is written is completed as Docker does: no host means Docker Hub, one word there is in `library`, nothing after the
//! name means `latest`. [`Reference`]'s text is the completed form, so two spellings of one thing are one text. Grammar:
//! the `distribution/reference` package, which the OCI distribution spec's names are a part of.

mod parse;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

pub use self::parse::NotAReference;

/// The registry of artifacts that are only in the store of this machine. Nothing of it is ever asked of the network.
pub const LOCAL: &str = "wasmgate.local";

/// Docker Hub, as references name it.
pub(super) const HUB: &str = "docker.io";

/// A complete reference: it names a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a reference; a leading `oci://` may be there or not.
    ///
    /// # Errors
    /// [`NotAReference`] says which part is wrong and what belongs there.
    pub fn parse(text: &str) -> Result<Self, NotAReference> {
        parse::parse(text)
    }

    /// The reference of an artifact that is only in the store: `wasmgate.local/<name>:<version>@<digest>`. Characters that
    /// names and tags cannot have become `-` in the name and `_` in the version; what is left of nothing is `artifact`
    /// and `latest`.
    pub fn local(name: &str, version: &str, digest: Digest) -> Self {
        Self {
            registry: LOCAL.to_owned(),
            repository: parse::as_repository(name),
            tag: Some(parse::as_tag(version)),
            digest: Some(digest),
        }
    }

    /// Host and port of the registry, as references name it (`docker.io` for Docker Hub).
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one is named.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is named. It decides; a tag beside it is for people.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Whether it is of the local namespace, which never touches the network.
    pub fn is_local(&self) -> bool {
        self.registry == LOCAL
    }

    /// The same name, pinned to a digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// `host/repository@sha256:...`: what is wanted when a lock or a log names one thing for ever.
    #[must_use]
    pub fn only(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Another tag of the same repository.
    pub(super) fn tagged(&self, tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() }
    }

    /// What the registry is asked for: the digest if there is one, else the tag.
    pub(super) fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_else(|| "latest".to_owned()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = NotAReference;

    fn try_from(text: String) -> Result<Self, NotAReference> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests;

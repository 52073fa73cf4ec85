//! What an artifact is made of, and the two layouts this program writes and reads:
//!
//! - Docker's for catalogs, servers and profiles: one JSON document as the only layer, an empty configuration, no
//!   annotations, no time;
//! - the CNCF's for components ("Wasm OCI Artifact layout"): one `application/wasm` layer and a configuration that lists
//!   imports and exports.
//!
//! Both are written the same way every time, so one content has one digest. Nothing here touches network or disk.

mod component;
mod docker;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::digest::Digest;
use super::manifest::{Descriptor, Manifest};

pub use self::component::{Component, Layout};
pub use self::docker::DockerKind;

/// A manifest and all its bytes. One that came from a registry or the store has been checked against its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Of the manifest.
    pub digest: Digest,
    /// The manifest as published.
    pub bytes: Bytes,
    /// The manifest as read.
    pub manifest: Manifest,
    /// The configuration blob.
    pub config: Bytes,
    /// The layers, as many as the manifest has and in its order.
    pub layers: Vec<Bytes>,
}

/// What any artifact is built from.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Its `artifactType`, if it has one of its own.
    pub artifact_type: Option<String>,
    /// Media type and bytes of the configuration. [`Parts::EMPTY`] when there is nothing to say.
    pub config: (String, Bytes),
    /// Media type and bytes of every layer.
    pub layers: Vec<(String, Bytes)>,
    /// What it is about.
    pub subject: Option<Descriptor>,
    /// For people and lists.
    pub annotations: BTreeMap<String, String>,
}

/// Why an artifact is not what it is taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotThat {
    /// It is of another kind.
    #[error("it is of the kind `{found}`, where {wanted} is wanted")]
    Kind {
        /// As the manifest says.
        found: String,
        /// In words.
        wanted: &'static str,
    },
    /// It has not exactly one layer.
    #[error("it has {0} layers where there is one in the layout")]
    Layers(usize),
    /// Its layer is of another type.
    #[error("its layer is `{found}`, where `{wanted}` is wanted")]
    Layer {
        /// As the manifest says.
        found: String,
        /// As the layout says.
        wanted: &'static str,
    },
    /// Its bytes are not what their type says.
    #[error("its {what} is not what its type says: {why}")]
    Content {
        /// `layer` or `configuration`.
        what: &'static str,
        /// In words.
        why: String,
    },
}

impl Parts {
    /// The configuration of an artifact that has none (OCI image spec, "Guidance for an Empty Descriptor").
    pub const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");

    /// The artifact of these parts.
    pub fn build(self) -> Artifact {
        let config = Descriptor::of(&self.config.0, &self.config.1);
        let layers = self.layers.iter().map(|(kind, bytes)| Descriptor::of(kind, bytes)).collect();
        let mut manifest = Manifest::new(self.artifact_type.as_deref(), config, layers);
        manifest.subject = self.subject;
        manifest.annotations = self.annotations;
        let bytes = Bytes::from(manifest.write());
        let layers = self.layers.into_iter().map(|(_, bytes)| bytes).collect();
        Artifact { digest: Digest::of(&bytes), bytes, manifest, config: self.config.1, layers }
    }
}

impl Artifact {
    /// What kind of artifact it is: its `artifactType`, else the media type of its configuration.
    pub fn kind(&self) -> &str {
        self.manifest.kind()
    }

    /// How another manifest names this one as its subject.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            artifact_type: Some(self.kind().to_owned()),
            annotations: self.manifest.annotations.clone(),
            ..Descriptor::of(self.manifest.media_type(), &self.bytes)
        }
    }

    /// The only layer and its media type.
    fn only_layer(&self) -> Result<(&str, &Bytes), NotThat> {
        match (self.manifest.layers.as_slice(), self.layers.as_slice()) {
            ([about], [bytes]) => Ok((&about.media_type, bytes)),
            (layers, _) => Err(NotThat::Layers(layers.len())),
        }
    }
}

#[cfg(test)]
mod tests;

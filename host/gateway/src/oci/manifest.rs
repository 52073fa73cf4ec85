//! Manifests of the OCI image spec 1.1: read with suspicion, written the same way every time.
//!
//! Writing is deterministic: members in the order in which Docker's tools write them, no white space, no time. So the same
//! content has the same digest on any machine. What is read keeps its own bytes; nothing is ever written again to be
//! digested.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// A manifest of the OCI image spec.
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An index of the OCI image spec: several manifests.
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's manifest, version 2 schema 2.
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a manifest, or a list of referrers, says about other bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Of the content.
    pub media_type: String,
    /// Of the bytes.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// What it is for, as its publisher says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where else the bytes are said to be. Never followed; a layer with any is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Of an artifact, in a list of referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Describes these bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
            artifact_type: None,
        }
    }
}

/// An image manifest, which is also what artifacts have. The order of the members is the order they are written in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    /// [`OCI_MANIFEST`] or [`DOCKER_MANIFEST`]; some publishers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    /// What kind of artifact it is, if it says so itself; else the config's media type does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The content, in order.
    pub layers: Vec<Descriptor>,
    /// What it is about: signatures and the like name the manifest they belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// For people and lists. Never trusted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Why bytes are no manifest this program takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Several manifests, one for each platform.
    #[error("it is an index of several manifests (a container image, probably), not an artifact")]
    Index,
    /// Of a kind that is not known.
    #[error("its media type `{0}` is not that of a manifest")]
    MediaType(String),
    /// Not what the specification says.
    #[error("it is not a manifest of the OCI image spec: {0}")]
    Malformed(String),
    /// The registry says one type and the manifest another, so tools would read it differently.
    #[error("it is served as `{served}` but calls itself `{own}`")]
    TwoTypes {
        /// The response's `Content-Type`.
        served: String,
        /// The manifest's own `mediaType`.
        own: String,
    },
    /// A layer that is to be fetched from elsewhere.
    #[error("a layer is to be fetched from another address (`urls`), which is not allowed")]
    ForeignLayer,
    /// More layers than what was asked for has.
    #[error("it has {found} layers where at most {most} are expected")]
    Layers {
        /// In the manifest.
        found: usize,
        /// Of what was asked for.
        most: usize,
    },
}

impl Manifest {
    /// A manifest of this configuration and these layers.
    pub fn new(artifact_type: Option<&str>, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            artifact_type: artifact_type.map(str::to_owned),
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Reads the bytes of a manifest that was served as `served`.
    ///
    /// # Errors
    /// [`ManifestError`] when it is none, or has a layer that would be fetched from elsewhere.
    pub fn read(bytes: &[u8], served: Option<&str>) -> Result<Self, ManifestError> {
        let kind: Kind = serde_json::from_slice(bytes).map_err(malformed)?;
        let own = kind.media_type.as_deref();
        if let (Some(served), Some(own)) = (served.filter(|served| is_manifest(served)), own)
            && served != own
        {
            return Err(ManifestError::TwoTypes { served: served.to_owned(), own: own.to_owned() });
        }
        match own.or(served) {
            Some(OCI_INDEX | DOCKER_INDEX) => return Err(ManifestError::Index),
            None if kind.manifests.is_some() => return Err(ManifestError::Index),
            Some(other) if !is_manifest(other) && own.is_some() => {
                return Err(ManifestError::MediaType(other.to_owned()));
            }
            _ => {}
        }
        if kind.manifests.is_some() {
            return Err(ManifestError::Malformed("it has `manifests` as an index has".to_owned()));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        if manifest.schema_version != 2 {
            return Err(ManifestError::Malformed(format!("schemaVersion {}", manifest.schema_version)));
        }
        if manifest.blobs().any(|blob| !blob.urls.is_empty()) {
            return Err(ManifestError::ForeignLayer);
        }
        Ok(manifest)
    }

    /// The bytes it is published as.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What kind of artifact it is: its own word, else the media type of its configuration (OCI image spec, "Guidelines
    /// for Artifact Usage").
    pub fn kind(&self) -> &str {
        self.artifact_type.as_deref().unwrap_or(&self.config.media_type)
    }

    /// The media type it is published with.
    pub fn media_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(OCI_MANIFEST)
    }

    /// Configuration and layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// The sum of what configuration and layers are said to have.
    pub fn size(&self) -> u64 {
        self.blobs().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}

/// An index of manifests: what a list of referrers is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    pub(super) manifests: Vec<Descriptor>,
}

impl Index {
    pub(super) fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        serde_json::from_slice(bytes).map_err(malformed)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The bytes of an index with one more manifest; nothing when it is there already. What others wrote into the index
    /// stays, also what this program does not know.
    pub(super) fn with(bytes: &[u8], manifest: &Descriptor) -> Result<Option<Vec<u8>>, ManifestError> {
        if Self::read(bytes)?.manifests.iter().any(|known| known.digest == manifest.digest) {
            return Ok(None);
        }
        let mut index: serde_json::Value = serde_json::from_slice(bytes).map_err(malformed)?;
        let entry = serde_json::to_value(manifest).map_err(malformed)?;
        if let Some(manifests) = index.get_mut("manifests").and_then(serde_json::Value::as_array_mut) {
            manifests.push(entry);
        }
        serde_json::to_vec(&index).map(Some).map_err(malformed)
    }
}

/// What tells manifests and indexes apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

fn is_manifest(media_type: &str) -> bool {
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX].contains(&media_type)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn malformed(error: serde_json::Error) -> ManifestError {
    ManifestError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let layers = vec![Descriptor::of("application/json", b"{}")];
        let manifest = Manifest::new(Some("a/b"), Descriptor::of("c/d", b"{}"), layers);
        let mut value = serde_json::to_value(&manifest).unwrap();
        change(&mut value);
        serde_json::to_vec(&value).unwrap()
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut serde_json::Value), why: &str) {
        let error = Manifest::read(&text(change), None).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = text(|_| {});
        let manifest = Manifest::read(&bytes, Some(OCI_MANIFEST)).unwrap();
        assert_eq!(manifest.write(), bytes);
        assert_eq!((manifest.kind(), manifest.size()), ("a/b", 4));
        let plain =
            Manifest::read(&text(|it| drop(it.as_object_mut().unwrap().remove("artifactType"))), None);
        assert_eq!(plain.unwrap().kind(), "c/d");
        let without = text(|it| drop(it.as_object_mut().unwrap().remove("mediaType")));
        assert!(Manifest::read(&without, None).is_ok(), "older tools leave the media type out");
        assert!(Manifest::read(&without, Some("text/plain")).is_ok(), "careless servers");
    }

    #[test]
    fn an_index_gets_one_more_and_keeps_what_it_has() {
        let entry = Descriptor::of("a/b", b"1");
        let text = r#"{"schemaVersion":2,"manifests":[],"annotations":{"of":"others"}}"#;
        let longer = Index::with(text.as_bytes(), &entry).unwrap().unwrap();
        assert_eq!(Index::read(&longer).unwrap().manifests.first(), Some(&entry));
        assert!(std::str::from_utf8(&longer).unwrap().contains(r#"{"of":"others"}"#));
        assert_eq!(Index::with(&longer, &entry), Ok(None));
        assert!(Index::with(b"{}", &entry).is_err());
    }

    #[test]
    fn what_is_no_manifest_says_why() {
        refused(|it| it["mediaType"] = OCI_INDEX.into(), "index of several");
        refused(|it| it["mediaType"] = DOCKER_INDEX.into(), "index of several");
        refused(|it| it["mediaType"] = "text/plain".into(), "`text/plain`");
        refused(|it| it["manifests"] = serde_json::json!([]), "`manifests`");
        refused(|it| it["schemaVersion"] = 1.into(), "schemaVersion 1");
        refused(|it| it["layers"][0]["urls"] = serde_json::json!(["https://x/"]), "another address");
        refused(|it| it["layers"][0]["digest"] = "md5:00".into(), "not supported");
        refused(|it| it["layers"][0]["size"] = (-1).into(), "not a manifest");
        refused(|it| drop(it.as_object_mut().unwrap().remove("config")), "config");
        let two = Manifest::read(&text(|_| {}), Some(DOCKER_MANIFEST));
        assert!(matches!(two, Err(ManifestError::TwoTypes { .. })));
        assert!(matches!(Manifest::read(b"<html>", None), Err(ManifestError::Malformed(_))));
    }
}

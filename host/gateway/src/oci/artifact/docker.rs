//! Docker's layout for MCP artifacts, which its gateway pushes and pulls.

use bytes::Bytes;

use super::{Artifact, NotThat, Parts};

/// What a Docker MCP artifact holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerKind {
    /// One server of the official registry's format, in a list (`run --oci-ref`).
    Server,
    /// A catalog.
    Catalog,
    /// A profile ("working set").
    Profile,
}

impl DockerKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Server, Self::Catalog, Self::Profile];

    /// Its `artifactType`.
    pub const fn artifact_type(self) -> &'static str {
        match self {
            Self::Server => "application/vnd.docker.mcp.server",
            Self::Catalog => "application/vnd.docker.mcp.catalog.v1+json",
            Self::Profile => "application/vnd.docker.mcp.profile.v1+json",
        }
    }

    /// The kind with this `artifactType`.
    pub fn of(artifact_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.artifact_type() == artifact_type)
    }
}

impl Artifact {
    /// An artifact of Docker's layout. The document's bytes decide its digest: a caller that wants one digest for one
    /// content writes them canonically.
    ///
    /// # Errors
    /// [`NotThat::Content`] when the document is not JSON.
    pub fn docker(kind: DockerKind, document: impl Into<Bytes>) -> Result<Self, NotThat> {
        let document = document.into();
        check_json(&document)?;
        let (config, empty) = Parts::EMPTY;
        let parts = Parts {
            artifact_type: Some(kind.artifact_type().to_owned()),
            config: (config.to_owned(), Bytes::from_static(empty)),
            layers: vec![(JSON.to_owned(), document)],
            ..Parts::default()
        };
        Ok(parts.build())
    }

    /// The document of an artifact of Docker's layout.
    ///
    /// # Errors
    /// [`NotThat`] when it is of another kind or layout.
    pub fn document(&self) -> Result<(DockerKind, &Bytes), NotThat> {
        let wanted = "a catalog, a server or a profile";
        let other = || NotThat::Kind { found: self.kind().to_owned(), wanted };
        let kind = DockerKind::of(self.kind()).ok_or_else(other)?;
        let (media_type, document) = self.only_layer()?;
        if media_type != JSON {
            return Err(NotThat::Layer { found: media_type.to_owned(), wanted: JSON });
        }
        check_json(document)?;
        Ok((kind, document))
    }
}

fn check_json(document: &[u8]) -> Result<(), NotThat> {
    let read: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(document);
    read.map(drop).map_err(|error| NotThat::Content { what: "layer", why: error.to_string() })
}

const JSON: &str = "application/json";

//! `wasmgate catalog`: catalogs as files and as artifacts. Stdout has the result; what was left out is said on stderr.

mod create;
mod ls;
mod pull;
mod push;
mod show;

use std::path::Path;

use super::{Failed, output};
use crate::app::Publication;
use crate::oci::{Artifact, Reference};

/// Make catalogs of servers, look into them, and bring them to and from registries.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Catalog {
    /// Make a catalog of servers of any source.
    Create(create::Create),
    /// Show the servers of a catalog.
    Show(show::Show),
    /// Push a catalog to a registry.
    Push(push::Push),
    /// Pull a catalog from a registry.
    Pull(pull::Pull),
    /// List the catalogs of this machine.
    Ls(ls::Ls),
}

impl Catalog {
    pub(super) fn run(self) -> Result<(), Failed> {
        match self {
            Self::Create(create) => create.run(),
            Self::Show(show) => show.run(),
            Self::Push(push) => push.run(),
            Self::Pull(pull) => pull.run(),
            Self::Ls(ls) => ls.run(),
        }
    }
}

/// A reference of the command line.
fn reference(written: &str) -> Result<Reference, Failed> {
    Reference::parse(written).map_err(|error| Failed::Usage(error.to_string()))
}

/// Whether a target on the command line is a file.
fn is_file(written: &str) -> bool {
    let path = Path::new(written);
    let extension = path.extension().and_then(|extension| extension.to_str());
    !written.contains("://") && matches!(extension, Some("yaml" | "yml" | "json"))
}

/// The artifact of a publication, after saying what is not in it.
fn left_out(publication: Publication) -> Artifact {
    let lines: Vec<String> =
        publication.left_out.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
    output::notes("left out", &lines);
    output::note(&format!("{} servers", publication.servers));
    publication.artifact
}

/// Writes an artifact's document where people can read it: indented.
fn write(path: &str, artifact: &Artifact) -> Result<(), Failed> {
    let (_, document) = artifact.document().map_err(|error| Failed::Work(error.to_string()))?;
    let document: serde_json::Value = serde_json::from_slice(document)
        .map_err(|error| Failed::Work(format!("its document cannot be read: {error}")))?;
    // A file that the operator names is the operator's: it may name programs. What came from elsewhere may not.
    let items = document.get("servers").and_then(serde_json::Value::as_array).into_iter().flatten();
    if items.into_iter().any(|item| item.pointer("/snapshot/server/process").is_some()) {
        let message =
            format!("it is not written to {path}: from that file it could run programs of this machine");
        return Err(Failed::Work(message));
    }
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    output::write_file(Path::new(path), text.as_bytes())
}

//! `wasmgate server import`: one server of a catalog source as an artifact that any gateway runs.
//!
//! The artifact is a function of the server alone: the source's document says nothing that changes while the server does
//! not, and it is written in one way only. So the same server has the same digest everywhere.

use serde_json::Value as Json;
use wasmgate_core::json::Json as Named;
use wasmgate_core::name::ServerName;
use wasmgate_wasm::{SourcePage, SourceRefused, SourceServer};

use super::bare_world;
use super::plugins::{Plugins, chain};
use super::supply::{self, Supplier};
use crate::catalog::{Origin, artifact, file};
use crate::config::{Missing, Needs};
use crate::document::Source;
use crate::oci::artifact::DockerKind;
use crate::oci::{Artifact, Digest, Progress, Reference};

/// A server, imported.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Its name.
    pub name: ServerName,
    /// Its version; empty when it has none.
    pub version: String,
    /// Where it comes from.
    pub provenance: String,
    /// What people should know.
    pub notes: Vec<String>,
    /// Its entry.
    pub entry: serde_json::Map<String, Json>,
    /// The artifact.
    pub artifact: Artifact,
}

/// Where an imported server goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// Into the store of this machine, under a name that is never asked for elsewhere.
    Local,
    /// Into the store, under the name it would be pushed to.
    Store(Reference),
    /// Into a registry.
    Push(Reference),
}

/// Imports a server. `reference` is a URL, a name with or without version, or a document (`data:`).
///
/// # Errors
/// A sentence: what is wrong with the reference, the source or the server.
pub async fn import(needs: &Needs, reference: &str) -> Result<Imported, String> {
    let mut plugins = Plugins::new(bare_world(), &needs.environment);
    let supplier = Supplier::new(needs, &mut plugins);
    let reference = match reference.contains("://") || reference.starts_with("data:") {
        true => reference.to_owned(),
        false => format!("registry://{reference}"),
    };
    let unknown = |missing: Missing| format!("`{}` {}", supply::shown(&reference), missing.words());
    let source = supplier.claiming(&reference).await.map_err(unknown)?;
    let source = source.ok_or_else(|| unknown(supplier.unclaimed(&reference)))?;
    let page = supply::first_page(&source.source, &reference).await;
    let server = only(
        page.map_err(|missing| format!("`{}` {}", supply::shown(&reference), missing.words()))?,
        &reference,
    )?;
    imported(server)
}

/// The one server of a page.
fn only(page: SourcePage, reference: &str) -> Result<SourceServer, String> {
    let several = || {
        let message = "stands for more than one server: name one, or use `wasmgate catalog create`";
        Err(format!("`{}` {message}", supply::shown(reference)))
    };
    let SourcePage { mut servers, mut refused, next, .. } = page;
    if servers.len() + refused.len() > 1 || next.is_some() {
        return several();
    }
    match (servers.pop(), refused.pop()) {
        (Some(server), _) => Ok(server),
        (None, Some(SourceRefused { name, version, reason })) => {
            let version = if version.is_empty() { String::new() } else { format!("@{version}") };
            Err(format!("`{name}{version}` cannot be imported: {reason}"))
        }
        (None, None) => Err(format!("`{}` stands for no server", supply::shown(reference))),
    }
}

fn imported(server: SourceServer) -> Result<Imported, String> {
    let SourceServer { name, version, document, provenance, notes } = server;
    let refused = |why: &dyn std::fmt::Display| format!("`{name}` cannot be imported: {why}");
    let text =
        format!("{{\"servers\":[{}]}}", document.with_member("name", &Named::of(name.as_str())).as_str());
    let source = Source { file: name.as_str(), text: &text };
    let catalog = file::read(&source, Origin::Elsewhere).map_err(|problem| refused(&problem.message))?;
    let listed = catalog.servers.into_iter().next().ok_or_else(|| refused(&"it says nothing"))?;
    let entry = listed.document.as_object().cloned().unwrap_or_default();
    let title = entry.get("title").and_then(Json::as_str).unwrap_or(name.as_str()).to_owned();
    let written = artifact::write(&title, [&listed]).map_err(|error| refused(&chain(&error)))?;
    if let Some((_, why)) = written.left_out.first() {
        return Err(refused(why));
    }
    let artifact = Artifact::docker(DockerKind::Catalog, written.text).map_err(|error| refused(&error))?;
    Ok(Imported { name, version, provenance, notes, entry, artifact })
}

/// Puts an imported server where it belongs and gives the reference by which `run --oci-ref` finds it.
///
/// # Errors
/// A sentence.
pub async fn put(
    imported: &Imported,
    target: &Target,
    needs: &Needs,
    progress: Option<Progress>,
) -> Result<String, String> {
    let Imported { name, version, artifact, .. } = imported;
    let registry = registry(needs, progress).map_err(|missing| missing.words())?;
    match target {
        Target::Local => {
            let version = if version.is_empty() { "latest" } else { version };
            let kept = registry.store().keep_local(name.as_str(), version, artifact);
            kept.map(|reference| reference.to_string()).map_err(|error| chain(&error))
        }
        Target::Store(reference) => {
            registry.store().keep(reference, artifact).map_err(|error| chain(&error))?;
            Ok(reference.pinned(artifact.digest).to_string())
        }
        Target::Push(reference) => {
            let digest: Digest = registry.push(reference, artifact).await.map_err(|error| chain(&error))?;
            Ok(reference.only(digest).to_string())
        }
    }
}

/// The registries of a configuration, for one command.
pub(crate) fn registry(needs: &Needs, progress: Option<Progress>) -> Result<crate::oci::Registry, Missing> {
    let plugins = Plugins::new(bare_world(), &needs.environment);
    let registry = plugins.artifacts().registry(&needs.distribution)?;
    Ok(match progress {
        Some(progress) => registry.with_progress(progress),
        None => registry,
    })
}

//! Catalogs as things of their own: gathered from any source, kept, published, looked into. What `wasmgate catalog` needs.

use std::path::Path;

use wasmgate_core::name::ServerName;

use super::bare_world;
use super::import::registry;
use super::plugins::{Plugins, chain};
use super::supply::{Supplier, inline};
use crate::catalog::{Catalog, Listed, Origin, artifact, file};
use crate::config::{Needs, Wanted};
use crate::document::{Source, render};
use crate::oci::artifact::DockerKind;
use crate::oci::{Artifact, Digest, Freshness, Most, Progress, Reference};

/// Servers gathered from catalogs.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// In the order they were found; a later one takes the place of an earlier one of its name.
    pub servers: Vec<Listed>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// Which servers of a catalog.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Names with `*`; all when empty.
    pub only: Vec<String>,
    /// Names with `*`.
    pub without: Vec<String>,
}

/// Reads catalogs (files, `oci://`, `https://`, whatever a catalog source answers) and chooses among their servers.
///
/// # Errors
/// A sentence: a catalog that cannot be read, a pattern that matches nothing.
pub async fn gather(needs: &Needs, from: &[String], choice: &Choice) -> Result<Gathered, String> {
    let mut plugins = Plugins::new(bare_world(), &needs.environment);
    let supplier = Supplier::new(needs, &mut plugins);
    let mut gathered = Gathered::default();
    for reference in from {
        let catalog = read(&supplier, reference, needs.distribution.documents.catalog).await?;
        gathered.warnings.extend(catalog.warnings.iter().map(|warning| format!("{reference}: {warning}")));
        for listed in catalog.servers {
            gathered.servers.retain(|known| known.name != listed.name);
            gathered.servers.push(listed);
        }
    }
    choose(gathered, choice)
}

async fn read(supplier: &Supplier<'_>, reference: &str, most: u64) -> Result<Catalog, String> {
    if is_path(reference) {
        let text = text_of(reference, most)?;
        if is_of_registry(&text) {
            return fetched(supplier, reference, inline(text.as_bytes())).await;
        }
        let source = Source { file: reference, text: &text };
        return file::read(&source, Origin::File).map_err(|problem| render(&problem));
    }
    let named =
        if reference.contains("://") { reference.to_owned() } else { format!("registry://{reference}") };
    fetched(supplier, reference, named).await
}

/// A catalog that comes from elsewhere; `reference` is what people know it by.
async fn fetched(supplier: &Supplier<'_>, reference: &str, named: String) -> Result<Catalog, String> {
    let supply = supplier.one(&Wanted { reference: named, locked: false }).await;
    let supply = supply.map_err(|missing| format!("`{reference}` {}", missing.words()))?;
    supply.catalog(reference).map_err(|problem| render(&problem))
}

/// Whether a person means a file: it is there, or is written as paths are and names of servers are not.
pub fn is_path(written: &str) -> bool {
    let path = Path::new(written);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let looks = written.starts_with(['.', '/', '~']) || matches!(extension, Some("json" | "yaml" | "yml"));
    !written.contains("://") && !written.starts_with("data:") && (looks || path.is_file())
}

fn text_of(path: &str, most: u64) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("{path} cannot be read: {error}");
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > most {
        return Err(format!("{path} has {size} bytes, and {most} are the most (`limits.documents.catalog`)"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Whether a file is in the official registry's own format, a server or a list of them, which a catalog source reads.
fn is_of_registry(text: &str) -> bool {
    let Ok(document) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    let is_server = |server: &serde_json::Value| {
        server.get("name").is_some() && (server.get("packages").is_some() || server.get("remotes").is_some())
    };
    let first = document.pointer("/servers/0/server").or_else(|| document.get("server"));
    is_server(first.unwrap_or(&document))
}

/// Keeps what is chosen. A pattern that matches nothing is a slip.
fn choose(mut gathered: Gathered, choice: &Choice) -> Result<Gathered, String> {
    let names: Vec<String> = gathered.servers.iter().map(|server| server.name.to_string()).collect();
    for pattern in choice.only.iter().chain(&choice.without) {
        if !names.iter().any(|name| fits(pattern, name)) {
            let near = crate::document::closest(pattern, names.iter().map(String::as_str));
            let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("no server is called `{pattern}`{near}"));
        }
    }
    let wanted = |name: &ServerName| {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, name.as_str()));
        (choice.only.is_empty() || any(&choice.only)) && !any(&choice.without)
    };
    gathered.servers.retain(|server| wanted(&server.name));
    Ok(gathered)
}

/// Whether a name fits a pattern, `*` standing for any run of characters.
fn fits(pattern: &str, name: &str) -> bool {
    wasmgate_core::pipeline::Pattern::new(pattern).matches(name)
}

/// A catalog that can be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The artifact.
    pub artifact: Artifact,
    /// How many servers it has.
    pub servers: usize,
    /// Servers that are not in it, and why.
    pub left_out: Vec<(String, String)>,
}

/// The artifact of a catalog of these servers.
///
/// # Errors
/// A sentence: no title, no server.
pub fn publication(title: &str, servers: &[Listed]) -> Result<Publication, String> {
    let written = artifact::write(title, servers).map_err(|error| chain(&error))?;
    let left_out: Vec<_> = written.left_out.into_iter().map(|(name, why)| (name, why.to_string())).collect();
    let count = servers.len().saturating_sub(left_out.len());
    if count == 0 {
        let first = left_out.first().map(|(name, why)| format!(": `{name}`: {why}")).unwrap_or_default();
        return Err(format!("there is no server to publish{first}"));
    }
    let artifact = Artifact::docker(DockerKind::Catalog, written.text).map_err(|error| error.to_string())?;
    Ok(Publication { artifact, servers: count, left_out })
}

/// Keeps an artifact in the store of this machine, under the name it would be pushed to.
///
/// # Errors
/// A sentence.
pub fn keep(needs: &Needs, reference: &Reference, artifact: &Artifact) -> Result<(), String> {
    let registry = registry(needs, None).map_err(|missing| missing.words())?;
    registry.store().keep(reference, artifact).map(drop).map_err(|error| chain(&error))
}

/// Pushes an artifact that is in the store, or that was just made.
///
/// # Errors
/// A sentence.
pub async fn push(
    needs: &Needs,
    reference: &Reference,
    artifact: &Artifact,
    progress: Option<Progress>,
) -> Result<Digest, String> {
    let registry = registry(needs, progress).map_err(|missing| missing.words())?;
    registry.push(reference, artifact).await.map_err(|error| chain(&error))
}

/// The catalog, profile or server of a reference, from the store alone or from its registry.
///
/// # Errors
/// A sentence.
pub async fn catalog_of(
    needs: &Needs,
    reference: &Reference,
    freshness: Freshness,
    progress: Option<Progress>,
) -> Result<Artifact, String> {
    let artifacts = Plugins::new(bare_world(), &needs.environment).artifacts();
    let most = Most::bytes(needs.distribution.documents.catalog);
    let pulled = match freshness {
        Freshness::Offline => artifacts.kept(reference, &needs.distribution, most).await,
        _ => artifacts.pull(reference, &needs.distribution, (freshness, most), progress).await,
    };
    let artifact = pulled.map_err(|missing| format!("`{reference}` {}", missing.words()))?.artifact;
    artifact.document().map_err(|error| format!("`{reference}`: {error}"))?;
    Ok(artifact)
}

//! From server.json, as MCP registries list servers, to an entry of a catalog: pure, and a function of server.json alone, so
//! that the same server always makes the same document. Shared by catalog sources; no plugin itself. The rules are in the
//! README of `official-registry`.
//!
//! Read [`import`] first: it takes what a registry lists, chooses one of the packages and remotes that the server is offered
//! as, and says in notes what it passed over and why.

mod argument;
mod candidate;
mod docker;
mod endpoint;
mod environment;
mod input;
mod model;
mod node;
mod oci;
mod reason;
mod remote;
mod wrapped;

use catalog_entry::{Entry, server_name};
use serde_json::{Value as Json, json};

pub use candidate::Preference;
pub use node::Node;

use candidate::Candidate;
use model::{Server, is_web};
use reason::Reason;

/// What an operator decides about the mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// In which order forms of a server are preferred; those that are not listed come after.
    pub prefer: Vec<Preference>,
    /// The image that npm packages run in.
    pub npm_image: String,
    /// The image that PyPI packages run in.
    pub pypi_image: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefer: Preference::ALL.to_vec(),
            npm_image: "node:24-bookworm-slim".to_owned(),
            pypi_image: "ghcr.io/astral-sh/uv:python3.14-bookworm-slim".to_owned(),
        }
    }
}

/// A server as a catalog has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Its name in catalogs.
    pub name: String,
    /// Its name in the registry.
    pub registry_name: String,
    /// Its version; empty where it has none.
    pub version: String,
    /// The entry, its members sorted.
    pub document: Json,
    /// What people should know.
    pub notes: Vec<String>,
}

/// A server that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its name, as the registry spells it; may be empty.
    pub name: String,
    /// Its version; empty where it has none.
    pub version: String,
    /// Why.
    pub reason: String,
    /// Whether the registry has deleted it.
    pub deleted: bool,
}

/// Maps one server: server.json alone, or wrapped as the registry's answers and Docker's artifacts have it
/// (`{server, _meta}`).
///
/// # Errors
/// [`Refused`], with a reason that a person understands.
pub fn import(document: &Json, settings: &Settings) -> Result<Imported, Refused> {
    let root = Node::root(document);
    let wrapped = root.member("server");
    let node = if wrapped.is_there() { wrapped } else { root };
    let server = Server::read(node);
    let refused = |reason: Reason| Refused {
        name: server.name.clone(),
        version: server.version.clone(),
        reason: reason.0,
        deleted: false,
    };
    let name = checked_name(&server).map_err(refused)?;
    let status = status(root, node).map_err(|reason| Refused { deleted: true, ..refused(reason) })?;
    let entry = about(Entry::new(&name), &server, status);
    let (entry, chosen) = candidate::choose(&server, settings, &entry).map_err(refused)?;
    let (document, notes) = finish(entry, chosen);
    Ok(Imported { name, registry_name: server.name, version: server.version, document, notes })
}

fn checked_name(server: &Server) -> Result<String, Reason> {
    let name = &server.name;
    if name.is_empty() {
        return Err(Reason::new("it has no name"));
    }
    let word = |part: &str, more: &[char]| {
        let end = |c: char| c.is_ascii_alphanumeric();
        part.starts_with(end) && part.ends_with(end) && part.chars().all(|c| end(c) || more.contains(&c))
    };
    let plain = match name.split_once('/') {
        Some((namespace, own)) => word(namespace, &['.', '-']) && word(own, &['.', '_', '-']),
        // What Docker's gateway packed needs no namespace.
        None => word(name, &['.', '_', '-']),
    };
    if !plain || name.len() > 200 {
        return Err(Reason::new(format!("its name `{name}` is not of the form `namespace/name`")));
    }
    if server.version.chars().any(char::is_control) || server.version.len() > 255 {
        return Err(Reason::new("its version is not a version"));
    }
    server_name(name).map_err(|bad| Reason::new(bad.0))
}

/// What the registry says about it: nothing, or what people should know.
fn status(root: Node<'_>, server: Node<'_>) -> Result<Option<String>, Reason> {
    let official = root.member("_meta").member("io.modelcontextprotocol.registry/official");
    let old = root.member("x-io.modelcontextprotocol.registry");
    let word = [official.member("status"), old.member("status"), server.member("status")];
    let word = word.into_iter().find_map(Node::text).unwrap_or_default();
    let message = official.any(&["statusMessage"]).text().or_else(|| server.member("statusMessage").text());
    let said = message.map(|message| format!(": {message}")).unwrap_or_default();
    match word.as_str() {
        "deleted" => Err(Reason::new(format!("it is deleted in the registry{said}"))),
        "deprecated" => Ok(Some(format!("it is deprecated{said}"))),
        _ => Ok(None),
    }
}

/// What the document says for people.
fn about(mut entry: Entry, server: &Server, status: Option<String>) -> Entry {
    if let Some(status) = status {
        entry.note(status);
    }
    if server.version == "latest" {
        entry.note("its version is `latest`, which says nothing about what runs");
    }
    let icon = server.icons.iter().find(|icon| icon.starts_with("https://") && is_web(icon));
    let texts =
        [("title", server.title.as_ref()), ("description", server.description.as_ref()), ("icon", icon)];
    for (key, text) in texts {
        if let Some(text) = text {
            entry.set(key, text.clone());
        }
    }
    let version = Some(&server.version).filter(|version| !version.is_empty());
    let metadata = [
        ("name", Some(&server.name)),
        ("version", version),
        ("website", server.website.as_ref()),
        ("repository", server.repository.as_ref()),
        ("subfolder", server.subfolder.as_ref()),
    ];
    let metadata = metadata.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text?))));
    entry.set("metadata", Json::Object(metadata.collect()));
    for place in &server.unknown {
        entry.note(format!("`{place}` means nothing here and is passed over"));
    }
    entry
}

fn finish(mut entry: Entry, chosen: Candidate<'_>) -> (Json, Vec<String>) {
    entry.set("type", if chosen.is_remote() { "remote" } else { "server" });
    entry.finish()
}

#[cfg(test)]
mod tests;

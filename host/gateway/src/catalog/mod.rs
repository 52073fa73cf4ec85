//! Catalogs: lists of servers that could be run, in Docker's file formats, and what each of them still needs.
//!
//! [`file::read`] turns a text into a [`Catalog`]; [`merge`] lays several over each other; [`resolve()`] turns one entry,
//! with values and secrets, into a [`wasmgate_core::catalog::Server`] or into what is missing. Nothing here starts
//! anything, opens a socket, or reads the environment.

mod argv;
pub mod artifact;
mod client;
mod container;
pub mod docker;
mod entry;
mod extras;
pub mod file;
mod grants;
mod instances; // who shares one, and how many run
mod item;
mod mount;
mod poci;
mod refusal;
mod relaxed;
mod remote;
pub mod report;
mod requirements;
mod resolve;
mod scope;
mod template;
#[cfg(test)]
mod tests;
pub mod tools;
pub mod values;
mod vars;

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmgate_core::name::ServerName;

pub use entry::{
    DeadlinesEntry, Entry, ExtrasEntry, From, Limits, NetworkEntry, OauthEntry, Options, ProcessEntry,
    ProtocolEntry, PullEntry, RemoteEntry, SecretEntry, Transport,
};
pub(crate) use extras::said;
pub use grants::{Grant, Grants};
pub use instances::InstancesEntry;
pub use mount::{Binds, SHARED};
pub use refusal::Refusal;
pub use resolve::{Inputs, Resolution, resolve};
pub use values::Values;

/// The catalog a bare `wasmgate run` serves: processes only, so that nothing else is needed.
pub const DEMO: &str = include_str!("../../../../catalogs/demo.yaml");

/// Who named a server, which decides what it may name in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Written into wasmgate.yaml, or named on the command line.
    Inline,
    /// A catalog file on this machine that the operator named, or the built-in one.
    File,
    /// Anything else: fetched from somewhere.
    Elsewhere,
}

impl Origin {
    /// Whether the operator answers for it: private addresses, programs and the gateway's environment are then allowed.
    pub fn is_operator(self) -> bool {
        !matches!(self, Self::Elsewhere)
    }
}

/// One server of a catalog.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub name: ServerName,
    /// Who named it.
    pub origin: Origin,
    /// What it says, or what is wrong with it.
    pub entry: Result<Box<Entry>, Refusal>,
    /// The tools a profile or catalog allows; `None` allows all.
    pub tools: Option<Vec<String>>,
    /// Values that came with it (profiles carry some); the operator's own win.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// What the operator lets it have of this machine.
    pub grants: Grants,
    /// Its entry as the catalog wrote it, with members that wasmgate has no use for; null for a server of wasmgate.yaml.
    pub document: Arc<serde_json::Value>,
}

impl Listed {
    /// A server that can be named and not run.
    pub fn refused(name: ServerName, origin: Origin, why: Refusal) -> Self {
        Self {
            name,
            origin,
            entry: Err(why),
            tools: None,
            values: serde_json::Map::new(),
            grants: Grants::default(),
            document: Arc::default(),
        }
    }
}

/// A catalog, read.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Its servers, in the file's order.
    pub servers: Vec<Listed>,
    /// Whether it asks for all its servers to be enabled (`enable: all`); counts only in the operator's own files.
    pub enable_all: bool,
    /// What was passed over and is worth a line: entries whose very name cannot be used.
    pub warnings: Vec<String>,
    /// What it calls itself, when it is one of Docker's profiles ("working sets"). All its servers are meant to run.
    pub profile: Option<ProfileInfo>,
}

/// The head of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileInfo {
    /// Its id.
    pub id: String,
    /// Its name, for people.
    pub name: String,
}

/// Somebody else's spelling of a name as a server's name, by Docker's rule: `io.github.a/b` is `io-github-a-b`. Empty when
/// nothing of it can be used.
pub fn plain_name(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' };
    let name: String =
        name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).chars().map(fits).collect();
    name.trim_end_matches('-').chars().take(ServerName::MAX).collect()
}

/// Several catalogs as one: a later server takes the place of an earlier one of the same name, with a warning.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// By name.
    pub servers: BTreeMap<ServerName, Listed>,
    /// The names that catalogs themselves enable.
    pub enabled: Vec<ServerName>,
    /// To be shown by whoever has a terminal.
    pub warnings: Vec<String>,
}

/// Lays catalogs over each other; each comes with the name people know it by.
pub fn merge(catalogs: Vec<(String, Catalog)>) -> Merged {
    let mut merged = Merged::default();
    let mut owners: BTreeMap<ServerName, String> = BTreeMap::new();
    for (label, catalog) in catalogs {
        merged.warnings.extend(catalog.warnings.into_iter().map(|warning| format!("{label}: {warning}")));
        for listed in catalog.servers {
            let name = listed.name.clone();
            if catalog.enable_all && listed.origin.is_operator() {
                merged.enabled.push(name.clone());
            }
            if let Some(before) = owners.insert(name.clone(), label.clone()) {
                merged
                    .warnings
                    .push(format!("server `{name}` of {label} takes the place of the one of {before}"));
            }
            merged.servers.insert(name, listed);
        }
    }
    merged.enabled.sort();
    merged.enabled.dedup();
    merged
}

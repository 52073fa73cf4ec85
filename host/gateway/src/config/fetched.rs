//! What a configuration names and cannot read itself: catalogs that come over a network or through a catalog source. Here is
//! what whoever fetches them has to know ([`Needs`]) and what it hands over ([`Fetched`]); fetching is the composition
//! root's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use wasmgate_core::name::ServerName;

use super::env::Environment;
use super::limits::{DocumentLimits, Limits};
use super::listen::Listen;
use super::plugins::PluginConfig;
use super::signatures::Signatures;
use crate::catalog::{self, Catalog, Listed, Origin, Refusal, plain_name};
use crate::document::{Diagnostic, Source};
use crate::egress::Exceptions;

/// What a configuration needs before it can be read.
#[derive(Debug, Clone)]
pub struct Needs {
    /// References of catalogs, as written.
    pub catalogs: Vec<Wanted>,
    /// The plugins, those that are off included: some of them may be catalog sources.
    pub plugins: Vec<PluginConfig>,
    /// How things come over the network.
    pub distribution: Distribution,
    /// What the environment says.
    pub environment: Environment,
}

/// What a front has to know: known before any catalog is.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// Where clients come in.
    pub listen: Listen,
    /// What they may take.
    pub limits: Limits,
}

/// A catalog to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As written.
    pub reference: String,
    /// Whether a tag in it is to be kept in the lock file: it stands in the configuration file.
    pub locked: bool,
}

/// How artifacts come over the network.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    /// `wasmgate.lock`, beside the configuration file; none where there is no file.
    pub lock: Option<PathBuf>,
    /// Whether the lock file must not change (`--locked`).
    pub frozen: bool,
    /// Hosts of registries that are spoken to over plain http.
    pub insecure: Vec<String>,
    /// Which artifacts and images need whose signature; none does when absent.
    pub signatures: Option<Signatures>,
    /// Destinations that are not public and may be named by anybody.
    pub exceptions: Exceptions,
    /// How large what comes may be.
    pub documents: DocumentLimits,
}

/// What was fetched, by reference as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    by_reference: BTreeMap<String, Result<Supply, Missing>>,
    /// Under which rules and by which sources: what was fetched under others does not count.
    basis: Vec<u8>,
}

/// A catalog that was fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    /// A catalog in one of the formats of catalog files.
    pub text: String,
    /// Servers that the source could not import, and why.
    #[serde(default)]
    pub refused: Vec<(String, String)>,
    /// What people should know.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A catalog that could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Why, to be read after the reference.
    pub message: String,
    /// What to do.
    pub cure: String,
    /// Whether it may be there later.
    pub lasts: Lasts,
}

/// Whether a failure is an answer or the lack of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// Nobody could be asked: what was known before still counts.
    ForNow,
    /// Somebody said no.
    ForGood,
}

impl Missing {
    /// Nobody could be asked.
    pub fn for_now(message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { message: message.into(), cure: cure.into(), lasts: Lasts::ForNow }
    }

    /// Message and cure in one.
    pub fn words(&self) -> String {
        let Self { message, cure, .. } = self;
        if cure.is_empty() { message.clone() } else { format!("{message} ({cure})") }
    }

    /// Somebody said no.
    pub fn for_good(message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { message: message.into(), cure: cure.into(), lasts: Lasts::ForGood }
    }
}

impl Fetched {
    /// Nothing yet, on this basis.
    pub fn on(basis: Vec<u8>) -> Self {
        Self { by_reference: BTreeMap::new(), basis }
    }

    /// Whether it was fetched on this basis.
    pub fn is_on(&self, basis: &[u8]) -> bool {
        self.basis == basis
    }

    /// Hands a catalog over.
    pub fn put(&mut self, reference: &str, supply: Result<Supply, Missing>) {
        self.by_reference.insert(reference.to_owned(), supply);
    }

    /// The catalog of a reference, if it is here.
    pub fn good(&self, reference: &str) -> Option<&Supply> {
        self.by_reference.get(reference)?.as_ref().ok()
    }

    /// The catalog of a reference, if it was asked for.
    pub(super) fn of(&self, reference: &str) -> Option<&Result<Supply, Missing>> {
        self.by_reference.get(reference)
    }
}

impl Supply {
    /// The catalog.
    ///
    /// # Errors
    /// When the text is none.
    pub fn catalog(&self, reference: &str) -> Result<Catalog, Diagnostic> {
        let source = Source { file: reference, text: &self.text };
        let mut catalog = catalog::file::read(&source, Origin::Elsewhere)?;
        for (name, reason) in &self.refused {
            match ServerName::new(&plain_name(name)) {
                Ok(name) => {
                    let why = Refusal::new(reason);
                    catalog.servers.push(Listed::refused(name, Origin::Elsewhere, why));
                }
                Err(_) => catalog.warnings.push(format!("`{name}` is left out: {reason}")),
            }
        }
        catalog.warnings.extend(self.warnings.iter().cloned());
        Ok(catalog)
    }
}

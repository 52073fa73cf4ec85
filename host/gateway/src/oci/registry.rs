//! Registries and the store as one: looked up, pulled and published, each at most once at a time.
//!
//! What a digest names is taken from the store without a word to anybody. What a tag names is asked of its registry or
//! not, as the caller's [`Freshness`] says; when the registry cannot be asked, what it said last is used and the result
//! says so. A registry that answers "no" is believed.

mod pull;
mod push;
mod referrers;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::artifact::Artifact;
use super::auth::{Action, Scope};
use super::credentials::Credentials;
use super::digest::Digest;
use super::error::OciError;
use super::reference::Reference;
use super::store::{Store, StoreError};
use super::transport::{Answer, Patience, Routes, Transport};
use crate::egress::Egress;

/// How registries are spoken with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host` or `host:port` of registries that are spoken plain http with. This machine's always are.
    pub insecure: Vec<String>,
    /// Further hosts that may be at private addresses: token services and blob stores of registries inside a network.
    pub named: Vec<String>,
    /// Docker's `config.json`, if there is a place for one.
    pub docker_config: Option<PathBuf>,
    /// How long everything may take.
    pub patience: Patience,
    /// The largest answer of a token service that is read, in bytes.
    pub largest_token: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            named: Vec::new(),
            docker_config: None,
            patience: Patience::default(),
            largest_token: 256 << 10,
        }
    }
}

/// Registries, with the store in front of them. Cheap to clone; all clones share what was learnt.
#[derive(Clone)]
pub struct Registry {
    transport: Transport,
    store: Store,
    flights: Arc<Flights>,
    progress: Option<Progress>,
}

/// Who is busy with which reference.
type Flights = Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>;

/// Is told how a transfer goes on.
pub type Progress = Arc<dyn Fn(&Step) + Send + Sync>;

/// How far a transfer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The reference.
    pub reference: String,
    /// The blob being moved.
    pub digest: Digest,
    /// Bytes moved of it.
    pub done: u64,
    /// Bytes it has.
    pub total: u64,
}

/// Whether a registry is asked what a tag leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Yes; if it cannot be asked, what it said last counts.
    Check,
    /// Only if it is not in the store.
    Cached,
    /// No. What is not in the store is not to be had.
    Offline,
}

/// The most that an artifact may have, held against its manifest before anything is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Bytes, of configuration and layers together.
    pub bytes: u64,
    /// Layers.
    pub layers: usize,
}

impl Most {
    /// One layer, as catalogs and components have, and so many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self { bytes, layers: 1 }
    }
}

/// What a reference led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Of the manifest.
    pub digest: Digest,
    /// All of it, checked.
    pub artifact: Artifact,
    /// Whether the registry was to be asked and could not be, so that this is what it said last.
    pub stale: bool,
}

/// What a tag leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// Of the manifest or index.
    pub digest: Digest,
    /// As in [`Pulled`].
    pub stale: bool,
}

/// A manifest or index as it was served, with the digest that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Of the bytes.
    pub digest: Digest,
    /// The response's `Content-Type`, without parameters.
    pub media_type: Option<String>,
    /// As served.
    pub bytes: Bytes,
}

impl Registry {
    /// Registries behind this store.
    pub fn new(egress: Egress, store: Store, settings: Settings) -> Self {
        let Settings { insecure, named, docker_config, patience, largest_token } = settings;
        let credentials = Credentials::new(docker_config);
        let transport =
            Transport::new(egress, patience, Routes { insecure, named, credentials, largest_token });
        Self { transport, store, flights: Arc::default(), progress: None }
    }

    /// The same, telling `progress` how transfers go on.
    #[must_use]
    pub fn with_progress(&self, progress: Progress) -> Self {
        Self { progress: Some(progress), ..self.clone() }
    }

    /// The store in front.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Work that must be done within the time for an operation.
    async fn within<T>(
        &self,
        reference: &Reference,
        work: impl Future<Output = Result<T, OciError>> + Send,
    ) -> Result<T, OciError> {
        let patience = self.transport.patience().operation;
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
            Err(OciError::TooSlow {
                registry: reference.registry().to_owned(),
                what: "finish",
                seconds: patience.as_secs(),
            })
        })
    }

    /// Waits until nobody else in this process is busy with the reference.
    async fn flight(&self, reference: &Reference) -> tokio::sync::OwnedMutexGuard<()> {
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            flights.retain(|_, flight| flight.strong_count() > 0);
            let known = flights.get(&reference.to_string()).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let flight = Arc::default();
                flights.insert(reference.to_string(), Arc::downgrade(&flight));
                flight
            })
        };
        flight.lock_owned().await
    }

    /// Does something with the store on a thread that may block.
    async fn in_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, OciError> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|error| {
            let source = std::io::Error::other(error);
            OciError::Store(StoreError { path: self.store.root().to_owned(), source })
        })
    }

    /// Keeps what is useful but not needed: a full disk costs the next start time, not this one its answer.
    async fn keep_if_possible(&self, work: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static) {
        let kept = self.in_store(work).await.and_then(|kept| kept.map_err(OciError::from));
        if let Err(error) = kept {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%error, cause, "not kept in the store");
        }
    }

    fn tell(&self, reference: &Reference, digest: Digest, done: u64, total: u64) {
        if let Some(progress) = &self.progress {
            progress(&Step { reference: reference.to_string(), digest, done, total });
        }
    }
}

fn scope(reference: &Reference, action: Action) -> Scope {
    let (registry, repository) = (reference.registry().to_owned(), reference.repository().to_owned());
    Scope { registry, repository, action }
}

/// What a status that is no success says.
fn refusal(scope: &Scope, what: &str, answer: &Answer) -> OciError {
    let registry = scope.registry.clone();
    match answer.status.as_u16() {
        403 => super::auth::denied(scope),
        404 => OciError::NotFound(what.to_owned()),
        429 => OciError::TooMany { registry },
        status @ 500.. => OciError::Failed { registry, status },
        status => OciError::Odd { registry, what: format!("status {status} when asked for {what}") },
    }
}

/// A header, if it is text.
fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok()
}

/// What a registry says the digest is (OCI distribution spec). Nothing to rely on: a hint where to ask.
const DIGEST_HEADER: &str = "docker-content-digest";
/// Registries are to take manifests of at least this size (OCI distribution spec), and hardly any takes larger ones.
const LARGEST_MANIFEST: u64 = 4 << 20;

#[cfg(test)]
mod tests;

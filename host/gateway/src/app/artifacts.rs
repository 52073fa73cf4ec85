//! Artifacts of registries as this program uses them: which digest a reference of the configuration stands for, whether it
//! may be used, and what is in it.
//!
//! The order is fixed: the lock file says the digest, or the registry does; then the signature policy is asked about that
//! digest; then that digest is pulled. Nothing is compiled, read or run before.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::lock::{Lock, Locked};
use super::plugins::chain;
use crate::config::{Distribution, Environment, Missing, Wanted};
use crate::egress::Egress;
use crate::oci::artifact::DockerKind;
use crate::oci::trust::evidence::Gathered;
use crate::oci::trust::{Evidence, Outcome, Unsigned, fetch};
use crate::oci::{
    Artifact, Digest, Freshness, Most, OciError, Progress, Pulled, Reference, Registry, Resolved, Settings,
    Store,
};

/// The registries, with the store of this machine in front. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Artifacts {
    egress: Egress,
    environment: Arc<Environment>,
    /// Opened when first needed, for the registries that are spoken plain http with.
    opened: Arc<Mutex<Option<Opened>>>,
}

/// What was opened, and for what.
struct Opened {
    insecure: Vec<String>,
    largest_token: u64,
    registry: Registry,
}

impl Artifacts {
    /// Nothing is opened yet.
    pub(crate) fn new(egress: Egress, environment: Environment) -> Self {
        Self { egress, environment: Arc::new(environment), opened: Arc::default() }
    }

    /// Where what outlives the process is kept.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.environment.data.as_deref()
    }

    /// The registries of a configuration.
    ///
    /// # Errors
    /// When the store of this machine cannot be used.
    pub(crate) fn registry(&self, distribution: &Distribution) -> Result<Registry, Missing> {
        self.egress.except(distribution.exceptions.clone());
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let (insecure, largest_token) = (&distribution.insecure, distribution.documents.token);
        let is_alike = |open: &&Opened| open.insecure == *insecure && open.largest_token == largest_token;
        if let Some(open) = opened.as_ref().filter(is_alike) {
            return Ok(open.registry.clone());
        }
        let root = self.environment.data.as_ref().map(|data| data.join("oci")).ok_or_else(|| {
            Missing::for_good("cannot be kept: there is no home directory", "set HOME or XDG_DATA_HOME")
        })?;
        let store = Store::open(root).map_err(|error| Missing::for_good(chain(&error), ""))?;
        let settings = Settings {
            insecure: distribution.insecure.clone(),
            docker_config: self.environment.docker_config.clone(),
            largest_token,
            ..Settings::default()
        };
        let registry = Registry::new(self.egress.clone(), store, settings);
        *opened = Some(Opened { insecure: insecure.clone(), largest_token, registry: registry.clone() });
        Ok(registry)
    }

    /// The catalog, server or profile that a reference stands for.
    pub(crate) async fn document(
        &self,
        wanted: &Wanted,
        distribution: &Distribution,
    ) -> Result<(DockerKind, Bytes), Missing> {
        let most = Most::bytes(distribution.documents.catalog);
        let artifact = self.artifact(wanted, distribution, most).await?;
        let (kind, document) =
            artifact.document().map_err(|error| Missing::for_good(format!("cannot be read: {error}"), ""))?;
        Ok((kind, document.clone()))
    }

    /// The component that a reference stands for.
    pub(crate) async fn component(
        &self,
        wanted: &Wanted,
        distribution: &Distribution,
    ) -> Result<Bytes, Missing> {
        let most = distribution.documents.component;
        let artifact = self.artifact(wanted, distribution, Most::bytes(most + LARGEST_CONFIG)).await?;
        let layout =
            artifact.wasm().map_err(|error| Missing::for_good(format!("cannot be read: {error}"), ""))?;
        match layout.wasm.len() as u64 {
            size if size > most => Err(Missing::for_good(too_large(size, most), LARGER_COMPONENT)),
            _ => Ok(layout.wasm.clone()),
        }
    }

    async fn artifact(
        &self,
        wanted: &Wanted,
        distribution: &Distribution,
        most: Most,
    ) -> Result<Artifact, Missing> {
        let reference = Reference::parse(&wanted.reference)
            .map_err(|error| Missing::for_good(format!("cannot be had: {error}"), ""))?;
        let floating = reference.digest().is_none() && !reference.is_local();
        let lock = match &distribution.lock {
            Some(path) if floating && wanted.locked => Some(read_lock(path).await?),
            _ => None,
        };
        if let Some(known) = lock.as_ref().and_then(|lock| lock.of(&wanted.reference)) {
            return self.locked(&reference, known, distribution, most).await;
        }
        if floating && distribution.frozen {
            let message = "is not in wasmgate.lock, and `--locked` was asked for";
            let cure = "name its digest; or, for what the configuration file names, run `wasmgate update`";
            return Err(Missing::for_good(message, cure));
        }
        let pulled = self.pull(&reference, distribution, (Freshness::Check, most), None).await?;
        let Some(mut lock) = lock else { return Ok(pulled.artifact) };
        if pulled.stale {
            tracing::warn!(%reference, "its registry cannot be asked, so it is not locked yet");
            return Ok(pulled.artifact);
        }
        let (named, found) = (wanted.reference.clone(), Locked { digest: pulled.digest.to_string() });
        let noted = tokio::task::spawn_blocking(move || lock.note_first(&named, found)).await;
        let noted = noted.map_err(|error| Missing::for_good(error.to_string(), ""))?;
        let known = noted.map_err(|error| {
            let cure = "write its digest into the reference, or ship a lock file that `wasmgate update` made elsewhere";
            Missing::for_good(format!("cannot be locked: {}", chain(&error)), cure)
        })?;
        if known.digest == pulled.digest.to_string() {
            return Ok(pulled.artifact);
        }
        // Somebody else resolved it at the same time, and was first.
        self.locked(&reference, &known, distribution, most).await
    }

    /// What the lock file says a reference stands for.
    async fn locked(
        &self,
        reference: &Reference,
        known: &Locked,
        distribution: &Distribution,
        most: Most,
    ) -> Result<Artifact, Missing> {
        let digest = known.digest.parse().map_err(|_| {
            let message = format!("has no digest in wasmgate.lock but `{}`", known.digest);
            Missing::for_good(message, "remove its line, and `wasmgate update` writes it anew")
        })?;
        let pinned = reference.pinned(digest);
        Ok(self.pull(&pinned, distribution, (Freshness::Cached, most), None).await?.artifact)
    }

    /// Resolved, cleared, pulled: in this order.
    ///
    /// # Errors
    /// [`Missing`] when it cannot be had, or must not be used.
    pub(crate) async fn pull(
        &self,
        reference: &Reference,
        distribution: &Distribution,
        (freshness, most): (Freshness, Most),
        progress: Option<Progress>,
    ) -> Result<Pulled, Missing> {
        let mut registry = self.registry(distribution)?;
        if let Some(progress) = progress {
            registry = registry.with_progress(progress);
        }
        let Resolved { digest, stale } =
            registry.resolve(reference, freshness).await.map_err(|error| missing(&error))?;
        self.clear(reference, digest, distribution).await?;
        let freshness = if freshness == Freshness::Offline { freshness } else { Freshness::Cached };
        let pulled = registry.pull(&reference.pinned(digest), freshness, most).await;
        pulled.map(|pulled| Pulled { stale, ..pulled }).map_err(|error| missing(&error))
    }

    /// What the store has under a reference, whoever signed it: to be published, not to be used.
    ///
    /// # Errors
    /// [`Missing`] when it is not there.
    pub(crate) async fn kept(
        &self,
        reference: &Reference,
        distribution: &Distribution,
        most: Most,
    ) -> Result<Pulled, Missing> {
        let registry = self.registry(distribution)?;
        registry.pull(reference, Freshness::Offline, most).await.map_err(|error| missing(&error))
    }

    /// Asks the signature policy about what is going to be used. A signature that was fetched before and still counts is
    /// enough; only without one the registry is asked.
    ///
    /// # Errors
    /// [`Missing`] when it must not be used, or nobody can be asked.
    pub(crate) async fn clear(
        &self,
        reference: &Reference,
        digest: Digest,
        distribution: &Distribution,
    ) -> Result<(), Missing> {
        let Some(signatures) = distribution.signatures.as_ref().filter(|_| !reference.is_local()) else {
            return Ok(());
        };
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let Some(rule) = signatures.policy.asks(&repository) else { return Ok(()) };
        let registry = self.registry(distribution)?;
        let judge = |evidence: &[Evidence]| {
            signatures.policy.clear(&repository, &digest.into(), evidence, &signatures.root)
        };
        let kept = fetch(&registry, reference, digest, rule, Freshness::Offline).await;
        if let Ok(cleared) = judge(&kept.evidence)
            && let Outcome::Verified(verified) = cleared.outcome()
        {
            tracing::info!(%reference, %digest, by = %verified.by, "its signature is good");
            return Ok(());
        }
        let Gathered { evidence, failure } =
            fetch(&registry, reference, digest, rule, Freshness::Check).await;
        match judge(&evidence).map(|cleared| cleared.outcome().clone()) {
            Ok(Outcome::NotAsked) => Ok(()),
            Ok(Outcome::Verified(verified)) => {
                tracing::info!(%reference, %digest, by = %verified.by, "its signature is good");
                Ok(())
            }
            Ok(Outcome::Warned(unverified)) => {
                let error = failure.map(|error| chain(&error));
                tracing::warn!(%reference, %digest, error, "it is used although {unverified}");
                Ok(())
            }
            Err(unsigned) => Err(refused(&unsigned, failure.as_ref())),
        }
    }
}

/// Why it must not be used: nothing that counts was found, or not everything could be looked at.
fn refused(unsigned: &Unsigned, failure: Option<&OciError>) -> Missing {
    let Some(error) = failure else {
        return Missing::for_good(format!("must not be used: {unsigned}"), "");
    };
    let Missing { message, cure, lasts } = missing(error);
    Missing { message: format!("needs a signature, and its signatures {message}"), cure, lasts }
}

/// Of a component's artifact, besides the component.
const LARGEST_CONFIG: u64 = 1 << 20;
/// What to do about a component that is too large.
pub(super) const LARGER_COMPONENT: &str = "raise `limits.documents.component` if it may be as large";

/// Why a component is not taken.
pub(super) fn too_large(size: u64, most: u64) -> String {
    format!("is too large: it has {size} bytes, and {most} are the most")
}

async fn read_lock(path: &Path) -> Result<Lock, Missing> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || Lock::read(Some(&path))).await;
    let read = read.map_err(|error| Missing::for_good(error.to_string(), ""))?;
    read.map_err(|error| Missing::for_good(format!("cannot be looked up: {}", chain(&error)), ""))
}

/// An error of a registry, to be read after the reference.
pub(crate) fn missing(error: &OciError) -> Missing {
    let message = format!("cannot be had: {}", chain(error));
    if error.is_unreachable() { Missing::for_now(message, "") } else { Missing::for_good(message, "") }
}

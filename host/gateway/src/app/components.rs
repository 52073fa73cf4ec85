//! Components on their way between files, the store of this machine and registries: what `wasmgate plugin push`, `pull`,
//! `ls` and `inspect` need.

use std::collections::BTreeMap;

use bytes::Bytes;
use wasmgate_wasm::inspect;

use super::bare_world;
use super::import::registry;
use super::plugins::{Plugins, chain};
use crate::config::Needs;
use crate::oci::artifact::Component;
use crate::oci::{Artifact, Digest, Entry, Freshness, Most, Progress, Reference};

/// A component that was pulled.
#[derive(Debug, Clone)]
pub struct PulledComponent {
    /// The component.
    pub bytes: Bytes,
    /// The reference with its digest.
    pub pinned: String,
}

/// Pushes a component in the CNCF layout and gives its digest. What cannot be loaded as a plugin is not pushed.
///
/// # Errors
/// A sentence.
pub async fn push_component(
    needs: &Needs,
    bytes: Bytes,
    (reference, annotations): (&Reference, BTreeMap<String, String>),
    progress: Option<Progress>,
) -> Result<Digest, String> {
    let mut plugins = Plugins::new(bare_world(), &needs.environment);
    let engine = plugins.engine_for(&needs.environment)?;
    let seen = inspect(&engine, bytes.clone()).await;
    let seen = seen.map_err(|error| format!("it cannot be pushed: it {}", chain(&error)))?;
    let own = &seen.descriptor;
    let mut all: BTreeMap<String, String> = [
        ("title", own.name.clone()),
        ("version", own.version.clone()),
        ("description", own.description.clone()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    all.extend(annotations);
    let imports = seen.capabilities.iter().chain(&seen.wasi).cloned().collect();
    let component = Component { wasm: bytes, exports: seen.exports.clone(), imports, annotations: all };
    let artifact = Artifact::component(component).map_err(|error| error.to_string())?;
    let registry = registry(needs, progress).map_err(|missing| missing.words())?;
    registry.push(reference, &artifact).await.map_err(|error| chain(&error))
}

/// Pulls a component into the store. The lock file is not looked at: this is how one looks at what is new.
///
/// # Errors
/// A sentence.
pub async fn pull_component(
    needs: &Needs,
    reference: &Reference,
    progress: Option<Progress>,
) -> Result<PulledComponent, String> {
    let artifacts = Plugins::new(bare_world(), &needs.environment).artifacts();
    let how = (Freshness::Check, Most::bytes(needs.distribution.documents.component + (1 << 20)));
    let pulled = artifacts.pull(reference, &needs.distribution, how, progress).await;
    let pulled = pulled.map_err(|missing| missing.words())?;
    let bytes = pulled.artifact.wasm().map_err(|error| error.to_string())?.wasm.clone();
    Ok(PulledComponent { bytes, pinned: reference.only(pulled.digest).to_string() })
}

/// What is in the store of this machine, of one kind or of all.
///
/// # Errors
/// A sentence, when the store cannot be used.
pub fn stored(needs: &Needs, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Entry>, String> {
    let registry = registry(needs, None).map_err(|missing| missing.words())?;
    let mut entries = registry.store().list();
    entries.retain(|entry| is_wanted(&entry.kind));
    Ok(entries)
}

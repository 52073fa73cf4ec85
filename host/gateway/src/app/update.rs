//! `wasmgate update`: what the tags of the configuration lead to now, against what the lock file holds, and what that would
//! change. Nothing is compiled for use and nothing runs but `describe`; the lock file is written only by [`accept`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wasmgate_wasm::{Engine, Inspection, inspect};

use super::artifacts::{Artifacts, missing};
use super::bare_world;
use super::lock::{Lock, Locked};
use super::plugins::{Plugins, chain};
use crate::config::{Needs, PluginSource, Supply};
use crate::oci::{Artifact, Digest, Freshness, Most, Reference};

/// The most that any artifact of a configuration has, in bytes.
const LARGEST: u64 = 64 << 20;

/// A tag that leads elsewhere than the lock file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// As written in the configuration.
    pub reference: String,
    /// What the lock file says; none for what it does not know.
    pub before: Option<String>,
    /// What the registry says.
    pub after: String,
    /// What is different, for people.
    pub differences: Vec<String>,
    /// Capabilities that the new one wants and the old one did not.
    pub wants: Vec<String>,
}

/// What an update would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// References that lead elsewhere, in the order of their names.
    pub changes: Vec<Change>,
    /// References of the lock file that the configuration no longer has.
    pub unused: Vec<String>,
    /// How many lead where they led.
    pub unchanged: usize,
}

/// Asks the registries. `only` narrows it to these references or plugin names.
///
/// # Errors
/// A sentence: a registry that cannot be asked, an artifact that is none, an unknown name.
pub async fn update(needs: &Needs, only: &[String]) -> Result<Update, String> {
    let mut plugins = Plugins::new(bare_world(), &needs.environment);
    let registry = plugins.artifacts().registry(&needs.distribution).map_err(|missing| missing.words())?;
    let lock = Lock::read(needs.distribution.lock.as_deref()).map_err(|error| chain(&error))?;
    let floating = floating(needs)?;
    let known = |name: &String| floating.iter().any(|each| each.is_called(name));
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        return Err(format!(
            "`{unknown}` is no tag of the configuration: only what has no digest can be updated"
        ));
    }
    let mut update = Update::default();
    for each in floating.iter().filter(|each| only.is_empty() || only.iter().any(|name| each.is_called(name)))
    {
        let resolved = registry.resolve(&each.parsed, Freshness::Check).await;
        let resolved =
            resolved.map_err(|error| format!("`{}` {}", each.reference, missing(&error).words()))?;
        if resolved.stale {
            return Err(format!("`{}`: its registry cannot be asked now", each.reference));
        }
        let before = lock.of(&each.reference).map(|locked| locked.digest.clone());
        if before.as_deref() == Some(resolved.digest.to_string().as_str()) {
            update.unchanged += 1;
            continue;
        }
        let engine = plugins.engine_for(&needs.environment)?;
        let looking = Looking { artifacts: plugins.artifacts(), needs, engine, each };
        update.changes.push(looking.change(before, resolved.digest).await?);
    }
    let used: BTreeSet<&str> = floating.iter().map(|each| each.reference.as_str()).collect();
    let unused = lock.all().map(|(reference, _)| reference).filter(|reference| !used.contains(reference));
    update.unused = unused.map(str::to_owned).collect();
    Ok(update)
}

/// Writes an update into the lock file. Blocks.
///
/// # Errors
/// A sentence.
pub fn accept(needs: &Needs, update: &Update) -> Result<(), String> {
    let mut lock = Lock::read(needs.distribution.lock.as_deref()).map_err(|error| chain(&error))?;
    let found: BTreeMap<String, Locked> = update
        .changes
        .iter()
        .map(|change| (change.reference.clone(), Locked { digest: change.after.clone() }))
        .collect();
    lock.note(found).map_err(|error| chain(&error))?;
    lock.retain(|reference| !update.unused.iter().any(|unused| unused == reference))
        .map_err(|error| chain(&error))
}

/// A tag of the configuration.
struct Floating {
    reference: String,
    parsed: Reference,
    /// The plugin it is for; a catalog otherwise.
    plugin: Option<String>,
}

impl Floating {
    fn is_called(&self, name: &str) -> bool {
        self.reference == name || self.plugin.as_deref() == Some(name)
    }
}

/// Every tag of the configuration file, by reference.
fn floating(needs: &Needs) -> Result<Vec<Floating>, String> {
    let of_plugins = needs.plugins.iter().filter_map(|plugin| match &plugin.from {
        PluginSource::Oci(reference) => Some((reference.clone(), Some(plugin.name.clone()))),
        _ => None,
    });
    let of_catalogs =
        needs.catalogs.iter().filter(|wanted| wanted.locked && wanted.reference.starts_with("oci://"));
    let of_catalogs = of_catalogs.map(|wanted| (wanted.reference.clone(), None));
    let mut all = BTreeMap::new();
    for (reference, plugin) in of_catalogs.chain(of_plugins) {
        let parsed = Reference::parse(&reference).map_err(|error| error.to_string())?;
        if parsed.digest().is_none() && !parsed.is_local() {
            all.insert(reference.clone(), Floating { reference, parsed, plugin });
        }
    }
    Ok(all.into_values().collect())
}

/// Looks at what a reference led to and leads to.
struct Looking<'a> {
    artifacts: Artifacts,
    needs: &'a Needs,
    engine: Engine,
    each: &'a Floating,
}

impl Looking<'_> {
    async fn change(&self, before: Option<String>, after: Digest) -> Result<Change, String> {
        let new = self.artifact(after, Freshness::Cached).await?;
        // What is no longer to be had cannot be compared with; that is no reason not to go on.
        let old = match before.as_deref().and_then(|digest| digest.parse().ok()) {
            Some(digest) => self.artifact(digest, Freshness::Cached).await.ok(),
            None => None,
        };
        let (differences, wants) = match &self.each.plugin {
            Some(_) => self.components(old.as_ref(), &new).await?,
            None => (catalogs(&self.each.reference, old.as_ref(), &new)?, Vec::new()),
        };
        let after = after.to_string();
        Ok(Change { reference: self.each.reference.clone(), before, after, differences, wants })
    }

    async fn artifact(&self, digest: Digest, freshness: Freshness) -> Result<Artifact, String> {
        let pinned = self.each.parsed.pinned(digest);
        let documents = self.needs.distribution.documents;
        let largest = documents.catalog.max(documents.component).max(LARGEST);
        let how = (freshness, Most::bytes(largest));
        let pulled = self.artifacts.pull(&pinned, &self.needs.distribution, how, None).await;
        let pulled = pulled.map_err(|missing| format!("`{}` {}", self.each.reference, missing.words()))?;
        Ok(pulled.artifact)
    }

    async fn components(
        &self,
        old: Option<&Artifact>,
        new: &Artifact,
    ) -> Result<(Vec<String>, Vec<String>), String> {
        let new = self.look(new).await?;
        let old = match old {
            Some(old) => self.look(old).await.ok(),
            None => None,
        };
        Ok((differences(old.as_ref(), &new), newly_wanted(old.as_ref(), &new)))
    }

    async fn look(&self, artifact: &Artifact) -> Result<Inspection, String> {
        let layout = artifact.wasm().map_err(|error| format!("`{}`: {error}", self.each.reference))?;
        let bytes: Bytes = layout.wasm.clone();
        inspect(&self.engine, bytes)
            .await
            .map_err(|error| format!("`{}` {}", self.each.reference, chain(&error)))
    }
}

/// What is different about a component, a line for each thing.
fn differences(old: Option<&Inspection>, new: &Inspection) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, of: &dyn Fn(&Inspection) -> String| match old.map(of) {
        Some(before) if before == of(new) => {}
        Some(before) => lines.push(format!("{what}: {before} -> {}", of(new))),
        None => lines.push(format!("{what}: {}", of(new))),
    };
    compare("version", &|seen| seen.descriptor.version.clone());
    compare("size", &|seen| format!("{} bytes", seen.size));
    let hooks = |seen: &Inspection| {
        let hook = |hook: &wasmgate_wasm::HookLine| {
            let phases = [("request", hook.request), ("response", hook.response)];
            let phases: Vec<_> = phases.iter().filter(|(_, sees)| *sees).map(|(phase, _)| *phase).collect();
            format!("{} {} ({})", hook.role, hook.events.join(", "), phases.join(", "))
        };
        let hooks: Vec<String> = seen.descriptor.hooks.iter().map(hook).collect();
        if hooks.is_empty() { "none".to_owned() } else { hooks.join("; ") }
    };
    compare("hooks", &hooks);
    compare("isolation", &|seen| seen.descriptor.isolation.to_string());
    lines
}

fn newly_wanted(old: Option<&Inspection>, new: &Inspection) -> Vec<String> {
    let before = old.map(|seen| seen.descriptor.wants.clone()).unwrap_or_default();
    new.descriptor.wants.iter().filter(|want| !before.contains(want)).map(|want| want.as_grant()).collect()
}

/// Which servers of a catalog come, go and change.
fn catalogs(reference: &str, old: Option<&Artifact>, new: &Artifact) -> Result<Vec<String>, String> {
    let entries = |artifact: &Artifact| -> Result<BTreeMap<String, String>, String> {
        let (_, document) = artifact.document().map_err(|error| format!("`{reference}`: {error}"))?;
        let text = String::from_utf8_lossy(document).into_owned();
        let catalog = Supply { text, ..Supply::default() }.catalog(reference);
        let catalog = catalog.map_err(|problem| format!("`{reference}`: {}", problem.message))?;
        Ok(catalog
            .servers
            .iter()
            .map(|listed| (listed.name.to_string(), format!("{:?}", listed.entry)))
            .collect())
    };
    let after = entries(new)?;
    let before = old.map(entries).transpose().ok().flatten();
    let Some(before) = before else { return Ok(vec![format!("{} servers", after.len())]) };
    let added = after.keys().filter(|name| !before.contains_key(*name)).map(|name| format!("new: {name}"));
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("gone: {name}"));
    let other = |(name, entry): &(&String, &String)| before.get(*name).is_some_and(|before| before != *entry);
    let changed = after.iter().filter(other).map(|(name, _)| format!("changed: {name}"));
    Ok(added.chain(gone).chain(changed).collect())
}

//! From an entry to a [`Server`] that can be started, or to exactly what it still needs.
//!
//! Order: is it readable and of a kind we run, are its values there, its secrets, its login, its grants. Every reason names
//! the key to set. Docker starts servers with `<UNKNOWN>` where a secret is missing; here they wait.

use std::path::Path;

use serde_json::{Map, Value as Json, json};
use wasmgate_core::catalog::{About, Deadlines, Launch, Server, ToolFilter};

use super::entry::DeadlinesEntry;
use super::requirements::{Lack, complete};
use super::scope::{Scope, gather};
use super::values::Values;
use super::{Binds, Entry, Listed, Refusal, container, instances, poci, remote};
use crate::secrets::Secrets;

/// What entries are resolved with.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Configuration values.
    pub values: &'a Values,
    /// Secrets.
    pub secrets: &'a Secrets,
    /// Which host paths may be mounted.
    pub binds: &'a Binds,
    /// This program: what the operator's process entries mean by `wasmgate`.
    pub executable: Option<&'a Path>,
}

/// What became of an entry.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// It can be started.
    Ready(Box<Server>),
    /// Values are missing or of the wrong type.
    NeedsConfig {
        /// The dotted keys below `config`.
        keys: Vec<String>,
        /// What to set, and where.
        hint: String,
    },
    /// Secrets are missing.
    NeedsSecret {
        /// Their names.
        names: Vec<String>,
        /// What to set, and where.
        hint: String,
    },
    /// Somebody has to log in.
    NeedsAuth {
        /// At whose service.
        provider: String,
        /// What to do instead of logging in.
        hint: String,
    },
    /// It wants something of this machine that the operator has not granted.
    NeedsGrant {
        /// What it wants.
        what: String,
        /// What to set to grant it.
        hint: String,
    },
    /// It cannot be run, whatever is set.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Resolution {
    /// The stable word for it: `ok`, `needs-config`, `needs-secret`, `needs-auth`, `needs-grant` or `refused`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ok",
            Self::NeedsConfig { .. } => "needs-config",
            Self::NeedsSecret { .. } => "needs-secret",
            Self::NeedsAuth { .. } => "needs-auth",
            Self::NeedsGrant { .. } => "needs-grant",
            Self::Refused { .. } => "refused",
        }
    }

    /// What is missing and the key to set; empty when nothing is.
    pub fn reason(&self) -> String {
        match self {
            Self::Ready(_) => String::new(),
            Self::NeedsConfig { hint, .. } | Self::NeedsSecret { hint, .. } => hint.clone(),
            Self::NeedsAuth { hint, .. } => hint.clone(),
            Self::NeedsGrant { what, hint } => format!("{what}: {hint}"),
            Self::Refused { reason } => reason.clone(),
        }
    }
}

impl From<Refusal> for Resolution {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { reason: refusal.0 }
    }
}

/// Resolves one listed server.
pub fn resolve(listed: &Listed, inputs: &Inputs<'_>) -> Resolution {
    match attempt(listed, inputs) {
        Ok(server) => Resolution::Ready(Box::new(server)),
        Err(halt) => halt,
    }
}

fn attempt(listed: &Listed, inputs: &Inputs<'_>) -> Result<Server, Resolution> {
    let entry = listed.entry.as_deref().map_err(Clone::clone)?;
    if entry.from.is_empty() && !entry.is_poci() {
        return Err(Refusal::new(
            "it says neither `image`, `process` nor `remote.url`, so there is nothing to start",
        )
        .into());
    }
    let canonical = listed.name.canonical();
    let mut values = listed.values.clone();
    values.extend(inputs.values.of(&canonical).cloned().unwrap_or_default());
    let lacks = complete(&entry.config, &mut values);
    let gathered = gather(listed, entry, inputs.secrets);
    if !lacks.is_empty() {
        return Err(needs_config(listed.name.as_str(), lacks, &gathered.missing_hint()));
    }
    let scope = Scope { root: root(listed.name.as_str(), &canonical, values), ..gathered.complete()? };
    let launch = launch(entry, &scope, inputs)?;
    let written = entry.options.limits.instances.unwrap_or_default();
    let instances = instances::build(written, entry.options.long_lived, &launch)?;
    Ok(Server {
        name: listed.name.clone(),
        about: About { title: entry.title.clone(), description: entry.description.clone() },
        launch,
        prefix: entry.options.prefix.clone().filter(|prefix| !prefix.is_empty()),
        tools: tools(listed.tools.as_deref()),
        protocol: entry.options.limits.protocol.map_or_else(Default::default, Into::into),
        deadlines: deadlines(entry.options.limits.deadlines),
        max_in_flight: entry.options.limits.max_in_flight.map(|most| most.0),
        instances,
        required: entry.options.limits.required.unwrap_or_default(),
    })
}

fn launch(entry: &Entry, scope: &Scope<'_>, inputs: &Inputs<'_>) -> Result<Launch, Resolution> {
    let from = &entry.from;
    if entry.is_poci() {
        return Ok(Launch::Tools(poci::build(entry, scope, inputs.binds)?));
    }
    if let Some(remote) = remote::of(from) {
        return Ok(Launch::Remote(remote::build(&remote, scope)?));
    }
    match (&from.image, &from.process) {
        (Some(image), _) if !image.is_empty() => {
            Ok(Launch::Container(container::build(image, entry, scope, inputs.binds)?))
        }
        (_, Some(process)) => Ok(Launch::Process(container::process(process, entry, scope, inputs)?)),
        _ => Err(Refusal::new("there is nothing to start").into()),
    }
}

/// Templates see the values under the canonical name and, where that differs, under the name itself.
fn root(name: &str, canonical: &str, values: Map<String, Json>) -> Json {
    let values = Json::Object(values);
    match name == canonical {
        true => json!({ name: values }),
        false => json!({ name: values.clone(), canonical: values }),
    }
}

fn needs_config(server: &str, lacks: Vec<Lack>, also: &str) -> Resolution {
    let key = |key: &String| format!("`config.{server}.{key}`");
    let (mut keys, mut parts) = (Vec::new(), Vec::new());
    for lack in lacks {
        match lack {
            Lack::Missing(path) => {
                parts.push(format!("set {}", key(&path)));
                keys.push(path);
            }
            Lack::Wrong(path, wanted) => {
                parts.push(format!("{} must be {wanted}", key(&path)));
                keys.push(path);
            }
            Lack::Choice(sets) => {
                let one = |set: &Vec<String>| set.iter().map(key).collect::<Vec<_>>().join(" and ");
                parts.push(format!("set {}", sets.iter().map(one).collect::<Vec<_>>().join(", or ")));
                keys.extend(sets.into_iter().flatten());
            }
        }
    }
    keys.dedup();
    let hint = format!("{} in wasmgate.yaml{also}", parts.join("; "));
    Resolution::NeedsConfig { keys, hint }
}

/// No list, or one with `*`, lets every tool through.
fn tools(names: Option<&[String]>) -> ToolFilter {
    match names {
        Some(names) if !names.iter().any(|name| name == "*") => {
            ToolFilter::Only(names.iter().cloned().collect())
        }
        _ => ToolFilter::All,
    }
}

fn deadlines(entry: Option<DeadlinesEntry>) -> Deadlines {
    let (entry, standard) = (entry.unwrap_or_default(), Deadlines::default());
    Deadlines {
        initialize: entry.initialize.map_or(standard.initialize, |span| span.0),
        idle: entry.idle.map_or(standard.idle, |span| span.0),
        total: entry.total.map_or(standard.total, |span| span.0),
    }
}

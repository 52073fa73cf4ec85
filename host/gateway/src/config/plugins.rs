//! Plugins, as configured: which component, with which settings. Loading them is the composition root's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value as Json;
use url::Url;
use wasmgate_wasm::Isolation;

use super::flags::Flags;
use super::grants::{PluginGrants, grants};
use super::raw_plugins::{RawIsolation, RawMode, RawPlugin, RawPlugins};
use crate::document::{Diagnostic, Place, Source, Spanned, closest};
use crate::secrets::{Secrets, Wanted};

/// The plugins that come with the program and are on unless they are switched off. The others that come with it
/// ([`wasmgate_wasm::BUILT_IN`]) are on where they are configured.
pub const BUILTIN: &[&str] = &["block-secrets", "log-calls"];

/// The catalog sources that come with the program: there when a reference asks for them, unless they are switched off.
pub const SOURCES: &[&str] = &["official-registry", "toolhive-registry"];

/// One plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConfig {
    /// Its name in this configuration.
    pub name: String,
    /// Where the component is.
    pub from: PluginSource,
    /// Handed to its `configure`; an empty map when nothing is said.
    pub config: Json,
    /// Whether its word counts.
    pub mode: PluginMode,
    /// Whether a message passes when it fails; its own word when absent.
    pub fail_open: Option<bool>,
    /// Order among mutators; its own when absent.
    pub priority: Priority,
    /// What it may see of what it wants to see.
    pub when: When,
    /// What one call of it may take.
    pub limits: PluginLimits,
    /// How its instances may be shared, if tighter than it says.
    pub isolation: Option<Isolation>,
    /// What it may use. Nothing said: the log, and for a bundled plugin what it asks for.
    pub grants: Option<PluginGrants>,
    /// Where it is configured.
    pub written: Written,
}

/// The spot where a plugin is configured, for what is wrong with it. Makes no difference between two configurations.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The file; empty for a plugin that nobody wrote down.
    pub file: String,
    /// The spot in it.
    pub place: Option<Place>,
}

impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl PluginConfig {
    /// What is wrong with it, shown where it is configured. The message is to be read after "plugin `x` ".
    pub fn problem(&self, message: &str, cure: String) -> Diagnostic {
        let file = if self.written.file.is_empty() { "plugins" } else { &self.written.file };
        let message = format!("plugin `{}` {message}", self.name);
        Diagnostic { file: file.to_owned(), place: self.written.place.clone(), message, cure }
    }
}

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// In the program, under this name.
    Builtin(String),
    /// A file.
    File(PathBuf),
    /// An artifact in a registry, as written (`oci://...`).
    Oci(String),
    /// A remote interceptor server (`mcp+https://...`).
    Remote {
        /// Its address, without `mcp+`.
        url: Url,
        /// The one of its interceptors that is wanted; all of them when absent.
        interceptor: Option<String>,
        /// The name of the secret that it is shown as a bearer token.
        token: Option<String>,
    },
}

/// Whether a plugin's word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginMode {
    /// It counts.
    Enforce,
    /// It is recorded and changes nothing.
    Audit,
    /// It is not loaded.
    Off,
}

/// Order among mutators, low first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Priority {
    /// In the request phase.
    pub request: Option<i32>,
    /// In the response phase.
    pub response: Option<i32>,
}

/// Patterns (`*` stands for any run of characters) that narrow what a plugin sees; an empty list does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// Method patterns.
    pub events: Vec<String>,
    /// Server patterns.
    pub servers: Vec<String>,
    /// Tool, prompt and URI patterns.
    pub subjects: Vec<String>,
}

/// What a plugin may take in one call; the host's defaults when absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PluginLimits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// CPU time.
    pub cpu: Option<Duration>,
    /// Time from start to end.
    pub wall: Option<Duration>,
    /// Bytes of what it says.
    pub output: Option<u64>,
    /// Requests over HTTP in one call.
    pub http_calls: Option<u32>,
    /// Bytes of one response.
    pub http_response: Option<u64>,
    /// Calls at once.
    pub in_flight: Option<usize>,
    /// Log lines a second.
    pub log_rate: Option<u32>,
}

/// What plugins are read with.
pub(super) struct Inputs<'a> {
    pub(super) flags: &'a Flags,
    /// Where relative paths start.
    pub(super) directory: &'a Path,
    pub(super) secrets: &'a Secrets,
    pub(super) source: &'a Source<'a>,
}

/// The bundled plugins that the file does not mention, then the file's in its order, then what the flags say.
pub(super) fn plugins(
    raw: RawPlugins,
    inputs: &Inputs<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<PluginConfig> {
    let mentioned = |name: &str| raw.0.iter().any(|(known, _)| known == name);
    let mut plugins: Vec<PluginConfig> =
        BUILTIN.iter().filter(|name| !mentioned(name)).map(|name| bundled(name)).collect();
    for (name, raw) in raw.0 {
        plugins.extend(plugin(&name, raw, inputs, problems));
    }
    let Flags { log_calls, block_secrets, .. } = inputs.flags;
    for (name, wanted) in [("log-calls", log_calls), ("block-secrets", block_secrets)] {
        let plugin = plugins.iter_mut().find(|plugin| plugin.name == name);
        if let (Some(plugin), Some(wanted)) = (plugin, wanted) {
            plugin.mode = match (wanted, plugin.mode) {
                (false, _) => PluginMode::Off,
                (true, PluginMode::Off) => PluginMode::Enforce,
                (true, mode) => mode,
            };
        }
    }
    plugins
}

/// The bundled catalog sources that the file does not mention, after all others: what it does mention wins.
pub(super) fn add_sources(plugins: &mut Vec<PluginConfig>) {
    let bundled_here = |name: &&&str| wasmgate_wasm::builtin(name).is_some();
    let mentioned = |name: &str| plugins.iter().any(|plugin| plugin.name == name);
    let missing: Vec<_> = SOURCES
        .iter()
        .filter(bundled_here)
        .filter(|name| !mentioned(name))
        .map(|name| bundled(name))
        .collect();
    plugins.extend(missing);
}

fn bundled(name: &str) -> PluginConfig {
    PluginConfig {
        name: name.to_owned(),
        from: PluginSource::Builtin(name.to_owned()),
        config: Json::Object(serde_json::Map::new()),
        mode: PluginMode::Enforce,
        fail_open: None,
        priority: Priority::default(),
        when: When::default(),
        limits: PluginLimits::default(),
        isolation: None,
        grants: None,
        written: Written::default(),
    }
}

fn plugin(
    name: &str,
    raw: Spanned<RawPlugin>,
    inputs: &Inputs<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<PluginConfig> {
    let Inputs { directory, secrets, source, .. } = *inputs;
    let spot = raw.referenced;
    let raw = raw.value;
    let from = match &raw.from {
        None => find("builtin", name, directory).map_err(|words| source.at(&spot, "", words.0, words.1)),
        Some(from) => find(&from.value, name, directory)
            .map_err(|words| source.at(&from.referenced, &from.value, words.0, words.1)),
    };
    let word = raw.from.as_ref().map_or("", |from| &from.value);
    let spot = raw.from.as_ref().map_or(spot, |from| from.referenced);
    let limited = raw.limits.of_components();
    let contained = raw.grants.is_some() || raw.isolation.is_some();
    let grants = raw.grants.map(|raw| grants(name, raw, secrets, source, problems));
    let distant = Distant { interceptor: raw.interceptor, token: raw.token, limited, contained };
    let from = from.and_then(|from| distant.complete(name, from, source));
    let from = from.map_err(|problem| problems.push(problem)).ok()?;
    Some(PluginConfig {
        from,
        config: raw.config.unwrap_or_else(|| Json::Object(serde_json::Map::new())),
        mode: match raw.mode {
            RawMode::Enforce => PluginMode::Enforce,
            RawMode::Audit => PluginMode::Audit,
            RawMode::Off => PluginMode::Off,
        },
        fail_open: raw.fail_open,
        priority: Priority { request: raw.priority.request, response: raw.priority.response },
        when: When { events: raw.when.events, servers: raw.when.servers, subjects: raw.when.subjects },
        limits: PluginLimits {
            memory: raw.limits.memory.map(|memory| memory.0),
            cpu: raw.limits.cpu.map(|span| span.0),
            wall: raw.limits.wall.map(|span| span.0),
            output: raw.limits.output.map(|bytes| bytes.0),
            http_calls: raw.limits.http_calls,
            http_response: raw.limits.http_response.map(|bytes| bytes.0),
            in_flight: raw.limits.in_flight,
            log_rate: raw.limits.log_rate,
        },
        isolation: raw.isolation.map(|isolation| match isolation {
            RawIsolation::PerCall => Isolation::PerCall,
            RawIsolation::PerSession => Isolation::PerSession,
            RawIsolation::Pooled => Isolation::Pooled,
        }),
        grants,
        written: Written {
            file: source.file.to_owned(),
            place: source.at(&spot, word, String::new(), String::new()).place,
        },
        ..bundled(name)
    })
}

/// What only a remote has, and what it has not.
struct Distant {
    interceptor: Option<Spanned<String>>,
    token: Option<Spanned<String>>,
    /// A limit of components is named.
    limited: bool,
    /// What holds components is named: `grants`, `isolation`.
    contained: bool,
}

impl Distant {
    fn complete(
        self,
        name: &str,
        from: PluginSource,
        source: &Source<'_>,
    ) -> Result<PluginSource, Diagnostic> {
        match from {
            PluginSource::Remote { .. } if self.limited => {
                let message = format!("plugin `{name}`: of `limits` only `wall` can be kept on a remote");
                let cure = "keep `limits.wall`, which is how long a call may take";
                Err(Diagnostic::new(source.file, message, cure))
            }
            PluginSource::Remote { .. } if self.contained => {
                let message =
                    format!("plugin `{name}`: `grants` and `isolation` are for components, not for a remote");
                Err(Diagnostic::new(source.file, message, "remove them: a remote does what it likes"))
            }
            PluginSource::Remote { url, .. } => {
                let value = |spot: Option<Spanned<String>>| spot.map(|spot| spot.value);
                Ok(PluginSource::Remote {
                    url,
                    interceptor: value(self.interceptor),
                    token: value(self.token),
                })
            }
            from => match (self.interceptor, self.token) {
                (None, None) => Ok(from),
                (Some(spot), _) => Err(misplaced(name, "interceptor", &spot, source)),
                (None, Some(spot)) => Err(misplaced(name, "token", &spot, source)),
            },
        }
    }
}

fn misplaced(name: &str, key: &str, spot: &Spanned<String>, source: &Source<'_>) -> Diagnostic {
    let message = format!("plugin `{name}`: `{key}` is for remotes (`use: mcp+https://...`)");
    source.at(&spot.referenced, &spot.value, message, "remove it".to_owned())
}

/// The bearer tokens of remotes, by plugin.
pub(super) fn tokens(
    plugins: &[PluginConfig],
    secrets: &Secrets,
    source: &Source<'_>,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<String, SecretString> {
    let mut tokens = BTreeMap::new();
    for plugin in plugins.iter().filter(|plugin| plugin.mode != PluginMode::Off) {
        let PluginSource::Remote { token: Some(secret), .. } = &plugin.from else { continue };
        match secrets.find(Wanted { name: secret, env: "", trusted: true }) {
            Some(token) => drop(tokens.insert(plugin.name.clone(), token)),
            None => problems.push(Diagnostic::new(
                source.file,
                format!("plugin `{}`: there is no secret `{secret}`", plugin.name),
                format!("set the variable `{}`, or correct `token`", crate::secrets::variable(secret)),
            )),
        }
    }
    tokens
}

/// Where `use:` points, or what is wrong with it and the cure.
fn find(from: &str, name: &str, directory: &Path) -> Result<PluginSource, (String, String)> {
    match from.strip_prefix("builtin") {
        Some("") => builtin(name),
        Some(rest) if rest.starts_with(':') => builtin(rest.trim_start_matches(':')),
        _ if from.starts_with("mcp+") => remote(from, name),
        _ if from.starts_with("oci://") => Ok(PluginSource::Oci(from.to_owned())),
        _ if from.contains("://") => Err((
            format!("plugin `{name}`: `{from}` is nothing that a component can be fetched from"),
            "write `oci://host/name:tag`, or download it and write `use: ./file.wasm`".to_owned(),
        )),
        _ => Ok(PluginSource::File(directory.join(from))),
    }
}

fn remote(from: &str, name: &str) -> Result<PluginSource, (String, String)> {
    let url = from.strip_prefix("mcp+").and_then(|url| Url::parse(url).ok());
    match url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        Some(url) => Ok(PluginSource::Remote { url, interceptor: None, token: None }),
        None => Err((
            format!("plugin `{name}`: `{from}` is no address of an interceptor server"),
            "write `mcp+https://host/path` or `mcp+http://host/path`".to_owned(),
        )),
    }
}

fn builtin(name: &str) -> Result<PluginSource, (String, String)> {
    let bundled: Vec<_> = wasmgate_wasm::BUILT_IN.iter().map(|plugin| plugin.name).collect();
    if bundled.contains(&name) {
        return Ok(PluginSource::Builtin(name.to_owned()));
    }
    let cure = match closest(name, bundled.iter().copied()) {
        Some(near) => format!("did you mean `builtin:{near}`?"),
        None => format!("bundled are: {}", bundled.join(", ")),
    };
    Err((format!("no plugin `{name}` is bundled"), cure))
}

//! The configuration: wasmgate.yaml, the command line, the environment and the files they name, become one [`Config`].
//!
//! [`raw`] mirrors the file and may be wrong; a [`Config`] cannot be. Everything after start-up sees only the latter. The
//! flags win over the file, the file over the defaults. Everything that is wrong is reported at once, as [`Diagnostic`]s.

mod env;
mod flags;
mod inline;
mod listen;
mod plugins;
mod raw;
mod select;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use wasmgate_core::catalog::{Launch, Server};
use wasmgate_core::index::Naming;
use wasmgate_core::name::ServerName;

pub use env::Environment;
pub use flags::{Flags, ListenFlags, ServerFlags, Transport};
pub use listen::{Address, At, HOST, Listen, PORT};
pub use plugins::{BUILTIN, PluginConfig, PluginLimits, PluginMode, PluginSource, Priority, When};

use crate::catalog::report::Report;
use crate::catalog::{Binds, Inputs, Merged, Resolution, Values, resolve};
use crate::document::{Diagnostic, Source};
use crate::secrets::Secrets;
use raw::{RawConfig, RawNames};
use sources::{Reader, Tools};

/// The file looked for in the working directory when none is named.
pub const FILE: &str = "wasmgate.yaml";
/// How many items a page of a list has unless told otherwise.
const PAGE: usize = 1000;

/// One generation of configuration, ready to use.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients come in.
    pub listen: Listen,
    /// The enabled servers that can be started, in the order they were asked for.
    pub servers: Vec<Arc<Server>>,
    /// The enabled servers that cannot, and what they need.
    pub unavailable: Vec<(ServerName, Resolution)>,
    /// The plugins, by name; those that are off included.
    pub plugins: Vec<PluginConfig>,
    /// Bearer tokens of remote interceptor servers, by plugin.
    pub tokens: BTreeMap<String, SecretString>,
    /// The interceptors of the command line, in its order, as written (`when:type:argument`).
    pub interceptors: Vec<String>,
    /// How public names are made.
    pub names: Naming,
    /// How many items a page of a list has.
    pub page: usize,
    /// Which host paths containers may mount.
    pub binds: Binds,
    /// What the environment says.
    pub environment: Environment,
    /// Every file that was read; these are watched.
    pub files: Vec<PathBuf>,
    /// What is odd and works.
    pub warnings: Vec<String>,
}

/// Reads the configuration. A `path` to one of Docker's `config.yaml` files is taken as values for servers. Without `path`, `wasmgate.yaml` in the working directory counts where it exists; without that,
/// and without catalogs, the built-in demo is served.
///
/// # Errors
/// Everything that is wrong, never only the first.
pub fn load(path: Option<&Path>, flags: &Flags) -> Result<Config, Vec<Diagnostic>> {
    load_in(path, flags, Environment::read())
}

/// What `wasmgate validate` says: every server of the catalogs, enabled or not, and every file that is broken.
pub fn validate(path: Option<&Path>, flags: &Flags) -> Report {
    validate_in(path, flags, Environment::read())
}

/// Everything that was read, before servers are chosen.
struct Parts {
    raw: RawConfig,
    file: String,
    text: String,
    merged: Merged,
    own: BTreeSet<ServerName>,
    values: Values,
    secrets: Secrets,
    binds: Binds,
    tools: Tools,
    environment: Environment,
    reader: Reader,
}

fn load_in(path: Option<&Path>, flags: &Flags, environment: Environment) -> Result<Config, Vec<Diagnostic>> {
    let mut parts = Parts::read(path, flags, environment);
    let (file, text) = (std::mem::take(&mut parts.file), std::mem::take(&mut parts.text));
    let source = Source { file: &file, text: &text };
    let (servers, unavailable) = parts.servers(flags, &source);
    parts.odd_values();
    let directory = directory_of(path, &parts.environment);
    let raw = std::mem::take(&mut parts.raw);
    let plugins = plugins::plugins(raw.plugins, flags, &directory, &source, &mut parts.reader.problems);
    let tokens = plugins::tokens(&plugins, &parts.secrets, &source, &mut parts.reader.problems);
    let listen = listen::listen(raw.listen, &flags.listen, &source);
    let listen = listen.map_err(|problem| parts.reader.problems.push(problem)).unwrap_or_default();
    let page = raw.page_size.as_ref().map_or(PAGE, |page| page.value);
    if let (0, Some(spot)) = (page, &raw.page_size) {
        parts.reader.problems.push(source.at(
            &spot.referenced,
            "0",
            "a page needs at least one item".into(),
            String::new(),
        ));
    }
    if flags.servers.cpus.is_some_and(|cpus| !(cpus.is_finite() && cpus > 0.0)) {
        parts.reader.problems.push(Diagnostic::new("command line", "`--cpus` is not a number above 0", ""));
    }
    if !parts.reader.problems.is_empty() {
        return Err(parts.reader.problems);
    }
    Ok(Config {
        listen,
        servers,
        unavailable,
        plugins,
        tokens,
        interceptors: flags.interceptors.clone(),
        names: match raw.names {
            RawNames::Prefixed => Naming::Prefixed,
            RawNames::Plain => Naming::Plain,
        },
        page,
        binds: parts.binds,
        environment: parts.environment,
        files: parts.reader.files,
        warnings: parts.reader.warnings.into_iter().chain(parts.merged.warnings).collect(),
    })
}

fn validate_in(path: Option<&Path>, flags: &Flags, environment: Environment) -> Report {
    let problems: Vec<Diagnostic> = match load_in(path, flags, environment.clone()) {
        Ok(config) => config.plugins.iter().filter_map(absent).collect(),
        // Without `--servers` and the like every server is looked at: enabling none is no mistake here.
        Err(problems) => {
            problems.into_iter().filter(|problem| problem.file != select::NOTHING_ENABLED).collect()
        }
    };
    let parts = Parts::read(path, flags, environment);
    Report::new(parts.merged.servers.values(), &parts.inputs(), &problems)
}

/// What is wrong with a plugin that would be loaded from a file that is not there.
fn absent(plugin: &PluginConfig) -> Option<Diagnostic> {
    match &plugin.from {
        PluginSource::File(path) if plugin.mode != PluginMode::Off && !path.is_file() => {
            Some(Diagnostic::new(
                path.display().to_string(),
                format!("plugin `{}`: there is no such file", plugin.name),
                "build it, or correct its `use`",
            ))
        }
        _ => None,
    }
}

fn directory_of(path: Option<&Path>, environment: &Environment) -> PathBuf {
    let parent = path.and_then(Path::parent);
    environment.directory.join(parent.unwrap_or(Path::new("")))
}

impl Parts {
    fn read(path: Option<&Path>, flags: &Flags, environment: Environment) -> Self {
        let mut reader = Reader { here: environment.directory.clone(), ..Reader::default() };
        let (file, text) = file(path, &environment, &mut reader);
        let source = Source { file: &file, text: &text };
        let docker =
            (path.is_some() && !text.trim().is_empty()).then(|| raw::docker_values(&source)).flatten();
        let mut raw: RawConfig = if text.trim().is_empty() || docker.is_some() {
            RawConfig::default()
        } else {
            source.parse().map_err(|problem| reader.problems.push(problem)).unwrap_or_default()
        };
        let (here, beside) = (environment.directory.clone(), directory_of(path, &environment));
        let flags = &flags.servers;
        let mut merged = reader.catalogs(&raw.catalogs, flags, (&beside, &here), !raw.servers.is_empty());
        let mut own = BTreeSet::new();
        for (name, server) in std::mem::take(&mut raw.servers) {
            match inline::add(&name, server, &mut merged, &source) {
                Ok(name) => drop(own.insert(name)),
                Err(problem) => reader.problems.push(problem),
            }
        }
        let mut values = docker.unwrap_or_default();
        for (server, map) in std::mem::take(&mut raw.config) {
            values.set(&server, map);
        }
        let values = reader.values(values, flags, &here);
        let secrets = match &raw.secrets {
            _ if !flags.secrets.is_empty() => reader.search_path(&flags.secrets, &environment),
            Some(names) => reader.secrets(names, &beside, &environment, &source),
            None => reader.search_path(&["env".to_owned()], &environment),
        };
        let binds = reader.binds(&raw.binds, &environment, &source);
        let tools = reader.tools(flags, &here);
        Self { raw, file, text, merged, own, values, secrets, binds, tools, environment, reader }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            values: &self.values,
            secrets: &self.secrets,
            binds: &self.binds,
            executable: self.environment.executable.as_deref(),
        }
    }

    /// The enabled servers: those that can be started and those that cannot.
    fn servers(
        &mut self,
        flags: &Flags,
        source: &Source<'_>,
    ) -> (Vec<Arc<Server>>, Vec<(ServerName, Resolution)>) {
        let registries = self.reader.registries(&flags.servers, &self.environment.directory);
        let asked = select::Asked {
            flags: &flags.servers,
            registries,
            enable: self.raw.enable.as_ref(),
            own: &self.own,
        };
        let chosen = match select::select(&asked, &self.merged, source) {
            Ok(chosen) => chosen,
            // A file that cannot be read explains why a name is unknown; one report is enough.
            Err(_) if !self.reader.problems.is_empty() => return (Vec::new(), Vec::new()),
            Err(problems) => {
                self.reader.problems.extend(problems);
                return (Vec::new(), Vec::new());
            }
        };
        if chosen.is_empty() {
            self.reader.warnings.push("no server is enabled: `enable` is an empty list".to_owned());
        }
        let (mut ready, mut unavailable) = (Vec::new(), Vec::new());
        for listed in chosen.iter().filter_map(|name| self.merged.servers.get(name)) {
            let required =
                listed.entry.as_ref().is_ok_and(|entry| entry.options.limits.required == Some(true));
            match resolve(listed, &self.inputs()) {
                Resolution::Ready(mut server) => {
                    finish(&mut server, &self.tools, &flags.servers);
                    ready.push(Arc::new(*server));
                }
                other if required => {
                    let message = format!("the required server `{}` cannot be started", listed.name);
                    self.reader.problems.push(Diagnostic::new(source.file, message, other.reason()));
                }
                other => unavailable.push((listed.name.clone(), other)),
            }
        }
        (ready, unavailable)
    }

    /// Values for a server nobody has are most likely a slip.
    fn odd_values(&mut self) {
        let known: BTreeSet<String> = self.merged.servers.keys().map(ServerName::canonical).collect();
        for server in self.values.servers().filter(|server| !known.contains(*server)) {
            let near = crate::document::closest(server, known.iter().map(String::as_str));
            let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            self.reader
                .warnings
                .push(format!("`config` has values for `{server}`, which no catalog has{near}"));
        }
    }
}

/// The file's name and text; nothing when there is none.
fn file(path: Option<&Path>, environment: &Environment, reader: &mut Reader) -> (String, String) {
    let (found, named) = match path {
        Some(path) => (environment.directory.join(path), path.display().to_string()),
        None => (environment.directory.join(FILE), FILE.to_owned()),
    };
    if path.is_none() && !found.exists() {
        return (named, String::new());
    }
    let text = reader.text(&found, "check the path of `--config`").unwrap_or_default();
    (named, text)
}

/// What the command line says about every server.
fn finish(server: &mut Server, tools: &Tools, flags: &ServerFlags) {
    let image = match &mut server.launch {
        Launch::Container(container) => {
            container.cpus = container.cpus.or(flags.cpus);
            container.memory = container.memory.or(flags.memory.map(|memory| memory.0));
            Some(container.image.clone())
        }
        Launch::Process(_) | Launch::Remote(_) | Launch::Tools(_) => None,
    };
    server.long_lived |= flags.long_lived;
    let own = std::mem::take(&mut server.tools);
    server.tools = tools.filter(server.name.as_str(), image.as_deref(), own);
}

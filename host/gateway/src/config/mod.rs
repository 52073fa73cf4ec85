//! The configuration: wasmgate.yaml, the command line, the environment and the files they name, become one [`Config`].
//!
//! [`raw`] mirrors the file and may be wrong; a [`Config`] cannot be. Everything after start-up sees only the latter. The
//! flags win over the file, the file over the defaults. Everything that is wrong is reported at once, as [`Diagnostic`]s.

mod audit;
mod env;
mod fetched;
mod flags;
mod folder;
mod grants;
mod inline;
mod limits;
mod listen;
mod plugins;
mod profiles;
mod raw;
mod raw_plugins;
mod sealing;
mod seen;
mod select;
mod signatures;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use wasmgate_core::catalog::{Launch, Server, Sharing};
use wasmgate_core::index::Naming;
use wasmgate_core::name::ServerName;

pub use env::Environment;
pub use fetched::{Distribution, Entrance, Fetched, Lasts, Missing, Needs, Supply, Wanted};
pub use flags::{Flags, ListenFlags, Record, ServerFlags, Transport};
pub use grants::{PluginGrants, PluginSecret};
pub use limits::{
    ConnectionLimits, DocumentLimits, HttpLimits, InFlightLimits, Limits, NotificationLimits, SessionLimits,
};
pub use listen::{Address, At, HOST, Listen, PORT};
pub use plugins::{
    BUILTIN, PluginConfig, PluginLimits, PluginMode, PluginSource, Priority, SOURCES, When, Written,
};
pub use seen::Seen;
pub use signatures::{PUBLIC, RawSignatures, Signatures};

use crate::catalog::report::Report;
use crate::catalog::{Binds, Inputs, Merged, Resolution, Values, resolve};
use crate::document::{Diagnostic, Source};
use crate::egress::Exceptions;
use crate::secrets::Secrets;
use profiles::Profile;
use raw::{RawConfig, RawNames};
use sources::{Reader, Tools};

/// The file looked for in the working directory when none is named.
pub const FILE: &str = "wasmgate.yaml";
/// The file beside it that holds the digests of artifacts.
pub const LOCK: &str = "wasmgate.lock";
/// How many items a page of a list has unless told otherwise.
const PAGE: usize = 1000;

/// One generation of configuration, ready to use.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients come in.
    pub listen: Listen,
    /// What clients and servers may take.
    pub limits: Limits,
    /// The enabled servers that can be started, in the order they were asked for.
    pub servers: Vec<Arc<Server>>,
    /// The enabled servers that cannot, and what they need.
    pub unavailable: Vec<(ServerName, Resolution)>,
    /// The plugins; those that are off included.
    pub plugins: Vec<PluginConfig>,
    /// Bearer tokens of remote interceptor servers, by plugin.
    pub tokens: BTreeMap<String, SecretString>,
    /// The keys of what clients keep for us, the one that seals first; none when each start makes its own.
    pub sealing: Vec<SecretString>,
    /// Where requests are noted.
    pub audit: Option<crate::audit::Settings>,
    /// Every secret that servers and plugins are given, and the clients' token, by name: what plugins with `findSecrets`
    /// may look for.
    pub known_secrets: Vec<(String, SecretString)>,
    /// The interceptors of the command line, in its order, as written (`when:type:argument`).
    pub interceptors: Vec<String>,
    /// Where messages are written as they pass.
    pub record: Option<Record>,
    /// How public names are made.
    pub names: Naming,
    /// How many items a page of a list has.
    pub page: usize,
    /// Which host paths containers may mount.
    pub binds: Binds,
    /// How artifacts come over the network.
    pub distribution: Distribution,
    /// What the environment says.
    pub environment: Environment,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// What is odd and works.
    pub warnings: Vec<String>,
}

/// What makes a configuration: asked once at the start, and again whenever a file has changed.
#[derive(Debug, Clone)]
pub struct Request {
    path: Option<PathBuf>,
    flags: Flags,
    environment: Environment,
    /// The configuration file had something in it when it was last read successfully.
    had_text: bool,
    /// The catalogs that were fetched for it.
    fetched: Fetched,
}

/// What a [`Request`] led to.
#[derive(Debug)]
pub struct Read {
    /// The configuration, or everything that is wrong, never only the first.
    pub config: Result<Config, Vec<Diagnostic>>,
    /// The files that were looked at.
    pub seen: Seen,
}

impl Request {
    /// A `path` to one of Docker's `config.yaml` files is taken as values for servers. Without `path`, `wasmgate.yaml` in
    /// the working directory counts where it exists; without that, and without catalogs, the built-in demo is served.
    pub fn new(path: Option<PathBuf>, flags: Flags) -> Self {
        Self::within(path, flags, Environment::read())
    }

    fn within(path: Option<PathBuf>, flags: Flags, environment: Environment) -> Self {
        Self { path, flags, environment, had_text: false, fetched: Fetched::default() }
    }

    /// What has to be fetched before all of it can be read; what is already here needs nothing.
    ///
    /// # Errors
    /// What is wrong with the files: nothing is fetched, and nothing is used, under rules that nobody could read.
    pub fn needs(&self) -> Result<Needs, Vec<Diagnostic>> {
        self.preview().map(|(needs, _)| needs)
    }

    /// What a front has to know, when catalogs must be fetched before the rest can be read. None when nothing needs to be
    /// fetched, or when something is wrong: [`Request::read`] says what.
    pub fn entrance(&self) -> Option<Entrance> {
        let (needs, entrance) = self.preview().ok()?;
        entrance.filter(|_| !needs.catalogs.is_empty())
    }

    fn preview(&self) -> Result<(Needs, Option<Entrance>), Vec<Diagnostic>> {
        let mut parts = Parts::read(self);
        let (catalogs, directory) = (std::mem::take(&mut parts.reader.wanted), directory_of(self));
        let distribution = parts.distribution(self);
        let (file, text) = (std::mem::take(&mut parts.file), std::mem::take(&mut parts.text));
        let source = Source { file: &file, text: &text };
        let raw = std::mem::take(&mut parts.raw);
        let inputs = plugins::Inputs {
            flags: &self.flags,
            directory: &directory,
            secrets: &parts.secrets,
            source: &source,
        };
        let mut problems = std::mem::take(&mut parts.reader.problems);
        let mut plugins = plugins::plugins(raw.plugins, &inputs, &mut problems);
        plugins::add_sources(&mut plugins);
        if !problems.is_empty() {
            return Err(problems);
        }
        // Whoever fetches catalogs for a look at them does not care whether clients could come in.
        let listen = listen::listen(raw.listen, &self.flags.listen, &source);
        let listen = listen.map_err(|problem| problems.push(problem)).unwrap_or_default();
        let limits = limits::limits(raw.limits, &source, &mut problems);
        let entrance = problems.is_empty().then_some(Entrance { listen, limits });
        Ok((Needs { catalogs, plugins, distribution, environment: parts.environment }, entrance))
    }

    /// What the environment says.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Takes what was fetched: the next [`Request::read`] finds it.
    pub fn supply(&mut self, fetched: Fetched) {
        self.fetched = fetched;
    }

    /// What was fetched for it.
    pub fn fetched(&self) -> &Fetched {
        &self.fetched
    }

    /// Reads all files. A configuration file that is empty or gone, and was not the last time, is an error: it is about to
    /// be written.
    pub fn read(&mut self) -> Read {
        let mut parts = Parts::read(self);
        let has_text = !parts.text.trim().is_empty();
        let config = parts.config(self);
        if config.is_ok() {
            self.had_text = has_text;
        }
        Read { config, seen: parts.reader.seen }
    }

    /// What `wasmgate validate` says: every server of the catalogs, enabled or not, every file that is broken, and what
    /// `more` finds where files are whole.
    pub fn validate(&mut self, more: impl FnOnce(&Config) -> Vec<Diagnostic>) -> Report {
        let problems: Vec<Diagnostic> = match self.read().config {
            Ok(config) => more(&config),
            // Without `--servers` and the like every server is looked at: enabling none is no mistake here.
            Err(problems) => {
                problems.into_iter().filter(|problem| problem.file != select::NOTHING_ENABLED).collect()
            }
        };
        let parts = Parts::read(self);
        Report::new(parts.merged.servers.values(), &parts.inputs(), &problems)
    }
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
    exceptions: Exceptions,
    tools: Tools,
    profile: Profile,
    signatures: Option<Signatures>,
    limits: Limits,
    environment: Environment,
    reader: Reader,
}

/// Where relative paths of the configuration file start.
fn directory_of(request: &Request) -> PathBuf {
    let parent = request.path.as_deref().and_then(Path::parent);
    request.environment.directory.join(parent.unwrap_or(Path::new("")))
}

impl Parts {
    /// The configuration that the parts make, or everything that is wrong with them.
    fn config(&mut self, request: &Request) -> Result<Config, Vec<Diagnostic>> {
        let (flags, directory) = (&request.flags, &*directory_of(request));
        let distribution = self.distribution(request);
        // Nothing is fetched while a file is wrong, which is what has to be told.
        if self.reader.problems.is_empty() {
            for Wanted { reference, .. } in std::mem::take(&mut self.reader.wanted) {
                self.reader.problems.push(Diagnostic::new(reference, "was not fetched", ""));
            }
        }
        let (file, text) = (std::mem::take(&mut self.file), std::mem::take(&mut self.text));
        let source = Source { file: &file, text: &text };
        let (servers, unavailable) = self.servers(flags, &source);
        self.odd_values();
        let raw = std::mem::take(&mut self.raw);
        let inputs = plugins::Inputs { flags, directory, secrets: &self.secrets, source: &source };
        let plugins = plugins::plugins(raw.plugins, &inputs, &mut self.reader.problems);
        let tokens = plugins::tokens(&plugins, &self.secrets, &source, &mut self.reader.problems);
        let sealing = sealing::keys(&raw.sealing, &self.secrets, &source, &mut self.reader.problems);
        let audit =
            audit::audit(raw.audit, flags.audit_log.as_deref(), (directory, &self.environment.directory));
        let listen = listen::listen(raw.listen, &flags.listen, &source);
        let listen = listen.map_err(|problem| self.reader.problems.push(problem)).unwrap_or_default();
        let page = raw.page_size.as_ref().map_or(PAGE, |page| page.value);
        if let (0, Some(spot)) = (page, &raw.page_size) {
            let message = "a page needs at least one item".into();
            self.reader.problems.push(source.at(&spot.referenced, "0", message, String::new()));
        }
        if flags.servers.cpus.is_some_and(|cpus| !(cpus.is_finite() && cpus > 0.0)) {
            let problem = Diagnostic::new("command line", "`--cpus` is not a number above 0", "");
            self.reader.problems.push(problem);
        }
        if !self.reader.problems.is_empty() {
            return Err(std::mem::take(&mut self.reader.problems));
        }
        let warnings = std::mem::take(&mut self.reader.warnings).into_iter();
        Ok(Config {
            listen,
            limits: self.limits.clone(),
            servers,
            unavailable,
            plugins,
            tokens,
            sealing,
            audit,
            known_secrets: self.known_secrets(),
            interceptors: flags.interceptors.clone(),
            record: flags.record.clone(),
            names: match raw.names {
                RawNames::Prefixed => Naming::Prefixed,
                RawNames::Plain => Naming::Plain,
            },
            page,
            binds: self.binds.clone(),
            distribution,
            environment: self.environment.clone(),
            files: self.reader.files.clone(),
            warnings: warnings.chain(std::mem::take(&mut self.merged.warnings)).collect(),
        })
    }

    fn known_secrets(&self) -> Vec<(String, SecretString)> {
        let token =
            self.environment.auth_token.clone().map(|token| ("WASMGATE_AUTH_TOKEN".to_owned(), token));
        self.secrets.found().into_iter().chain(token).collect()
    }

    fn read(request: &Request) -> Self {
        let environment = request.environment.clone();
        let mut reader = Reader {
            here: environment.directory.clone(),
            home: environment.home.clone(),
            fetched: request.fetched.clone(),
            ..Reader::default()
        };
        let (file, text) = file(request, &mut reader);
        let source = Source { file: &file, text: &text };
        let (mut raw, docker) = written(request, &source, &mut reader);
        let limits = limits::limits(std::mem::take(&mut raw.limits), &source, &mut reader.problems);
        reader.largest_catalog = limits.documents.catalog;
        let (here, beside) = (environment.directory.clone(), directory_of(request));
        let flags = &request.flags.servers;
        let profile = reader.profile(flags, &mut raw.profiles);
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
        let signatures = raw.signatures.take().and_then(|raw| reader.signatures(raw, &beside, &source));
        let binds = reader.binds(&raw.binds, &environment, &source);
        let exceptions = reader.exceptions(&raw.egress, &source);
        let tools = match &profile {
            Profile::Own { tools: Some(tools), .. } if flags.tools.is_empty() => Tools::of(tools),
            _ => reader.tools(flags, &here),
        };
        if !text.trim().is_empty() {
            // Another digest there is another configuration.
            reader.seen.unusable(&beside.join(LOCK));
        }
        Self {
            raw,
            file,
            text,
            merged,
            own,
            values,
            secrets,
            binds,
            exceptions,
            tools,
            profile,
            signatures,
            limits,
            environment,
            reader,
        }
    }

    /// How artifacts come over the network. There is a lock file where there is a configuration file.
    fn distribution(&self, request: &Request) -> Distribution {
        let there = request.path.is_some() || !self.text.trim().is_empty();
        Distribution {
            lock: there.then(|| directory_of(request).join(LOCK)),
            frozen: request.flags.servers.frozen,
            insecure: self.raw.registries.insecure.iter().map(|host| host.value.clone()).collect(),
            signatures: self.signatures.clone(),
            exceptions: self.exceptions.clone(),
            documents: self.limits.documents,
        }
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
            named: &self.reader.enabled,
            profile: &self.profile,
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

/// The file as written; or, when it is one of Docker's, the values in it.
fn written(request: &Request, source: &Source<'_>, reader: &mut Reader) -> (RawConfig, Option<Values>) {
    if source.text.trim().is_empty() {
        return (RawConfig::default(), None);
    }
    let docker = request.path.as_ref().and_then(|_| raw::docker_values(source));
    let raw = match docker {
        Some(_) => RawConfig::default(),
        None => source.parse().map_err(|problem| reader.problems.push(problem)).unwrap_or_default(),
    };
    (raw, docker)
}

/// The file's name and text; nothing when there is none.
fn file(request: &Request, reader: &mut Reader) -> (String, String) {
    let path = request.path.as_deref().unwrap_or(Path::new(FILE));
    let (found, named) = (request.environment.directory.join(path), path.display().to_string());
    let text = if request.path.is_none() && !found.exists() {
        reader.seen.unusable(&found);
        String::new()
    } else {
        reader.text(&found, "check the path of `--config`").unwrap_or_default()
    };
    if request.had_text && text.trim().is_empty() && reader.problems.is_empty() {
        let cure = "write it anew, or start the gateway again to run without it";
        reader.problems.push(Diagnostic::new(&named, "is empty or gone, and was not before", cure));
    }
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
    if flags.long_lived {
        server.instances.sharing = Sharing::PerSession;
    }
    let own = std::mem::take(&mut server.tools);
    server.tools = tools.filter(server.name.as_str(), image.as_deref(), own);
}

//! The configured plugins as the pipeline of one generation: bytes from the program or a file, compiled, in order.
//!
//! One engine serves the process. A plugin that a reload leaves as it was, byte for byte and setting for setting, is the
//! same stage in the next generation, so that its counters and all else it holds go on.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use wasmgate_core::pipeline::{Operation, Pipeline, Remark, Stage};
use wasmgate_wasm::{
    CatalogSource, Engine, EngineSettings, KnownSecrets, Later, LaterFuture, Limits, LoadError, Outbound,
    Plugin, builtin,
};

use super::artifacts::{Artifacts, LARGER_COMPONENT, too_large};
use super::outbound::PluginHttp;
use super::refusal::refusal;
use super::settings::{finds_secrets, grant_wants, is_source, settings};
use super::supply::Source;
use super::{StartError, bare_world, foreign, record};
use crate::config::{
    Config, Distribution, Environment, Needs, PluginConfig, PluginMode, PluginSource, SOURCES, Seen, Wanted,
};
use crate::document::Diagnostic;
use crate::egress::Egress;
use crate::interceptors::{Guarded, World};
use crate::shutdown::Tasks;

/// What runs plugins in this process, and those of the generation in force.
pub(crate) struct Plugins {
    /// Made for the first plugin: a gateway without any needs none.
    engine: Option<Engine>,
    world: World,
    artifacts: Artifacts,
    /// The catalog sources that were asked for so far.
    sources: Vec<Found>,
    /// The interceptors of the command line that are no components, and what records; they never change.
    outside: Option<Vec<Arc<dyn Stage>>>,
    in_force: Vec<Loaded>,
}

/// A plugin that was loaded, and of what.
#[derive(Clone)]
pub(crate) struct Loaded {
    config: PluginConfig,
    /// Of the component and, where it may look for them, of the secrets the gateway knows; of the token, for a remote.
    digest: [u8; 32],
    /// One for each of its roles.
    stages: Vec<Arc<dyn Stage>>,
}

/// A component that was looked at for what it answers.
struct Found {
    config: PluginConfig,
    component: [u8; 32],
    /// None when it is an interceptor.
    source: Option<Source>,
}

/// Where a plugin comes from.
enum Known {
    /// The generation in force.
    Before(Loaded),
    /// It was loaded.
    New(Loaded),
}

/// The plugins of one generation, loaded, in the order of the configuration.
pub(crate) struct Set {
    outside: Vec<Arc<dyn Stage>>,
    plugins: Vec<Loaded>,
    /// The names of those that were not there before in this form.
    pub(crate) new: Vec<String>,
}

impl Set {
    /// The plugins as the pipeline of a generation.
    pub(crate) fn pipeline(&self) -> Pipeline {
        let plugins = self.plugins.iter().flat_map(|plugin| &plugin.stages);
        Pipeline::new(self.outside.iter().chain(plugins).map(Arc::clone).collect(), record)
    }
}

/// What would keep the plugins of a configuration from being loaded. Remotes are not asked. Runs a runtime of its own.
pub fn check_plugins(config: &Config) -> Vec<Diagnostic> {
    let mut config = config.clone();
    config.plugins.retain(|plugin| !matches!(plugin.from, PluginSource::Remote { .. }));
    let load = async {
        let mut plugins = Plugins::new(bare_world(), &config.environment);
        plugins.load(&config, &mut Seen::default()).await.map(drop)
    };
    let problem = |words: &str| vec![Diagnostic::new("plugins", words, "")];
    match super::block_on(load) {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(StartError::Refused(problems))) => problems,
        Ok(Err(error)) => problem(&error.to_string()),
        Err(error) => problem(&format!("no runtime: {error}")),
    }
}

impl Plugins {
    /// None yet.
    pub(super) fn new(world: World, environment: &Environment) -> Self {
        let artifacts = Artifacts::new(world.egress.clone(), environment.clone());
        Self { engine: None, world, artifacts, sources: Vec::new(), outside: None, in_force: Vec::new() }
    }

    /// The way out that plugins and everything fetched for them share.
    pub(crate) fn egress(&self) -> Egress {
        self.world.egress.clone()
    }

    /// The registries that components come from.
    pub(super) fn artifacts(&self) -> Artifacts {
        self.artifacts.clone()
    }

    /// The catalog sources among the plugins of a configuration, in its order. One that was loaded before in this form is
    /// the same, with what it keeps.
    ///
    /// # Errors
    /// [`StartError::Refused`] when a component that could be one cannot be read or run.
    pub(crate) async fn sources(&mut self, needs: &Needs) -> Result<Vec<Source>, StartError> {
        let able = |plugin: &&PluginConfig| match &plugin.from {
            _ if plugin.mode == PluginMode::Off => false,
            PluginSource::Builtin(name) => SOURCES.contains(&name.as_str()),
            PluginSource::File(_) | PluginSource::Oci(_) => true,
            PluginSource::Remote { .. } => false,
        };
        let able: Vec<PluginConfig> = needs.plugins.iter().filter(able).cloned().collect();
        let (components, _) = self.components(&able, &needs.distribution).await?;
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for (plugin, component) in able.into_iter().zip(components) {
            match self.source(&plugin, component, &needs.environment).await? {
                Ok(source) => found.push(source),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(StartError::Refused(problems));
        }
        let sources = found.iter().filter_map(|found| found.source.clone()).collect();
        self.sources = found;
        Ok(sources)
    }

    async fn source(
        &mut self,
        plugin: &PluginConfig,
        component: Result<Component, String>,
        environment: &Environment,
    ) -> Result<Result<Found, Diagnostic>, StartError> {
        let Component { bytes, digest } = match component {
            Ok(component) => component,
            Err(words) => return Ok(Err(unreadable(plugin, &words))),
        };
        let same = |found: &Found| found.config == *plugin && found.component == digest;
        if let Some(before) = self.sources.iter().position(same) {
            return Ok(Ok(self.sources.swap_remove(before)));
        }
        let engine = self.engine(environment)?;
        let mut settings = settings(plugin, Limits::of_sources());
        if let PluginSource::Builtin(_) = &plugin.from {
            grant_wants(&engine, &bytes, &mut settings.grants).await;
        }
        let found = |source| Found { config: plugin.clone(), component: digest, source };
        Ok(match CatalogSource::load(&engine, &plugin.name, bytes, settings).await {
            Ok(source) => {
                let digest = with_config(&digest, plugin);
                Ok(found(Some(Source { digest, source: Arc::new(source) })))
            }
            // An interceptor: it is loaded with the others.
            Err(LoadError::WrongWorld(_)) => Ok(found(None)),
            Err(error) => Err(refusal(plugin, &error)),
        })
    }

    /// The components of plugins, and the files they were read from.
    async fn components(
        &self,
        plugins: &[PluginConfig],
        distribution: &Distribution,
    ) -> Result<(Vec<Result<Component, String>>, Seen), StartError> {
        self.world.egress.except(distribution.exceptions.clone());
        let sources = plugins.iter().map(|plugin| plugin.from.clone()).collect();
        let most = distribution.documents.component;
        let read = tokio::task::spawn_blocking(move || read_all(sources, most)).await;
        let (mut components, seen) = read.map_err(|error| StartError::System(error.to_string()))?;
        for (plugin, component) in plugins.iter().zip(&mut components) {
            let PluginSource::Oci(reference) = &plugin.from else { continue };
            let wanted = Wanted { reference: reference.clone(), locked: true };
            let fetched = self.artifacts.component(&wanted, distribution).await;
            *component = fetched.map(Component::new).map_err(|missing| missing.words());
        }
        Ok((components, seen))
    }

    /// Loads every plugin that is not off, and notes the files it was read from in `seen`. One that cannot run fails the
    /// whole: a guard that is missing guards nothing.
    pub(super) async fn load(&mut self, config: &Config, seen: &mut Seen) -> Result<Set, StartError> {
        let outside = self.outside(config)?;
        let named = foreign::plugins(config)?;
        let all = config.plugins.iter().chain(&named);
        let wanted: Vec<_> = all.filter(|plugin| plugin.mode != PluginMode::Off).cloned().collect();
        let (components, files) = self.components(&wanted, &config.distribution).await?;
        seen.extend(files);
        let mut set = Set { outside, plugins: Vec::with_capacity(wanted.len()), new: Vec::new() };
        let mut problems = Vec::new();
        for (plugin, component) in wanted.iter().zip(components) {
            match self.one(config, plugin, component).await? {
                Ok(Known::Before(loaded)) => set.plugins.push(loaded),
                Ok(Known::New(loaded)) => {
                    set.new.push(plugin.name.clone());
                    set.plugins.push(loaded);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(lock) = config.distribution.lock.clone() {
            // Tags that were resolved just now are no change to react to.
            let noted = tokio::task::spawn_blocking(move || {
                let mut noted = Seen::default();
                noted.unusable(&lock);
                noted
            });
            seen.extend(noted.await.map_err(|error| StartError::System(error.to_string()))?);
        }
        if problems.is_empty() { Ok(set) } else { Err(StartError::Refused(problems)) }
    }

    /// Loads one plugin, unless it is in force as it is; else what is wrong with it.
    async fn one(
        &mut self,
        config: &Config,
        plugin: &PluginConfig,
        component: Result<Component, String>,
    ) -> Result<Result<Known, Diagnostic>, StartError> {
        let Component { bytes, mut digest } = match component {
            Ok(component) => component,
            Err(words) => {
                return Ok(Err(unreadable(plugin, &words)));
            }
        };
        let remote = matches!(plugin.from, PluginSource::Remote { .. });
        if remote {
            let token = config.tokens.get(&plugin.name).map_or("", |token| token.expose_secret());
            digest = Sha256::digest(token).into();
        } else if finds_secrets(plugin) {
            digest = with_secrets(&digest, config);
        }
        let same = |loaded: &&Loaded| loaded.config == *plugin && loaded.digest == digest;
        if let Some(loaded) = self.in_force.iter().find(same) {
            return Ok(Ok(Known::Before(loaded.clone())));
        }
        let stages = if remote {
            let stages = foreign::remote(plugin, config, &self.world).await;
            stages.map_err(|words| plugin.problem(&words, String::new()))
        } else {
            let engine = self.engine(&config.environment)?;
            let mut settings = settings(plugin, Limits::default());
            if is_source(plugin) {
                grant_wants(&engine, &bytes, &mut settings.grants).await;
            }
            if finds_secrets(plugin) {
                let known = KnownSecrets::new(config.known_secrets.iter().cloned());
                settings.grants.find_secrets =
                    Some(Arc::new(known.map_err(|error| StartError::System(error.to_string()))?));
            }
            let loaded = Plugin::load(&engine, &plugin.name, bytes, settings).await;
            let stage = |stage| stage as Arc<dyn Stage>;
            loaded
                .map(|loaded| loaded.interceptors.into_iter().map(stage).collect())
                .map_err(|error| refusal(plugin, &error))
        };
        let loaded = |stages| Loaded { config: plugin.clone(), digest, stages: guarded(stages) };
        Ok(stages.map(|stages| Known::New(loaded(stages))))
    }

    /// The interceptors of the command line that are no components, made when first asked for.
    fn outside(&mut self, config: &Config) -> Result<Vec<Arc<dyn Stage>>, StartError> {
        if let Some(stages) = &self.outside {
            return Ok(stages.clone());
        }
        let mut stages = config.record.as_ref().map_or_else(|| Ok(Vec::new()), record::stages)?;
        stages.extend(guarded(foreign::stages(config, &self.world)?));
        self.outside = Some(stages.clone());
        Ok(stages)
    }

    /// These are in force from now on.
    pub(crate) fn keep(&mut self, set: Set) {
        self.in_force = set.plugins;
    }

    /// The engine, for looking at components that are not to be run.
    pub(super) fn engine_for(&mut self, environment: &Environment) -> Result<Engine, String> {
        self.engine(environment).map_err(|error| error.to_string())
    }

    fn engine(&mut self, environment: &Environment) -> Result<Engine, StartError> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let outbound: Arc<dyn Outbound> = Arc::new(PluginHttp(self.world.egress.clone()));
        let cache = environment.cache.clone();
        let later: Arc<dyn Later> = Arc::new(AfterCalls(self.world.tasks.clone()));
        let settings = EngineSettings { cache, outbound: Some(outbound), later: Some(later) };
        let engine = Engine::new(settings).map_err(|error| StartError::System(chain(&error)))?;
        self.engine = Some(engine.clone());
        Ok(engine)
    }
}

/// Runs what plugins leave to be done when their call has gone on.
struct AfterCalls(Tasks);

impl Later for AfterCalls {
    fn run(&self, work: LaterFuture) {
        self.0.spawn("instance of a plugin", work);
    }
}

/// A component that cannot be read; of one that comes over the network its own words say what to do.
fn unreadable(plugin: &PluginConfig, words: &str) -> Diagnostic {
    let cure = match plugin.from {
        PluginSource::Oci(_) => "",
        _ => "build it, or correct its `use`: relative paths start where the file is",
    };
    plugin.problem(words, cure.to_owned())
}

/// A component's digest and that of its configuration: the same question may have another answer.
fn with_config(component: &[u8; 32], plugin: &PluginConfig) -> [u8; 32] {
    let hasher = Sha256::new_with_prefix(component);
    hasher.chain_update(plugin.config.to_string()).finalize().into()
}

/// A component's digest and that of all secrets the gateway knows.
fn with_secrets(component: &[u8; 32], config: &Config) -> [u8; 32] {
    let mut hasher = Sha256::new_with_prefix(component);
    for (name, value) in &config.known_secrets {
        hasher.update(Sha256::digest(name));
        hasher.update(Sha256::digest(value.expose_secret()));
    }
    hasher.finalize().into()
}

/// Every stage runs behind a guard of its own.
fn guarded(stages: Vec<Arc<dyn Stage>>) -> Vec<Arc<dyn Stage>> {
    stages.into_iter().map(|stage| Arc::new(Guarded::new(stage)) as Arc<dyn Stage>).collect()
}

/// A component, read.
struct Component {
    bytes: Bytes,
    digest: [u8; 32],
}

impl Component {
    fn new(bytes: Bytes) -> Self {
        Self { digest: Sha256::digest(&bytes).into(), bytes }
    }
}

fn read_all(sources: Vec<PluginSource>, most: u64) -> (Vec<Result<Component, String>>, Seen) {
    let mut seen = Seen::default();
    let read = sources.iter().map(|from| {
        let bytes = match from {
            PluginSource::Builtin(name) => builtin(name)
                .map(Bytes::from_static)
                .ok_or_else(|| format!("is not bundled: there is no `{name}`")),
            PluginSource::File(path) => read_noted(path, most, &mut seen),
            // Fetched afterwards, or asked when it is used.
            PluginSource::Oci(_) | PluginSource::Remote { .. } => Ok(Bytes::new()),
        }?;
        Ok(Component::new(bytes))
    });
    (read.collect(), seen)
}

fn read_noted(path: &Path, most: u64, seen: &mut Seen) -> Result<Bytes, String> {
    let read = read(path, most);
    match &read {
        Ok(bytes) => seen.read(path, bytes),
        Err(_) => seen.unusable(path),
    }
    read
}

fn read(path: &Path, most: u64) -> Result<Bytes, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read from {}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > most {
        return Err(format!("{} ({}; {LARGER_COMPONENT})", too_large(size, most), path.display()));
    }
    Ok(std::fs::read(path).map_err(unreadable)?.into())
}

/// What interceptors noticed without changing anything for the client.
fn record(operation: &Operation, remark: Remark) {
    let (request, event) = (&*operation.id, &*operation.event);
    match remark {
        Remark::Found(plugin, finding) => {
            let (path, message) = (finding.path.as_deref(), finding.message);
            tracing::info!(request, event, %plugin, path, severity = ?finding.severity, message, "finding");
        }
        Remark::LetPass { stage, error, fail_open: true } => {
            tracing::warn!(request, event, plugin = %stage, %error, "plugin failed and let a message pass");
        }
        Remark::LetPass { stage, error, fail_open: false } => {
            tracing::error!(request, event, plugin = %stage, %error, "plugin failed in audit mode");
        }
        Remark::WouldChange(plugin, differences) => {
            let diff = differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            tracing::info!(request, event, %plugin, diff, "plugin would have changed a message");
        }
        Remark::WouldAnswer(plugin) => {
            tracing::info!(request, event, %plugin, "plugin would have answered in the server's place");
        }
        Remark::WouldFilter(plugin, items) => {
            tracing::info!(request, event, %plugin, items, "plugin would have changed a list");
        }
    }
}

/// An error with all its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}

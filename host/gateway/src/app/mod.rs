//! The composition root: builds every part once, in order, hands each down, runs, drains. The only module that may
//! name all others.

mod artifacts;
mod banner;
mod catalogs;
mod components;
mod foreign;
mod images;
mod import;
mod limits;
mod lock;
mod outbound;
mod plugins;
mod probe;
mod record;
mod refusal;
mod run;
mod settings;
mod supply;
mod update;

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use wasmgate_core::catalog::Launch;
use wasmgate_core::name::ServerName;
use wasmgate_core::seal::{Sealer, key_of};

use crate::audit::{Audit, OpenError};
use crate::catalog::Resolution;
use crate::config::{Config, Environment, Request, Seen};
use crate::document::{Diagnostic, render};
use crate::egress::Egress;
use crate::gateway::{Gateway, Generation, Keeps, Unavailable};
use crate::interceptors::World;
use crate::launch::{AnyImage, BindPolicy, ImageGuard, LaunchSettings, Launcher};
use crate::oci::Credentials;
use crate::shutdown::Tasks;
use crate::upstream::{self, Clients, Identity, Pool};

pub use crate::gateway::ServerState;
pub use crate::launch::{WARDEN, keep as keep_watch};
pub use catalogs::{Choice, Gathered, Publication, catalog_of, gather, is_path, keep, publication, push};
pub use components::{PulledComponent, pull_component, push_component, stored};
pub use foreign::checked_interceptor;
pub use import::{Imported, Target, import, put};
pub(crate) use plugins::Plugins;
pub use plugins::check_plugins;
pub use probe::{Probe, Purpose, ready};
pub use run::{Access, Asked, Beginning, run};
pub(crate) use supply::{Renewal, Supplied, supply};
pub use update::{Change, Update, accept, update};

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port or a socket option.
    #[error(transparent)]
    Bind(#[from] crate::front::BindError),
    /// An interceptor of the command line, or a remote one, that cannot run.
    #[error("plugin `{name}` {cause}")]
    Plugin {
        /// Its name.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Plugins that are configured and cannot run: nothing is served without them.
    #[error("{}", .0.iter().map(render).collect::<String>().trim_end())]
    Refused(Vec<Diagnostic>),
    /// A configuration that is wrong, or whose catalogs cannot be had.
    #[error("{}", .0.iter().map(render).collect::<Vec<_>>().join("\n").trim_end())]
    Config(Vec<Diagnostic>),
    /// A server without which the gateway is not to run (`required`) failed before it was ever ready.
    #[error("the required server `{name}` {reason}")]
    Required {
        /// Its name.
        name: String,
        /// Why it failed.
        reason: String,
    },
    /// The operating system refused something every gateway needs.
    #[error("{0}")]
    System(String),
}

/// Runs a future on the program's runtime: every core, all drivers.
pub fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let output = runtime.block_on(future);
    // What still runs was reported by the drain; a thread stuck in a system call must not keep the program alive.
    runtime.shutdown_background();
    Ok(output)
}

/// Fetches what a request names and cannot read itself, on a runtime of its own. What cannot be fetched is reported when the
/// request is read.
///
/// # Errors
/// [`StartError`] when a catalog source that is needed cannot run.
pub fn fetch(request: &mut Request) -> Result<(), StartError> {
    // What is wrong with the files is told by whoever reads them next.
    let Some(needs) = request.needs().ok().filter(|needs| !needs.catalogs.is_empty()) else { return Ok(()) };
    let work = async {
        let mut plugins = Plugins::new(bare_world(), &needs.environment);
        supply(request, &mut plugins, Renewal::Missing).await
    };
    block_on(work).map_err(|error| StartError::System(format!("no runtime: {error}")))?.map(drop)
}

/// What plugins live in where no server runs.
fn bare_world() -> World {
    let tasks = Tasks::new();
    let launcher = Launcher::new(LaunchSettings::default(), tasks.clone());
    World { launcher, egress: Egress::new(), tasks }
}

/// A gateway whose servers are on their way, and what it was made of.
struct Assembled {
    gateway: Arc<Gateway>,
    launcher: Launcher,
    plugins: Plugins,
}

/// Ends every connection, stops every server, and removes what a stop left behind.
async fn close(gateway: &Gateway, launcher: &Launcher) {
    gateway.close().await;
    match launcher.stop_all().await {
        Ok(0) => {}
        Ok(left) => tracing::warn!(left, "containers had to be removed at the end"),
        Err(error) => tracing::warn!(%error, "containers may be left; the next start removes them"),
    }
}

/// A generation that is complete and not in force yet.
pub(crate) struct Draft {
    pub(crate) generation: Generation,
    pub(crate) plugins: plugins::Set,
}

/// Builds the generation of a configuration; what is in force is not touched. The plugins' files are noted in `seen`.
pub(crate) async fn draft(
    config: &Config,
    plugins: &mut Plugins,
    seen: &mut Seen,
) -> Result<Draft, StartError> {
    let set = plugins.load(config, seen).await?;
    let generation = Generation {
        servers: config.servers.clone(),
        unavailable: config.unavailable.iter().map(unavailable).collect(),
        naming: config.names,
        page: config.page,
        pipeline: set.pipeline(),
    };
    Ok(Draft { generation, plugins: set })
}

/// Which host paths containers may mount.
pub(crate) fn binds(config: &Config) -> BindPolicy {
    BindPolicy {
        allow: config.binds.allow.clone(),
        allow_writable: config.binds.allow_writable.clone(),
        deny: config.environment.cache.iter().chain(&config.files).cloned().collect(),
    }
}

/// Which images may be run under a configuration.
pub(crate) fn guard(config: &Config, plugins: &Plugins) -> Box<dyn ImageGuard> {
    match config.distribution.signatures {
        None => Box::new(AnyImage),
        Some(_) => Box::new(images::SignedImages {
            artifacts: plugins.artifacts(),
            distribution: config.distribution.clone(),
        }),
    }
}

/// What plugins and servers live in. What a configuration allows them is set when it is known.
fn world(environment: &Environment, tasks: &Tasks) -> World {
    let egress = Egress::new();
    let launch = LaunchSettings {
        egress: egress.clone(),
        docker_host: environment.docker_host.clone(),
        environment: environment.inherited.clone(),
        // This very program, even when its file was exchanged meanwhile.
        warden: Some("/proc/self/exe".into()),
        logins: Some(Arc::new(images::DockerLogins(Credentials::new(environment.docker_config.clone())))),
        ..LaunchSettings::default()
    };
    World { launcher: Launcher::new(launch, tasks.clone()), egress, tasks: tasks.clone() }
}

/// Builds the gateway and starts its servers, behind whatever the caller puts in front.
async fn assemble(
    config: &Config,
    seen: &mut Seen,
    clients: Clients,
    (world, mut plugins): (World, Plugins),
) -> Result<Assembled, StartError> {
    let tasks = &world.tasks.clone();
    world.launcher.allow(binds(config));
    let Draft { generation, plugins: set } = draft(config, &mut plugins, seen).await?;
    plugins.keep(set);
    world.launcher.guard(guard(config, &plugins));
    let standing = Standing {
        clients,
        limits: limits::of_servers(&config.limits),
        sealer: sealer(&config.sealing)?,
        audit: audit(config, tasks).await?,
    };
    let assembled = connect(generation, world, plugins, standing);
    let launcher = assembled.launcher.clone();
    tasks.spawn("sweep-processes", async move {
        match launcher.sweep_processes().await {
            0 => {}
            ended => tracing::info!(ended, "ended processes that a dead gateway left"),
        }
    });
    if uses_containers(config) {
        tasks.spawn("sweep", sweep(assembled.launcher.clone()));
    }
    Ok(assembled)
}

/// Whether any server is a container, or is made of containers.
pub(crate) fn uses_containers(config: &Config) -> bool {
    config.servers.iter().any(|server| matches!(server.launch, Launch::Container(_) | Launch::Tools(_)))
        || foreign::containers(config)
}

/// Removes the containers of gateways that died.
pub(crate) async fn sweep(launcher: Launcher) {
    match launcher.sweep().await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "removed containers that a dead gateway left"),
        Err(error) => tracing::debug!(%error, "not looked for containers that a dead gateway left"),
    }
}

/// What holds for all generations.
struct Standing {
    clients: Clients,
    limits: upstream::Limits,
    sealer: Sealer,
    audit: Option<Audit>,
}

/// The gateway of a generation, on parts made for it.
fn connect(generation: Generation, world: World, plugins: Plugins, standing: Standing) -> Assembled {
    let World { launcher, egress, tasks } = world;
    let identity = Identity { name: "wasmgate".into(), version: env!("CARGO_PKG_VERSION").into() };
    let towards_servers = upstream::Standing { identity, clients: standing.clients, limits: standing.limits };
    let pool = Pool::new(launcher.clone(), egress, tasks.clone(), towards_servers);
    if let Some(data) = plugins.artifacts().data() {
        pool.remember_in(data);
    }
    let keeps = Keeps { sealer: standing.sealer, audit: standing.audit };
    let gateway = Gateway::start(generation, pool, keeps, &tasks);
    Assembled { gateway, launcher, plugins }
}

/// What seals under the configured keys; without any, under one that lives as long as this process.
fn sealer(keys: &[SecretString]) -> Result<Sealer, StartError> {
    let mut keys = keys.iter().filter_map(|key| key_of(key.expose_secret()));
    if let Some(first) = keys.next() {
        return Ok(Sealer::rotating(first, keys));
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| StartError::System(format!("no randomness: {error}")))?;
    Ok(Sealer::new(key))
}

/// The log of requests, where one is wanted. A gateway that is about to end may have it for a moment.
async fn audit(config: &Config, tasks: &Tasks) -> Result<Option<Audit>, StartError> {
    let Some(settings) = &config.audit else { return Ok(None) };
    let last = Instant::now() + PREDECESSOR;
    loop {
        match Audit::open(settings.clone(), tasks) {
            Ok(audit) => return Ok(Some(audit)),
            Err(OpenError::Held { .. }) if Instant::now() < last => tokio::time::sleep(AGAIN).await,
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                return Err(StartError::System(format!("{error}{cause}")));
            }
        }
    }
}

/// How long a gateway that was told to stop may keep the audit log: clients on stdio start the next one at once.
const PREDECESSOR: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(50);

fn unavailable((name, resolution): &(ServerName, Resolution)) -> Unavailable {
    Unavailable { name: name.clone(), state: resolution.status(), reason: resolution.reason() }
}

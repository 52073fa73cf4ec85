//! The composition root: builds every part once, in order, hands each down, runs, drains. The only module that may
//! name all others.

mod banner;
mod foreign;
mod plugins;
mod probe;
mod run;

use std::sync::Arc;

use wasmgate_core::catalog::Launch;
use wasmgate_core::name::ServerName;

use crate::catalog::Resolution;
use crate::config::Config;
use crate::egress::Egress;
use crate::gateway::{Gateway, Generation, Unavailable};
use crate::interceptors::World;
use crate::launch::{BindPolicy, LaunchSettings, Launcher};
use crate::shutdown::Tasks;
use crate::upstream::{Identity, Pool};

pub use crate::gateway::ServerState;
pub use foreign::checked_interceptor;
pub use probe::{Probe, ready};
pub use run::{Access, run};

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port or a socket option.
    #[error(transparent)]
    Bind(#[from] crate::front::BindError),
    /// A plugin that is configured and cannot run: nothing is served without it.
    #[error("plugin `{name}` {cause}")]
    Plugin {
        /// Its configured name.
        name: String,
        /// What is wrong with it.
        cause: String,
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

/// A gateway whose servers are on their way, and what started them.
struct Assembled {
    gateway: Arc<Gateway>,
    launcher: Launcher,
}

impl Assembled {
    /// Ends every connection, stops every server, and removes what a stop left behind.
    async fn close(&self) {
        self.gateway.close().await;
        match self.launcher.stop_all().await {
            Ok(0) => {}
            Ok(left) => tracing::warn!(left, "containers had to be removed at the end"),
            Err(error) => tracing::warn!(%error, "containers may be left; the next start removes them"),
        }
    }
}

/// Builds the gateway and starts its servers, behind whatever the caller puts in front.
async fn assemble(config: &Config, tasks: &Tasks) -> Result<Assembled, StartError> {
    let launch = LaunchSettings {
        docker_host: config.environment.docker_host.clone(),
        binds: BindPolicy {
            allow: config.binds.allow.clone(),
            allow_writable: config.binds.allow_writable.clone(),
            deny: config.environment.cache.iter().chain(&config.files).cloned().collect(),
        },
        environment: config.environment.inherited.clone(),
        ..LaunchSettings::default()
    };
    let containers =
        config.servers.iter().any(|server| matches!(server.launch, Launch::Container(_) | Launch::Tools(_)));
    let world =
        World { launcher: Launcher::new(launch, tasks.clone()), egress: Egress::new(), tasks: tasks.clone() };
    let generation = Generation {
        servers: config.servers.clone(),
        unavailable: config.unavailable.iter().map(unavailable).collect(),
        naming: config.names,
        page: config.page,
        pipeline: plugins::pipeline(config, &world).await?,
    };
    let assembled = connect(generation, world)?;
    if containers || foreign::containers(config) {
        tasks.spawn("sweep", sweep(assembled.launcher.clone()));
    }
    Ok(assembled)
}

/// Removes the containers of gateways that died.
async fn sweep(launcher: Launcher) {
    match launcher.sweep().await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "removed containers that a dead gateway left"),
        Err(error) => tracing::debug!(%error, "not looked for containers that a dead gateway left"),
    }
}

/// The gateway of a generation, on parts made for it.
fn connect(generation: Generation, world: World) -> Result<Assembled, StartError> {
    let World { launcher, egress, tasks } = world;
    let identity = Identity { name: "wasmgate".into(), version: env!("CARGO_PKG_VERSION").into() };
    let pool = Pool::new(launcher.clone(), egress, tasks.clone(), identity);
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| StartError::System(format!("no randomness: {error}")))?;
    Ok(Assembled { gateway: Gateway::start(generation, pool, key, &tasks), launcher })
}

fn unavailable((name, resolution): &(ServerName, Resolution)) -> Unavailable {
    Unavailable { name: name.clone(), state: resolution.status(), reason: resolution.reason() }
}

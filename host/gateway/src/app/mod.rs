//! The composition root: builds every part once, in order, hands each down, runs, drains. The only module that may
//! name all others.

mod banner;
mod plugins;
mod probe;
mod run;

use std::sync::Arc;

use wasmgate_core::name::ServerName;

use crate::catalog::Resolution;
use crate::config::Config;
use crate::egress::Egress;
use crate::gateway::{Gateway, Generation, Unavailable};
use crate::launch::{BindPolicy, LaunchSettings, Launcher};
use crate::shutdown::Tasks;
use crate::upstream::{Identity, Pool};

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

/// Builds the gateway and starts its servers, behind whatever the caller puts in front.
///
/// # Errors
/// [`StartError`] when a configured plugin cannot run or the system has no randomness.
pub async fn assemble(config: &Config, tasks: &Tasks) -> Result<Arc<Gateway>, StartError> {
    let generation = Generation {
        servers: config.servers.clone(),
        unavailable: config.unavailable.iter().map(unavailable).collect(),
        naming: config.names,
        page: config.page,
        pipeline: plugins::pipeline(config).await?,
    };
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
    connect(generation, launch, tasks)
}

/// The gateway of a generation, on parts made for it.
fn connect(
    generation: Generation,
    launch: LaunchSettings,
    tasks: &Tasks,
) -> Result<Arc<Gateway>, StartError> {
    let launcher = Launcher::new(launch, tasks.clone());
    let identity = Identity { name: "wasmgate".into(), version: env!("CARGO_PKG_VERSION").into() };
    let pool = Pool::new(launcher, Egress::new(), tasks.clone(), identity);
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| StartError::System(format!("no randomness: {error}")))?;
    Ok(Gateway::start(generation, pool, key, tasks))
}

fn unavailable((name, resolution): &(ServerName, Resolution)) -> Unavailable {
    Unavailable { name: name.clone(), state: resolution.status(), reason: resolution.reason() }
}

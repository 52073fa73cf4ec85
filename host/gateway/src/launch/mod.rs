//! Makes a server run: a container or a process becomes a pair of pipes or a URL. Knows nothing of MCP.
//!
//! [`Launcher::start`] hands back an [`Instance`]; a task behind it is the only owner of the child or container, from
//! its creation to its removal. Remotes are not started and never come here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;
use wasmgate_core::catalog::{Launch, RemoteTransport, Server};

use crate::egress::Egress;
use crate::shutdown::Tasks;

mod binds; // which host paths a container may see
mod container; // bollard
mod error;
mod family; // which processes are a server's
mod guard; // which images may be run
mod identity; // whose containers are whose
mod instance; // what the user holds, what the owner holds
mod login; // who pulls images
mod process; // tokio
mod stderr;
mod stdin;
mod warden; // what is left when the gateway is killed

pub use binds::BindPolicy;
pub use error::{LaunchError, PullFault};
pub use guard::{Admission, Admitted, AnyImage, Candidate, ImageGuard};
pub use instance::{Exit, Instance};
pub use login::{Account, Finding, ImageLogin, ImageLogins};
pub use stderr::Censor;
pub use warden::{ARGUMENT as WARDEN, keep};

use container::Containers;
use identity::Identity;
use process::Processes;

/// Bytes from a server.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;
/// Bytes to a server.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// How a started server is spoken to.
pub enum Channel {
    /// Newline-delimited messages.
    Stdio {
        /// The server's stdin; dropping it closes the server's end.
        input: Input,
        /// The server's stdout.
        output: Output,
    },
    /// HTTP on an address of this machine.
    Http {
        /// Where.
        url: Url,
        /// Which transport.
        transport: RemoteTransport,
    },
}

/// How far a start has come, for status and progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The image is being pulled, so many percent done when known.
    Pulling(Option<u8>),
    /// It is being started.
    Starting,
}

/// What a [`Launcher`] is built from.
#[derive(Clone, Default)]
pub struct LaunchSettings {
    /// The name of this gateway, written on its containers.
    pub gateway: String,
    /// Where the container engine listens, as in `DOCKER_HOST`; only `unix://`. `None` is Docker's default.
    pub docker_host: Option<String>,
    /// Which paths of this machine containers may see.
    pub binds: BindPolicy,
    /// Limits of containers whose entry has none.
    pub limits: Limits,
    /// Who knows the logins that images are pulled with; without, they are pulled as anybody may.
    pub logins: Option<Arc<dyn ImageLogins>>,
    /// The way out of containers whose hosts are named.
    pub egress: Egress,
    /// The gateway's own environment. Only `PATH`, `HOME`, `LANG` and `TMPDIR` are ever used or handed to a process.
    pub environment: Vec<(OsString, OsString)>,
    /// The program that, run with [`WARDEN`] and a name, ends in [`keep`]: it ends the processes of a gateway that is
    /// killed. Without it they are left to the next start.
    pub warden: Option<PathBuf>,
}

/// What a container may use when its entry does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Memory in bytes; there is no swap on top.
    pub memory: u64,
    /// Processor time in cores.
    pub cpus: f64,
    /// Processes and threads.
    pub pids: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 512 * 1024 * 1024, cpus: 1.0, pids: 128 }
    }
}

/// Starts servers. Cheap to clone.
#[derive(Clone)]
pub struct Launcher {
    containers: Containers,
    processes: Arc<Processes>,
}

impl Launcher {
    /// Takes the settings; never fails and never touches the container engine.
    pub fn new(settings: LaunchSettings, tasks: Tasks) -> Self {
        // One, so that whatever is started is known to be of the same run.
        let identity = Arc::new(Identity::of(&settings.gateway));
        let processes = Arc::new(Processes::new(&settings, Arc::clone(&identity), tasks.clone()));
        Self { containers: Containers::new(settings, identity, tasks), processes }
    }

    /// Starts a container or process (never a remote). `progress` is called as the start advances. Dropping the
    /// future gives the start up and leaves nothing behind; a pull that has begun goes on for the next start.
    ///
    /// # Errors
    /// [`LaunchError`] with a sentence for people.
    pub async fn start(
        &self,
        server: &Server,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Instance, LaunchError> {
        match &server.launch {
            Launch::Process(process) => {
                progress(Progress::Starting);
                self.processes.start(&server.name, process)
            }
            Launch::Container(container) => self.containers.start(server, container, progress).await,
            Launch::Remote(_) | Launch::Tools(_) => Err(LaunchError::NotStartable),
        }
    }

    /// Changes which paths of this machine the containers started from now on may see.
    pub fn allow(&self, binds: BindPolicy) {
        self.containers.allow(binds);
    }

    /// Changes which images may be run from now on.
    pub fn guard(&self, guard: Box<dyn ImageGuard>) {
        self.containers.guard(guard);
    }

    /// Removes the containers that dead gateways of this machine left, and says how many. Containers of gateways that
    /// live, or about which nothing is known, stay. Worth calling only when a container is configured.
    ///
    /// # Errors
    /// [`LaunchError::DockerUnavailable`] and its like: reasons to log, not to stop.
    pub async fn sweep(&self) -> Result<usize, LaunchError> {
        self.containers.sweep().await
    }

    /// Ends the processes that dead gateways of this machine left, and says how many. Only what carries the mark of a gateway
    /// that is certainly dead is touched.
    pub async fn sweep_processes(&self) -> usize {
        self.processes.sweep().await
    }

    /// Removes every container this launcher has started and that is still there, and says how many there were. The
    /// last step of the drain; asks nothing of an engine that was never needed.
    ///
    /// # Errors
    /// When the engine does not answer any more.
    pub async fn stop_all(&self) -> Result<usize, LaunchError> {
        self.processes.close().await;
        self.containers.remove_own().await
    }
}

//! Makes a server run: a container or a process becomes a pair of pipes or a URL. Knows nothing of MCP.
//!
//! [`Launcher::start`] hands back an [`Instance`]; a task behind it is the only owner of the child or container, from
//! its creation to its removal. Remotes are not started and never come here.

use std::ffi::OsString;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;
use wasmgate_core::catalog::{Launch, RemoteTransport, Server};

use crate::shutdown::Tasks;

mod error;
mod instance;
mod process;
mod stderr;
mod stdin;

pub use error::LaunchError;
pub use instance::{Exit, Instance};

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
#[derive(Debug, Clone, Default)]
pub struct LaunchSettings {
    /// The gateway's own environment. Only `PATH`, `HOME`, `LANG` and `TMPDIR` are ever used or handed to a process.
    pub environment: Vec<(OsString, OsString)>,
}

/// Starts servers. Cheap to clone.
#[derive(Clone)]
pub struct Launcher {
    inner: Arc<Inner>,
}

struct Inner {
    environment: process::BaseEnv,
    tasks: Tasks,
}

impl Launcher {
    /// Takes the settings; never fails and touches nothing.
    pub fn new(settings: LaunchSettings, tasks: Tasks) -> Self {
        let environment = process::BaseEnv::of(settings.environment);
        Self { inner: Arc::new(Inner { environment, tasks }) }
    }

    /// Starts a container or process (never a remote). `progress` is called as the start advances.
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
                process::start(&server.name, process, &self.inner.environment, &self.inner.tasks)
            }
            Launch::Container(_) => Err(LaunchError::NotStartable("a container")),
            Launch::Remote(_) => Err(LaunchError::NotStartable("a remote")),
        }
    }
}

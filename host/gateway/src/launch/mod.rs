//! Makes a server run: a container or a process becomes a pair of pipes or a URL. Knows nothing of MCP.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;
use wasmgate_core::catalog::RemoteTransport;

/// Bytes from a server.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;
/// Bytes to a server.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// How a started server is spoken to.
pub enum Channel {
    /// Newline-delimited messages.
    Stdio {
        /// The server's stdin.
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

/// How a server ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// Exit code, when it exited by itself.
    pub code: Option<i64>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed it for memory.
    pub out_of_memory: bool,
    /// Its last lines on stderr, control characters neutralised, at most 4 KiB.
    pub last_stderr: String,
}

/// A started server. Dropping it stops the server in the background; prefer [`Instance::stop`].
pub struct Instance {
    _private: (),
}

impl Instance {
    /// The channel, once.
    pub fn take_channel(&mut self) -> Option<Channel> {
        todo!()
    }
    /// Resolves when the server has ended, and says how. May be called again; safe to drop half-way.
    pub async fn ended(&mut self) -> Exit {
        todo!()
    }
    /// Closes stdin, waits `grace`, then SIGTERM, waits `grace`, then SIGKILL; the container is removed.
    pub async fn stop(self, _grace: Duration) -> Exit {
        todo!()
    }
}

/// Starts servers. Cheap to clone.
#[derive(Clone)]
pub struct Launcher {
    _private: (),
}

impl Launcher {
    /// Starts a container or process (never a remote). `progress` is called as the start advances.
    ///
    /// # Errors
    /// [`LaunchError`] with a sentence for people.
    pub async fn start(
        &self,
        _server: &wasmgate_core::catalog::Server,
        _progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Instance, LaunchError> {
        todo!()
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// (launch owns the real list)
    #[error("could not be started")]
    Failed,
}

//! The way to the container engine, looked up when the first container needs it.

use std::error::Error as _;
use std::sync::Arc;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::sync::OnceCell;

use crate::launch::LaunchError;
use crate::launch::stderr::neutralise;

/// A cheap handle; nothing is touched before [`Engine::connect`].
#[derive(Clone)]
pub(super) struct Engine {
    host: Arc<str>,
    docker: Arc<OnceCell<Docker>>,
}

impl Engine {
    /// `host` as in `DOCKER_HOST`; `None` is Docker's own default.
    pub(super) fn new(host: Option<String>) -> Self {
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| DEFAULT.to_owned());
        Self { host: host.into(), docker: Arc::default() }
    }

    /// The engine, when anything has needed it yet.
    pub(super) fn connected(&self) -> Option<Docker> {
        self.docker.get().cloned()
    }

    /// The engine, asked for its version the first time. A failure is not remembered: it may be started later.
    ///
    /// # Errors
    /// [`LaunchError::DockerUnavailable`] when it does not answer.
    pub(super) async fn connect(&self) -> Result<Docker, LaunchError> {
        let docker = self.docker.get_or_try_init(async || {
            let unix = self.host.starts_with("unix://") || self.host.starts_with('/');
            if !unix {
                return Err(LaunchError::DockerHost { host: self.host.to_string() });
            }
            let docker = Docker::connect_with_unix(&self.host, REQUEST_SECONDS, API_DEFAULT_VERSION);
            let docker = docker.map_err(|cause| self.unavailable(cause))?;
            docker.negotiate_version().await.map_err(|cause| self.unavailable(cause))
        });
        docker.await.cloned()
    }

    /// What a failed request means: the engine is gone, or it refused.
    pub(super) fn failed(&self, doing: &'static str, cause: Error) -> LaunchError {
        match cause {
            Error::DockerResponseServerError { message, .. } => {
                LaunchError::Engine { doing, said: neutralise(message.trim()) }
            }
            Error::SocketNotFoundError(_)
            | Error::HyperLegacyError { .. }
            | Error::HyperResponseError { .. } => self.unavailable(cause),
            Error::RequestTimeoutError => LaunchError::Engine { doing, said: "no answer in time".to_owned() },
            other => LaunchError::Engine { doing, said: neutralise(&other.to_string()) },
        }
    }

    fn unavailable(&self, cause: Error) -> LaunchError {
        let socket = self.host.trim_start_matches("unix://").to_owned();
        if is_permission(&cause) {
            return LaunchError::DockerForbidden { socket, cause: Box::new(cause) };
        }
        LaunchError::DockerUnavailable { socket, cause: Box::new(cause) }
    }
}

/// Whether the status of a failed request is this one.
pub(super) fn is_status(error: &Error, wanted: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == wanted)
}

fn is_permission(error: &Error) -> bool {
    let mut cause = error.source();
    let top = matches!(error, Error::IOError { err } if err.kind() == std::io::ErrorKind::PermissionDenied);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    top
}

/// Where Docker listens when nobody says otherwise.
const DEFAULT: &str = "unix:///var/run/docker.sock";
/// How long the engine may take to begin an answer.
const REQUEST_SECONDS: u64 = 60;

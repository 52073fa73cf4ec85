//! The way to the container engine, looked up when the first container needs it.

use std::error::Error as _;
use std::sync::Arc;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use http::HeaderValue;
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
            let docker = docker.map_err(|cause| self.unavailable(cause))?.with_request_modifier(url_safe);
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

/// The engine reads a login as base64 with the alphabet of URLs (RFC 4648, 5) and takes one it cannot read for none, while
/// the client writes the other alphabet: passwords with `~`, `?`, `>` or letters beyond ASCII would not arrive.
fn url_safe(mut request: BollardRequest) -> BollardRequest {
    if let Some(login) = request.headers().get(LOGIN).and_then(|login| login.to_str().ok())
        && let Ok(mut safe) = HeaderValue::from_str(&login.replace('+', "-").replace('/', "_"))
    {
        safe.set_sensitive(true);
        request.headers_mut().insert(LOGIN, safe);
    }
    request
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
/// Where a request has the login for a registry.
const LOGIN: &str = "x-registry-auth";

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    #[test]
    fn logins_are_written_with_the_alphabet_of_urls() {
        let login = r#"{"password":"~?>~?>\u00ff~~~"}"#.as_bytes();
        let standard = STANDARD.encode(login);
        assert!(standard.contains(['+', '/']), "{standard}");
        let request = || BollardRequest::new(bollard::body_full(bytes::Bytes::new()));
        let mut with_login = request();
        with_login.headers_mut().insert(LOGIN, HeaderValue::from_str(&standard).unwrap());
        let sent = url_safe(with_login).headers().get(LOGIN).cloned().unwrap();
        assert_eq!(URL_SAFE.decode(sent.to_str().unwrap()).unwrap(), login);
        assert!(sent.is_sensitive(), "it is not printed");
        assert!(url_safe(request()).headers().is_empty());
    }
}

//! Images: whether one is there, and how it gets there.
//!
//! A pull runs in a task of its own with its own deadlines; whoever needs the same image watches the same pull.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::{Stream, StreamExt as _};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use wasmgate_core::catalog::Pull;

use super::engine::{Engine, is_status};
use super::layers::Layers;
use super::reference::Reference;
use crate::launch::error::PullFault;
use crate::launch::stderr::neutralise;
use crate::launch::{Account, ImageLogin, ImageLogins, LaunchError, Progress};
use crate::shutdown::Tasks;

/// The images of one engine. Clones share the pulls under way.
#[derive(Clone)]
pub(super) struct Images {
    engine: Engine,
    logins: Option<Arc<dyn ImageLogins>>,
    tasks: Tasks,
    pulls: Arc<Mutex<HashMap<Reference, watch::Receiver<State>>>>,
}

/// How far a pull is.
#[derive(Debug, Clone, Default)]
struct State {
    percent: Option<u8>,
    done: Option<Result<(), Failure>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    fault: PullFault,
    said: String,
}

impl Images {
    /// No pulls yet.
    pub(super) fn new(engine: Engine, logins: Option<Arc<dyn ImageLogins>>, tasks: Tasks) -> Self {
        Self { engine, logins, tasks, pulls: Arc::default() }
    }

    /// What the engine has under the name of an image, as `repository@sha256:...`; nothing when it is to be pulled anyway.
    ///
    /// # Errors
    /// [`LaunchError::ImageMissing`] when it is not there and may not be pulled.
    pub(super) async fn here(
        &self,
        docker: &Docker,
        image: &Reference,
        policy: Pull,
    ) -> Result<Vec<String>, LaunchError> {
        if policy == Pull::Always {
            return Ok(Vec::new());
        }
        match docker.inspect_image(image.as_str()).await {
            Ok(found) => Ok(found.repo_digests.unwrap_or_default()),
            Err(error) if !is_status(&error, 404) => Err(self.engine.failed("look for its image", error)),
            Err(_) if policy == Pull::Never => {
                Err(LaunchError::ImageMissing { image: image.as_str().to_owned() })
            }
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Returns when the image is there.
    ///
    /// # Errors
    /// [`LaunchError::ImageMissing`] when it may not be pulled, [`LaunchError::Pull`] when that failed.
    pub(super) async fn ensure(
        &self,
        docker: &Docker,
        image: &Reference,
        policy: Pull,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), LaunchError> {
        // What names its content cannot have changed, so `always` has nothing to ask the registry.
        if policy != Pull::Always || image.is_pinned() {
            match docker.inspect_image(image.as_str()).await {
                Ok(_) => return Ok(()),
                Err(error) if is_status(&error, 404) => {}
                Err(error) => return Err(self.engine.failed("look for its image", error)),
            }
        }
        if policy == Pull::Never {
            return Err(LaunchError::ImageMissing { image: image.as_str().to_owned() });
        }
        let failed =
            |Failure { fault, said }| LaunchError::Pull { image: image.as_str().to_owned(), fault, said };
        let mut pull = self.join(docker, image);
        progress(Progress::Pulling(None));
        loop {
            let State { percent, done } = pull.borrow_and_update().clone();
            if let Some(done) = done {
                return done.map_err(failed);
            }
            percent.into_iter().for_each(|percent| progress(Progress::Pulling(Some(percent))));
            if pull.changed().await.is_err() {
                return Err(failed(Failure {
                    fault: PullFault::Other,
                    said: "it was interrupted".to_owned(),
                }));
            }
        }
    }

    /// The pull of this image, started now unless it is under way.
    fn join(&self, docker: &Docker, image: &Reference) -> watch::Receiver<State> {
        let mut pulls = self.pulls();
        if let Some(pull) = pulls.get(image).filter(|pull| pull.has_changed().is_ok()) {
            return pull.clone();
        }
        let (state, watched) = watch::channel(State::default());
        pulls.insert(image.clone(), watched.clone());
        drop(pulls);
        let (this, docker, image) = (self.clone(), docker.clone(), image.clone());
        self.tasks.spawn("image pull", async move {
            let stopping = this.tasks.stopping();
            let done = tokio::select! {
                done = pull(&docker, &image, this.logins.as_deref(), &state) => done,
                () = stopping.cancelled() => Err(Failure { fault: PullFault::Other, said: "the gateway stops".to_owned() }),
            };
            this.pulls().remove(&image);
            state.send_modify(|state| state.done = Some(done));
        });
        watched
    }

    fn pulls(&self) -> MutexGuard<'_, HashMap<Reference, watch::Receiver<State>>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pull(
    docker: &Docker,
    image: &Reference,
    logins: Option<&dyn ImageLogins>,
    state: &watch::Sender<State>,
) -> Result<(), Failure> {
    let (repository, version) = image.pull_parts();
    let options = CreateImageOptionsBuilder::default().from_image(repository).tag(version).build();
    let Some(logins) = logins else {
        return follow(docker.create_image(Some(options), None, None), state, NO_PROGRESS).await;
    };
    let login = logins.of(image.as_str()).await;
    let report = docker.create_image(Some(options), None, credentials(&login));
    follow(report, state, NO_PROGRESS).await.map_err(|failure| advised(failure, login))
}

/// A login as the engine wants it.
fn credentials(login: &ImageLogin) -> Option<DockerCredentials> {
    let serveraddress = Some(login.registry.clone());
    match &login.account {
        Account::Nobody(_) => None,
        Account::Password(name, password) => Some(DockerCredentials {
            username: Some(name.clone()),
            password: Some(password.expose_secret().to_owned()),
            serveraddress,
            ..DockerCredentials::default()
        }),
        Account::Identity(token) => Some(DockerCredentials {
            identitytoken: Some(token.expose_secret().to_owned()),
            serveraddress,
            ..DockerCredentials::default()
        }),
    }
}

/// What to do about a pull that its registry denied.
fn advised(Failure { fault, said }: Failure, ImageLogin { registry, account }: ImageLogin) -> Failure {
    match (fault, account) {
        (PullFault::Denied, Account::Nobody(hint)) => {
            let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            Failure { fault, said: format!("run `docker login {registry}`{hint}; Docker says: {said}") }
        }
        (PullFault::Denied, _) => Failure {
            fault: PullFault::LoginDenied,
            said: format!("run `docker login {registry}` with a name that may; Docker says: {said}"),
        },
        (fault, _) => Failure { fault, said },
    }
}

/// Reads the engine's report of a pull to its end, or until nothing has moved for `patience`.
async fn follow(
    report: impl Stream<Item = Result<CreateImageInfo, bollard::errors::Error>>,
    state: &watch::Sender<State>,
    patience: Duration,
) -> Result<(), Failure> {
    tokio::pin!(report);
    let end = Instant::now() + WHOLE_PULL;
    let mut layers = Layers::default();
    let mut quiet_until = Instant::now() + patience;
    loop {
        let late = |_| Failure { fault: PullFault::Other, said: "it made no progress in time".to_owned() };
        match timeout_at(end.min(quiet_until), report.next()).await.map_err(late)? {
            None => return Ok(()),
            Some(Err(error)) => return Err(failure(&error)),
            Some(Ok(info)) => {
                if layers.note(&info) {
                    quiet_until = Instant::now() + patience;
                }
                let percent = layers.percent();
                state.send_if_modified(|state| std::mem::replace(&mut state.percent, percent) != percent);
            }
        }
    }
}

fn failure(error: &bollard::errors::Error) -> Failure {
    use bollard::errors::Error::{DockerResponseServerError, DockerStreamError};
    let said = match error {
        DockerResponseServerError { message, .. } => message.clone(),
        DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    };
    Failure { fault: fault_of(&said), said: neutralise(said.trim()) }
}

/// Whose fault a failed pull is. The engine tells only in words, and answers 500 for most of them.
fn fault_of(said: &str) -> PullFault {
    let said = said.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&UNREACHABLE) {
        PullFault::Unreachable
    } else if has(&DENIED) {
        PullFault::Denied
    } else if has(&NOT_FOUND) {
        PullFault::NotFound
    } else {
        PullFault::Other
    }
}

const UNREACHABLE: [&str; 10] = [
    "no such host",
    "connection refused",
    "i/o timeout",
    "tls handshake timeout",
    "client.timeout",
    "network is unreachable",
    "no route to host",
    "server misbehaving",
    "request canceled while waiting for connection",
    "proxyconnect",
];
const DENIED: [&str; 6] = [
    "no basic auth credentials",
    "access denied",
    "access to the resource is denied",
    "unauthorized",
    "authentication required",
    "forbidden",
];
const NOT_FOUND: [&str; 4] = ["not found", "manifest unknown", "name unknown", "does not exist"];
/// Longest a pull may take.
const WHOLE_PULL: Duration = Duration::from_secs(600);
/// Longest a pull may stand still.
const NO_PROGRESS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_is_read_from_what_dockers_say() {
        for (said, expected) in [
            (
                "Get \"https://r.invalid/v2/\": dial tcp: lookup r.invalid: no such host",
                PullFault::Unreachable,
            ),
            (
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                PullFault::Unreachable,
            ),
            ("Get \"https://x/v2/\": net/http: TLS handshake timeout", PullFault::Unreachable),
            ("manifest for mcp/x:9 not found: manifest unknown: manifest unknown", PullFault::NotFound),
            (
                "pull access denied for nobody/x, repository does not exist or may require 'docker login': denied",
                PullFault::Denied,
            ),
            ("unauthorized: authentication required", PullFault::Denied),
            ("Head \"http://r:5000/v2/x/manifests/1\": no basic auth credentials", PullFault::Denied),
            ("write /var/lib/docker/tmp/x: no space left on device", PullFault::Other),
            ("toomanyrequests: You have reached your pull rate limit", PullFault::Other),
        ] {
            assert_eq!(fault_of(said), expected, "{said}");
        }
    }

    #[tokio::test]
    async fn a_pull_that_stands_still_ends_although_it_talks() {
        let (state, _watched) = watch::channel(State::default());
        let report = futures_util::stream::unfold((), |()| async move {
            tokio::task::yield_now().await;
            let waiting = CreateImageInfo {
                status: Some("Waiting".to_owned()),
                id: Some("a".to_owned()),
                ..CreateImageInfo::default()
            };
            Some((Ok(waiting), ()))
        });
        let failure = follow(report, &state, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(failure.said, "it made no progress in time");
    }

    #[test]
    fn who_is_denied_is_told_where_to_log_in() {
        let advice = |account| {
            let failure = Failure { fault: PullFault::Denied, said: "no".to_owned() };
            let failure = advised(failure, ImageLogin { registry: "r:5000".to_owned(), account });
            format!("{}: {}", failure.fault, failure.said)
        };
        assert_eq!(
            advice(Account::Nobody(Some("`docker-credential-x` failed".to_owned()))),
            "does not exist or may not be pulled without a login: run `docker login r:5000` \
             (`docker-credential-x` failed); Docker says: no"
        );
        assert_eq!(
            advice(Account::Password("me".to_owned(), "hidden".into())),
            "does not exist or may not be pulled with the login of this machine: run `docker login r:5000` with a name \
             that may; Docker says: no"
        );
    }
}

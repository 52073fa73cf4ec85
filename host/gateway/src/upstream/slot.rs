//! The life of one server: start, handshake, lists, serve, and again after a pause when it ends.
//!
//! One instance per server, shared by everybody. Policies (per principal, per session) will make a slot hold several.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use secrecy::ExposeSecret as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmgate_core::catalog::{EnvVar, Launch, Server};
use wasmgate_core::json::{Json, ObjectWriter};

use super::backoff::Backoff;
use super::correlator::Patience;
use super::era::Era;
use super::handshake::{Failure, greet};
use super::link::{Link, Question};
use super::lists::{Lists, is_same};
use super::stdio::{Behind, Ends, Pipe};
use super::{Answer, Ask, Fault, Identity, Offer, State, Status};
use crate::launch::{Channel, Launcher, Progress};
use crate::shutdown::Tasks;

/// What all slots of a pool share.
pub(super) struct Shared {
    pub(super) launcher: Launcher,
    pub(super) tasks: Tasks,
    pub(super) identity: Arc<Identity>,
    /// Counts changes of any state or offer.
    pub(super) changed: watch::Sender<u64>,
    /// How many servers may be starting at once.
    pub(super) starts: Arc<Semaphore>,
    /// The log level clients want.
    pub(super) log_level: watch::Sender<Option<Arc<str>>>,
    /// The pool is closing: calls in flight get no more time.
    pub(super) closing: CancellationToken,
}

/// One server of the pool.
pub(super) struct Slot {
    server: ArcSwap<Server>,
    phase: watch::Sender<Phase>,
    stop: CancellationToken,
}

/// Where a slot is.
#[derive(Clone)]
struct Phase {
    state: State,
    ready: Option<Arc<Ready>>,
    offer: Option<Arc<Offer>>,
}

/// A server that can be asked.
struct Ready {
    link: Link,
    era: Era,
}

impl Slot {
    /// For a server that is not started yet: see [`Slot::live`].
    pub(super) fn new(server: Arc<Server>) -> Self {
        let phase = Phase { state: State::Pending, ready: None, offer: None };
        Self {
            server: ArcSwap::new(server),
            phase: watch::Sender::new(phase),
            stop: CancellationToken::new(),
        }
    }

    /// Takes a newer definition of the same server, when it can be served by the connection there is.
    pub(super) fn keep_for(&self, server: &Arc<Server>) -> bool {
        let keeps = runs_the_same(&self.server.load(), server);
        if keeps {
            self.server.store(Arc::clone(server));
        }
        keeps
    }

    /// The server's state and offer.
    pub(super) fn status(&self) -> Status {
        let phase = self.phase.borrow().clone();
        Status { server: self.server.load_full(), state: phase.state, offer: phase.offer }
    }

    /// Ends the server once its calls in flight are over.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Asks the server, waiting for it when it is starting.
    pub(super) async fn call(&self, ask: Ask) -> Result<Answer, Fault> {
        let deadlines = self.server.load().deadlines;
        let ready = self.ready(deadlines.initialize).await?;
        let question = Question {
            method: &ask.method,
            params: ask.params.as_ref(),
            client: Some(&ask.client),
            events: Some(ask.events),
            patience: Patience::new(deadlines, Instant::now().into_std()),
        };
        ready.link.ask(&ready.era, question).await
    }

    async fn ready(&self, limit: Duration) -> Result<Arc<Ready>, Fault> {
        if let Some(ready) = &self.phase.borrow().ready {
            return Ok(Arc::clone(ready));
        }
        let mut phases = self.phase.subscribe();
        let decided = |phase: &Phase| phase.ready.is_some() || matches!(phase.state, State::Failed { .. });
        match tokio::time::timeout(limit, phases.wait_for(decided)).await {
            Ok(Ok(phase)) => match (&phase.ready, &phase.state) {
                (Some(ready), _) => Ok(Arc::clone(ready)),
                (None, State::Failed { reason, .. }) => Err(Fault::Unavailable(reason.clone())),
                (None, _) => Err(Fault::Unavailable("it has been removed".into())),
            },
            Ok(Err(_)) => Err(Fault::Unavailable("it has been removed".into())),
            Err(_) => Err(Fault::Unavailable("it is still starting".into())),
        }
    }

    /// Runs the server until the slot is stopped.
    pub(super) async fn live(self: Arc<Self>, shared: Arc<Shared>) {
        let mut backoff = Backoff::default();
        while let Some(failure) = self.run_once(&shared, &mut backoff).await {
            let pause = self.fail(&shared, failure, &mut backoff);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => break,
            }
        }
    }

    /// From a start to an end; None when the slot was stopped.
    async fn run_once(&self, shared: &Arc<Shared>, backoff: &mut Backoff) -> Option<Failure> {
        let permit = tokio::select! {
            () = self.stop.cancelled() => return None,
            permit = Arc::clone(&shared.starts).acquire_owned() => permit.ok(),
        };
        self.enter(shared, State::Starting);
        let opened = tokio::select! {
            () = self.stop.cancelled() => return None,
            opened = self.open(shared) => opened,
        };
        let link = match opened {
            Ok(link) => link,
            Err(failure) => return Some(failure),
        };
        let failure = tokio::select! {
            () = self.stop.cancelled() => None,
            failure = self.serve(shared, &link, permit, backoff) => Some(failure),
        };
        // Said before the server is stopped, which may take a while.
        if let Some(failure) = &failure {
            self.enter(shared, failed(failure));
        }
        put_away(shared, &link).await;
        failure
    }

    /// Makes the server run and connects to it.
    async fn open(&self, shared: &Arc<Shared>) -> Result<Link, Failure> {
        let server = self.server.load_full();
        let progress = |progress| match progress {
            Progress::Pulling(percent) => self.enter(shared, State::Pulling(percent)),
            Progress::Starting => self.enter(shared, State::Starting),
        };
        let started = shared.launcher.start(&server, &progress).await;
        let mut instance = started.map_err(|error| Failure {
            code: error.code(),
            reason: format!("could not be started: {}", chain(&error)),
            stderr: None,
        })?;
        match instance.take_channel() {
            Some(Channel::Stdio { input, output }) => {
                let ends = Ends { input, output, behind: Behind::Instance(instance) };
                Ok(Link::Pipe(Arc::new(Pipe::open(server.name.clone(), ends, &shared.tasks))))
            }
            _ => Err(Failure {
                code: "start_failed",
                reason: "gave no way to speak to it".into(),
                stderr: None,
            }),
        }
    }

    /// Shakes hands, reads the lists, and serves until the connection ends.
    async fn serve(
        &self,
        shared: &Arc<Shared>,
        link: &Link,
        permit: Option<OwnedSemaphorePermit>,
        backoff: &mut Backoff,
    ) -> Failure {
        let server = self.server.load_full();
        let starting = async {
            let greeting = greet(link, &server, &shared.identity).await?;
            let era = greeting.era.clone();
            let offer = Lists { link, era: &era, server: &server }.all(greeting).await;
            Ok((era, offer))
        };
        let (era, offer) = match holding(permit, starting).await {
            Ok(started) => started,
            Err(failure) => return failure,
        };
        let ready = Arc::new(Ready { link: link.clone(), era });
        self.become_ready(shared, &ready, offer);
        let since = Instant::now();
        let ending = tokio::select! {
            ending = link.ended() => ending,
            () = self.tend(shared, &ready) => return Failure::from(link.ended().await),
        };
        backoff.served(since.elapsed());
        ending.into()
    }

    /// While the server serves: reads changed lists anew and passes the log level on.
    async fn tend(&self, shared: &Arc<Shared>, ready: &Ready) {
        let mut levels = shared.log_level.subscribe();
        levels.mark_changed();
        loop {
            tokio::select! {
                () = ready.link.signals().raised() => {
                    tokio::time::sleep(COALESCE).await;
                    self.relist(shared, ready).await;
                }
                Ok(()) = levels.changed() => {
                    let level = levels.borrow_and_update().clone();
                    if let Some(level) = level {
                        self.set_log_level(ready, &level).await;
                    }
                }
            }
        }
    }

    async fn relist(&self, shared: &Arc<Shared>, ready: &Ready) {
        let Some(old) = self.phase.borrow().offer.clone() else { return };
        let server = self.server.load_full();
        let kinds = ready.link.signals().take();
        let offer = Lists { link: &ready.link, era: &ready.era, server: &server }.again(&old, kinds).await;
        if !is_same(&old, &offer) {
            self.phase.send_modify(|phase| phase.offer = Some(Arc::new(offer)));
            shared.changed.send_modify(|count| *count += 1);
        }
    }

    /// Towards a modern server every request carries its own level.
    async fn set_log_level(&self, ready: &Ready, level: &str) {
        let offers =
            self.phase.borrow().offer.as_ref().is_some_and(|o| o.capabilities.member("logging").is_some());
        if !offers || matches!(ready.era, Era::Modern(_)) {
            return;
        }
        let params = ObjectWriter::new().member("level", &Json::of(level)).finish();
        let patience = Patience::of(LOG_LEVEL_LIMIT, Instant::now().into_std());
        let question = Question {
            method: "logging/setLevel",
            params: Some(&params),
            client: None,
            events: None,
            patience,
        };
        if !matches!(ready.link.ask(&ready.era, question).await, Ok(Answer::Result(_))) {
            tracing::debug!(server = %self.server.load().name, level, "log level was not accepted");
        }
    }

    fn become_ready(&self, shared: &Shared, ready: &Arc<Ready>, offer: Offer) {
        tracing::info!(
            server = %self.server.load().name, version = %offer.version, tools = offer.tools.len(),
            prompts = offer.prompts.len(), resources = offer.resources.len(), "server ready"
        );
        self.phase.send_modify(|phase| {
            *phase =
                Phase { state: State::Ready, ready: Some(Arc::clone(ready)), offer: Some(Arc::new(offer)) };
        });
        shared.changed.send_modify(|count| *count += 1);
    }

    /// A state in which it cannot be asked.
    fn enter(&self, shared: &Shared, state: State) {
        let is_new = self.phase.send_if_modified(|phase| {
            let is_new = phase.state != state;
            phase.state = state;
            phase.ready = None;
            is_new
        });
        if is_new {
            shared.changed.send_modify(|count| *count += 1);
        }
    }

    /// Notes a failure and says how long to wait.
    fn fail(&self, shared: &Shared, mut failure: Failure, backoff: &mut Backoff) -> Duration {
        let pause = backoff.failed(std::time::Instant::now(), random());
        let again_in = pause.length.as_secs_f32();
        let name = &self.server.load().name;
        tracing::warn!(server = %name, code = failure.code, reason = %failure.reason, again_in, "server failed");
        if pause.is_open {
            failure.reason.push_str(" (it keeps failing: tried again about once a minute)");
        }
        self.enter(shared, failed(&failure));
        pause.length
    }
}

/// Runs a start while holding its permit, but not for long: a server that hangs must not hold others up.
async fn holding<F: Future>(permit: Option<OwnedSemaphorePermit>, start: F) -> F::Output {
    let mut start = std::pin::pin!(start);
    if let Ok(done) = tokio::time::timeout(PERMIT_LIMIT, &mut start).await {
        return done;
    }
    drop(permit);
    start.await
}

/// Ends a connection, giving calls in flight time unless the pool is closing.
async fn put_away(shared: &Shared, link: &Link) {
    tokio::select! {
        () = link.close(DRAIN) => {}
        () = shared.closing.cancelled() => link.close(Duration::ZERO).await,
    }
}

fn failed(failure: &Failure) -> State {
    let Failure { code, reason, stderr } = failure.clone();
    State::Failed { code, reason, stderr }
}

/// Whether both would be started and spoken to in the same way. Secrets count, which `Debug` does not show.
fn runs_the_same(a: &Server, b: &Server) -> bool {
    let written = |server: &Server| format!("{:?} {:?}", server.launch, server.protocol);
    written(a) == written(b) && secrets(&a.launch).eq(secrets(&b.launch))
}

fn secrets(launch: &Launch) -> impl Iterator<Item = &str> {
    let (env, headers): (&[EnvVar], &[_]) = match launch {
        Launch::Container(container) => (&container.env, &[]),
        Launch::Process(process) => (&process.env, &[]),
        Launch::Remote(remote) => (&[], &remote.headers),
    };
    let headers = headers.iter().map(|(_, value)| value.expose_secret());
    env.iter().map(|var| var.value.expose_secret()).chain(headers)
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// In `0.0..1.0`.
pub(super) fn random() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / (f64::from(u32::MAX) + 1.0))
}

/// How long a burst of `list_changed` is gathered.
const COALESCE: Duration = Duration::from_millis(250);
/// How long calls in flight may go on when their server is being replaced.
const DRAIN: Duration = Duration::from_secs(25);
/// How long one start may keep others waiting.
const PERMIT_LIMIT: Duration = Duration::from_secs(2);
const LOG_LEVEL_LIMIT: Duration = Duration::from_secs(5);

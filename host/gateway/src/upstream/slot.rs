//! The life of one server: start, handshake, lists, serve, and again after a pause when it ends.
//!
//! One instance per server, shared by everybody. Policies (per principal, per session) will make a slot hold several.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmgate_core::catalog::Server;
use wasmgate_core::json::{Json, ObjectWriter};

mod calls; // how clients' calls share a connection
mod listen; // the one listen of a modern server
mod open; // from a definition to a connection
mod same; // whether a server must be started anew
mod sessions; // sessions of single clients
mod subscribe; // clients that wait for changes
mod topics; // of what

use self::calls::Calls;
use self::listen::Listener;
use self::same::runs_the_same;
use self::topics::Topics;
use super::backoff::Backoff;
use super::correlator::Patience;
use super::era::Era;
use super::eras::Eras;
use super::handshake::{Failure, Greeting, greet};
use super::link::{Link, Question};
use super::lists::{Lists, is_same};
use super::modern_listen::told_lists;
use super::pool::Clients;
use super::{Answer, Fault, Identity, Limits, Offer, State, Status, Update};
use crate::egress::Egress;
use crate::launch::{Launcher, Progress};
use crate::shutdown::Tasks;

/// What all slots of a pool share.
pub(super) struct Shared {
    pub(super) launcher: Launcher,
    pub(super) egress: Egress,
    pub(super) tasks: Tasks,
    pub(super) identity: Arc<Identity>,
    /// What is known of servers' eras.
    pub(super) eras: Eras,
    /// Counts changes of any state or offer.
    pub(super) changed: watch::Sender<u64>,
    /// How many servers may be starting at once.
    pub(super) starts: Arc<Semaphore>,
    /// The log level clients want.
    pub(super) log_level: watch::Sender<Option<Arc<str>>>,
    /// Resources and tasks that have changed.
    pub(super) updates: broadcast::Sender<Update>,
    /// Whom it serves.
    pub(super) clients: Clients,
    /// What servers may take.
    pub(super) limits: Limits,
    /// The pool is closing: calls in flight get no more time.
    pub(super) closing: CancellationToken,
}

/// One server of the pool.
pub(super) struct Slot {
    server: ArcSwap<Server>,
    phase: watch::Sender<Phase>,
    stop: CancellationToken,
    /// How often a connection was opened: turns through the addresses of a remote.
    opened: AtomicUsize,
    topics: Arc<Topics>,
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
    calls: Arc<Calls>,
}

impl Slot {
    /// For a server that is not started yet: see [`Slot::live`]. Its predecessor's subscriptions are its own, and what that
    /// offered stays listed while it starts.
    pub(super) fn new(server: Arc<Server>, predecessor: Option<&Self>) -> Self {
        let topics = predecessor.map(|slot| Arc::clone(&slot.topics)).unwrap_or_default();
        let offer = predecessor.and_then(|slot| slot.status().offer);
        let phase = Phase { state: State::Pending, ready: None, offer };
        Self {
            server: ArcSwap::new(server),
            phase: watch::Sender::new(phase),
            stop: CancellationToken::new(),
            opened: AtomicUsize::new(0),
            topics,
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

    /// A server that can be asked, other than `old`.
    async fn ready(&self, limit: Duration, old: Option<&Arc<Ready>>) -> Result<Arc<Ready>, Fault> {
        let is_new = |ready: &Arc<Ready>| old.is_none_or(|old| !Arc::ptr_eq(old, ready));
        if let Some(ready) = self.phase.borrow().ready.as_ref().filter(|ready| is_new(ready)) {
            return Ok(Arc::clone(ready));
        }
        let mut phases = self.phase.subscribe();
        let decided = |phase: &Phase| {
            phase.ready.as_ref().is_some_and(is_new) || matches!(phase.state, State::Failed { .. })
        };
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
            if failure.is_detour() {
                continue;
            }
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
        let calls = Arc::new(Calls::new(&self.server.load_full(), shared));
        let failure = tokio::select! {
            () = self.stop.cancelled() => None,
            failure = self.serve(shared, (&link, &calls), permit, backoff) => Some(failure),
            never = calls.sessions.tend() => match never {},
        };
        // Said before the server is stopped, which may take a while.
        if let Some(failure) = failure.as_ref().filter(|failure| !failure.is_detour()) {
            self.enter(shared, failed(failure));
        }
        put_away(shared, &link, &calls).await;
        failure
    }

    async fn open(&self, shared: &Arc<Shared>) -> Result<Link, Failure> {
        let server = self.server.load_full();
        let attempt = self.opened.fetch_add(1, Ordering::Relaxed);
        let progress = |progress| match progress {
            Progress::Pulling(percent) => self.enter(shared, State::Pulling(percent)),
            Progress::Starting => self.enter(shared, State::Starting),
        };
        open::open(shared, &server, attempt, &progress).await
    }

    /// Serves until the connection ends. When only the session did, shakes hands again.
    async fn serve(
        &self,
        shared: &Arc<Shared>,
        (link, calls): (&Link, &Arc<Calls>),
        mut permit: Option<OwnedSemaphorePermit>,
        backoff: &mut Backoff,
    ) -> Failure {
        let mut short_in_row = 0;
        loop {
            let (served, failure) = self.serve_session(shared, (link, calls), permit.take()).await;
            backoff.served(served);
            let is_session_over = link.how_it_ended().is_some_and(|ending| ending.is_session_over());
            short_in_row = if served < SHORT_SESSION { short_in_row + 1 } else { 0 };
            if !is_session_over || short_in_row > MAX_SHORT_SESSIONS {
                return failure;
            }
            self.enter(shared, State::Starting);
            link.begin_again();
        }
    }

    /// Shakes hands, reads the lists, and serves until the connection or the session ends.
    async fn serve_session(
        &self,
        shared: &Arc<Shared>,
        (link, calls): (&Link, &Arc<Calls>),
        permit: Option<OwnedSemaphorePermit>,
    ) -> (Duration, Failure) {
        let server = self.server.load_full();
        let (permit, greeting) =
            match holding(permit, greet(link, &server, &shared.identity, &shared.eras)).await {
                (permit, Ok(greeting)) => (permit, greeting),
                (_, Err(failure)) => return (Duration::ZERO, failure),
            };
        self.topics.begin_again();
        let era = greeting.era.clone();
        let (settled, begun) = oneshot::channel();
        let mut listening = std::pin::pin!(self.listen(link, &greeting, settled));
        let lists = async {
            // Changes that come before the lists are read are in them, those that come later are told.
            let _ = tokio::time::timeout(LISTENING, begun).await;
            let known = self.phase.borrow().offer.as_ref().map(|offer| offer.left_out.clone());
            Lists { link, era: &era, server: &server }.all(greeting, known.unwrap_or_default()).await
        };
        let offer = tokio::select! {
            (_, offer) = holding(permit, lists) => offer,
            never = &mut listening => match never {},
        };
        link.learn(&era, &offer.tools);
        let ready = Arc::new(Ready { link: link.clone(), era, calls: Arc::clone(calls) });
        self.become_ready(shared, &ready, offer);
        let since = Instant::now();
        let ending = tokio::select! {
            ending = link.ended() => ending,
            () = self.tend(shared, &ready) => link.ended().await,
            () = link.listen(&ready.era) => link.ended().await,
            never = self.pass_updates(shared, &ready) => match never {},
            never = self.tell_topics(&ready), if matches!(ready.era, Era::Legacy(_)) => match never {},
            never = &mut listening => match never {},
        };
        (since.elapsed(), ending.into())
    }

    /// Listens to a server of 2026-07-28 for as long as the connection lives.
    fn listen(
        &self,
        link: &Link,
        greeting: &Greeting,
        settled: oneshot::Sender<()>,
    ) -> impl Future<Output = Infallible> + use<> {
        let listener = match &greeting.era {
            Era::Legacy(_) => None,
            Era::Modern(identity) => Some(Listener {
                link: link.clone(),
                identity: Arc::clone(identity),
                server: self.server.load().name.clone(),
                lists: told_lists(&greeting.capabilities),
                topics: Arc::clone(&self.topics),
                settled: Some(settled),
            }),
        };
        async move {
            match listener {
                Some(listener) => listener.run().await,
                None => std::future::pending().await,
            }
        }
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
            ready.link.learn(&ready.era, &offer.tools);
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
        if !set_log_level(&ready.link, &ready.era, level).await {
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
        let stderr = failure.stderr.as_deref().and_then(|text| text.trim().lines().next_back());
        let (code, reason) = (failure.code, &failure.reason);
        tracing::warn!(server = %name, code, %reason, stderr, again_in, "server failed");
        if pause.is_open {
            failure.reason.push_str(" (it keeps failing: tried again about once a minute)");
        }
        self.enter(shared, failed(&failure));
        pause.length
    }
}

/// Runs a part of a start while holding its permit, but not for long: a server that hangs must not hold others up.
async fn holding<F: Future>(
    permit: Option<OwnedSemaphorePermit>,
    start: F,
) -> (Option<OwnedSemaphorePermit>, F::Output) {
    let mut start = std::pin::pin!(start);
    if let Ok(done) = tokio::time::timeout(PERMIT_LIMIT, &mut start).await {
        return (permit, done);
    }
    drop(permit);
    (None, start.await)
}

/// Asks a legacy server for this level; says whether it agrees.
async fn set_log_level(link: &Link, era: &Era, level: &str) -> bool {
    let params = ObjectWriter::new().member("level", &Json::of(level)).finish();
    let patience = Patience::of(LOG_LEVEL_LIMIT, Instant::now().into_std());
    let method = "logging/setLevel";
    let question = Question { method, params: Some(&params), client: None, events: None, patience };
    matches!(link.ask(era, question).await, Ok(Answer::Result(_)))
}

/// Ends a connection, giving calls in flight time unless the pool is closing.
async fn put_away(shared: &Shared, link: &Link, calls: &Calls) {
    calls.close();
    let closing = async |grace: Duration| {
        let began = Instant::now();
        calls.sessions.close(grace).await;
        link.close(grace.saturating_sub(began.elapsed())).await;
    };
    tokio::select! {
        () = closing(DRAIN) => {}
        () = shared.closing.cancelled() => closing(Duration::ZERO).await,
    }
}

fn failed(failure: &Failure) -> State {
    let Failure { code, reason, stderr } = failure.clone();
    State::Failed { code, reason, stderr }
}

/// In `0.0..1.0`.
pub(super) fn random() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / (f64::from(u32::MAX) + 1.0))
}

/// A server that ends sessions sooner than this, several times in a row, has failed.
const SHORT_SESSION: Duration = Duration::from_secs(5);
const MAX_SHORT_SESSIONS: u32 = 3;
/// How long a burst of `list_changed` is gathered.
const COALESCE: Duration = Duration::from_millis(250);
/// How long calls in flight may go on when their server is being replaced.
const DRAIN: Duration = Duration::from_secs(25);
/// How long one start may keep others waiting.
const PERMIT_LIMIT: Duration = Duration::from_secs(2);
/// How long a start waits for the server to begin to tell of changes.
const LISTENING: Duration = Duration::from_millis(250);
const LOG_LEVEL_LIMIT: Duration = Duration::from_secs(5);

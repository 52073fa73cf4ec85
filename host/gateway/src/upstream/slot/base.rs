//! The life of the base instance of a server: start, handshake, lists, serve, and again after a pause when it ends.
//!
//! What is over in a moment is boxed: a server's task is there for as long as the server, and would keep room for all of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep, timeout};
use wasmgate_core::catalog::{Launch, Server, Sharing};

use super::connection::{Calls, LaneInUse, Ready};
use super::listen::Listener;
use super::open;
use super::{Shared, Slot};
use crate::launch::Progress;
use crate::upstream::backoff::{Backoff, Cause, Pause, PauseKind};
use crate::upstream::era::Era;
use crate::upstream::handshake::{Failure, Greeting, greet};
use crate::upstream::link::Link;
use crate::upstream::lists::{Lists, is_same};
use crate::upstream::modern_listen::told_lists;
use crate::upstream::turns::{Client, Turn};
use crate::upstream::{Fault, Offer, State};

/// How one run of an instance ended.
pub(super) enum Course {
    /// The server is gone from the configuration.
    Stopped,
    /// Nobody needs this run any more.
    Retired,
    /// It ended by itself, or never began.
    Failed(Failure),
}

/// How sessions on one connection come and go: one that has ended is renewed, unless that happens too fast.
#[derive(Default)]
pub(super) struct Renewals {
    short_in_row: u32,
}

impl Renewals {
    /// A session that served for so long is over. Whether another may follow on the same connection.
    pub(super) fn may_follow(&mut self, link: &Link, served: Duration) -> bool {
        self.short_in_row = if served < SHORT_SESSION { self.short_in_row + 1 } else { 0 };
        let is_session_over = link.how_it_ended().is_some_and(|ending| ending.is_session_over());
        let may_follow = is_session_over && self.short_in_row <= MAX_SHORT_SESSIONS;
        if may_follow {
            link.begin_again();
        }
        may_follow
    }
}

impl Slot {
    /// Keeps the base running until the slot is stopped.
    pub(super) async fn live_as_base(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut backoff = Backoff::default();
        let mut place = None;
        loop {
            if place.is_none() {
                place = self.place().await;
            }
            match self.run_once(shared, &mut backoff).await {
                Course::Stopped => return,
                Course::Retired => {
                    if self.roster().is_asleep {
                        drop(place.take());
                        tokio::select! {
                            biased;
                            () = self.stop.cancelled() => return,
                            () = self.rouse.notified() => self.roster().is_asleep = false,
                        }
                    }
                }
                Course::Failed(failure) if failure.is_detour() => {}
                Course::Failed(failure) => {
                    let pause = self.fail(shared, failure, &mut backoff);
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return,
                        () = self.pardon.notified() => {}
                        () = sleep(pause) => {}
                    }
                }
            }
        }
    }

    async fn place(&self) -> Option<Turn> {
        self.place_for(&Client { principal: "".into(), session: None }).await.ok()
    }

    /// From a start to an end.
    async fn run_once(self: &Arc<Self>, shared: &Arc<Shared>, backoff: &mut Backoff) -> Course {
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Course::Stopped,
            permit = Arc::clone(&shared.starts).acquire_owned() => permit.ok(),
        };
        self.starts(shared, State::Starting);
        let lane = LaneInUse::take(self, None);
        let (permit, opened) = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Course::Stopped,
            opened = holding(permit, Box::pin(self.open(shared, lane.lane))) => opened,
        };
        let link = match opened {
            Ok(link) => link,
            Err(failure) => {
                self.broke(&failure, lane.lane);
                return Course::Failed(failure);
            }
        };
        let over = self.stop.child_token();
        self.roster().base_over = Some(over.clone());
        let calls = Arc::new(Calls::new(&self.server.load_full(), shared, self, (lane.lane, over)));
        let course = tokio::select! {
            biased;
            () = self.stop.cancelled() => Course::Stopped,
            () = calls.over.cancelled() => Course::Retired,
            failure = self.serve(shared, (&link, &calls), permit, backoff) => Course::Failed(failure),
            never = calls.sessions.tend() => match never {},
        };
        // Said before the server is stopped, which may take a while.
        match &course {
            Course::Failed(failure) if !failure.is_detour() => {
                self.broke(failure, lane.lane);
                let turns_elsewhere = self.lanes.has_other(lane.lane, Instant::now());
                self.enter(shared, if turns_elsewhere { State::Starting } else { failed(failure) });
            }
            Course::Failed(_) | Course::Stopped => {}
            // Nothing is wrong, and whoever calls is waited for by the next one.
            Course::Retired => self.enter(shared, State::Ready),
        }
        match &course {
            Course::Failed(failure) if !failure.is_detour() => {
                Box::pin(shared.put_away_broken(&self.server.load(), link, calls)).await;
            }
            _ => Box::pin(shared.put_away(&link, &calls)).await,
        }
        course
    }

    /// The connection to an address is gone.
    pub(super) fn broke(&self, failure: &Failure, lane: usize) {
        if !failure.is_detour() {
            self.lanes.broke(lane, Instant::now());
            self.house.wake.notify_one();
        }
    }

    async fn open(&self, shared: &Arc<Shared>, lane: usize) -> Result<Link, Failure> {
        let server = self.server.load_full();
        let progress = |progress| match progress {
            Progress::Pulling(percent) => self.starts(shared, State::Pulling(percent)),
            Progress::Starting => self.starts(shared, State::Starting),
        };
        let opened = open::open(shared, &server, lane, &progress).await;
        opened.inspect(|link| link.signals().share(&self.house.budget))
    }

    /// Serves until the connection ends. When only the session did, shakes hands again.
    async fn serve(
        &self,
        shared: &Arc<Shared>,
        (link, calls): (&Link, &Arc<Calls>),
        mut permit: Option<OwnedSemaphorePermit>,
        backoff: &mut Backoff,
    ) -> Failure {
        let mut renewals = Renewals::default();
        loop {
            let (served, failure) = self.serve_session(shared, (link, calls), permit.take()).await;
            backoff.served(served);
            if !renewals.may_follow(link, served) {
                return failure;
            }
            self.enter(shared, State::Starting);
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
        let greeting = Box::pin(greet(link, &server, &shared.identity, &shared.eras));
        let (permit, greeting) = match holding(permit, greeting).await {
            (permit, Ok(greeting)) => (permit, greeting),
            (_, Err(failure)) => return (Duration::ZERO, failure),
        };
        self.lanes.greeted(calls.lane, Instant::now());
        self.topics.begin_again();
        let era = greeting.era.clone();
        let (settled, begun) = oneshot::channel();
        let mut listening = std::pin::pin!(self.listen(link, &greeting, settled));
        let lists = Box::pin(async {
            // Changes that come before the lists are read are in them, those that come later are told.
            let _ = timeout(LISTENING, begun).await;
            let known = self.phase.borrow().offer.as_ref().map(|offer| offer.left_out.clone());
            Lists { link, era: &era, server: &server }.all(greeting, known.unwrap_or_default()).await
        });
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
            () = Box::pin(link.listen(&ready.era)) => link.ended().await,
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
            Era::Modern(ourselves) => Some(Listener {
                link: link.clone(),
                ourselves: ourselves.clone(),
                server: self.server.load().name.clone(),
                lists: told_lists(&greeting.capabilities),
                topics: Arc::clone(&self.topics),
                settled: Some(settled),
            }),
        };
        async move {
            match listener {
                Some(listener) => Box::pin(listener.run()).await,
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
                () = ready.link.signals().grew_noisy() => self.house.wake.notify_one(),
                () = ready.link.signals().raised() => {
                    sleep(COALESCE).await;
                    Box::pin(self.relist(shared, ready)).await;
                }
                Ok(()) = levels.changed() => {
                    let level = levels.borrow_and_update().clone();
                    if let Some(level) = level {
                        Box::pin(self.set_log_level(ready, &level)).await;
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
            self.phase(shared, |phase| {
                phase.offer = Some(Arc::new(offer));
                true
            });
        }
    }

    /// Passes the level on to a server that offers logging.
    pub(super) async fn set_log_level(&self, ready: &Ready, level: &str) {
        let offer = self.phase.borrow().offer.clone();
        let is_logging = offer.is_some_and(|offer| offer.capabilities.member("logging").is_some());
        if is_logging && ready.refuses_level(level).await {
            tracing::debug!(server = %self.server.load().name, level, "log level was not accepted");
        }
    }

    fn become_ready(&self, shared: &Shared, ready: &Arc<Ready>, offer: Offer) {
        tracing::info!(
            server = %self.server.load().name, version = %offer.version, tools = offer.tools.len(),
            prompts = offer.prompts.len(), resources = offer.resources.len(), "server ready"
        );
        self.roster().base_up(ready, sharing(&self.server.load(), &ready.era));
        self.phase(shared, |phase| {
            phase.state = State::Ready;
            phase.ready = Some(Arc::clone(ready));
            phase.offer = Some(Arc::new(offer));
            true
        });
        self.house.wake.notify_one();
    }

    /// How far a start has come. One that takes the place of a base that was not needed any more is nobody's concern.
    fn starts(&self, shared: &Shared, state: State) {
        if self.phase.borrow().state != State::Ready {
            self.enter(shared, state);
        }
    }

    /// A state in which it cannot be asked.
    fn enter(&self, shared: &Shared, state: State) {
        self.roster().base_down();
        self.phase(shared, |phase| {
            let is_new = phase.state != state;
            phase.state = state;
            phase.ready = None;
            is_new
        });
    }

    /// Notes a failure and says how long to wait.
    fn fail(&self, shared: &Shared, mut failure: Failure, backoff: &mut Backoff) -> Duration {
        let Pause { length, kind } =
            backoff.failed(Cause::of(failure.code), Instant::now(), shared.dice.unit());
        // Another address may do better, at once.
        let turns_elsewhere = self.lanes.count() > 1 && self.lanes.has_any(Instant::now());
        let length = if turns_elsewhere { Duration::ZERO } else { length };
        let again_in = length.as_secs_f32();
        let name = &self.server.load().name;
        let stderr = failure.stderr.as_deref().and_then(|text| text.trim().lines().next_back());
        let (code, reason) = (failure.code, &failure.reason);
        tracing::warn!(server = %name, code, %reason, stderr, again_in, "server failed");
        let state = match kind {
            _ if turns_elsewhere => State::Starting,
            PauseKind::Quarantine => {
                let reason = quarantined(&failure.reason);
                let rest = Some((Instant::now() + length, Fault::Unavailable(reason.clone())));
                let mut roster = self.roster();
                roster.shut.clone_from(&rest);
                roster.rest = rest;
                drop(roster);
                State::Quarantined { reason }
            }
            PauseKind::Open => {
                failure.reason.push_str(" (it keeps failing: tried again about once a minute)");
                failed(&failure)
            }
            PauseKind::Short => failed(&failure),
        };
        self.enter(shared, state);
        length
    }
}

/// Who shares an instance of this server, now that its era is known. A server elsewhere that speaks 2026-07-28 keeps
/// nothing of a client between two requests: there is nothing to keep apart.
pub(super) fn sharing(server: &Server, era: &Era) -> Sharing {
    match (&server.launch, era) {
        (Launch::Tools(_), _) | (Launch::Remote(_), Era::Modern(_)) => Sharing::Shared,
        _ => server.instances.sharing,
    }
}

/// Runs a part of a start while holding its permit, but not for long: a server that hangs must not hold others up.
pub(super) async fn holding<F: Future>(
    permit: Option<OwnedSemaphorePermit>,
    start: F,
) -> (Option<OwnedSemaphorePermit>, F::Output) {
    let mut start = std::pin::pin!(start);
    if let Ok(done) = timeout(PERMIT_LIMIT, &mut start).await {
        return (permit, done);
    }
    drop(permit);
    (None, start.await)
}

/// Why a server is left alone, and what ends that.
pub(super) fn quarantined(reason: &str) -> String {
    format!(
        "{reason} twice within 5 minutes: not started again for 10 minutes, or until its definition changes or the \
         configuration is reloaded (SIGHUP); give it more `memory` if it needs that"
    )
}

fn failed(failure: &Failure) -> State {
    let Failure { code, reason, stderr } = failure.clone();
    State::Failed { code, reason, stderr }
}

/// A server that ends sessions sooner than this, several times in a row, has failed.
const SHORT_SESSION: Duration = Duration::from_secs(5);
const MAX_SHORT_SESSIONS: u32 = 3;
/// How long a burst of `list_changed` is gathered.
const COALESCE: Duration = Duration::from_millis(250);
/// How long one start may keep others waiting.
const PERMIT_LIMIT: Duration = Duration::from_secs(2);
/// How long a start waits for the server to begin to tell of changes.
const LISTENING: Duration = Duration::from_millis(250);

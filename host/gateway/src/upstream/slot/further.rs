//! The life of an instance besides the base: a place, start, handshake, serve, end. It reads no lists and hears of no
//! changes; what it offers is taken to be what the base offers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use wasmgate_core::catalog::Sharing;

use super::base::{Course, Renewals, holding, sharing};
use super::connection::{Calls, LaneInUse, Ready};
use super::open;
use super::{Shared, Slot};
use crate::upstream::Fault;
use crate::upstream::era::Era;
use crate::upstream::handshake::{Failure, greet};
use crate::upstream::link::Link;
use crate::upstream::turns::Client;

/// An instance besides the base.
pub(super) struct Further {
    /// Counts up within its server.
    pub(super) number: u64,
    pub(super) stage: watch::Sender<Stage>,
    /// Nobody needs it any more.
    pub(super) over: CancellationToken,
    /// The address it must go to, when it is there for that.
    pub(super) lane: Option<usize>,
    /// Who waited for it first.
    client: Client,
    /// How many wait for it now.
    waiting: AtomicUsize,
}

/// How far it is.
#[derive(Clone)]
pub(super) enum Stage {
    /// As many run as may.
    Placing,
    /// Starting, or in its handshake.
    Opening,
    /// It can be asked.
    Open(Arc<Ready>),
    /// It has ended.
    Over {
        /// Why.
        fault: Fault,
        /// Not before then.
        again: Instant,
    },
}

/// One that waits for an instance, until dropped.
struct Waiter<'a> {
    slot: &'a Slot,
    further: &'a Arc<Further>,
}

impl Further {
    pub(super) fn new(
        number: u64,
        client: Client,
        lane: Option<usize>,
        over: CancellationToken,
    ) -> Arc<Self> {
        let (stage, waiting) = (watch::Sender::new(Stage::Placing), AtomicUsize::new(0));
        Arc::new(Self { number, stage, over, lane, client, waiting })
    }

    /// It, when it can be asked.
    pub(super) fn ready(&self) -> Option<Arc<Ready>> {
        match &*self.stage.borrow() {
            Stage::Open(ready) => Some(Arc::clone(ready)),
            Stage::Placing | Stage::Opening | Stage::Over { .. } => None,
        }
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        matches!(&*self.stage.borrow(), Stage::Over { .. })
    }

    /// Nobody needs it any more: it ends once its calls in flight are over.
    pub(super) fn retire(&self) {
        self.over.cancel();
    }
}

impl Slot {
    /// Starts an instance in the background.
    pub(super) fn begin(self: &Arc<Self>, shared: &Arc<Shared>, further: &Arc<Further>) {
        let life = Arc::clone(self).live_as_further(Arc::clone(shared), Arc::clone(further));
        shared.tasks.spawn("upstream-further", shared.lives.track_future(life));
    }

    /// Waits until it can be asked, by another connection than `old`, or is over.
    ///
    /// # Errors
    /// [`Fault`] when that takes too long: until `until` for a place, and then the server's own limit.
    pub(super) async fn opened(
        &self,
        further: &Arc<Further>,
        until: Instant,
        old: Option<&Arc<Ready>>,
    ) -> Result<Stage, Fault> {
        let _waiter = Waiter::new(self, further);
        let mut stage = further.stage.subscribe();
        let placed = stage.wait_for(|stage| !matches!(stage, Stage::Placing));
        let is_placed = timeout_at(until, placed).await.is_ok();
        if !is_placed {
            return Err(Fault::Busy("as many of its instances run as may".into()));
        }
        let is_decided = |stage: &Stage| match stage {
            Stage::Open(ready) => old.is_none_or(|old| !Arc::ptr_eq(old, ready)),
            Stage::Over { .. } => true,
            Stage::Placing | Stage::Opening => false,
        };
        let limit = self.server.load().deadlines.initialize;
        match timeout(limit, stage.wait_for(is_decided)).await {
            Ok(Ok(stage)) => Ok(stage.clone()),
            _ => Err(Fault::Unavailable("it is still starting".into())),
        }
    }

    async fn live_as_further(self: Arc<Self>, shared: Arc<Shared>, further: Arc<Further>) {
        let place = tokio::select! {
            biased;
            () = further.over.cancelled() => None,
            place = self.place_for(&further.client) => Some(place),
        };
        let place = match place {
            Some(Ok(place)) => place,
            Some(Err(no_turn)) => return self.is_over(&shared, &further, &Ending::NoPlace(no_turn.into())),
            None => return self.is_over(&shared, &further, &Ending::Retired),
        };
        loop {
            further.stage.send_replace(Stage::Opening);
            let lane = LaneInUse::take(&self, further.lane);
            match self.run_further(&shared, &further, lane.lane).await {
                Course::Failed(failure) if failure.is_detour() => {}
                _ => break,
            }
        }
        drop(place);
        self.house.wake.notify_one();
    }

    async fn run_further(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        further: &Arc<Further>,
        lane: usize,
    ) -> Course {
        let server = self.server.load_full();
        let starting = async {
            let permit = Arc::clone(&shared.starts).acquire_owned().await.ok();
            let (permit, opened) =
                holding(permit, Box::pin(open::open(shared, &server, lane, &|_| {}))).await;
            opened.inspect(|link| link.signals().share(&self.house.budget)).map(|link| (link, permit))
        };
        let started = further.over.run_until_cancelled(starting).await;
        let (link, permit) = match started {
            None => return self.end_further(shared, further, (Course::Retired, lane)),
            Some(Err(failure)) => {
                return self.end_further(shared, further, (Course::Failed(failure), lane));
            }
            Some(Ok(started)) => started,
        };
        let calls = Arc::new(Calls::new(&server, shared, self, (lane, further.over.clone())));
        let course = tokio::select! {
            biased;
            () = further.over.cancelled() => Course::Retired,
            failure = self.serve_further(shared, further, (&link, &calls), permit) => Course::Failed(failure),
            never = calls.sessions.tend() => match never {},
        };
        // Said before it is stopped, which may take a while.
        let course = self.end_further(shared, further, (course, lane));
        match &course {
            Course::Failed(failure) if !failure.is_detour() => {
                Box::pin(shared.put_away_broken(&self.server.load(), link, calls)).await;
            }
            _ => Box::pin(shared.put_away(&link, &calls)).await,
        }
        course
    }

    async fn serve_further(
        &self,
        shared: &Arc<Shared>,
        further: &Further,
        (link, calls): (&Link, &Arc<Calls>),
        mut permit: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> Failure {
        let mut renewals = Renewals::default();
        loop {
            let server = self.server.load_full();
            let greeting = Box::pin(greet(link, &server, &shared.identity, &shared.eras));
            let greeting = match holding(permit.take(), greeting).await {
                (_, Ok(greeting)) => greeting,
                (_, Err(failure)) => return failure,
            };
            if !self.may_serve(further, &greeting.era) {
                return another_era();
            }
            self.lanes.greeted(calls.lane, Instant::now());
            let ready = Arc::new(Ready { link: link.clone(), era: greeting.era, calls: Arc::clone(calls) });
            let mut levels = shared.log_level.subscribe();
            Box::pin(self.pass_level(&ready, &mut levels)).await;
            if let Some(offer) = &self.phase.borrow().offer {
                link.learn(&ready.era, &offer.tools);
            }
            further.stage.send_replace(Stage::Open(Arc::clone(&ready)));
            self.house.wake.notify_one();
            let since = Instant::now();
            let ending = tokio::select! {
                ending = link.ended() => ending,
                () = self.follow_levels(&ready, levels) => link.ended().await,
                () = Box::pin(link.listen(&ready.era)) => link.ended().await,
            };
            if !renewals.may_follow(link, since.elapsed()) {
                return ending.into();
            }
            further.stage.send_replace(Stage::Opening);
        }
    }

    /// Whether everybody may use an instance that is there for everybody: one of an older version than the base, at
    /// another address, keeps apart what its sessions are told.
    fn may_serve(&self, further: &Further, era: &Era) -> bool {
        let is_everybodys = self.roster().shared.iter().any(|other| other.number == further.number);
        !is_everybodys || sharing(&self.server.load(), era) == Sharing::Shared
    }

    async fn pass_level(&self, ready: &Ready, levels: &mut watch::Receiver<Option<Arc<str>>>) {
        let level = levels.borrow_and_update().clone();
        if let Some(level) = level {
            self.set_log_level(ready, &level).await;
        }
    }

    async fn follow_levels(&self, ready: &Ready, mut levels: watch::Receiver<Option<Arc<str>>>) {
        while levels.changed().await.is_ok() {
            Box::pin(self.pass_level(ready, &mut levels)).await;
        }
    }

    /// Says that it has ended, unless it is only to be connected to in another way.
    fn end_further(&self, shared: &Shared, further: &Arc<Further>, ended: (Course, usize)) -> Course {
        let (course, lane) = ended;
        match &course {
            Course::Failed(failure) if failure.is_detour() => {}
            Course::Failed(failure) => {
                self.broke(failure, lane);
                let name = &self.server.load().name;
                let (code, reason, number) = (failure.code, &failure.reason, further.number);
                tracing::warn!(server = %name, number, code, %reason, "an instance failed");
                self.is_over(shared, further, &Ending::Failed(failure.clone()));
            }
            Course::Stopped | Course::Retired => self.is_over(shared, further, &Ending::Retired),
        }
        course
    }

    fn is_over(&self, shared: &Shared, further: &Arc<Further>, ending: &Ending) {
        let now = Instant::now();
        let can_turn = self.lanes.count() > 1 && self.lanes.has_any(now);
        let (fault, again) = match ending {
            Ending::Retired => (Fault::Unavailable("it was ended".into()), now),
            Ending::NoPlace(fault) => (fault.clone(), now),
            Ending::Failed(failure) => {
                let (reason, pause) = self.roster().failed(further, failure, now, shared.dice.unit());
                (Fault::Unavailable(reason), if can_turn { now } else { now + pause })
            }
        };
        further.stage.send_replace(Stage::Over { fault, again });
        self.house.wake.notify_one();
    }
}

/// Why an instance is over.
enum Ending {
    Retired,
    NoPlace(Fault),
    Failed(Failure),
}

impl<'a> Waiter<'a> {
    fn new(slot: &'a Slot, further: &'a Arc<Further>) -> Self {
        further.waiting.fetch_add(1, Ordering::Relaxed);
        Self { slot, further }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let is_last = self.further.waiting.fetch_sub(1, Ordering::Relaxed) == 1;
        // It has not begun, and nobody would use it.
        if is_last && matches!(&*self.further.stage.borrow(), Stage::Placing) {
            self.slot.roster().forget(self.further);
            self.further.retire();
        }
    }
}

fn another_era() -> Failure {
    let reason = "speaks an older version than the server's other addresses, and is not for everybody".into();
    Failure { code: "unavailable", reason, stderr: None }
}

/// How long what is known of an instance that failed is kept for its client.
pub(super) const REMEMBERED: Duration = Duration::from_secs(120);

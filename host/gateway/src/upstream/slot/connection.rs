//! One connection that calls go out on, and what they share there: turns, when an instance takes only so many at once, and
//! sessions of a client's own, when the server may ask it something.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmgate_core::catalog::{Launch, Server};
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::MAY_ASK;

use super::sessions::{Lease as Session, Sessions};
use super::{House, Shared, Slot, WAITING};
use crate::upstream::correlator::Patience;
use crate::upstream::declared::Declared;
use crate::upstream::era::Era;
use crate::upstream::link::{Link, Question};
use crate::upstream::pool::Clients;
use crate::upstream::turns::{Turn, Turns};
use crate::upstream::{Answer, Ask};

/// An instance that can be asked.
pub(super) struct Ready {
    pub(super) link: Link,
    pub(super) era: Era,
    pub(super) calls: Arc<Calls>,
}

/// What the calls on one connection share besides it.
pub(super) struct Calls {
    /// The instance's own limit.
    pub(super) turns: Option<Arc<Turns>>,
    pub(super) sessions: Sessions,
    /// Which address of the server it goes to.
    pub(super) lane: usize,
    /// No more calls will come: the instance ends once those it has are over.
    pub(super) over: CancellationToken,
    /// When it was opened.
    pub(super) began: Instant,
    /// Turns of calls that wait for their clients: nobody waits for them once the connection is gone.
    parked: Mutex<Vec<Weak<Parked>>>,
    house: Arc<House>,
    in_flight: AtomicUsize,
    /// When the last call ended.
    last: Mutex<Instant>,
}

/// A call that has an instance: it is not ended meanwhile.
pub(super) struct Lease {
    pub(super) ready: Arc<Ready>,
    /// Whether the instance is for this call only.
    is_only: bool,
}

/// The turns of a call that waits for its client, until they are taken or it is over.
pub(super) struct Parked(Mutex<Vec<Turn>>);

/// An address in use, until dropped.
pub(super) struct LaneInUse {
    slot: Arc<Slot>,
    pub(super) lane: usize,
}

impl Calls {
    pub(super) fn new(
        server: &Arc<Server>,
        shared: &Arc<Shared>,
        slot: &Slot,
        (lane, over): (usize, CancellationToken),
    ) -> Self {
        Self {
            turns: server.max_in_flight.map(|most| Turns::new(most.get(), WAITING)),
            sessions: Sessions::new(Arc::clone(server), Arc::clone(shared)),
            lane,
            over,
            began: Instant::now(),
            parked: Mutex::default(),
            house: Arc::clone(&slot.house),
            in_flight: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        }
    }

    /// How many calls have it.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Since when no call has had it; None while one does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.in_flight() == 0;
        is_idle.then(|| *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It is unused from now on, not since it was begun.
    pub(super) fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Keeps the turns of a call that waits for its client, as long as the connection lasts.
    pub(super) fn park(&self, turns: Vec<Turn>) -> Arc<Parked> {
        let parked = Arc::new(Parked(Mutex::new(turns)));
        let mut all = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|parked| parked.strong_count() > 0);
        all.push(Arc::downgrade(&parked));
        parked
    }

    /// The connection is gone, and with it the calls on it, whether or not their clients know.
    fn release_parked(&self) {
        let all = std::mem::take(&mut *self.parked.lock().unwrap_or_else(PoisonError::into_inner));
        all.iter().filter_map(Weak::upgrade).for_each(|parked| parked.release());
    }

    /// The connection is over: nobody waits for it any longer.
    pub(super) fn close(&self) {
        self.turns.iter().for_each(|turns| turns.close());
    }
}

impl Parked {
    /// Gives the turns on.
    pub(super) fn release(&self) {
        drop(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)));
    }
}

impl Ready {
    /// Whether nothing is known to be wrong with it.
    pub(super) fn is_up(&self) -> bool {
        self.link.how_it_ended().is_none()
    }

    /// The session of the client's own, when the server may ask it something and it has one.
    pub(super) async fn session(&self, ask: &Ask) -> Option<Session> {
        let (Era::Legacy(_), Link::Http(base)) = (&self.era, &self.link) else { return None };
        if !MAY_ASK.contains(&&*ask.method) {
            return None;
        }
        let declared = Declared::of(&ask.client.capabilities);
        self.calls.sessions.lease(base, &ask.principal, declared).await
    }

    /// Tells a server of an older version which log messages are wanted, if it cares (`is_logging`). Towards a modern one
    /// every request carries its own level. Says whether it did not agree.
    pub(super) async fn refuses_level(&self, level: &str) -> bool {
        matches!(self.era, Era::Legacy(_)) && !set_log_level(&self.link, &self.era, level).await
    }
}

impl Lease {
    /// One more call has this instance. Under the roster's lock, or nothing else keeps it from ending.
    pub(super) fn of(ready: &Arc<Ready>) -> Self {
        ready.calls.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { ready: Arc::clone(ready), is_only: false }
    }

    /// The instance ends with this call.
    pub(super) fn only(ready: &Arc<Ready>) -> Self {
        let mut lease = Self::of(ready);
        lease.is_only = true;
        lease
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let calls = &self.ready.calls;
        if self.is_only {
            calls.over.cancel();
        }
        if calls.in_flight.load(Ordering::Relaxed) == 1 {
            *calls.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        let is_idle = calls.in_flight.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_idle && calls.house.places.is_wanted() {
            calls.house.wake.notify_one();
        }
    }
}

impl LaneInUse {
    /// This one, or the one that is best now.
    pub(super) fn take(slot: &Arc<Slot>, lane: Option<usize>) -> Self {
        let lane = match lane {
            Some(lane) => {
                slot.lanes.take_this(lane);
                lane
            }
            None => slot.lanes.take(Instant::now()),
        };
        Self { slot: Arc::clone(slot), lane }
    }
}

impl Drop for LaneInUse {
    fn drop(&mut self) {
        self.slot.lanes.give_back(self.lane);
        self.slot.house.wake.notify_one();
    }
}

impl Shared {
    /// What a server on a pair of pipes is told it may ask: what can be told apart, or need not be.
    pub(super) fn declared(&self, server: &Server) -> Declared {
        let one_at_a_time = server.max_in_flight.is_some_and(|most| most.get() == 1);
        if one_at_a_time || self.clients == Clients::One { Declared::ANYTHING } else { Declared::NOTHING }
    }

    /// Ends a connection that broke. Calls that still go on at a remote have their time, and delay no new connection; a
    /// server of our own is gone before the next one starts.
    pub(super) async fn put_away_broken(self: &Arc<Self>, server: &Server, link: Link, calls: Arc<Calls>) {
        if !matches!(server.launch, Launch::Remote(_)) {
            return self.put_away(&link, &calls).await;
        }
        calls.close();
        let shared = Arc::clone(self);
        let away = async move { shared.put_away(&link, &calls).await };
        self.tasks.spawn("upstream-away", self.lives.track_future(away));
    }

    /// Ends a connection, giving calls in flight time unless the pool is closing.
    pub(super) async fn put_away(&self, link: &Link, calls: &Calls) {
        calls.close();
        let closing = async |grace: Duration| {
            let began = Instant::now();
            calls.sessions.close(grace).await;
            link.close(grace.saturating_sub(began.elapsed())).await;
        };
        tokio::select! {
            biased;
            () = self.closing.cancelled() => closing(Duration::ZERO).await,
            () = closing(DRAIN) => {}
        }
        calls.release_parked();
    }
}

/// Asks a legacy server for this level; says whether it agrees.
pub(super) async fn set_log_level(link: &Link, era: &Era, level: &str) -> bool {
    let params = ObjectWriter::new().member("level", &Json::of(level)).finish();
    let patience = Patience::of(LOG_LEVEL_LIMIT, Instant::now().into_std());
    let method = "logging/setLevel";
    let question = Question { method, params: Some(&params), client: None, events: None, patience };
    matches!(link.ask(era, question).await, Ok(Answer::Result(_)))
}

/// How long calls in flight may go on when their instance is being replaced.
const DRAIN: Duration = Duration::from_secs(25);
const LOG_LEVEL_LIMIT: Duration = Duration::from_secs(5);

//! One server: how far its start has come, which instances of it there are, and who has which.
//!
//! One instance is the *base*: started first, and again whenever it ends; lists, subscriptions and log levels are its
//! own, and the server's state is its state ([`base`]). It serves calls like any other. Further instances come and go
//! with the clients ([`further`]); [`roster`] says who has which, [`keeper`] ends the idle ones, keeps spares and
//! opens connections to the other addresses of a remote. A call finds its instance in [`calls`].

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmgate_core::catalog::{Launch, Server, Sharing};

mod base; // the life of the first instance
mod calls; // from a call to an instance, and its turns
mod connection; // what the calls on one connection share
mod further; // the life of any other instance
mod keeper; // spares, idle ones, other addresses
mod listen; // the one listen of a modern server
mod open; // from a definition to a connection
mod roster; // who has which instance
mod same; // whether a server must be started anew
mod sessions; // sessions of single clients
mod subscribe; // clients that wait for changes
mod topics; // of what

pub(super) use self::calls::Called;
#[cfg(test)]
pub(super) use self::open::Opener;

use self::connection::Ready;
use self::roster::Roster;
use self::same::runs_the_same;
use self::topics::Topics;
use super::budget::Budget;
use super::dice::Dice;
use super::eras::Eras;
use super::lanes::Lanes;
use super::pool::Clients;
use super::turns::{Client, NoTurn, Turn, Turns};
use super::{Fault, Identity, Limits, Offer, State, Status, Update};
use crate::egress::Egress;
use crate::launch::Launcher;
use crate::shutdown::Tasks;

/// What all slots of a pool share.
pub(super) struct Shared {
    pub(super) launcher: Launcher,
    pub(super) egress: Egress,
    pub(super) tasks: Tasks,
    /// The lives of all instances, of removed servers that still drain among them.
    pub(super) lives: TaskTracker,
    pub(super) identity: Arc<Identity>,
    /// What is known of servers' eras.
    pub(super) eras: Eras,
    /// Counts changes of any state or offer.
    pub(super) changed: watch::Sender<u64>,
    /// How many servers may be starting at once.
    pub(super) starts: Arc<Semaphore>,
    /// Calls with servers at once, all servers together.
    pub(super) turns: Arc<Turns>,
    /// The log level clients want.
    pub(super) log_level: watch::Sender<Option<Arc<str>>>,
    /// Resources and tasks that have changed.
    pub(super) updates: broadcast::Sender<Update>,
    /// Whom it serves.
    pub(super) clients: Clients,
    /// What servers may take.
    pub(super) limits: Limits,
    /// Chance.
    pub(super) dice: Dice,
    /// The pool is closing: calls in flight get no more time.
    pub(super) closing: CancellationToken,
    /// In place of real servers.
    #[cfg(test)]
    pub(super) opener: Option<Opener>,
}

/// One server of the pool.
pub(super) struct Slot {
    server: ArcSwap<Server>,
    phase: watch::Sender<Phase>,
    stop: CancellationToken,
    /// Ends a quarantine.
    pardon: Notify,
    /// Ends the sleep of a base that nobody needed.
    rouse: Notify,
    topics: Arc<Topics>,
    /// The addresses it is reached at.
    lanes: Lanes,
    house: Arc<House>,
    roster: Mutex<Roster>,
}

/// What bounds the instances of one server together.
pub(super) struct House {
    /// Calls with it at once.
    turns: Arc<Turns>,
    /// Instances at once.
    places: Arc<Turns>,
    /// Something for the keeper to look at.
    wake: Notify,
    /// What its instances together may say unasked.
    budget: Arc<Mutex<Budget>>,
}

/// How far the base of a slot is.
#[derive(Clone)]
struct Phase {
    state: State,
    ready: Option<Arc<Ready>>,
    offer: Option<Arc<Offer>>,
    /// What does not serve though the server does, in words.
    short: Option<String>,
}

impl Slot {
    /// For a server that is not started yet: see [`Slot::live`]. Its predecessor's subscriptions are its own, and what that
    /// offered stays listed while it starts.
    pub(super) fn new(server: Arc<Server>, predecessor: Option<&Self>, limits: &Limits) -> Self {
        let topics = predecessor.map(|slot| Arc::clone(&slot.topics)).unwrap_or_default();
        let offer = predecessor.and_then(|slot| slot.status().offer);
        let phase = Phase { state: State::Pending, ready: None, offer, short: None };
        let lanes = match &server.launch {
            Launch::Remote(remote) => remote.urls.len(),
            _ => 1,
        };
        let house = House {
            turns: Turns::new(at_once(&server, limits), WAITING),
            places: Turns::new(server.instances.max.get(), WAITING),
            wake: Notify::new(),
            budget: Arc::new(Mutex::new(Budget::new(limits))),
        };
        let sharing = match &server.launch {
            // Each of their calls is a container of its own anyway.
            Launch::Tools(_) => Sharing::Shared,
            _ => server.instances.sharing,
        };
        Self {
            server: ArcSwap::new(server),
            phase: watch::Sender::new(phase),
            stop: CancellationToken::new(),
            pardon: Notify::new(),
            rouse: Notify::new(),
            topics,
            lanes: Lanes::new(lanes),
            house: Arc::new(house),
            roster: Mutex::new(Roster::new(sharing)),
        }
    }

    /// Takes a newer definition of the same server, when it can be served by the instances there are. A quarantine ends
    /// in either case.
    pub(super) fn keep_for(&self, server: &Arc<Server>, limits: &Limits) -> bool {
        let keeps = runs_the_same(&self.server.load(), server);
        if keeps {
            self.server.store(Arc::clone(server));
            self.house.places.set_limit(server.instances.max.get());
            self.house.turns.set_limit(at_once(server, limits));
            self.house.wake.notify_one();
            if matches!(self.phase.borrow().state, State::Quarantined { .. }) {
                self.pardon.notify_one();
            }
            let mut roster = self.roster();
            roster.pardon();
            if roster.is_asleep && server.instances.min > 0 {
                self.rouse.notify_one();
            }
        }
        keeps
    }

    /// The server's state and offer.
    pub(super) fn status(&self) -> Status {
        let Phase { state, short, offer, .. } = self.phase.borrow().clone();
        let serving = self.roster().serving();
        let state = match (state, short) {
            (State::Ready, Some(reason)) => State::Degraded { reason },
            (State::Failed { reason, .. }, _) if serving > 0 => {
                State::Degraded { reason: format!("one of its instances {reason}; others serve") }
            }
            (state, _) => state,
        };
        Status { server: self.server.load_full(), state, offer }
    }

    /// Ends the server once its calls in flight are over. Nobody waits for a turn any longer.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        self.house.turns.close();
        self.house.places.close();
    }

    /// A place for an instance. Whoever makes room hears that somebody waits.
    async fn place_for(&self, client: &Client) -> Result<Turn, NoTurn> {
        let mut entering = pin!(self.house.places.enter(client));
        if let Some(entered) = entering.as_mut().now_or_never() {
            return entered;
        }
        self.house.wake.notify_one();
        entering.await
    }

    /// A client's session has ended: what was kept for it ends soon.
    pub(super) fn session_over(&self, session: &str) {
        if self.roster().session_over(session) {
            self.house.wake.notify_one();
        }
    }

    /// Runs the server until the slot is stopped.
    pub(super) async fn live(self: Arc<Self>, shared: Arc<Shared>) {
        tokio::select! {
            biased;
            () = self.live_as_base(&shared) => {}
            never = self.keep(&shared) => match never {},
        }
    }

    /// A base that can be asked, other than `old`.
    async fn ready(&self, limit: Duration, old: Option<&Arc<Ready>>) -> Result<Arc<Ready>, Fault> {
        let is_new = |ready: &Arc<Ready>| {
            let is_other = old.is_none_or(|old| !Arc::ptr_eq(old, ready));
            is_other && ready.is_up() && !ready.calls.over.is_cancelled()
        };
        if let Some(ready) = self.phase.borrow().ready.as_ref().filter(|ready| is_new(ready)) {
            return Ok(Arc::clone(ready));
        }
        let mut phases = self.phase.subscribe();
        if self.roster().is_asleep {
            self.rouse.notify_one();
        }
        let decided =
            |phase: &Phase| phase.ready.as_ref().is_some_and(is_new) || phase.state.reason().is_some();
        let removed = || Fault::Unavailable("it has been removed".into());
        let waiting = tokio::time::timeout(limit, phases.wait_for(decided));
        let waited = self.stop.run_until_cancelled(waiting).await.ok_or_else(removed)?;
        match waited {
            Ok(Ok(phase)) => match (&phase.ready, phase.state.reason()) {
                (Some(ready), _) => Ok(Arc::clone(ready)),
                (None, Some(reason)) => Err(Fault::Unavailable(reason.to_owned())),
                (None, None) => Err(removed()),
            },
            Ok(Err(_)) => Err(removed()),
            Err(_) => Err(Fault::Unavailable("it is still starting".into())),
        }
    }

    /// Changes what is known of the base, and says so when it is news.
    fn phase(&self, shared: &Shared, change: impl FnOnce(&mut Phase) -> bool) {
        if self.phase.send_if_modified(change) {
            shared.changed.send_modify(|count| *count += 1);
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls that a server is given at once, all its instances together.
fn at_once(server: &Server, limits: &Limits) -> usize {
    match server.max_in_flight {
        Some(each) => each.get().saturating_mul(server.instances.max.get()),
        None => limits.in_flight_per_server.get(),
    }
}

/// In `0.0..1.0`, for what need not be repeated.
pub(super) fn random() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / (f64::from(u32::MAX) + 1.0))
}

/// So many calls wait for one server.
const WAITING: usize = 1024;

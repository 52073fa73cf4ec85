//! The servers of the generation in force and their connections.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmgate_core::catalog::Server;
use wasmgate_core::name::ServerName;
use wasmgate_core::policy::Permit;

use super::dice::Dice;
use super::eras::Eras;
use super::slot::{Called, Shared, Slot};
use super::turns::Turns;
use super::{Answer, Ask, Fault, Identity, Limits, Status, Topic, Update, UpstreamError};
use crate::egress::Egress;
use crate::launch::Launcher;
use crate::shutdown::Tasks;

/// The servers of the generation in force and their connections.
pub struct Pool {
    slots: ArcSwap<Slots>,
    /// One `apply` at a time.
    applying: Mutex<()>,
    shared: Arc<Shared>,
}

/// What holds for a pool whatever servers it has.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Who we are to servers.
    pub identity: Identity,
    /// Whom we serve.
    pub clients: Clients,
    /// What servers may take.
    pub limits: Limits,
}

/// How many clients a pool serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Any number: what one is asked concerns no other.
    Many,
    /// One, whose calls all are: so servers on pipes may ask it.
    One,
}

impl From<Identity> for Standing {
    /// Many clients, and the usual limits.
    fn from(identity: Identity) -> Self {
        Self { identity, clients: Clients::Many, limits: Limits::default() }
    }
}

#[derive(Default)]
struct Slots {
    in_order: Vec<Arc<Slot>>,
    by_name: HashMap<ServerName, Arc<Slot>>,
    /// Those that the last change removed: for calls that began before it.
    leaving: HashMap<ServerName, Arc<Slot>>,
}

impl Slots {
    fn find(&self, server: &ServerName) -> Option<Arc<Slot>> {
        self.by_name.get(server).or_else(|| self.leaving.get(server)).cloned()
    }
}

impl Pool {
    /// A pool without servers: see [`Pool::apply`].
    pub fn new(launcher: Launcher, egress: Egress, tasks: Tasks, standing: Standing) -> Arc<Self> {
        let Standing { identity, clients, limits } = standing;
        let shared = Shared {
            eras: Eras::default(),
            launcher,
            egress,
            tasks,
            lives: TaskTracker::new(),
            identity: Arc::new(identity),
            changed: watch::Sender::new(0),
            starts: Arc::new(Semaphore::new(STARTING_AT_ONCE)),
            turns: Turns::new(limits.in_flight.get(), WAITING),
            log_level: watch::Sender::new(None),
            updates: broadcast::Sender::new(UPDATES),
            clients,
            limits,
            dice: Dice::default(),
            closing: CancellationToken::new(),
            #[cfg(test)]
            opener: None,
        };
        Arc::new(Self { slots: ArcSwap::default(), applying: Mutex::new(()), shared: Arc::new(shared) })
    }

    /// Speaks to servers in memory; chance is that of the seed.
    #[cfg(test)]
    pub(super) fn simulate(self: &mut Arc<Self>, opener: super::slot::Opener, seed: u64) {
        let shared = Arc::get_mut(self).and_then(|pool| Arc::get_mut(&mut pool.shared)).unwrap();
        shared.opener = Some(opener);
        shared.dice = Dice::of(seed);
    }

    /// Keeps what it finds out about servers in this directory, and begins with what is there.
    pub fn remember_in(&self, data: &Path) {
        self.shared.eras.keep_in(data);
    }

    /// Makes the pool hold exactly these servers; new ones are started in the background at once, one broken server
    /// never delaying another. A server that would run the same way as before keeps its connection; one that runs differently
    /// ends once its calls in flight are over, and so does one that is gone, some seconds later: calls that began before
    /// may still be on their way to it.
    pub fn apply(&self, servers: Vec<Arc<Server>>) {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        // A generation that comes too late starts nothing: nobody would end it.
        let servers = if self.shared.closing.is_cancelled() { Vec::new() } else { servers };
        let old = self.slots.load_full();
        let mut next = Slots::default();
        let mut begun = Vec::new();
        for server in servers {
            let before = old.by_name.get(&server.name);
            let kept = before.filter(|slot| slot.keep_for(&server, &self.shared.limits));
            let slot = kept.cloned().unwrap_or_else(|| {
                let predecessor = before.map(|slot| &**slot);
                let slot = Arc::new(Slot::new(Arc::clone(&server), predecessor, &self.shared.limits));
                begun.push(Arc::clone(&slot));
                slot
            });
            next.by_name.insert(server.name.clone(), Arc::clone(&slot));
            next.in_order.push(slot);
        }
        let closing = self.shared.closing.is_cancelled();
        let gone = |(name, _): &(&ServerName, &Arc<Slot>)| !next.by_name.contains_key(*name);
        if !closing {
            next.leaving = old
                .by_name
                .iter()
                .filter(gone)
                .map(|(name, slot)| (name.clone(), Arc::clone(slot)))
                .collect();
        }
        let next = Arc::new(next);
        self.slots.store(Arc::clone(&next));
        for slot in next.leaving.values() {
            self.shared.tasks.spawn("upstream-leave", leave(Arc::clone(slot), self.shared.closing.clone()));
        }
        for (name, slot) in &old.by_name {
            let kept = next.by_name.get(name).is_some_and(|kept| Arc::ptr_eq(kept, slot));
            if !kept && !next.leaving.contains_key(name) {
                slot.stop();
            }
        }
        for slot in begun {
            let life = self.shared.lives.track_future(slot.live(Arc::clone(&self.shared)));
            self.shared.tasks.spawn("upstream-server", life);
        }
        self.shared.changed.send_modify(|count| *count += 1);
    }

    /// Every server with its state and, once it has been ready, what it offers; in configuration order.
    pub fn status(&self) -> Vec<Status> {
        self.slots.load().in_order.iter().map(|slot| slot.status()).collect()
    }

    /// A number that grows after every change of a state or an offer.
    pub fn version(&self) -> u64 {
        *self.shared.changed.borrow()
    }

    /// Changes whenever a state or an offer changes.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Asks the server that the permit is for. A server that is starting is waited for, within its initialize deadline;
    /// dropping the future cancels upstream.
    ///
    /// # Errors
    /// [`UpstreamError`] when no answer of the server's own can be had.
    pub async fn call(&self, permit: &Permit, ask: Ask) -> Result<Answer, UpstreamError> {
        self.ask(permit.server(), ask).await
    }

    pub(super) async fn ask(&self, server: &ServerName, ask: Ask) -> Result<Answer, UpstreamError> {
        let began = Instant::now();
        let find = || self.slots.load().find(server);
        let answer = match find() {
            Some(slot) => match slot.call(&self.shared, &ask, began).await {
                Called::Answered(answer) => answer,
                // Its definition has changed while the call waited: it goes to what runs instead.
                Called::Stopped(answer) => match find().filter(|next| !Arc::ptr_eq(next, &slot)) {
                    Some(next) => next.call(&self.shared, &ask, began).await.into_answer(),
                    None => answer,
                },
            },
            None => Err(Fault::Unavailable("it is not configured".into())),
        };
        answer.map_err(|fault| UpstreamError { server: server.clone(), fault })
    }

    /// Waits for changes of something of the server that the permit is for; a server is asked once however many wait.
    ///
    /// # Errors
    /// See [`Pool::call`].
    pub async fn subscribe(&self, permit: &Permit, topic: &Topic) -> Result<Answer, UpstreamError> {
        self.wait_for(permit.server(), topic).await
    }

    /// What is known of how a server is spoken to.
    #[cfg(test)]
    pub(super) fn known(&self, server: &Server) -> Option<super::eras::Way> {
        self.shared.eras.recall(server)
    }

    pub(super) async fn wait_for(&self, server: &ServerName, topic: &Topic) -> Result<Answer, UpstreamError> {
        let slot = self.slots.load().find(server);
        let answer = match slot {
            Some(slot) => slot.subscribe(topic).await,
            None => Err(Fault::Unavailable("it is not configured".into())),
        };
        answer.map_err(|fault| UpstreamError { server: server.clone(), fault })
    }

    /// Ends what [`Pool::subscribe`] began; the server is told in the background.
    pub fn unsubscribe(&self, server: &ServerName, topic: Topic) {
        if let Some(slot) = self.slots.load().by_name.get(server) {
            slot.unsubscribe(&topic);
        }
    }

    /// What changes from now on, of every server, whoever waits for it.
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.shared.updates.subscribe()
    }

    /// A client's session has ended: instances that were kept for it end once their calls in flight are over.
    pub fn session_over(&self, session: &str) {
        for slot in &self.slots.load().in_order {
            slot.session_over(session);
        }
    }

    /// Asks every server that offers logging for this level from now on (`logging/setLevel` towards legacy servers).
    pub fn want_log_level(&self, level: &str) {
        self.shared.log_level.send_replace(Some(level.into()));
    }

    /// Ends every connection and stops every server this pool started. Calls in flight fail.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.apply(Vec::new());
        self.shared.lives.close();
        self.shared.lives.wait().await;
    }
}

/// Ends a server that is no longer configured, once calls that began before have come to it.
async fn leave(slot: Arc<Slot>, closing: CancellationToken) {
    closing.run_until_cancelled(tokio::time::sleep(LINGER)).await;
    slot.stop();
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.cancel();
        for slot in &self.slots.load().in_order {
            slot.stop();
        }
    }
}

/// How many changes of resources and tasks wait for a client that hears slowly.
const UPDATES: usize = 256;
/// How long a call may take from its beginning to its server, interceptors included, to be served by one that has been
/// removed in the meantime.
const LINGER: Duration = Duration::from_secs(5);
/// So many calls wait for one of all servers to have room.
const WAITING: usize = 8192;
/// How many servers are started at once.
const STARTING_AT_ONCE: usize = 8;

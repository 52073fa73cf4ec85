//! Sessions of single clients with a legacy server over streamable HTTP, besides the one that everybody shares.
//!
//! What a server may ask is said once, in the handshake. So a client that can be asked something has a session of its own,
//! shared by all its calls: opened when it is first needed, declared exactly what that client is, closed when nobody has
//! used it for a while. When none can be had, the base session serves, in which nothing is asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, interval};
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmgate_core::catalog::{Protocol, Server};

use super::Shared;
use super::connection::set_log_level;
use crate::upstream::declared::Declared;
use crate::upstream::era::Era;
use crate::upstream::handshake::{Failure, greet};
use crate::upstream::http::Http;
use crate::upstream::link::Link;

/// The sessions of single clients on one connection.
pub(super) struct Sessions {
    server: Arc<Server>,
    shared: Arc<Shared>,
    table: Mutex<HashMap<Owner, Arc<Entry>>>,
    over: CancellationToken,
}

/// Whose a session is.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Owner {
    principal: Arc<str>,
    declared: Declared,
}

struct Entry {
    opening: watch::Sender<Opening>,
    used: Mutex<Used>,
}

#[derive(Clone)]
enum Opening {
    UnderWay,
    Open(Arc<Session>),
    /// The server gave none; it is asked again later.
    Refused(Instant),
}

struct Session {
    link: Link,
    era: Era,
    /// Whether the server takes a log level in it.
    has_levels: bool,
    /// What listens in it ends with it, however it ends.
    _listening: DropGuard,
}

struct Used {
    calls: usize,
    last: Instant,
}

/// A call that uses a session, or waits for it: it is not closed meanwhile.
struct InUse(Arc<Entry>);

/// A session for one call.
pub(super) struct Lease {
    session: Arc<Session>,
    _in_use: InUse,
}

impl Lease {
    /// The session as a connection.
    pub(super) fn connection(&self) -> (&Link, &Era) {
        (&self.session.link, &self.session.era)
    }
}

impl Sessions {
    pub(super) fn new(server: Arc<Server>, shared: Arc<Shared>) -> Self {
        Self { server, shared, table: Mutex::default(), over: CancellationToken::new() }
    }

    /// The session of this client; None when there is none to be had, or nothing to be asked in it.
    pub(super) async fn lease(
        &self,
        base: &Arc<Http>,
        principal: &Arc<str>,
        declared: Declared,
    ) -> Option<Lease> {
        if declared.is_nothing() || self.over.is_cancelled() {
            return None;
        }
        let in_use = self.enter(base, Owner { principal: Arc::clone(principal), declared })?;
        let mut opening = in_use.0.opening.subscribe();
        let opened = opening.wait_for(|opening| !matches!(opening, Opening::UnderWay)).await.ok()?.clone();
        match opened {
            Opening::Open(session) => Some(Lease { session, _in_use: in_use }),
            Opening::UnderWay | Opening::Refused(_) => None,
        }
    }

    /// The entry of this client, which is made when there is none and room for one.
    fn enter(&self, base: &Arc<Http>, owner: Owner) -> Option<InUse> {
        let mut table = self.table();
        if let Some(entry) = table.get(&owner).filter(|entry| entry.is_current()) {
            return Some(InUse::of(entry));
        }
        if let Some(old) = table.remove(&owner) {
            self.put_away(&old);
        }
        if table.len() >= MAX_SESSIONS {
            let idle = table.iter().filter_map(|(owner, entry)| Some((entry.idle_since()?, owner.clone())));
            let (_, longest) = idle.min_by_key(|(since, _)| *since)?;
            table.remove(&longest).iter().for_each(|entry| self.put_away(entry));
        }
        let entry = Arc::new(Entry {
            opening: watch::Sender::new(Opening::UnderWay),
            used: Mutex::new(Used { calls: 0, last: Instant::now() }),
        });
        let in_use = InUse::of(&entry);
        let http = base.own(self.server.name.clone(), owner.declared);
        table.insert(owner, Arc::clone(&entry));
        drop(table);
        // In a box of its own: whatever waits for it would hold it more than once.
        let opening = Box::pin(open(Arc::clone(&self.server), Arc::clone(&self.shared), http));
        let over = self.over.clone();
        self.shared.tasks.spawn("upstream-session", async move {
            let opened = over.run_until_cancelled(opening).await;
            let opened = opened.unwrap_or_else(|| Opening::Refused(Instant::now()));
            entry.opening.send_replace(opened);
            // Whoever ended all sessions may have missed this one.
            if over.is_cancelled() {
                entry.close(Duration::ZERO).await;
            }
        });
        Some(in_use)
    }

    /// Closes what nobody has used for a while, and passes the log level on. Never returns.
    pub(super) async fn tend(&self) -> Infallible {
        let mut ticks = interval(SWEEP);
        let mut levels = self.shared.log_level.subscribe();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.sweep(),
                Ok(()) = levels.changed() => {
                    let level = levels.borrow_and_update().clone();
                    let sessions: Vec<_> = self.table().values().filter_map(|entry| entry.session()).collect();
                    let told = sessions.iter().map(|session| session.set_log_level(level.as_deref()));
                    join_all(told).await;
                }
            }
        }
    }

    fn sweep(&self) {
        self.table().retain(|_, entry| {
            let is_old = entry.idle_since().is_some_and(|since| since.elapsed() >= IDLE);
            let is_kept = entry.is_current() && !is_old;
            if !is_kept {
                self.put_away(entry);
            }
            is_kept
        });
    }

    /// Lets calls in flight finish within `grace`, then ends every session. May be dropped and called again.
    pub(super) async fn close(&self, grace: Duration) {
        self.over.cancel();
        let entries: Vec<_> = self.table().values().cloned().collect();
        join_all(entries.iter().map(|entry| entry.close(grace))).await;
    }

    /// Ends a session in the background.
    fn put_away(&self, entry: &Arc<Entry>) {
        let (entry, over) = (Arc::clone(entry), self.over.clone());
        self.shared.tasks.spawn("upstream-session-end", async move {
            tokio::select! {
                () = entry.close(LAST_CALLS) => {}
                () = over.cancelled() => entry.close(Duration::ZERO).await,
            }
        });
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Owner, Arc<Entry>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether a call can count on it.
    fn is_current(&self) -> bool {
        match &*self.opening.borrow() {
            Opening::UnderWay => true,
            Opening::Open(session) => session.link.how_it_ended().is_none(),
            Opening::Refused(at) => at.elapsed() < REFUSED,
        }
    }

    /// Since when nobody has used it; None while somebody does.
    fn idle_since(&self) -> Option<Instant> {
        let used = self.used();
        (used.calls == 0).then_some(used.last)
    }

    fn session(&self) -> Option<Arc<Session>> {
        match &*self.opening.borrow() {
            Opening::Open(session) => Some(Arc::clone(session)),
            Opening::UnderWay | Opening::Refused(_) => None,
        }
    }

    async fn close(&self, grace: Duration) {
        if let Some(session) = self.session() {
            session.link.close(grace).await;
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    async fn set_log_level(&self, level: Option<&str>) {
        if let (true, Some(level)) = (self.has_levels, level) {
            set_log_level(&self.link, &self.era, level).await;
        }
    }
}

impl InUse {
    fn of(entry: &Arc<Entry>) -> Self {
        entry.used().calls += 1;
        Self(Arc::clone(entry))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut used = self.0.used();
        used.calls -= 1;
        used.last = Instant::now();
    }
}

/// Shakes hands in a session of its own, and listens to what is said in it.
async fn open(server: Arc<Server>, shared: Arc<Shared>, http: Arc<Http>) -> Opening {
    let link = Link::Http(Arc::clone(&http));
    let listening = http.ends_with();
    let legacy = Server { protocol: Protocol::Legacy, ..(*server).clone() };
    match greet(&link, &legacy, &shared.identity, &shared.eras).await {
        Ok(greeting) => {
            // Without a session nothing tells its stream from everybody's.
            if http.has_session() {
                http.overhear(&greeting.era).await;
            }
            let has_levels = greeting.capabilities.member("logging").is_some();
            let session = Session { link, era: greeting.era, has_levels, _listening: listening };
            let level = shared.log_level.borrow().clone();
            session.set_log_level(level.as_deref()).await;
            Opening::Open(Arc::new(session))
        }
        Err(Failure { code, reason, .. }) => {
            tracing::warn!(server = %server.name, code, %reason, "no session for questions: none will be asked");
            Opening::Refused(Instant::now())
        }
    }
}

/// So many clients have sessions with one server.
const MAX_SESSIONS: usize = 64;
/// A session nobody has used for so long is closed.
const IDLE: Duration = Duration::from_secs(300);
/// How often idle sessions are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// How long a server that gave no session is not asked for another.
const REFUSED: Duration = Duration::from_secs(60);
/// How long the calls in a session that is over may still take.
const LAST_CALLS: Duration = Duration::from_secs(25);

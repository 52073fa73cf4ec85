//! All legacy sessions of the HTTP front: opened within limits, found by id and principal, swept when nobody uses them.
//!
//! An id is 256 random bits and worth nothing without the principal it was given to. No clock: instants come in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_util::sync::CancellationToken;

use super::render::Refusal;
use super::replay::Budget;
use super::session::{Caller, Session};
use super::settings::Limits;

/// All sessions, in shards so that clients do not wait for each other.
pub(super) struct Sessions {
    shards: [Mutex<HashMap<Arc<str>, Arc<Session>>>; SHARDS],
    /// How many each principal has.
    counts: Mutex<HashMap<Arc<str>, usize>>,
    limits: Limits,
    /// What their streams keep.
    budget: Arc<Budget>,
}

impl Sessions {
    pub(super) fn new(limits: Limits) -> Self {
        Self { shards: Default::default(), counts: Mutex::default(), limits, budget: Arc::default() }
    }

    /// Opens a session that ends with `stopping` at the latest.
    pub(super) fn open(
        &self,
        caller: Caller,
        now: Instant,
        stopping: &CancellationToken,
    ) -> Result<Arc<Session>, Refusal> {
        let id = random_id()?;
        self.count(&caller.principal)?;
        let session = Session::new(Arc::clone(&id), caller, now, stopping.child_token());
        let session = Arc::new(session.sharing(&self.budget));
        self.shard(&id).insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// The session of this id, if it is this caller's.
    pub(super) fn find(&self, id: &str, caller: &Caller, now: Instant) -> Result<Arc<Session>, Refusal> {
        let session = self.shard(id).get(id).cloned().ok_or(Refusal::UnknownSession)?;
        if session.caller.principal != caller.principal || session.caller.view != caller.view {
            tracing::warn!(principal = %caller.principal, "a session id was used by someone else");
            return Err(Refusal::UnknownSession);
        }
        session.touch(now);
        Ok(session)
    }

    /// Ends a session.
    pub(super) fn close(&self, session: &Session) {
        let closed = self.shard(&session.id).remove(&session.id);
        if closed.is_some() {
            self.uncount(&session.caller.principal);
        }
        session.end();
    }

    /// Ends the sessions that nobody uses any more.
    pub(super) fn sweep(&self, now: Instant) -> usize {
        let stale = |session: &Session| {
            session.replay.sweep(now);
            session.idle_since().is_some_and(|(since, confirmed)| {
                let allowed = if confirmed { self.limits.idle } else { self.limits.unconfirmed };
                now.saturating_duration_since(since) > allowed
            })
        };
        let mut swept = 0;
        for shard in &self.shards {
            let found: Vec<Arc<Session>> = lock(shard).values().filter(|s| stale(s)).cloned().collect();
            for session in found {
                self.close(&session);
                swept += 1;
            }
        }
        swept
    }

    fn count(&self, principal: &Arc<str>) -> Result<(), Refusal> {
        let mut counts = lock(&self.counts);
        let all: usize = counts.values().sum();
        let own = counts.get(principal).copied().unwrap_or_default();
        if all >= self.limits.sessions || own >= self.limits.sessions_per_principal {
            return Err(Refusal::Limit("sessions"));
        }
        *counts.entry(Arc::clone(principal)).or_default() += 1;
        Ok(())
    }

    fn uncount(&self, principal: &Arc<str>) {
        let mut counts = lock(&self.counts);
        if let Some(own) = counts.get_mut(principal) {
            *own -= 1;
            if *own == 0 {
                counts.remove(principal);
            }
        }
    }

    fn shard(&self, id: &str) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Session>>> {
        let [first, rest @ ..] = &self.shards;
        let place = id.as_bytes().first().map_or(0, |byte| usize::from(*byte) % SHARDS);
        lock(place.checked_sub(1).and_then(|place| rest.get(place)).unwrap_or(first))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random_id() -> Result<Arc<str>, Refusal> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "no random numbers: no session can be opened");
        Refusal::Limit("sessions")
    })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasmgate_core::jsonrpc::Id;

    use super::super::session::tests::{agreed, caller};
    use super::*;
    use crate::gateway::{Revisions, View};

    fn sessions(most: usize, each: usize) -> Sessions {
        Sessions::new(Limits { sessions: most, sessions_per_principal: each, ..Limits::default() })
    }

    fn open(sessions: &Sessions, principal: &str, now: Instant) -> Result<Arc<Session>, Refusal> {
        let caller = Caller { principal: principal.into(), view: View::All };
        sessions.open(caller, now, &CancellationToken::new())
    }

    #[test]
    fn an_id_is_long_random_and_plain() {
        let sessions = sessions(9, 9);
        let ids: Vec<_> =
            (0..3).map(|_| open(&sessions, "a", Instant::now()).unwrap().id.to_string()).collect();
        assert!(ids.iter().all(|id| id.len() == 43 && id.bytes().all(|b| b.is_ascii_graphic())));
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    }

    #[test]
    fn a_session_is_found_by_its_own_caller_only() {
        let sessions = sessions(9, 9);
        let now = Instant::now();
        let session = sessions.open(caller(), now, &CancellationToken::new()).unwrap();
        assert!(sessions.find(&session.id, &caller(), now).is_ok());
        let thief = Caller { principal: "bob".into(), view: View::All };
        assert!(sessions.find(&session.id, &thief, now).is_err());
        let server = wasmgate_core::name::ServerName::new("time").unwrap();
        let elsewhere = Caller { view: View::One(server), ..caller() };
        assert!(sessions.find(&session.id, &elsewhere, now).is_err());
        assert!(sessions.find("nope", &caller(), now).is_err());
        // Failed attempts leave the session to its owner.
        assert!(sessions.find(&session.id, &caller(), now).is_ok());
        sessions.close(&session);
        assert!(sessions.find(&session.id, &caller(), now).is_err());
        assert!(session.ended.is_cancelled());
    }

    #[test]
    fn sessions_are_limited_for_each_and_for_all() {
        let sessions = sessions(3, 2);
        let now = Instant::now();
        let first = open(&sessions, "a", now).unwrap();
        open(&sessions, "a", now).unwrap();
        assert!(matches!(open(&sessions, "a", now), Err(Refusal::Limit(_))));
        open(&sessions, "b", now).unwrap();
        assert!(matches!(open(&sessions, "c", now), Err(Refusal::Limit(_))));
        sessions.close(&first);
        sessions.close(&first);
        assert!(open(&sessions, "a", now).is_ok());
        assert!(open(&sessions, "a", now).is_err());
    }

    #[test]
    fn unused_sessions_are_swept_and_busy_ones_stay() {
        let sessions = sessions(9, 9);
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let silent = open(&sessions, "a", start).unwrap();
        let idle = open(&sessions, "a", start).unwrap();
        let busy = open(&sessions, "a", start).unwrap();
        let streaming = open(&sessions, "a", start).unwrap();
        for session in [&idle, &busy, &streaming] {
            session.touch(start);
            session.agree(agreed("2025-11-25"), Revisions::default()).unwrap();
        }
        let _call = busy.begin(&Id::number(1), 9).unwrap();
        let _stream = streaming.listen(9).unwrap();
        assert_eq!(sessions.sweep(start + minute), 0);
        assert_eq!(sessions.sweep(start + minute + Duration::from_secs(1)), 1);
        assert!(silent.ended.is_cancelled());
        assert_eq!(sessions.sweep(start + 30 * minute + Duration::from_secs(1)), 1);
        assert!(idle.ended.is_cancelled());
        assert_eq!(sessions.sweep(start + 600 * minute), 0);
    }
}

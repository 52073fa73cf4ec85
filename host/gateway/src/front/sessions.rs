//! The legacy sessions of the HTTP front that something is remembered of: opened within limits, found by id and principal,
//! forgotten when nobody uses them.
//!
//! A session's id says what was agreed (see [`super::token`]), so one that is not in this table comes back when it is used
//! again: after a while of silence, after a restart with the same key, at another replica. Those that were ended are
//! remembered as such until their ids expire. No clock: instants and seconds come in.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_util::sync::CancellationToken;
use wasmgate_core::seal::Sealer;

use super::render::Refusal;
use super::replay::Budget;
use super::session::{Caller, Session};
use super::settings::Limits;
use super::token;
use crate::gateway::Revisions;

/// Hashed fast and without care: every id in it is one that we have made.
type Shard = HashMap<Arc<str>, Arc<Session>, foldhash::fast::RandomState>;

/// The sessions in memory, in shards so that clients do not wait for each other.
pub(super) struct Sessions {
    /// By the id their client knows.
    shards: [Mutex<Shard>; SHARDS],
    /// How many each principal has.
    counts: Mutex<HashMap<Arc<str>, usize>>,
    ended: Mutex<Ended>,
    /// When room was last made.
    pressed: Mutex<Option<Instant>>,
    limits: Limits,
    /// What their streams keep.
    budget: Arc<Budget>,
    /// Told the name of each that is over for good.
    over: Over,
}

/// Who hears of sessions that are over for good.
type Over = Box<dyn Fn(&str) + Send + Sync>;

/// The sessions that were ended, until their ids expire.
#[derive(Default)]
struct Ended {
    /// When the id expires, and the name of the session.
    each: BTreeSet<(u64, Arc<str>)>,
    /// Of those whose ids expire until then it is not known which were ended: none comes back.
    all_until: u64,
}

impl Ended {
    fn add(&mut self, until: u64, name: Arc<str>) {
        self.each.insert((until, name));
        if self.each.len() > ENDED
            && let Some((until, _)) = self.each.pop_first()
        {
            self.all_until = self.all_until.max(until);
        }
    }

    fn has(&self, until: u64, name: &Arc<str>) -> bool {
        until <= self.all_until || self.each.contains(&(until, Arc::clone(name)))
    }

    /// Forgets those whose ids have expired.
    fn expire(&mut self, seconds: u64) {
        self.each = self.each.split_off(&(seconds, Arc::from("")));
    }
}

/// What a request comes with.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) caller: &'a Caller,
    pub(super) now: Instant,
    /// Since the epoch.
    pub(super) seconds: u64,
}

impl Sessions {
    /// No sessions yet. `over` hears the name of each that will not come back; of those that are only forgotten, which
    /// their ids bring back, it hears nothing.
    pub(super) fn new(limits: Limits, over: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            shards: Default::default(),
            counts: Mutex::default(),
            ended: Mutex::default(),
            pressed: Mutex::default(),
            limits,
            budget: Arc::default(),
            over: Box::new(over),
        }
    }

    /// Opens a session. Until it is [sealed](Self::seal) its id is a name that nobody knows.
    pub(super) fn open(&self, caller: Caller, now: Instant) -> Result<Arc<Session>, Refusal> {
        let id = random_id()?;
        self.count(&caller.principal, now)?;
        let session = Arc::new(self.session(Arc::clone(&id), caller, now));
        self.shard(&id).insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// Gives a session that has agreed with its client the id that says so, and returns it.
    pub(super) fn seal(
        &self,
        session: &Arc<Session>,
        sealer: &Sealer,
        seconds: u64,
    ) -> Result<Arc<str>, Refusal> {
        let agreed = session.agreed().ok_or(Refusal::Uninitialized)?;
        let sealed = token::seal(sealer, &session.id, &session.caller, &agreed, seconds);
        let token = sealed.ok_or(Refusal::Limit("sessions"))?;
        let text = Arc::clone(&token.text);
        if session.token.set(token).is_err() {
            return Err(Refusal::Initialized);
        }
        self.shard(&session.id).remove(&session.id);
        self.shard(&text).insert(Arc::clone(&text), Arc::clone(session));
        Ok(text)
    }

    /// The session of this id, if it is this caller's. With a `sealer`, one that is not in memory comes back.
    pub(super) fn find(
        &self,
        id: &str,
        sealer: Option<&Sealer>,
        visit: Visit<'_>,
    ) -> Result<Arc<Session>, Refusal> {
        let caller = visit.caller;
        let known = self.shard(id).get(id).cloned();
        let session = match (known, sealer) {
            (Some(session), _) => session,
            (None, Some(sealer)) => self.revive(id, sealer, visit)?,
            (None, None) => return Err(Refusal::UnknownSession),
        };
        if session.caller.principal != caller.principal || session.caller.view != caller.view {
            tracing::warn!(principal = %caller.principal, "a session id was used by someone else");
            return Err(Refusal::UnknownSession);
        }
        if session.token.get().is_some_and(|token| token.until < visit.seconds) {
            self.close(&session);
            return Err(Refusal::UnknownSession);
        }
        session.touch(visit.now);
        Ok(session)
    }

    /// Ends a session, for ever.
    pub(super) fn close(&self, session: &Session) {
        let id = session.token.get().map_or(&session.id, |token| &token.text);
        if let Some(token) = session.token.get() {
            // Before it is gone from the table: who does not find it there finds it here.
            lock(&self.ended).add(token.until, Arc::clone(&session.id));
        }
        let closed = self.shard(id).remove(id);
        if closed.is_some() {
            self.uncount(&session.caller.principal);
        }
        session.end();
        (self.over)(&session.id);
    }

    /// Forgets the sessions that nobody uses any more. What they agreed on stands in their ids.
    pub(super) fn sweep(&self, now: Instant, seconds: u64) -> usize {
        lock(&self.ended).expire(seconds);
        let forgotten = self.forget(now, self.limits.idle);
        for session in &forgotten {
            if session.token.get().is_none_or(|token| token.until < seconds) {
                (self.over)(&session.id);
            }
        }
        forgotten.len()
    }

    /// How many are in memory.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn forget(&self, now: Instant, idle: Duration) -> Vec<Arc<Session>> {
        let is_stale = |session: &Session| {
            session.replay.sweep(now);
            session.idle_since().is_some_and(|(since, confirmed)| {
                let allowed = match (confirmed, session.has_memory()) {
                    (false, _) => self.limits.unconfirmed.min(idle),
                    (true, false) => idle,
                    // What does not stand in the token is lost when there is no room: as at a restart.
                    (true, true) if idle < self.limits.idle => self.limits.idle,
                    (true, true) => Duration::from_secs(token::LIFE),
                };
                now.saturating_duration_since(since) > allowed
            })
        };
        let mut forgotten = Vec::new();
        for shard in &self.shards {
            // Whoever else holds it got it from this table: then it is in use.
            let is_over = |session: &Arc<Session>| Arc::strong_count(session) == 1 && is_stale(session);
            let over: Vec<_> = lock(shard).extract_if(|_, session| is_over(session)).collect();
            for (_, session) in over {
                self.uncount(&session.caller.principal);
                forgotten.push(session);
            }
        }
        forgotten
    }

    fn revive(&self, text: &str, sealer: &Sealer, visit: Visit<'_>) -> Result<Arc<Session>, Refusal> {
        let opened = token::open(sealer, text, visit.caller, visit.seconds);
        let token::Remembered { id, agreed, until } = opened.ok_or(Refusal::UnknownSession)?;
        if lock(&self.ended).has(until, &id) {
            return Err(Refusal::UnknownSession);
        }
        let principal = &visit.caller.principal;
        let counted = self.count(principal, visit.now);
        counted.or_else(|full| {
            if self.displace(principal) { self.count(principal, visit.now) } else { Err(full) }
        })?;
        let text: Arc<str> = text.into();
        let mut shard = self.shard(&text);
        // Looked at again under the lock: whoever ends it says so first, and takes it out of the table then.
        let is_over = lock(&self.ended).has(until, &id);
        let revived = match shard.entry(Arc::clone(&text)) {
            // Somebody was faster.
            Entry::Occupied(entry) => Ok((Arc::clone(entry.get()), false)),
            Entry::Vacant(_) if is_over => Err(Refusal::UnknownSession),
            Entry::Vacant(entry) => {
                let session = self.session(id, visit.caller.clone(), visit.now);
                // Both are new: neither was set.
                let _ = session.token.set(token::Token { text, until });
                let _ = session.agree(agreed, UNTOLD);
                Ok((Arc::clone(entry.insert(Arc::new(session))), true))
            }
        };
        drop(shard);
        if !matches!(revived, Ok((_, true))) {
            self.uncount(&visit.caller.principal);
        }
        revived.map(|(session, _)| session)
    }

    fn session(&self, id: Arc<str>, caller: Caller, now: Instant) -> Session {
        Session::new(id, caller, now, CancellationToken::new()).sharing(&self.budget)
    }

    fn count(&self, principal: &Arc<str>, now: Instant) -> Result<(), Refusal> {
        if self.is_full(principal) {
            self.press(now);
        }
        let mut counts = lock(&self.counts);
        if is_full(&counts, principal, &self.limits) {
            return Err(Refusal::Limit("sessions"));
        }
        *counts.entry(Arc::clone(principal)).or_default() += 1;
        Ok(())
    }

    fn is_full(&self, principal: &str) -> bool {
        is_full(&lock(&self.counts), principal, &self.limits)
    }

    /// Takes a session out of memory whose client never came back to it, for one that is used: that loses nothing, since it
    /// can come back as well. However many open sessions and leave them, they keep nobody out who has one. Looks at no more
    /// than a few of each shard: whoever floods leaves many, and nobody makes it look at all of them again and again.
    fn displace(&self, principal: &str) -> bool {
        let own = lock(&self.counts).get(principal).copied().unwrap_or_default();
        let by_own = own >= self.limits.sessions_per_principal;
        let is_unused = |session: &Arc<Session>| {
            Arc::strong_count(session) == 1
                && session.token.get().is_some()
                && session.idle_since().is_some_and(|(_, is_confirmed)| !is_confirmed)
                && (!by_own || *session.caller.principal == *principal)
        };
        let unused = self.shards.iter().find_map(|shard| {
            let mut shard = lock(shard);
            let id = shard
                .iter()
                .take(LOOKED_AT)
                .find(|(_, session)| is_unused(session))
                .map(|(id, _)| Arc::clone(id))?;
            shard.remove(&id)
        });
        unused.inspect(|session| self.uncount(&session.caller.principal)).is_some()
    }

    /// Makes room, not too often: looking at all sessions takes a while.
    fn press(&self, now: Instant) {
        let mut pressed = lock(&self.pressed);
        if pressed.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE) {
            *pressed = Some(now);
            drop(pressed);
            self.forget(now, PAUSE);
        }
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

    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        let [first, rest @ ..] = &self.shards;
        // From the middle: ids begin alike.
        let place = id.as_bytes().get(id.len() / 2).map_or(0, |byte| usize::from(*byte) % SHARDS);
        lock(place.checked_sub(1).and_then(|place| rest.get(place)).unwrap_or(first))
    }
}

fn is_full(counts: &HashMap<Arc<str>, usize>, principal: &str, limits: &Limits) -> bool {
    let all: usize = counts.values().sum();
    let own = counts.get(principal).copied().unwrap_or_default();
    all >= limits.sessions || own >= limits.sessions_per_principal
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
/// So many ended sessions are remembered.
const ENDED: usize = 65_536;
/// So many sessions of a shard are looked at for one to displace.
const LOOKED_AT: usize = 64;
/// How often room is made, and how long a session is left alone even then.
const PAUSE: Duration = Duration::from_secs(1);
/// What a session that comes back was told of the lists: nothing that is known.
const UNTOLD: Revisions = Revisions { tools: u64::MAX, prompts: u64::MAX, resources: u64::MAX };

#[cfg(test)]
mod tests;

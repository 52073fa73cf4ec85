//! Instances that wait for another call, for plugins that allow it, and such as wait for their only one.
//!
//! One [`Shelf`] a plugin says who may have what of its own; one [`Shelves`] an engine bounds them all together. What lies
//! here is only ever taken by a call of the same plugin, and with [`Isolation::PerSession`] of the same session. Whether
//! an instance is fit to be kept is for `call.rs` to say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmgate_core::pipeline::Operation;

use crate::load::Isolation;

/// Instances that are kept, over all plugins. The engine's pool has a place for each besides those of running calls.
pub(crate) const MAX_KEPT: u32 = 512;

/// Instances of one plugin that are kept: as many as run at once, or one for each of so many sessions.
const MAX_POOLED: usize = 64;
const MAX_SESSIONS: usize = 256;

/// Instances of one plugin that are made ahead, each for a call of its own.
const MAX_AHEAD: usize = 2;

/// How long an instance waits for its next call.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// Every plugin's instances.
pub(crate) struct Shelves<T> {
    room: Arc<Semaphore>,
    all: Mutex<Vec<Weak<Shelf<T>>>>,
}

/// One plugin's instances; dropped with it.
pub(crate) struct Shelf<T> {
    isolation: Isolation,
    shelves: Arc<Shelves<T>>,
    /// The one that has waited longest first.
    kept: Mutex<VecDeque<Kept<T>>>,
}

/// Whose calls may use an instance again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody's yet: it has served no call.
    Nobody,
    /// Any call's.
    Anyone,
    /// The calls of this session; without one, those of this principal without a session.
    Session { session: Option<Arc<str>>, principal: Arc<str> },
}

struct Kept<T> {
    owner: Owner,
    since: Instant,
    instance: T,
    _room: OwnedSemaphorePermit,
}

impl<T> Shelves<T> {
    pub(crate) fn new() -> Arc<Self> {
        let room = Arc::new(Semaphore::new(MAX_KEPT as usize));
        Arc::new(Self { room, all: Mutex::default() })
    }

    /// A shelf for one plugin.
    pub(crate) fn shelf(self: &Arc<Self>, isolation: Isolation) -> Arc<Shelf<T>> {
        let shelf = Arc::new(Shelf { isolation, shelves: Arc::clone(self), kept: Mutex::default() });
        let mut all = lock(&self.all);
        all.retain(|shelf| shelf.strong_count() > 0);
        all.push(Arc::downgrade(&shelf));
        drop(all);
        shelf
    }

    /// Drops what has waited for too long at `now`. Says whether anything is left that will have.
    pub(crate) fn sweep(&self, now: Instant) -> bool {
        let mut left = false;
        for shelf in self.shelves() {
            let mut kept = lock(&shelf.kept);
            let old =
                kept.iter().take_while(|kept| now.saturating_duration_since(kept.since) >= IDLE).count();
            let old: Vec<_> = kept.drain(..old).collect();
            left |= !kept.is_empty();
            drop(kept);
            drop(old);
        }
        left
    }

    /// Room for one more, if need be that of the instance that has waited longest.
    fn room(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            return Some(room);
        }
        let since = |shelf: &Arc<Shelf<T>>| lock(&shelf.kept).front().map(|kept| kept.since);
        let shelves = self.shelves();
        let (_, oldest) =
            shelves.iter().filter_map(|shelf| Some((since(shelf)?, shelf))).min_by_key(|(at, _)| *at)?;
        let evicted = lock(&oldest.kept).pop_front()?;
        drop(evicted.instance);
        Some(evicted._room)
    }

    fn shelves(&self) -> Vec<Arc<Shelf<T>>> {
        lock(&self.all).iter().filter_map(Weak::upgrade).collect()
    }
}

impl<T> Shelf<T> {
    /// Whose an instance is that serves this operation.
    pub(crate) fn owner(&self, operation: &Operation) -> Owner {
        match self.isolation {
            Isolation::PerCall => Owner::Nobody,
            Isolation::Pooled => Owner::Anyone,
            Isolation::PerSession => Owner::Session {
                session: operation.session.clone(),
                principal: Arc::clone(&operation.principal),
            },
        }
    }

    /// The owner's instance that was used last, if one is kept.
    pub(crate) fn take(&self, owner: &Owner) -> Option<T> {
        let mut kept = lock(&self.kept);
        let at = kept.iter().rposition(|kept| kept.owner == *owner)?;
        kept.remove(at).map(|kept| kept.instance)
    }

    /// Keeps an instance for the owner's next call. What there is no room for is dropped.
    pub(crate) fn put(&self, owner: Owner, instance: T) {
        let most = match owner {
            Owner::Nobody => MAX_AHEAD,
            Owner::Anyone => MAX_POOLED,
            Owner::Session { .. } => MAX_SESSIONS,
        };
        let Some(room) = self.shelves.room() else { return };
        let mut kept = lock(&self.kept);
        let evicted = if kept.len() >= most { kept.pop_front() } else { None };
        kept.push_back(Kept { owner, since: Instant::now(), instance, _room: room });
        drop(kept);
        drop(evicted);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str) -> Owner {
        Owner::Session { session: Some(name.into()), principal: "alice".into() }
    }

    #[test]
    fn what_was_used_last_is_used_first() {
        let shelf = Shelves::new().shelf(Isolation::Pooled);
        (1..=3).for_each(|instance| shelf.put(Owner::Anyone, instance));
        let taken: Vec<_> = std::iter::from_fn(|| shelf.take(&Owner::Anyone)).collect();
        assert_eq!(taken, [3, 2, 1]);
    }

    #[test]
    fn what_is_nobodys_yet_is_had_once() {
        let shelf = Shelves::new().shelf(Isolation::PerCall);
        (1..=3).for_each(|instance| shelf.put(Owner::Nobody, instance));
        let taken: Vec<_> = std::iter::from_fn(|| shelf.take(&Owner::Nobody)).collect();
        assert_eq!(taken, [3, 2]);
        assert_eq!(shelf.shelves.room.available_permits(), MAX_KEPT as usize);
    }

    #[test]
    fn a_session_finds_its_own() {
        let shelf = Shelves::new().shelf(Isolation::PerSession);
        shelf.put(session("a"), 1);
        let other = Owner::Session { session: Some("a".into()), principal: "bob".into() };
        let none = Owner::Session { session: None, principal: "alice".into() };
        for owner in [session("b"), other, none] {
            assert_eq!(shelf.take(&owner), None, "{owner:?}");
        }
        assert_eq!(shelf.take(&session("a")), Some(1));
        assert_eq!(shelf.take(&session("a")), None);
    }

    #[test]
    fn the_session_that_was_away_longest_goes_first() {
        let shelf = Shelves::new().shelf(Isolation::PerSession);
        (0..=MAX_SESSIONS).for_each(|number| shelf.put(session(&number.to_string()), number));
        assert_eq!(shelf.take(&session("0")), None);
        assert_eq!(shelf.take(&session("1")), Some(1));
    }

    #[test]
    fn one_plugins_instances_make_room_for_anothers() {
        let shelves = Shelves::new();
        let all: Vec<_> = (0..9).map(|_| shelves.shelf(Isolation::Pooled)).collect();
        for shelf in &all {
            (0..MAX_POOLED).for_each(|instance| shelf.put(Owner::Anyone, instance));
        }
        let left = |shelf: &Arc<Shelf<_>>| std::iter::from_fn(|| shelf.take(&Owner::Anyone)).count();
        let left: Vec<_> = all.iter().map(left).collect();
        assert_eq!(left, [0, 64, 64, 64, 64, 64, 64, 64, 64]);
        assert_eq!(shelves.room.available_permits(), MAX_KEPT as usize);
    }

    #[test]
    fn what_waits_for_too_long_goes() {
        let shelves = Shelves::new();
        let shelf = shelves.shelf(Isolation::Pooled);
        shelf.put(Owner::Anyone, 1);
        let now = Instant::now();
        assert!(shelves.sweep(now));
        assert!(!shelves.sweep(now + IDLE));
        assert_eq!(shelf.take(&Owner::Anyone), None);
        assert_eq!(shelves.room.available_permits(), MAX_KEPT as usize);
    }

    #[test]
    fn a_plugin_takes_its_instances_with_it() {
        let shelves = Shelves::new();
        let shelf = shelves.shelf(Isolation::Pooled);
        let kept = Arc::new(());
        shelf.put(Owner::Anyone, Arc::clone(&kept));
        drop(shelf);
        assert_eq!((Arc::strong_count(&kept), shelves.room.available_permits()), (1, MAX_KEPT as usize));
    }
}

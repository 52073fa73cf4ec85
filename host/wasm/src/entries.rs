//! What plugins keep between calls: one set of entries for each configured name, in memory, for the life of the process.
//! A swap of the plugin finds them again. No I/O, no clock: every function is told the time.
//!
//! The quota covers keys, values and bookkeeping, so that a million empty values are not free. Entries end when their time
//! to live is over, and a session's or principal's when nobody has used any of them for a day.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::owner::Owner;

/// Bytes of the longest key.
pub(crate) const MAX_KEY_BYTES: usize = 256;

/// Bytes of the largest value.
pub(crate) const MAX_VALUE_BYTES: usize = 64 << 10;

/// What an entry and an owner cost besides their bytes.
const ENTRY_BYTES: usize = 128;
const OWNER_BYTES: usize = 128;

/// A session's or principal's entries end when none of them was used for this long: nobody says when a session is over.
const UNUSED: Duration = Duration::from_secs(24 * 60 * 60);

/// Ended entries that one call takes away; more only where room is needed.
const SWEEP: usize = 64;

/// The entries of all plugins, by configured name.
#[derive(Default)]
pub(crate) struct Stores(Mutex<HashMap<Arc<str>, Arc<Store>>>);

impl Stores {
    /// The entries of the plugin of this name.
    pub(crate) fn of(&self, plugin: &Arc<str>) -> Arc<Store> {
        let mut stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(stores.entry(Arc::clone(plugin)).or_default())
    }
}

/// The entries of one plugin. The lock is held for one operation, never across a wait.
#[derive(Default)]
pub(crate) struct Store(Mutex<Entries>);

impl Store {
    /// The entries, as they are now.
    pub(crate) fn at(&self, now: Instant) -> MutexGuard<'_, Entries> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.sweep(now, SWEEP);
        entries
    }
}

/// Why something was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unkept {
    /// Key or value are too large.
    #[error("a key of {MAX_KEY_BYTES} bytes")]
    Key,
    #[error("a value of {MAX_VALUE_BYTES} bytes")]
    Value,
    /// The plugin's quota is used up.
    #[error("its quota of {0} bytes (`grants.kv.quota`)")]
    Quota(usize),
    /// Added to something else.
    #[error("what is there is no counter: those have 8 bytes")]
    NoCounter,
}

/// An entry's value and time to live, as a plugin gives them.
pub(crate) struct Given {
    pub(crate) value: Vec<u8>,
    pub(crate) ttl: Option<Duration>,
    /// What all entries of this plugin together may have.
    pub(crate) quota: usize,
}

/// The entries of one plugin, unlocked.
#[derive(Default)]
pub(crate) struct Entries {
    owners: HashMap<Owner, Owned>,
    /// What ends when; the number tells those apart that end together.
    ends: BTreeMap<(Instant, u64), Ending>,
    next: u64,
    bytes: usize,
}

struct Owned {
    entries: HashMap<Arc<str>, Entry>,
    used: Instant,
}

struct Entry {
    value: Box<[u8]>,
    end: Option<(Instant, u64)>,
}

enum Ending {
    Entry(Owner, Arc<str>),
    /// Looked at again: the owner's entries may have been used since.
    Owner(Owner),
}

impl Entries {
    /// What is there.
    pub(crate) fn get(&mut self, owner: &Owner, key: &str, now: Instant) -> Option<&[u8]> {
        let owned = self.owners.get_mut(owner)?;
        let entry = owned.entries.get(key).filter(|entry| entry.lives(now))?;
        owned.used = now;
        Some(&entry.value)
    }

    /// Puts a value there.
    ///
    /// # Errors
    /// Too large, or beyond the quota; what was there stays.
    pub(crate) fn set(&mut self, owner: &Owner, key: &str, given: Given, now: Instant) -> Result<(), Unkept> {
        if key.len() > MAX_KEY_BYTES {
            return Err(Unkept::Key);
        }
        if given.value.len() > MAX_VALUE_BYTES {
            return Err(Unkept::Value);
        }
        self.make_room(owner, key, &given, now)?;
        self.delete(owner, key);
        let key: Arc<str> = key.into();
        let end = given
            .ttl
            .and_then(|ttl| now.checked_add(ttl))
            .map(|end| self.will_end(end, Ending::Entry(owner.clone(), Arc::clone(&key))));
        if !self.owners.contains_key(owner) {
            self.bytes += owner_cost(owner);
            self.owners.insert(owner.clone(), Owned { entries: HashMap::new(), used: now });
            if *owner != Owner::All {
                self.will_end(now + UNUSED, Ending::Owner(owner.clone()));
            }
        }
        self.bytes += entry_cost(&key, given.value.len());
        if let Some(owned) = self.owners.get_mut(owner) {
            owned.used = now;
            owned.entries.insert(key, Entry { value: given.value.into(), end });
        }
        Ok(())
    }

    /// Takes an entry away.
    pub(crate) fn delete(&mut self, owner: &Owner, key: &str) {
        let Some(owned) = self.owners.get_mut(owner) else { return };
        if let Some((key, entry)) = owned.entries.remove_entry(key) {
            self.bytes -= entry_cost(&key, entry.value.len());
            if let Some(end) = entry.end {
                self.ends.remove(&end);
            }
        }
    }

    /// Adds to a counter, which begins at 0 and stays within 64 bits; its time to live begins with it. Answers the sum.
    ///
    /// # Errors
    /// What is there is no counter, or there is no room for one.
    pub(crate) fn add(
        &mut self,
        owner: &Owner,
        key: &str,
        (delta, given): (i64, Given),
        now: Instant,
    ) -> Result<i64, Unkept> {
        let Some(value) = self.get(owner, key, now) else {
            let given = Given { value: delta.to_le_bytes().into(), ..given };
            return self.set(owner, key, given, now).map(|()| delta);
        };
        let before = <[u8; 8]>::try_from(value).map_err(|_| Unkept::NoCounter)?;
        let sum = i64::from_le_bytes(before).saturating_add(delta);
        if let Some(entry) = self.owners.get_mut(owner).and_then(|owned| owned.entries.get_mut(key)) {
            entry.value = Box::new(sum.to_le_bytes());
        }
        Ok(sum)
    }

    /// Puts a value there if `expected` is what is there. Answers whether it did.
    ///
    /// # Errors
    /// As [`Entries::set`].
    pub(crate) fn swap(
        &mut self,
        owner: &Owner,
        key: &str,
        (expected, given): (Option<&[u8]>, Given),
        now: Instant,
    ) -> Result<bool, Unkept> {
        if self.get(owner, key, now) != expected {
            return Ok(false);
        }
        self.set(owner, key, given, now).map(|()| true)
    }

    /// Makes sure that the entry fits in, if need be by taking away all that has ended.
    fn make_room(&mut self, owner: &Owner, key: &str, given: &Given, now: Instant) -> Result<(), Unkept> {
        if self.bytes_with(owner, key, given) > given.quota {
            self.sweep(now, usize::MAX);
        }
        match self.bytes_with(owner, key, given) > given.quota {
            true => Err(Unkept::Quota(given.quota)),
            false => Ok(()),
        }
    }

    /// The bytes of everything, once this entry is there.
    fn bytes_with(&self, owner: &Owner, key: &str, given: &Given) -> usize {
        let added = entry_cost(key, given.value.len());
        let Some(owned) = self.owners.get(owner) else { return self.bytes + owner_cost(owner) + added };
        let replaced = owned.entries.get(key).map_or(0, |entry| entry_cost(key, entry.value.len()));
        self.bytes + added - replaced
    }

    fn will_end(&mut self, end: Instant, what: Ending) -> (Instant, u64) {
        self.next += 1;
        self.ends.insert((end, self.next), what);
        (end, self.next)
    }

    /// Takes away what has ended, at most so much of it.
    fn sweep(&mut self, now: Instant, most: usize) {
        for _ in 0..most {
            let Some(first) = self.ends.first_entry().filter(|first| first.key().0 <= now) else { return };
            match first.remove() {
                Ending::Entry(owner, key) => self.delete(&owner, &key),
                Ending::Owner(owner) => self.end(owner, now),
            }
        }
    }

    /// Forgets an owner whose entries nobody uses any more.
    fn end(&mut self, owner: Owner, now: Instant) {
        let Some(owned) = self.owners.get(&owner) else { return };
        let end = owned.used + UNUSED;
        if end > now && !owned.entries.is_empty() {
            self.will_end(end, Ending::Owner(owner));
            return;
        }
        let keys: Vec<_> = owned.entries.keys().cloned().collect();
        for key in keys {
            self.delete(&owner, &key);
        }
        self.bytes -= owner_cost(&owner);
        self.owners.remove(&owner);
    }
}

impl Entry {
    fn lives(&self, now: Instant) -> bool {
        self.end.is_none_or(|(end, _)| now < end)
    }
}

fn entry_cost(key: &str, value: usize) -> usize {
    ENTRY_BYTES + key.len() + value
}

fn owner_cost(owner: &Owner) -> usize {
    OWNER_BYTES + owner.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn given(value: &[u8], ttl_ms: Option<u64>) -> Given {
        Given { value: value.to_vec(), ttl: ttl_ms.map(Duration::from_millis), quota: KIB }
    }

    fn alice() -> Owner {
        Owner::Principal("alice".into())
    }

    #[test]
    fn owners_do_not_see_each_others_entries() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        let owners = [
            alice(),
            Owner::Principal("bob".into()),
            Owner::Session("alice".into()),
            Owner::Sessionless("alice".into()),
            Owner::All,
        ];
        for (number, owner) in owners.iter().enumerate() {
            assert_eq!(entries.get(owner, "key", now), None);
            let number = u8::try_from(number).unwrap();
            entries.set(owner, "key", Given { quota: 1 << 20, ..given(&[number], None) }, now).unwrap();
        }
        for (number, owner) in owners.iter().enumerate() {
            assert_eq!(entries.get(owner, "key", now), Some(&[u8::try_from(number).unwrap()][..]));
        }
    }

    #[test]
    fn an_entry_ends_with_its_time_to_live() {
        let (mut entries, start) = (Entries::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        entries.set(&alice(), "key", given(b"a", Some(10)), start).unwrap();
        assert_eq!(entries.get(&alice(), "key", at(9)), Some(&b"a"[..]));
        assert_eq!(entries.get(&alice(), "key", at(10)), None);
        entries.set(&alice(), "key", given(b"b", None), at(10)).unwrap();
        entries.sweep(at(20), SWEEP);
        assert_eq!(entries.get(&alice(), "key", at(20)), Some(&b"b"[..]), "ended with its predecessor");
        let forever = Given { ttl: Some(Duration::MAX), ..given(b"c", None) };
        entries.set(&alice(), "key", forever, at(20)).unwrap();
        assert_eq!(entries.get(&alice(), "key", at(1 << 40)), Some(&b"c"[..]));
    }

    #[test]
    fn the_quota_covers_keys_values_and_bookkeeping() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        let fill = |entries: &mut Entries, value: &[u8]| {
            (0..100)
                .take_while(|n| entries.set(&alice(), &n.to_string(), given(value, None), now).is_ok())
                .count()
        };
        let empty = fill(&mut entries, b"");
        assert_eq!(empty, (KIB - OWNER_BYTES - 5) / (ENTRY_BYTES + 1));
        assert_eq!(entries.set(&alice(), "one more", given(b"", None), now), Err(Unkept::Quota(KIB)));
        assert_eq!(entries.set(&Owner::All, "", given(b"", None), now), Err(Unkept::Quota(KIB)));
        // What is there can be replaced by something of its size, and gives its room back.
        entries.set(&alice(), "0", given(b"", None), now).unwrap();
        entries.delete(&alice(), "0");
        entries.set(&alice(), "1", given(&[0; ENTRY_BYTES], None), now).unwrap();
        assert_eq!(
            entries.set(&alice(), "1", given(&[0; KIB], None), now),
            Err(Unkept::Quota(KIB)),
            "and keeps what was there"
        );
        assert_eq!(entries.get(&alice(), "1", now).map(<[u8]>::len), Some(ENTRY_BYTES));
    }

    #[test]
    fn keys_and_values_are_bounded() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        let wide = |value: usize| Given { quota: usize::MAX, ..given(&vec![0; value], None) };
        let mut set = |key: usize, value| entries.set(&Owner::All, &"k".repeat(key), wide(value), now);
        assert_eq!(set(MAX_KEY_BYTES, MAX_VALUE_BYTES), Ok(()));
        assert_eq!(set(MAX_KEY_BYTES + 1, 0), Err(Unkept::Key));
        assert_eq!(set(1, MAX_VALUE_BYTES + 1), Err(Unkept::Value));
    }

    #[test]
    fn room_is_made_of_what_has_ended() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        let later = now + Duration::from_millis(1);
        for key in ["a", "b", "c", "d", "e", "f"] {
            entries.set(&Owner::All, key, given(b"", Some(1)), now).unwrap();
        }
        assert!(entries.set(&Owner::All, "g", given(b"", None), now).is_err());
        entries.set(&Owner::All, "g", given(&[0; 512], None), later).unwrap();
        assert!(entries.ends.is_empty());
    }

    #[test]
    fn what_nobody_uses_for_a_day_ends() {
        let (mut entries, start) = (Entries::default(), Instant::now());
        let hours = |hours: u64| start + Duration::from_secs(hours * 3600);
        for owner in [Owner::All, alice(), Owner::Session("s".into())] {
            entries.set(&owner, "key", given(b"", None), start).unwrap();
        }
        entries.get(&alice(), "key", hours(23)).unwrap();
        entries.sweep(hours(25), SWEEP);
        assert_eq!(entries.get(&Owner::Session("s".into()), "key", hours(25)), None);
        assert!(entries.get(&alice(), "key", hours(25)).is_some());
        entries.sweep(hours(100), SWEEP);
        assert!(entries.get(&Owner::All, "key", hours(100)).is_some());
        assert_eq!((entries.owners.len(), entries.ends.len()), (1, 0));
        assert_eq!(entries.bytes, owner_cost(&Owner::All) + entry_cost("key", 0));
    }

    #[test]
    fn a_counter_counts_from_zero_and_stays_within_its_bits() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        let mut add = |delta, ms| {
            let at = now + Duration::from_millis(ms);
            entries.add(&Owner::All, "n", (delta, given(b"", Some(10))), at)
        };
        assert_eq!(add(2, 0), Ok(2));
        assert_eq!(add(i64::MAX, 5), Ok(i64::MAX));
        assert_eq!(add(-1, 9), Ok(i64::MAX - 1));
        assert_eq!(add(1, 10), Ok(1), "its time began with the first addition");
        entries.set(&Owner::All, "text", given(b"text", None), now).unwrap();
        assert_eq!(entries.add(&Owner::All, "text", (1, given(b"", None)), now), Err(Unkept::NoCounter));
    }

    #[test]
    fn a_swap_needs_what_is_there() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        let mut swap = |expected: Option<&[u8]>, value: &[u8]| {
            entries.swap(&Owner::All, "key", (expected, given(value, None)), now)
        };
        assert_eq!(swap(Some(b"a"), b"b"), Ok(false));
        assert_eq!(swap(None, b"a"), Ok(true));
        assert_eq!(swap(None, b"b"), Ok(false));
        assert_eq!(swap(Some(b"a"), b"b"), Ok(true));
        assert_eq!(entries.get(&Owner::All, "key", now), Some(&b"b"[..]));
    }
}

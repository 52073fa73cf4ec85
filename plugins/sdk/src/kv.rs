//! Small values that outlive a call: counters, caches, what was seen. Needs the grant `kv`. Each plugin has its own names.

use crate::Refusal;

/// Who shares an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This session; where there is none, this principal.
    Session,
    /// This principal.
    Principal,
    /// Everybody.
    Global,
}

/// What is there.
///
/// # Errors
/// [`Refusal`]
pub fn get(scope: Scope, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
    stand::get(scope, key)
}

/// Puts a value there, for so many milliseconds, or for as long as the scope lasts.
///
/// # Errors
/// [`Refusal`]
pub fn set(scope: Scope, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), Refusal> {
    stand::set(scope, key, value, ttl_ms)
}

/// Takes it away.
///
/// # Errors
/// [`Refusal`]
pub fn delete(scope: Scope, key: &str) -> Result<(), Refusal> {
    stand::delete(scope, key)
}

/// Adds to a counter, which begins at 0, and answers the sum. `ttl_ms` counts from the first addition.
///
/// # Errors
/// [`Refusal`], also when what is there is no counter.
pub fn add(scope: Scope, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, Refusal> {
    stand::add(scope, key, delta, ttl_ms)
}

/// Puts a value there only if `expected` is what is there. Answers whether it did.
///
/// # Errors
/// [`Refusal`]
pub fn swap(
    scope: Scope,
    key: &str,
    expected: Option<&[u8]>,
    value: &[u8],
    ttl_ms: Option<u64>,
) -> Result<bool, Refusal> {
    stand::swap(scope, key, expected, value, ttl_ms)
}

#[cfg(target_arch = "wasm32")]
mod stand {
    use super::{Refusal, Scope};
    use crate::guest::kv;

    fn raw(scope: Scope) -> kv::Scope {
        match scope {
            Scope::Session => kv::Scope::Session,
            Scope::Principal => kv::Scope::Principal,
            Scope::Global => kv::Scope::Global,
        }
    }

    pub(super) fn get(scope: Scope, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(kv::get(raw(scope), key)?)
    }

    pub(super) fn set(scope: Scope, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), Refusal> {
        Ok(kv::set(raw(scope), key, value, ttl_ms)?)
    }

    pub(super) fn delete(scope: Scope, key: &str) -> Result<(), Refusal> {
        Ok(kv::delete(raw(scope), key)?)
    }

    pub(super) fn add(scope: Scope, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, Refusal> {
        Ok(kv::add(raw(scope), key, delta, ttl_ms)?)
    }

    pub(super) fn swap(
        scope: Scope,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<bool, Refusal> {
        Ok(kv::swap(raw(scope), key, expected, value, ttl_ms)?)
    }
}

/// Native tests: one store a thread. Times to live are kept by [`crate::clock::set_ms`].
#[cfg(not(target_arch = "wasm32"))]
mod stand {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::{Refusal, Scope};

    struct Entry {
        value: Vec<u8>,
        ends: Option<u64>,
    }

    thread_local! {
        static STORE: RefCell<HashMap<(Scope, String), Entry>> = RefCell::default();
    }

    fn ends(ttl_ms: Option<u64>) -> Option<u64> {
        ttl_ms.map(|ttl| crate::clock::monotonic_ms().saturating_add(ttl))
    }

    pub(super) fn get(scope: Scope, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let now = crate::clock::monotonic_ms();
        STORE.with_borrow_mut(|store| {
            store.retain(|_, entry| entry.ends.is_none_or(|ends| now < ends));
            Ok(store.get(&(scope, key.to_owned())).map(|entry| entry.value.clone()))
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the gateway's can refuse")]
    pub(super) fn set(scope: Scope, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), Refusal> {
        let entry = Entry { value: value.to_vec(), ends: ends(ttl_ms) };
        STORE.with_borrow_mut(|store| store.insert((scope, key.to_owned()), entry));
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the gateway's can refuse")]
    pub(super) fn delete(scope: Scope, key: &str) -> Result<(), Refusal> {
        STORE.with_borrow_mut(|store| store.remove(&(scope, key.to_owned())));
        Ok(())
    }

    pub(super) fn add(scope: Scope, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, Refusal> {
        let now = get(scope, key)?;
        let not_a_counter = || Refusal::Failed(format!("`{key}` is no counter"));
        let Some(bytes) = now else {
            set(scope, key, &delta.to_le_bytes(), ttl_ms)?;
            return Ok(delta);
        };
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| not_a_counter())?;
        let sum = i64::from_le_bytes(bytes).saturating_add(delta);
        STORE.with_borrow_mut(|store| {
            if let Some(entry) = store.get_mut(&(scope, key.to_owned())) {
                entry.value = sum.to_le_bytes().to_vec();
            }
        });
        Ok(sum)
    }

    pub(super) fn swap(
        scope: Scope,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<bool, Refusal> {
        if get(scope, key)?.as_deref() != expected {
            return Ok(false);
        }
        set(scope, key, value, ttl_ms).map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_and_swaps_need_what_is_there() {
        assert_eq!(add(Scope::Global, "n", 2, Some(10)), Ok(2));
        assert_eq!(add(Scope::Global, "n", 3, Some(10)), Ok(5));
        assert_eq!(get(Scope::Principal, "n"), Ok(None));
        crate::clock::set_ms(10);
        assert_eq!(get(Scope::Global, "n"), Ok(None));
        assert_eq!(swap(Scope::Session, "s", Some(b"a"), b"b", None), Ok(false));
        assert_eq!(swap(Scope::Session, "s", None, b"a", None), Ok(true));
        assert_eq!(swap(Scope::Session, "s", Some(b"a"), b"b", None), Ok(true));
        assert_eq!(get(Scope::Session, "s"), Ok(Some(b"b".to_vec())));
        delete(Scope::Session, "s").unwrap();
        assert_eq!(get(Scope::Session, "s"), Ok(None));
    }
}

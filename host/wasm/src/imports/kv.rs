//! Values that outlive a call. What a call wrote counts even if the call fails later: whoever counts attempts must count
//! those.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bindings::kv::{Host, Scope};
use crate::bindings::types::Refusal;
use crate::entries::{Given, Store, Unkept};
use crate::guest::Guest;
use crate::owner::Owner;

/// Where an operation of a guest happens.
struct Place {
    store: Arc<Store>,
    owner: Owner,
    quota: usize,
    now: Instant,
}

impl Place {
    fn given(&self, value: Vec<u8>, ttl_ms: Option<u64>) -> Given {
        Given { value, ttl: ttl_ms.map(Duration::from_millis), quota: self.quota }
    }
}

impl Host for Guest {
    fn get(&mut self, scope: Scope, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Refusal>> {
        let place = match place(self, scope, key.len())? {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let value = place.store.at(place.now).get(&place.owner, &key, place.now).map(<[u8]>::to_vec);
        self.usage.host_work(value.as_ref().map_or(0, Vec::len))?;
        Ok(Ok(value))
    }

    fn set(
        &mut self,
        scope: Scope,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Refusal>> {
        let place = match place(self, scope, key.len() + value.len())? {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let given = place.given(value, ttl_ms);
        Ok(place.store.at(place.now).set(&place.owner, &key, given, place.now).map_err(refusal))
    }

    fn delete(&mut self, scope: Scope, key: String) -> wasmtime::Result<Result<(), Refusal>> {
        Ok(place(self, scope, key.len())?.map(|place| place.store.at(place.now).delete(&place.owner, &key)))
    }

    fn add(
        &mut self,
        scope: Scope,
        key: String,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<i64, Refusal>> {
        let place = match place(self, scope, key.len())? {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let given = place.given(Vec::new(), ttl_ms);
        let sum = place.store.at(place.now).add(&place.owner, &key, (delta, given), place.now);
        Ok(sum.map_err(refusal))
    }

    fn swap(
        &mut self,
        scope: Scope,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<bool, Refusal>> {
        let bytes = key.len() + value.len() + expected.as_ref().map_or(0, Vec::len);
        let place = match place(self, scope, bytes)? {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let change = (expected.as_deref(), place.given(value, ttl_ms));
        let swapped = place.store.at(place.now).swap(&place.owner, &key, change, place.now);
        Ok(swapped.map_err(refusal))
    }
}

/// Where to look, if the plugin may; `bytes` are charged to the call.
fn place(guest: &mut Guest, scope: Scope, bytes: usize) -> wasmtime::Result<Result<Place, Refusal>> {
    guest.usage.host_work(bytes)?;
    let identity = &guest.identity;
    let (Some(grant), Some(store)) = (identity.grants.kv, &identity.store) else {
        return Ok(Err(Refusal::Denied("`kv: true` is not granted".into())));
    };
    let owner = match (scope, guest.operation()) {
        (Scope::Global, _) => Owner::All,
        (Scope::Session, Some(operation)) => Owner::session(operation),
        (Scope::Principal, Some(operation)) => Owner::principal(operation),
        (Scope::Session | Scope::Principal, None) => {
            return Ok(Err(Refusal::Denied("there is no session and no principal outside of a call".into())));
        }
    };
    Ok(Ok(Place { store: Arc::clone(store), owner, quota: grant.quota, now: Instant::now() }))
}

fn refusal(unkept: Unkept) -> Refusal {
    match unkept {
        Unkept::Key | Unkept::Value | Unkept::Quota(_) => Refusal::Exceeded(unkept.to_string()),
        Unkept::NoCounter => Refusal::Failed(unkept.to_string()),
    }
}

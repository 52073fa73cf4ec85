//! Values that outlive a call.

use crate::bindings::kv::{Host, Scope};
use crate::bindings::types::Refusal;
use crate::guest::Guest;

fn denied<T>() -> wasmtime::Result<Result<T, Refusal>> {
    Ok(Err(Refusal::Denied("`kv: true` is not granted".into())))
}

impl Host for Guest {
    fn get(&mut self, _: Scope, _: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Refusal>> {
        denied()
    }
    fn set(
        &mut self,
        _: Scope,
        _: String,
        _: Vec<u8>,
        _: Option<u64>,
    ) -> wasmtime::Result<Result<(), Refusal>> {
        denied()
    }
    fn delete(&mut self, _: Scope, _: String) -> wasmtime::Result<Result<(), Refusal>> {
        denied()
    }
    fn add(&mut self, _: Scope, _: String, _: i64, _: Option<u64>) -> wasmtime::Result<Result<i64, Refusal>> {
        denied()
    }
    fn swap(
        &mut self,
        _: Scope,
        _: String,
        _: Option<Vec<u8>>,
        _: Vec<u8>,
        _: Option<u64>,
    ) -> wasmtime::Result<Result<bool, Refusal>> {
        denied()
    }
}

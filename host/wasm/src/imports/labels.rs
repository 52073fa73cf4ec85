//! Marks on sessions.

use crate::bindings::labels::Host;
use crate::bindings::types::Refusal;
use crate::guest::Guest;

impl Host for Guest {
    fn all(&mut self) -> wasmtime::Result<Result<Vec<String>, Refusal>> {
        Ok(Err(Refusal::Denied("`labels: true` is not granted".into())))
    }
    fn add(&mut self, _: String) -> wasmtime::Result<Result<(), Refusal>> {
        Ok(Err(Refusal::Denied("`labels: true` is not granted".into())))
    }
}

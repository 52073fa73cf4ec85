//! Names and places of secrets, never their values.

use crate::bindings::secrets::{Host, Sighting};
use crate::bindings::types::{Message, Refusal};
use crate::guest::Guest;

/// Values the gateway keeps secret, by name.
pub struct KnownSecrets;

impl Host for Guest {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.identity.grants.secrets.iter().map(|secret| secret.name.clone()).collect())
    }
    fn find(&mut self, _: Message, _: String) -> wasmtime::Result<Result<Vec<Sighting>, Refusal>> {
        Ok(Err(Refusal::Denied("`findSecrets: true` is not granted".into())))
    }
}

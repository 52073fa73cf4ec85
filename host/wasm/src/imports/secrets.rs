//! Names and places of secrets, never their values.

use super::messages::read;
use crate::bindings::secrets::{Host, Sighting};
use crate::bindings::types::{Message, Refusal};
use crate::guest::Guest;

/// Sightings in one message; who shows more than that is not to be cleaned, but refused.
const MAX_SIGHTINGS: usize = 1000;

impl Host for Guest {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.identity.grants.secrets.iter().map(|secret| secret.name.clone()).collect())
    }

    fn find(&mut self, m: Message, under: String) -> wasmtime::Result<Result<Vec<Sighting>, Refusal>> {
        let payload = read(self, m)?;
        let Some(known) = self.identity.grants.find_secrets.clone() else {
            return Ok(Err(Refusal::Denied("`findSecrets: true` is not granted".into())));
        };
        if known.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let budget = super::messages::budget(&payload);
        let leaves = payload.strings_within(&under, 1, budget).ok_or(crate::limits::OUTPUT)?;
        let mut sightings = Vec::new();
        for (pointer, text) in leaves {
            self.usage.host_work(pointer.len() + text.len())?;
            for (secret, range) in known.find(&text) {
                if sightings.len() >= MAX_SIGHTINGS {
                    return Ok(Err(Refusal::Exceeded(format!("{MAX_SIGHTINGS} places in one message"))));
                }
                let (start, end) = (u32::try_from(range.start)?, u32::try_from(range.end)?);
                sightings.push(Sighting { pointer: pointer.clone(), secret: secret.to_owned(), start, end });
            }
        }
        Ok(Ok(sightings))
    }
}

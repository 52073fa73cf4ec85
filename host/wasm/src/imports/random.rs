//! Unpredictable bytes, for plugins that are granted them.

use crate::bindings::random::Host;
use crate::bindings::types::Refusal;
use crate::guest::Guest;

/// Bytes of one request.
const MOST: usize = 4096;

impl Host for Guest {
    fn bytes(&mut self, count: u32) -> wasmtime::Result<Result<Vec<u8>, Refusal>> {
        if !self.identity.grants.random {
            return Ok(Err(Refusal::Denied("`random: true` is not granted".into())));
        }
        let count = usize::try_from(count)?;
        if count > MOST {
            return Ok(Err(Refusal::Exceeded(format!("{MOST} bytes at once"))));
        }
        let mut bytes = vec![0; count];
        getrandom::fill(&mut bytes)
            .map_err(|error| wasmtime::format_err!("the host is out of random numbers: {error}"))?;
        Ok(Ok(bytes))
    }
}

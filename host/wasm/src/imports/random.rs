//! Unpredictable bytes, for plugins that are granted them; for the others the random numbers of WASI are the same in every
//! call, so that the same message gets the same answer.

use std::convert::Infallible;

use rand_core::TryRng;
use wasmtime_wasi::WasiCtxBuilder;

use crate::bindings::random::Host;
use crate::bindings::types::Refusal;
use crate::guest::Guest;

/// Bytes of one request.
const MOST: usize = 4096;

/// Bytes of one request through WASI.
const MOST_WASI: u64 = 64 << 10;

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

/// What stands behind `wasi:random`.
pub(super) fn wasi(builder: &mut WasiCtxBuilder, granted: bool) {
    builder.max_random_size(MOST_WASI);
    if !granted {
        builder.secure_random(Fixed(1)).insecure_random(Fixed(2)).insecure_random_seed(3);
    }
}

/// SplitMix64: well distributed, and the same on every machine.
struct Fixed(u64);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let [a, b, c, d, ..] = self.try_next_u64()?.to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(mixed ^ (mixed >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.try_next_u64()?.to_le_bytes();
            chunk.iter_mut().zip(next).for_each(|(byte, next)| *byte = next);
        }
        Ok(())
    }
}

//! Clocks in steps of a millisecond: enough to measure a call, too coarse to measure a cache line. They stand still for
//! plugins that are not granted the time.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::bindings::clock::Host;
use crate::guest::Guest;

const RESOLUTION: Duration = Duration::from_millis(1);

/// `wasi:clocks/monotonic-clock`; one origin for all guests.
pub(crate) struct CoarseMonotonic {
    pub(crate) runs: bool,
}

/// `wasi:clocks/wall-clock`.
pub(crate) struct CoarseWall {
    pub(crate) runs: bool,
}

impl Host for Guest {
    fn monotonic_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(if self.identity.grants.clock { monotonic_ms() } else { 0 })
    }

    fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(if self.identity.grants.clock { unix_ms() } else { 0 })
    }
}

impl HostMonotonicClock for CoarseMonotonic {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        if self.runs { monotonic_ms().saturating_mul(1_000_000) } else { 0 }
    }
}

impl HostWallClock for CoarseWall {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        Duration::from_millis(if self.runs { unix_ms() } else { 0 })
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn monotonic_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

//! Clocks in steps of a millisecond: enough to measure a call, too coarse to measure a cache line.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::bindings::clock::Host;
use crate::guest::Guest;

const RESOLUTION: Duration = Duration::from_millis(1);

/// `wasi:clocks/monotonic-clock`; one origin for all guests.
pub(crate) struct CoarseMonotonic;

/// `wasi:clocks/wall-clock`.
pub(crate) struct CoarseWall;

impl Host for Guest {
    fn monotonic_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(monotonic_ms())
    }
}

impl HostMonotonicClock for CoarseMonotonic {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        monotonic_ms().saturating_mul(1_000_000)
    }
}

impl HostWallClock for CoarseWall {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }
}

fn monotonic_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

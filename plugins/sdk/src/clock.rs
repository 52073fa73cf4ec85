//! The host's monotonic clock as a number, so that one instance can note a moment and another can measure from it.
//! (`std::time::Instant` cannot leave the instance it was taken in.)

/// Nanoseconds since a moment in the past that is the same for all calls to one gateway process. Coarse: steps of a
/// millisecond.
#[cfg(target_arch = "wasm32")]
pub fn monotonic_ns() -> u64 {
    wasip2::clocks::monotonic_clock::now()
}

/// Nanoseconds since the first use in this process.
#[cfg(not(target_arch = "wasm32"))]
pub fn monotonic_ns() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

//! The gateway's monotonic clock as a number, so that one call can note a moment and a later one can measure from it.
//! (`std::time::Instant` cannot leave the instance it was taken in.)

/// Milliseconds since a moment in the past that is the same for all calls to one gateway process.
#[cfg(target_arch = "wasm32")]
pub fn monotonic_ms() -> u64 {
    crate::guest::monotonic_ms()
}

/// Milliseconds since the first use in this process.
#[cfg(not(target_arch = "wasm32"))]
pub fn monotonic_ms() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

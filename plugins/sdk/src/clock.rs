//! The gateway's clocks as numbers, so that one call can note a moment and a later one can measure from it
//! (`std::time::Instant` cannot leave the instance it was taken in). They stand still unless `clock` is granted.

/// Milliseconds since a moment in the past that is the same for all calls to one gateway process.
#[cfg(target_arch = "wasm32")]
pub fn monotonic_ms() -> u64 {
    crate::guest::clock::monotonic_ms()
}

/// Milliseconds since 1970-01-01 UTC.
#[cfg(target_arch = "wasm32")]
pub fn unix_ms() -> u64 {
    crate::guest::clock::unix_ms()
}

/// What [`set_ms`] said last on this thread.
#[cfg(not(target_arch = "wasm32"))]
pub fn monotonic_ms() -> u64 {
    NOW.get()
}

/// What [`set_ms`] said last on this thread.
#[cfg(not(target_arch = "wasm32"))]
pub fn unix_ms() -> u64 {
    NOW.get()
}

/// Sets both clocks of this thread, for native tests.
#[cfg(not(target_arch = "wasm32"))]
pub fn set_ms(now: u64) {
    NOW.set(now);
}

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

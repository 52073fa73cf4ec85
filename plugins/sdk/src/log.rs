//! The gateway's log and counters. In native tests the lines are kept for [`crate::harness::take_log`].

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// Normal operation.
    Info,
    /// Worth looking at.
    Warn,
    /// Something failed.
    Error,
}

/// Writes one line. The gateway adds the plugin's name and the request id, cuts long lines and drops floods.
pub fn line(level: Level, message: &str, fields: &[(&str, &str)]) {
    #[cfg(target_arch = "wasm32")]
    crate::guest::log(level, message, fields);
    #[cfg(not(target_arch = "wasm32"))]
    crate::harness::keep_line(level, message, fields);
}

/// A line of normal operation.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    line(Level::Info, message, fields);
}

/// A line worth looking at.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    line(Level::Warn, message, fields);
}

/// Adds to one of this plugin's counters. Names are `[a-z0-9._-]`, at most 64 bytes. Nothing happens in native tests.
pub fn count(name: &str, delta: u64) {
    #[cfg(target_arch = "wasm32")]
    crate::guest::count(name, delta);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (name, delta);
}

//! The harness of the integration suite: the real binary, real peers, and what must hold after every test.
//!
//! A test reads like a sentence: `gateway().catalog(..).start().await`, some calls, `stop().await`. Stopping checks that
//! the gateway ended with 0 in time and left no process, no container and no panic behind. Nothing in here reaches into
//! the gateway's code: it is a program with a command line, a port and two pipes.
//!
//! A peer that this machine lacks skips its tests with one line; `WASMGATE_REQUIRE_ALL=1` makes that a failure.

#![expect(clippy::disallowed_methods, reason = "tests read their own environment and spawn their own tasks")]
#![expect(missing_docs, reason = "test code: names and the module heads say it")]

pub mod build;
pub mod catalog;
pub mod conformance;
pub mod docker;
pub mod engine;
pub mod faulty;
pub mod gateway;
pub mod home;
pub mod hostile;
pub mod http;
pub mod invariants;
pub mod mcp;
pub mod names;
pub mod official;
pub mod peers;
pub mod process;
pub mod registry;
pub mod remote;
pub mod sdk;
pub mod signing;
pub mod socket;
pub mod spelt;
pub mod tls;
pub mod watch;
pub mod wire;

pub use gateway::{Gateway, Running, gateway};
pub use mcp::{Legacy, Modern};

/// The suite's limit for anything that should take no time at all: long enough for a loaded machine, short enough to end.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Awaits, or fails the test naming what never came.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing for {} s", PATIENCE.as_secs()),
    }
}

/// A peer that is not there: `Some(reason)` skips the test, unless every peer is required.
#[must_use]
pub fn missing(test: &str, reason: Result<(), String>) -> bool {
    let Err(reason) = reason else { return false };
    assert!(std::env::var_os("WASMGATE_REQUIRE_ALL").is_none(), "{test} needs what is missing: {reason}");
    eprintln!("skipped: {test}: {reason}");
    true
}

/// Returns from the test when a peer is missing: `require!(docker::there().await);`
#[macro_export]
macro_rules! require {
    ($there:expr) => {
        let name = std::thread::current().name().unwrap_or("test").to_owned();
        if $crate::missing(&name, $there.map(|_| ())) {
            return;
        }
    };
}

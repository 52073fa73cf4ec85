//! What guests may call, one file an interface. Everything here runs on behalf of untrusted code: arguments are checked,
//! work is charged to the call's budget, and nothing is kept that is not bounded.

mod clock;
mod config;
mod edits;
mod http;
mod kv;
mod labels;
mod log;
mod messages;
mod random;
mod secrets;
mod stdio;

pub(crate) use clock::{CoarseMonotonic, CoarseWall};
pub(crate) use log::{Counters, LogBudget, LogRate};
pub(crate) use stdio::Stdio;

use wasmtime_wasi::WasiCtx;

use crate::grants::Grants;

/// The part of WASI that language runtimes need: coarse clocks (that stand still without the grant), random numbers (the
/// same ones without the grant), output that ends in the log. No arguments, no environment, no files. Sockets are there
/// to be imported and cannot be made; no name is looked up.
pub(crate) fn wasi(stdio: &Stdio, grants: &Grants) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .wall_clock(CoarseWall { runs: grants.clock })
        .monotonic_clock(CoarseMonotonic { runs: grants.clock })
        .stdout(stdio.clone())
        .stderr(stdio.clone())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    random::wasi(&mut builder, grants.random);
    builder.build()
}

//! What guests may call, one file an interface. Everything here runs on behalf of untrusted code: arguments are checked,
//! work is charged to the call's budget, and nothing is kept that is not bounded.

mod clock;
mod edits;
mod log;
mod messages;
mod stdio;

pub(crate) use clock::{CoarseMonotonic, CoarseWall};
pub(crate) use log::{Counters, LogBudget};
pub(crate) use stdio::Stdio;

use wasmtime_wasi::WasiCtx;

/// The part of WASI that language runtimes need: coarse clocks, random numbers, output that ends in the log. No arguments,
/// no environment, no files, no sockets.
pub(crate) fn wasi(stdio: &Stdio) -> WasiCtx {
    WasiCtx::builder()
        .wall_clock(CoarseWall)
        .monotonic_clock(CoarseMonotonic)
        .stdout(stdio.clone())
        .stderr(stdio.clone())
        .max_random_size(64 << 10)
        .build()
}

//! `cargo run --release -p wasmgate-bench`: what the gateway adds to a call, and what it takes when there is much of everything,
//! measured against the same thing done directly and through a relay that only copies bytes, taking turns in one run.
//!
//! It starts everything itself: trivial servers, the relay, and `target/release/wasmgate` (built first by `cargo build
//! --release`). Only ratios within one run mean anything; nothing here is a test. Read `suite.rs` first, then `rounds.rs`.
//!
//! With `servers` it measures starts of servers and calls to them (`servers.rs`), with `clients` sessions, held streams and
//! fan-out (`clients.rs`), with `catalogs` imports, catalogs and starts (`catalogs.rs`).

mod attached;
mod backend;
mod catalogs;
mod changing;
mod clients;
mod generated;
mod load;
mod machine;
mod plot;
mod process;
mod quiet;
mod relay;
mod report;
mod rounds;
mod scale;
mod servers;
mod standin;
mod starts;
mod suite;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use catalogs::Runs;
use clients::Crowd;
use rounds::Plan;
use servers::Times;
use suite::Out;

/// Clients at once.
const CROWD: Crowd = Crowd { time: Duration::from_secs(8), held: 10_000, listeners: 1_000, changes: 20 };
/// The same, quickly.
const FEW: Crowd = Crowd { time: Duration::from_secs(2), held: 1_000, listeners: 200, changes: 5 };

const USAGE: &str = "usage: wasmgate-bench [catalogs|clients|servers] [--quick] [OPTIONS]
  --quick         less of everything
  --only PART     one part of the suite: calls, eras, ...
  --gateway FILE  another gateway than the one beside this program
  --out DIR       where tables, picture and figures go [default: target/bench]
  --docs          into docs/benchmarks.md, too";

type Anyhow<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Some(gateway) = taken(&mut words, "--gateway") {
        process::choose(gateway);
    }
    let beside = || wasmgate_tests::build::target_dir().join("bench");
    let directory = taken(&mut words, "--out").map_or_else(beside, PathBuf::from);
    let only = taken(&mut words, "--only");
    let is_for_docs = words.contains(&"--docs");
    words.retain(|word| *word != "--docs");
    let out = Out { directory, is_for_docs };
    let done = runtime.map_err(Into::into).and_then(|runtime| match words.as_slice() {
        ["backend", words @ ..] => runtime.block_on(backend::serve(words)),
        ["changing"] => runtime.block_on(changing::serve()),
        ["relay", to] => runtime.block_on(relay::serve(to)),
        [] => runtime.block_on(suite::measure(Plan::FULL, only, &out)),
        ["--quick"] => runtime.block_on(suite::measure(Plan::QUICK, only, &out)),
        ["clients"] => runtime.block_on(clients::measure(CROWD)),
        ["clients", "--quick"] => runtime.block_on(clients::measure(FEW)),
        ["catalogs"] => runtime.block_on(catalogs::measure(Runs { few: 5, many: 15 })),
        ["catalogs", "--quick"] => runtime.block_on(catalogs::measure(Runs { few: 1, many: 3 })),
        ["servers"] => runtime.block_on(servers::measure(Times { starts: 15, calls: 2_000 })),
        ["servers", "--quick"] => runtime.block_on(servers::measure(Times { starts: 3, calls: 100 })),
        _ => Err(USAGE.into()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::remark(&format!("wasmgate-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Takes an option with a value out of the command line.
fn taken<'w>(words: &mut Vec<&'w str>, option: &str) -> Option<&'w str> {
    let at = words.iter().position(|word| *word == option)?;
    words.remove(at);
    (at < words.len()).then(|| words.remove(at))
}

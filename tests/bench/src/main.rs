//! `cargo run --release -p wasmgate-bench`: what the gateway adds to a `tools/call`, measured against the same call
//! made directly and through a relay that only copies bytes, taking turns in one run.
//!
//! It starts everything itself: a trivial loopback backend, the relay, and `target/release/wasmgate` (built first by
//! `cargo build --release`). Only ratios within one run mean anything; nothing here is a test.
//!
//! With `servers` it measures starts of servers and calls to them (`servers.rs`). With `clients` it measures sessions, held streams and fan-out instead (`clients.rs`), with `catalogs` imports, catalogs
//! and starts (`catalogs.rs`).

mod backend;
mod catalogs;
mod changing;
mod clients;
mod generated;
mod load;
mod process;
mod relay;
mod servers;
mod standin;
mod starts;
mod timing;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use catalogs::Runs;
use clients::Crowd;
use load::Sample;
use process::Running;
use servers::Times;

/// Connections of each cell.
const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// Clients at once.
const CROWD: Crowd = Crowd { time: Duration::from_secs(8), held: 10_000, listeners: 1_000, changes: 20 };
/// The same, quickly.
const FEW: Crowd = Crowd { time: Duration::from_secs(2), held: 1_000, listeners: 200, changes: 5 };
/// Bytes of the echoed text.
const PAYLOAD: usize = 200;

type Anyhow<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = runtime.map_err(Into::into).and_then(|runtime| match words.as_slice() {
        ["backend"] => runtime.block_on(backend::serve()),
        ["changing"] => runtime.block_on(changing::serve()),
        ["relay", to] => runtime.block_on(relay::serve(to)),
        [] => runtime.block_on(compare(Duration::from_secs(8), 3)),
        ["--quick"] => runtime.block_on(compare(Duration::from_secs(2), 1)),
        ["clients"] => runtime.block_on(clients::measure(CROWD)),
        ["clients", "--quick"] => runtime.block_on(clients::measure(FEW)),
        ["catalogs"] => runtime.block_on(catalogs::measure(Runs { few: 5, many: 15 })),
        ["catalogs", "--quick"] => runtime.block_on(catalogs::measure(Runs { few: 1, many: 3 })),
        ["servers"] => runtime.block_on(servers::measure(Times { starts: 15, calls: 2_000 })),
        ["servers", "--quick"] => runtime.block_on(servers::measure(Times { starts: 3, calls: 100 })),
        _ => Err("usage: wasmgate-bench [catalogs|clients|servers] [--quick]".into()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(&format!("wasmgate-bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One way to reach the backend.
struct Route {
    name: &'static str,
    port: u16,
    path: &'static str,
    pid: Option<u32>,
}

/// Runs every cell over every route in alternation and prints the table.
async fn compare(measured: Duration, rounds: usize) -> Anyhow<()> {
    let backend = Running::own("backend", None).await?;
    let relay = Running::own("relay", Some(backend.port)).await?;
    let lean = Running::gateway(backend.port, true).await?;
    let shipped = Running::gateway(backend.port, false).await?;
    let route = |name, running: &Running, path, pid| Route { name, port: running.port, path, pid };
    let routes = [
        route("direct", &backend, "/mcp", None),
        route("relay", &relay, "/mcp", Some(relay.pid())),
        route("wasmgate, no interceptors", &lean, "/mcp", Some(lean.pid())),
        route("wasmgate, as shipped", &shipped, "/mcp", Some(shipped.pid())),
    ];
    process::say(&format!(
        "exec to first answer: lean {:?}, as shipped {:?}",
        lean.first_answer, shipped.first_answer
    ));
    process::say(&format!("idle RSS: lean {} KiB, as shipped {} KiB", lean.rss()?, shipped.rss()?));
    process::say(&format!(
        "{:>4}  {:<26} {:>9} {:>9} {:>10} {:>16}",
        "conn", "route", "p50 us", "p99 us", "calls/s", "CPU s/1000 calls"
    ));
    for connections in CONNECTIONS {
        let mut samples: Vec<Vec<Sample>> = routes.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (route, samples) in routes.iter().zip(&mut samples) {
                load::run(route, connections, Duration::from_millis(500)).await?;
                samples.push(load::run(route, connections, measured).await?);
            }
        }
        for (route, samples) in routes.iter().zip(samples) {
            process::say(&load::row(route.name, connections, samples));
        }
    }
    process::say(&format!("RSS after load: lean {} KiB, as shipped {} KiB", lean.rss()?, shipped.rss()?));
    Ok(())
}

/// Waits until `port` answers a request and says how long that took.
async fn answers(port: u16, since: Instant) -> Anyhow<Duration> {
    let deadline = since + Duration::from_secs(30);
    loop {
        if load::health(port).await.is_ok() {
            return Ok(since.elapsed());
        }
        if Instant::now() > deadline {
            return Err("nothing answers".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

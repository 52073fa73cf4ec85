//! Much of everything: lists of many servers and tools, many sessions, one large result, a start with many servers; and what the
//! gateway takes when nothing happens.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wasmgate_tests::process::{forget_peak, peak, resident};

use super::load::{self, Doing, Era, Traffic};
use super::process::{Running, Setup, gateway_program, process, remote};
use super::report::{Report, megabytes};
use super::rounds::{Bench, Route};
use super::{Anyhow, clients};

/// What agentgateway did in a run of its own on another day: only a hint of where the target is.
const PEER_LISTS: f64 = 436.0;
const PEER_CONNECTS: f64 = 320.0;

/// `tools/list` and whole sessions over 8 servers of 25 tools.
pub(crate) async fn lists(bench: &mut Bench) -> Anyhow<()> {
    let backend = Running::in_role("backend", "25")?;
    let gateway = Setup::many(8, &remote(backend.port)).start().await?;
    bench.report.head("8 servers of 25 tools (16 connections)");
    let last = || "s007__tool_24".to_owned();
    for (at, doing) in [
        ("tools/list", Doing::Lists { last: last() }),
        ("initialize, initialized, tools/list, end", Doing::Connects { last: last() }),
    ] {
        let traffic = Traffic { port: 0, era: Era::Legacy, doing };
        bench.point("lists", at.into(), &[Route::through("lean", &gateway, &traffic)], 16).await?;
    }
    let of =
        |report: &Report, at: &str| report.find("lists", at, "lean").map_or(f64::NAN, |cell| cell.per_second);
    let (listed, connected) =
        (of(&bench.report, "tools/list"), of(&bench.report, "initialize, initialized, tools/list, end"));
    bench.report.at_least(
        "tools/list over 8 x 25",
        listed / PEER_LISTS,
        20.0,
        " x agentgateway (another run)",
    );
    bench.report.at_least(
        "connects over 8 servers",
        connected / PEER_CONNECTS,
        10.0,
        " x agentgateway (another run)",
    );
    Ok(())
}

/// 200 servers with 5,000 tools: a page of the list, and memory.
pub(crate) async fn catalog(bench: &mut Bench) -> Anyhow<()> {
    let (many, one) = (Running::in_role("backend", "25")?, Running::in_role("backend", "1")?);
    let mut rss = Vec::new();
    for setup in [
        Setup::many(1, &remote(one.port)),
        Setup::many(200, &remote(one.port)),
        Setup::many(200, &remote(many.port)),
    ] {
        let gateway = setup.start().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        rss.push(resident(gateway.pid()) as f64 / 1024.0);
        if rss.len() == 3 {
            bench.report.head("200 servers of 25 tools: a page of 1,000 (1 connection)");
            let doing = Doing::Lists { last: "s039__tool_24".into() };
            let traffic = Traffic { port: 0, era: Era::Legacy, doing };
            bench
                .point("page", "tools/list".into(), &[Route::through("lean", &gateway, &traffic)], 1)
                .await?;
        }
    }
    let p99 = bench.report.find("page", "tools/list", "lean").map_or(f64::NAN, |cell| cell.latency[1]);
    bench.report.at_most("a page of 5,000 tools, p99", p99 / 1e3, 5.0, " ms");
    if let [small, servers, tools] = rss.as_slice() {
        bench.report.table("memory of many servers and tools", &["", "KiB"]);
        bench.report.row("a server with 1 tool", &[format!("{:.1}", (servers - small) / 199.0)]);
        bench.report.row("a tool of 350 bytes", &[format!("{:.2}", (tools - servers) / 4800.0)]);
        bench.report.row("200 servers with 5,000 tools", &[format!("{tools:.0}")]);
    }
    Ok(())
}

/// Sessions that are open and idle.
pub(crate) async fn sessions(bench: &mut Bench) -> Anyhow<()> {
    let count = bench.plan.held;
    let time = bench.plan.measured;
    let places = tokio::task::LocalSet::new().run_until(clients::held(time, count)).await?;
    bench.report.table(
        &format!("{count} sessions held open"),
        &["", "sessions opened and ended a second", "CPU ms each", "KiB each", "RSS MB"],
    );
    for place in places {
        let figures = [
            format!("{:.0}", place.per_second),
            format!("{:.3}", place.cpu_ms),
            format!("{:.2}", place.kib_each),
            format!("{:.1}", megabytes(place.rss)),
        ];
        bench.report.row(place.name, &figures);
        if place.name == "wasmgate" {
            bench.report.at_most("an idle session", place.kib_each, 8.0, " KiB");
            bench.report.at_most(&format!("{count} idle sessions, RSS"), megabytes(place.rss), 120.0, " MB");
        }
    }
    Ok(())
}

/// One result of 64 MiB.
pub(crate) async fn big(bench: &mut Bench) -> Anyhow<()> {
    bench.report.table("a result of 64 MiB", &["", "ms", "MiB more at the peak"]);
    for (name, words) in [("JSON", ""), ("SSE", "sse")] {
        let backend = Running::in_role("backend", words)?;
        let config = json!({"limits": {"message": "128MiB"}});
        let gateway = Setup { config, ..Setup::lean(remote(backend.port)) }.start().await?;
        for (way, running) in [("direct", &backend), ("lean", &gateway)] {
            let (mut times, mut most) = (Vec::new(), 0);
            let before = resident(running.pid());
            forget_peak(running.pid());
            for _ in 0..bench.plan.rounds {
                times.push(letters(running.port, 64 << 20).await?);
                most = peak(running.pid()).saturating_sub(before).max(most);
            }
            times.sort_unstable();
            let took = times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
            let more = most as f64 / f64::from(1 << 20);
            bench.report.row(&format!("{name}, {way}"), &[format!("{took:.0}"), format!("{more:.1}")]);
            if way == "lean" {
                bench.report.at_most(&format!("a result of 64 MiB, {name}: memory"), more, 4.0, " MiB");
            }
        }
    }
    Ok(())
}

/// Asks for a large text and reads it, keeping nothing.
async fn letters(port: u16, count: usize) -> Anyhow<Duration> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"big","arguments":{{"bytes":{count}}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    let ask = format!(
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: big\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let since = Instant::now();
    stream.write_all(ask.as_bytes()).await?;
    let (mut part, mut read, mut start) = (vec![0; 256 << 10], 0, Vec::new());
    // The trivial server keeps connections open: what is read decides.
    while read < count {
        let now = stream.read(&mut part).await?;
        let piece = part.get(..now).unwrap_or_default();
        if start.len() < 500 {
            start.extend_from_slice(piece.get(..now.min(500)).unwrap_or_default());
        }
        read += piece.iter().filter(|byte| **byte == b'x').count();
        if now == 0 {
            return Err(format!("not all of it: {read} {}", String::from_utf8_lossy(&start)).into());
        }
    }
    Ok(since.elapsed())
}

/// From exec to the first answered `server/discover`.
pub(crate) async fn starts(bench: &mut Bench) -> Anyhow<()> {
    bench
        .report
        .table("exec to the first answered `server/discover`", &["", "min ms", "median ms", "max ms"]);
    let server = process(&bench.built.echo, &[]);
    let lean = Setup { cpus: "0,1", ..Setup::many(50, &server) };
    let shipped = Setup { arguments: Vec::new(), ..lean.clone() };
    for (name, setup) in [("50 processes, no interceptors", lean), ("50 processes, as shipped", shipped)] {
        let mut times = Vec::new();
        // The first one compiles plugins.
        for number in 0..=bench.plan.starts {
            let time = discovered(&setup).await?;
            if number > 0 {
                times.push(time.as_secs_f64() * 1e3);
            }
        }
        times.sort_by(f64::total_cmp);
        let at = |index: usize| times.get(index).copied().unwrap_or(f64::NAN);
        let (min, median, max) = (at(0), at(times.len() / 2), at(times.len().saturating_sub(1)));
        bench.report.row(name, &[min, median, max].map(|time| format!("{time:.1}")));
        bench.report.at_most(&format!("first discover, {name}"), median, 50.0, " ms");
    }
    Ok(())
}

async fn discovered(setup: &Setup) -> Anyhow<Duration> {
    let since = Instant::now();
    let (gateway, files) = setup.exec()?;
    let port = gateway.port;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if since.elapsed() > Duration::from_secs(60) {
            return Err("nothing listens".into());
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    load::discover(port).await?;
    let took = since.elapsed();
    drop(gateway);
    for file in files {
        std::fs::remove_file(file)?;
    }
    Ok(took)
}

/// What it takes when nothing happens.
pub(crate) async fn footprint(bench: &mut Bench) -> Anyhow<()> {
    bench.report.table("when nothing happens", &["", "MB"]);
    let backend = Running::own("backend", None).await?;
    let size = std::fs::metadata(gateway_program()?)?.len();
    bench.report.row("the program's file", &[format!("{:.1}", megabytes(size / 1024))]);
    let setups = [
        ("RSS, one server, no interceptors", Setup::lean(remote(backend.port))),
        ("RSS, the demo, as shipped", Setup::demo()),
    ];
    for (name, setup) in setups {
        let gateway = setup.start().await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let rss = megabytes(resident(gateway.pid()) / 1024);
        bench.report.row(name, &[format!("{rss:.1}")]);
        if name.contains("demo") {
            bench.report.at_most("idle RSS, the demo as shipped", rss, 30.0, " MB");
        }
    }
    Ok(())
}

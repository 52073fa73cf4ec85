//! `wasmgate-bench`: the whole. One table for each thing that can be different, around the call that most are like: 16
//! connections, 200 bytes, a server over HTTP that answers in JSON, 2025-11-25, no interceptors, one server.
//!
//! The ways to the server take turns in one run; what is printed are medians of the rounds. A round in which something else
//! was going on is measured again.

use std::path::PathBuf;
use std::rc::Rc;

use serde_json::json;
use wasmgate_tests::{build, docker};

use super::attached::Attached;
use super::load::{Doing, Era, Traffic, in_turn};
use super::process::{Running, Setup, process, remote, remote_of, stay_beside_the_load};
use super::report::{Cell, Report};
use super::rounds::{Bench, Plan, Route};
use super::{Anyhow, machine, scale};

/// What is built for it.
pub(crate) struct Built {
    /// The trivial server on stdin and stdout.
    pub(crate) echo: PathBuf,
    /// An interceptor that does next to nothing.
    interceptor: PathBuf,
    /// The trivial server in an image.
    image: Result<&'static str, String>,
}

/// The name of the image.
const IMAGE: &str = "wasmgate-bench/echo:scratch";

/// What a run consists of, in its order.
const PARTS: [&str; 12] = [
    "calls",
    "eras",
    "backends",
    "containers",
    "interceptors",
    "servers",
    "lists",
    "page",
    "sessions",
    "big",
    "starts",
    "footprint",
];

/// Where results go.
pub(crate) struct Out {
    /// The files.
    pub(crate) directory: PathBuf,
    /// Whether docs/benchmarks.md gets them, too.
    pub(crate) is_for_docs: bool,
}

/// Measures everything, or only one part.
pub(crate) async fn measure(plan: Plan, only: Option<&str>, out: &Out) -> Anyhow<()> {
    if only.is_some_and(|only| !PARTS.contains(&only)) {
        return Err(format!("there is no such part; there are {}", PARTS.join(", ")).into());
    }
    let facts = machine::facts()?;
    let line = machine::line(&facts);
    let echo = build::static_program("wasmgate-echo", "wasmgate-echo")?;
    let image = match docker::there().await {
        Ok(engine) => docker::image_of(&engine, &echo, IMAGE).await.map(|()| IMAGE),
        Err(missing) => Err(missing),
    };
    let built = Built { interceptor: build::trivial(), echo, image };
    stay_beside_the_load()?;
    let mut bench = Bench { plan, report: Report::new(facts, &line), built, again: plan.again };
    for part in PARTS.iter().filter(|part| only.is_none_or(|only| only == **part)) {
        bench.part(part).await.map_err(|error| format!("{part}: {error}"))?;
    }
    bench.report.finish(out)
}

impl Bench {
    async fn part(&mut self, part: &str) -> Anyhow<()> {
        match part {
            "calls" => self.calls().await,
            "eras" => self.eras().await,
            "backends" => self.backends().await,
            "containers" => self.containers().await,
            "interceptors" => self.interceptors().await,
            "servers" => self.servers().await,
            "lists" => scale::lists(self).await,
            "page" => scale::catalog(self).await,
            "sessions" => scale::sessions(self).await,
            "big" => scale::big(self).await,
            "starts" => scale::starts(self).await,
            _ => scale::footprint(self).await,
        }
    }

    /// Connections, then payloads: the server itself, a relay, the gateway without interceptors and as shipped.
    async fn calls(&mut self) -> Anyhow<()> {
        let backend = Running::own("backend", None).await?;
        let relay = Running::own("relay", Some(backend.port)).await?;
        let lean = Setup::lean(remote(backend.port)).start().await?;
        let shipped = Setup::shipped(remote(backend.port)).start().await?;
        let routes = |bytes| {
            let calls = calls(bytes);
            vec![
                Route::direct(&backend, &calls),
                Route::through("relay", &relay, &calls),
                Route::through("lean", &lean, &calls),
                Route::through("as shipped", &shipped, &calls),
            ]
        };
        self.report.head("connections (200 bytes)");
        for connections in [1, 16, 64, 256] {
            self.point("connections", connections.to_string(), &routes(200), connections).await?;
        }
        self.report.head("payload (16 connections)");
        self.report.again(("connections", "16"), ("payload", "0.2 KiB"));
        for (at, bytes) in [("16 KiB", 16 << 10), ("256 KiB", 256 << 10)] {
            self.point("payload", at.into(), &routes(bytes), 16).await?;
        }
        let report = &mut self.report;
        let ratio = |report: &Report, axis: &str, at: &str, figure: fn(&Cell) -> f64| {
            let of = |route: &str| report.find(axis, at, route).map_or(f64::NAN, figure);
            of("lean") / of("relay")
        };
        let cpu = |cell: &Cell| cell.cpu.unwrap_or(f64::NAN);
        let measured = ratio(report, "connections", "16", cpu);
        report.at_most("CPU a call, 16 connections, 200 bytes", measured, 2.5, " x relay");
        for at in ["16", "64"] {
            let measured = ratio(report, "connections", at, |cell| cell.per_second);
            report.at_least(&format!("calls a second, {at} connections"), measured, 0.6, " x relay");
        }
        let measured = ratio(report, "connections", "1", |cell| cell.latency[0]);
        report.at_most("p50, 1 connection", measured, 1.4, " x relay");
        let measured = ratio(report, "payload", "16 KiB", cpu);
        report.at_most("CPU a call, 16 KiB", measured, 2.0, " x relay");
        Ok(())
    }

    /// 2026-07-28 beside 2025-11-25.
    async fn eras(&mut self) -> Anyhow<()> {
        self.report.head("protocol version of clients and server (16 connections, 200 bytes)");
        for (at, era, words) in [("2025-11-25", Era::Legacy, ""), ("2026-07-28", Era::Modern, "modern")] {
            let backend = Running::in_role("backend", words)?;
            let relay = Running::own("relay", Some(backend.port)).await?;
            let protocol = if era == Era::Modern { "modern" } else { "legacy" };
            let lean = Setup::lean(remote_of(backend.port, protocol)).start().await?;
            let calls = Traffic { era, ..calls(200) };
            let routes = [
                Route::direct(&backend, &calls),
                Route::through("relay", &relay, &calls),
                Route::through("lean", &lean, &calls),
            ];
            self.point("era", at.into(), &routes, 16).await?;
        }
        let of = |report: &Report, at: &str| {
            report.find("era", at, "lean").map_or(f64::NAN, |cell| cell.per_second)
        };
        let measured = of(&self.report, "2026-07-28") / of(&self.report, "2025-11-25");
        // As fast, within what two rounds differ by.
        self.report.at_least("2026-07-28, calls a second", measured, 0.97, " x 2025-11-25");
        Ok(())
    }

    /// Servers of every kind, 1 connection and 16.
    async fn backends(&mut self) -> Anyhow<()> {
        self.report.head("kind of server (200 bytes)");
        let calls = calls(200);
        for (at, words) in [("HTTP, JSON", ""), ("HTTP, SSE", "sse")] {
            let backend = Running::in_role("backend", words)?;
            let relay = Running::own("relay", Some(backend.port)).await?;
            let lean = Setup::lean(remote(backend.port)).start().await?;
            let routes = [
                Route::direct(&backend, &calls),
                Route::through("relay", &relay, &calls),
                Route::through("lean", &lean, &calls),
            ];
            for connections in [1, 16] {
                self.point("backend", format!("{at}, {connections}"), &routes, connections).await?;
            }
        }
        let lean = Setup::lean(process(&self.built.echo, &[])).start().await?;
        let direct = Rc::new(Attached::process(&self.built.echo)?);
        // One client has the pipes: there is nothing to compare 16 with.
        let routes = [Route::attached(&direct, &calls), Route::through("lean", &lean, &calls)];
        self.point("backend", "stdio, 1".into(), &routes, 1).await?;
        self.point("backend", "stdio, 16".into(), &routes[1..], 16).await
    }

    /// A container: the server attached to by its one client, and through the gateway.
    async fn containers(&mut self) -> Anyhow<()> {
        self.report.head("a container (200 bytes)");
        let image = match &self.built.image {
            Ok(image) => *image,
            Err(missing) => {
                let line = format!("| not measured: {missing} |");
                self.report.line(&line);
                return Ok(());
            }
        };
        let entry = json!({"type": "server", "image": image, "pull": "never", "protocol": "legacy"});
        let lean = Setup::lean(entry).start().await?;
        let calls = calls(200);
        let direct = Rc::new(Attached::container(image).await?);
        let routes = [Route::attached(&direct, &calls), Route::through("lean", &lean, &calls)]
            .map(|route| Route { is_elsewhere: true, ..route });
        self.point("container", "1".into(), &routes, 1).await?;
        self.point("container", "16".into(), &routes[1..], 16).await?;
        direct.stop().await?;
        let p50 = |report: &Report, route: &str| {
            report.find("container", "1", route).map_or(f64::NAN, |cell| cell.latency[0])
        };
        let measured = p50(&self.report, "lean") / p50(&self.report, "direct");
        self.report.at_most("a warm call to a container, p50", measured, 1.3, " x attached directly");
        Ok(())
    }

    /// Interceptors that do next to nothing: with 16 connections, and what they add to a call of one.
    async fn interceptors(&mut self) -> Anyhow<()> {
        self.report.head("interceptors (16 connections, 200 bytes)");
        let backend = Running::own("backend", None).await?;
        let server = remote(backend.port);
        let interceptor = self.built.interceptor.clone();
        let with =
            |setup: Setup, (count, isolation): (usize, &str), event: Option<&str>, servers: &[&str]| {
                let when = json!({"events": event.as_slice(), "servers": servers});
                let plugin = json!({"use": interceptor, "isolation": isolation, "when": when});
                let plugins = (1..=count).map(|number| (format!("p{number}"), plugin.clone()));
                let plugins: serde_json::Map<_, _> = plugins.collect();
                Setup { config: json!({"plugins": plugins}), ..setup }
            };
        let kinds = [
            ("none", (0, "pooled"), None, 1.0),
            ("1 fresh", (1, "per-call"), None, 12.0),
            ("3 fresh", (3, "per-call"), None, 30.0),
            ("1 pooled", (1, "pooled"), None, 3.0),
            ("3 pooled", (3, "pooled"), None, 9.0),
            ("1 that wants other messages", (1, "per-call"), Some("resources/read"), 1.0),
        ];
        let mut running = Vec::new();
        for (name, plugins, event, _) in kinds {
            running.push((name, with(Setup::lean(server.clone()), plugins, event, &[]).start().await?));
        }
        let calls = calls(200);
        let routes: Vec<_> =
            running.iter().map(|(name, gateway)| Route::through(name, gateway, &calls)).collect();
        self.point("interceptors", "16".into(), &routes, 16).await?;
        drop(running);
        self.report.table(
            "what interceptors add to a call (1 connection, 200 bytes; p50 of the tools of two servers of one gateway, called in turn)",
            &["", "us without", "us with", "added"],
        );
        for (name, plugins, event, most) in kinds {
            let gateway = with(Setup::many(2, &server), plugins, event, &["s001"]).start().await?;
            let tools = ["s000__echo", "s001__echo"];
            let mut rounds = Vec::new();
            in_turn(gateway.port, tools, 200, self.plan.warm).await?;
            for _ in 0..self.plan.rounds {
                let round = in_turn(gateway.port, tools, 200, self.plan.measured).await?;
                rounds.push(round.map(|calls| calls.quantile(0.5)));
            }
            rounds.sort_by(|one, other| (one[1] - one[0]).total_cmp(&(other[1] - other[0])));
            let [without, with] = rounds.get(rounds.len() / 2).copied().unwrap_or([f64::NAN; 2]);
            let figures = [without, with, with - without].map(|figure| format!("{figure:.1}"));
            self.report.row(name, &figures);
            self.report.at_most(&format!("interceptors, {name}: added p50"), with - without, most, " us");
        }
        Ok(())
    }

    /// 1, 10 and 100 servers, called in turn.
    async fn servers(&mut self) -> Anyhow<()> {
        self.report.head("servers (16 connections, 200 bytes, called in turn)");
        let backend = Running::own("backend", None).await?;
        let mut running = Vec::new();
        for count in [1, 10, 100] {
            running.push((count, Setup::many(count, &remote(backend.port)).start().await?));
        }
        let routes: Vec<_> = running
            .iter()
            .map(|(count, gateway)| {
                let tool =
                    |number| if *count == 1 { "echo".to_owned() } else { format!("s{number:03}__echo") };
                let doing = Doing::Calls { tools: (0..*count).map(tool).collect(), bytes: 200 };
                Route::through(&format!("{count}"), gateway, &Traffic { doing, ..calls(200) })
            })
            .collect();
        self.point("servers", "lean".into(), &routes, 16).await?;
        let cpu = |report: &Report, route: &str| {
            report.find("servers", "lean", route).and_then(|cell| cell.cpu).unwrap_or(f64::NAN)
        };
        let measured = cpu(&self.report, "100") / cpu(&self.report, "1");
        self.report.at_most("CPU a call with 100 servers", measured, 1.05, " x with 1");
        Ok(())
    }
}

/// Calls of the one tool of the one server.
fn calls(bytes: usize) -> Traffic {
    let doing = Doing::Calls { tools: ["echo".into()].into(), bytes };
    Traffic { port: 0, era: Era::Legacy, doing }
}

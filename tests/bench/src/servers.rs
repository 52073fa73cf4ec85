//! `wasmgate-bench servers`: what servers cost. The start of a container until its first result; a call to one that runs, against
//! what starts something for every call; fifty servers of which five are broken; calls beside a server that floods.
//!
//! Everything is real: Docker, the fixture in an image of its own, the gateway in release. Only ratios within one run mean anything.

#![expect(
    clippy::disallowed_methods,
    reason = "a load of its own, ended with it; and Docker is found by PATH"
)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wasmgate_tests::catalog::{Catalog, fixture};
use wasmgate_tests::home::Home;
use wasmgate_tests::mcp::{Door, LEGACY, Legacy};
use wasmgate_tests::{docker, process};

use super::Anyhow;
use super::process::say;
use super::timing::{Program, head, row};

/// How often things are done.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    /// Starts.
    pub(crate) starts: usize,
    /// Calls.
    pub(crate) calls: usize,
}

/// A gateway of its own, ended with it.
struct Gateway {
    child: Child,
    door: Door,
    _home: Home,
}

/// Measures everything and prints the tables.
pub(crate) async fn measure(times: Times) -> Anyhow<()> {
    let program = Program::beside()?;
    match docker::scratch().await {
        Ok(image) => containers(&program, image, times).await?,
        Err(missing) => say(&format!("\nnot measured: containers ({missing})")),
    }
    fifty(&program, times).await?;
    flood(&program, times).await
}

/// A container's start, and calls to it.
async fn containers(program: &Program, image: &str, times: Times) -> Anyhow<()> {
    head("a container server")?;
    let boxed = Catalog::new().container("boxed", image, &["server", "--stdio"]);
    let (mut ready, mut results) = (Vec::new(), Vec::new());
    for _ in 0..times.starts {
        let since = Instant::now();
        let gateway = Gateway::start(program, &boxed).await?;
        let client = Legacy::connect(gateway.door.clone(), LEGACY).await;
        ready.push(since.elapsed());
        // Alone it keeps its tools' names.
        expect(&client.call("text", json!({"text": "first"})).await, "first")?;
        results.push(since.elapsed());
        gateway.stop().await?;
    }
    say(&row("exec of the gateway to an open session", ready, ""));
    say(&row("exec of the gateway to the first result of a container", results, ""));
    let mut bare = Vec::new();
    for _ in 0..times.starts {
        bare.push(run_once(&["run", "--rm", "--network", "none", image, "print", "0", "hello"]).await?);
    }
    say(&row("`docker run` alone, the same image, to its end", bare, ""));

    let per_call = json!({"type": "poci", "disableNetwork": true, "tools": [{
        "name": "hello", "description": "says so", "container": {"image": image, "command": ["print", "0", "hello"]}}]});
    let both = boxed.entry("once", per_call);
    let gateway = Gateway::start(program, &both).await?;
    let client = Legacy::connect(gateway.door.clone(), LEGACY).await;
    expect(&client.call("boxed__text", json!({"text": "warm"})).await, "warm")?;
    let id = run_text(&["ps", "--quiet", "--filter", "label=wasmgate.server=boxed"]).await?;
    let (mut warm, mut exec, mut once) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..times.calls {
        let since = Instant::now();
        expect(&client.call("boxed__text", json!({"text": "warm"})).await, "warm")?;
        warm.push(since.elapsed());
        // These take long enough to be done less often.
        if number % 10 == 0 {
            exec.push(run_once(&["exec", id.trim(), "/fixture", "print", "0", "hello"]).await?);
            let since = Instant::now();
            expect(&client.call("once__hello", json!({})).await, "hello")?;
            once.push(since.elapsed());
        }
    }
    say(&row("a call to the running container, through the gateway", warm, ""));
    say(&row("a call that is a container of its own (`poci`), through the gateway", once, ""));
    say(&row("`docker exec` in the running container, no gateway, no MCP", exec, ""));
    gateway.stop().await
}

/// Fifty servers, five of them broken: until all the others serve.
async fn fifty(program: &Program, times: Times) -> Anyhow<()> {
    head("50 processes, 5 of them broken")?;
    let mut catalog = Catalog::new();
    for number in 0..45 {
        catalog = catalog.fixture(&format!("good-{number}"), &["server", "--stdio"]);
    }
    for (number, arguments) in [
        &["never-initialize"][..],
        &["exit", "1"],
        &["bad-initialize", "garbage"],
        &["exit", "0"],
        &["never-initialize"],
    ]
    .iter()
    .enumerate()
    {
        catalog = catalog.entry(&format!("broken-{number}"), fixture(arguments));
    }
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for _ in 0..times.starts {
        let since = Instant::now();
        let gateway = Gateway::start(program, &catalog).await?;
        open.push(since.elapsed());
        loop {
            let answer = gateway.door("/ready").ask("GET").send().await;
            let states: Value = serde_json::from_slice(&answer.body)?;
            let servers = states.get("servers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let ready =
                servers.iter().filter(|server| server.get("state").is_some_and(|state| state == "ready"));
            if ready.count() == 45 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        all.push(since.elapsed());
        gateway.stop().await?;
    }
    say(&row("exec to the port", open, ""));
    say(&row("exec to 45 servers ready", all, ""));
    Ok(())
}

/// Calls to one server while another writes notifications as fast as it can.
async fn flood(program: &Program, times: Times) -> Anyhow<()> {
    head("calls beside a flood")?;
    let catalog = Catalog::new().fixture("calm", &["server", "--stdio"]).fixture("loud", &["raw", "--stdio"]);
    let gateway = Gateway::start(program, &catalog).await?;
    let client = Legacy::connect(gateway.door.clone(), LEGACY).await;
    for name in ["calm__text", "loud__verbatim"] {
        client.call(name, json!({"text": "warm"})).await;
    }
    let quiet = calls(&client, times.calls).await?;
    let flooding = {
        let client = client.clone();
        tokio::spawn(async move {
            loop {
                client
                    .request("tools/call", json!({"name": "loud__flood", "arguments": {"count": 100_000}}))
                    .await;
            }
        })
    };
    let beside = calls(&client, times.calls).await?;
    flooding.abort();
    say(&row("a call, nothing else going on", quiet.clone(), ""));
    say(&row("the same beside the flood", beside.clone(), ""));
    say(&format!("99th percentiles: {:.2} ms, {:.2} ms", p99(quiet), p99(beside)));
    gateway.stop().await
}

async fn calls(client: &Legacy, count: usize) -> Anyhow<Vec<Duration>> {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let since = Instant::now();
        expect(&client.call("calm__text", json!({"text": "calm"})).await, "calm")?;
        took.push(since.elapsed());
    }
    Ok(took)
}

fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

fn expect(result: &Value, text: &str) -> Anyhow<()> {
    if result.to_string().contains(text) { Ok(()) } else { Err(format!("wrong answer: {result}").into()) }
}

impl Gateway {
    async fn start(program: &Program, catalog: &Catalog) -> Anyhow<Self> {
        let home = Home::new();
        let file = home.file("catalog.yaml", &catalog.text());
        let arguments =
            ["run", "--catalog", &file, "--enable-all-servers", "--port", "0", "--allow-unauthenticated"];
        let mut command = program.command(&home, &arguments);
        command.args(["--log-calls=false", "--block-secrets=false"]).env("PATH", std::env::var("PATH")?);
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
        let address = loop {
            let line = lines.next_line().await?.ok_or("the gateway ended at once")?;
            let found = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
            if let Some(address) = found.and_then(|text| text.parse().ok()) {
                break address;
            }
        };
        // Whoever writes must be read.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, door: Door { address, path: "/mcp".into(), token: None }, _home: home })
    }

    fn door(&self, path: &str) -> Door {
        Door { path: path.into(), ..self.door.clone() }
    }

    async fn stop(mut self) -> Anyhow<()> {
        process::signal(self.child.id().ok_or("it has ended")?, Signal::TERM);
        self.child.wait().await?;
        Ok(())
    }
}

/// How long a command of Docker's takes, which must end well.
async fn run_once(arguments: &[&str]) -> Anyhow<Duration> {
    let since = Instant::now();
    run_text(arguments).await?;
    Ok(since.elapsed())
}

async fn run_text(arguments: &[&str]) -> Anyhow<String> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().await?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)).into())
    }
}

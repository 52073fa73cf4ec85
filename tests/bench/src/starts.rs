//! Starts of the gateway: from exec to `/health` and to `/ready`, with catalogs and plugins that have to be fetched, are known,
//! or are known while the registry is away.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use wasmgate_tests::home::Home;
use wasmgate_tests::{process, registry};

use super::Anyhow;
use super::backend::next_message;
use super::catalogs::{Runs, has_registry};
use super::process::{Running, say};
use super::standin::{StandIn, a_package};
use super::timing::{Program, children_cpu, head, row};

/// Nothing takes longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a gateway is started, besides its one server of a file.
struct Start<'a> {
    program: &'a Program,
    backend: u16,
    /// More arguments.
    arguments: Vec<String>,
    /// `wasmgate.yaml`.
    config: String,
}

/// How much of the registry is a catalog.
#[derive(Clone, Copy)]
enum Part {
    One,
    All,
}

/// Measures starts and prints the tables.
pub(crate) async fn measure(program: &Program, entries: &[Value], runs: Runs) -> Anyhow<()> {
    let backend = Running::own("backend", None).await?;
    let local = Start { program, backend: backend.port, arguments: Vec::new(), config: String::new() };
    head("start with a catalog")?;
    let home = Home::new();
    local.cell("a file of one server", runs.many, || Ok(&home)).await?;
    of_registry(&local, entries, Part::One, runs).await?;
    of_registry(&local, entries, Part::All, runs).await?;
    if has_registry() {
        of_artifact(&local, runs).await?;
    }
    Ok(())
}

/// With a catalog of the official registry.
async fn of_registry(local: &Start<'_>, entries: &[Value], part: Part, runs: Runs) -> Anyhow<()> {
    let official = StandIn::of(entries.to_vec()).await?;
    let (what, url) = match part {
        Part::One => ("and one server of the registry", official.latest(a_package(entries)?)),
        Part::All => ("and the whole registry", official.all()),
    };
    let start = local.with(vec!["--catalog".to_owned(), url], String::new());
    let home = Home::new();
    start.cell(&format!("{what}: empty home"), runs.few, || Ok(Home::new())).await?;
    start.once(&home).await?;
    start.cell(&format!("{what}: known"), runs.many, || Ok(&home)).await?;
    if official.asked(0).is_empty() {
        return Err("the registry was never asked".into());
    }
    drop(official);
    start.cell(&format!("{what}: known, registry away"), runs.many, || Ok(&home)).await
}

/// With a plugin that is an artifact.
async fn of_artifact(local: &Start<'_>, runs: Runs) -> Anyhow<()> {
    let (registry, home) = (registry::registry().await, Home::new());
    let reference = registry.reference("acme/hide:1");
    local.program.run(&home, &["plugin", "push", "builtin:tool-filter", &reference]).await?;
    let config = format!("plugins: {{hide: {{use: 'oci://{reference}', config: {{deny: ['nothing']}}}}}}\n");
    let start = local.with(Vec::new(), config);
    head("start with a plugin of `docker-registry` (`tool-filter`)")?;
    start.cell("empty home: pulled and compiled", runs.few, || Ok(Home::new())).await?;
    let home = Home::new();
    start.once(&home).await?;
    let stored = || {
        std::fs::remove_dir_all(home.path().join(".cache"))?;
        Ok(&home)
    };
    start.cell("in the store, compiled again", runs.few, stored).await?;
    start.cell("in the store, compiled", runs.many, || Ok(&home)).await?;
    drop(registry);
    start.cell("in the store, compiled, registry away", runs.many, || Ok(&home)).await?;
    let home = Home::new();
    local.cell("without the plugin", runs.many, || Ok(&home)).await
}

impl Start<'_> {
    fn with(&self, arguments: Vec<String>, config: String) -> Self {
        Start { program: self.program, backend: self.backend, arguments, config }
    }

    /// Starts a gateway several times and prints two lines.
    async fn cell<H: std::borrow::Borrow<Home>>(
        &self,
        what: &str,
        runs: usize,
        home: impl Fn() -> Anyhow<H>,
    ) -> Anyhow<()> {
        let before = children_cpu()?;
        let (mut alive, mut ready) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let (to_alive, to_ready) = self.once(home()?.borrow()).await?;
            alive.push(to_alive);
            ready.push(to_ready);
        }
        let cpu = (children_cpu()? - before) / runs as f64;
        say(&row(&format!("{what}, `/health`"), alive, ""));
        say(&row(&format!("{what}, `/ready`"), ready, &format!("{cpu:.1}")));
        Ok(())
    }

    /// Starts a gateway at home, waits for both answers and ends it as an operator would.
    async fn once(&self, home: &Home) -> Anyhow<(Duration, Duration)> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = home.path().join("log");
        let mut command = self.command(home, port);
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let since = Instant::now();
        let mut child = command.spawn()?;
        let failed = |error: &dyn std::fmt::Display| {
            format!("{error}: {}", std::fs::read_to_string(&log).unwrap_or_default())
        };
        let alive = until(port, "/health", since).await.map_err(|error| failed(&error))?;
        let ready = until(port, "/ready", since).await.map_err(|error| failed(&error))?;
        process::signal(child.id().ok_or("ended by itself")?, Signal::TERM);
        let status = child.wait().await?;
        if status.success() { Ok((alive, ready)) } else { Err(failed(&status).into()) }
    }

    fn command(&self, home: &Home, port: u16) -> Command {
        let echo = format!("{{type: remote, remote: {{url: 'http://127.0.0.1:{}/mcp'}}}}", self.backend);
        let catalog = home.file("catalog.yaml", &format!("registry: {{echo: {echo}}}\n"));
        let config = home.file("config/wasmgate.yaml", &self.config);
        let port = port.to_string();
        let mut arguments =
            vec!["run", "--allow-unauthenticated", "--log-calls=false", "--block-secrets=false"];
        arguments.extend(["--port", &port, "--catalog", &catalog, "--servers", "echo"]);
        if !self.config.is_empty() {
            arguments.extend(["--config", &config]);
        }
        arguments.extend(self.arguments.iter().map(String::as_str));
        self.program.command(home, &arguments)
    }
}

/// How long after `since` a path is answered with 200.
async fn until(port: u16, path: &str, since: Instant) -> Anyhow<Duration> {
    loop {
        if answers(port, path).await.unwrap_or(false) {
            return Ok(since.elapsed());
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("no answer at {path}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn answers(port: u16, path: &str) -> Anyhow<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n").as_bytes()).await?;
    let answer = next_message(&mut stream, &mut Vec::new()).await?.ok_or("closed")?;
    Ok(answer.head.starts_with("HTTP/1.1 200"))
}

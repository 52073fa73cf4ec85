//! The processes under measurement: how they start, what they cost, how they end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Anyhow, load};

/// Where the load and the servers run, and where what is measured.
pub(crate) const LOAD: &str = "0";
const MEASURED: &str = "1";

/// A child that is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
    /// From exec to the first answered request.
    pub(crate) first_answer: Duration,
    /// What ends with it.
    behind: Vec<Self>,
}

impl Running {
    /// A role of this program: `relay` where what is measured runs, servers beside the load.
    pub(crate) async fn own(role: &str, to: Option<u16>) -> Anyhow<Self> {
        let to = to.map(|port| port.to_string());
        Self::in_role(role, to.as_deref().unwrap_or_default())
    }

    /// The same with words of its own.
    pub(crate) fn in_role(role: &str, words: &str) -> Anyhow<Self> {
        let cpu = if role == "relay" { MEASURED } else { LOAD };
        let mut command = pinned(cpu, &std::env::current_exe()?);
        command.arg(role).args(words.split_whitespace()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self { child, port: line.trim().parse()?, first_answer: Duration::ZERO, behind: Vec::new() })
    }

    /// A gateway for more clients than usual, without interceptors, before a server of either era.
    pub(crate) async fn crowded_gateway(backend: u16) -> Anyhow<Self> {
        let config = json!({"limits": {"connections": {"total": 30000, "perAddress": 30000}}});
        Setup { config, ..Setup::lean(remote_of(backend, "auto")) }.start().await
    }

    /// Keeps another process as long as this one.
    pub(crate) fn with(mut self, behind: Self) -> Self {
        self.behind.push(behind);
        self
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in KiB.
    pub(crate) fn rss(&self) -> Anyhow<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        // A gateway ends its servers with it when it is told to stop.
        if let Some(pid) = pid.filter(|_| self.port != 0) {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let until = Instant::now() + Duration::from_secs(5);
            while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A gateway to be started.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The entries of its catalog, all of them enabled; none is the demo.
    pub(crate) servers: Map<String, Value>,
    /// `wasmgate.yaml`.
    pub(crate) config: Value,
    /// More of the command line.
    pub(crate) arguments: Vec<String>,
    /// CPUs, as `taskset` has them.
    pub(crate) cpus: &'static str,
}

impl Setup {
    /// With one server named `echo`, without interceptors.
    pub(crate) fn lean(server: Value) -> Self {
        let servers = Map::from_iter([("echo".to_owned(), server)]);
        Self { servers, config: json!({}), arguments: LEAN.map(str::to_owned).into(), cpus: MEASURED }
    }

    /// The same as it is shipped.
    pub(crate) fn shipped(server: Value) -> Self {
        Self { arguments: Vec::new(), ..Self::lean(server) }
    }

    /// Without servers of its own: the demo.
    pub(crate) fn demo() -> Self {
        Self { servers: Map::new(), ..Self::shipped(json!({})) }
    }

    /// So many servers of that kind: `s000`, `s001` and so on.
    pub(crate) fn many(count: usize, server: &Value) -> Self {
        let servers = (0..count).map(|number| (format!("s{number:03}"), server.clone()));
        Self { servers: servers.collect(), ..Self::lean(json!({})) }
    }

    /// Starts it and waits until its servers are up.
    pub(crate) async fn start(&self) -> Anyhow<Running> {
        let (running, files) = self.exec()?;
        let mut running = running;
        let since = Instant::now();
        let deadline = since + Duration::from_secs(60);
        while load::health(running.port).await.is_err() {
            late(deadline, "nothing answers")?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.first_answer = since.elapsed();
        while !self.is_ready(running.port).await {
            late(deadline, "the servers do not come up")?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for file in files {
            std::fs::remove_file(file)?;
        }
        Ok(running)
    }

    /// Starts it and waits for nothing. Its files may go once it has read them.
    pub(crate) fn exec(&self) -> Anyhow<(Running, [PathBuf; 2])> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let here = std::env::temp_dir().join(format!("wasmgate-bench-{}-{port}", std::process::id()));
        let (catalog, settings) = (here.with_extension("catalog.yaml"), here.with_extension("yaml"));
        let registry = json!({"version": 3, "name": "bench", "registry": self.servers});
        std::fs::write(&catalog, registry.to_string())?;
        std::fs::write(&settings, self.config.to_string())?;
        let mut command = pinned(self.cpus, &gateway_program()?);
        command
            .args(["run", "--transport", "streaming", "--allow-unauthenticated"])
            .arg("--config")
            .arg(&settings);
        if !self.servers.is_empty() {
            command.arg("--catalog").arg(&catalog).arg("--enable-all-servers");
        }
        command.args(["--port", &port.to_string()]).args(&self.arguments).stderr(Stdio::null());
        let child = command.stdin(Stdio::null()).spawn()?;
        let running = Running { child, port, first_answer: Duration::ZERO, behind: Vec::new() };
        Ok((running, [catalog, settings]))
    }

    async fn is_ready(&self, port: u16) -> bool {
        let Ok(answer) = load::get(port, "/ready").await else { return false };
        let Ok(said) = serde_json::from_slice::<Value>(&answer.body) else { return false };
        let servers = said.get("servers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_up = |server: &Value| server.get("state").is_some_and(|state| state == "ready");
        servers.len() >= self.servers.len() && servers.iter().all(is_up)
    }
}

fn late(deadline: Instant, what: &str) -> Anyhow<()> {
    if Instant::now() < deadline { Ok(()) } else { Err(what.into()) }
}

/// Catalog entry of a server of 2025-11-25 on this machine.
pub(crate) fn remote(port: u16) -> Value {
    remote_of(port, "legacy")
}

/// The same of some era.
pub(crate) fn remote_of(port: u16, protocol: &str) -> Value {
    let remote = json!({"url": format!("http://127.0.0.1:{port}/mcp"), "transport_type": "streamable-http"});
    json!({"type": "remote", "remote": remote, "protocol": protocol})
}

/// Catalog entry of a process, which runs beside the load.
pub(crate) fn process(program: &Path, arguments: &[&str]) -> Value {
    let program = program.to_string_lossy();
    let command: Vec<&str> =
        ["taskset", "-c", LOAD, &program].into_iter().chain(arguments.iter().copied()).collect();
    json!({"type": "process", "process": {"command": command}, "protocol": "legacy"})
}

/// Without interceptors.
const LEAN: [&str; 2] = ["--log-calls=false", "--block-secrets=false"];

/// CPU seconds a process has used, user and system.
pub(crate) fn cpu_seconds(pid: u32) -> Anyhow<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').ok_or("no stat")?.1;
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

/// Keeps this program beside the servers.
pub(crate) fn stay_beside_the_load() -> Anyhow<()> {
    let own = std::process::id().to_string();
    let done = Command::new("taskset").args(["-pc", LOAD, &own]).stdout(Stdio::null()).status()?;
    if done.success() { Ok(()) } else { Err("taskset does not work here".into()) }
}

/// Prints the port for the parent.
pub(crate) fn announce(port: u16) {
    say(&port.to_string());
}

/// Prints one line.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _closed = writeln!(out, "{line}");
}

/// Prints one line for whoever waits.
pub(crate) fn remark(line: &str) {
    let mut err = std::io::stderr().lock();
    let _closed = writeln!(err, "{line}");
}

/// A program that keeps to these CPUs.
pub(crate) fn pinned(cpu: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program);
    command
}

static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// Another gateway than the one beside this program.
pub(crate) fn choose(program: &str) {
    let _chosen_already = CHOSEN.set(program.into());
}

/// The gateway, which lies beside this program.
pub(crate) fn gateway_program() -> Anyhow<PathBuf> {
    let beside = || Ok(std::env::current_exe()?.with_file_name("wasmgate"));
    let program = CHOSEN.get().cloned().map_or_else(beside, Anyhow::Ok)?;
    if program.exists() {
        Ok(program)
    } else {
        Err(format!("{} is missing: cargo build --release", program.display()).into())
    }
}

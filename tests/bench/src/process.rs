//! The processes under measurement: how they start, what they cost, how they end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Anyhow, answers};

/// A child that is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
    /// From exec to the first answered request.
    pub(crate) first_answer: Duration,
    /// What ends with it.
    behind: Option<Box<Self>>,
}

impl Running {
    /// A role of this program on CPU 0, beside the load.
    pub(crate) async fn own(role: &str, to: Option<u16>) -> Anyhow<Self> {
        let cpu = if role == "relay" { "1" } else { "0" };
        let mut command = pinned(cpu, &std::env::current_exe()?);
        command.arg(role).args(to.map(|port| port.to_string())).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self { child, port: line.trim().parse()?, first_answer: Duration::ZERO, behind: None })
    }

    /// The gateway on CPU 1 with the backend as its one server; `lean` without its interceptors.
    pub(crate) async fn gateway(backend: u16, lean: bool) -> Anyhow<Self> {
        let arguments: &[&str] = if lean { &LEAN } else { &[] };
        Self::started(backend, arguments, "{}\n").await
    }

    async fn started(backend: u16, arguments: &[&str], config: &str) -> Anyhow<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let here = std::env::temp_dir().join(format!("wasmgate-bench-{}-{port}", std::process::id()));
        let (catalog, settings) = (here.with_extension("catalog.yaml"), here.with_extension("yaml"));
        let text = format!(
            "registry:\n  echo:\n    type: remote\n    remote: {{ url: \"http://127.0.0.1:{backend}/mcp\", transport_type: streamable-http }}\n"
        );
        std::fs::write(&catalog, text)?;
        std::fs::write(&settings, config)?;
        let mut command = pinned("1", &gateway_program()?);
        command.args(["run", "--servers", "echo", "--transport", "streaming", "--allow-unauthenticated"]);
        command.arg("--catalog").arg(&catalog).arg("--config").arg(&settings);
        command.args(["--port", &port.to_string()]).args(arguments).stderr(Stdio::null());
        let since = Instant::now();
        let child = command.spawn()?;
        let mut running = Self { child, port, first_answer: Duration::ZERO, behind: None };
        running.first_answer = answers(port, since).await?;
        // Idle means idle: the server behind is up and the lists are built.
        tokio::time::sleep(Duration::from_secs(2)).await;
        std::fs::remove_file(catalog)?;
        std::fs::remove_file(settings)?;
        Ok(running)
    }

    /// A gateway for more clients than usual, without interceptors.
    pub(crate) async fn crowded_gateway(backend: u16) -> Anyhow<Self> {
        Self::started(backend, &LEAN, "limits: {connections: {total: 30000, perAddress: 30000}}\n").await
    }

    /// Keeps another process as long as this one.
    pub(crate) fn with(mut self, behind: Self) -> Self {
        self.behind = Some(Box::new(behind));
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
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
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

/// Prints the port for the parent.
pub(crate) fn announce(port: u16) {
    say(&port.to_string());
}

/// Prints one line.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _closed = writeln!(out, "{line}");
}

fn pinned(cpu: &str, program: &std::path::Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program);
    command
}

/// The gateway, which lies beside this program.
pub(crate) fn gateway_program() -> Anyhow<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("wasmgate");
    if program.exists() {
        Ok(program)
    } else {
        Err(format!("{} is missing: cargo build --release", program.display()).into())
    }
}

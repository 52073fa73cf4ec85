//! The gateway under test: `gateway().catalog(..).servers([..]).start().await`, and what must hold when it has stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Answer, Ask};
use crate::mcp::{Door, LEGACY, Legacy, Modern};
use crate::{build, docker, invariants, process, soon};

/// The token every gateway under test asks for, unless it is told to ask for none.
pub const TOKEN: &str = "suite-token-0123456789abcdef";

/// A command line being put together.
#[must_use]
pub struct Gateway {
    home: PathBuf,
    below: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    catalogs: usize,
    port: String,
    transport: String,
    token: Option<String>,
}

/// A gateway with a directory of its own, on a port of its own, with a token.
pub fn gateway() -> Gateway {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let home = std::env::temp_dir().join(format!("wasmgate-tests-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a temporary directory");
    Gateway {
        home,
        below: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        catalogs: 0,
        port: "0".into(),
        transport: "streaming".into(),
        token: Some(TOKEN.into()),
    }
}

impl Gateway {
    /// One more catalog, from its text. Without [`Gateway::servers`] all of its servers are enabled.
    pub fn catalog(mut self, text: impl Into<String>) -> Self {
        self.catalogs += 1;
        let name = format!("catalog-{}.yaml", self.catalogs);
        let path = self.file(&name, &text.into());
        self.arg("--catalog").arg(path)
    }

    /// A catalog from where it lies.
    pub fn catalog_at(self, path: impl Into<String>) -> Self {
        self.arg("--catalog").arg(path)
    }

    /// Which of its servers.
    pub fn servers<const N: usize>(self, names: [&str; N]) -> Self {
        let names = names.join(",");
        self.arg("--servers").arg(names)
    }

    /// `wasmgate.yaml`.
    pub fn config(self, text: &str) -> Self {
        let path = self.file("wasmgate.yaml", text);
        self.arg("--config").arg(path)
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Another program that is started first and becomes the gateway.
    pub fn below(mut self, words: &[&str]) -> Self {
        self.below = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// `streaming`, `sse` or `stdio`.
    pub fn transport(mut self, transport: &str) -> Self {
        self.transport = transport.into();
        self
    }

    pub fn port(mut self, port: u16) -> Self {
        self.port = port.to_string();
        self
    }

    /// Asks for no token.
    pub fn open(mut self) -> Self {
        self.token = None;
        self.arg("--allow-unauthenticated")
    }

    /// Another token, or `None` to let the gateway make one.
    pub fn token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(ToOwned::to_owned);
        self
    }

    /// Writes a file into the gateway's own directory and gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.join(name);
        std::fs::write(&path, text).expect("a file in the temporary directory");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Its directory.
    pub fn home(&self) -> &std::path::Path {
        &self.home
    }

    /// The whole command, for those who start it themselves (a client that speaks stdio to it).
    pub fn command(&self) -> (Vec<String>, Vec<(String, String)>) {
        let mut line = self.below.clone();
        line.extend([build::wasmgate().to_str().expect("UTF-8").to_owned(), "run".to_owned()]);
        line.extend(self.args.iter().cloned());
        let audit = self.home.join(invariants::AUDIT);
        line.extend(["--audit-log".to_owned(), audit.to_str().expect("UTF-8").to_owned()]);
        let chosen =
            ["--servers", "--enable-all-servers"].iter().any(|flag| self.args.iter().any(|arg| arg == flag));
        if self.catalogs > 0 && !chosen {
            line.push("--enable-all-servers".to_owned());
        }
        line.extend(["--transport".to_owned(), self.transport.clone()]);
        if self.transport != "stdio" {
            line.extend(["--port".to_owned(), self.port.clone()]);
        }
        let mut env = vec![("HOME".to_owned(), self.home.to_str().expect("UTF-8").to_owned())];
        // Compiled plugins are shared by all tests: compiling them again takes seconds in a debug build.
        let cache = build::wasmgate().with_file_name("suite-cache");
        env.push(("XDG_CACHE_HOME".to_owned(), cache.to_str().expect("UTF-8").to_owned()));
        if let Some(token) = &self.token {
            env.push(("WASMGATE_AUTH_TOKEN".to_owned(), token.clone()));
        }
        env.extend(
            ["PATH", "DOCKER_HOST"].iter().filter_map(|n| Some(((*n).to_owned(), std::env::var(n).ok()?))),
        );
        env.extend(self.env.iter().cloned());
        (line, env)
    }

    fn spawn(&self, stdin: Stdio) -> (Child, Captured, Captured) {
        let (line, env) = self.command();
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).env_clear().envs(env).current_dir(&self.home).stdin(stdin);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().expect("the gateway starts");
        let stdout = Captured::of(child.stdout.take().expect("piped"));
        let stderr = Captured::of(child.stderr.take().expect("piped"));
        crate::watch::gateway(child.id().expect("a running process"), stderr.clone());
        (child, stdout, stderr)
    }

    /// Runs it and waits until it says where it listens.
    pub async fn start(self) -> Running {
        let stdio = self.transport == "stdio";
        let (mut child, stdout, stderr) = self.spawn(if stdio { Stdio::piped() } else { Stdio::null() });
        let pid = child.id().expect("a running process");
        let stdin = child.stdin.take();
        let mut running = Running {
            pid,
            child: Some(child),
            stdin,
            stdout,
            stderr,
            address: None,
            home: self.home,
            token: self.token,
            servers: Vec::new(),
        };
        if !stdio {
            running.address = Some(running.find_address().await);
        }
        running
    }

    /// Runs it to its own end, which is what a wrong command line must come to.
    pub async fn run_to_end(self) -> Ended {
        let (mut child, stdout, stderr) = self.spawn(Stdio::null());
        let status = soon("the end of a gateway that cannot start", child.wait()).await.expect("it ends");
        let ended = Ended { status, stdout: stdout.all().await, stderr: stderr.all().await };
        assert!(!ended.stderr.contains("panicked"), "the gateway panicked:\n{}", ended.stderr);
        let left = process::of_home(&self.home, 0);
        let _ = std::fs::remove_dir_all(&self.home);
        assert!(left.is_empty(), "processes outlived a gateway that did not start: {left:?}");
        ended
    }
}

/// What is left of a program that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs any other subcommand to its end.
pub async fn wasmgate(args: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(build::wasmgate());
    command.args(args).stdin(Stdio::null()).env_remove("WASMGATE_AUTH_TOKEN").envs(env.iter().copied());
    let output = soon("wasmgate", command.kill_on_drop(true).output()).await.expect("wasmgate runs");
    Ended {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A gateway that runs. End it with [`Running::stop`]; a test that forgets fails.
pub struct Running {
    pub pid: u32,
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    pub stdout: Captured,
    pub stderr: Captured,
    address: Option<SocketAddr>,
    home: PathBuf,
    token: Option<String>,
    servers: Vec<String>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("not over stdio")
    }

    /// Its directory.
    pub fn home(&self) -> &std::path::Path {
        &self.home
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// A path of it, with its token.
    pub fn door(&self, path: &str) -> Door {
        Door { address: self.address(), path: path.into(), token: self.token.clone() }
    }

    /// A session at `/mcp` in the newest legacy version.
    pub async fn legacy(&self) -> Legacy {
        Legacy::connect(self.door("/mcp"), LEGACY).await
    }

    /// A session with one server alone.
    pub async fn alone(&self, server: &str) -> Legacy {
        Legacy::connect(self.door(&format!("/servers/{server}/mcp")), LEGACY).await
    }

    /// A stateless client at `/mcp`.
    pub fn modern(&self) -> Modern {
        Modern::new(self.door("/mcp"))
    }

    /// GET without any header.
    pub async fn get(&self, path: &str) -> Answer {
        Ask::new(self.address(), "GET", path).send().await
    }

    /// What `/ready` says.
    pub async fn readiness(&self) -> Value {
        let answer = self.door("/ready").ask("GET").send().await;
        serde_json::from_slice(&answer.body)
            .unwrap_or_else(|e| panic!("/ready is not JSON ({e}): {}", answer.text()))
    }

    /// The states of its servers, from `/ready`, once its configuration is complete.
    pub async fn states(&self) -> Value {
        soon("a complete configuration", async {
            loop {
                let said = self.readiness().await;
                if said["reason"] != "the configuration is loading" {
                    return said;
                }
                tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            }
        })
        .await
    }

    /// The entry of one server in `/ready`.
    pub async fn state(&self, server: &str) -> Value {
        let all = self.states().await;
        let list = all["servers"].as_array().unwrap_or_else(|| panic!("/ready without servers: {all}"));
        list.iter()
            .find(|s| s["name"] == server)
            .unwrap_or_else(|| panic!("/ready without {server}: {all}"))
            .clone()
    }

    /// Waits until a server is in one of these states.
    pub async fn reaches(&self, server: &str, states: &[&str]) -> Value {
        soon(&format!("{server} becoming {states:?}\n{}", self.stderr.text()), async {
            loop {
                let state = self.state(server).await;
                if state["state"].as_str().is_some_and(|s| states.contains(&s)) {
                    return state;
                }
                tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            }
        })
        .await
    }

    /// Waits until these servers are ready.
    pub async fn ready<const N: usize>(&self, servers: [&str; N]) -> &Self {
        for server in servers {
            let state = self.reaches(server, &["ready", "failed"]).await;
            assert_eq!(state["state"], "ready", "{server}: {state}\n{}", self.stderr.text());
        }
        self
    }

    /// Waits until what it printed, on either stream, is enough; gives all of it.
    pub async fn printed(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let (one, two) = (self.stderr.clone(), self.stdout.clone());
        let found = async {
            tokio::select! {
                () = one.find(|text| enough(text).then_some(())) => (),
                () = two.find(|text| enough(text).then_some(())) => (),
            }
        };
        soon(what, found).await;
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    /// Remembers that a server runs in a container, which must be gone afterwards.
    #[must_use]
    pub fn with_container(mut self, server: &str) -> Self {
        self.servers.push(server.into());
        self
    }

    /// Writes one line to its stdin.
    pub async fn say(&mut self, line: &str) {
        self.say_bytes(line.as_bytes()).await;
    }

    /// Writes one line that may not be text.
    pub async fn say_bytes(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdio");
        stdin.write_all(&[line, b"\n"].concat()).await.expect("the gateway reads");
        stdin.flush().await.expect("the gateway reads");
    }

    /// Ends its stdin.
    pub fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// The servers' processes.
    pub fn processes(&self) -> Vec<(u32, String)> {
        process::of_home(&self.home, self.pid)
    }

    /// SIGTERM, then everything that must hold.
    pub async fn stop(self) -> Ended {
        invariants::no_process_knows(&self.home, self.pid, TOKEN);
        process::signal(self.pid, Signal::TERM);
        self.ended().await
    }

    /// Waits for its end, then checks everything that must hold.
    pub async fn ended(mut self) -> Ended {
        self.stdin = None;
        let mut child = self.child.take().expect("not stopped yet");
        let waited = tokio::time::timeout(crate::PATIENCE, child.wait()).await;
        let left = process::of_home(&self.home, self.pid);
        for (pid, _) in &left {
            process::signal(*pid, Signal::KILL);
        }
        let Ok(status) = waited else {
            let _ = child.kill().await;
            panic!("the gateway did not end; its stderr:\n{}", self.stderr.text());
        };
        let ended = Ended {
            status: status.expect("a status"),
            stdout: self.stdout.all().await,
            stderr: self.stderr.all().await,
        };
        let stderr = &ended.stderr;
        assert!(!stderr.contains("panicked"), "the gateway panicked:\n{stderr}");
        assert_eq!(ended.status.code(), Some(0), "exit code after a polite end:\n{stderr}");
        assert!(left.is_empty(), "processes outlived the gateway: {left:?}\n{stderr}");
        assert!(!stderr.contains(TOKEN) && !ended.stdout.contains(TOKEN), "the token was printed:\n{stderr}");
        assert!(!stderr.contains("these did not end in time"), "tasks outlived the drain:\n{stderr}");
        invariants::the_audit_log_is_whole(&self.home, TOKEN);
        invariants::nothing_in_docker_is_left_of(self.pid).await;
        if !self.servers.is_empty() {
            let docker = docker::there().await.expect("Docker, as before");
            for server in &self.servers {
                let left = docker::containers_of(&docker, server).await;
                assert!(left.is_empty(), "containers of {server} outlived the gateway: {left:?}\n{stderr}");
            }
        }
        let _ = std::fs::remove_dir_all(&self.home);
        ended
    }

    /// SIGKILL: nothing is checked, because nothing could be done.
    pub async fn kill(mut self) {
        let mut child = self.child.take().expect("not stopped yet");
        soon("the end of a killed gateway", child.kill()).await.expect("it ends");
    }

    async fn find_address(&mut self) -> SocketAddr {
        let mut child = self.child.take().expect("running");
        let found = {
            let stderr = self.stderr.clone();
            let stdout = self.stdout.clone();
            let printed = async move {
                tokio::select! { a = stderr.find(address_in) => a, a = stdout.find(address_in) => a }
            };
            soon("the gateway saying where it listens", async {
                tokio::select! {
                    address = printed => Some(address),
                    _ = child.wait() => None,
                }
            })
            .await
        };
        let Some(address) = found else {
            panic!("the gateway ended at once:\n{}\n{}", self.stdout.all().await, self.stderr.all().await)
        };
        self.child = Some(child);
        address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.is_none() {
            return;
        }
        for (pid, _) in process::of_home(&self.home, 0) {
            process::signal(pid, Signal::KILL);
        }
        if std::thread::panicking() {
            eprintln!("--- the gateway's stderr\n{}", self.stderr.text());
        } else {
            panic!("a test must end its gateway with `stop`");
        }
    }
}

fn address_in(text: &str) -> Option<SocketAddr> {
    text.match_indices("http://").find_map(|(at, scheme)| {
        let rest = &text[at + scheme.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))?;
        rest[..end].parse().ok()
    })
}

/// What a pipe has brought so far.
#[derive(Clone)]
pub struct Captured {
    seen: watch::Receiver<(Vec<u8>, bool)>,
    _reader: std::sync::Arc<JoinHandle<()>>,
}

impl Captured {
    pub fn of(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (send, seen) = watch::channel((Vec::new(), false));
        let reader = tokio::spawn(async move {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = pipe.read(&mut chunk).await {
                send.send_modify(|(all, _)| all.extend_from_slice(&chunk[..n]));
            }
            send.send_modify(|(_, ended)| *ended = true);
        });
        Self { seen, _reader: std::sync::Arc::new(reader) }
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.borrow().0).into_owned()
    }

    /// Everything, once the pipe has ended.
    pub async fn all(&self) -> String {
        let mut seen = self.seen.clone();
        let _ = tokio::time::timeout(crate::PATIENCE, seen.wait_for(|(_, ended)| *ended)).await;
        self.text()
    }

    /// Waits for what `look` finds; never resolves when the pipe ends without it. `look` may itself ask for the text: what
    /// it is shown is a copy, because a reader of the original who becomes one again waits for a writer who waits for him.
    pub async fn find<T>(&self, look: impl Fn(&str) -> Option<T>) -> T {
        let mut seen = self.seen.clone();
        loop {
            let text = String::from_utf8_lossy(&seen.borrow_and_update().0).into_owned();
            if let Some(found) = look(&text) {
                return found;
            }
            if seen.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits for a line that satisfies `wanted`.
    pub async fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        soon(what, self.find(|text| text.lines().find(|line| wanted(line)).map(ToOwned::to_owned))).await
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::{Duration, Instant};

    use super::Captured;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_looks_at_what_was_printed_does_not_hold_up_what_is_being_printed() {
        let (mut program, pipe) = std::os::unix::net::UnixStream::pair().expect("a pair");
        pipe.set_nonblocking(true).expect("a socket");
        let said = Captured::of(tokio::net::UnixStream::from_std(pipe).expect("a socket"));
        program.write_all(b"first").expect("there is room");
        let program = std::sync::Mutex::new(program);
        let came = said.find(|text| {
            text.strip_prefix("first")?;
            program.lock().expect("one thread").write_all(b" second").expect("there is room");
            let begun = Instant::now();
            while said.text() != "first second" && begun.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Some(said.text())
        });
        assert_eq!(came.await, "first second");
    }
}

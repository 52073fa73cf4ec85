//! Third-party peers: the Python SDK's client and servers from PyPI, a server from npm. Installed once, below the target
//! directory, by `tests/peers/prepare`.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::{build, soon};

/// The `bin` directory of the virtual environment.
pub async fn python() -> Result<PathBuf, String> {
    static READY: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    READY.get_or_init(|| prepare("python", "venv/bin")).await.clone()
}

/// The `node_modules` directory.
pub async fn node() -> Result<PathBuf, String> {
    static READY: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    READY.get_or_init(|| prepare("node", "npm/node_modules")).await.clone()
}

/// Where peers are kept.
pub fn directory() -> PathBuf {
    build::target_dir().join("peers")
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
    let script = build::root().join("tests/peers/client.py");
    let mut command = Command::new(python);
    command.args(["-W", "ignore"]).arg(script).arg(target.to_string()).arg(steps.to_string());
    let output = soon("the Python client", command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = output.expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the Python client failed:\n{errors}");
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
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

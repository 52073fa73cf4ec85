//! Where and with what it was measured.

use std::process::Command;

use serde_json::{Value, json};

use super::Anyhow;
use super::process::gateway_program;

/// What stands above every result.
pub(crate) fn facts() -> Anyhow<Value> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let gateway = gateway_program()?;
    Ok(json!({
        "date": said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "cores": cores,
        "kernel": kernel.trim(),
        "rustc": said("rustc", &["--version"]),
        "gateway": said(&gateway.to_string_lossy(), &["--version"]),
        "commit": said("git", &["describe", "--always", "--dirty", "--abbrev=9"]),
        "load": load.join(" "),
        "bytes": std::fs::metadata(gateway)?.len(),
    }))
}

/// The same as a line of text.
pub(crate) fn line(facts: &Value) -> String {
    let fact = |name: &str| facts.get(name).map(|fact| fact.to_string().replace('"', "")).unwrap_or_default();
    format!(
        "{}; {} x {}, Linux {}; {}; {} at {}; load average before: {}",
        fact("date"),
        fact("cores"),
        fact("cpu"),
        fact("kernel"),
        fact("rustc"),
        fact("gateway"),
        fact("commit"),
        fact("load")
    )
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".into())
}

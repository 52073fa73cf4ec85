//! The official conformance suite's server mode: once at our fixture, which shows what a good server reaches, and once for
//! every pairing of eras and transports with a gateway in between, which must reach the same.
//!
//! A server that only speaks the old protocol has nothing for some of the modern scenarios; `CARRIED` says which are left.
//! What a test runs takes its time waiting, not computing: both transports are run at once.

use serde_json::json;
use wasmgate_tests::catalog::{Catalog, process};
use wasmgate_tests::conformance::{self, Ceiling, Report};
use wasmgate_tests::{build, gateway, peers, require};

/// 30 scored, 3 only reported.
const LEGACY: Ceiling = Ceiling { scenarios: 33, checks: 84, skipped: 0 };
/// 37 scored, 13 only reported, of which the suite has not written one yet.
const MODERN: Ceiling = Ceiling { scenarios: 50, checks: 197, skipped: 1 };

/// The same where a gateway answers: what is one message it sends as JSON, so that the suite has no event stream to look at
/// where the fixture offers one (`server-sse-multiple-streams` of both, `server-sse-polling`).
const LEGACY_GATEWAY: Ceiling = Ceiling { checks: LEGACY.checks - 4, ..LEGACY };
const MODERN_GATEWAY: Ceiling = Ceiling { checks: MODERN.checks - 1, ..MODERN };

/// What the suite has for a modern client wherever the server comes from: what both eras have in common.
const COMMON: Ceiling = Ceiling { scenarios: 20, checks: 41, skipped: 0 };
/// What it has for a modern client alone, and what a gateway makes possible at a server of the old era, apart from:
const CARRIED: Ceiling = Ceiling { scenarios: 17, checks: 93, skipped: 0 };
/// Asking for three things at once, which such a server does one by one, and an answer to what was never asked.
const NOT_CARRIED: &[&str] =
    &["input-required-result-multiple-input-requests", "input-required-result-ignore-extra-params"];

/// One server alone.
const ALONE: &str = "/servers/everything/mcp";
/// All of them.
const MERGED: &str = "/mcp";

/// Where the fixture is.
#[derive(Clone, Copy)]
enum Wire {
    Stdio,
    Http,
}

/// Starts a gateway before a fixture of that era, runs the suite at the path with these arguments, one run after the other,
/// and stops the gateway.
async fn through_gateway(era: &str, wire: Wire, path: &str, runs: &[&[&str]]) -> Vec<Report> {
    // Kept while the suite runs.
    let mut remote = None;
    let catalog = match wire {
        Wire::Stdio => {
            let program = build::conformance_fixture();
            Catalog::new()
                .entry("everything", process(&[program.to_str().expect("UTF-8"), "--stdio", "--era", era]))
        }
        Wire::Http => {
            let server = remote.insert(conformance::fixture(era).await);
            Catalog::new().remote("everything", &server.url("/mcp"), "streamable-http")
        }
    };
    let mut config = json!({"names": "plain"});
    // A legacy process can ask its client only while there is no doubt whose call it is about.
    if matches!((era, wire), ("legacy", Wire::Stdio)) {
        config["servers"] = json!({"everything": {"maxInFlight": 1}});
    }
    let gw = gateway().catalog(catalog).config(&config.to_string()).open().start().await;
    gw.ready(["everything"]).await;
    let mut reports = Vec::new();
    for run in runs {
        reports.push(conformance::server(&gw.url(path), run).await);
    }
    gw.stop().await;
    reports
}

/// Runs a requirement set with the fixture as a process and as a remote at once, and demands this much of both.
async fn over_both_wires(era: &str, path: &str, revision: &str, ceiling: Ceiling) {
    require!(peers::node().await);
    let required: &[&[&str]] = &[&["--requirements", revision]];
    let (process, remote) = tokio::join!(
        through_gateway(era, Wire::Stdio, path, required),
        through_gateway(era, Wire::Http, path, required),
    );
    conformance::content(&[("process", &process[0], ceiling), ("remote", &remote[0], ceiling)]);
}

async fn directly(era: &str, revision: &str) -> Report {
    let server = conformance::fixture(era).await;
    conformance::server(&server.url("/mcp"), &["--requirements", revision]).await
}

#[tokio::test]
async fn the_fixture_itself_reaches_the_ceiling() {
    require!(peers::node().await);
    let (legacy, legacy_of_both, modern, modern_of_both) = tokio::join!(
        directly("legacy", "2025-11-25"),
        directly("both", "2025-11-25"),
        directly("modern", "2026-07-28"),
        directly("both", "2026-07-28"),
    );
    conformance::content(&[
        ("legacy", &legacy, LEGACY),
        ("both, legacy client", &legacy_of_both, LEGACY),
        ("modern", &modern, MODERN),
        ("both, modern client", &modern_of_both, MODERN),
    ]);
}

#[tokio::test]
async fn a_legacy_client_with_a_legacy_server() {
    over_both_wires("legacy", ALONE, "2025-11-25", LEGACY_GATEWAY).await;
}

#[tokio::test]
async fn a_legacy_client_with_a_modern_server() {
    over_both_wires("modern", ALONE, "2025-11-25", LEGACY_GATEWAY).await;
}

#[tokio::test]
async fn a_legacy_client_with_a_server_of_both_eras() {
    over_both_wires("both", ALONE, "2025-11-25", LEGACY_GATEWAY).await;
}

#[tokio::test]
async fn a_modern_client_with_a_modern_server() {
    over_both_wires("modern", ALONE, "2026-07-28", MODERN_GATEWAY).await;
}

#[tokio::test]
async fn a_modern_client_with_a_server_of_both_eras() {
    over_both_wires("both", ALONE, "2026-07-28", MODERN_GATEWAY).await;
}

#[tokio::test]
async fn a_modern_client_with_a_legacy_server() {
    require!(peers::node().await);
    let suite = |name| ["--suite", name, "--spec-version", "2026-07-28"];
    let (active, draft) = (suite("active"), suite("draft"));
    let runs: &[&[&str]] = &[&active, &draft];
    let (process, remote) = tokio::join!(
        through_gateway("legacy", Wire::Stdio, ALONE, runs),
        through_gateway("legacy", Wire::Http, ALONE, runs),
    );
    let [process, process_carried] = process.try_into().expect("two runs");
    let [remote, remote_carried] = remote.try_into().expect("two runs");
    conformance::content(&[
        ("process", &process, COMMON),
        ("remote", &remote, COMMON),
        ("process, carried", &process_carried.without(NOT_CARRIED), CARRIED),
        ("remote, carried", &remote_carried.without(NOT_CARRIED), CARRIED),
    ]);
}

#[tokio::test]
async fn the_merged_view_is_as_good() {
    require!(peers::node().await);
    let (legacy, modern) = tokio::join!(
        through_gateway("modern", Wire::Stdio, MERGED, &[&["--requirements", "2025-11-25"]]),
        through_gateway("modern", Wire::Http, MERGED, &[&["--requirements", "2026-07-28"]]),
    );
    conformance::content(&[
        ("legacy client", &legacy[0], LEGACY_GATEWAY),
        ("modern client", &modern[0], MODERN_GATEWAY),
    ]);
}

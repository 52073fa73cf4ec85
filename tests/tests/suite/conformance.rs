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
/// What it has for a modern client alone, and what a gateway makes possible at a server of the old era.
const CARRIED: Ceiling = Ceiling { scenarios: 15, checks: 91, skipped: 0 };
/// But for this: asking for three things at once, which such a server does one by one; answers that come without a state,
/// after which nothing may be called that could have been called before; questions under a key of the server's choice.
const NOT_CARRIED: &[&str] = &[
    "input-required-result-multiple-input-requests",
    "input-required-result-ignore-extra-params",
    "input-required-result-missing-input-response",
    "input-required-result-basic-elicitation",
];
/// The old era has no error for a client that lacks a capability: its servers ask, and hear that they cannot.
const NO_SUCH_ERROR: &[&str] =
    &["sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"];
/// Of those, the scenarios that answer all they are asked: a process takes one call at a time here, and waits.
const ANSWERED: &[&str] = &[
    "caching",
    "http-custom-header-server-validation",
    "http-header-validation",
    "input-required-result-basic-list-roots",
    "input-required-result-basic-sampling",
    "input-required-result-multi-round",
    "input-required-result-non-tool-request",
    "input-required-result-request-state",
    "input-required-result-unsupported-methods",
    "sep-2164-resource-not-found",
];
const ANSWERED_CHECKS: Ceiling = Ceiling { scenarios: 10, checks: 54, skipped: 0 };

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
    let active = ["--suite", "active", "--spec-version", "2026-07-28"];
    let draft = ["--suite", "draft", "--spec-version", "2026-07-28"];
    let single = ANSWERED.iter().map(|name| ["--scenario", name, "--spec-version", "2026-07-28"]);
    let single: Vec<[&str; 4]> = single.collect();
    let one_by_one: Vec<&[&str]> =
        std::iter::once(active.as_slice()).chain(single.iter().map(<[&str; 4]>::as_slice)).collect();
    let both: &[&[&str]] = &[&active, &draft];
    let (mut process, mut remote) = tokio::join!(
        through_gateway("legacy", Wire::Stdio, ALONE, &one_by_one),
        through_gateway("legacy", Wire::Http, ALONE, both),
    );
    let answered = process.drain(1..).reduce(Report::and).expect("what is answered");
    let carried = remote.pop().expect("two runs").without(NOT_CARRIED).except(NO_SUCH_ERROR);
    conformance::content(&[
        ("process", &process[0], COMMON),
        ("process, answered", &answered, ANSWERED_CHECKS),
        ("remote", &remote[0], COMMON),
        ("remote, carried", &carried, CARRIED),
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

#[tokio::test]
async fn a_call_whose_stream_breaks_off_is_taken_up_again() {
    let server = conformance::fixture("legacy").await;
    let catalog = Catalog::new().remote("everything", &server.url("/mcp"), "streamable-http");
    let gw = gateway().catalog(catalog).start().await;
    gw.ready(["everything"]).await;
    let result = gw.alone("everything").await.call("test_reconnection", json!({})).await;
    assert_eq!(peers::text(&result), "You came back.");
    gw.stop().await;
}

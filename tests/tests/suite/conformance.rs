//! The official conformance suite's server mode: once at our fixture, which shows what a good server reaches, and once for
//! every pairing of eras and transports with a gateway in between, which must reach the same.
//!
//! A server that only speaks the old protocol has nothing for some of the modern scenarios; `CARRIED` says which are left.

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

/// Where the fixture is.
#[derive(Clone, Copy)]
enum Wire {
    Stdio,
    Http,
}

/// Starts a gateway before a fixture of that era, runs the suite at the path, and stops the gateway.
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
    // A legacy process can ask its client only while there is no doubt whose call it is about.
    let mut config = json!({"names": "plain"});
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

/// One run of a requirement set.
async fn required(era: &str, wire: Wire, path: &str, revision: &str) -> Report {
    let mut reports = through_gateway(era, wire, path, &[&["--requirements", revision]]).await;
    reports.pop().expect("one run")
}

async fn directly(era: &str, revision: &str) -> Report {
    let server = conformance::fixture(era).await;
    conformance::server(&server.url("/mcp"), &["--requirements", revision]).await
}

#[tokio::test]
async fn the_fixture_itself_reaches_the_ceiling() {
    require!(peers::node().await);
    directly("legacy", "2025-11-25").await.reaches(LEGACY);
    directly("both", "2025-11-25").await.reaches(LEGACY);
    directly("modern", "2026-07-28").await.reaches(MODERN);
    directly("both", "2026-07-28").await.reaches(MODERN);
}

macro_rules! pairings {
    ($($name:ident: $era:literal over $wire:ident for $revision:literal reaches $ceiling:ident;)+) => { $(
        #[tokio::test]
        async fn $name() {
            require!(peers::node().await);
            required($era, Wire::$wire, "/servers/everything/mcp", $revision).await.reaches($ceiling);
        }
    )+ };
}

pairings! {
    a_legacy_client_with_a_legacy_process: "legacy" over Stdio for "2025-11-25" reaches LEGACY_GATEWAY;
    a_legacy_client_with_a_legacy_remote: "legacy" over Http for "2025-11-25" reaches LEGACY_GATEWAY;
    a_legacy_client_with_a_modern_process: "modern" over Stdio for "2025-11-25" reaches LEGACY_GATEWAY;
    a_legacy_client_with_a_modern_remote: "modern" over Http for "2025-11-25" reaches LEGACY_GATEWAY;
    a_legacy_client_with_a_process_of_both_eras: "both" over Stdio for "2025-11-25" reaches LEGACY_GATEWAY;
    a_legacy_client_with_a_remote_of_both_eras: "both" over Http for "2025-11-25" reaches LEGACY_GATEWAY;
    a_modern_client_with_a_modern_process: "modern" over Stdio for "2026-07-28" reaches MODERN_GATEWAY;
    a_modern_client_with_a_modern_remote: "modern" over Http for "2026-07-28" reaches MODERN_GATEWAY;
    a_modern_client_with_a_process_of_both_eras: "both" over Stdio for "2026-07-28" reaches MODERN_GATEWAY;
    a_modern_client_with_a_remote_of_both_eras: "both" over Http for "2026-07-28" reaches MODERN_GATEWAY;
}

#[tokio::test]
async fn a_modern_client_with_a_legacy_process() {
    require!(peers::node().await);
    modern_with_legacy(Wire::Stdio).await;
}

#[tokio::test]
async fn a_modern_client_with_a_legacy_remote() {
    require!(peers::node().await);
    modern_with_legacy(Wire::Http).await;
}

async fn modern_with_legacy(wire: Wire) {
    let suite = |name| ["--suite", name, "--spec-version", "2026-07-28"];
    let (active, draft) = (suite("active"), suite("draft"));
    let reports = through_gateway("legacy", wire, "/servers/everything/mcp", &[&active, &draft]).await;
    let [common, carried] = reports.try_into().expect("two runs");
    common.reaches(COMMON);
    carried.without(NOT_CARRIED).reaches(CARRIED);
}

#[tokio::test]
async fn the_merged_view_is_as_good() {
    require!(peers::node().await);
    required("modern", Wire::Stdio, "/mcp", "2025-11-25").await.reaches(LEGACY_GATEWAY);
    required("modern", Wire::Http, "/mcp", "2026-07-28").await.reaches(MODERN_GATEWAY);
}

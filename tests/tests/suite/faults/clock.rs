//! Faults of time (F41): the clock jumps, or the gateway stands still while time goes on.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use wasmgate_tests::catalog::{Catalog, fixture, good};
use wasmgate_tests::faulty::is;
use wasmgate_tests::hostile::{Step, hostile};
use wasmgate_tests::{Gateway, Running, gateway, missing, process, soon};

use crate::reload::{exchange, in_force};

/// What makes a program see another time of day, and the same passing of time: `CLOCK_REALTIME` and nothing else.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    const char *path = getenv("CLOCK_SHIFT");
    if (clock != CLOCK_REALTIME || done || !path) return done;
    char text[32] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) { if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text); close(file); }
    return done;
}
"#;

/// A gateway whose time of day the file moves, in seconds.
async fn on_a_clock_of_its_own(gateway: Gateway) -> Result<(Running, std::path::PathBuf), String> {
    let source = gateway.file("shift.c", SHIFT);
    let (library, shift) = (gateway.home().join("shift.so"), gateway.file("shift", "0"));
    let mut compiler = std::process::Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let compiled = compiler.output().map_err(|error| format!("no C compiler: {error}"))?;
    if !compiled.status.success() {
        return Err(String::from_utf8_lossy(&compiled.stderr).into_owned());
    }
    let gw = gateway
        .catalog(good("fx"))
        .env("LD_PRELOAD", library.to_str().expect("UTF-8"))
        .env("CLOCK_SHIFT", &shift)
        .start()
        .await;
    gw.ready(["fx"]).await;
    Ok((gw, shift.into()))
}

/// What the gateway takes for the time, to the hour, after it was told to look.
async fn hour(gw: &Running) -> String {
    in_force(gw, "a reload", || process::signal(gw.pid, Signal::HUP)).await;
    gw.states().await["config"]["since"].as_str().expect("a time")[..13].to_owned()
}

#[tokio::test]
async fn f41_the_clock_jumps_an_hour_forth_and_back() {
    let (gw, shift) = match on_a_clock_of_its_own(gateway()).await {
        Ok(there) => there,
        Err(reason) => {
            assert!(missing("f41_the_clock_jumps_an_hour_forth_and_back", Err(reason)));
            return;
        }
    };
    let client = gw.alone("fx").await;
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.call("progress", json!({"steps": 2})).await }
    });
    let slow = tokio::spawn({
        let client = client.clone();
        async move {
            let call = r#"{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"slow"}}"#;
            client.post(call).send().await
        }
    });
    client.call("wait_started", json!({"count": 1})).await;
    let now = hour(&gw).await;
    for seconds in ["3600", "-3600", "7200", "0"] {
        exchange(&shift, seconds);
        assert_eq!(hour(&gw).await == now, seconds == "0", "{seconds}: the clock was moved");
        assert_eq!(client.call("text", json!({"text": seconds})).await["content"][0]["text"], seconds);
        gw.alone("fx").await.call("text", json!({})).await;
        assert_eq!(gw.state("fx").await["state"], "ready", "{seconds}");
        assert!(!held.is_finished() && !slow.is_finished(), "{seconds}: no deadline has passed");
    }
    client.call("release", json!({})).await;
    assert_eq!(soon("its end", held).await.expect("no panic")["content"][0]["text"], "done");
    client.notify("notifications/cancelled", json!({"requestId": "slow"})).await;
    soon("its end", slow).await.expect("no panic");
    gw.stop().await;
}

#[tokio::test]
async fn f41_a_session_that_is_over_by_the_clock_is_not_taken() {
    let (gw, shift) = match on_a_clock_of_its_own(gateway()).await {
        Ok(there) => there,
        Err(reason) => {
            assert!(missing("f41_a_session_that_is_over_by_the_clock_is_not_taken", Err(reason)));
            return;
        }
    };
    let (client, second) = (gw.alone("fx").await, gw.alone("fx").await);
    let ask = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"text"}}"#;
    exchange(&shift, (23 * 3600).to_string());
    assert_eq!(client.post(ask).send().await.status, 200, "an hour before its end");
    exchange(&shift, (25 * 3600).to_string());
    assert_eq!(client.post(ask).send().await.status, 404, "an hour after it");
    // Back again: what was ended stays ended, what was not asked for meanwhile goes on.
    exchange(&shift, "0");
    assert_eq!(client.post(ask).send().await.status, 404);
    assert_eq!(second.post(ask).send().await.status, 200);
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f41_the_gateway_stands_still_for_longer_than_calls_may_be_silent() {
    // What answers, does so while the gateway does not run.
    let far = hostile(|heard, before| {
        let slowly = heard.kind() == "tools/call" && before == 0;
        slowly.then(|| [vec![Step::Wait(ANSWER)], heard.done()].concat())
    })
    .await;
    let gateway = gateway();
    let notes = gateway.home().join("notes");
    let deadlines = json!({"initialize": "20s", "idle": "3s", "total": "60s"});
    let mut near = fixture(&["faulty", "--stdio"]);
    near["env"] = json!([{"name": "FIXTURE_NOTES", "value": notes}]);
    let mut remote =
        json!({"type": "remote", "remote": {"url": far.url(), "transport_type": "streamable-http"}});
    for entry in [&mut near, &mut remote] {
        entry["deadlines"] = deadlines.clone();
    }
    let catalog =
        Catalog::new().entry("near", near).entry("far", remote).fixture("fx", &["server", "--stdio"]);
    let gw = gateway.catalog(catalog).servers(["near", "far", "fx"]).start().await;
    gw.ready(["near", "far", "fx"]).await;
    let client = gw.legacy().await;
    let pids = gw.processes();
    let call = |tool: &'static str, arguments: serde_json::Value| {
        let client = client.clone();
        tokio::spawn(async move {
            client.request("tools/call", json!({"name": tool, "arguments": arguments})).await
        })
    };
    let later = call("near__later", json!({"millis": 1000}));
    let never = call("near__hold", json!({}));
    let distant = call("far__work", json!({}));
    soon("all of them at their servers", async {
        let noted = || std::fs::read_to_string(&notes).unwrap_or_default();
        while !(noted().contains("later") && noted().contains("hold") && far.count("tools/call") == 1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    process::signal(gw.pid, Signal::STOP);
    tokio::time::sleep(AWAY).await;
    process::signal(gw.pid, Signal::CONT);
    let answer = soon("the answer of a process", later).await.expect("no panic");
    assert_eq!(answer["result"]["content"][0]["text"], "at last", "it came meanwhile: {answer}");
    let answer = soon("the answer of a remote", distant).await.expect("no panic");
    assert_eq!(answer["result"]["content"][0]["text"], "done", "it came meanwhile: {answer}");
    is(&soon("the end of the other one", never).await.expect("no panic")["error"], "upstream_timeout");
    // Nothing is taken for dead that is alive.
    for server in ["near", "far", "fx"] {
        assert_eq!(gw.state(server).await["state"], "ready", "{server}");
    }
    assert_eq!(gw.processes(), pids, "no server was replaced");
    let fresh = gw.legacy().await;
    assert_eq!(fresh.call("fx__text", json!({"text": "on"})).await["content"][0]["text"], "on");
    assert_eq!(client.call("far__work", json!({})).await["content"][0]["text"], "done");
    gw.stop().await;
}

/// When servers answer, and how long the gateway stands still: longer than they may be silent.
const ANSWER: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_secs(6);

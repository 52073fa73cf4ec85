//! Faults of time (F41): the clock jumps, or the gateway stands still while time goes on.

use rustix::process::Signal;
use serde_json::json;
use wasmgate_tests::catalog::good;
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

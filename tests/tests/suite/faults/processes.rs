//! Servers that crash, hang, flood and lie: each harms its own call, and nobody else's.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture, raw};
use wasmgate_tests::{Legacy, Running, gateway, process, soon};

/// A good server beside a bad one, with short deadlines for the bad one.
async fn beside(bad: &str, mut entry: Value) -> Running {
    entry["deadlines"] = json!({"initialize": "2s", "idle": "2s", "total": "20s"});
    let catalog = Catalog::new().entry(bad, entry).fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers([bad, "fx"]).start().await;
    gw.ready(["fx"]).await;
    gw
}

/// The misbehaving server, ready, beside a good one.
async fn with_raw() -> (Running, Legacy) {
    let gw = beside("raw", fixture(&["raw", "--stdio"])).await;
    gw.ready(["raw"]).await;
    let client = gw.legacy().await;
    (gw, client)
}

async fn the_good_one_is_fine(client: &Legacy) {
    assert_eq!(client.call("fx__text", json!({"text": "fine"})).await["content"][0]["text"], "fine");
}

async fn the_raw_one_is_fine(client: &Legacy) {
    let answer = client.call("raw__verbatim", json!({"ok": true})).await;
    assert_eq!(answer["structuredContent"], json!({"ok": true}));
}

#[tokio::test]
async fn a_crash_fails_the_calls_of_that_server_and_it_comes_back() {
    let (gw, client) = with_raw().await;
    let before = client.call("raw__pid", json!({})).await;
    let hanging = {
        let client = client.clone();
        tokio::spawn(async move { client.call_fails("raw__hang", json!({})).await })
    };
    let crashed = client.call_fails("raw__crash", json!({})).await;
    assert_eq!(crashed["data"]["code"], "upstream_crashed", "{crashed}");
    assert_eq!(crashed["data"]["server"], "raw", "{crashed}");
    assert!(crashed["message"].as_str().is_some_and(|m| m.contains('3')), "the exit code is said: {crashed}");
    let other = soon("the other call's end", hanging).await.expect("no panic");
    // Which of the two calls reaches the server first is open; the one that comes too late was never sent.
    let code = other["data"]["code"].as_str().unwrap_or_default();
    assert!(["upstream_crashed", "upstream_timeout", "upstream_unavailable"].contains(&code), "{other}");
    the_good_one_is_fine(&client).await;
    let after = soon("the server's return", async {
        loop {
            let answer = client.request("tools/call", json!({"name": "raw__pid", "arguments": {}})).await;
            if let Some(result) = answer.get("result") {
                return result.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    assert_ne!(after.await, before, "a new process answers");
    gw.stop().await;
}

#[tokio::test]
async fn a_hang_ends_at_its_deadline() {
    let (gw, client) = with_raw().await;
    let failed = client.call_fails("raw__hang", json!({})).await;
    assert_eq!(failed["data"]["code"], "upstream_timeout", "{failed}");
    the_raw_one_is_fine(&client).await;
    the_good_one_is_fine(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_delays_nobody() {
    let gw = beside("mute", fixture(&["never-initialize"])).await;
    // Here the good server answers while the other one's handshake is still awaited.
    assert_eq!(gw.state("mute").await["state"], "starting");
    let client = gw.legacy().await;
    the_good_one_is_fine(&client).await;
    let failed = gw.reaches("mute", &["failed"]).await;
    assert!(failed["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{failed}");
    the_good_one_is_fine(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_wrong_handshake_is_said_so() {
    for (how, says) in
        [("error", "no licence key"), ("garbage", ""), ("version", "1999-01-01"), ("shape", "")]
    {
        let gw = beside("bad", fixture(&["bad-initialize", how])).await;
        let failed = gw.reaches("bad", &["failed"]).await;
        let reason = failed["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty() && reason.contains(says), "{how}: {failed}");
        the_good_one_is_fine(&gw.legacy().await).await;
        gw.stop().await;
    }
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_said_so() {
    for (code, says) in [("0", "0"), ("7", "7")] {
        let gw = beside("brief", fixture(&["exit", code])).await;
        let failed = gw.reaches("brief", &["failed"]).await;
        assert!(
            failed["reason"].as_str().is_some_and(|reason| reason.contains(says)),
            "exit {code}: {failed}"
        );
        the_good_one_is_fine(&gw.legacy().await).await;
        gw.stop().await;
    }
    let gw = beside("absent", wasmgate_tests::catalog::process(&["/no/such/program"])).await;
    let failed = gw.reaches("absent", &["failed"]).await;
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("/no/such/program")), "{failed}");
    gw.stop().await;
}

#[tokio::test]
async fn noise_on_stdout_and_stderr_loses_no_answer() {
    let (gw, client) = with_raw().await;
    assert_eq!(client.call("raw__garbage", json!({})).await["content"][0]["text"], "clean");
    assert_eq!(
        client.call("raw__stderr_flood", json!({"count": 50_000})).await["content"][0]["text"],
        "quiet again"
    );
    assert_eq!(client.call("raw__twice", json!({})).await["content"][0]["text"], "first");
    assert_eq!(client.call("raw__stray", json!({})).await["content"][0]["text"], "asked");
    the_raw_one_is_fine(&client).await;
    let ended = gw.stop().await;
    assert!(!ended.stderr.contains('\u{1b}'), "a server's escape sequences reached the terminal");
}

#[tokio::test]
async fn a_flood_of_notifications_delays_no_answer_and_no_neighbour() {
    let (gw, client) = with_raw().await;
    let flooded = {
        let client = client.clone();
        let params =
            json!({"name": "raw__flood", "arguments": {"count": 20_000}, "_meta": {"progressToken": 1}});
        tokio::spawn(async move { client.messages("tools/call", params).await })
    };
    for _ in 0..20 {
        the_good_one_is_fine(&client).await;
    }
    let messages = soon("the end of the flood", flooded).await.expect("no panic");
    assert_eq!(messages.last().expect("an answer")["result"]["content"][0]["text"], "after the flood");
    gw.stop().await;
}

#[tokio::test]
async fn answers_that_are_not_mcp_fail_only_their_call() {
    let (gw, client) = with_raw().await;
    for tool in ["nested", "duplicate_member"] {
        let failed = client.call_fails(&format!("raw__{tool}"), json!({})).await;
        assert_eq!(failed["data"]["code"], "upstream_misbehaved", "{tool}: {failed}");
        the_raw_one_is_fine(&client).await;
    }
    let failed = client.call_fails("raw__no_jsonrpc", json!({})).await;
    assert!(
        ["upstream_misbehaved", "upstream_timeout"].contains(&failed["data"]["code"].as_str().unwrap_or("")),
        "{failed}"
    );
    the_raw_one_is_fine(&client).await;
    the_good_one_is_fine(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_server_s_own_error_passes_as_it_came() {
    let (gw, client) = with_raw().await;
    let error = client.call_fails("raw__own_error", json!({})).await;
    assert_eq!(error, json!({"code": 4242, "message": "my own code", "data": {"own": true}}));
    gw.stop().await;
}

#[tokio::test]
async fn large_answers_pass_and_too_large_ones_fail_their_call() {
    let scanned = gateway().catalog(raw("raw")).start().await;
    scanned.ready(["raw"]).await;
    let large = scanned.alone("raw").await.call("oversize", json!({"bytes": 1024 * 1024})).await;
    assert_eq!(
        large["content"][0]["text"].as_str().map(str::len),
        Some(1024 * 1024),
        "with every interceptor on"
    );
    scanned.stop().await;

    // Without the one that reads every byte: what is tested from here on is the pipe.
    let gw = gateway().catalog(raw("raw")).arg("--block-secrets=false").start().await;
    gw.ready(["raw"]).await;
    let client = gw.alone("raw").await;
    let large = client.call("oversize", json!({"bytes": 15 * 1024 * 1024})).await;
    assert_eq!(large["content"][0]["text"].as_str().map(str::len), Some(15 * 1024 * 1024));
    let before = process::resident(gw.pid);
    let failed = client.call_fails("oversize", json!({"bytes": 64 * 1024 * 1024})).await;
    assert_eq!(failed["data"]["code"], "limit_exceeded", "{failed}");
    let grown = process::resident(gw.pid).saturating_sub(before);
    assert!(grown < 48 * 1024 * 1024, "a line of 64 MiB grew the gateway by {grown} bytes");
    client.call("verbatim", json!({})).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_tenth_of_the_servers_broken_and_the_rest_served() {
    let mut catalog = Catalog::new();
    for n in 0..9 {
        catalog = catalog.fixture(&format!("good{n}"), &["server", "--stdio"]);
    }
    let gw = gateway()
        .catalog(catalog.fixture("broken", &["exit", "1"]))
        .arg("--enable-all-servers")
        .start()
        .await;
    for n in 0..9 {
        gw.ready([format!("good{n}").as_str()]).await;
    }
    let client = gw.legacy().await;
    assert_eq!(client.tool_names().await.len(), 9 * 17);
    gw.stop().await;
}

#[tokio::test]
async fn calls_in_flight_are_ended_by_a_drain() {
    let gw = gateway().catalog(wasmgate_tests::catalog::good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move {
            client.post(r#"{"jsonrpc":"2.0","id":50,"method":"tools/call","params":{"name":"progress","arguments":{"steps":2},"_meta":{"progressToken":1}}}"#).open().await
        })
    };
    let mut stream = soon("the first event", waiting).await.expect("no panic");
    assert!(stream.event().await.is_some());
    // The drain lets this call finish: it is released after the gateway has been told to stop.
    process::signal(gw.pid, rustix::process::Signal::TERM);
    soon("the port closing to new connections", async {
        while tokio::net::TcpStream::connect(gw.address()).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let ended = gw.ended().await;
    let rest = stream.rest().await.text();
    assert!(rest.contains("\"id\":50"), "the call got its one outcome: {rest}\n{}", ended.stderr);
}

#[tokio::test]
async fn a_second_signal_ends_it_now() {
    let gw = gateway().catalog(wasmgate_tests::catalog::good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .post(r#"{"jsonrpc":"2.0","id":50,"method":"tools/call","params":{"name":"slow"}}"#)
                .open()
                .await
                .rest()
                .await
        }
    });
    client.call("wait_started", json!({"count": 1})).await;
    process::signal(gw.pid, rustix::process::Signal::TERM);
    soon("the port closing to new connections", async {
        while tokio::net::TcpStream::connect(gw.address()).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    gw.stop().await;
    waiting.abort();
}

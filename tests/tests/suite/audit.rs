//! The audit log: every request with how it ended, in a chain that shows what was done to it.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture, good};
use wasmgate_tests::mcp::result;
use wasmgate_tests::{Running, gateway, invariants, soon};

/// The line of the newest request for this name.
async fn line(gw: &Running, name: &str) -> Value {
    line_with(gw, &json!({"name": name})).await
}

/// The newest line with these members.
async fn line_with(gw: &Running, wanted: &Value) -> Value {
    let wanted = wanted.as_object().expect("an object");
    soon(&format!("a line with {wanted:?}"), async {
        loop {
            let lines = invariants::audit(gw.home());
            let is_meant = |line: &Value| wanted.iter().all(|(name, value)| line[name] == *value);
            if let Some(line) = lines.into_iter().rev().find(is_meant) {
                return line;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn every_request_has_its_line_however_it_ends() {
    let catalog =
        Catalog::new().entry("raw", fixture(&["raw", "--stdio"])).fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["raw", "fx"]).start().await;
    gw.ready(["raw", "fx"]).await;
    let client = gw.legacy().await;
    client.call("fx__text", json!({"text": "never-in-the-log"})).await;
    client.call_fails("raw__own_error", json!({})).await;
    client.call_fails("raw__crash", json!({})).await;
    client.call_fails("nowhere__nothing", json!({})).await;
    client.call_fails("fx__text", json!({"text": "AKIAIOSFODNN7EXAMPL9"})).await;
    for (name, server, outcome, code) in [
        ("raw__own_error", json!("raw"), "failed", json!("server_error")),
        ("raw__crash", json!("raw"), "failed", json!("upstream_crashed")),
        ("nowhere__nothing", Value::Null, "denied", json!("unknown_tool")),
        ("fx__text", json!("fx"), "denied", json!("refused")),
    ] {
        let line = line_with(&gw, &json!({"name": name, "outcome": outcome})).await;
        assert_eq!((&line["server"], &line["code"]), (&server, &code), "{line}");
        assert_eq!(line["method"], "tools/call", "{line}");
        assert_eq!(line["principal"], "bearer", "{line}");
        assert!(line["session"].is_string() && line["request"].is_string(), "{line}");
    }
    let lines = invariants::audit(gw.home());
    let good = lines.iter().find(|line| line["name"] == "fx__text").expect("the first call");
    assert_eq!((&good["outcome"], &good["code"]), (&json!("ok"), &Value::Null), "{good}");
    let text = std::fs::read_to_string(gw.home().join(invariants::AUDIT)).expect("the log");
    assert!(!text.contains("never-in-the-log") && !text.contains("AKIA"), "contents are not logged");
    gw.stop().await;
}

#[tokio::test]
async fn nothing_is_served_unnoted_while_the_log_cannot_be_written() {
    let gw = gateway().catalog(Catalog::new().fixture("fx", &["server", "--stdio"])).start().await;
    gw.ready(["fx"]).await;
    let client = gw.legacy().await;
    client.call("text", json!({"text": "noted"})).await;
    // What is written while the file is moved has a new file made.
    line(&gw, "text").await;
    let log = gw.home().join(invariants::AUDIT);
    let kept = gw.home().join("kept.jsonl");
    std::fs::rename(&log, &kept).expect("moved away");
    std::fs::create_dir(&log).expect("nothing can be written in its place");
    let refused = soon("a refusal", async {
        loop {
            let answer =
                client.request("tools/call", json!({"name": "text", "arguments": {"text": "x"}})).await;
            if answer["error"].is_object() {
                return answer["error"].clone();
            }
        }
    });
    let refused = refused.await;
    assert_eq!(refused["data"]["code"], "not_serving", "{refused}");
    std::fs::remove_dir(&log).expect("room again");
    soon("a call that is noted again", async {
        while client.request("tools/call", json!({"name": "text", "arguments": {"text": "x"}})).await["error"]
            .is_object()
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let home = gw.home().to_owned();
    line(&gw, "text").await;
    let both =
        ["kept.jsonl", invariants::AUDIT].map(|name| home.join(name).to_str().expect("UTF-8").to_owned());
    let verified = wasmgate_tests::gateway::wasmgate(&["audit", "verify", &both[0], &both[1]], &[]).await;
    assert!(verified.status.success(), "{}", verified.stderr);
    gw.stop().await;
}

#[tokio::test]
async fn what_was_done_to_a_log_is_found() {
    let gw = gateway().catalog(Catalog::new().fixture("fx", &["server", "--stdio"])).start().await;
    gw.ready(["fx"]).await;
    let client = gw.legacy().await;
    for text in ["one", "two", "three"] {
        client.call("text", json!({"text": text})).await;
    }
    soon("a line for every call", async {
        while invariants::audit(gw.home()).iter().filter(|line| line["name"] == "text").count() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let text = std::fs::read_to_string(gw.home().join(invariants::AUDIT)).expect("the log");
    let changed = gw.home().join("changed.jsonl");
    let first = text.lines().next().expect("a line");
    std::fs::write(&changed, text.replacen(first, &first.replace("\"ok\"", "\"denied\""), 1))
        .expect("written");
    let path = changed.to_str().expect("UTF-8");
    let ended = wasmgate_tests::gateway::wasmgate(&["audit", "verify", path], &[]).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("line 2 does not follow"), "{}", ended.stderr);
    gw.stop().await;
}

#[tokio::test]
async fn who_is_not_let_in_is_noted_too() {
    let gw = gateway().catalog(Catalog::new().fixture("fx", &["server", "--stdio"])).start().await;
    gw.ready(["fx"]).await;
    assert_eq!(gw.get("/mcp").await.status, 401);
    let answer = gw.door("/mcp").ask("GET").header("origin", "https://evil.example").send().await;
    assert_eq!(answer.status, 403);
    for code in ["unauthenticated", "origin_refused"] {
        soon(code, async {
            while !invariants::audit(gw.home()).iter().any(|line| line["code"] == code) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    gw.stop().await;
}

#[tokio::test]
async fn whatever_is_asked_for_has_its_line() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.legacy().await;
    let waited_for = json!({"uri": "fixture://text"});
    result(client.request("resources/subscribe", waited_for.clone()).await);
    result(client.request("resources/unsubscribe", waited_for).await);
    result(gw.modern().request("server/discover", json!({})).await);
    let listen = json!({"notifications": {"toolsListChanged": true}});
    let listening = gw.modern().ask("subscriptions/listen", listen).open().await;
    for (method, server) in [
        ("initialize", Value::Null),
        ("resources/subscribe", json!("fx")),
        ("resources/unsubscribe", json!("fx")),
        ("server/discover", Value::Null),
        ("subscriptions/listen", Value::Null),
    ] {
        let line = line_with(&gw, &json!({"method": method})).await;
        assert_eq!((&line["outcome"], &line["server"]), (&json!("ok"), &server), "{line}");
        assert_eq!(line["principal"], "bearer", "{line}");
    }
    drop(listening);
    gw.stop().await;
}

#[tokio::test]
async fn what_is_asked_at_the_interceptors_door_has_its_line() {
    let door = "listen: {http: '127.0.0.1:0', interceptors: true}\n";
    let gw = gateway().catalog(good("fx")).config(door).start().await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"interceptors/list"}"#;
    assert_eq!(gw.door("/interceptors").post(list).send().await.status, 200);
    let line = line_with(&gw, &json!({"method": "interceptors/list"})).await;
    assert_eq!((&line["outcome"], &line["principal"]), (&json!("ok"), &json!("bearer")), "{line}");
    gw.stop().await;
}

#[tokio::test]
async fn a_known_client_that_is_refused_is_noted() {
    let limits = "limits: {inFlight: {perSession: 1}}\n";
    let gw = gateway().catalog(good("fx")).config(limits).start().await;
    gw.ready(["fx"]).await;
    let (client, other) = (gw.alone("fx").await, gw.alone("fx").await);
    let call = |id: u64, tool: &str| {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool}});
        client.post(body.to_string())
    };
    let held = tokio::spawn(call(101, "slow").send());
    other.call("wait_started", json!({"count": 1})).await;
    assert_eq!(call(101, "text").send().await.status, 400);
    assert_eq!(call(102, "text").send().await.status, 429);
    assert_eq!(call(103, "text").header("mcp-session-id", "guess").send().await.status, 404);
    assert_eq!(gw.door("/mcp").post("{").send().await.status, 400);
    let both = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    wasmgate_tests::http::bytes(gw.address(), both).await;
    for code in ["id_in_use", "limit_exceeded"] {
        let line = line_with(&gw, &json!({"code": code})).await;
        assert!(line["session"].is_string() && line["method"] == "tools/call", "{line}");
        assert_eq!((&line["principal"], &line["outcome"]), (&json!("bearer"), &json!("denied")), "{line}");
    }
    let unknown = line_with(&gw, &json!({"code": "session_unknown"})).await;
    assert_eq!((&unknown["principal"], &unknown["method"]), (&json!("bearer"), &json!("tools/call")));
    assert_eq!(line_with(&gw, &json!({"code": "unreadable"})).await["principal"], "bearer");
    assert_eq!(line_with(&gw, &json!({"code": "ambiguous_length"})).await["principal"], Value::Null);
    client.notify("notifications/cancelled", json!({"requestId": 101})).await;
    soon("the end of a cancelled call", held).await.expect("no panic");
    gw.stop().await;
}

#[tokio::test]
async fn secrets_in_uris_are_not_in_the_log() {
    const SECRET: &str = "seeded-7f3a9c";
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.legacy().await;
    let uri = format!("https://user:{SECRET}@files.example/report?token={SECRET}#{SECRET}");
    for method in ["resources/read", "resources/subscribe"] {
        client.request(method, json!({"uri": uri})).await;
        let line = line_with(&gw, &json!({"method": method})).await;
        assert_eq!(line["name"], "https://files.example/report", "{line}");
    }
    let text = std::fs::read_to_string(gw.home().join(invariants::AUDIT)).expect("the log");
    assert!(!text.contains(SECRET), "{text}");
    gw.stop().await;
}

#[tokio::test]
async fn two_gateways_do_not_share_a_log() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let log = gw.home().join(invariants::AUDIT);
    let config = gw.home().join("second.yaml");
    std::fs::write(&config, "audit: {file: audit.jsonl}\n").expect("written");
    let (log, config) = (log.to_str().expect("UTF-8"), config.to_str().expect("UTF-8"));
    let run = ["run", "--config", config, "--port", "0"];
    let second = wasmgate_tests::gateway::wasmgate(&run, &[]).await;
    assert!(
        !second.status.success() && second.stderr.contains("another process writes"),
        "{}",
        second.stderr
    );
    assert!(second.stderr.contains(log), "{}", second.stderr);
    let call = ["tools", "call", "anything", "--config", config];
    let called = wasmgate_tests::gateway::wasmgate(&call, &[]).await;
    assert!(called.stderr.contains("another process writes"), "{}", called.stderr);
    // Who only looks leaves it alone.
    let looks = wasmgate_tests::gateway::wasmgate(&["tools", "ls", "--config", config], &[]).await;
    assert!(looks.status.success(), "{}", looks.stderr);
    gw.stop().await;
}

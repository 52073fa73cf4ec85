//! The audit log: every request with how it ended, in a chain that shows what was done to it.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture};
use wasmgate_tests::{Running, gateway, invariants, soon};

/// The line of the newest request for this name.
async fn line(gw: &Running, name: &str) -> Value {
    soon(&format!("a line about {name}"), async {
        loop {
            let lines = invariants::audit(gw.home());
            if let Some(line) = lines.into_iter().rev().find(|line| line["name"] == name) {
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
        let line = line(&gw, name).await;
        assert_eq!((&line["server"], &line["code"]), (&server, &code), "{line}");
        assert_eq!((&line["outcome"], &line["method"]), (&json!(outcome), &json!("tools/call")), "{line}");
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
    // What the next file begins with is checked above; the harness expects it to begin at 0.
    std::fs::remove_file(&log).expect("removed");
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

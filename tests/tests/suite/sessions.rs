//! Legacy sessions: gateways that share a key go on with each other's, and clients that never open one are served where it
//! makes no difference.

use serde_json::{Value, json};
use wasmgate_tests::catalog::good;
use wasmgate_tests::gateway::Running;
use wasmgate_tests::mcp::{self, Door, error, names, parsed, result};
use wasmgate_tests::{Legacy, gateway};

const OLD: &str = "an-old-key-that-nobody-can-guess-0123456789";
const NEW: &str = "a-new-key-that-nobody-can-guess-0123456789a";

/// A gateway with these sealing keys, the first of which seals.
async fn with_keys(keys: &[&str]) -> Running {
    let config = format!("pageSize: 5\nsealing: {{keys: [{}]}}\n", keys.join(", "));
    let gw = gateway().catalog(good("fx")).config(&config);
    let gw = gw.env("WASMGATE_SECRET_OLD", OLD).env("WASMGATE_SECRET_NEW", NEW).start().await;
    gw.ready(["fx"]).await;
    gw
}

/// The same session, asked of another gateway.
fn moved(client: &Legacy, gw: &Running) -> Legacy {
    client.at(gw.door(&client.door.path))
}

#[tokio::test]
async fn gateways_with_the_same_key_go_on_with_each_others_sessions_and_cursors() {
    let (one, two, other) = (with_keys(&["old"]).await, with_keys(&["old"]).await, with_keys(&["new"]).await);
    let rotated = with_keys(&["new", "old"]).await;
    let client = Legacy::connect(one.door("/mcp"), "2025-06-18").await;
    let id = client.session.clone().expect("an id");
    assert!(id.len() <= 1024 && id.bytes().all(|b| b.is_ascii_graphic()), "{id}");
    let first = result(client.request("tools/list", json!({})).await);
    let cursor = json!({"cursor": first["nextCursor"]});
    let expected = result(client.request("tools/list", cursor.clone()).await);

    for gw in [&two, &rotated] {
        let there = moved(&client, gw);
        assert_eq!(there.call("text", json!({"text": "hi"})).await["content"][0]["text"], "hi");
        let next = result(there.request("tools/list", cursor.clone()).await);
        assert_eq!(names(next["tools"].as_array().unwrap()), names(expected["tools"].as_array().unwrap()));
    }
    let refused = moved(&client, &other).post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).send().await;
    assert_eq!(refused.status, 404, "another key: {}", refused.text());
    let own = other.legacy().await;
    assert_eq!(error(own.request("tools/list", cursor).await)["code"], -32602);
    // What is sealed anew is sealed with the first key.
    let fresh = rotated.legacy().await;
    assert_eq!(result(moved(&fresh, &other).request("ping", json!({})).await), json!({}));
    let elsewhere = client.at(two.door("/servers/fx/mcp"));
    assert_eq!(elsewhere.notify("notifications/initialized", json!({})).await.status, 404, "another path");
    for gw in [one, two, other, rotated] {
        gw.stop().await;
    }
}

#[tokio::test]
async fn a_session_outlives_the_gateway_and_ends_with_delete() {
    let first = with_keys(&["old"]).await;
    let client = first.legacy().await;
    first.stop().await;
    let second = with_keys(&["old"]).await;
    let there = moved(&client, &second);
    assert_eq!(there.call("text", json!({"text": "again"})).await["content"][0]["text"], "again");
    let mut news = there.dress(there.door.ask("GET")).open().await;
    assert_eq!(news.status, 200);
    // It cannot know what has changed: it is told that everything has.
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(parsed(&news.event().await.expect("news"))["method"].clone());
    }
    assert!(told.contains(&json!("notifications/tools/list_changed")), "{told:?}");
    drop(news);
    assert_eq!(there.dress(there.door.ask("DELETE")).send().await.status, 200);
    for method in ["GET", "DELETE"] {
        assert_eq!(there.dress(there.door.ask(method)).send().await.status, 404, "{method}");
    }
    assert_eq!(there.notify("notifications/initialized", json!({})).await.status, 404);
    second.stop().await;
}

#[tokio::test]
async fn what_needs_no_session_is_served_without_one() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let door = gw.door("/servers/fx/mcp");
    let ask = |door: &Door, version: Option<&str>, method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let ask = door.post(body.to_string());
        version.map_or(ask.clone(), |version| ask.header("mcp-protocol-version", version))
    };
    for version in [None, Some("2025-03-26"), Some("2025-11-25")] {
        for (method, params) in [
            ("ping", json!({})),
            ("tools/list", json!({})),
            ("prompts/list", json!({})),
            ("resources/list", json!({})),
            ("resources/templates/list", json!({})),
            ("tools/call", json!({"name": "text", "arguments": {}})),
            ("prompts/get", json!({"name": "greet", "arguments": {"who": "Ada"}})),
            ("resources/read", json!({"uri": "fixture://text"})),
        ] {
            let answer = ask(&door, version, method, params).send().await;
            assert_eq!(answer.status, 200, "{method} in {version:?}: {}", answer.text());
            assert!(answer.header("mcp-session-id").is_none());
            let result = result(mcp::only(&answer));
            assert!(result.get("resultType").is_none(), "{result}");
        }
        for method in ["logging/setLevel", "resources/subscribe", "resources/unsubscribe", "no/such/method"] {
            let answer =
                ask(&door, version, method, json!({"level": "info", "uri": "fixture://text"})).send().await;
            assert_eq!(answer.status, 400, "{method} in {version:?}: {}", answer.text());
            assert_eq!(mcp::only(&answer)["error"]["data"]["code"], "session_required");
        }
    }
    let get = door.ask("GET").send().await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, Some("POST")));
    // Its stream has no ids: nobody could come back to it.
    let params = json!({"name": "progress", "arguments": {"steps": 1}, "_meta": {"progressToken": 1}});
    let mut stream = ask(&door, Some("2025-11-25"), "tools/call", params).open().await;
    while let Some(event) = stream.sse().await {
        assert!(event.id.is_none() && !event.data.is_empty(), "{event:?}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_key_that_is_missing_or_guessable_is_refused_at_the_start() {
    for (keys, message) in
        [("weak", "the sealing key `weak` is too short"), ("gone", "the secret `gone` was not found")]
    {
        let gw = gateway().catalog(good("fx")).config(&format!("sealing: {{keys: [{keys}]}}\n"));
        let ended = gw.env("WASMGATE_SECRET_WEAK", "hunter2hunter2").run_to_end().await;
        assert!(!ended.status.success() && ended.stderr.contains(message), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

//! Servers of both eras over both transports: what they say outside calls reaches clients in the same way.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture, raw};
use wasmgate_tests::mcp::{names, result};
use wasmgate_tests::{Legacy, Running, gateway, remote, soon};

/// The well-behaved server, spoken to as one of this era.
fn program(protocol: &str) -> Value {
    let mut entry = fixture(&["server", "--stdio"]);
    entry["protocol"] = protocol.into();
    entry
}

/// What the client is told of a resource that changes.
async fn told(client: &Legacy, uri: &str) -> String {
    let mut stream = client.dress(client.door.ask("GET")).open().await;
    assert_eq!(stream.status, 200);
    client.call("touch", json!({"uri": uri})).await;
    loop {
        let event = soon("a notification", stream.event()).await.expect("a stream that stays open");
        if event.contains("notifications/resources/updated") {
            return event;
        }
    }
}

/// A client with this server alone is told of a resource it waits for, and of a tool that was not there before.
async fn changes_reach_a_client(gw: &Running, protocol: &str) {
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    result(client.request("resources/subscribe", json!({"uri": "fixture://text"})).await);
    let subscribed = client.call("subscribed", json!({})).await;
    assert_eq!(subscribed["content"][0]["text"], "fixture://text", "{protocol}");
    let event = told(&client, "fixture://text").await;
    assert!(event.contains("fixture://text") && !event.contains("subscriptionId"), "{protocol}: {event}");
    client.call("grow", json!({"name": "fresh"})).await;
    let fresh =
        async { while !names(&client.list("tools/list", "tools").await.0).contains(&"fresh".to_owned()) {} };
    soon("the new tool being listed", fresh).await;
    result(client.request("resources/unsubscribe", json!({"uri": "fixture://text"})).await);
    let nobody = async { while client.call("subscribed", json!({})).await["content"][0]["text"] != "" {} };
    soon("the server no longer being asked", nobody).await;
}

#[tokio::test]
async fn changes_reach_clients_from_programs_of_both_eras() {
    for protocol in ["legacy", "modern", "auto"] {
        let gw = gateway().catalog(Catalog::new().entry("fx", program(protocol))).start().await;
        changes_reach_a_client(&gw, protocol).await;
        gw.stop().await;
    }
}

#[tokio::test]
async fn changes_reach_clients_from_remotes_of_both_eras() {
    for protocol in ["legacy", "modern", "auto"] {
        let fixture = remote::fixture(&["server", "--http"]).await;
        let url = fixture.url("/mcp");
        let entry = json!({"type": "remote", "protocol": protocol, "remote": {"url": url}});
        let gw = gateway().catalog(Catalog::new().entry("fx", entry)).start().await;
        changes_reach_a_client(&gw, protocol).await;
        gw.stop().await;
    }
}

#[tokio::test]
async fn what_a_server_does_not_agree_to_is_refused_to_who_asks() {
    let gw = gateway().catalog(Catalog::new().entry("fx", program("modern"))).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let refused = client.request("resources/subscribe", json!({"uri": "other://text"})).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert!(refused["error"]["message"].as_str().is_some_and(|why| why.contains("agree")), "{refused}");
    gw.stop().await;
}

#[tokio::test]
async fn what_is_found_out_of_a_program_is_kept() {
    let gw = gateway().catalog(raw("old")).start().await;
    gw.ready(["old"]).await;
    let kept = std::fs::read_to_string(gw.home().join(".local/share/wasmgate/eras.json"));
    assert!(kept.as_ref().is_ok_and(|eras| eras.contains("\"legacy\"")), "{kept:?}");
    gw.stop().await;
}

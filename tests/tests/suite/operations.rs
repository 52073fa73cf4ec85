//! Operations besides calls and lists: subscriptions to resources, and what is refused.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::mcp::{parsed, result};
use wasmgate_tests::{Legacy, Modern, Running, gateway, soon};

/// The stream a session is told things on; once it is there, `resources/updated` comes down it.
async fn hears(client: &Legacy, uri: &str) {
    let mut stream = client.dress(client.door.ask("GET")).open().await;
    assert_eq!(stream.status, 200);
    assert_eq!(client.call("touch", json!({"uri": uri})).await["content"][0]["text"], "touched");
    loop {
        let event = soon("a change of a resource", stream.event()).await.expect("a stream that stays open");
        if event.contains("notifications/resources/updated") {
            assert!(event.contains(uri), "{event}");
            return;
        }
    }
}

#[tokio::test]
async fn a_session_is_told_of_the_resources_it_waits_for() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let (one, other) = (gw.alone("fx").await, gw.alone("fx").await);
    assert_eq!(one.initialized["capabilities"]["resources"]["subscribe"], true);
    for client in [&one, &other] {
        result(client.request("resources/subscribe", json!({"uri": "fixture://text"})).await);
    }
    let subscribed = one.call("subscribed", json!({})).await;
    assert_eq!(subscribed["content"][0]["text"], "fixture://text", "the server is asked once");
    hears(&one, "fixture://text").await;
    hears(&other, "fixture://text").await;
    result(one.request("resources/unsubscribe", json!({"uri": "fixture://text"})).await);
    hears(&other, "fixture://text").await;
    result(other.request("resources/unsubscribe", json!({"uri": "fixture://text"})).await);
    gw.stop().await;
}

async fn line(gw: &Running, what: &str) -> Value {
    parsed(&gw.stdout.line(what, |line| line.contains(what)).await)
}

#[tokio::test]
async fn changes_come_over_stdio_under_public_uris() {
    let catalog =
        Catalog::new().fixture("beta", &["server", "--stdio"]).fixture("alpha", &["server", "--stdio"]);
    let mut gw = gateway().catalog(catalog).transport("stdio").start().await;
    gw.say(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#)
        .await;
    line(&gw, r#""id":0"#).await;
    // A call waits for the server to be up.
    for (id, server) in [(1, "alpha"), (2, "beta")] {
        gw.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{server}__text"}}}}"#
        ))
        .await;
        line(&gw, &format!(r#""id":{id}"#)).await;
    }
    let listed = soon("both servers' resources", async {
        for id in 100.. {
            gw.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/list"}}"#)).await;
            let list = line(&gw, &format!(r#""id":{id}"#)).await;
            if list["result"]["resources"].as_array().is_some_and(|all| all.len() == 10) {
                return list;
            }
        }
        Value::Null
    })
    .await;
    let public = listed["result"]["resources"][5]["uri"].as_str().expect("a URI").to_owned();
    assert!(public.starts_with("wasmgate://"), "the second server's is made unique: {public}");
    gw.say(&format!(
        r#"{{"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{{"uri":"{public}"}}}}"#
    ))
    .await;
    assert_eq!(line(&gw, r#""id":3"#).await["result"], json!({}));
    gw.say(r#"{"jsonrpc":"2.0","id":4,"method":"resources/subscribe","params":{"uri":"nobody://knows"}}"#)
        .await;
    assert_eq!(line(&gw, r#""id":4"#).await["error"]["code"], -32002);
    gw.stop().await;
}

#[tokio::test]
async fn a_modern_client_listens_on_a_request_of_its_own() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let (alone, caller) = (Modern::new(gw.door("/servers/fx/mcp")), gw.alone("fx").await);
    let wishes = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["fixture://text", "nobody://knows"]}});
    let mut stream = alone.ask("subscriptions/listen", wishes).open().await;
    let granted = stream.event().await.expect("an acknowledgement");
    assert!(granted.contains("notifications/subscriptions/acknowledged"), "{granted}");
    assert!(granted.contains(r#""resourceSubscriptions":["fixture://text""#), "{granted}");
    caller.call("touch", json!({"uri": "fixture://text"})).await;
    let told = stream.event().await.expect("a change");
    assert!(told.contains("notifications/resources/updated") && told.contains("subscriptionId"), "{told}");
    drop(stream);
    gw.stop().await;
}

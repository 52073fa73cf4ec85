//! Clients that do not wait for the answer (F34): they cancel, close the stream, close the connection, or end. What they
//! asked ends at the server, too, and its place is free for others.
//!
//! Before 2026-07-28 a closed connection is no cancellation ("Disconnection SHOULD NOT be interpreted as the client
//! cancelling its request", 2025-11-25 basic/transports): such a call goes on, and its client may come back for it.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture};
use wasmgate_tests::gateway::Running;
use wasmgate_tests::mcp::{error, parsed};
use wasmgate_tests::{Legacy, Modern, docker, gateway, remote, require, soon};

const SLOW: &str = r#"{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"slow"}}"#;

/// A server that works on so many calls at once, and says nothing until it is told to; over a pipe.
async fn with_places(places: usize) -> Running {
    let mut entry = fixture(&["server", "--stdio"]);
    entry["maxInFlight"] = places.into();
    let gw = gateway().catalog(Catalog::new().entry("fx", entry)).arg("--enable-all-servers").start().await;
    gw.ready(["fx"]).await;
    gw
}

/// The server has heard of so many cancellations.
async fn heard(client: &Legacy, count: u64) {
    let heard = client.call("wait_cancelled", json!({"count": count})).await;
    assert_eq!(heard["content"][0]["text"], count.to_string());
}

/// A slow call of a session that has begun at the server.
async fn begun(client: &Legacy, count: u64) -> tokio::task::JoinHandle<wasmgate_tests::http::Answer> {
    let call = tokio::spawn(client.post(SLOW).send());
    client.call("wait_started", json!({"count": count})).await;
    call
}

async fn cancel(client: &Legacy, id: impl Into<Value>) {
    let noted = client.notify("notifications/cancelled", json!({"requestId": id.into()})).await;
    assert_eq!(noted.status, 202, "{}", noted.text());
}

#[tokio::test]
async fn f34_a_call_is_cancelled_and_its_place_is_free() {
    let gw = with_places(2).await;
    let client = gw.legacy().await;
    for round in 1..=5 {
        // With one place taken for good only one would be left, and this could not both begin and be seen.
        let call = begun(&client, round).await;
        cancel(&client, "slow").await;
        heard(&client, round).await;
        let answer = soon("the end of the stream", call).await.expect("no panic");
        assert!(answer.messages().is_empty(), "who cancels gets no answer: {}", answer.text());
    }
    gw.stop().await;
}

#[tokio::test]
async fn f34_a_modern_client_closes_the_connection() {
    let gw = with_places(2).await;
    let (client, modern) = (gw.legacy().await, gw.modern());
    for round in 1..=5 {
        let call = tokio::spawn(modern.ask("tools/call", json!({"name": "slow"})).send());
        client.call("wait_started", json!({"count": round})).await;
        call.abort();
        heard(&client, round).await;
    }
    gw.stop().await;
}

#[tokio::test]
async fn f34_a_modern_client_closes_the_stream_of_its_answer() {
    let gw = with_places(2).await;
    let (client, modern) = (gw.legacy().await, gw.modern());
    let params = json!({"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": 1}});
    for _ in 0..5 {
        let mut stream = modern.ask("tools/call", params.clone()).open().await;
        assert!(stream.event().await.is_some(), "it has begun");
        drop(stream);
    }
    // Five calls of which each would hold one of two places.
    for text in ["a", "b", "c"] {
        assert_eq!(client.call("text", json!({"text": text})).await["content"][0]["text"], text);
    }
    gw.stop().await;
}

#[tokio::test]
async fn f34_a_legacy_client_closes_the_connection_and_comes_back_or_ends() {
    let gw = with_places(2).await;
    let client = gw.legacy().await;
    let gone = begun(&client, 1).await;
    gone.abort();
    // It goes on: its id is taken.
    let again = client.post(r#"{"jsonrpc":"2.0","id":"slow","method":"ping"}"#).send().await;
    assert_eq!(parsed(&again.text())["error"]["data"]["code"], "id_in_use", "{}", again.text());
    // Until somebody says so, in whichever way.
    cancel(&client, "slow").await;
    heard(&client, 1).await;
    let other = gw.legacy().await;
    begun(&other, 2).await.abort();
    assert_eq!(other.dress(other.door.ask("DELETE")).send().await.status, 200);
    heard(&client, 2).await;
    gw.stop().await;
}

#[tokio::test]
async fn f34_the_stream_of_an_old_client_breaks() {
    let gw = with_places(2).await;
    let watching = gw.legacy().await;
    let mut stream = gw.door("/sse").ask("GET").open().await;
    let path = stream.event().await.expect("the endpoint");
    let post = |body: String| gw.door(&path).post(body).send();
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    assert_eq!(post(hello.to_string()).await.status, 202);
    assert_eq!(post(SLOW.to_owned()).await.status, 202);
    watching.call("wait_started", json!({"count": 1})).await;
    drop(stream);
    heard(&watching, 1).await;
    assert_eq!(post(SLOW.to_owned()).await.status, 404, "the stream was the session");
    gw.stop().await;
}

#[tokio::test]
async fn f34_a_client_on_a_pipe_cancels_and_then_ends() {
    let mut entry = fixture(&["server", "--stdio"]);
    entry["maxInFlight"] = 2.into();
    let mut gw = gateway().catalog(Catalog::new().entry("fx", entry)).transport("stdio").start().await;
    let call = |id: u64, name: &str, count: u64| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": {"count": count}}}).to_string()
    };
    gw.say(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#).await;
    for round in 1..=3 {
        gw.say(&call(round * 10, "slow", 0)).await;
        gw.say(&call(round * 10 + 1, "wait_started", round)).await;
        gw.stdout.line("the call has begun", |line| parsed(line)["id"] == round * 10 + 1).await;
        gw.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": round * 10}}).to_string()).await;
        gw.say(&call(round * 10 + 2, "wait_cancelled", round)).await;
        let line = gw.stdout.line("the server has heard", |line| parsed(line)["id"] == round * 10 + 2).await;
        assert_eq!(parsed(&line)["result"]["content"][0]["text"], round.to_string());
    }
    gw.say(&call(90, "slow", 0)).await;
    gw.say(&call(91, "wait_started", 4)).await;
    gw.stdout.line("the call has begun", |line| parsed(line)["id"] == 91).await;
    gw.hang_up();
    // The call is not waited for beyond a few seconds, and nothing is left of the server.
    let ended = gw.ended().await;
    let answered = |id: u64| ended.stdout.lines().filter(|line| parsed(line)["id"] == id).count();
    assert_eq!([10, 20, 30].map(answered), [0, 0, 0], "who cancels gets no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_a_call_to_a_container_is_cancelled() {
    require!(docker::scratch().await);
    let name = "box-cancelled";
    let entry = json!({"type": "server", "image": docker::SCRATCH, "pull": "never", "command": ["server", "--stdio"], "maxInFlight": 2});
    let gw = gateway().catalog(Catalog::new().entry(name, entry)).start().await.with_container(name);
    gw.ready([name]).await;
    let client = gw.alone(name).await;
    let modern = Modern::new(gw.door(&format!("/servers/{name}/mcp")));
    for round in 1..=4 {
        let gone = if round % 2 == 0 {
            tokio::spawn(modern.ask("tools/call", json!({"name": "slow"})).send())
        } else {
            let slow = r#"{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"slow"}}"#;
            tokio::spawn(client.post(slow).send())
        };
        client.call("wait_started", json!({"count": round})).await;
        if round % 2 == 0 {
            gone.abort();
        } else {
            cancel(&client, "slow").await;
        }
        let heard = client.call("wait_cancelled", json!({"count": round})).await;
        assert_eq!(heard["content"][0]["text"], round.to_string());
    }
    gw.stop().await;
}

#[tokio::test]
async fn f34_a_call_to_a_remote_is_cancelled() {
    let server = remote::fixture(&["server", "--http"]).await;
    for protocol in ["legacy", "modern"] {
        let mut entry = json!({"type": "remote", "remote": {"url": server.url("/mcp"), "transport_type": "streamable-http"}});
        entry["protocol"] = protocol.into();
        let gw = gateway().catalog(Catalog::new().entry("fx", entry)).start().await;
        gw.ready(["fx"]).await;
        let client = gw.alone("fx").await;
        // Another gateway was here before: counts go on.
        let before = client.call("wait_cancelled", json!({"count": 0})).await["content"][0]["text"].clone();
        let before: u64 = before.as_str().and_then(|text| text.parse().ok()).expect("a number");
        let call = tokio::spawn(
            client
                .post(r#"{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"slow"}}"#)
                .send(),
        );
        client.call("wait_started", json!({"count": before + 1})).await;
        cancel(&client, "slow").await;
        let heard = client.call("wait_cancelled", json!({"count": before + 1})).await;
        assert_eq!(heard["content"][0]["text"], (before + 1).to_string(), "{protocol}");
        soon("the end of the call", call).await.expect("no panic");
        gw.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_a_cancellation_and_the_answer_pass_each_other() {
    let gw = with_places(4).await;
    let client = gw.legacy().await;
    let mut answered = 0;
    for round in 0..100 {
        let body = json!({"jsonrpc": "2.0", "id": round, "method": "tools/call", "params": {"name": "text", "arguments": {"text": "x"}}});
        let call = client.post(body.to_string()).send();
        let (answer, ()) = tokio::join!(call, cancel(&client, round));
        let messages = answer.messages();
        assert!(messages.len() <= 1, "one outcome at most: {messages:?}");
        answered += messages.iter().filter(|text| parsed(text)["result"].is_object()).count();
        assert!(messages.iter().all(|text| parsed(text)["id"] == round), "{messages:?}");
    }
    // After all of them every place is free, and an id can be used again.
    assert!(answered <= 100);
    for id in ["a", "b", "c", "d", "e"] {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "text", "arguments": {"text": id}}});
        let answer = client.post(body.to_string()).send().await;
        assert_eq!(parsed(&answer.messages()[0])["result"]["content"][0]["text"], id);
    }
    let unknown = error(client.request("tools/call", json!({"name": "no_such_tool"})).await);
    assert_eq!(unknown["code"], -32602);
    gw.stop().await;
}

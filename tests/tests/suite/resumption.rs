//! Streams of legacy clients that break: what was said meanwhile is told when the client comes back, and calls go on.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::http::{Head, Sse};
use wasmgate_tests::mcp::{self, parsed, result};
use wasmgate_tests::{Legacy, gateway, remote};

/// A call that says `step 1`, and goes on whenever `release` is called.
async fn steps(client: &Legacy, steps: u64) -> Head {
    let params =
        json!({"name": "progress", "arguments": {"steps": steps}, "_meta": {"progressToken": "mine"}});
    let (_, head) = client.open("tools/call", params).await;
    assert_eq!(head.headers["content-type"], "text/event-stream");
    head
}

async fn come_back(client: &Legacy, id: &str) -> Head {
    client.dress(client.door.ask("GET")).header("last-event-id", id).open().await
}

async fn next(head: &mut Head) -> Sse {
    head.sse().await.expect("an event")
}

fn message(event: &Sse) -> Value {
    parsed(&event.data)["params"]["message"].clone()
}

#[tokio::test]
async fn a_call_whose_stream_broke_is_gone_on_with() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let mut broken = steps(&client, 3).await;
    let primer = next(&mut broken).await;
    assert_eq!(
        (primer.data.as_str(), primer.retry.as_deref()),
        ("", Some("1000")),
        "before anything is said"
    );
    let first = next(&mut broken).await;
    assert_eq!(message(&first), "step 1");
    drop(broken);
    // Nobody listens, and the call goes on.
    for _ in 0..2 {
        client.call("release", json!({})).await;
    }
    let arrived = first.id.expect("an id");
    let mut again = come_back(&client, &arrived).await;
    assert_eq!((again.status.as_u16(), message(&next(&mut again).await)), (200, json!("step 2")));
    assert_eq!(message(&next(&mut again).await), "step 3");
    let answer = next(&mut again).await;
    assert_eq!(parsed(&answer.data)["result"]["content"][0]["text"], "done");
    assert!(again.sse().await.is_none(), "the stream ends with its answer");

    // Everything again from its beginning, although it is over.
    let all = come_back(&client, &primer.id.expect("an id")).await.rest().await;
    assert_eq!(all.messages().len(), 4, "{}", all.text());
    assert_eq!(come_back(&client, &answer.id.expect("an id")).await.rest().await.messages().len(), 0);
    gw.stop().await;
}

#[tokio::test]
async fn a_call_that_says_nothing_can_be_come_back_to_and_cancelled() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    // Its stream is opened although there is nothing to say.
    let (id, mut silent) = client.open("tools/call", json!({"name": "slow", "arguments": {}})).await;
    let primer = next(&mut silent).await;
    assert_eq!(primer.data, "");
    assert_eq!(silent.headers["content-type"], "text/event-stream");
    drop(silent);
    client.call("wait_started", json!({"count": 1})).await;
    let mut again = come_back(&client, &primer.id.expect("an id")).await;
    client.notify("notifications/cancelled", json!({"requestId": id})).await;
    assert!(again.sse().await.is_none(), "who cancels gets no answer");
    assert_eq!(client.call("wait_cancelled", json!({"count": 1})).await["content"][0]["text"], "1");
    gw.stop().await;
}

#[tokio::test]
async fn the_newest_connection_has_the_stream() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let mut first = steps(&client, 2).await;
    let primer = next(&mut first).await.id.expect("an id");
    assert_eq!(message(&next(&mut first).await), "step 1");
    let mut second = come_back(&client, &primer).await;
    assert!(first.sse().await.is_none(), "the first has it no more");
    let mut third = come_back(&client, &primer).await;
    assert_eq!(message(&next(&mut third).await), "step 1");
    client.call("release", json!({})).await;
    assert_eq!(message(&next(&mut third).await), "step 2");
    assert_eq!(parsed(&next(&mut third).await.data)["result"]["content"][0]["text"], "done");
    while let Some(event) = second.sse().await {
        assert_eq!(message(&event), "step 1", "and neither has the second");
    }
    gw.stop().await;
}

#[tokio::test]
async fn only_ids_of_the_sessions_own_events_are_known() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let (mine, other) = (gw.alone("fx").await, gw.alone("fx").await);
    let mut stream = steps(&mine, 2).await;
    let id = next(&mut stream).await.id.expect("an id");
    let end = format!("{}-99", id.rsplit_once('-').expect("parts").0);
    for (client, id) in [(&mine, "1"), (&mine, ""), (&mine, end.as_str()), (&other, id.as_str())] {
        let answer = come_back(client, id).await.rest().await;
        assert_eq!(answer.status, 400, "{id}: {}", answer.text());
        assert_eq!(mcp::only(&answer)["error"]["data"]["code"], "event_unknown");
    }
    mine.call("release", json!({})).await;
    drop(stream);
    gw.stop().await;
}

#[tokio::test]
async fn empty_events_are_for_clients_that_know_them_and_modern_clients_get_no_ids() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    for version in ["2025-03-26", "2025-06-18"] {
        let old = Legacy::connect(gw.door("/servers/fx/mcp"), version).await;
        let mut stream = steps(&old, 1).await;
        let first = next(&mut stream).await;
        assert_eq!(message(&first), "step 1", "{version}: no empty event");
        assert!(first.id.is_some() && first.retry.is_some(), "{first:?}");
    }
    let params = json!({"name": "fx__progress", "arguments": {"steps": 1}, "_meta": {"progressToken": 1}});
    let mut stream = gw.modern().ask("tools/call", params).open().await;
    while let Some(event) = stream.sse().await {
        assert!(event.id.is_none() && event.retry.is_none() && !event.data.is_empty(), "{event:?}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn news_wait_for_a_client_that_comes_back() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    for uri in ["fixture://text", "fixture://blob"] {
        result(client.request("resources/subscribe", json!({"uri": uri})).await);
    }
    let mut news = client.dress(client.door.ask("GET")).open().await;
    let primer = next(&mut news).await;
    assert_eq!(primer.data, "");
    drop(news);
    let uris = |event: &Sse| parsed(&event.data)["params"]["uri"].clone();
    client.call("touch", json!({"uri": "fixture://text"})).await;
    let mut again = come_back(&client, &primer.id.expect("an id")).await;
    // Changed lists may be told of, too: the client was not there from the beginning.
    let mut event = next(&mut again).await;
    while uris(&event) != "fixture://text" {
        event = next(&mut again).await;
    }
    client.call("touch", json!({"uri": "fixture://blob"})).await;
    let mut event = next(&mut again).await;
    while uris(&event) != "fixture://blob" {
        event = next(&mut again).await;
    }
    // What is not kept any more begins anew: news have no end that one could miss.
    let elsewhere = "00000000-n1-0";
    let mut anew = come_back(&client, elsewhere).await;
    assert_eq!((anew.status.as_u16(), next(&mut anew).await.data.as_str()), (200, ""));
    gw.stop().await;
}

#[tokio::test]
async fn a_question_waits_for_a_client_that_comes_back() {
    let server = remote::fixture(&["asker", "--http"]).await;
    let gw =
        gateway().catalog(Catalog::new().remote("fx", &server.url("/mcp"), "streamable-http")).start().await;
    gw.ready(["fx"]).await;
    let door = gw.door("/servers/fx/mcp");
    let client = Legacy::able(door, mcp::LEGACY, json!({"elicitation": {"form": {}}})).await;
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let form = json!({"method": "elicitation/create", "params": {"mode": "form", "message": "Who?", "requestedSchema": schema}});
    let arguments = json!({"questions": [form, form]});
    let (_, mut broken) = client.open("tools/call", json!({"name": "ask", "arguments": arguments})).await;
    let primer = next(&mut broken).await.id.expect("an id");
    drop(broken);
    // The first question comes again, and is the same one.
    let mut again = come_back(&client, &primer).await;
    let first = next(&mut again).await;
    drop(again);
    let mut again = come_back(&client, &primer).await;
    let repeated = next(&mut again).await;
    assert_eq!((&repeated.data, &repeated.id), (&first.data, &first.id));
    let yes = || Ok(json!({"action": "accept", "content": {"name": "Ada"}}));
    client.answer(&parsed(&first.data)["id"], yes()).await;
    let second = next(&mut again).await;
    assert_eq!(parsed(&second.data)["method"], "elicitation/create");
    client.answer(&parsed(&second.data)["id"], yes()).await;
    let answer = parsed(&next(&mut again).await.data)["result"]["structuredContent"].clone();
    assert_eq!(answer["answers"].as_array().map(Vec::len), Some(2), "{answer}");
    assert_eq!(answer["begun"], 1, "the tool ran once");
    gw.stop().await;
}

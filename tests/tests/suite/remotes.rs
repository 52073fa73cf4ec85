//! Servers that are somebody else's: streamable HTTP in both eras, the old HTTP+SSE, headers, and addresses.

use serde_json::json;
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::mcp::names;
use wasmgate_tests::{gateway, remote};

#[tokio::test]
async fn a_remote_works_over_every_transport() {
    let modern = remote::fixture(&["server", "--http"]).await;
    let legacy = remote::fixture(&["raw", "--http"]).await;
    let sse = remote::fixture(&["raw", "--sse"]).await;
    let catalog = Catalog::new()
        .remote("modern", &modern.url("/mcp"), "streamable-http")
        .remote("legacy", &legacy.url("/mcp"), "streamable-http")
        .remote("sse", &sse.url("/sse"), "sse");
    let gw = gateway().catalog(catalog).servers(["modern", "legacy", "sse"]).start().await;
    gw.ready(["modern", "legacy", "sse"]).await;
    let client = gw.legacy().await;
    let listed = names(&client.list("tools/list", "tools").await.0);
    assert_eq!(listed.len(), 17 + 14 + 14, "{listed:?}");
    assert_eq!(client.call("modern__echo", json!({"a": 1})).await["structuredContent"], json!({"a": 1}));
    for server in ["legacy", "sse"] {
        let answer = client.call(&format!("{server}__verbatim"), json!({"a": 1})).await;
        assert_eq!(answer["structuredContent"], json!({"a": 1}), "{server}");
        let after = client.call(&format!("{server}__flood"), json!({"count": 50})).await;
        assert_eq!(after["content"][0]["text"], "after the flood", "{server}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn progress_streams_from_a_remote() {
    let fixture = remote::fixture(&["server", "--http"]).await;
    let gw = gateway()
        .catalog(Catalog::new().remote("far", &fixture.url("/mcp"), "streamable-http"))
        .start()
        .await;
    gw.ready(["far"]).await;
    let client = gw.alone("far").await;
    let params = json!({"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": "t"}});
    let (_, mut answer) = client.open("tools/call", params).await;
    let event = answer.event().await.expect("an event before the release");
    assert!(event.contains("notifications/progress") && event.contains("\"t\""), "{event}");
    client.call("release", json!({})).await;
    assert!(answer.rest().await.text().contains("done"));
    gw.stop().await;
}

#[tokio::test]
async fn headers_are_ours_and_the_client_s_stay_here() {
    let fixture = remote::fixture(&["server", "--http"]).await;
    let mut entry = json!({"type": "remote",
        "remote": {"url": fixture.url("/mcp"), "transport_type": "streamable-http", "headers": {"Authorization": "Bearer ${API_TOKEN}", "X-Team": "blue"}}});
    entry["secrets"] = json!([{"name": "far.token", "env": "API_TOKEN"}]);
    let builder = gateway();
    let secrets = builder.file("secrets.env", "far.token=s3cr3t-for-the-remote\n");
    // The remote answers with the headers it got, so the interceptor that keeps the gateway's secrets in is off.
    let builder = builder.catalog(Catalog::new().entry("far", entry)).arg("--block-secrets=false");
    let gw = builder.arg("--secrets").arg(secrets).start().await;
    gw.ready(["far"]).await;
    let client = gw.alone("far").await;
    let body =
        r#"{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"name":"headers","arguments":{}}}"#;
    let answer = client
        .post(body)
        .header("cookie", "client=cookie")
        .header("x-client", "yes")
        .header("mcp-param-x", "1")
        .send()
        .await;
    let seen = wasmgate_tests::mcp::only(&answer)["result"]["structuredContent"].clone();
    assert_eq!(seen["authorization"], "Bearer s3cr3t-for-the-remote");
    assert_eq!(seen["x-team"], "blue");
    for stays in ["cookie", "x-client", "mcp-param-x"] {
        assert!(seen.get(stays).is_none(), "the client's {stays} went upstream: {seen}");
    }
    assert!(
        !seen.to_string().contains(wasmgate_tests::gateway::TOKEN),
        "the gateway's own token went upstream: {seen}"
    );
    let ended = gw.stop().await;
    assert!(!ended.stderr.contains("s3cr3t-for-the-remote"), "a secret was logged");
}

#[tokio::test]
async fn names_sent_upstream_are_the_server_s_own() {
    let fixture = remote::fixture(&["server", "--http"]).await;
    let catalog = Catalog::new()
        .remote("far", &fixture.url("/mcp"), "streamable-http")
        .fixture("near", &["raw", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["far", "near"]).start().await;
    gw.ready(["far", "near"]).await;
    // The SDK's server refuses a request whose Mcp-Name is not the tool of its body.
    let seen = gw.modern().call("far__headers", json!({})).await["structuredContent"].clone();
    if let Some(name) = seen.get("mcp-name") {
        assert_eq!(name, "headers");
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_remote_that_is_not_there_is_only_its_own_problem() {
    let catalog = Catalog::new()
        .remote("gone", "http://127.0.0.1:9/mcp", "streamable-http")
        .fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["gone", "fx"]).start().await;
    gw.ready(["fx"]).await;
    let state = gw.reaches("gone", &["failed"]).await;
    assert!(state["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{state}");
    let client = gw.legacy().await;
    assert_eq!(client.call("fx__text", json!({"text": "fine"})).await["content"][0]["text"], "fine");
    gw.stop().await;
}

#[tokio::test]
async fn a_remote_that_comes_back_is_used_again() {
    let first = remote::fixture(&["raw", "--http"]).await;
    let url = first.url("/mcp");
    let port = first.address.port();
    let gw = gateway().catalog(Catalog::new().remote("far", &url, "streamable-http")).start().await;
    gw.ready(["far"]).await;
    let client = gw.alone("far").await;
    client.call("verbatim", json!({})).await;
    first.end().await;
    let failed = client.call_fails("verbatim", json!({})).await;
    // Whether the connection was seen to end before the request went out or with it, is a race that nobody can win.
    let code = failed["data"]["code"].as_str().unwrap_or_default();
    assert!(["upstream_unavailable", "upstream_crashed"].contains(&code), "{failed}");
    let again = remote::fixture_on(&["raw", "--http"], port).await;
    let answered = wasmgate_tests::soon("the remote answering again", async {
        loop {
            let answer = client.request("tools/call", json!({"name": "verbatim", "arguments": {}})).await;
            if answer.get("result").is_some() {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    answered.await;
    drop(again);
    gw.stop().await;
}

#[tokio::test]
async fn a_server_that_comes_up_later_joins_the_lists_and_clients_are_told() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let url = format!("http://127.0.0.1:{free}/mcp");
    let catalog = Catalog::new().remote("later", &url, "streamable-http").fixture("fx", &["raw", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["later", "fx"]).start().await;
    gw.ready(["fx"]).await;
    gw.reaches("later", &["failed"]).await;
    let client = gw.legacy().await;
    assert_eq!(client.tool_names().await.len(), 14);
    assert_eq!(client.initialized["capabilities"]["tools"]["listChanged"], true, "{}", client.initialized);
    let mut stream = client.dress(client.door.ask("GET")).open().await;
    assert_eq!(stream.status, 200);
    let remote = remote::fixture_on(&["server", "--http"], free).await;
    // Other news may come before: what counts is that one of them is followed by the new list.
    loop {
        let event = stream.event().await.expect("the stream stays open");
        if event.contains("notifications/tools/list_changed") && client.tool_names().await.len() == 14 + 17 {
            break;
        }
    }
    assert_eq!(client.call("later__text", json!({"text": "at last"})).await["content"][0]["text"], "at last");
    drop((stream, remote));
    gw.stop().await;
}

//! The stateless era, 2026-07-28: discovery, headers that must match the body, errors with their HTTP status, and that
//! both eras live on one endpoint.

use rmcp::model::ProtocolVersion;
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::http::Ask;
use wasmgate_tests::mcp::{self, MODERN, only, parsed, result};
use wasmgate_tests::peers::python_client;
use wasmgate_tests::{Modern, gateway, peers, require};

#[tokio::test]
async fn discovery_says_what_is_served() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let found = result(gw.modern().request("server/discover", json!({})).await);
    assert!(found["supportedVersions"].as_array().is_some_and(|v| v.contains(&json!(MODERN))), "{found}");
    for offered in ["tools", "prompts", "resources", "completions"] {
        assert!(found["capabilities"][offered].is_object(), "{offered} is missing: {found}");
    }
    assert_eq!(found["resultType"], "complete");
    assert!(
        found["ttlMs"].is_u64()
            && ["public", "private"].contains(&found["cacheScope"].as_str().unwrap_or("")),
        "{found}"
    );
    assert!(
        found["instructions"].as_str().is_some_and(|text| text.contains("Ask the fixture kindly.")),
        "{found}"
    );
    gw.stop().await;
}

#[tokio::test]
async fn every_request_stands_alone() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = Modern::new(gw.door("/servers/fx/mcp"));
    let list = result(client.request("tools/list", json!({})).await);
    assert_eq!(list["tools"].as_array().map(Vec::len), Some(17));
    assert!(
        list["resultType"] == "complete" && list["ttlMs"].is_u64() && list["cacheScope"].is_string(),
        "{list}"
    );
    let called = client.call("text", json!({"text": "hi"})).await;
    assert_eq!((&called["content"][0]["text"], &called["resultType"]), (&json!("hi"), &json!("complete")));
    let prompt =
        result(client.request("prompts/get", json!({"name": "greet", "arguments": {"who": "Ada"}})).await);
    assert_eq!(prompt["resultType"], "complete");
    let read = result(client.request("resources/read", json!({"uri": "fixture://text"})).await);
    assert!(read["ttlMs"].is_u64() && read["cacheScope"].is_string(), "{read}");
    let reference = json!({"type": "ref/prompt", "name": "greet"});
    let params = json!({"ref": reference, "argument": {"name": "style", "value": "t"}});
    assert_eq!(
        result(client.request("completion/complete", params).await)["completion"]["values"],
        json!(["terse"])
    );
    let answer = client.ask("tools/list", json!({})).send().await;
    assert!(answer.header("mcp-session-id").is_none(), "there are no sessions in this era");
    gw.stop().await;
}

#[tokio::test]
async fn headers_must_say_what_the_body_says() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = Modern::new(gw.door("/servers/fx/mcp"));
    let call = || client.ask("tools/call", json!({"name": "text", "arguments": {}}));
    let list = || client.ask("tools/list", json!({}));
    let cases: Vec<(&str, Ask)> = vec![
        ("no version", call().without("mcp-protocol-version")),
        ("another version", call().header("mcp-protocol-version", "2025-11-25")),
        ("no method", call().without("mcp-method")),
        ("another method", call().header("mcp-method", "tools/list")),
        ("the method in capitals", call().header("mcp-method", "TOOLS/CALL")),
        ("no name", call().without("mcp-name")),
        ("another name", call().header("mcp-name", "fail")),
        ("two names", call().another_header("mcp-name", "text")),
        ("two methods", list().another_header("mcp-method", "tools/list")),
        ("a broken encoding", call().header("mcp-name", "=?base64?%%%?=")),
    ];
    for (what, ask) in cases {
        let answer = ask.send().await;
        assert_eq!(
            (answer.status.as_u16(), only(&answer)["error"]["code"].as_i64()),
            (400, Some(-32020)),
            "{what}: {}",
            answer.text()
        );
    }
    // The same name, encoded as the specification allows.
    assert_eq!(call().header("mcp-name", "=?base64?dGV4dA==?=").send().await.status, 200);
    assert_eq!(call().send().await.status, 200);
    gw.stop().await;
}

#[tokio::test]
async fn wrong_requests_get_the_status_and_code_of_the_specification() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.modern();
    let check = async |what: &str, ask: Ask, status: u16, code: i64| {
        let answer = ask.send().await;
        assert_eq!(
            (answer.status.as_u16(), only(&answer)["error"]["code"].as_i64()),
            (status, Some(code)),
            "{what}: {}",
            answer.text()
        );
    };
    check("an unknown method", client.ask("no/such", json!({})), 404, -32601).await;
    for removed in ["initialize", "ping", "logging/setLevel", "resources/subscribe"] {
        check(removed, client.ask(removed, json!({})), 404, -32601).await;
    }
    check("an unknown tool", client.ask("tools/call", json!({"name": "nope"})), 200, -32602).await;
    check("an unknown resource", client.ask("resources/read", json!({"uri": "no://x"})), 200, -32602).await;
    let future = |body: &str| {
        gw.door("/mcp")
            .post(body.replace(MODERN, "2099-01-01"))
            .header("mcp-protocol-version", "2099-01-01")
            .header("mcp-method", "tools/list")
    };
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": mcp::with_meta(json!({}))})
            .to_string();
    let answer = future(&body).send().await;
    let error = only(&answer)["error"].clone();
    assert_eq!((answer.status.as_u16(), &error["code"]), (400, &json!(-32022)), "{error}");
    assert_eq!(error["data"]["requested"], "2099-01-01");
    assert!(error["data"]["supported"].as_array().is_some_and(|s| s.contains(&json!(MODERN))), "{error}");
    let bare = gw
        .door("/mcp")
        .post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", "tools/list");
    check("the header without the body's part", bare, 400, -32602).await;
    let mut params = mcp::with_meta(json!({}));
    params["_meta"].as_object_mut().expect("an object").remove("io.modelcontextprotocol/clientCapabilities");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params});
    let bare = gw
        .door("/mcp")
        .post(body.to_string())
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", "tools/list");
    check("no client capabilities", bare, 400, -32602).await;
    gw.stop().await;
}

#[tokio::test]
async fn progress_streams_and_a_disconnect_cancels() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = Modern::new(gw.door("/servers/fx/mcp"));
    let params = json!({"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": 5}});
    let mut answer = client.ask("tools/call", params).open().await;
    let first = parsed(&answer.event().await.expect("an event"));
    assert_eq!(
        (&first["method"], &first["params"]["progressToken"]),
        (&json!("notifications/progress"), &json!(5))
    );
    client.call("release", json!({})).await;
    let rest = answer.rest().await;
    let messages: Vec<Value> = rest.messages().iter().map(|text| parsed(text)).collect();
    assert_eq!(messages.last().expect("the result")["result"]["content"][0]["text"], "done");

    let gone = tokio::spawn(client.ask("tools/call", json!({"name": "slow"})).send());
    client.call("wait_started", json!({"count": 1})).await;
    gone.abort();
    let heard = client.call("wait_cancelled", json!({"count": 1})).await;
    assert_eq!(heard["content"][0]["text"], "1");
    gw.stop().await;
}

#[tokio::test]
async fn both_eras_live_on_one_endpoint() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let (old, new) = (gw.alone("fx").await, Modern::new(gw.door("/servers/fx/mcp")));
    for _ in 0..3 {
        let (a, b) =
            tokio::join!(old.call("text", json!({"text": "old"})), new.call("text", json!({"text": "new"})));
        assert_eq!((&a["content"][0]["text"], &b["content"][0]["text"]), (&json!("old"), &json!("new")));
        assert!(a.get("resultType").is_none() && b["resultType"] == "complete");
    }
    gw.stop().await;
}

#[tokio::test]
async fn every_era_of_client_meets_every_era_of_server() {
    let remote = wasmgate_tests::remote::fixture(&["server", "--http"]).await;
    let old = wasmgate_tests::remote::fixture(&["raw", "--http"]).await;
    let catalog = Catalog::new().remote("modern", &remote.url("/mcp"), "streamable-http").remote(
        "legacy",
        &old.url("/mcp"),
        "streamable-http",
    );
    let gw = gateway().catalog(catalog).servers(["modern", "legacy"]).start().await;
    gw.ready(["modern", "legacy"]).await;
    let lifecycles = [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
    ];
    for lifecycle in lifecycles {
        let said = format!("{lifecycle:?}");
        let config = StreamableHttpClientTransportConfig::with_uri(gw.url("/mcp"))
            .auth_header(wasmgate_tests::gateway::TOKEN);
        let transport = StreamableHttpClientTransport::from_config(config);
        let client = ().serve_with_lifecycle(transport, lifecycle).await.expect(&said);
        for (tool, key) in [("modern__echo", "structuredContent"), ("legacy__verbatim", "structuredContent")]
        {
            let request = rmcp::model::CallToolRequestParams::new(tool)
                .with_arguments(json!({"n": 1}).as_object().cloned().expect("an object"));
            let answer = client.call_tool(request).await.unwrap_or_else(|e| panic!("{said}: {tool}: {e}"));
            assert_eq!(serde_json::to_value(&answer).expect("JSON")[key], json!({"n": 1}), "{said}: {tool}");
        }
        client.cancel().await.expect("a polite end");
    }
    gw.stop().await;
}

#[tokio::test]
async fn the_python_client_does_everything_in_the_modern_era() {
    require!(peers::python().await);
    let two = Catalog::new().fixture("fx", &["server", "--stdio"]).fixture("other", &["raw", "--stdio"]);
    let gw = gateway().catalog(two).servers(["fx", "other"]).start().await;
    gw.ready(["fx", "other"]).await;
    for mode in ["auto", MODERN] {
        let target = json!({"kind": "streamable", "mode": mode, "url": gw.url("/mcp"), "token": wasmgate_tests::gateway::TOKEN});
        let outcomes = python_client(target, super::protocol_legacy::python_steps()).await;
        // The counters of `slow` go on from one client to the next, so only the first sees a 1.
        if mode == "auto" {
            super::protocol_legacy::check_python(&outcomes);
            assert_eq!(outcomes[9]["ok"]["version"], MODERN, "the client chose the newest era by itself");
        }
        assert!(outcomes[2]["ok"]["events"].is_array(), "{mode}: {}", outcomes[2]);
    }
    gw.stop().await;
}

#[tokio::test]
async fn arguments_that_a_tool_wants_in_headers_are_held_against_them() {
    let schema = json!({"type": "object", "properties": {
        "answer": {"type": "string"},
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "Deep-N"}}}}});
    let tools = json!([{"name": "t", "inputSchema": schema}]);
    let gw = gateway().catalog(wasmgate_tests::catalog::tools("r", &tools)).start().await;
    gw.ready(["r"]).await;
    let ask = |arguments: Value, headers: &[(&str, &str)]| {
        let ask = gw.modern().ask("tools/call", json!({"name": "t", "arguments": arguments}));
        headers.iter().fold(ask, |ask, (name, value)| ask.another_header(name, *value))
    };
    for (arguments, headers, is_good) in [
        (json!({}), &[][..], true),
        (json!({"region": "eu"}), &[("Mcp-Param-Region", "eu")], true),
        (json!({"region": "eu"}), &[("mcp-param-REGION", "=?base64?ZXU=?=")], true),
        (json!({"deep": {"n": 7}}), &[("mcp-param-deep-n", "7.0"), ("mcp-param-unknown", "x")], true),
        (json!({"region": "eu"}), &[], false),
        (json!({"region": "eu"}), &[("mcp-param-region", "EU")], false),
        (json!({"region": "eu"}), &[("mcp-param-region", "=?base64?ZXU?=")], false),
        (json!({"region": "eu"}), &[("mcp-param-region", "eu"), ("mcp-param-region", "eu")], false),
        (json!({}), &[("mcp-param-region", "eu")], false),
    ] {
        let answer = ask(arguments.clone(), headers).send().await;
        let expected = if is_good { 200 } else { 400 };
        assert_eq!(answer.status, expected, "{arguments} {headers:?}: {}", answer.text());
        if !is_good {
            assert_eq!(mcp::only(&answer)["error"]["code"], -32020);
        }
    }
    gw.stop().await;
}

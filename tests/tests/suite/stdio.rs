//! The gateway over stdin and stdout: for clients that start it themselves.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::mcp::{MODERN, parsed, with_meta};
use wasmgate_tests::peers::python_client;
use wasmgate_tests::{Running, gateway, peers, process, require, soon};

const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

/// The first line on stdout that is an answer to `id`.
async fn answer(gw: &Running, id: u64) -> Value {
    let what = format!("an answer to {id}");
    let line = gw.stdout.line(&what, |line| {
        serde_json::from_str::<Value>(line)
            .is_ok_and(|message| message["id"] == id && message.get("method").is_none())
    });
    parsed(&line.await)
}

/// Every line of stdout is one message; nothing else belongs there.
fn only_messages(stdout: &str) {
    for line in stdout.lines() {
        let message: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("stdout belongs to the protocol: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
    }
}

#[tokio::test]
async fn a_session_over_stdio() {
    let mut gw = gateway().catalog(good("fx")).transport("stdio").start().await;
    gw.say(HELLO).await;
    assert_eq!(answer(&gw, 0).await["result"]["protocolVersion"], "2025-11-25");
    gw.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    // A call waits for the server to be up, so this needs no waiting of its own.
    gw.say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"text","arguments":{"text":"over the pipe"}}}"#).await;
    assert_eq!(answer(&gw, 1).await["result"]["content"][0]["text"], "over the pipe");
    gw.say(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#).await;
    assert_eq!(answer(&gw, 2).await["result"], json!({}));
    gw.hang_up();
    let ended = gw.ended().await;
    only_messages(&ended.stdout);
}

#[tokio::test]
async fn what_only_a_starting_server_can_have_is_waited_for() {
    let mut gw = gateway().catalog(good("fx")).transport("stdio").start().await;
    gw.say(HELLO).await;
    // No list has the first; nobody has the others.
    for (id, method, params) in [
        (1, "resources/read", json!({"uri": "fixture://items/9"})),
        (2, "prompts/get", json!({"name": "nobody-has-this"})),
        (3, "tools/call", json!({"name": "nobody-has-this"})),
    ] {
        gw.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await;
    }
    assert_eq!(answer(&gw, 1).await["result"]["contents"][0]["text"], "contents of items/9");
    assert_eq!(answer(&gw, 2).await["error"]["code"], -32602);
    assert_eq!(answer(&gw, 3).await["error"]["code"], -32602);
    gw.hang_up();
    gw.ended().await;
}

#[tokio::test]
async fn the_rust_sdk_s_client_starts_the_gateway_itself() {
    let builder = gateway().catalog(good("fx")).transport("stdio");
    let (line, env) = builder.command();
    let mut command = tokio::process::Command::new(&line[0]);
    command.args(&line[1..]).env_clear().envs(env);
    let transport = rmcp::transport::TokioChildProcess::new(command).expect("the gateway starts");
    let client = rmcp::ServiceExt::serve((), transport).await.expect("a session");
    let request = rmcp::model::CallToolRequestParams::new("text");
    let answer = client.call_tool(request).await.expect("a result");
    assert_eq!(answer.content[0].as_text().map(|text| text.text.as_str()), Some("hello"));
    client.cancel().await.expect("a polite end");
    let _ = std::fs::remove_dir_all(builder.home());
}

#[tokio::test]
async fn a_modern_client_over_stdio() {
    let mut gw = gateway().catalog(good("fx")).transport("stdio").start().await;
    let ask = |id: u64, method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": with_meta(params)}).to_string()
    };
    gw.say(&ask(1, "server/discover", json!({}))).await;
    let found = answer(&gw, 1).await;
    assert!(
        found["result"]["supportedVersions"].as_array().is_some_and(|v| v.contains(&json!(MODERN))),
        "{found}"
    );
    gw.say(&ask(2, "tools/call", json!({"name": "text", "arguments": {"text": "modern"}}))).await;
    let called = answer(&gw, 2).await;
    assert_eq!(
        (&called["result"]["content"][0]["text"], &called["result"]["resultType"]),
        (&json!("modern"), &json!("complete"))
    );
    gw.hang_up();
    only_messages(&gw.ended().await.stdout);
}

#[tokio::test]
async fn nonsense_on_a_line_harms_only_that_line() {
    let mut gw = gateway().catalog(good("fx")).transport("stdio").start().await;
    gw.say(HELLO).await;
    answer(&gw, 0).await;
    for nonsense in [
        "",
        "hello?",
        "{",
        "[]",
        "[1]",
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
    ] {
        gw.say(nonsense).await;
    }
    gw.say(r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#).await;
    assert_eq!(answer(&gw, 9).await["result"], json!({}));
    let codes: Vec<i64> =
        gw.stdout.text().lines().filter_map(|line| parsed(line)["error"]["code"].as_i64()).collect();
    assert!(codes.contains(&-32700) && codes.contains(&-32600), "{codes:?}");
    gw.hang_up();
    only_messages(&gw.ended().await.stdout);
}

#[tokio::test]
async fn progress_and_cancellation_over_stdio() {
    let mut gw = gateway().catalog(good("fx")).transport("stdio").start().await;
    gw.say(HELLO).await;
    answer(&gw, 0).await;
    gw.say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"progress","arguments":{"steps":2},"_meta":{"progressToken":"p"}}}"#).await;
    gw.stdout
        .line("a progress event", |line| line.contains("notifications/progress") && line.contains("\"p\""))
        .await;
    gw.say(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"release"}}"#).await;
    assert_eq!(answer(&gw, 1).await["result"]["content"][0]["text"], "done");

    gw.say(r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"slow"}}"#).await;
    gw.say(r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"wait_started","arguments":{"count":1}}}"#).await;
    answer(&gw, 4).await;
    gw.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#).await;
    gw.say(r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"wait_cancelled","arguments":{"count":1}}}"#).await;
    assert_eq!(answer(&gw, 5).await["result"]["content"][0]["text"], "1");
    gw.hang_up();
    let ended = gw.ended().await;
    only_messages(&ended.stdout);
    assert!(
        !ended.stdout.lines().any(|line| parsed(line)["id"] == 3),
        "a cancelled call gets no answer on a pipe"
    );
}

#[tokio::test]
async fn the_client_s_sudden_end_ends_everything() {
    let mut gw = gateway().catalog(good("fx")).transport("stdio").start().await;
    gw.say(HELLO).await;
    answer(&gw, 0).await;
    gw.say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}"#).await;
    gw.say(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"wait_started","arguments":{"count":1}}}"#).await;
    answer(&gw, 2).await;
    assert_eq!(gw.processes().len(), 1);
    gw.hang_up();
    gw.ended().await; // checks that the server's process is gone too
}

#[tokio::test]
async fn the_python_client_starts_the_gateway_itself() {
    require!(peers::python().await);
    for mode in ["legacy", "auto"] {
        let two = Catalog::new().fixture("fx", &["server", "--stdio"]).fixture("other", &["raw", "--stdio"]);
        let builder = gateway().catalog(two).servers(["fx", "other"]).transport("stdio");
        let (command, env) = builder.command();
        let env: serde_json::Map<String, Value> =
            env.into_iter().map(|(name, value)| (name, value.into())).collect();
        let target = json!({"kind": "stdio", "mode": mode, "command": command, "env": env});
        // Two servers that are still starting: the first list may be short, so the first step waits by calling both.
        let mut steps = super::protocol_legacy::python_steps();
        steps.as_array_mut().expect("steps").insert(0, json!({"do": "call", "name": "other__pid"}));
        steps.as_array_mut().expect("steps").insert(0, json!({"do": "call", "name": "fx__pid"}));
        let outcomes = python_client(target, steps).await;
        super::protocol_legacy::check_python(&outcomes[2..]);
        let left = soon("the gateway's end", async {
            loop {
                let left = process::of_home(builder.home(), 0);
                if left.is_empty() {
                    return left;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        assert!(left.await.is_empty());
        let _ = std::fs::remove_dir_all(builder.home());
    }
}

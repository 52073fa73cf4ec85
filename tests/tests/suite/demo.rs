//! What a newcomer gets from a bare `wasmgate run`.

use serde_json::{Value, json};
use wasmgate_tests::mcp::names;
use wasmgate_tests::{Legacy, gateway, mcp};

#[tokio::test]
async fn a_bare_run_serves_the_demo() {
    let gw = gateway().start().await;
    gw.ready(["demo", "notes", "time"]).await;
    let client = gw.legacy().await;

    let tools = client.tool_names().await;
    for server in ["demo__", "notes__", "time__"] {
        assert!(tools.iter().any(|tool| tool.starts_with(server)), "no tool of {server} in {tools:?}");
    }
    let echoed = client.call("demo__echo", json!({"text": "hello"})).await;
    assert!(echoed["content"][0]["text"].as_str().is_some_and(|text| text.contains("hello")), "{echoed}");
    gw.stop().await;
}

#[tokio::test]
async fn the_repository_s_demo_catalog_is_the_same() {
    let path = wasmgate_tests::build::root().join("catalogs/demo.yaml");
    let named = gateway().catalog_at(path.to_str().expect("UTF-8")).start().await;
    let bare = gateway().start().await;
    named.ready(["demo", "notes", "time"]).await;
    bare.ready(["demo", "notes", "time"]).await;
    let lists = (named.legacy().await.tool_names().await, bare.legacy().await.tool_names().await);
    assert_eq!(lists.0, lists.1);
    named.stop().await;
    bare.stop().await;
}

#[tokio::test]
async fn the_demo_shows_every_kind_of_answer() {
    let gw = gateway().start().await;
    gw.ready(["demo"]).await;
    let client = gw.alone("demo").await;
    let tools = client.list("tools/list", "tools").await.0;
    assert!(
        tools.iter().any(|tool| tool.get("outputSchema").is_some()),
        "no structured tool in {:?}",
        names(&tools)
    );

    let mut kinds = std::collections::BTreeSet::new();
    for tool in &tools {
        let params = json!({"name": tool["name"], "arguments": example(&tool["inputSchema"]), "_meta": {"progressToken": "demo"}});
        for message in client.messages("tools/call", params).await {
            kinds.extend(message["method"].as_str().map(ToOwned::to_owned));
            let result = &message["result"];
            kinds.extend(
                result["content"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|c| c["type"].as_str())
                    .map(ToOwned::to_owned),
            );
            if result.get("structuredContent").is_some() {
                kinds.insert("structured".into());
            }
            if result["isError"] == true {
                kinds.insert("error".into());
            }
        }
    }
    for kind in ["text", "image", "structured", "error", "notifications/progress"] {
        assert!(kinds.contains(kind), "the demo shows no {kind}: {kinds:?}");
    }
    gw.stop().await;
}

/// Arguments that a schema asks for: a word, a number or a truth value each.
fn example(schema: &Value) -> Value {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let value = |name: &str| match schema["properties"][name]["type"].as_str() {
        Some("number" | "integer") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("word"),
    };
    required.map(|name| (name.to_owned(), value(name))).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn the_first_start_says_what_is_up_and_how_to_connect() {
    let gw = gateway().token(None).start().await;
    let address = gw.address();
    let said = format!("{}{}", gw.stdout.text(), gw.stderr.text());
    assert!(said.contains(&format!("http://{address}/mcp")), "no URL to connect to:\n{said}");

    // The token it made is in what it printed, once, and opens the door.
    let all = gw.printed("the token", |text| token_in(text).is_some()).await;
    let token = token_in(&all).expect("just found");
    assert_eq!(all.matches(&token).count(), 1, "the token is printed once:\n{all}");
    let door = mcp::Door { token: Some(token), ..gw.door("/mcp") };
    Legacy::connect(door, mcp::LEGACY).await;
    gw.stop().await;
}

/// The last long word that could be a token, on a line that speaks of one.
fn token_in(text: &str) -> Option<String> {
    let words = text
        .lines()
        .filter(|line| line.to_lowercase().contains("token") || line.contains("Bearer"))
        .flat_map(|line| {
            line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).map(ToOwned::to_owned)
        });
    words.rev().find(|word| word.len() >= 20 && !word.to_uppercase().contains("WASMGATE"))
}

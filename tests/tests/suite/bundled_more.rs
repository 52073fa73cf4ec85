//! The bundled interceptors `invisible-text`, `pii-redactor` and `json-schema-validator`, in the path of real calls.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{good, tools};
use wasmgate_tests::mcp::result;
use wasmgate_tests::{Legacy, Running, gateway, soon};

/// "ignore", in characters that nobody sees.
const HIDDEN: &str = "\u{e0069}\u{e0067}\u{e006e}\u{e006f}\u{e0072}\u{e0065}";

/// A gateway with one plugin, and a server with these tools.
async fn with(plugin: &str, config: &Value, offered: &Value) -> (Running, Legacy) {
    let config = json!({"plugins": {plugin: {"config": config}}}).to_string();
    let gw = gateway().catalog(tools("s", offered)).config(&config).start().await;
    gw.ready(["s"]).await;
    let client = gw.alone("s").await;
    // Calls are taken before a server's list has been read; until then there is no schema to check them against.
    soon("the server's tools", async {
        while result(client.request("tools/list", json!({})).await)["tools"] == json!([]) {}
    })
    .await;
    (gw, client)
}

#[tokio::test]
async fn hidden_text_reaches_no_client() {
    let offered = json!([
        {"name": "say", "description": format!("Says something.{HIDDEN}"), "inputSchema": {"type": "object", "title": format!("T\u{202e}")}},
        {"name": "sa\u{200b}y", "inputSchema": {"type": "object"}},
        {"name": "odd", "inputSchema": {"type": "object", "properties": {"q\u{2063}": {}}}},
    ]);
    let (gw, client) = with("invisible-text", &json!({}), &offered).await;
    let listed = result(client.request("tools/list", json!({})).await);
    let names: Vec<_> = listed["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["say"], "what cannot be called by a visible name is not offered");
    assert_eq!(listed["tools"][0]["description"], "Says something.");
    assert_eq!(listed["tools"][0]["inputSchema"]["title"], "T");

    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{6cc}\u{200c}\u{62e}";
    let answer =
        json!({"content": [{"type": "text", "text": format!("{HIDDEN}{family}\u{1b}[31m!\u{1b}[0m")}]});
    let said = client.call("say", json!({"answer": answer})).await;
    assert_eq!(said["content"][0]["text"], format!("{family}!"));
    gw.stop().await;
}

#[tokio::test]
async fn hidden_text_can_be_refused() {
    let offered = json!([{"name": "say", "inputSchema": {"type": "object"}}]);
    let (gw, client) = with("invisible-text", &json!({"mode": "refuse"}), &offered).await;
    let answer = |text: &str| json!({"answer": {"content": [{"type": "text", "text": text}]}});
    let refused = client.call_fails("say", answer(&format!("a{HIDDEN}"))).await;
    assert_eq!(refused["data"]["code"], "refused", "{refused}");
    assert_eq!(client.call("say", answer("a")).await["content"][0]["text"], "a");
    gw.stop().await;
}

#[tokio::test]
async fn personal_data_goes_neither_way() {
    let gw = gateway()
        .catalog(good("fx"))
        .config("plugins:\n  pii-redactor:\n    config: {style: pseudonym, exclude: [/arguments/to]}\n")
        .start()
        .await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    // The server answers with what it was sent.
    let sent =
        json!({"to": "jan@example.org", "text": "jan@example.org, eva@example.org, +49 30 1234567", "n": 5});
    let echoed = client.call("echo", sent).await;
    assert_eq!(
        echoed["structuredContent"],
        json!({"to": "[email-1]", "text": "[email-1], [email-2], [phone-1]", "n": 5}),
        "the field `to` is left on the way to the server only"
    );
    let ended = gw.stop().await;
    assert!(!ended.stderr.contains("example.org") && !ended.stderr.contains("1234567"), "a value was logged");
}

#[tokio::test]
async fn personal_data_can_be_denied() {
    let gw = gateway()
        .catalog(good("fx"))
        .config("plugins:\n  pii-redactor:\n    config: {request: deny, response: \"off\", detect: [iban]}\n")
        .start()
        .await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let refused = client.call_fails("text", json!({"text": "to DE89 3704 0044 0532 0130 00"})).await;
    assert_eq!(refused["data"]["code"], "refused", "{refused}");
    assert!(!refused.to_string().contains("3704"), "the refusal repeats it: {refused}");
    let passed = client.call("text", json!({"text": "to DE89 3704 0044 0532 0130 01"})).await;
    assert_eq!(
        passed["content"][0]["text"], "to DE89 3704 0044 0532 0130 01",
        "no IBAN: its check number is wrong"
    );
    gw.stop().await;
}

#[tokio::test]
async fn calls_and_results_fit_the_tools_schemas() {
    let input = json!({"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}, "answer": true}, "additionalProperties": false});
    let output = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
    let offered = json!([{"name": "find", "inputSchema": input, "outputSchema": output}]);
    let (gw, client) = with("json-schema-validator", &json!({}), &offered).await;

    let refused = client.call_fails("find", json!({"q": ["a-value"]})).await;
    assert_eq!(refused["data"]["code"], "refused", "{refused}");
    assert!(refused.to_string().contains("/arguments/q"), "it says where: {refused}");
    assert!(!refused.to_string().contains("a-value"), "it says no value: {refused}");

    let answer = |n: Value| json!({"q": "x", "answer": {"content": [], "structuredContent": {"n": n}}});
    let refused = client.call_fails("find", answer(json!("a-value"))).await;
    assert!(refused.to_string().contains("/structuredContent/n"), "{refused}");
    assert!(!refused.to_string().contains("a-value"), "{refused}");
    assert_eq!(client.call("find", answer(json!(5))).await["structuredContent"]["n"], 5);
    gw.stop().await;
}

#[tokio::test]
async fn a_hostile_schema_fails_its_own_calls_only() {
    let circle = json!({"type": "object", "$ref": "#"});
    let doubling = json!({"type": "object", "$defs": {
        "a": {"allOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/b"}, {"$ref": "#/$defs/b"}]},
        "b": {"allOf": [{"$ref": "#/$defs/c"}, {"$ref": "#/$defs/c"}, {"$ref": "#/$defs/c"}]},
        "c": {"anyOf": [{"pattern": "(a|a)*b"}, {"$ref": "#/$defs/a"}, {"not": {"$ref": "#/$defs/a"}}]},
    }, "$ref": "#/$defs/a"});
    let mut deep = json!({"$ref": "#"});
    for _ in 0..8 {
        deep = json!({"properties": {"x": {"items": deep}}, "allOf": [true]});
    }
    let offered = json!([
        {"name": "circle", "inputSchema": circle},
        {"name": "doubling", "inputSchema": doubling},
        {"name": "deep", "inputSchema": deep},
        {"name": "fine", "inputSchema": {"type": "object"}},
    ]);
    let (gw, client) = with("json-schema-validator", &json!({}), &offered).await;
    for name in ["circle", "doubling"] {
        let failed = client.call_fails(name, json!({"x": "a"})).await;
        assert_eq!(failed["data"]["code"], "plugin_failed", "{name}: {failed}");
        assert!(client.call("fine", json!({})).await["content"].is_array(), "others go on");
    }
    let mut nested = json!({});
    for _ in 0..20 {
        nested = json!({"x": [nested]});
    }
    assert!(client.call("deep", nested).await["content"].is_array());
    let ended = gw.stop().await;
    assert!(!ended.stderr.contains("wasm trap"), "a trap:\n{}", ended.stderr);
}

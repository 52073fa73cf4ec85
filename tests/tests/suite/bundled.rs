//! The bundled interceptors that are off until they are configured, in the path of real calls.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture, good};
use wasmgate_tests::{Gateway, gateway};

/// Looks like a GitHub token, and is none.
const SECRET: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// `vault`, whose tool `env` shows the secret, and `web`.
fn with_a_secret() -> Gateway {
    let mut vault = fixture(&["server", "--stdio"]);
    vault["env"] = json!([{"name": "LEAK", "value": SECRET}]);
    gateway().catalog(Catalog::new().entry("vault", vault).fixture("web", &["server", "--stdio"]))
}

#[tokio::test]
async fn what_tool_filter_hides_cannot_be_called_and_what_it_renames_has_its_new_name() {
    let config = r#"plugins: {tool-filter: {config: {deny: ["fx__EN*"], rename: {fx__text: say}, describe: {fx__echo: New.}}}}"#;
    let gw = gateway().catalog(good("fx")).config(config).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let (tools, _) = client.list("tools/list", "tools").await;
    let described = tools.iter().find(|tool| tool["name"] == "echo").expect("echo");
    assert_eq!(described["description"], "New.");
    let names = client.tool_names().await;
    let has = |name: &str| names.iter().any(|known| known == name);
    assert!(has("say") && !has("text") && !has("env"), "{names:?}");
    assert_eq!(client.call("say", json!({"text": "hello"})).await["content"][0]["text"], "hello");
    for gone in ["env", "text"] {
        client.call_fails(gone, json!({})).await;
    }
    gw.stop().await;
}

#[tokio::test]
async fn rate_limit_refuses_what_comes_too_fast() {
    let config =
        r#"plugins: {rate-limit: {config: {rules: [{rate: 1/h, burst: 2, match: {tools: [text]}}]}}}"#;
    let gw = gateway().catalog(good("fx")).config(config).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    for text in ["one", "two"] {
        assert_eq!(client.call("text", json!({"text": text})).await["content"][0]["text"], text);
    }
    let refused = client.call_fails("text", json!({"text": "three"})).await;
    assert!(refused.to_string().contains("rate limit exceeded: try again in "), "{refused}");
    client.call("echo", json!({})).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_secret_read_from_one_server_does_not_go_to_another() {
    let config = "plugins: {block-secrets: {mode: 'off'}, cross-server-guard: {}}";
    let gw = with_a_secret().config(config).start().await;
    gw.ready(["vault", "web"]).await;
    let client = gw.legacy().await;
    let send = |server: &str| json!({"name": format!("{server}__text"), "arguments": {"text": SECRET}});
    // Nobody has read it yet.
    assert!(client.request("tools/call", send("web")).await.get("result").is_some());
    let read = client.call("vault__env", json!({})).await;
    assert!(read.to_string().contains(SECRET), "{read}");
    let refused = client.request("tools/call", send("web")).await;
    let words = refused.to_string();
    assert!(words.contains("vault") && words.contains("web") && !words.contains(SECRET), "{words}");
    assert_eq!(refused["error"]["data"]["code"], "refused", "{words}");
    assert!(client.request("tools/call", send("vault")).await.get("result").is_some());
    // Another session has read nothing.
    let other: Value = gw.legacy().await.request("tools/call", send("web")).await;
    assert!(other.get("result").is_some(), "{other}");
    // Nobody gets round it by opening no session.
    let mut alone = client.clone();
    alone.session = None;
    alone.call("vault__env", json!({})).await;
    assert_eq!(alone.call_fails("web__text", json!({"text": SECRET})).await["data"]["code"], "refused");
    let ended = gw.stop().await;
    assert!(!ended.stderr.contains(SECRET), "a secret was logged");
}

#[tokio::test]
async fn block_secrets_takes_credentials_out_where_it_is_told_to() {
    let config = "plugins: {block-secrets: {config: {response: redact}}}";
    let gw = with_a_secret().config(config).start().await;
    gw.ready(["vault", "web"]).await;
    let client = gw.legacy().await;
    let read = client.call("vault__env", json!({})).await;
    assert!(!read.to_string().contains(SECRET), "{read}");
    assert!(read.to_string().contains("[redacted: github-token]"), "{read}");
    // The other direction still refuses.
    let refused = client.call_fails("web__text", json!({"text": SECRET})).await;
    assert_eq!(refused["data"]["code"], "refused", "{refused}");
    gw.stop().await;
}

//! Interceptors as WebAssembly components, in the path of real calls.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good, raw};
use wasmgate_tests::{Legacy, gateway};

/// Looks like a GitHub token, and is none.
const SECRET: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

#[tokio::test]
async fn secrets_in_arguments_stop_the_call_before_the_server() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    for arguments in [json!({"text": SECRET}), json!({"deep": [{"list": [format!("token {SECRET} here")]}]})]
    {
        let refused = client.call_fails("echo", arguments).await;
        assert_eq!(refused["data"]["code"], "refused", "{refused}");
        assert!(!refused.to_string().contains(SECRET), "the refusal repeats the secret: {refused}");
    }
    assert_eq!(client.call("text", json!({"text": "ordinary"})).await["content"][0]["text"], "ordinary");
    let ended = gw.stop().await;
    assert!(!ended.stderr.contains(SECRET), "a secret was logged");
}

#[tokio::test]
async fn secrets_in_results_do_not_reach_the_client() {
    // The arguments are spelt so that only the server's answer carries the secret as one string.
    let gw = gateway().catalog(Catalog::new().fixture("fx", &["server", "--stdio"])).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let read = client.request("resources/read", json!({"uri": "fixture://text"})).await;
    assert!(read.get("result").is_some(), "{read}");
    gw.stop().await;

    let mut entry = wasmgate_tests::catalog::fixture(&["server", "--stdio"]);
    entry["env"] = json!([{"name": "LEAK", "value": SECRET}]);
    let gw = gateway().catalog(Catalog::new().entry("leaky", entry)).start().await;
    gw.ready(["leaky"]).await;
    let client = gw.alone("leaky").await;
    // `env` answers with it in structuredContent, where Docker's gateway does not look.
    let answer = client.request("tools/call", json!({"name": "env", "arguments": {}})).await;
    assert!(!answer.to_string().contains(SECRET), "{answer}");
    assert_eq!(answer["error"]["data"]["code"], "refused", "{answer}");
    let ended = gw.stop().await;
    assert!(!ended.stderr.contains(SECRET), "a secret was logged");
}

#[tokio::test]
async fn a_secret_of_the_gateway_does_not_come_back_whatever_it_looks_like() {
    let mut entry = wasmgate_tests::catalog::fixture(&["server", "--stdio"]);
    entry["env"] = json!([{"name": "KEY", "value": "$TOKEN"}]);
    entry["secrets"] = json!([{"name": "fx.token", "env": "TOKEN"}]);
    let builder = gateway();
    let secrets = builder.file("secrets.env", "fx.token=plain-words-of-nobody\n");
    let gw = builder.catalog(Catalog::new().entry("fx", entry)).arg("--secrets").arg(secrets).start().await;
    gw.ready(["fx"]).await;
    let refused = gw.alone("fx").await.call_fails("env", json!({})).await;
    assert_eq!(refused["data"]["code"], "refused", "{refused}");
    assert!(!refused.to_string().contains("plain-words"), "the refusal repeats the secret: {refused}");
    gw.stop().await;
}

#[tokio::test]
async fn block_secrets_can_be_switched_off() {
    let gw = gateway().catalog(good("fx")).arg("--block-secrets=false").start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    assert_eq!(client.call("text", json!({"text": SECRET})).await["content"][0]["text"], SECRET);
    gw.stop().await;
}

#[tokio::test]
async fn calls_are_logged_with_their_shape_and_never_with_a_value() {
    let arguments = json!({"text": "value-that-nobody-may-log", "count-key": 4711});
    for (flag, logged) in [("--log-calls=true", true), ("--log-calls=false", false)] {
        let gw = gateway().catalog(good("fx")).arg(flag).start().await;
        gw.ready(["fx"]).await;
        let client = gw.alone("fx").await;
        client.call("text", arguments.clone()).await;
        let ended = gw.stop().await;
        let line = ended.stderr.lines().find(|line| line.contains("tools/call") && line.contains("text"));
        assert_eq!(line.is_some(), logged, "{flag}:\n{}", ended.stderr);
        assert!(
            !ended.stderr.contains("value-that-nobody-may-log") && !ended.stderr.contains("4711"),
            "{}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn interceptors_leave_what_they_do_not_change_as_it_was() {
    let gw = gateway().catalog(raw("r")).start().await;
    gw.ready(["r"]).await;
    let client: Legacy = gw.alone("r").await;
    let arguments = r#"{"z":1.0e0, "a":"\u0041" ,"n":12345678901234567890.10}"#;
    let answer = client.raw_call(&format!(r#"{{"name":"verbatim","arguments":{arguments}}}"#)).await;
    assert!(answer.contains(&format!(r#""structuredContent":{arguments}"#)), "{answer}");
    gw.stop().await;
}

#[tokio::test]
async fn a_plugin_is_loaded_from_a_file_like_from_the_binary() {
    let component = wasmgate_tests::build::plugin("block-secrets");
    let config = format!("plugins:\n  mine:\n    use: {}\n", component.display());
    let gw = gateway().catalog(good("fx")).config(&config).arg("--block-secrets=false").start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let refused: Value = client.call_fails("echo", json!({"text": SECRET})).await;
    assert_eq!(refused["data"]["code"], "refused", "{refused}");
    assert_eq!(client.call("text", json!({"text": "ordinary"})).await["content"][0]["text"], "ordinary");
    gw.stop().await;
}

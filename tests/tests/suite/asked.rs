//! Servers of older versions that ask before they answer: over streamable HTTP every client is asked in a session of its own,
//! over stdio a server that takes one call at a time asks the one whose call it is.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{self, Catalog};
use wasmgate_tests::mcp::{LEGACY, Said, Talk, result};
use wasmgate_tests::{Gateway, Legacy, Modern, Running, gateway, remote};

fn able() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}})
}

/// A call that asks for a name, a word and the roots, one after the other.
fn call() -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let form = json!({"mode": "form", "message": "Who are you?", "requestedSchema": schema});
    let message = json!({"role": "user", "content": {"type": "text", "text": "Say hello."}});
    let questions = json!([
        {"method": "elicitation/create", "params": form},
        {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 10}},
        {"method": "roots/list"},
    ]);
    json!({"name": "ask", "arguments": {"questions": questions}})
}

/// What this person says to everything.
fn person(name: &str) -> impl Fn(&Value) -> Said {
    move |question| {
        Ok(match question["method"].as_str() {
            Some("elicitation/create") => json!({"action": "accept", "content": {"name": name}}),
            Some("sampling/createMessage") => {
                json!({"role": "assistant", "content": {"type": "text", "text": name}, "model": "m", "stopReason": "endTurn"})
            }
            _ => json!({"roots": [{"uri": format!("file:///home/{name}")}]}),
        })
    }
}

#[track_caller]
fn answered_by(name: &str, talk: Talk) {
    let said = result(talk.response)["structuredContent"].clone();
    let answers = &said["answers"];
    assert_eq!(answers[0]["content"]["name"], name, "{said}");
    assert_eq!(answers[1]["content"]["text"], name, "{said}");
    assert_eq!(answers[2]["roots"][0]["uri"], format!("file:///home/{name}"), "{said}");
}

/// Clients of both eras, in front of an older server.
async fn everybody_is_asked(gateway: Gateway) -> Running {
    let gw = gateway.start().await;
    gw.ready(["fx"]).await;
    let door = || gw.door("/servers/fx/mcp");
    let modern = Modern::new(door()).declaring(able());
    let legacy = Legacy::able(door(), LEGACY, able()).await;
    // At the same time: nobody is asked what another is asked.
    let (ada, bob, cy) = (person("ada"), person("bob"), person("cy"));
    let another = Modern::new(door()).declaring(able());
    let (first, second, third) = tokio::join!(
        modern.converse("tools/call", call(), &ada),
        legacy.converse("tools/call", call(), &bob),
        another.converse("tools/call", call(), &cy),
    );
    answered_by("ada", first);
    answered_by("bob", second);
    answered_by("cy", third);
    let begun = result(modern.converse("tools/call", call(), &ada).await.response);
    assert_eq!(begun["structuredContent"]["begun"], 4, "no call was made twice");
    gw
}

#[tokio::test]
async fn clients_of_both_eras_are_asked_by_an_older_server_over_http() {
    let server = remote::fixture(&["asker", "--http"]).await;
    let mut entry =
        json!({"type": "remote", "remote": {"url": server.url("/mcp"), "transport_type": "streamable-http"}});
    entry["protocol"] = "legacy".into();
    let gw = everybody_is_asked(gateway().catalog(Catalog::new().entry("fx", entry))).await;
    // Who can be asked nothing is served where everybody is.
    let silent = Modern::new(gw.door("/servers/fx/mcp"));
    let slight = result(silent.request("tools/call", json!({"name": "pid", "arguments": {}})).await);
    assert_eq!(slight["content"][0]["type"], "text");
    gw.stop().await;
}

fn on_a_pipe() -> Value {
    let mut entry = catalog::fixture(&["asker", "--stdio"]);
    entry["protocol"] = "legacy".into();
    entry
}

#[tokio::test]
async fn clients_of_both_eras_are_asked_in_turn_by_an_older_server_on_a_pipe() {
    let mut entry = on_a_pipe();
    entry["maxInFlight"] = 1.into();
    everybody_is_asked(gateway().catalog(Catalog::new().entry("fx", entry))).await.stop().await;
}

#[tokio::test]
async fn an_older_server_on_a_pipe_that_all_share_is_told_that_nobody_can_be_asked() {
    let gw = gateway().catalog(Catalog::new().entry("fx", on_a_pipe())).start().await;
    gw.ready(["fx"]).await;
    let modern = Modern::new(gw.door("/servers/fx/mcp")).declaring(able());
    let said = result(modern.request("tools/call", call()).await)["structuredContent"].clone();
    for answer in said["answers"].as_array().expect("answers") {
        assert_eq!(answer["error"]["code"], -32601, "{said}");
    }
    gw.stop().await;
}

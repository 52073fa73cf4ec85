//! Clients that are too many, or not who they say they are (F35, F36).

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture, good};
use wasmgate_tests::gateway::{Running, TOKEN};
use wasmgate_tests::http::Ask;
use wasmgate_tests::mcp::{Door, only};
use wasmgate_tests::socket::{exchange, head};
use wasmgate_tests::{Legacy, gateway, process, soon};

async fn with_limits(limits: &str) -> Running {
    let gw = gateway().catalog(good("fx")).config(&format!("limits: {limits}\n")).start().await;
    gw.ready(["fx"]).await;
    gw
}

const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"flood","version":"1"}}}"#;

fn hello(door: &Door) -> Ask {
    door.post(HELLO)
}

async fn answers(client: &Legacy) {
    assert_eq!(client.call("text", json!({"text": "alive"})).await["content"][0]["text"], "alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn f35_twenty_thousand_sessions_are_opened_and_left() {
    // A server that each session gets for itself: an abandoned session must not get one.
    let mut entry = fixture(&["server", "--stdio"]);
    entry["longLived"] = true.into();
    let gw =
        gateway().catalog(Catalog::new().entry("fx", entry)).config("limits: {sessions: {total: 2000}}\n");
    let gw = gw.start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    answers(&client).await;
    let processes = gw.processes().len();
    let wave = async |count: usize| {
        let (address, body) = (gw.address(), HELLO.len());
        let hello = head(address, &[&format!("Content-Length: {body}")]) + HELLO;
        let last = head(address, &["Connection: close", &format!("Content-Length: {body}")]) + HELLO;
        let waves: Vec<_> = (0..count / 100)
            .map(|_| {
                let many = hello.repeat(99) + &last;
                async move { exchange(address, many.as_bytes()).await }
            })
            .collect();
        let answers: Vec<String> = futures_util::stream::iter(waves).buffer_unordered(20).collect().await;
        let with = |status: &str| answers.iter().map(|text| text.matches(status).count()).sum::<usize>();
        (with("HTTP/1.1 200"), with("HTTP/1.1 429"))
    };
    // As many as there may be, and then ten times that.
    wave(2_000).await;
    let before = process::resident(gw.pid);
    let (opened, refused) = wave(20_000).await;
    let grown = process::resident(gw.pid).saturating_sub(before);
    assert_eq!(opened + refused, 20_000, "{opened} sessions, {refused} times too many");
    assert!(grown < 16 << 20, "{grown} bytes for sessions that nobody uses");
    assert_eq!(gw.processes().len(), processes, "a session that asks nothing gets no server");
    answers(&client).await;
    gw.stop().await;
}

/// A session that is in use: a stream is open.
async fn busy(door: &Door) -> (Legacy, wasmgate_tests::http::Head) {
    let client = Legacy::connect(door.clone(), "2025-11-25").await;
    let stream = client.dress(door.ask("GET")).open().await;
    assert_eq!(stream.status, 200);
    (client, stream)
}

#[tokio::test]
async fn f35_one_session_more_than_there_may_be_is_opened() {
    for limits in ["{sessions: {total: 3}}", "{sessions: {perPrincipal: 3}}"] {
        let gw = with_limits(limits).await;
        let door = gw.door("/servers/fx/mcp");
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(busy(&door).await);
        }
        let refused = hello(&door).send().await;
        assert_eq!(refused.status, 429, "{limits}: {}", refused.text());
        let error = only(&refused)["error"].clone();
        assert_eq!(error["data"]["code"], "limit_exceeded", "{error}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains("sessions")), "{error}");
        let (one, stream) = held.pop().expect("one of three");
        answers(&one).await;
        drop(stream);
        assert_eq!(one.dress(door.ask("DELETE")).send().await.status, 200);
        assert_eq!(hello(&door).send().await.status, 200, "there is room again");
        gw.stop().await;
    }
}

#[tokio::test]
async fn f35_one_call_more_than_a_session_may_have_at_once() {
    let gw = with_limits("{inFlight: {perSession: 3}}").await;
    let (client, other) = (gw.alone("fx").await, gw.alone("fx").await);
    let slow = |id: u64| {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "slow"}});
        tokio::spawn(client.post(body.to_string()).send())
    };
    let held = [slow(101), slow(102), slow(103)];
    other.call("wait_started", json!({"count": 3})).await;
    let refused = client
        .post(r#"{"jsonrpc":"2.0","id":104,"method":"tools/call","params":{"name":"text"}}"#)
        .send()
        .await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(only(&refused)["error"]["data"]["code"], "limit_exceeded", "{}", refused.text());
    answers(&other).await;
    client.notify("notifications/cancelled", json!({"requestId": 102})).await;
    other.call("wait_cancelled", json!({"count": 1})).await;
    soon("its place being free", async {
        while client.request("tools/call", json!({"name": "text"})).await.get("result").is_none() {}
    })
    .await;
    for id in [101, 103] {
        client.notify("notifications/cancelled", json!({"requestId": id})).await;
    }
    for call in held {
        soon("the end of a cancelled call", call).await.expect("no panic");
    }
    gw.stop().await;
}

#[tokio::test]
async fn f35_strangers_open_sessions_and_guess_ids() {
    let mut entry = fixture(&["server", "--stdio"]);
    entry["longLived"] = true.into();
    let gw = gateway().catalog(Catalog::new().entry("fx", entry)).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let processes = gw.processes().len();
    let before = process::resident(gw.pid);
    let id = client.session.clone().expect("an id");
    // One letter of a good one changed, cut off, longer, and nothing like it.
    let turned = |at: usize| {
        let mut bytes = id.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("ASCII")
    };
    let middle = id.len() / 2;
    let guesses = [
        turned(0),
        turned(middle),
        turned(id.len() - 1),
        id[..middle].to_owned(),
        format!("{id}A"),
        "guess".to_owned(),
    ];
    for _ in 0..50 {
        for guess in &guesses {
            let call =
                client.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"text"}}"#);
            let call = call.header("mcp-session-id", guess);
            assert_eq!(call.clone().without("authorization").send().await.status, 401, "{guess}");
            assert_eq!(call.send().await.status, 404, "{guess}");
        }
        let door = Door { token: None, ..gw.door("/servers/fx/mcp") };
        assert_eq!(hello(&door).send().await.status, 401);
    }
    assert_eq!(gw.processes().len(), processes, "nothing is started for whoever has no session");
    let grown = process::resident(gw.pid).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for guesses");
    answers(&client).await;
    gw.stop().await;
}

/// Every way of using a session.
fn uses(client: &Legacy) -> Vec<(&'static str, Ask)> {
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    vec![
        ("POST", client.post(list)),
        ("a notification", client.post(cancel)),
        ("GET", client.dress(client.door.ask("GET"))),
        ("DELETE", client.dress(client.door.ask("DELETE"))),
    ]
}

#[tokio::test]
async fn f36_a_session_id_is_used_with_another_token_or_none() {
    let gw = with_limits("{}").await;
    let client = gw.alone("fx").await;
    for (how, ask) in uses(&client) {
        let wrong = ask.clone().header("authorization", format!("Bearer {TOKEN}x")).send().await;
        assert_eq!(wrong.status, 401, "{how} with another token");
        let none = ask.without("authorization").send().await;
        assert_eq!(none.status, 401, "{how} without one");
        let text = format!("{}{}", wrong.text(), none.text());
        assert!(!text.contains("tools") && !text.contains("session"), "nothing is said of it: {text}");
    }
    answers(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f36_a_session_id_is_used_by_another_principal() {
    const KEY: &str = "a-key-that-nobody-can-guess-0123456789abcdef";
    let start = async |builder: wasmgate_tests::Gateway| {
        let gw = builder.catalog(good("fx")).config("sealing: {keys: [one]}\n");
        let gw = gw.env("WASMGATE_SECRET_ONE", KEY).start().await;
        gw.ready(["fx"]).await;
        gw
    };
    // Whoever needs no token is another principal than whoever has one; both gateways open each other's ids.
    let (owners, thiefs) = (start(gateway()).await, start(gateway().open()).await);
    let owner = owners.alone("fx").await;
    let stolen = owner.at(thiefs.door("/servers/fx/mcp"));
    for (how, ask) in uses(&stolen) {
        let answer = ask.send().await;
        assert_eq!(answer.status, 404, "{how}: {}", answer.text());
        let error: Value = only(&answer)["error"].clone();
        assert_eq!(error["data"]["code"], "session_unknown", "as if there were none: {error}");
    }
    answers(&owner).await;
    // The other way round, too: nobody's session is not the owner's.
    let nobodys = thiefs.alone("fx").await;
    for (how, ask) in uses(&nobodys.at(owners.door("/servers/fx/mcp"))) {
        assert_eq!(ask.send().await.status, 404, "{how}");
    }
    answers(&nobodys).await;
    owners.stop().await;
    thiefs.stop().await;
}

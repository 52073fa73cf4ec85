//! Long results: passed on as they come, held by nobody, broken off where their server breaks off.

use serde_json::{Value, json};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::hostile::{Heard, Hostile, Step, events, head, hostile};
use wasmgate_tests::http::Head;
use wasmgate_tests::mcp::{parsed, with_meta};
use wasmgate_tests::{Legacy, Running, gateway, invariants, process, soon};

/// The remote `far`, whose tool answers as `rule` says, alone behind a gateway that looks at nothing.
async fn far(
    rule: impl Fn(&Heard, usize) -> Option<Vec<Step>> + Send + Sync + 'static,
) -> (Hostile, Running, Legacy) {
    before(&UNSEEN, "", rule).await
}

async fn before(
    arguments: &[&str],
    config: &str,
    rule: impl Fn(&Heard, usize) -> Option<Vec<Step>> + Send + Sync + 'static,
) -> (Hostile, Running, Legacy) {
    let far = hostile(move |heard, before| match heard.kind() {
        "tools/call" => rule(heard, before),
        _ => None,
    })
    .await;
    let catalog = Catalog::new().remote("far", &far.url(), "streamable-http");
    let gw = gateway().catalog(catalog).servers(["far"]).config(config);
    let gw = arguments.iter().fold(gw, |gw, argument| gw.arg(*argument)).start().await;
    gw.ready(["far"]).await;
    let client = gw.legacy().await;
    (far, gw, client)
}

/// How a server sends its answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Json,
    Events,
}

/// A response, the result as it is spelt.
fn response(heard: &Heard, kind: Kind, result: &str) -> Vec<Step> {
    message(kind, &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, heard.body["id"]))
}

fn message(kind: Kind, message: &str) -> Vec<Step> {
    let is_json = kind == Kind::Json;
    let body =
        if is_json { message.to_owned() } else { format!("id: 1\nevent: message\ndata: {message}\n\n") };
    let media = if is_json { "application/json" } else { "text/event-stream" };
    vec![Step::Say([head(200, &[("content-type", media)], Some(body.len())), body.into_bytes()].concat())]
}

/// A result of so many bytes, not all the same.
fn long(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    text.push_str(r#"{"content":[{"type":"text","text":""#);
    let mut number = 0_u64;
    while text.len() < bytes {
        text.push_str(&format!(
            "line {number} \\u00e4 ä \\\"quoted\\\" {{not}} [json] {:x}\\n",
            number * 0x9e37_79b9
        ));
        number += 1;
    }
    text.push_str(r#""}],"isError" : false , "n":[1e400,-0.0,1.50]}"#);
    text
}

const CALL: &str = "work";
/// The interceptors that are on by themselves want to see results.
const UNSEEN: [&str; 2] = ["--block-secrets=false", "--log-calls=false"];

async fn opened(client: &Legacy) -> (u64, Head) {
    client.open("tools/call", json!({"name": CALL, "arguments": {}})).await
}

/// The result of a call, as it came, or how it broke off.
async fn called(client: &Legacy) -> Result<String, String> {
    let (id, head) = opened(client).await;
    assert_eq!(head.status, 200);
    let body = head.to_its_end().await?;
    let text = String::from_utf8(body).expect("UTF-8");
    let result = text.strip_prefix(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#));
    Ok(result.and_then(|text| text.strip_suffix('}')).unwrap_or(&text).to_owned())
}

/// The newest line of the audit log for this outcome.
async fn noted(gw: &Running, outcome: &str) -> Value {
    soon(&format!("a line that says {outcome}"), async {
        loop {
            let lines = invariants::audit(gw.home());
            if let Some(line) = lines.into_iter().rev().find(|line| line["outcome"] == outcome) {
                return line;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_result_of_64_mebibytes_is_not_held() {
    let result = std::sync::Arc::new(long(64 << 20));
    for kind in [Kind::Json, Kind::Events] {
        let said = std::sync::Arc::clone(&result);
        let (far, gw, client) = far(move |heard, _| Some(response(heard, kind, &said))).await;
        for round in ["warm-up", "measured"] {
            process::forget_peak(gw.pid);
            let before = process::resident(gw.pid);
            assert!(
                called(&client).await.as_deref() == Ok(&result),
                "{kind:?}: every byte as it was written"
            );
            let grown = process::peak(gw.pid).saturating_sub(before);
            eprintln!("{kind:?}, {round}: the gateway grew by {} KiB", grown >> 10);
            assert!(round == "warm-up" || grown < 4 << 20, "{kind:?}: the gateway grew by {grown} bytes");
        }
        assert_eq!(noted(&gw, "ok").await["server"], "far");
        assert_eq!(far.count("notifications/cancelled"), 0);
        gw.stop().await;
    }
}

/// What a modern client must get of a result.
#[track_caller]
fn is_for_modern_clients(message: &Value, result: &str) {
    let (got, meant): (&Value, Value) = (&message["result"], serde_json::from_str(result).expect("JSON"));
    assert_eq!(got["resultType"], "complete");
    assert!(got["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());
    let is_there = |(name, value): (&String, &Value)| got[name] == *value;
    assert!(
        meant.as_object().is_some_and(|meant| meant.iter().all(is_there)),
        "everything as it was written"
    );
}

/// A result whose numbers everybody can hold.
fn tame(bytes: usize) -> String {
    long(bytes).replace("1e400,-0.0,1.50", "1,2")
}

#[tokio::test]
async fn modern_clients_get_long_results_too() {
    let result = tame(3 << 20);
    for kind in [Kind::Json, Kind::Events] {
        let said = result.clone();
        let (_far, gw, _) = far(move |heard, _| Some(response(heard, kind, &said))).await;
        let got = gw.modern().request("tools/call", json!({"name": CALL, "arguments": {}})).await;
        is_for_modern_clients(&got, &result);
        gw.stop().await;
    }
}

#[tokio::test]
async fn a_long_result_comes_behind_progress_on_the_same_stream() {
    // Spread over lines, as JSON may be and an event of ours is not.
    let result = tame(3 << 20).replace(" , ", " ,\n ");
    let said = result.clone();
    let (_far, gw, _) = far(move |heard, _| {
        let token = &heard.body["params"]["_meta"]["progressToken"];
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 1}});
        let spread = said.replace('\n', "\ndata: ");
        let result = format!(
            "data: {{\"jsonrpc\":\"2.0\",\"id\":{},\ndata: \"result\":{spread}}}\n\n",
            heard.body["id"]
        );
        Some(vec![
            events(),
            Step::Say(format!("data: {progress}\n\n").into_bytes()),
            Step::Say(result.into_bytes()),
            Step::Close,
        ])
    })
    .await;
    let params = json!({"name": CALL, "arguments": {}, "_meta": {"progressToken": "mine"}});
    let answer = gw.modern().ask("tools/call", with_meta(params)).send().await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let messages: Vec<Value> = answer.messages().iter().map(|text| parsed(text)).collect();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["params"]["progressToken"], "mine");
    is_for_modern_clients(&messages[1], &result);
    gw.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_stops_the_server() {
    for kind in [Kind::Json, Kind::Events] {
        let (far, gw, client) = far(move |heard, _| {
            let begin = format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[{{"type":"text","text":""#,
                heard.body["id"]
            );
            let head = match kind {
                Kind::Json => Step::Say(head(
                    200,
                    &[("content-type", "application/json"), ("connection", "close")],
                    None,
                )),
                Kind::Events => events(),
            };
            let data = if kind == Kind::Events { "data: " } else { "" };
            Some(vec![
                head,
                Step::Say(format!("{data}{begin}").into_bytes()),
                Step::Flood(vec![b'x'; 1 << 20]),
            ])
        })
        .await;
        let (_, mut answer) = opened(&client).await;
        let first = answer.piece().await.expect("a beginning").expect("some bytes");
        assert!(first.starts_with(b"{"));
        // The server writes on until nobody takes it: every answer to another request shows that the gateway was not idle.
        let (mut last, mut steady) = (0, 0);
        while steady < 50 {
            assert_eq!(gw.get("/health").await.status, 200);
            let written = far.written();
            steady = if written == last { steady + 1 } else { 0 };
            last = written;
        }
        assert!((256 << 10..48 << 20).contains(&last), "{kind:?}: the server could write {last} bytes");
        assert_eq!(far.cut_off(), 0);
        // Somebody reads again, and the server writes on.
        while far.written() <= last + (1 << 20) {
            answer.piece().await.expect("more").expect("some bytes");
        }
        drop(answer);
        until("the end of the server's connection", || far.cut_off() == 1).await;
        until("word that nobody waits", || far.count("notifications/cancelled") == 1).await;
        assert_eq!(noted(&gw, "cancelled").await["server"], Value::Null);
        gw.stop().await;
    }
}

#[tokio::test]
async fn what_breaks_off_at_the_server_breaks_off_at_the_client() {
    let begin = |heard: &Heard| {
        let padding = "x".repeat(1 << 20);
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[],"a":"{padding}"#, heard.body["id"])
    };
    let cases: [(&str, &str, &str); 9] = [
        ("it ends too early", "", "upstream_crashed"),
        ("no JSON", r#""x}}"#, "upstream_misbehaved"),
        ("a bare control character", "\u{1}\"}}", "upstream_misbehaved"),
        ("twice the same", r#"","a":1}}"#, "upstream_misbehaved"),
        ("another id", r#""},"id":4711}"#, "upstream_misbehaved"),
        ("an error besides", r#""},"error":{"code":1,"message":""}}"#, "upstream_misbehaved"),
        ("more behind it", r#""}}{}"#, "upstream_misbehaved"),
        ("a question after all", r#"","resultType":"input_required"}}"#, "upstream_misbehaved"),
        ("a task after all", r#"","resultType":"task","taskId":"x"}}"#, "upstream_misbehaved"),
    ];
    for kind in [Kind::Json, Kind::Events] {
        let (far, gw, client) = far(move |heard, before| {
            let (what, tail, _) = cases.get(before / 2).filter(|_| before % 2 == 0)?;
            let text = begin(heard) + tail;
            let mut steps = message(kind, &text);
            if *what == "it ends too early" {
                let Some(Step::Say(bytes)) = steps.first_mut() else { return None };
                bytes.truncate(bytes.len() - 5);
                steps.push(Step::Close);
            }
            Some(steps)
        })
        .await;
        for (what, _, code) in cases {
            let broken = called(&client).await;
            assert!(broken.is_err(), "{kind:?}, {what}: looked like a whole answer");
            soon("its line", async {
                while !invariants::audit(gw.home()).last().is_some_and(|line| line["code"] == code) {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            })
            .await;
            // Nothing of it is left over for the next call.
            assert!(
                called(&client).await.is_ok_and(|result| result.contains("done")),
                "{kind:?} after {what}"
            );
        }
        assert_eq!(far.count("tools/call"), 2 * cases.len());
        gw.stop().await;
    }
}

#[tokio::test]
async fn a_tool_that_fails_at_length_is_noted_as_one_that_failed() {
    let result = long(1 << 20).replace("\"isError\" : false", "\"isError\" : true");
    let said = result.clone();
    let (_far, gw, client) = far(move |heard, _| Some(response(heard, Kind::Json, &said))).await;
    assert!(called(&client).await == Ok(result), "every byte as it was written");
    noted(&gw, "tool_error").await;
    gw.stop().await;
}

#[tokio::test]
async fn whoever_looks_at_results_sees_whole_ones() {
    let lengths = [1 << 20, 20 << 20];
    let rule = move |heard: &Heard, before| Some(response(heard, Kind::Json, &long(lengths[before])));
    let (_far, gw, client) = before(&[], "", rule).await;
    assert!(called(&client).await == Ok(long(lengths[0])), "every byte as it was written");
    let refused = called(&client).await.expect("an answer");
    assert!(refused.contains("limit_exceeded"), "what must be held is not longer than a message may be");
    gw.stop().await;
}

#[tokio::test]
async fn a_result_longer_than_may_flow_breaks_off() {
    let rule = |heard: &Heard, before| (before == 0).then(|| response(heard, Kind::Events, &long(3 << 20)));
    let (far, gw, client) = before(&UNSEEN, "limits: {streamedResult: 2MiB}\n", rule).await;
    assert!(called(&client).await.is_err());
    let line = noted(&gw, "failed").await;
    assert_eq!(line["code"], "limit_exceeded");
    until("word that nobody waits", || far.count("notifications/cancelled") == 1).await;
    assert!(called(&client).await.is_ok());
    gw.stop().await;
}

#[tokio::test]
async fn a_client_that_cancels_gets_no_more() {
    let (far, gw, client) = far(|heard, _| {
        let begin = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[],"a":""#, heard.body["id"]);
        let head = Step::Say(head(200, &[("content-type", "application/json")], Some(1 << 30)));
        Some(vec![head, Step::Say(begin.into_bytes()), Step::Say(vec![b'x'; 1 << 20]), Step::Hang])
    })
    .await;
    let (id, mut answer) = opened(&client).await;
    answer.piece().await.expect("a beginning").expect("some bytes");
    client.notify("notifications/cancelled", json!({"requestId": id})).await;
    assert!(answer.to_its_end().await.is_err());
    until("word that nobody waits", || far.count("notifications/cancelled") == 1).await;
    gw.stop().await;
}

//! What servers say on their pipes: noise, lies, floods and questions nobody wanted (F09 to F16).

use serde_json::{Value, json};
use wasmgate_tests::faulty::{FINE, faulty, is, logged};
use wasmgate_tests::mcp::{error, parsed};
use wasmgate_tests::{process, soon};

const DEBUG: (&str, &str) = ("WASMGATE_LOG", "wasmgate=debug");

#[tokio::test]
async fn f09_stdout_carries_garbage_between_messages() {
    let bad = faulty().with(|gw| gw.env(DEBUG.0, DEBUG.1)).start().await;
    let garbage = [
        "Debug: connecting to database ...",
        "\u{1b}[32mgreen\u{1b}[0m \u{1b}]0;owned\u{7}",
        "hex:fffe207061727469616c20c3",
        "hex:6e756c000062797465",
        r#"{"jsonrpc":"2.0","#,
        "42",
        "\u{202e}gnp.exe",
    ];
    for noise in garbage {
        let answer = bad.says(&[noise, FINE, noise]).await;
        assert_eq!(answer["result"]["ok"], true, "{noise}: {answer}");
    }
    let with_bom = format!(
        "hex:efbbbf{}",
        hex(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#)
    );
    let carriage = format!("{FINE}\r");
    assert_eq!(bad.says(&["", "\r", &with_bom, &carriage]).await["result"]["ok"], true);
    bad.both_are_fine().await;
    let ended = bad.gw.stop().await;
    for obeyed in ['\u{1b}', '\u{7}', '\u{202e}', '\0'] {
        assert!(!ended.stderr.contains(obeyed), "what a terminal would obey reached the log: {obeyed:?}");
    }
    let over = logged(&ended.stderr, "connection over");
    let counted = over.iter().find(|event| event["server"] == "bad").map(|event| event["garbage"].clone());
    assert_eq!(counted, Some(json!(2 * garbage.len())), "every line of it is counted: {over:?}");
    let shown = logged(&ended.stderr, "stdout line is not a message: ignored");
    assert_eq!(shown.len(), 10, "and a few are shown");
}

#[tokio::test]
async fn f10_a_line_of_100_megabytes() {
    // Without the interceptor that reads every byte: what is measured is the pipe.
    let bad = faulty().with(|gw| gw.arg("--block-secrets=false")).start().await;
    bad.both_are_fine().await;
    for (case, arguments) in [
        ("its id comes first", json!({"bytes": 100 << 20})),
        ("its id comes last", json!({"bytes": 100 << 20, "id": "last"})),
        ("it never ends", json!({"bytes": 100 << 20, "end": false})),
    ] {
        process::forget_peak(bad.gw.pid);
        let before = process::resident(bad.gw.pid);
        is(&bad.fails("long", arguments).await, "limit_exceeded");
        let grown = process::peak(bad.gw.pid).saturating_sub(before);
        assert!(grown < (16 << 20) + (3 << 20), "{case}: the gateway grew by {grown} bytes");
    }
    // The rest of the long line is dropped up to its end.
    assert_eq!(bad.says(&["", FINE]).await["result"]["ok"], true);
    bad.both_are_fine().await;
    bad.gw.stop().await;
}

#[tokio::test]
async fn f10_an_answer_just_within_the_limit() {
    let bad = faulty().with(|gw| gw.arg("--block-secrets=false")).start().await;
    let bytes = (16 << 20) - 100;
    assert_eq!(bad.call("long", json!({"bytes": bytes})).await.as_str().map(str::len), Some(bytes));
    bad.gw.stop().await;
}

#[tokio::test]
async fn f11_answers_that_break_parsers() {
    let bad = faulty().with(|gw| gw.arg("--block-secrets=false")).start().await;
    let answer = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#);
    for (what, result) in [
        ("arrays in arrays", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("arrays that never close", "[".repeat(100_000)),
        ("objects in objects", format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000))),
        ("one too deep", format!("{}{}", "[".repeat(64), "]".repeat(64))),
        ("half a surrogate pair", r#"{"content":[],"x":"\ud800"}"#.to_owned()),
        ("the other half", r#"{"content":[],"x":"\udc00\ud800"}"#.to_owned()),
        ("no number", r#"{"content":[],"x":01}"#.to_owned()),
        ("not a number", r#"{"content":[],"x":NaN}"#.to_owned()),
    ] {
        let response = bad.says(&[&answer(&result)]).await;
        is(&error(response), "upstream_misbehaved");
        eprintln!("{what}: refused");
    }
    // Numbers stay as they are spelt, and what is merely large passes.
    let odd = r#"{"content":[],"n":[1e999999,-0.0,1.50e+01,123456789012345678901234567890,0.1000]}"#;
    let arguments = json!({"lines": [answer(odd)]});
    let params = json!({"name": "bad__say", "arguments": arguments}).to_string();
    assert!(bad.client.raw_call(&params).await.contains(odd));
    let text = bad.call("long", json!({"bytes": 10 << 20})).await;
    assert_eq!(text.as_str().map(str::len), Some(10 << 20));
    let many = bad.call("many", json!({"members": 1_000_000})).await;
    assert_eq!(many.as_object().map(serde_json::Map::len), Some(1_000_000));
    bad.both_are_fine().await;
    bad.gw.stop().await;
}

#[tokio::test]
async fn f12_members_that_two_parsers_read_differently() {
    let bad = faulty().deadlines("1s", "2s").start().await;
    for twice in [
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]},"result":{"content":[1]}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"content":[1]}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"deep":[{"a":1,"\u0061":2}]}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":1,"message":"a","message":"b"}}"#,
    ] {
        is(&error(bad.says(&[twice]).await), "upstream_misbehaved");
    }
    // An envelope in other letters is none, so the call is not answered by it.
    for other in [
        r#"{"jsonrpc":"2.0","ID":$ID,"result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":$ID,"Result":{"content":[]}}"#,
        r#"{"JSONRPC":"2.0","id":$ID,"result":{"content":[]}}"#,
    ] {
        let code = error(bad.says(&[other]).await)["data"]["code"].clone();
        assert!(code == "upstream_misbehaved" || code == "upstream_timeout", "{other}: {code}");
    }
    // Members beside the known ones stay behind; a result's own pass as they are spelt.
    let mine =
        r#"{"content":[],"__proto__":{"polluted":true},"Content":[7],"constructor":1,"\u0063ontents":2}"#;
    let line = format!(r#"{{"jsonrpc":"2.0","id":$ID,"Id":7,"__proto__":{{}},"Result":1,"result":{mine}}}"#);
    let params = json!({"name": "bad__say", "arguments": {"lines": [line]}}).to_string();
    let got = bad.client.raw_call(&params).await;
    assert!(got.contains(mine), "{got}");
    let mut envelope: Vec<String> = parsed(&got).as_object().expect("an object").keys().cloned().collect();
    envelope.sort();
    assert_eq!(envelope, ["id", "jsonrpc", "result"], "{got}");
    bad.both_are_fine().await;
    bad.gw.stop().await;
}

#[tokio::test]
async fn f13_a_server_sends_invalid_json_rpc() {
    let bad = faulty().with(|gw| gw.env(DEBUG.0, DEBUG.1)).start().await;
    let stray = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"stray":true}}}}"#);
    let strays = ["null", "1.5", "{}", "[1]", "9223372036854775808", "-1", "424242", "\"$ID\"", "true"];
    for id in strays {
        let answer = bad.says(&[&stray(id), FINE]).await;
        assert_eq!(answer["result"]["ok"], true, "an id of {id}: {answer}");
    }
    for line in [
        r#"{"jsonrpc":"2.0","method":7}"#,
        r#"{"jsonrpc":"2.0","id":"x","method":"roots/list","params":[1]}"#,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","id":"x","result":{},"error":{}}"#,
        "[]",
    ] {
        assert_eq!(bad.says(&[line, FINE]).await["result"]["ok"], true, "{line}");
    }
    for line in
        [r#"{"id":$ID,"result":{"content":[]}}"#, r#"{"jsonrpc":"1.0","id":$ID,"result":{"content":[]}}"#]
    {
        is(&error(bad.says(&[line]).await), "upstream_misbehaved");
    }
    // The second answer to one request is nobody's, whoever calls next.
    let twice = FINE.replace("\"ok\":true", "\"ok\":\"again\"");
    assert_eq!(bad.says(&[FINE, &twice]).await["result"]["ok"], true);
    bad.both_are_fine().await;
    let ended = bad.gw.stop().await;
    let over = logged(&ended.stderr, "connection over");
    let dropped =
        over.iter().find(|event| event["server"] == "bad").and_then(|event| event["dropped"].as_u64());
    assert!(dropped.is_some_and(|dropped| dropped >= 2), "what nobody waits for is counted: {over:?}");
}

#[tokio::test]
async fn f13_a_client_sends_invalid_json_rpc() {
    let bad = faulty().start().await;
    let call = |id: &str, tool: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"bad__{tool}"}}}}"#)
    };
    for body in [
        format!("[{}]", call("1", "pid")),
        call("null", "pid"),
        call("1.5", "pid"),
        call("{}", "pid"),
        call("9223372036854775808", "pid"),
        call("7", "pid").replace("\"jsonrpc\":\"2.0\",", ""),
    ] {
        let answer = bad.client.post(body.clone()).send().await;
        let refused = wasmgate_tests::mcp::only(&answer)["error"]["code"].clone();
        assert_eq!(refused, -32600, "{body}: {}", answer.text());
    }
    assert_eq!(bad.calls_of("pid"), 0, "nothing of it reached the server");
    // An id that is in use is refused, and its first user served.
    let first = bad.client.post(call("70", "hold")).send();
    let second = async {
        bad.got("hold", 1).await;
        let refused = bad.client.post(call("70", "pid")).send().await;
        assert_eq!(wasmgate_tests::mcp::only(&refused)["error"]["code"], -32600, "{}", refused.text());
        bad.call("let_go", json!({})).await;
    };
    let (answer, ()) = tokio::join!(first, second);
    let answer = wasmgate_tests::mcp::only(&answer);
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(70), &json!("too late")));
    assert_eq!(bad.calls_of("pid"), 0);
    bad.gw.stop().await;
}

#[tokio::test]
async fn f14_a_server_floods_a_call_with_progress() {
    let bad = faulty().start().await;
    let flooding = {
        let client = bad.client.clone();
        let params =
            json!({"name": "bad__talk", "arguments": {"count": 30_000}, "_meta": {"progressToken": "t"}});
        tokio::spawn(async move { client.messages("tools/call", params).await })
    };
    for _ in 0..20 {
        bad.the_good_one_is_fine().await;
    }
    let messages = soon("the end of the flood", flooding).await.expect("no panic");
    let (answer, events) = messages.split_last().expect("an answer");
    assert_eq!(answer["result"]["content"][0]["text"], "talked");
    assert!(events.len() < 5000, "a burst of 1000 and 100 a second: {} came", events.len());
    let last = events.last().map(|event| event["params"]["progress"].clone());
    assert_eq!(last, Some(json!(29_999)), "the latest progress comes before the answer");
    bad.gw.stop().await;
}

#[tokio::test]
async fn f14_a_server_floods_everybody_without_end() {
    let bad = faulty().start().await;
    assert_eq!(bad.call("chat", json!({})).await["content"][0]["text"], "chatting");
    process::forget_peak(bad.gw.pid);
    let before = process::resident(bad.gw.pid);
    // Each of these answers comes amid the flood, and none waits for its end, which never comes.
    for _ in 0..20 {
        bad.both_are_fine().await;
    }
    let grown = process::peak(bad.gw.pid).saturating_sub(before);
    assert!(grown < 32 << 20, "a flood grew the gateway by {grown} bytes");
    bad.gw.stop().await;
}

#[tokio::test]
async fn f15_stderr_is_flooded() {
    let bad = faulty().with(|gw| gw.env(DEBUG.0, "wasmgate=debug")).start().await;
    assert_eq!(bad.call("stderr", json!({})).await["content"][0]["text"], "flooding");
    process::forget_peak(bad.gw.pid);
    let before = process::resident(bad.gw.pid);
    for _ in 0..100 {
        bad.both_are_fine().await;
    }
    let grown = process::peak(bad.gw.pid).saturating_sub(before);
    assert!(grown < 16 << 20, "a flood grew the gateway by {grown} bytes");
    let ended = bad.gw.stop().await;
    assert!(ended.stderr.len() < 4 << 20, "{} bytes of log", ended.stderr.len());
    assert!(!ended.stderr.contains('\u{1b}'), "a server's escape sequences reached the log");
}

#[tokio::test]
async fn f16_a_server_asks_a_client_that_declared_nothing() {
    let bad = faulty().start().await;
    for method in ["sampling/createMessage", "elicitation/create", "roots/list", "tools/call", "no/such"] {
        let params =
            json!({"name": "bad__ask_back", "arguments": {"method": method, "params": {"message": "hello"}}});
        let messages = bad.client.messages("tools/call", params).await;
        assert_eq!(messages.len(), 1, "the client sees nothing of it: {messages:?}");
        let reply: &Value = &messages[0]["result"]["structuredContent"];
        assert_eq!(reply["error"]["code"], -32601, "{method}: {reply}");
    }
    let modern = bad.gw.modern();
    let reply = modern.call("bad__ask_back", json!({"method": "sampling/createMessage", "params": {}})).await;
    assert_eq!(reply["structuredContent"]["error"]["code"], -32601, "{reply}");
    bad.both_are_fine().await;
    bad.gw.stop().await;
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

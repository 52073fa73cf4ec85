//! What servers say on their pipes: noise, lies, floods and questions nobody wanted (F09 to F16).

use std::io::Write as _;

use serde_json::{Value, json};
use wasmgate_tests::faulty::{FINE, faulty, is, logged};
use wasmgate_tests::mcp::{error, parsed};
use wasmgate_tests::{process, require, soon};

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
    // The server got its environment from us, and nothing of that gets out this way.
    let secret = bad.gw.home().join("notes").display().to_string();
    let told = format!("my notes are in {secret}");
    assert_eq!(bad.says(&[&told, FINE]).await["result"]["ok"], true);
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
    assert_eq!(counted, Some(json!(2 * garbage.len() + 1)), "every line of it is counted: {over:?}");
    assert!(!ended.stderr.contains(&told), "a value of its environment was logged");
    let shown = logged(&ended.stderr, "stdout line is not a message: ignored");
    assert_eq!(shown.len(), 10, "and a few are shown");
}

#[tokio::test]
async fn f09_garbage_without_measure_marks_a_server_until_it_is_another_one() {
    let bad = faulty().start().await;
    let noise = |lines: usize| ["no message"].repeat(lines).into_iter().chain([FINE]).collect::<Vec<_>>();
    assert_eq!(bad.says(&noise(100)).await["result"]["ok"], true);
    assert_eq!(bad.gw.state("bad").await["state"], "ready", "so many a minute are bearable");
    assert_eq!(bad.says(&noise(1)).await["result"]["ok"], true);
    let marked = bad.gw.reaches("bad", &["degraded"]).await;
    assert!(marked["reason"].as_str().is_some_and(|reason| reason.contains("no messages")), "{marked}");
    bad.both_are_fine().await;
    assert_eq!(bad.gw.state("fx").await["state"], "ready");
    // Another process has said nothing yet.
    is(&bad.fails("die", json!({})).await, "upstream_crashed");
    bad.back().await;
    bad.gw.reaches("bad", &["ready"]).await;
    bad.gw.stop().await;
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

#[tokio::test]
async fn f12_what_passes_is_read_alike_by_three_parsers() {
    require!(runs("python3"));
    require!(runs("node"));
    let bad = faulty().start().await;
    let mut passed = Vec::new();
    for result in RESULTS {
        let line = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#);
        let arguments = json!({"name": "bad__say", "arguments": {"lines": [line]}});
        let response = bad.client.raw_call(&arguments.to_string()).await;
        if !response.contains("upstream_misbehaved") {
            assert!(response.contains(result), "what passes is not changed: {response}");
            passed.push(response);
        }
    }
    assert_eq!(passed.len(), 12, "{passed:?}");
    let ours: Vec<Value> = passed.iter().map(|text| without_numbers(parsed(text))).collect();
    assert_eq!(read_by(&["python3", "-c", PYTHON], &passed), ours);
    assert_eq!(read_by(&["node", "-e", NODE], &passed), ours);
    bad.gw.stop().await;
}

/// Results: the first twelve are JSON that everybody reads alike, the others are not.
const RESULTS: &[&str] = &[
    r#"{"content":[],"a":{"b":[1,-0,1E300,123456789012345678901234567890]}}"#,
    r#"{"content":[],"__proto__":{"a":1},"constructor":{"prototype":{}},"toString":7}"#,
    r#"{"content":[],"name":1,"Name":2,"NAME":3,"n\u0061me ":4}"#,
    r#"{"content":[],"":{"":[]}}"#,
    r#"{"content":[],"\u0000":"\u0000\u001f\u007f"}"#,
    r#"{"content":[],"\ud83d\ude00":"😀"}"#,
    r#"{"content":[],"s":"\/\b\f\n\r\t\"\\"}"#,
    r#"{"content":[],"s":"\u2028 \u2029 \ufeff"}"#,
    r#"{"content":[],"caf\u00e9":1,"cafe\u0301":2}"#,
    r#"{ "content" : [ ] , "t" : [ true , false , null ] }"#,
    r#"{"content":[],"s":"<!-- --> // /* */ ' `"}"#,
    r#"{"content":[],"e":[1e5,1E+5,1e-5,0.1,-1.5]}"#,
    r#"{"content":[],"a":1,"a":2}"#,
    r#"{"content":[],"a":1,"\u0061":2}"#,
    r#"{"content":[],"x":{"deep":[{"b":1,"b":2}]}}"#,
    r#"{"content":[],"s":"\ud800"}"#,
    r#"{"content":[],"s":"\udc00\ud800"}"#,
    r#"{"content":[],"n":NaN}"#,
    r#"{"content":[],"n":Infinity}"#,
    r#"{"content":[],"n":+1}"#,
    r#"{"content":[],"n":01}"#,
    r#"{"content":[],"n":1.}"#,
    r#"{"content":[],"n":.5}"#,
    r#"{"content":[],"n":0x10}"#,
    r#"{"content":[],}"#,
    r#"{"content":[1,]}"#,
    r#"{"content":[],'a':1}"#,
    r#"{"content":[],a:1}"#,
    r#"{"content":[] /* a */}"#,
    "{\"content\":[],\"s\":\"\u{1}\"}",
    "{\"content\":[],\u{a0}\"s\":1}",
    r#"{"content":[],"s":"\x41"}"#,
    r#"{"content":[],"s":"\u12"}"#,
];

const PYTHON: &str = "
import json, sys
def plain(v):
    if isinstance(v, dict): return {k: plain(w) for k, w in v.items()}
    if isinstance(v, list): return [plain(w) for w in v]
    return v if isinstance(v, (str, bool)) or v is None else 0
for line in sys.stdin.buffer: print(json.dumps(plain(json.loads(line))))
";

const NODE: &str = "
const plain = v => {
    if (Array.isArray(v)) return v.map(plain);
    if (typeof v === 'number') return 0;
    if (typeof v !== 'object' || v === null) return v;
    const object = Object.create(null);
    for (const [k, w] of Object.entries(v)) object[k] = plain(w);
    return object;
};
const lines = require('fs').readFileSync(0, 'utf8').split('\\n').filter(line => line);
for (const line of lines) console.log(JSON.stringify(plain(JSON.parse(line))));
";

/// What another parser makes of these texts, one a line.
fn read_by(command: &[&str], texts: &[String]) -> Vec<Value> {
    let mut child = std::process::Command::new(command[0])
        .args(&command[1..])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("checked before");
    let mut input = child.stdin.take().expect("piped");
    input.write_all((texts.join("\n") + "\n").as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).lines().map(parsed).collect()
}

fn runs(program: &str) -> Result<(), String> {
    let tried = std::process::Command::new(program).arg("--version").output();
    tried.map(|_| ()).map_err(|error| format!("no {program}: {error}"))
}

/// Parsers differ in how exact their numbers are, which is no matter of what a message says to whom.
fn without_numbers(value: Value) -> Value {
    match value {
        Value::Number(_) => json!(0),
        Value::Array(all) => all.into_iter().map(without_numbers).collect(),
        Value::Object(all) => all.into_iter().map(|(name, value)| (name, without_numbers(value))).collect(),
        other => other,
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

//! Nothing is lost on the way: one conversation, held by one driver directly with a server and once more through the
//! gateway, must be the same message by message and letter by letter, apart from what [`DIFFERENCES`] lists.
//!
//! The driver uses the same ids, tokens and names both times, so those are compared too. A server's own words about
//! itself, its process and its session are not asked for: they are another process's.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture, process};
use wasmgate_tests::mcp::{Door, parsed};
use wasmgate_tests::spelt::Spelt;
use wasmgate_tests::wire::{Era, Wire};
use wasmgate_tests::{build, conformance, gateway, peers, remote, require};

/// When a member may differ.
#[derive(PartialEq)]
enum When {
    Always,
    /// Only where the gateway's client and its server are of different eras.
    AcrossEras,
}
use When::{AcrossEras, Always};

/// A method (or the end of its name after `*`), the member of its messages that may differ, and why. `initialize` and
/// `server/discover` are the gateway's own answers and not compared; a list is compared by its items, because its pages
/// are the gateway's own. So is the order of `jsonrpc`, `id` and the like in the envelope around what a server says.
/// Log messages are compared over pipes: over HTTP this server writes them on its session's stream, not on the call's,
/// and the gateway's session is that of many clients.
const DIFFERENCES: &[(&str, &str, When, &str)] = &[
    ("*", "result/_meta/io.modelcontextprotocol/serverInfo", Always, "the gateway names itself"),
    ("*/list", "result/ttlMs", Always, "what it keeps of lists is the gateway's business"),
    ("*/list", "result/cacheScope", Always, "what it keeps of lists is the gateway's business"),
    (
        "tools/list",
        "execution/taskSupport",
        Always,
        "tasks as 2025-11-25 had them are not carried, nor offered",
    ),
    (
        "tools/call",
        "result/seen/_meta",
        Always,
        "the fixture shows what it got: tokens upstream are the gateway's",
    ),
    ("*", "result/resultType", AcrossEras, "a member of the modern era"),
    ("*", "result/ttlMs", AcrossEras, "a member of the modern era"),
    ("*", "result/cacheScope", AcrossEras, "a member of the modern era"),
    ("resources/read", "error/code", AcrossEras, "-32002 became -32602"),
];

/// In a tool: it cannot be called without what the legacy era had for tasks. The gateway leaves it out.
const NEEDS_A_TASK: &str = r#""taskSupport":"required""#;

/// What is said: a label and what to do.
enum Act {
    Ask(&'static str, Value),
    /// Params in a spelling of their own.
    Spelt(&'static str, &'static str),
    /// All items of a list, page by page.
    List(&'static str, &'static str),
    /// A call that goes on only after its first events have come.
    Released {
        steps: u64,
    },
    /// A call that is given up once it has begun, then what the server has heard of it.
    GivenUp,
    /// News of a resource, which a tool makes.
    News {
        uri: &'static str,
        tool: &'static str,
        arguments: Value,
    },
    /// A log level, then log messages.
    Logged,
}

/// What was heard, step by step.
type Heard = Vec<(String, Vec<String>)>;

async fn converse(wire: &mut Wire, script: &[Act]) -> Heard {
    let mut heard = Heard::new();
    for (act, step) in script.iter().zip(1..) {
        wire.count_from(step * 1000);
        let (label, messages) = match act {
            Act::Ask(method, params) => said(wire, method, &params.to_string()).await,
            Act::Spelt(method, params) => said(wire, method, params).await,
            Act::List(method, key) => (format!("{method} {key}"), items(wire, method, key).await),
            Act::Released { steps } => ("tools/call progress".into(), released(wire, *steps).await),
            Act::GivenUp => ("tools/call slow".into(), given_up(wire).await),
            Act::News { uri, tool, arguments } => {
                (format!("resources/updated {uri}"), news(wire, uri, tool, arguments).await)
            }
            Act::Logged => ("tools/call log".into(), logged(wire).await),
        };
        heard.push((label, messages));
    }
    heard
}

async fn said(wire: &mut Wire, method: &str, params: &str) -> (String, Vec<String>) {
    (format!("{method} {params}"), wire.ask(method, params).await)
}

async fn items(wire: &mut Wire, method: &str, key: &str) -> Vec<String> {
    let (mut found, mut params) = (Vec::new(), json!({}));
    loop {
        let page = wire.ask(method, &params.to_string()).await.pop().expect("a page");
        let spelt = Spelt::of(&page);
        let result = spelt.get("result").unwrap_or_else(|| panic!("{method}: {page}"));
        let page = result.get(key).expect("its items").items();
        found.extend(page.iter().map(ToString::to_string).filter(|item| !item.contains(NEEDS_A_TASK)));
        match result.get("nextCursor") {
            Some(cursor) => params = json!({"cursor": parsed(&cursor.to_string())}),
            None => return found,
        }
    }
}

/// The first event is here before the tool may end: what has come is in order, not merely all there.
async fn released(wire: &mut Wire, steps: u64) -> Vec<String> {
    let params =
        json!({"name": "progress", "arguments": {"steps": steps}, "_meta": {"progressToken": "töken"}});
    let mut call = wire.open("tools/call", &params.to_string()).await;
    let mut messages = Vec::new();
    for step in 1..=steps {
        messages.push(wire.next(&mut call).await.expect("an event"));
        if step < steps {
            wire.ask("tools/call", r#"{"name":"release","arguments":{}}"#).await;
        }
    }
    messages.push(wire.next(&mut call).await.expect("the result"));
    messages
}

async fn given_up(wire: &mut Wire) -> Vec<String> {
    let sent = wire.send("tools/call", r#"{"name":"slow","arguments":{}}"#).await;
    let mut messages = wire.ask("tools/call", r#"{"name":"wait_started","arguments":{"count":1}}"#).await;
    wire.give_up(sent).await;
    messages.extend(wire.ask("tools/call", r#"{"name":"wait_cancelled","arguments":{"count":1}}"#).await);
    messages
}

async fn news(wire: &mut Wire, uri: &str, tool: &str, arguments: &Value) -> Vec<String> {
    let touch = json!({"name": tool, "arguments": arguments}).to_string();
    if wire.era == Era::Legacy {
        // What the server logs meanwhile is about the gateway's subscription, which is for all its clients.
        let mut messages = Vec::new();
        messages.extend(wire.ask("resources/subscribe", &json!({"uri": uri}).to_string()).await.pop());
        wire.ask("tools/call", &touch).await;
        messages.push(wire.news("notifications/resources/updated").await);
        messages.extend(wire.ask("resources/unsubscribe", &json!({"uri": uri}).to_string()).await.pop());
        return messages;
    }
    let filter = json!({"notifications": {"resourceSubscriptions": [uri]}});
    let mut stream = wire.open("subscriptions/listen", &filter.to_string()).await;
    let mut messages = vec![wire.next(&mut stream).await.expect("an acknowledgement")];
    wire.ask("tools/call", &touch).await;
    messages.push(wire.next(&mut stream).await.expect("the news"));
    messages
}

async fn logged(wire: &mut Wire) -> Vec<String> {
    let mut messages = Vec::new();
    if wire.era == Era::Legacy {
        messages.extend(wire.ask("logging/setLevel", r#"{"level":"warning"}"#).await);
    }
    // What is below the level the gateway leaves out, though this server does not.
    for level in ["error", "emergency"] {
        let mut params =
            json!({"name": "log", "arguments": {"level": level, "data": {"z": level, "a": [1.5]}}});
        if wire.era == Era::Modern {
            params["_meta"] = json!({"io.modelcontextprotocol/logLevel": "warning"});
        }
        messages.extend(wire.ask("tools/call", &params.to_string()).await);
    }
    messages
}

/// Leaves out of each message what may differ, and compares.
fn assert_same(what: &str, direct: Heard, through: Heard, across_eras: bool) {
    let mut differing = String::new();
    for ((label, direct), (_, through)) in direct.into_iter().zip(through) {
        let method = label.split(' ').next().unwrap_or_default();
        let cut = |messages: Vec<String>| -> Vec<String> {
            messages.iter().map(|message| without_differences(method, message, across_eras)).collect()
        };
        let (direct, through) = (cut(direct), cut(through));
        if direct != through {
            differing += &format!("--- {label}\ndirectly: {direct:#?}\nthrough:  {through:#?}\n");
        }
    }
    assert!(differing.is_empty(), "{what}\n{differing}");
}

fn without_differences(method: &str, message: &str, across_eras: bool) -> String {
    let mut spelt = Spelt::of(message);
    let is_message = spelt.get("jsonrpc").is_some();
    if let (true, Spelt::Object(members)) = (is_message, &mut spelt) {
        // Around what a server says there is an envelope, and that is the gateway's own.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    if let (Some(Spelt::Object(members)), "resources/updated") = (spelt.get_mut("params"), method) {
        // The id of the client's own subscription is put in by the gateway.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    for (of, path, when, _) in DIFFERENCES {
        let concerned = of.strip_prefix('*').map_or(*of == method, |end| method.ends_with(end));
        if concerned && (*when == Always || across_eras) {
            // Names in `_meta` have slashes of their own.
            let path: Vec<&str> = match path.split_once("_meta/") {
                Some((before, name)) => {
                    before.split('/').filter(|p| !p.is_empty()).chain(["_meta", name]).collect()
                }
                None => path.split('/').collect(),
            };
            spelt.remove(&path);
        }
    }
    spelt.to_string()
}

fn call(name: &str, arguments: Value) -> Act {
    Act::Ask("tools/call", json!({"name": name, "arguments": arguments}))
}

/// What is said to the well-behaved server.
fn with_the_fixture() -> Vec<Act> {
    vec![
        Act::List("tools/list", "tools"),
        Act::List("prompts/list", "prompts"),
        Act::List("resources/list", "resources"),
        Act::List("resources/templates/list", "resourceTemplates"),
        call("echo", json!({"z": [1, {"b": null}], "a": "ü€😀\u{0}\"\\", "": {}})),
        Act::Spelt(
            "tools/call",
            r#"{"arguments":{"n":1.50,"t":"\u00e9\/"},"x-unknown":{"b":1,"a":2},"name":"echo"}"#,
        ),
        Act::Spelt("tools/call", r#"{"name":"echo"}"#),
        call("text", json!({"text": "line\none"})),
        call("image", json!({})),
        call("structured", json!({})),
        call("fail", json!({})),
        call("big", json!({"bytes": 100_000})),
        call("no-such-tool", json!({"a": 1})),
        Act::Ask("prompts/get", json!({"name": "greet", "arguments": {"who": "Ada"}})),
        Act::Ask("prompts/get", json!({"name": "no-such-prompt"})),
        Act::Ask("resources/read", json!({"uri": "fixture://text"})),
        Act::Ask("resources/read", json!({"uri": "fixture://blob"})),
        Act::Ask("resources/read", json!({"uri": "fixture://items/7"})),
        Act::Ask("resources/read", json!({"uri": "nobody://has/this"})),
        Act::Ask(
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "style", "value": "f"}}),
        ),
        Act::Ask("no/such/method", json!({"b": 1, "a": 2})),
        Act::Released { steps: 3 },
        Act::GivenUp,
    ]
}

/// What is said to the server that the conformance suite is run against.
fn with_the_suite_s_server() -> Vec<Act> {
    let uri = "test://watched-resource";
    vec![
        Act::List("tools/list", "tools"),
        Act::List("prompts/list", "prompts"),
        Act::List("resources/list", "resources"),
        call("test_embedded_resource", json!({})),
        call("test_multiple_content_types", json!({})),
        call("test_error_handling", json!({})),
        Act::Ask(
            "prompts/get",
            json!({"name": "test_prompt_with_embedded_resource", "arguments": {"resourceUri": uri}}),
        ),
        Act::Ask("resources/read", json!({"uri": "test://template/ü/data"})),
        Act::Ask("resources/read", json!({"uri": "test://no-such/resource"})),
        Act::News { uri, tool: "test_update_resource", arguments: json!({"uri": uri}) },
    ]
}

/// What is said to the server that keeps every byte.
fn with_the_raw_server() -> Vec<Act> {
    vec![
        Act::List("tools/list", "tools"),
        Act::Spelt(
            "tools/call",
            r#"{"vendor":[1e3,{"z":-0,"a":1.50e+01}],"arguments":{"é":12345678901234567890123,"\u0000":"\ud83d\ude00\/"},"name":"verbatim"}"#,
        ),
        Act::Spelt("tools/call", r#"{"name":"verbatim","arguments":{}}"#),
        call("own_error", json!({})),
        call("no-such-tool", json!({})),
        Act::Ask(
            "tools/call",
            json!({"name": "flood", "arguments": {"count": 3}, "_meta": {"progressToken": 5}}),
        ),
        Act::Ask("no/such/method", json!({"b": 1, "a": 2})),
    ]
}

/// What is said to the reference server of the third party.
fn with_everything() -> Vec<Act> {
    let uri = "demo://resource/dynamic/text/7";
    vec![
        Act::List("tools/list", "tools"),
        Act::List("prompts/list", "prompts"),
        Act::List("resources/list", "resources"),
        Act::List("resources/templates/list", "resourceTemplates"),
        call("echo", json!({"message": "ü€😀\u{0}"})),
        call("get-sum", json!({"a": 1, "b": "two"})),
        call("get-sum", json!({"a": 0.1, "b": 0.2})),
        call("get-annotated-message", json!({"messageType": "error", "includeImage": true})),
        call("get-structured-content", json!({"location": "Chicago"})),
        call("get-resource-links", json!({"count": 2})),
        call("get-tiny-image", json!({})),
        call("no-such-tool", json!({})),
        Act::Ask(
            "tools/call",
            json!({"name": "trigger-long-running-operation", "arguments": {"duration": 0.05, "steps": 3}, "_meta": {"progressToken": 0}}),
        ),
        Act::Ask(
            "prompts/get",
            json!({"name": "args-prompt", "arguments": {"city": "Paris", "state": "Texas"}}),
        ),
        Act::Ask("prompts/get", json!({"name": "args-prompt", "arguments": {}})),
        Act::Ask("prompts/get", json!({"name": "no-such-prompt"})),
        Act::Ask("resources/read", json!({"uri": "demo://resource/static/document/architecture.md"})),
        Act::Ask("resources/read", json!({"uri": "demo://no-such/resource"})),
        Act::Ask(
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "completable-prompt"}, "argument": {"name": "name", "value": "D"}, "context": {"arguments": {"department": "Sales"}}}),
        ),
        Act::Ask("no/such/method", json!({})),
        Act::News { uri, tool: "toggle-subscriber-updates", arguments: json!({}) },
    ]
}

/// The eras of a gateway's client and of its server.
const PAIRINGS: [(Era, Era); 4] = [
    (Era::Legacy, Era::Legacy),
    (Era::Modern, Era::Modern),
    (Era::Legacy, Era::Modern),
    (Era::Modern, Era::Legacy),
];

/// Talks to a server directly, then through a gateway that has it from its catalog entry.
async fn compare(what: &str, direct: &mut Wire, entry: Value, eras: (Era, Era), script: &[Act]) {
    let (client, server) = eras;
    let what = format!("{what}: a {client:?} client, a {server:?} server");
    let mut entry = entry;
    entry["protocol"] = if server == Era::Legacy { "legacy" } else { "modern" }.into();
    let gw = gateway().catalog(Catalog::new().entry("one", entry)).start().await;
    gw.ready(["one"]).await;
    let mut through = Wire::http(gw.door("/servers/one/mcp"), client).await;
    let direct = converse(direct, script).await;
    let through = converse(&mut through, script).await;
    gw.stop().await;
    assert_same(&what, direct, through, client != server);
}

fn door(address: std::net::SocketAddr) -> Door {
    Door { address, path: "/mcp".into(), token: None }
}

fn at(url: &str) -> Value {
    json!({"type": "remote", "remote": {"url": url, "transport_type": "streamable-http"}})
}

#[tokio::test]
async fn a_well_behaved_server_over_http_is_the_same_behind_the_gateway() {
    for eras in PAIRINGS {
        let (one, two) =
            (remote::fixture(&["server", "--http"]).await, remote::fixture(&["server", "--http"]).await);
        let mut direct = Wire::http(door(one.address), eras.0).await;
        compare("fixture over HTTP", &mut direct, at(&two.url("/mcp")), eras, &with_the_fixture()).await;
    }
}

#[tokio::test]
async fn a_well_behaved_server_over_a_pipe_is_the_same_behind_the_gateway() {
    for eras in PAIRINGS {
        let program = build::fixture();
        let mut direct = Wire::pipe(&[program.to_str().expect("UTF-8"), "server", "--stdio"], eras.0).await;
        let script: Vec<Act> = with_the_fixture().into_iter().chain([Act::Logged]).collect();
        compare("fixture over a pipe", &mut direct, fixture(&["server", "--stdio"]), eras, &script).await;
    }
}

#[tokio::test]
async fn news_and_all_kinds_of_content_are_the_same_behind_the_gateway() {
    for eras in PAIRINGS {
        let (one, two) = (conformance::fixture("both").await, conformance::fixture("both").await);
        let mut direct = Wire::http(door(one.address), eras.0).await;
        compare(
            "the suite's server over HTTP",
            &mut direct,
            at(&two.url("/mcp")),
            eras,
            &with_the_suite_s_server(),
        )
        .await;
        let program = build::conformance_fixture();
        let command = [program.to_str().expect("UTF-8"), "--stdio"];
        let mut direct = Wire::pipe(&command, eras.0).await;
        compare(
            "the suite's server over a pipe",
            &mut direct,
            process(&command),
            eras,
            &with_the_suite_s_server(),
        )
        .await;
    }
}

#[tokio::test]
async fn every_byte_of_a_raw_server_is_the_same_behind_the_gateway() {
    let (one, two) = (remote::fixture(&["raw", "--http"]).await, remote::fixture(&["raw", "--http"]).await);
    let legacy = (Era::Legacy, Era::Legacy);
    let mut direct = Wire::http(door(one.address), Era::Legacy).await;
    compare("raw over HTTP", &mut direct, at(&two.url("/mcp")), legacy, &with_the_raw_server()).await;
    let program = build::fixture();
    let mut direct = Wire::pipe(&[program.to_str().expect("UTF-8"), "raw", "--stdio"], Era::Legacy).await;
    compare("raw over a pipe", &mut direct, fixture(&["raw", "--stdio"]), legacy, &with_the_raw_server())
        .await;
}

#[tokio::test]
async fn the_everything_server_is_the_same_behind_the_gateway() {
    require!(peers::node().await);
    let legacy = (Era::Legacy, Era::Legacy);
    let (one, _one) = peers::everything_over_http().await;
    let (two, _two) = peers::everything_over_http().await;
    let address = one.trim_start_matches("http://").trim_end_matches("/mcp").parse().expect("an address");
    let mut direct = Wire::http(door(address), Era::Legacy).await;
    compare("everything over HTTP", &mut direct, at(&two), legacy, &with_everything()).await;
    let program = peers::everything().await;
    let mut direct = Wire::pipe(&["node", &program], Era::Legacy).await;
    compare("everything over a pipe", &mut direct, process(&["node", &program]), legacy, &with_everything())
        .await;
}

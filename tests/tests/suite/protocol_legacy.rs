//! The eras with a handshake, 2024-11-05 to 2025-11-25: lists, prompts, resources, completion, progress, logging,
//! cancellation, sessions, and every byte of a call.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture, good, raw};
use wasmgate_tests::http::Ask;
use wasmgate_tests::mcp::{self, names, parsed, result};
use wasmgate_tests::peers::{self, ok, python_client};
use wasmgate_tests::{Legacy, gateway, require, soon};

#[tokio::test]
async fn every_legacy_version_is_spoken() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = Legacy::connect(gw.door("/servers/fx/mcp"), version).await;
        assert_eq!(client.version, version);
        assert!(client.initialized["capabilities"]["tools"].is_object(), "{}", client.initialized);
        let answer = client.call("text", json!({"text": version})).await;
        assert_eq!(answer["content"][0]["text"], version);
        assert!(answer.get("resultType").is_none(), "nothing of the modern era in an older result: {answer}");
    }
    let odd = Legacy::connect(gw.door("/mcp"), "1999-12-31").await;
    assert_eq!(odd.version, mcp::LEGACY, "an unknown version is answered with the newest of the era");
    gw.stop().await;
}

#[tokio::test]
async fn lists_are_merged_paged_and_the_same_every_time() {
    let catalog =
        || Catalog::new().fixture("beta", &["server", "--stdio"]).fixture("alpha", &["server", "--stdio"]);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let gw = gateway().catalog(catalog()).servers(["beta", "alpha"]).start().await;
        gw.ready(["beta", "alpha"]).await;
        let client = gw.legacy().await;
        let mut lists = Vec::new();
        for (method, key) in [
            ("tools/list", "tools"),
            ("prompts/list", "prompts"),
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ] {
            let first = client.list(method, key).await;
            assert_eq!(first, client.list(method, key).await, "{method} twice");
            lists.push(first);
        }
        let tools = names(&lists[0].0);
        assert_eq!(tools.len(), 34, "both servers' pages: {tools:?}");
        assert_eq!(
            (tools[0].as_str(), tools[17].as_str()),
            ("beta__echo", "alpha__echo"),
            "configuration order"
        );
        assert_eq!(names(&lists[1].0).len(), 10, "prompts carry prefixes too");
        let mut unique = tools.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), tools.len());
        seen.push(lists);
        gw.stop().await;
    }
    assert_eq!(seen[0], seen[1], "two starts, one answer");
}

#[tokio::test]
async fn many_tools_come_in_pages_with_cursors_nobody_can_forge() {
    let mut catalog = Catalog::new();
    let servers: Vec<String> = (0..12).map(|n| format!("s{n:02}")).collect();
    for server in &servers {
        catalog = catalog.fixture(server, &["server", "--stdio"]);
    }
    let gw = gateway().catalog(catalog).config("pageSize: 50\n").start().await;
    for server in &servers {
        gw.ready([server.as_str()]).await;
    }
    let client = gw.legacy().await;
    let (tools, pages) = client.list("tools/list", "tools").await;
    assert_eq!(tools.len(), 12 * 17);
    assert_eq!(pages, 5, "{} tools in pages of 50", tools.len());
    for forged in ["x", "", "4", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let refused = client.request("tools/list", json!({"cursor": forged})).await;
        assert_eq!(refused["error"]["code"], -32602, "cursor {forged:?}: {refused}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn names_too_long_for_clients_are_shortened_and_still_work() {
    let long = format!("a{}", "b".repeat(60));
    let catalog = || {
        let mut entry = fixture(&["server", "--stdio"]);
        entry["prefix"] = "short".into();
        Catalog::new().fixture(&long, &["server", "--stdio"]).entry("with-a-prefix", entry)
    };
    let mut seen = Vec::new();
    for _ in 0..2 {
        let gw = gateway().catalog(catalog()).arg("--enable-all-servers").start().await;
        gw.ready([long.as_str(), "with-a-prefix"]).await;
        let client = gw.legacy().await;
        let tools = client.tool_names().await;
        assert!(tools.iter().all(|name| name.len() <= 64), "{tools:?}");
        assert!(tools.contains(&"short__echo".to_owned()), "the catalog's prefix: {tools:?}");
        // A shortened name still means its own tool: `text` says hello, whatever it is called now.
        let answer = client.call(&tools[1], json!({})).await;
        assert_eq!(answer["content"][0]["text"], "hello", "{}", tools[1]);
        seen.push(tools);
        gw.stop().await;
    }
    assert_eq!(seen[0], seen[1], "shortened the same way every time");
}

#[tokio::test]
async fn resources_that_two_servers_offer_stay_apart() {
    let catalog = Catalog::new().fixture("a", &["server", "--stdio"]).fixture("b", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["a", "b"]).start().await;
    gw.ready(["a", "b"]).await;
    let client = gw.legacy().await;
    let listed = client.list("resources/list", "resources").await.0;
    let uris: std::collections::BTreeSet<&str> =
        listed.iter().filter_map(|item| item["uri"].as_str()).collect();
    assert_eq!(uris.len(), 10, "{uris:?}");
    for uri in &uris {
        let read = result(client.request("resources/read", json!({"uri": uri})).await);
        assert_eq!(read["contents"][0]["uri"], *uri, "the URI in the answer is the one that was asked for");
    }
    gw.stop().await;
}

#[tokio::test]
async fn one_server_alone_keeps_its_names() {
    let gw = gateway()
        .catalog(Catalog::new().fixture("a", &["server", "--stdio"]).fixture("b", &["raw", "--stdio"]))
        .servers(["a", "b"])
        .start()
        .await;
    gw.ready(["a", "b"]).await;
    let alone = gw.alone("a").await;
    let tools = alone.tool_names().await;
    assert!(tools.contains(&"echo".to_owned()) && tools.iter().all(|name| !name.contains("__")), "{tools:?}");
    assert_eq!(alone.call("text", json!({"text": "x"})).await["content"][0]["text"], "x");
    let other = alone.request("tools/call", json!({"name": "verbatim", "arguments": {}})).await;
    assert_eq!(other["error"]["code"], -32602, "the other server's tool is not here: {other}");
    let nobody = gw.door("/servers/nobody/mcp").post(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#).send().await;
    assert_eq!(nobody.status, 404);
    gw.stop().await;
}

#[tokio::test]
async fn prompts_resources_templates_and_completion_work() {
    let gw = gateway()
        .catalog(Catalog::new().fixture("a", &["server", "--stdio"]).fixture("b", &["raw", "--stdio"]))
        .servers(["a", "b"])
        .start()
        .await;
    gw.ready(["a", "b"]).await;
    let client = gw.legacy().await;
    let prompt =
        result(client.request("prompts/get", json!({"name": "a__greet", "arguments": {"who": "Ada"}})).await);
    assert_eq!(prompt["messages"][0]["content"]["text"], "Greet Ada");
    let uri = client.list("resources/list", "resources").await.0[0]["uri"].clone();
    let read = result(client.request("resources/read", json!({"uri": uri})).await);
    assert_eq!(read["contents"][0]["text"], "contents of text");
    assert!(read.get("ttlMs").is_none(), "caching hints are not of this era: {read}");
    let template =
        client.list("resources/templates/list", "resourceTemplates").await.0[0]["uriTemplate"].clone();
    let uri = template.as_str().expect("a template").replace("{id}", "7");
    let read = result(client.request("resources/read", json!({"uri": uri})).await);
    assert_eq!(
        read["contents"][0]["text"], "contents of items/7",
        "a resource that only a template promises"
    );
    for reference in
        [json!({"type": "ref/prompt", "name": "a__greet"}), json!({"type": "ref/resource", "uri": template})]
    {
        let params = json!({"ref": reference, "argument": {"name": "style", "value": "f"}});
        let completed = result(client.request("completion/complete", params).await);
        assert_eq!(completed["completion"]["values"], json!(["formal", "friendly"]));
    }
    let unknown = client.request("prompts/get", json!({"name": "a__nope"})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let unknown = client.request("resources/read", json!({"uri": "nobody://has/this"})).await;
    assert_eq!(unknown["error"]["code"], -32002, "{unknown}");
    assert_eq!(client.request("ping", json!({})).await["result"], json!({}));
    assert_eq!(client.request("no/such/method", json!({})).await["error"]["code"], -32601);
    gw.stop().await;
}

#[tokio::test]
async fn progress_streams_while_the_tool_still_runs() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let params = json!({"name": "progress", "arguments": {"steps": 3}, "_meta": {"progressToken": "mine"}});
    let (id, mut answer) = client.open("tools/call", params).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.headers.get("x-accel-buffering").map(|v| v.as_bytes()), Some(&b"no"[..]));
    for step in 1..=3 {
        // The tool cannot go on before `release`, and that is called only after this event has come.
        let event = parsed(&answer.event().await.expect("an event"));
        assert_eq!(event["method"], "notifications/progress");
        assert_eq!(event["params"]["progressToken"], "mine");
        assert_eq!(event["params"]["progress"].as_f64(), Some(f64::from(step)));
        if step < 3 {
            client.call("release", json!({})).await;
        }
    }
    let last = parsed(&answer.event().await.expect("the result"));
    assert_eq!((&last["id"], &last["result"]["content"][0]["text"]), (&json!(id), &json!("done")));
    assert!(answer.event().await.is_none(), "the result ends the stream");
    gw.stop().await;
}

#[tokio::test]
async fn two_clients_with_the_same_ids_and_tokens_do_not_meet() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let (a, b) = (gw.alone("fx").await, gw.alone("fx").await);
    let params = |steps: u32| json!({"name": "progress", "arguments": {"steps": steps}, "_meta": {"progressToken": 1}});
    let (id_a, mut of_a) = a.open("tools/call", params(2)).await;
    let (id_b, mut of_b) = b.open("tools/call", params(3)).await;
    assert_eq!(id_a, id_b, "both sessions count from the same number");
    let total = |event: Option<String>| parsed(&event.expect("an event"))["params"]["total"].as_f64();
    assert_eq!((total(of_a.event().await), total(of_b.event().await)), (Some(2.0), Some(3.0)));
    for _ in 0..3 {
        a.call("release", json!({})).await;
    }
    let rest = |text: &str| text.matches("\"result\"").count();
    let (rest_a, rest_b) = (of_a.rest().await.text(), of_b.rest().await.text());
    assert_eq!((rest(&rest_a), rest(&rest_b)), (1, 1), "exactly one answer each\n{rest_a}\n{rest_b}");
    gw.stop().await;
}

#[tokio::test]
async fn cancellation_reaches_the_one_call_it_names() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let (id, waiting) = {
        let client = client.clone();
        let id = client.next_id();
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "slow"}});
        (id, tokio::spawn(client.post(body.to_string()).send()))
    };
    client.call("wait_started", json!({"count": 1})).await;
    let noted =
        client.notify("notifications/cancelled", json!({"requestId": id, "reason": "changed my mind"})).await;
    assert_eq!(noted.status, 202);
    let heard = client.call("wait_cancelled", json!({"count": 1})).await;
    assert_eq!(heard["content"][0]["text"], "1", "the server heard of it");
    // Whatever the stream ends with, it ends, and the session goes on.
    soon("the end of the cancelled call", waiting).await.expect("no panic");
    assert_eq!(client.call("text", json!({"text": "still here"})).await["content"][0]["text"], "still here");
    gw.stop().await;
}

#[tokio::test]
async fn log_messages_arrive_at_the_level_that_was_asked_for() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    result(client.request("logging/setLevel", json!({"level": "warning"})).await);
    let logged = |messages: Vec<Value>| -> Vec<Value> {
        messages
            .into_iter()
            .filter(|m| m["method"] == "notifications/message")
            .map(|m| m["params"].clone())
            .collect()
    };
    let call = |level: &str| json!({"name": "log", "arguments": {"level": level, "data": {"a": 1}}});
    let loud = logged(client.messages("tools/call", call("error")).await);
    assert_eq!(loud.len(), 1, "{loud:?}");
    assert_eq!((&loud[0]["level"], &loud[0]["data"]), (&json!("error"), &json!({"a": 1})));
    let quiet = logged(client.messages("tools/call", call("info")).await);
    assert!(quiet.is_empty(), "below the level: {quiet:?}");
    let refused = client.request("logging/setLevel", json!({"level": "shouting"})).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    gw.stop().await;
}

#[tokio::test]
async fn sessions_end_and_are_not_shared() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.legacy().await;
    let id = client.session.clone().expect("a session id");
    assert!(
        id.len() >= 22 && id.bytes().all(|b| (0x21..=0x7e).contains(&b)),
        "128 bits of visible ASCII: {id}"
    );
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

    let wrong = client.post(list).header("mcp-session-id", "guessed-0123456789abcdef").send().await;
    assert_eq!(wrong.status, 404, "unknown session: {}", wrong.text());
    let version = client.post(list).header("mcp-protocol-version", "1999-01-01").send().await;
    assert_eq!(version.status, 400, "unknown version: {}", version.text());
    assert_eq!(gw.door("/mcp").ask("GET").send().await.status, 405, "GET outside a session");

    let ended = client.dress(client.door.ask("DELETE")).send().await;
    assert!(ended.status.is_success(), "DELETE: {}", ended.status);
    assert_eq!(client.post(list).send().await.status, 404, "the session is over");
    gw.stop().await;
}

#[tokio::test]
async fn a_batch_is_for_2025_03_26_only() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let batch =
        r#"[{"jsonrpc":"2.0","id":"a","method":"ping"},{"jsonrpc":"2.0","id":"b","method":"tools/list"}]"#;
    let old = Legacy::connect(gw.door("/mcp"), "2025-03-26").await;
    let answer = old.post(batch).send().await;
    let ids: Vec<Value> = match parsed(&answer.messages().concat()) {
        Value::Array(answers) => answers.iter().map(|a| a["id"].clone()).collect(),
        other => panic!("not a batch: {other}"),
    };
    assert!(ids.contains(&json!("a")) && ids.contains(&json!("b")), "{ids:?}");
    let told =
        r#"[{"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":9,"result":{}}]"#;
    let accepted = old.post(told).send().await;
    assert_eq!((accepted.status.as_u16(), accepted.body.len()), (202, 0), "nothing to answer");
    let empty = old.post("[]").send().await;
    assert_eq!((empty.status.as_u16(), mcp::only(&empty)["error"]["code"].as_i64()), (400, Some(-32600)));
    let hello =
        r#"[{"jsonrpc":"2.0","id":"c","method":"initialize","params":{"protocolVersion":"2025-03-26"}}]"#;
    let refused = parsed(&old.post(hello).send().await.messages().concat());
    assert_eq!((&refused[0]["id"], &refused[0]["error"]["code"]), (&json!("c"), &json!(-32600)));
    let nobodys = gw.door("/mcp").post(batch).send().await;
    assert_eq!(nobodys.status, 400, "without a session: {}", nobodys.text());
    let new = gw.legacy().await.post(batch).send().await;
    assert_eq!((new.status.as_u16(), mcp::only(&new)["error"]["code"].as_i64()), (400, Some(-32600)));
    gw.stop().await;
}

#[tokio::test]
async fn the_python_client_does_everything_over_http_and_sse() {
    require!(peers::python().await);
    for (transport, kind, path) in [("streaming", "streamable", "/mcp"), ("sse", "sse", "/sse")] {
        let two = Catalog::new().fixture("fx", &["server", "--stdio"]).fixture("other", &["raw", "--stdio"]);
        let gw = gateway().catalog(two).servers(["fx", "other"]).transport(transport).start().await;
        gw.ready(["fx", "other"]).await;
        let target = json!({"kind": kind, "mode": "legacy", "url": gw.url(path), "token": wasmgate_tests::gateway::TOKEN});
        let outcomes = python_client(target, python_steps()).await;
        check_python(&outcomes);
        gw.stop().await;
    }
}

/// What the Python client does against `fx` and `other`, in any transport.
pub(crate) fn python_steps() -> Value {
    json!([
        {"do": "tools"},
        {"do": "call", "name": "fx__echo", "arguments": {"a": [1, {"b": null}]}},
        {"do": "progress", "name": "fx__progress", "release": "fx__release", "arguments": {"steps": 3}},
        {"do": "cancel", "name": "fx__slow", "started": "fx__wait_started", "cancelled": "fx__wait_cancelled"},
        {"do": "prompt", "name": "fx__greet", "arguments": {"who": "Ada"}},
        {"do": "read", "uri": "fixture://text"},
        {"do": "templates"},
        {"do": "complete", "ref": {"name": "fx__greet"}, "argument": {"name": "style", "value": "f"}},
        {"do": "call", "name": "fx__nope"},
        {"do": "server"},
    ])
}

pub(crate) fn check_python(outcomes: &[Value]) {
    let tools = ok(&outcomes[0])["tools"].as_array().expect("tools");
    assert_eq!(tools.len(), 17 + 14);
    assert_eq!(ok(&outcomes[1])["structuredContent"], json!({"a": [1, {"b": null}]}));
    assert_eq!(ok(&outcomes[2])["events"].as_array().map(Vec::len), Some(3), "{}", outcomes[2]);
    assert_eq!(peers::text(ok(&outcomes[3])), "1", "the server heard the cancellation");
    assert_eq!(ok(&outcomes[4])["messages"][0]["content"]["text"], "Greet Ada");
    assert_eq!(ok(&outcomes[5])["contents"][0]["text"], "contents of text");
    assert_eq!(ok(&outcomes[6])["resourceTemplates"].as_array().map(Vec::len), Some(1));
    assert_eq!(ok(&outcomes[7])["completion"]["values"], json!(["formal", "friendly"]));
    assert_eq!(outcomes[8]["error"]["code"], -32602, "{}", outcomes[8]);
    ok(&outcomes[9]);
}

/// JSON text in spellings that a parse and a print would not survive.
fn odd_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        Just("1e999999".to_owned()),
        Just("-0".to_owned()),
        Just("12345678901234567890123".to_owned()),
        Just(r#""\u00e9\/\ud83d\ude00\u0000""#.to_owned()),
        "\"[a-zA-Z0-9 äöü€😀]{0,12}\"",
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let space = prop_oneof![Just(""), Just(" "), Just("\t ")];
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), space.clone())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},")))),
            (prop::collection::btree_map("[a-z_A-Z]{1,6}", inner, 0..4), space).prop_map(
                |(members, space)| {
                    // Reverse order: what a sorted map would not keep.
                    let members: Vec<String> = members
                        .into_iter()
                        .rev()
                        .map(|(k, v)| format!(r#""{k}"{space}:{space}{v}"#))
                        .collect();
                    format!("{{{}}}", members.join(","))
                }
            ),
        ]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_and_results_pass_byte_for_byte() {
    let remote = wasmgate_tests::remote::fixture(&["raw", "--http"]).await;
    let catalog = Catalog::new().fixture("pipe", &["raw", "--stdio"]).entry(
        "web",
        json!({"type": "remote", "remote": {"url": remote.url("/mcp"), "transport_type": "streamable-http"}}),
    );
    let gw = gateway().catalog(catalog).servers(["pipe", "web"]).start().await;
    gw.ready(["pipe", "web"]).await;
    let client = gw.legacy().await;
    let runtime = tokio::runtime::Handle::current();
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    tokio::task::block_in_place(|| {
        runner
            .run(&(odd_json(), odd_json()), |(one, two)| {
                for server in ["pipe", "web"] {
                    let arguments = format!(r#"{{"z":{one}, "a" : {two}}}"#);
                    let params =
                        format!(r#"{{"vendor":{two},"arguments":{arguments},"name":"{server}__verbatim"}}"#);
                    let answer = runtime.block_on(client.raw_call(&params));
                    prop_assert!(
                        answer.contains(&format!(r#""structuredContent":{arguments}"#)),
                        "{server}: result of {params}: {answer}"
                    );
                    prop_assert!(
                        answer.contains(r#""odd":1.50e+01"#),
                        "{server}: unknown members of the result: {answer}"
                    );
                    let seen = format!(r#""vendor":{two},"arguments":{arguments},"name":"verbatim""#);
                    prop_assert!(answer.contains(&seen), "{server}: params as the server saw them: {answer}");
                }
                Ok(())
            })
            .unwrap_or_else(|failure| panic!("{failure}"));
    });
    gw.stop().await;
}

#[tokio::test]
async fn list_items_keep_their_members_and_order() {
    let gw = gateway().catalog(raw("r")).start().await;
    gw.ready(["r"]).await;
    let client = gw.alone("r").await;
    let answer = client.post(r#"{"jsonrpc":"2.0","id":5,"method":"tools/list"}"#).send().await.text();
    let item = r#"{"name":"verbatim","x-vendor":{"z":1.50,"a":[1e3]},"inputSchema":{"type":"object","properties":{"zebra":{},"apple":{}}}}"#;
    assert!(answer.contains(item), "{answer}");
    gw.stop().await;
}

#[tokio::test]
async fn health_answers_first_and_ready_says_which_servers_are_in_which_state() {
    let catalog =
        Catalog::new().entry("mute", fixture(&["never-initialize"])).fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["mute", "fx"]).start().await;
    // No token, no waiting: a probe asks this from the first moment.
    assert_eq!(gw.get("/health").await.status, 200);
    gw.ready(["fx"]).await;
    let states = gw.states().await;
    let of = |name: &str| {
        states["servers"]
            .as_array()
            .and_then(|s| s.iter().find(|s| s["name"] == name))
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!((&of("fx")["state"], &of("fx")["tools"]), (&json!("ready"), &json!(17)));
    assert_eq!(of("mute")["state"], "starting");
    let nowhere = Ask::new(gw.address(), "GET", "/nowhere").send().await;
    assert!(nowhere.status.is_client_error(), "{}", nowhere.status);
    gw.stop().await;
}

//! What a server asks of its client in the course of a call reaches that client, whatever the era of either: forms, URLs,
//! sampling, roots, and every way in which they can fail.

use std::collections::HashSet;

use rustix::process::Signal;
use serde_json::{Value, json};
use wasmgate_tests::catalog::{self, Catalog};
use wasmgate_tests::mcp::{LEGACY, Said, Talk, error, only, parsed, questions, result, retry};
use wasmgate_tests::remote::{self, Remote};
use wasmgate_tests::{Gateway, Legacy, Modern, Running, gateway, process, soon};

/// Everything that a client can be asked.
fn able() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}})
}

fn form() -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": "Who are you?", "requestedSchema": schema}})
}

fn url() -> Value {
    json!({"method": "elicitation/create", "params": {"mode": "url", "message": "Please grant it.", "url": "https://example.com/grant", "elicitationId": "e-1"}})
}

fn sampling() -> Value {
    let message = json!({"role": "user", "content": {"type": "text", "text": "Say hello."}});
    json!({"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 10}})
}

fn roots() -> Value {
    json!({"method": "roots/list"})
}

/// A client that says yes to everything.
fn willing(question: &Value) -> Said {
    Ok(match question["method"].as_str() {
        Some("elicitation/create") if question["params"]["mode"] == "url" => json!({"action": "accept"}),
        Some("elicitation/create") => json!({"action": "accept", "content": {"name": "Ada"}}),
        Some("sampling/createMessage") => {
            json!({"role": "assistant", "content": {"type": "text", "text": "hello"}, "model": "m", "stopReason": "endTurn"})
        }
        Some("roots/list") => json!({"roots": [{"uri": "file:///home/ada", "name": "home"}]}),
        other => panic!("asked {other:?}"),
    })
}

/// The params of a call of the tool that asks these questions.
fn ask(questions: &[Value]) -> Value {
    json!({"name": "ask", "arguments": {"questions": questions}})
}

fn said(response: Value) -> Value {
    result(response)["structuredContent"].clone()
}

/// A gateway in front of one server, which asks.
async fn in_front_of_modern() -> (Running, Remote) {
    let server = remote::fixture(&["asker", "--http"]).await;
    let gw = serving(gateway(), &server, "modern").start().await;
    gw.ready(["fx"]).await;
    (gw, server)
}

fn serving(gateway: Gateway, server: &Remote, era: &str) -> Gateway {
    let mut entry =
        json!({"type": "remote", "remote": {"url": server.url("/mcp"), "transport_type": "streamable-http"}});
    entry["protocol"] = era.into();
    gateway.catalog(Catalog::new().entry("fx", entry))
}

async fn legacy(gw: &Running, version: &str, capabilities: Value) -> Legacy {
    Legacy::able(gw.door("/servers/fx/mcp"), version, capabilities).await
}

#[tokio::test]
async fn a_legacy_client_is_asked_by_a_modern_server() {
    let (gw, _server) = in_front_of_modern().await;
    let client = legacy(&gw, LEGACY, able()).await;
    let asks = [form(), url(), sampling(), roots()];
    let Talk { asked, response } = client.converse("tools/call", ask(&asks), willing).await;
    let answers: Vec<Value> = asks.iter().map(|question| willing(question).expect("willing")).collect();
    assert_eq!(said(response), json!({"answers": answers, "begun": 1}));
    let ids: HashSet<&str> = asked.iter().filter_map(|question| question["id"].as_str()).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    assert_eq!(asked[0]["params"], form()["params"]);
    let id = asked[1]["params"]["elicitationId"].as_str().expect("2025-11-25 asks for one");
    assert!(!id.is_empty());
    assert_eq!(asked[2]["params"], sampling()["params"]);
    assert_eq!(asked[3]["method"], "roots/list");
    let older = legacy(&gw, "2025-06-18", able()).await;
    let talk = older.converse("tools/call", ask(&[form()]), willing).await;
    assert!(talk.asked[0]["params"].get("mode").is_none(), "2025-06-18 knows no mode: {:?}", talk.asked);
    gw.stop().await;
}

#[tokio::test]
async fn what_a_legacy_client_refuses_is_refused() {
    let (gw, _server) = in_front_of_modern().await;
    let client = legacy(&gw, LEGACY, able()).await;
    for action in ["decline", "cancel"] {
        let talk = client.converse("tools/call", ask(&[form()]), |_| Ok(json!({"action": action}))).await;
        assert_eq!(said(talk.response)["answers"], json!([{"action": action}]));
    }
    let no = |_: &Value| Err(json!({"code": -1, "message": "the user said no", "data": {"x": 1}}));
    let talk = client.converse("tools/call", ask(&[form()]), no).await;
    assert_eq!(said(talk.response)["answers"], json!([{"action": "cancel"}]));
    let talk = client.converse("tools/call", ask(&[sampling()]), no).await;
    assert_eq!(error(talk.response), no(&json!(null)).expect_err("a refusal"));
    let odd = client.converse("tools/call", ask(&[form()]), |_| Ok(json!("yes"))).await;
    assert_eq!(error(odd.response)["data"]["code"], "input_required");
    gw.stop().await;
}

#[tokio::test]
async fn a_client_is_not_asked_what_it_did_not_declare() {
    let (gw, _server) = in_front_of_modern().await;
    let never = |question: &Value| panic!("asked {question}");
    let client = legacy(&gw, LEGACY, json!({"roots": {}})).await;
    let talk = client.converse("tools/call", ask(&[form()]), never).await;
    let failed = error(talk.response);
    assert_eq!(failed["code"], -32603, "{failed}");
    // Nor where an answer is all that it can read: servers are told that it can be asked nothing.
    let client = legacy(&gw, LEGACY, able()).await;
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": ask(&[form()])});
    let answer = client.post(body.to_string()).header("accept", "application/json").send().await;
    assert_eq!(error(only(&answer))["code"], -32603, "{}", answer.text());
    let batching = legacy(&gw, "2025-03-26", able()).await;
    let answer = batching.post(json!([body]).to_string()).send().await;
    assert_eq!(only(&answer)[0]["error"]["code"], -32603, "{}", answer.text());
    gw.stop().await;
}

#[tokio::test]
async fn a_server_that_keeps_asking_is_stopped() {
    let (gw, _server) = in_front_of_modern().await;
    let client = legacy(&gw, LEGACY, able()).await;
    let ten = vec![form(); 10];
    let talk = client.converse("tools/call", ask(&ten), willing).await;
    assert_eq!(said(talk.response)["answers"].as_array().map(Vec::len), Some(10));
    let eleven = vec![form(); 11];
    let talk = client.converse("tools/call", ask(&eleven), willing).await;
    assert_eq!(talk.asked.len(), 10);
    assert_eq!(error(talk.response)["data"]["code"], "input_required");
    gw.stop().await;
}

#[tokio::test]
async fn only_the_session_that_was_asked_can_answer() {
    let (gw, _server) = in_front_of_modern().await;
    let client = legacy(&gw, LEGACY, able()).await;
    let other = legacy(&gw, LEGACY, able()).await;
    let (id, mut stream) = client.open("tools/call", ask(&[form()])).await;
    let question = parsed(&stream.event().await.expect("a question"));
    other.answer(&question["id"], Ok(json!({"action": "accept", "content": {"name": "Mallory"}}))).await;
    client.answer(&json!("wg-77"), Ok(json!({"action": "accept", "content": {"name": "nobody"}}))).await;
    client.answer(&question["id"], willing(&question)).await;
    client.answer(&question["id"], Ok(json!({"action": "decline"}))).await;
    let response = parsed(&stream.event().await.expect("a response"));
    assert_eq!(response["id"], id);
    assert_eq!(said(response)["answers"], json!([{"action": "accept", "content": {"name": "Ada"}}]));
    gw.stop().await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_takes_its_question_back() {
    let (gw, _server) = in_front_of_modern().await;
    let client = legacy(&gw, LEGACY, able()).await;
    let (id, mut stream) = client.open("tools/call", ask(&[form()])).await;
    let question = parsed(&stream.event().await.expect("a question"));
    client.notify("notifications/cancelled", json!({"requestId": id})).await;
    let taken_back = parsed(&stream.event().await.expect("a notification"));
    assert_eq!(taken_back["method"], "notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], question["id"]);
    assert_eq!(stream.event().await, None, "a cancelled call has no response");
    gw.stop().await;
}

#[tokio::test]
async fn a_session_that_ends_ends_what_it_is_asked() {
    let (gw, _server) = in_front_of_modern().await;
    let client = legacy(&gw, LEGACY, able()).await;
    let (_, mut stream) = client.open("tools/call", ask(&[form()])).await;
    stream.event().await.expect("a question");
    let gone = client.dress(client.door.ask("DELETE")).send().await;
    assert_eq!(gone.status, 200);
    // Nothing more than that the question is not of interest any more.
    while let Some(event) = stream.event().await {
        assert_eq!(parsed(&event)["method"], "notifications/cancelled");
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_client_on_a_pipe_is_asked() {
    let server = remote::fixture(&["asker", "--http"]).await;
    let mut gw = serving(gateway().transport("stdio"), &server, "modern").start().await;
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": LEGACY, "capabilities": able(), "clientInfo": {"name": "t", "version": "1"}}});
    gw.say(&hello.to_string()).await;
    let call =
        |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": ask(&[sampling()])});
    gw.say(&call(1).to_string()).await;
    let line = gw.stdout.line("a question", |line| line.contains("sampling/createMessage")).await;
    let question = parsed(&line);
    let answer =
        json!({"jsonrpc": "2.0", "id": question["id"], "result": willing(&question).expect("willing")});
    gw.say(&answer.to_string()).await;
    let line = gw.stdout.line("a response", |line| parsed(line)["id"] == 1).await;
    assert_eq!(said(parsed(&line))["answers"], json!([willing(&sampling()).expect("willing")]));
    // The pipe ends while a question is open: nobody waits for an answer that cannot come.
    gw.say(&call(2).to_string()).await;
    let is_other =
        |line: &str| line.contains("sampling/createMessage") && parsed(line)["id"] != question["id"];
    gw.stdout.line("another question", is_other).await;
    gw.hang_up();
    let ended = gw.ended().await;
    let last = ended.stdout.lines().map(parsed).find(|message| message["id"] == 2).expect("an answer");
    assert_eq!(error(last)["data"]["code"], "input_required");
}

#[tokio::test]
async fn a_client_on_the_old_stream_is_asked() {
    let server = remote::fixture(&["asker", "--http"]).await;
    let gw = serving(gateway().transport("sse"), &server, "modern").start().await;
    gw.ready(["fx"]).await;
    let door = gw.door("/sse");
    let mut stream = door.ask("GET").header("accept", "text/event-stream").open().await;
    let path = soon("the endpoint", stream.event()).await.expect("an endpoint");
    let mut posts = gw.door(&path);
    posts.path = path;
    let send = async |message: Value| {
        let taken = posts.post(message.to_string()).send().await;
        assert_eq!(taken.status, 202, "{}", taken.text());
    };
    send(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2024-11-05", "capabilities": able(), "clientInfo": {"name": "t", "version": "1"}}}))
    .await;
    // The one stream carries changed lists, too.
    let mut next = async || loop {
        let message = parsed(&stream.event().await.expect("a message"));
        if message.get("id").is_some() {
            break message;
        }
    };
    assert_eq!(next().await["id"], 0);
    send(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": ask(&[roots()])})).await;
    let question = next().await;
    assert_eq!(question["method"], "roots/list");
    send(json!({"jsonrpc": "2.0", "id": question["id"], "result": willing(&question).expect("willing")}))
        .await;
    let response = next().await;
    assert_eq!(said(response)["answers"], json!([willing(&roots()).expect("willing")]));
    drop(stream);
    gw.stop().await;
}

#[tokio::test]
async fn a_modern_client_and_a_modern_server_are_left_alone() {
    let (gw, _server) = in_front_of_modern().await;
    let client = Modern::new(gw.door("/servers/fx/mcp")).declaring(able());
    let params = ask(&[form(), sampling()]);
    let asks = result(client.request("tools/call", params.clone()).await);
    assert_eq!(questions(&asks), [form()]);
    assert!(asks["requestState"].is_string(), "{asks}");
    let again = retry(params.clone(), &asks, willing);
    let next = result(client.request("tools/call", again).await);
    assert_eq!(questions(&next), [sampling()]);
    let Talk { response, .. } = client.converse("tools/call", params, willing).await;
    assert_eq!(said(response)["answers"].as_array().map(Vec::len), Some(2));
    gw.stop().await;
}

/// A gateway in front of one server of an older version, which asks.
async fn in_front_of_legacy() -> (Running, Remote) {
    let server = remote::fixture(&["asker", "--http"]).await;
    let gw = serving(gateway(), &server, "legacy").start().await;
    gw.ready(["fx"]).await;
    (gw, server)
}

/// A server of an older version on a pipe.
fn on_a_pipe() -> Catalog {
    let mut entry = catalog::fixture(&["asker", "--stdio"]);
    entry["protocol"] = "legacy".into();
    // One call at a time: then it is clear whose question a question is.
    entry["maxInFlight"] = 1.into();
    Catalog::new().entry("fx", entry)
}

/// A client of either era.
enum Client {
    Legacy(Legacy),
    Modern(Modern),
}

impl Client {
    async fn of(gw: &Running, era: &str, capabilities: Value) -> Self {
        match era {
            "modern" => Self::Modern(Modern::new(gw.door("/servers/fx/mcp")).declaring(capabilities)),
            _ => Self::Legacy(legacy(gw, LEGACY, capabilities).await),
        }
    }

    async fn ask(&self, questions: &[Value], answer: impl Fn(&Value) -> Said) -> Talk {
        match self {
            Self::Legacy(client) => client.converse("tools/call", ask(questions), answer).await,
            Self::Modern(client) => client.converse("tools/call", ask(questions), answer).await,
        }
    }
}

#[tokio::test]
async fn every_question_of_an_older_server_reaches_clients_of_both_eras() {
    let server = remote::fixture(&["asker", "--http"]).await;
    let remote = serving(gateway(), &server, "legacy").start().await;
    let pipe = gateway().catalog(on_a_pipe()).start().await;
    for (gw, what) in [(&remote, "over HTTP"), (&pipe, "on a pipe")] {
        gw.ready(["fx"]).await;
        for era in ["legacy", "modern"] {
            let client = Client::of(gw, era, able()).await;
            let asks = [form(), url(), sampling(), roots()];
            let Talk { asked, response } = client.ask(&asks, willing).await;
            let answers: Vec<Value> =
                asks.iter().map(|question| willing(question).expect("willing")).collect();
            assert_eq!(said(response)["answers"], json!(answers), "{era} {what}");
            let id = asked[1]["params"].get("elicitationId");
            let kept = json!("e-1");
            assert_eq!(id, (era == "legacy").then_some(&kept), "{era} {what}: {}", asked[1]);
            for action in ["decline", "cancel"] {
                let talk = client.ask(&[form()], |_| Ok(json!({"action": action}))).await;
                assert_eq!(said(talk.response)["answers"], json!([{"action": action}]), "{era} {what}");
            }
        }
        let begun = Client::of(gw, "modern", able()).await.ask(&[], willing).await;
        assert_eq!(said(begun.response)["begun"], 7, "{what}: no call was made twice");
    }
    remote.stop().await;
    pipe.stop().await;
}

#[tokio::test]
async fn an_older_server_hears_of_a_legacy_client_s_error_as_it_was() {
    let (gw, _server) = in_front_of_legacy().await;
    let client = legacy(&gw, LEGACY, able()).await;
    for question in [form(), sampling()] {
        let no = json!({"code": -1, "message": "the user said no"});
        let talk = client.converse("tools/call", ask(&[question]), |_| Err(no.clone())).await;
        assert_eq!(said(talk.response)["answers"], json!([{"error": no}]));
    }
    gw.stop().await;
}

#[tokio::test]
async fn the_state_of_a_parked_call_leads_back_once_and_nowhere_else() {
    let (gw, _server) = in_front_of_legacy().await;
    let client = Modern::new(gw.door("/servers/fx/mcp")).declaring(able());
    let params = ask(&[form()]);
    let asks = result(client.request("tools/call", params.clone()).await);
    let good = retry(params.clone(), &asks, willing);
    let state = asks["requestState"].as_str().expect("a state").to_owned();
    let mut bad = Vec::new();
    let middle = state.len() / 2;
    let flipped = if &state[middle..=middle] == "A" { "B" } else { "A" };
    bad.push(format!("{}{flipped}{}", &state[..middle], &state[middle + 1..]));
    bad.push(state[..state.len() - 1].to_owned());
    bad.push("anything".to_owned());
    for state in bad {
        let mut params = good.clone();
        params["requestState"] = state.into();
        assert_eq!(error(client.request("tools/call", params).await)["code"], -32602);
    }
    let mut other = good.clone();
    other["arguments"]["more"] = 1.into();
    assert_eq!(error(client.request("tools/call", other).await)["code"], -32602);
    let done = said(client.request("tools/call", good.clone()).await);
    assert_eq!(done["begun"], 1);
    let again = error(client.request("tools/call", good).await);
    assert_eq!(again["code"], -32602);
    assert!(again["message"].as_str().is_some_and(|text| text.contains("used before")), "{again}");
    assert_eq!(said(client.request("tools/call", ask(&[])).await)["begun"], 2, "the tool ran once");
    gw.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_missing_is_asked_for_again() {
    let (gw, _server) = in_front_of_legacy().await;
    let client = Modern::new(gw.door("/servers/fx/mcp")).declaring(able());
    let params = ask(&[form()]);
    let asks = result(client.request("tools/call", params.clone()).await);
    let mut empty = retry(params.clone(), &asks, willing);
    empty["inputResponses"] = json!({"other": {"action": "accept"}});
    let again = result(client.request("tools/call", empty).await);
    assert_eq!(again["inputRequests"], asks["inputRequests"]);
    assert_ne!(again["requestState"], asks["requestState"]);
    let done = said(client.request("tools/call", retry(params, &again, willing)).await);
    assert_eq!((&done["begun"], &done["answers"][0]["action"]), (&json!(1), &json!("accept")));
    gw.stop().await;
}

#[tokio::test]
async fn a_server_that_ends_while_its_call_is_parked_is_told_to_the_client() {
    let gw = gateway().catalog(on_a_pipe()).start().await;
    gw.ready(["fx"]).await;
    let client = Modern::new(gw.door("/servers/fx/mcp")).declaring(able());
    let params = ask(&[form()]);
    let asks = result(client.request("tools/call", params.clone()).await);
    for (pid, _) in gw.processes() {
        process::signal(pid, Signal::KILL);
    }
    let failed = error(client.request("tools/call", retry(params, &asks, willing)).await);
    assert_eq!(failed["data"]["code"], "upstream_crashed", "{failed}");
    gw.stop().await;
}

#[tokio::test]
async fn a_call_whose_client_gives_up_is_given_up_at_the_server() {
    let (gw, _server) = in_front_of_legacy().await;
    let watcher = legacy(&gw, LEGACY, json!({})).await;
    let client = legacy(&gw, LEGACY, able()).await;
    let (id, mut stream) = client.open("tools/call", ask(&[form()])).await;
    stream.event().await.expect("a question");
    client.notify("notifications/cancelled", json!({"requestId": id})).await;
    watcher.call("given_up", json!({"count": 1})).await;
    let (_, mut stream) = client.open("tools/call", ask(&[form()])).await;
    stream.event().await.expect("a question");
    client.dress(client.door.ask("DELETE")).send().await;
    watcher.call("given_up", json!({"count": 2})).await;
    // A modern client never comes back: the gateway's end is the end of the call.
    let modern = Modern::new(gw.door("/servers/fx/mcp")).declaring(able());
    result(modern.request("tools/call", ask(&[form()])).await);
    gw.stop().await;
}

#[tokio::test]
async fn what_a_client_did_not_declare_is_said_or_refused_by_its_era() {
    let gw = gateway().catalog(on_a_pipe()).start().await;
    gw.ready(["fx"]).await;
    let modern = Modern::new(gw.door("/servers/fx/mcp")).declaring(json!({"sampling": {}}));
    let refused = modern.ask("tools/call", ask(&[form()])).send().await;
    let failed = error(only(&refused));
    assert_eq!((refused.status.as_u16(), &failed["code"]), (400, &json!(-32021)));
    assert_eq!(failed["data"]["requiredCapabilities"], json!({"elicitation": {"form": {}}}));
    legacy(&gw, LEGACY, json!({})).await.call("given_up", json!({"count": 1})).await;
    let never = |question: &Value| panic!("asked {question}");
    let old = legacy(&gw, LEGACY, json!({})).await;
    let talk = old.converse("tools/call", ask(&[form(), roots()]), never).await;
    let answers = said(talk.response)["answers"].clone();
    assert_eq!((&answers[0]["error"]["code"], &answers[1]), (&json!(-32601), &json!({"roots": []})));
    let talk = modern.converse("tools/call", ask(&[roots()]), never).await;
    assert_eq!(said(talk.response)["answers"], json!([{"roots": []}]));
    gw.stop().await;
}

#[tokio::test]
async fn a_url_to_visit_first_is_a_question_to_modern_clients_and_an_error_to_legacy_ones() {
    let (gw, _server) = in_front_of_legacy().await;
    let client = Modern::new(gw.door("/servers/fx/mcp"));
    let visit = || json!({"name": "visit", "arguments": {"times": 3}});
    let refused =
        client.clone().declaring(json!({"elicitation": {}})).ask("tools/call", visit()).send().await;
    assert_eq!(refused.status, 400);
    let failed = error(only(&refused));
    assert_eq!(
        (&failed["code"], &failed["data"]["requiredCapabilities"]),
        (&json!(-32021), &json!({"elicitation": {"url": {}}}))
    );
    let old = legacy(&gw, LEGACY, able()).await.call_fails("visit", json!({"times": 3})).await;
    assert_eq!(old["code"], -32042);
    assert_eq!(old["data"]["elicitations"][0]["elicitationId"], "visit-1");
    let client = client.declaring(able());
    let asks = result(client.request("tools/call", visit()).await);
    let expected = json!({"mode": "url", "url": "https://example.com/grant", "message": "Please grant it."});
    assert_eq!(questions(&asks), [json!({"method": "elicitation/create", "params": expected})]);
    let declined = retry(visit(), &asks, |_| Ok(json!({"action": "decline"})));
    assert_eq!(error(client.request("tools/call", declined).await)["data"]["code"], "input_required");
    let visited = result(client.request("tools/call", retry(visit(), &asks, willing)).await);
    assert_eq!(visited["content"][0]["text"], "visited");
    gw.stop().await;
}

#[tokio::test]
async fn a_server_of_an_older_version_has_no_states_of_its_own() {
    let (gw, _server) = in_front_of_legacy().await;
    let client = Modern::new(gw.door("/servers/fx/mcp")).declaring(able());
    for stray in [
        json!({"requestState": "made up"}),
        json!({"requestState": "wasmgate.made-up", "inputResponses": {}}),
        json!({"inputResponses": {"k": {"action": "accept"}}}),
    ] {
        let mut params = json!({"name": "slow", "arguments": {}});
        params.as_object_mut().expect("an object").extend(stray.as_object().cloned().unwrap_or_default());
        let failed = error(client.request("tools/call", params).await);
        assert_eq!(failed["code"], -32602, "{failed}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn servers_are_told_the_most_verbose_level_that_anybody_wants() {
    let gw = gateway().catalog(on_a_pipe()).start().await;
    gw.ready(["fx"]).await;
    let (loud, quiet) = (legacy(&gw, LEGACY, json!({})).await, legacy(&gw, LEGACY, json!({})).await);
    let level_becomes = async |level: &str| {
        soon(&format!("the level {level}"), async {
            while quiet.call("level", json!({})).await["content"][0]["text"] != level {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    result(quiet.request("logging/setLevel", json!({"level": "error"})).await);
    level_becomes("error").await;
    result(loud.request("logging/setLevel", json!({"level": "debug"})).await);
    level_becomes("debug").await;
    loud.dress(loud.door.ask("DELETE")).send().await;
    level_becomes("error").await;
    // A request that brings its own level is heard as long as it takes, from its first word.
    let client = Modern::new(gw.door("/servers/fx/mcp"));
    let mut params = json!({"name": "level", "arguments": {}});
    params["_meta"]["io.modelcontextprotocol/logLevel"] = "info".into();
    let told = result(client.request("tools/call", params).await);
    assert_eq!(told["content"][0]["text"], "info");
    level_becomes("error").await;
    let hears = async |level: &str| {
        let mut params = json!({"name": "log", "arguments": {"level": level, "data": "x"}});
        params["_meta"]["io.modelcontextprotocol/logLevel"] = "warning".into();
        client.ask("tools/call", params).send().await.messages().len() == 2
    };
    assert!(hears("error").await && hears("warning").await && !hears("info").await);
    gw.stop().await;
}

#[tokio::test]
async fn a_gateway_behind_a_gateway_may_ask_too() {
    let behind = gateway().open().catalog(on_a_pipe()).start().await;
    behind.ready(["fx"]).await;
    let url = behind.url("/servers/fx/mcp");
    let gw = gateway().arg("--log-calls=false").arg("--block-secrets=false");
    let gw = gw.catalog(Catalog::new().remote("fx", &url, "streamable-http")).start().await;
    gw.ready(["fx"]).await;
    for era in ["legacy", "modern"] {
        let client = Client::of(&gw, era, able()).await;
        let talk = client.ask(&[form(), roots()], willing).await;
        let answers = [willing(&form()), willing(&roots())].map(|said| said.expect("willing"));
        assert_eq!(said(talk.response)["answers"], json!(answers), "{era}: their states look alike");
    }
    gw.stop().await;
    behind.stop().await;
}

#[tokio::test]
async fn what_a_server_says_to_one_client_of_its_lists_is_for_everybody() {
    let server = remote::fixture(&["server", "--http"]).await;
    let gw = serving(gateway(), &server, "legacy").start().await;
    gw.ready(["fx"]).await;
    // Its calls go over a session of its own, because it can be asked; so that is where the server speaks.
    let able = legacy(&gw, LEGACY, able()).await;
    able.call("grow", json!({"name": "fresh"})).await;
    let other = legacy(&gw, LEGACY, json!({})).await;
    let listed = async {
        while !other.list("tools/list", "tools").await.0.iter().any(|tool| tool["name"] == "fresh") {}
    };
    soon("the new tool being listed", listed).await;
    gw.stop().await;
}

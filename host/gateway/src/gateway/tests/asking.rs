//! A server of an older version that asks before it answers: its call is parked, and everything passes the interceptors.

use std::sync::Mutex;

use super::*;
use crate::upstream::tests::site::Rest;

/// Asks in every call, and answers with what it was told. Tools named `c` answer at once, with members of their own.
async fn asker() -> Site {
    let calls: Mutex<Vec<(String, Rest)>> = Mutex::default();
    Site::start(move |seen| match seen.rpc().as_str() {
        "initialize" => {
            let result = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}"#;
            Reply::result(&seen, result).with("mcp-session-id", "s")
        }
        "GET" => Reply::status(405),
        "tools/list" => Reply::result(&seen, r#"{"tools":[{"name":"a"},{"name":"c"}]}"#),
        "tools/call" if seen.body.as_ref().unwrap().pointer("/params/name") == Some(Json::of("c")) => {
            Reply::result(&seen, r#"{"resultType":"table","ttlMs":"soon"}"#)
        }
        "tools/call" => {
            let (reply, rest) = Reply::events();
            push(
                &rest,
                "data: {\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"elicitation/create\",\"params\":{\"message\":\"password?\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{}}}}\n\n",
            );
            calls.lock().unwrap().push((seen.id(), rest));
            reply
        }
        "POST" => {
            let (id, rest) = calls.lock().unwrap().pop().unwrap();
            let told = seen.body.as_ref().unwrap().member("result").unwrap();
            push(
                &rest,
                format!(
                    "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"told\":{}}}}}\n\n",
                    told.as_str()
                ),
            );
            Reply::status(202)
        }
        "DELETE" => Reply::status(200),
        _ => Reply::status(202),
    })
    .await
}

async fn asked_by(stages: Vec<Arc<dyn Stage>>) -> World {
    let site = asker().await;
    let first = old(&site, stages);
    World::of(site, first).await
}

fn old(site: &Site, stages: Vec<Arc<dyn Stage>>) -> Generation {
    let mut first = generation(site, 9, stages);
    let server = Server { protocol: Protocol::Legacy, ..(*first.servers[0]).clone() };
    first.servers = vec![Arc::new(server)];
    first
}

const CALL: &str = r#"{"name":"a","arguments":{"x":1}}"#;

/// The same call with an answer.
fn answered(asks: &Json, content: &str) -> String {
    let state = asks.member("requestState").unwrap();
    let answers = json(&format!(r#"{{"q1":{{"action":"accept","content":{{"x":"{content}"}}}}}}"#));
    json(CALL)
        .with_members(&[("requestState", Some(&state)), ("inputResponses", Some(&answers))])
        .as_str()
        .to_owned()
}

#[tokio::test]
async fn a_parked_call_and_its_answer_pass_the_interceptors() {
    let world = asked_by(vec![marks("elicitation/create")]).await;
    let asks = world.ask("tools/call", CALL).await.unwrap();
    let question = asks.pointer("/inputRequests/q1").unwrap();
    assert_eq!(question.pointer("/params/in"), Some(Json::of("seen")));
    let told = world.ask("tools/call", &answered(&asks, "y")).await.unwrap().member("told").unwrap();
    assert_eq!(told.as_str(), r#"{"action":"accept","content":{"x":"y"},"out":"seen"}"#);
    assert_eq!(world.site.of("tools/call").len(), 1, "one call, however often it was asked for");
}

#[tokio::test]
async fn a_refused_question_or_answer_ends_the_call_at_the_server() {
    let refuses = asked_by(vec![forbids("elicitation/create", "password")]).await;
    assert_eq!(text(refuses.ask("tools/call", CALL).await), "blocked");
    refuses.site.wait_for("notifications/cancelled", 1).await;
    let refuses = asked_by(vec![forbids("elicitation/create", "secret")]).await;
    let asks = refuses.ask("tools/call", CALL).await.unwrap();
    assert_eq!(text(refuses.ask("tools/call", &answered(&asks, "secret")).await), "blocked");
    refuses.site.wait_for("notifications/cancelled", 1).await;
}

#[tokio::test]
async fn a_parked_call_is_its_principal_s_and_survives_a_reload() {
    let world = asked_by(Vec::new()).await;
    let asks = world.ask("tools/call", CALL).await.unwrap();
    let retry = answered(&asks, "y");
    let bob = Request { principal: "bob".into(), ..request("tools/call", &retry).0 };
    assert!(matches!(world.gateway.request(bob).await, Err(CallError::InvalidParams(_))));
    world.gateway.replace(old(&world.site, vec![marks("tools/list")]));
    assert!(world.ask("tools/call", &retry).await.is_ok());
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_at_the_server() {
    let world = asked_by(Vec::new()).await;
    let asks = world.ask("tools/call", CALL).await.unwrap();
    let state = asks.member("requestState").unwrap().string().unwrap().into_owned();
    world.gateway.abandon("bob", &state);
    world.gateway.abandon("alice", "anything");
    assert_eq!(world.gateway.parking.len(), 1);
    world.gateway.abandon("alice", &state);
    world.site.wait_for("notifications/cancelled", 1).await;
    assert!(matches!(world.ask("tools/call", &answered(&asks, "y")).await, Err(CallError::InvalidParams(_))));
    world.ask("tools/call", CALL).await.unwrap();
    world.gateway.close().await;
    assert_eq!(world.gateway.parking.len(), 0);
}

#[tokio::test]
async fn results_are_of_a_type_that_their_reader_knows() {
    let typed = async |kind: &'static str, capabilities: &str| {
        let world = World::with(9, Vec::new(), move |seen: &Seen| {
            Reply::result(seen, &format!(r#"{{"resultType":{kind}}}"#))
        })
        .await;
        let client = ClientFacts { info: None, capabilities: json(capabilities), log_level: None };
        let call = request("tools/call", r#"{"name":"a"}"#).0;
        world.gateway.request(Request { client: Arc::new(client), ..call }).await
    };
    for (kind, capabilities, is_known) in [
        (r#""complete""#, "{}", true),
        (r#""input_required""#, "{}", true),
        (r#""table""#, "{}", false),
        ("7", "{}", false),
        (r#""table""#, r#"{"extensions":{}}"#, false),
        (r#""table""#, r#"{"extensions":{"com.example/tables":{}}}"#, true),
    ] {
        let result = typed(kind, capabilities).await;
        assert_eq!(result.is_ok(), is_known, "{kind} {capabilities}: {result:?}");
    }
    // To a server of an older version the word means something of its own.
    let world = asked_by(Vec::new()).await;
    let call = |version| Request { version, ..request("tools/call", r#"{"name":"c"}"#).0 };
    let modern = world.gateway.request(call(V2026_07_28)).await.unwrap();
    assert_eq!(modern.as_str(), r#"{"resultType":"complete","ttlMs":"soon"}"#);
    let legacy = world.gateway.request(call(V2025_11_25)).await.unwrap();
    assert_eq!(legacy.as_str(), r#"{"resultType":"table","ttlMs":"soon"}"#);
}

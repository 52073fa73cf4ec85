//! Who answers what a server asks, and how the questions look to the client.

use std::sync::Arc;

use expect_test::{Expect, expect};
use wasmgate_core::mcp::{V2025_11_25, V2026_07_28};
use wasmgate_core::name::ServerName;

use super::super::{ClientFacts, View};
use super::*;
use crate::mailbox;
use crate::upstream::{Event, Fault, Resumed, Waiting};

struct Nowhere;

impl Waiting for Nowhere {
    fn resume(self: Box<Self>, _: Vec<(String, Reply)>, _: mailbox::Sender<Event>) -> Resumed {
        Box::pin(async { Err(Fault::Unavailable("nowhere".into())) })
    }
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn question(key: &str, method: &str, params: &str) -> Question {
    Question { key: key.into(), method: method.into(), params: Some(json(params)) }
}

fn request(version: &'static str, capabilities: &str) -> Request {
    let client = ClientFacts { info: None, capabilities: json(capabilities), log_level: None };
    Request {
        view: View::All,
        id: "r".into(),
        principal: "alice".into(),
        session: None,
        method: method::TOOLS_CALL.into(),
        params: None,
        client: Arc::new(client),
        version,
        events: mailbox::channel(1).0,
    }
}

/// Everything a server can ask, sorted for a client.
fn check(version: &'static str, capabilities: &str, expected: Expect) {
    let questions = vec![
        question("e", method::ELICIT, r#"{"message":"m"}"#),
        question("s", method::SAMPLE, r#"{"messages":[],"tools":[]}"#),
        question("r", method::ROOTS_LIST, "{}"),
    ];
    let parked = Parked::new(ServerName::new("s").unwrap(), Box::new(Nowhere));
    let keys = |questions: &[Question]| questions.iter().map(|one| one.key.clone()).collect::<Vec<_>>();
    let said = |known: Vec<(String, Reply)>| -> Vec<String> {
        let said = known.into_iter().map(|(key, reply)| match reply {
            Reply::Result(result) => format!("{key}={}", result.as_str()),
            Reply::Error(error) => format!("{key}!{}", error.member("code").unwrap().as_str()),
        });
        said.collect()
    };
    let found = match sorted(Asks { questions, parked }, &request(version, capabilities)) {
        Ok(Sorted::Asked(asked, stay)) => format!("asked {:?}, known {:?}", keys(&asked), said(stay.known)),
        Ok(Sorted::Known(_, known)) => format!("known {:?}", said(known)),
        Err(CallError::MissingCapability(required)) => format!("missing {}", required.as_str()),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&found);
}

#[test]
fn a_modern_client_is_asked_what_it_declared_or_told_what_it_lacks() {
    let all = r#"{"elicitation":{},"sampling":{"tools":{}},"roots":{}}"#;
    check(V2026_07_28, all, expect![[r#"asked ["e", "s", "r"], known []"#]]);
    let no_roots = r#"{"elicitation":{},"sampling":{"tools":{}}}"#;
    check(V2026_07_28, no_roots, expect![[r#"asked ["e", "s"], known ["r={\"roots\":[]}"]"#]]);
    check(
        V2026_07_28,
        r#"{"sampling":{}}"#,
        expect![[r#"missing {"elicitation":{"form":{}},"sampling":{"tools":{}}}"#]],
    );
}

#[test]
fn a_legacy_client_would_have_refused_what_it_did_not_declare() {
    check(V2025_11_25, "{}", expect![[r#"known ["e!-32601", "s!-32601", "r={\"roots\":[]}"]"#]]);
    check(
        V2025_11_25,
        r#"{"elicitation":{}}"#,
        expect![[r#"asked ["e"], known ["s!-32601", "r={\"roots\":[]}"]"#]],
    );
}

#[test]
fn urls_lose_their_ids_on_the_way_to_modern_clients() {
    let asked = [question("u", method::ELICIT, r#"{"mode":"url","elicitationId":"7","url":"https://x"}"#)];
    assert_eq!(
        input_required(&asked, V2026_07_28).as_str(),
        r#"{"resultType":"input_required","inputRequests":{"u":{"method":"elicitation/create","params":{"mode":"url","url":"https://x"}}}}"#
    );
    let params = input_required(&asked, V2025_11_25).pointer("/inputRequests/u/params").unwrap();
    assert_eq!(params.member("elicitationId"), Some(Json::of("7")));
}

#[test]
fn an_error_that_sends_to_urls_is_questions() {
    let asked = |error: &str| urls(&json(error)).map(|asked| asked.len());
    let url = r#"{"mode":"url","elicitationId":"7","url":"https://x","message":"m"}"#;
    let error = |code: i64, elicitations: &str| {
        format!(r#"{{"code":{code},"message":"","data":{{"elicitations":[{elicitations}]}}}}"#)
    };
    assert_eq!(asked(&error(-32042, &format!("{url},{url}"))), Some(2));
    for none in [
        error(-32042, ""),
        error(-32042, r#"{"mode":"url"}"#),
        error(-32000, url),
        r#"{"code":-32042,"message":"visit"}"#.to_owned(),
    ] {
        assert_eq!(asked(&none), None, "{none}");
    }
}

#[test]
fn replies_are_those_that_were_asked_for() {
    let params = json(r#"{"inputResponses":{"a":{"x":1},"other":{"y":2}}}"#);
    let keys = ["a".to_owned(), "b".to_owned()];
    let found = replies(Some(&params), &keys);
    assert_eq!(found, [("a".to_owned(), Reply::Result(json(r#"{"x":1}"#)))]);
    assert!(replies(None, &keys).is_empty());
}

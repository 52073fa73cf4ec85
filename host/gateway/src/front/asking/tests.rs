//! Rounds read from results, and questions as each version knows them.

use futures_util::FutureExt as _;
use wasmgate_core::jsonrpc::Id;

use super::super::calling::nobody;
use super::super::session::tests::{caller, session};
use super::*;
use crate::gateway::ClientFacts;
use crate::mailbox;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

#[test]
fn a_question_is_worded_as_the_version_knows_it() {
    let check = |version, asked, params: &str, expected: &str| {
        let worded = as_known_to(version, asked, Some(&json(params))).unwrap();
        assert_eq!(worded.as_str(), expected, "{version} {asked}");
    };
    let form = r#"{"mode":"form","message":"m","requestedSchema":{}}"#;
    check("2025-11-25", method::ELICIT, form, form);
    check("2025-06-18", method::ELICIT, form, r#"{"message":"m","requestedSchema":{}}"#);
    let named = r#"{"mode":"url","elicitationId":"theirs","url":"https://x"}"#;
    check("2025-11-25", method::ELICIT, named, named);
    let sampling = r#"{"mode":"form","messages":[],"maxTokens":1.0}"#;
    check("2025-06-18", method::SAMPLE, sampling, sampling);
    let url = json(r#"{"mode":"url","url":"https://x"}"#);
    let minted = |()| {
        let worded = as_known_to("2025-11-25", method::ELICIT, Some(&url)).unwrap();
        worded.member("elicitationId").unwrap().string().unwrap().into_owned()
    };
    let (one, other) = (minted(()), minted(()));
    assert!(!one.is_empty() && one != other, "{one} {other}");
}

#[test]
fn a_round_is_what_asks_for_input() {
    for plain in [r#"{"content":[]}"#, r#"{"resultType":"complete","inputRequests":{}}"#, "[]"] {
        assert!(Round::of(&json(plain)).unwrap().is_none(), "{plain}");
    }
    let asks = |requests: &str| {
        Round::of(&json(&format!(r#"{{"resultType":"input_required","inputRequests":{requests}}}"#)))
    };
    let round = asks(r#"{"b":{"method":"roots/list"},"a":{"method":"elicitation/create","params":{}}}"#);
    let round = round.unwrap().unwrap();
    let keys: Vec<&str> = round.questions.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["b", "a"]);
    assert!(matches!(asks(r#"{"a":{"method":"tools/call"}}"#), Err(CallError::NotAsked(_))));
    let many: Vec<String> =
        (0..=MAX_QUESTIONS).map(|n| format!(r#""{n}":{{"method":"roots/list"}}"#)).collect();
    assert!(matches!(asks(&format!("{{{}}}", many.join(","))), Err(CallError::Limit(_))));
    let waits = Round::of(&json(r#"{"resultType":"input_required","requestState":"s"}"#)).unwrap().unwrap();
    assert!(waits.questions.is_empty() && waits.state.is_some());
}

fn request(capabilities: &str) -> Request {
    let client = ClientFacts { info: None, capabilities: json(capabilities), log_level: None };
    Request {
        view: caller().view,
        id: next_id(),
        principal: caller().principal,
        session: None,
        method: method::TOOLS_CALL.into(),
        params: None,
        client: Arc::new(client),
        version: V2025_11_25,
        events: nobody(),
    }
}

fn two_questions() -> Round {
    let result = json(
        r#"{"resultType":"input_required","inputRequests":{"e":{"method":"elicitation/create","params":{"message":"m"}},"r":{"method":"roots/list"}}}"#,
    );
    Round::of(&result).unwrap().unwrap()
}

/// What was said: the method and the id it has or is about, with the params of questions.
fn said(receiver: &mut mailbox::Receiver<Vec<u8>>) -> (Vec<String>, Vec<Id>) {
    let mut said = (Vec::new(), Vec::new());
    while let Some(message) = receiver.try_recv() {
        let message = json(std::str::from_utf8(&message).unwrap());
        let [id, method, params] = message.pick(["id", "method", "params"]);
        let about = params.as_ref().and_then(|params| params.member("requestId"));
        let shown = params.filter(|_| about.is_none()).map(|params| params.as_str().to_owned());
        let method = method.unwrap().string().unwrap().into_owned();
        said.0.push(format!("{method} {}", shown.unwrap_or_default()).trim_end().to_owned());
        said.1.extend(id.or(about).and_then(|id| Id::of(&id)));
    }
    said
}

const ALL: &str = r#"{"elicitation":{},"roots":{}}"#;
const ELICITS: &str = r#"elicitation/create {"message":"m"}"#;
const LISTS: &str = "roots/list";
const GONE: &str = "notifications/cancelled";

#[tokio::test]
async fn all_questions_go_out_at_once_and_all_answers_are_waited_for() {
    let session = session();
    let (asking, mut receiver) = Asking::new(Arc::clone(&session));
    let (request, round) = (request(ALL), two_questions());
    let mut answers = Box::pin(asking.round(&request, &round));
    assert!((&mut answers).now_or_never().is_none());
    let (questions, ids) = said(&mut receiver);
    assert_eq!(questions, [ELICITS, LISTS]);
    session.answered(&ids[1], Ok(json(r#"{"roots":[]}"#)));
    assert!((&mut answers).now_or_never().is_none());
    session.answered(&ids[0], Err(json(r#"{"code":-1}"#)));
    let (results, refused) = answers.await.unwrap();
    assert_eq!(results.unwrap().as_str(), r#"{"r":{"roots":[]}}"#);
    assert_eq!((refused[0].key.as_str(), &*refused[0].method), ("e", method::ELICIT));
    assert!(said(&mut receiver).0.is_empty(), "nothing is taken back that was answered");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_is_told_that_it_need_not_any_more() {
    let (asking, mut receiver) = Asking::new(session());
    let (request, round) = (request(ALL), two_questions());
    assert!(matches!(asking.round(&request, &round).await, Err(CallError::NotAsked(_))));
    let (messages, ids) = said(&mut receiver);
    assert_eq!(messages, [ELICITS, LISTS, GONE, GONE]);
    assert_eq!(ids[..2], ids[2..]);
}

#[tokio::test]
async fn questions_of_a_call_that_is_dropped_are_taken_back() {
    let session = session();
    let (asking, mut receiver) = Asking::new(Arc::clone(&session));
    let (request, round) = (request(ALL), two_questions());
    let mut answers = Box::pin(asking.round(&request, &round));
    assert!((&mut answers).now_or_never().is_none());
    let (_, ids) = said(&mut receiver);
    session.answered(&ids[0], Ok(json("{}")));
    drop(answers);
    assert_eq!(said(&mut receiver), (vec![GONE.to_owned()], vec![ids[1].clone()]));
}

#[tokio::test]
async fn nobody_is_asked_what_they_did_not_declare_or_when_they_are_gone() {
    let session = session();
    let (asking, mut receiver) = Asking::new(Arc::clone(&session));
    let round = two_questions();
    let refused = asking.round(&request(r#"{"roots":{}}"#), &round).await;
    assert!(matches!(refused, Err(CallError::MissingCapability(_))));
    assert!(said(&mut receiver).0.is_empty());
    drop(receiver);
    assert!(matches!(asking.round(&request(ALL), &round).await, Err(CallError::NotAsked(_))));
    session.end();
    assert!(matches!(asking.round(&request(ALL), &round).await, Err(CallError::Limit(_))));
}

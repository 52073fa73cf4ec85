//! A parked call and the way back to it; the rounds of servers of 2026-07-28 are tested with a whole gateway.

use std::sync::Mutex;

use wasmgate_core::mcp::{V2025_11_25, V2026_07_28};
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::Party;

use super::*;
use crate::mailbox;
use crate::shutdown::Tasks;
use crate::upstream::{Answer, Event, Keepings, Parked, Resumed, Waiting};

/// A call that ends with what it was told.
struct Told(Arc<Mutex<Vec<(String, Reply)>>>);

impl Waiting for Told {
    fn resume(self: Box<Self>, replies: Vec<(String, Reply)>, _: mailbox::Sender<Event>) -> Resumed {
        *self.0.lock().unwrap() = replies;
        Box::pin(async { Ok(Answer::Result(Json::empty_object())) })
    }
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn operation(principal: &str, event: &str) -> Operation {
    Operation {
        id: "r".into(),
        event: event.into(),
        server: Some(ServerName::new("s").unwrap()),
        subject: None,
        principal: principal.into(),
        session: None,
        version: V2026_07_28,
        initiator: Party::Client,
    }
}

struct World {
    pipeline: Pipeline,
    sealer: Sealer,
    parking: Parking,
    tasks: Tasks,
}

impl World {
    fn new() -> Self {
        let tasks = Tasks::new();
        let parking = Parking::new(&tasks);
        Self { pipeline: Pipeline::new(Vec::new(), |_, _| ()), sealer: Sealer::new([7; 32]), parking, tasks }
    }

    fn rounds<'a>(&'a self, operation: &'a Operation, version: &str, said: &str) -> Rounds<'a> {
        let offer = Offer {
            version: version.into(),
            capabilities: Json::empty_object(),
            info: None,
            instructions: None,
            tools: Vec::new(),
            left_out: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            keepings: Keepings::default(),
        };
        Rounds {
            pipeline: &self.pipeline,
            operation,
            sealer: &self.sealer,
            parking: &self.parking,
            offer: Some(Arc::new(offer)),
            said: Some(json(said)),
        }
    }

    /// Parks a call of alice: the state she gets.
    async fn park(&self) -> String {
        let stay = Stay {
            call: Parked::new(ServerName::new("s").unwrap(), Box::new(Told(Arc::default()))),
            known: Vec::new(),
        };
        let question = Question {
            key: "k".into(),
            method: method::ELICIT.into(),
            params: Some(json(r#"{"message":"who?"}"#)),
        };
        let operation = operation("alice", method::TOOLS_CALL);
        let result = self.rounds(&operation, V2025_11_25, SAID).park(&[question], stay).await.unwrap();
        assert_eq!(
            result.member("inputRequests").unwrap().as_str(),
            r#"{"k":{"method":"elicitation/create","params":{"message":"who?"}}}"#
        );
        result.member("requestState").unwrap().string().unwrap().into_owned()
    }

    async fn retry(&self, principal: &str, version: &str, said: &str, state: &str) -> Result<Retry, String> {
        let operation = operation(principal, method::TOOLS_CALL);
        let params = json(said).with_members(&[
            ("requestState", Some(&Json::of(state))),
            ("inputResponses", Some(&json(r#"{"k":{"action":"accept"}}"#))),
        ]);
        let retry = self.rounds(&operation, version, said).answers(Some(params), Vec::new()).await;
        retry.map_err(|error| error.to_string())
    }
}

const SAID: &str = r#"{"name":"a","arguments":{"x":1,"y":2}}"#;
const BAD: &str = "requestState: not one of ours, used before, or too old";

#[tokio::test]
async fn the_way_back_is_for_the_one_who_asked_for_what_was_asked_and_once() {
    let world = World::new();
    let state = world.park().await;
    let refused = async |principal, said, state: &str| {
        world.retry(principal, V2025_11_25, said, state).await.err().unwrap()
    };
    assert_eq!(refused("bob", SAID, &state).await, BAD);
    let other = r#"{"name":"a","arguments":{"x":1,"y":3}}"#;
    assert_eq!(refused("alice", other, &state).await, "requestState: it belongs to another request");
    for at in ["wasmgate.".len(), state.len() / 2, state.len() - 2] {
        let mut flipped = state.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(refused("alice", SAID, &String::from_utf8(flipped).unwrap()).await, BAD, "byte {at}");
    }
    assert_eq!(refused("alice", SAID, "the server's own").await, BAD);
    assert_eq!(world.parking.len(), 1, "nothing of all this let go of the call");
    let respelt = r#"{ "arguments":{"y":2.0,"x":1}, "name":"a" }"#;
    let retry = world.retry("alice", V2025_11_25, respelt, &state).await.unwrap();
    assert_eq!(retry.parked.unwrap().asked, ["k"]);
    assert_eq!(refused("alice", SAID, &state).await, BAD);
    assert_eq!(world.tasks.panics(), 0);
}

#[tokio::test]
async fn a_server_with_states_of_its_own_gets_them() {
    let world = World::new();
    let retry = world.retry("alice", V2026_07_28, SAID, "the server's own").await.unwrap();
    let state = retry.params.unwrap().member("requestState");
    assert_eq!(state, Some(Json::of("the server's own")));
    let refused = world.retry("alice", V2026_07_28, SAID, "wasmgate.of-nobody").await.err();
    assert_eq!(refused.as_deref(), Some(BAD));
}

#[tokio::test]
async fn answers_without_a_state_are_none_to_an_older_server() {
    let world = World::new();
    let operation = operation("alice", method::TOOLS_CALL);
    let answers = async |version, params: &str| {
        let rounds = world.rounds(&operation, version, SAID);
        rounds.answers(Some(json(params)), Vec::new()).await.map_err(|error| error.to_string())
    };
    let stray = r#"{"name":"a","inputResponses":{}}"#;
    let unknown = Rounds { offer: None, ..world.rounds(&operation, V2026_07_28, SAID) };
    for said in [stray, r#"{"name":"a","requestState":"x"}"#] {
        let refused = unknown.answers(Some(json(said)), Vec::new()).await.err();
        assert_eq!(refused.map(|error| error.to_string()).as_deref(), Some(BAD), "until it is known");
    }
    assert_eq!(answers(V2025_11_25, stray).await.err().as_deref(), Some(BAD));
    assert!(answers(V2026_07_28, stray).await.is_ok());
    assert!(answers(V2025_11_25, r#"{"name":"a"}"#).await.is_ok());
}

#[tokio::test]
async fn an_error_of_the_client_reaches_a_call_that_waits() {
    let world = World::new();
    let state = world.park().await;
    let operation = operation("alice", method::TOOLS_CALL);
    let error = json(r#"{"code":-1,"message":"no"}"#);
    let refused =
        |method: &str| vec![Refused { key: "k".into(), method: method.into(), error: error.clone() }];
    let params = json(SAID).with_member("requestState", &Json::of(&state));
    let old = world.rounds(&operation, V2025_11_25, SAID);
    let retry = old.answers(Some(params), refused(method::ELICIT)).await.unwrap();
    assert_eq!(retry.parked.unwrap().stay.known, [("k".to_owned(), Reply::Error(error.clone()))]);
    let modern = world.rounds(&operation, V2026_07_28, SAID);
    let retry = modern.answers(Some(json(SAID)), refused(method::ELICIT)).await.unwrap();
    let answers = retry.params.unwrap().member("inputResponses").unwrap();
    assert_eq!(answers.as_str(), r#"{"k":{"action":"cancel"}}"#);
    let failed = modern.answers(Some(json(SAID)), refused(method::SAMPLE)).await.err();
    assert!(matches!(failed, Some(CallError::Answered(answered)) if answered == error));
}

#[tokio::test]
async fn what_was_to_be_done_first_is_done_or_declined() {
    let world = World::new();
    let operation = operation("alice", method::TOOLS_CALL);
    let rounds = world.rounds(&operation, V2025_11_25, SAID);
    let question = Question {
        key: "url-0".into(),
        method: method::ELICIT.into(),
        params: Some(json(r#"{"mode":"url"}"#)),
    };
    let asked = rounds.before_again(&[question]).await.unwrap();
    let answer = |action: &str| {
        json(SAID).with_members(&[
            ("requestState", asked.member("requestState").as_ref()),
            ("inputResponses", Some(&json(&format!(r#"{{"url-0":{{"action":"{action}"}}}}"#)))),
        ])
    };
    let retry = rounds.answers(Some(answer("accept")), Vec::new()).await.unwrap();
    assert_eq!(retry.params.unwrap().as_str(), SAID, "the server sees the call as it was");
    assert!(retry.parked.is_none());
    let declined = rounds.answers(Some(answer("decline")), Vec::new()).await.err();
    assert!(matches!(declined, Some(CallError::NotAsked(_))));
}

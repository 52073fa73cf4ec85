//! Servers on pipes that ask before they answer.

use super::*;
use crate::mailbox;
use crate::upstream::asks::{Asks, Question as Asked, Reply};
use crate::upstream::link::Client;
use crate::upstream::{ClientFacts, Parked};

/// A call of somebody who can be asked.
fn call(pipe: &Arc<Pipe>, principal: &str) -> Calling {
    call_with(pipe, principal, "{}", mailbox::channel(8).0)
}

type Calling = JoinHandle<Result<Answer, Fault>>;

fn call_with(pipe: &Arc<Pipe>, principal: &str, params: &str, events: mailbox::Sender<Event>) -> Calling {
    let (pipe, params, principal) =
        (Arc::clone(pipe), Json::parse(params.to_owned()).unwrap(), Arc::from(principal));
    tokio::spawn(async move {
        let facts = ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None };
        let client = Some(Client { facts: &facts, principal: Some(&principal), appetite: None });
        let patience = Patience::new(deadlines(), Instant::now().into_std());
        let events = Some(events);
        let question = Question { method: "tools/call", params: Some(&params), client, events, patience };
        pipe.ask(&Era::Legacy("2025-11-25"), question).await
    })
}

#[track_caller]
fn asks(answer: Result<Answer, Fault>) -> (Vec<Asked>, Parked) {
    match answer.unwrap() {
        Answer::Asks(Asks { questions, parked }) => (questions, parked),
        other => panic!("{other:?}"),
    }
}

fn yes(key: &str) -> (String, Reply) {
    (key.to_owned(), Reply::Result(Json::parse(format!(r#"{{"yes":"{key}"}}"#)).unwrap()))
}

fn nowhere() -> mailbox::Sender<Event> {
    mailbox::channel(1).0
}

impl Peer {
    async fn elicit(&mut self, id: &str) {
        self.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create","params":{{"message":{id}}}}}"#
        ))
        .await;
    }

    async fn hear_text(&mut self) -> String {
        self.hear().await.as_str().to_owned()
    }
}

#[tokio::test]
async fn two_questions_at_once_then_another_then_the_answer() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let asked = call(&pipe, "alice");
    let id = peer.hear_id().await;
    let both = concat!(
        r#"{"jsonrpc":"2.0","id":"a","method":"elicitation/create","params":{"message":"?"}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#
    );
    peer.say(both).await;
    let (questions, parked) = asks(asked.await.unwrap());
    let [first, second] = questions.as_slice() else { panic!("{questions:?}") };
    assert_eq!((&*first.key, &*first.method), ("q1", "elicitation/create"));
    assert_eq!(first.params.as_ref().unwrap().as_str(), r#"{"message":"?"}"#);
    assert_eq!((&*second.key, &*second.method, &second.params), ("q2", "roots/list", &None));

    let no = Json::parse(r#"{"code":-1,"message":"no"}"#.to_owned()).unwrap();
    let resumed = parked.resume(vec![("q2".into(), Reply::Error(no))], nowhere()).await;
    assert_eq!(peer.hear_text().await, r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}"#);
    let (questions, parked) = asks(resumed.map_err(|error| error.fault));
    assert_eq!(questions.len(), 1, "what has no reply is asked again");
    assert_eq!(questions[0].key, "q1");
    let resuming = tokio::spawn(parked.resume(vec![yes("q1"), yes("q9")], nowhere()));
    assert_eq!(peer.hear_text().await, r#"{"jsonrpc":"2.0","id":"a","result":{"yes":"q1"}}"#);
    peer.elicit("\"b\"").await;
    let (questions, parked) = asks(resuming.await.unwrap().map_err(|error| error.fault));
    assert_eq!(questions[0].key, "q3");
    let resuming = tokio::spawn(parked.resume(vec![yes("q3")], nowhere()));
    peer.hear().await;
    peer.answer(id, r#"{"done":1}"#).await;
    assert_eq!(result(resuming.await.unwrap().map_err(|error| error.fault)), r#"{"done":1}"#);
}

#[tokio::test(start_paused = true)]
async fn time_stands_still_and_events_are_kept_while_the_client_is_asked() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let (to, mut before) = mailbox::channel(8);
    let asked = call_with(&pipe, "alice", r#"{"_meta":{"progressToken":"mine"}}"#, to);
    let id = peer.hear_id().await;
    let progress = |step: u32| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":{step}}}}}"#
        )
    };
    peer.say(&progress(1)).await;
    peer.elicit("1").await;
    let (_, parked) = asks(asked.await.unwrap());
    peer.say(&progress(2)).await;
    peer.say(&progress(3)).await;
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    let (to, mut after) = mailbox::channel(8);
    let resuming = tokio::spawn(parked.resume(vec![yes("q1")], to));
    peer.hear().await;
    peer.say(&progress(4)).await;
    peer.answer(id, "{}").await;
    assert_eq!(result(resuming.await.unwrap().map_err(|error| error.fault)), "{}");
    let mut steps = Vec::new();
    while let Some(event) = after.recv().await {
        assert_eq!(event.params.member("progressToken").unwrap().as_str(), "\"mine\"");
        steps.push(event.params.member("progress").unwrap().as_str().to_owned());
    }
    assert_eq!(steps, ["2", "3", "4"]);
    assert_eq!(before.recv().await.unwrap().params.member("progress").unwrap().as_str(), "1");
    assert!(before.recv().await.is_none());
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_reply_is_the_answer() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let asked = call(&pipe, "alice");
    let id = peer.hear_id().await;
    peer.elicit("1").await;
    let (_, parked) = asks(asked.await.unwrap());
    peer.answer(id, r#"{"gave":"up"}"#).await;
    // Whatever follows is read after it.
    let next = call(&pipe, "alice");
    let id = peer.hear_id().await;
    peer.answer(id, "{}").await;
    next.await.unwrap().unwrap();
    let resumed = parked.resume(vec![yes("q1")], nowhere()).await;
    assert_eq!(result(resumed.map_err(|error| error.fault)), r#"{"gave":"up"}"#);
}

#[tokio::test]
async fn letting_go_of_a_question_answers_it_and_cancels_the_call() {
    for lets_go_late in [false, true] {
        let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
        let asked = call(&pipe, "alice");
        let id = peer.hear_id().await;
        peer.elicit("1").await;
        peer.elicit("2").await;
        let (questions, parked) = asks(asked.await.unwrap());
        let mut open = 2;
        if lets_go_late {
            // Only what has been handed out can be replied to; the other question comes with the next round.
            let replies = questions.iter().map(|question| yes(&question.key)).collect();
            let resuming = tokio::spawn(parked.resume(replies, nowhere()));
            peer.hear().await;
            open -= questions.len();
            if open == 0 {
                peer.hear().await;
            }
            resuming.abort();
        } else {
            drop(parked);
        }
        for _ in 0..open {
            assert!(peer.hear_text().await.contains(r#""error":{"code":-32603"#));
        }
        let said = peer.hear().await;
        assert_eq!(said.member("method").unwrap().string().unwrap(), "notifications/cancelled");
        assert_eq!(said.pointer("/params/requestId").unwrap().as_str(), id.to_string());
    }
}

#[tokio::test]
async fn the_end_of_the_server_ends_what_is_parked() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let asked = call(&pipe, "alice");
    peer.hear_id().await;
    peer.elicit("1").await;
    let (_, parked) = asks(asked.await.unwrap());
    assert!(peer.end.send(Ending::exited(Exit { code: Some(3), ..Exit::default() })).is_ok());
    drop((peer.says, peer.hears));
    pipe.ended().await;
    let error = parked.resume(vec![yes("q1")], nowhere()).await.unwrap_err();
    assert_eq!(error.to_string(), "server `peer` ended during the call with exit code 3");
}

#[tokio::test]
async fn a_question_that_may_be_another_principals_is_put_to_nobody() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let alice = call(&pipe, "alice");
    let first = peer.hear_id().await;
    let bob = call(&pipe, "bob");
    peer.hear_id().await;
    peer.elicit("1").await;
    assert!(peer.hear_text().await.contains(r#""id":1,"error":{"code":-32601"#));
    peer.answer(first, "{}").await;
    alice.await.unwrap().unwrap();
    peer.elicit("2").await;
    let (questions, _parked) = asks(bob.await.unwrap());
    assert_eq!(questions[0].params.as_ref().unwrap().as_str(), r#"{"message":2}"#);
}

#[tokio::test]
async fn what_was_given_up_may_still_ask() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let alice = call(&pipe, "alice");
    let first = peer.hear_id().await;
    alice.abort();
    peer.hear().await;
    let bob = call(&pipe, "bob");
    peer.hear_id().await;
    peer.elicit("1").await;
    assert!(peer.hear_text().await.contains(r#""id":1,"error":{"code":-32601"#));
    // At last it answers her call: what it asks from now on is his.
    peer.answer(first, "{}").await;
    peer.elicit("2").await;
    let (questions, _parked) = asks(bob.await.unwrap());
    assert_eq!(questions.len(), 1);
}

#[tokio::test]
async fn of_one_principals_calls_the_latest_is_asked() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let earlier = call(&pipe, "alice");
    let first = peer.hear_id().await;
    let later = call(&pipe, "alice");
    peer.hear_id().await;
    peer.elicit("1").await;
    let (questions, parked) = asks(later.await.unwrap());
    assert_eq!(questions.len(), 1);
    peer.answer(first, "{}").await;
    assert_eq!(result(earlier.await.unwrap()), "{}");
    drop(parked);
}

#[tokio::test]
async fn nobody_is_asked_what_no_call_of_a_client_can_have_led_to() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let refused = r#""error":{"code":-32601"#;
    peer.elicit("1").await;
    assert!(peer.hear_text().await.contains(refused), "no call");
    let ours = ask(&pipe);
    let id = peer.hear_id().await;
    peer.elicit("2").await;
    assert!(peer.hear_text().await.contains(refused), "our own call");
    peer.say(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).await;
    assert_eq!(peer.hear_text().await, r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
    peer.answer(id, "{}").await;
    ours.await.unwrap().unwrap();
    let hers = call(&pipe, "alice");
    peer.hear_id().await;
    peer.say(r#"{"jsonrpc":"2.0","id":3,"method":"tasks/list"}"#).await;
    assert!(peer.hear_text().await.contains(refused), "no question for a client");
    hers.abort();
}

#[tokio::test]
async fn a_withdrawn_question_needs_no_reply_and_the_hundredth_is_refused() {
    let (pipe, mut peer) = connect_declared(Declared::ANYTHING);
    let asked = call(&pipe, "alice");
    let id = peer.hear_id().await;
    peer.elicit("0").await;
    let (_, parked) = asks(asked.await.unwrap());
    let withdrawn = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}"#;
    peer.say(withdrawn).await;
    for n in 1..100 {
        peer.elicit(&n.to_string()).await;
    }
    for n in 32..100 {
        let refused = format!(r#"{{"jsonrpc":"2.0","id":{n},"error":{{"code":-32603"#);
        assert!(peer.hear_text().await.starts_with(&refused), "{n}");
    }
    let resumed = parked.resume(vec![yes("q1")], nowhere()).await;
    let (questions, parked) = asks(resumed.map_err(|error| error.fault));
    let keys: Vec<_> = questions.iter().map(|question| question.key.as_str()).collect();
    assert_eq!((keys.len(), keys[0], keys[30]), (31, "q2", "q32"));
    let replies = keys.iter().map(|key| yes(key)).collect();
    let resuming = tokio::spawn(parked.resume(replies, nowhere()));
    for n in 1..=31 {
        assert_eq!(peer.hear().await.member("id").unwrap().as_str(), n.to_string());
    }
    peer.answer(id, "{}").await;
    assert_eq!(result(resuming.await.unwrap().map_err(|error| error.fault)), "{}");
}

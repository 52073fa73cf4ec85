//! The owner against a scripted peer on the other end of in-memory pipes.

#![expect(clippy::disallowed_methods, reason = "a test waits for the tasks it spawns, or ends with them")]

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, split,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wasmgate_core::catalog::Deadlines;
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

use super::{Behind, Ends, Pipe};
use crate::launch::Exit;
use crate::mailbox;
use crate::shutdown::Tasks;
use crate::upstream::correlator::Patience;
use crate::upstream::declared::Declared;
use crate::upstream::era::Era;
use crate::upstream::link::{Client, Ending, Question};
use crate::upstream::{Answer, ClientFacts, Event, Fault, Limits};

struct Peer {
    says: WriteHalf<DuplexStream>,
    hears: Lines<BufReader<ReadHalf<DuplexStream>>>,
    end: oneshot::Sender<Ending>,
}

type Asked = JoinHandle<Result<Answer, Fault>>;

fn connect() -> (Arc<Pipe>, Peer) {
    connect_declared(Declared::NOTHING)
}

fn connect_within(limits: &Limits) -> (Arc<Pipe>, Peer) {
    connect_to(Declared::NOTHING, limits)
}

fn connect_declared(declared: Declared) -> (Arc<Pipe>, Peer) {
    connect_to(declared, &Limits::default())
}

fn connect_to(declared: Declared, limits: &Limits) -> (Arc<Pipe>, Peer) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (output, input) = split(ours);
    let (hears, says) = split(theirs);
    let (end, ended) = oneshot::channel();
    let ends = Ends { input: Box::new(input), output: Box::new(output), behind: Behind::Other(ended) };
    let name = ServerName::new("peer").unwrap();
    let pipe = Pipe::open(name, ends, declared, &Tasks::new(), limits);
    (Arc::new(pipe), Peer { says, hears: BufReader::new(hears).lines(), end })
}

fn deadlines() -> Deadlines {
    let second = Duration::from_secs(1);
    Deadlines { initialize: second, idle: second * 60, total: second * 600 }
}

fn ask_with(pipe: &Arc<Pipe>, params: &str, events: Option<mailbox::Sender<Event>>) -> Asked {
    let (pipe, params) = (Arc::clone(pipe), Json::parse(params.to_owned()).unwrap());
    tokio::spawn(async move {
        let patience = Patience::new(deadlines(), Instant::now().into_std());
        let question =
            Question { method: "tools/call", params: Some(&params), client: None, events, patience };
        pipe.ask(&Era::Legacy("2025-11-25"), question).await
    })
}

fn ask(pipe: &Arc<Pipe>) -> Asked {
    ask_with(pipe, "{}", None)
}

impl Peer {
    async fn hear(&mut self) -> Json {
        Json::parse(self.hears.next_line().await.unwrap().unwrap()).unwrap()
    }

    async fn hear_id(&mut self) -> u64 {
        self.hear().await.member("id").unwrap().as_str().parse().unwrap()
    }

    async fn say(&mut self, line: &str) {
        self.says.write_all(line.as_bytes()).await.unwrap();
        self.says.write_all(b"\n").await.unwrap();
    }

    async fn answer(&mut self, id: u64, result: &str) {
        self.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)).await;
    }
}

#[track_caller]
fn result(answer: Result<Answer, Fault>) -> String {
    match answer.unwrap() {
        Answer::Result(json) => json.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_find_their_callers_in_any_order() {
    let (pipe, mut peer) = connect();
    let (first, second) = (ask_with(&pipe, r#"{"n":1}"#, None), ask_with(&pipe, r#"{"n":2}"#, None));
    for _ in 0..2 {
        let request = peer.hear().await;
        let n = request.pointer("/params/n").unwrap();
        let id = request.member("id").unwrap();
        peer.answer(id.as_str().parse().unwrap(), &format!(r#"{{"n": {}, "x":1.50}}"#, n.as_str())).await;
    }
    assert_eq!(result(first.await.unwrap()), r#"{"n": 1, "x":1.50}"#);
    assert_eq!(result(second.await.unwrap()), r#"{"n": 2, "x":1.50}"#);
}

#[tokio::test]
async fn garbage_between_messages_harms_nobody() {
    let (pipe, mut peer) = connect();
    let asked = ask(&pipe);
    let id = peer.hear_id().await;
    for line in
        ["Listening on :3000", "\u{1b}[31mred\u{1b}[0m", "\0\0\0", "{\"a\":", "", "\r", "[1,2]", "\u{feff}"]
    {
        peer.say(line).await;
    }
    peer.says.write_all(b"\xff\xfe\n").await.unwrap();
    peer.answer(id + 100, "{}").await;
    peer.say(&format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"result\":\"a string id\"}}")).await;
    peer.say(&format!("\u{feff}{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"ok\":1}}}}\r")).await;
    peer.answer(id, "\"again\"").await;
    assert_eq!(result(asked.await.unwrap()), r#"{"ok":1}"#);
}

#[tokio::test]
async fn a_line_beyond_the_limit_fails_its_own_call_only() {
    let (pipe, mut peer) = connect();
    let (long, short) = (ask(&pipe), ask(&pipe));
    let (first, second) = (peer.hear_id().await, peer.hear_id().await);
    let filler = "x".repeat(MAX_MESSAGE);
    // The id is in front in one, at the end in the other.
    peer.answer(first, &format!("\"{filler}\"")).await;
    peer.answer(second, "{}").await;
    let answers = [long.await.unwrap(), short.await.unwrap()];
    assert!(answers.iter().any(|answer| matches!(answer, Err(Fault::TooLarge(MAX_MESSAGE)))), "{answers:?}");
    assert!(answers.iter().any(Result::is_ok));

    let asked = ask(&pipe);
    let id = peer.hear_id().await;
    peer.say(&format!(r#"{{"result":"{filler}","jsonrpc":"2.0","id":{id}}}"#)).await;
    assert_eq!(asked.await.unwrap().unwrap_err(), Fault::TooLarge(MAX_MESSAGE));

    let (one, other) = (ask(&pipe), ask(&pipe));
    peer.hear_id().await;
    peer.hear_id().await;
    peer.say(&format!("print {filler}")).await;
    peer.say(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":"{filler}"}}"#)).await;
    peer.say(&format!(r#"{{"result":"{filler}","jsonrpc":"2.0"}}"#)).await;
    for asked in [one, other] {
        match asked.await.unwrap() {
            Err(fault) => assert_eq!(fault, Fault::TooLarge(MAX_MESSAGE)),
            Ok(answer) => panic!("{answer:?}"),
        }
    }
}

#[tokio::test]
async fn progress_comes_under_the_clients_token_and_before_the_answer() {
    let (pipe, mut peer) = connect();
    let (to, mut events) = mailbox::channel(8);
    let asked = ask_with(&pipe, r#"{"_meta":{"progressToken":"mine"}}"#, Some(to));
    // Another client's call, of which nobody hears.
    let (nobody, _) = mailbox::channel(1);
    let silent = ask_with(&pipe, "{}", Some(nobody));
    let mut token = None;
    for _ in 0..2 {
        let request = peer.hear().await;
        token = token.or_else(|| request.pointer("/params/_meta/progressToken"));
    }
    let token = token.unwrap();
    let progress = |token: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1,"x":2}}}}"#
        )
    };
    peer.say(&progress(token.as_str())).await;
    peer.say(&progress("\"mine\"")).await;
    peer.say(&progress("999")).await;
    peer.say(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"whose?"}}"#).await;
    peer.answer(token.as_str().parse().unwrap(), "{}").await;
    assert_eq!(result(asked.await.unwrap()), "{}");
    let event = events.recv().await.unwrap();
    assert_eq!(&*event.method, "notifications/progress");
    assert_eq!(event.params.as_str(), r#"{"progressToken":"mine","progress":1,"x":2}"#);
    assert!(events.recv().await.is_none(), "nothing else was its own");
    silent.abort();
}

#[tokio::test]
async fn a_log_message_goes_to_the_only_call() {
    let (pipe, mut peer) = connect();
    let (to, mut events) = mailbox::channel(8);
    let asked = ask_with(&pipe, "{}", Some(to));
    let id = peer.hear_id().await;
    peer.say(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hi"}}"#).await;
    peer.answer(id, "{}").await;
    asked.await.unwrap().unwrap();
    assert_eq!(events.recv().await.unwrap().params.as_str(), r#"{"data":"hi"}"#);
}

#[tokio::test]
async fn a_caller_that_fetches_no_events_delays_nobody() {
    let (pipe, mut peer) = connect();
    let (to, _never_read) = mailbox::channel(1);
    let asked = ask_with(&pipe, r#"{"_meta":{"progressToken":1}}"#, Some(to));
    let id = peer.hear_id().await;
    for step in 0..5000 {
        peer.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":{step}}}}}"#
        ))
        .await;
    }
    peer.answer(id, "{}").await;
    assert_eq!(result(asked.await.unwrap()), "{}");
}

#[tokio::test]
async fn a_server_that_does_not_read_can_still_answer() {
    let (pipe, mut peer) = connect();
    let small = ask(&pipe);
    let id = peer.hear_id().await;
    let big = ask_with(&pipe, &format!("\"{}\"", "x".repeat(1 << 20)), None);
    // The big request cannot be written: the pipe holds 64 KiB and nobody reads.
    peer.answer(id, "{}").await;
    assert_eq!(result(small.await.unwrap()), "{}");
    big.abort();
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server() {
    let (pipe, mut peer) = connect();
    let asked = ask(&pipe);
    let id = peer.hear_id().await;
    asked.abort();
    let said = peer.hear().await;
    assert_eq!(said.member("method").unwrap().string().unwrap(), "notifications/cancelled");
    assert_eq!(said.pointer("/params/requestId").unwrap().as_str(), id.to_string());
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_call_and_cancels_it() {
    let (pipe, mut peer) = connect();
    let began = Instant::now();
    let asked = ask_with(&pipe, r#"{"_meta":{"progressToken":1}}"#, None);
    let id = peer.hear_id().await;
    assert_eq!(asked.await.unwrap().unwrap_err(), Fault::Timeout(60));
    assert!(began.elapsed() >= Duration::from_secs(60));
    let said = peer.hear().await;
    assert_eq!(said.pointer("/params/requestId").unwrap().as_str(), id.to_string());
    peer.answer(id, "{}").await;
    let next = ask(&pipe);
    let id = peer.hear_id().await;
    peer.answer(id, "{}").await;
    assert_eq!(result(next.await.unwrap()), "{}", "a late answer is dropped");
}

#[tokio::test]
async fn questions_are_answered_here() {
    let (_pipe, mut peer) = connect();
    peer.say(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).await;
    assert_eq!(peer.hear().await.as_str(), r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
    peer.say(r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}"#).await;
    assert_eq!(peer.hear().await.pointer("/error/code").unwrap().as_str(), "-32601");
}

#[tokio::test]
async fn the_end_of_the_server_fails_its_calls_with_the_reason() {
    let (pipe, mut peer) = connect();
    let (answered, lost) = (ask(&pipe), ask(&pipe));
    let (first, _) = (peer.hear_id().await, peer.hear_id().await);
    peer.answer(first, "{}").await;
    let exit = Exit { code: Some(3), last_stderr: "boom".into(), ..Exit::default() };
    assert!(peer.end.send(Ending::exited(exit)).is_ok());
    drop((peer.says, peer.hears));
    let mut answers = [answered.await.unwrap(), lost.await.unwrap()];
    answers.sort_by_key(Result::is_err);
    let [answered, lost] = answers;
    assert_eq!(result(answered), "{}", "an answer already written still counts");
    assert_eq!(lost.unwrap_err(), Fault::Crashed(" with exit code 3".into()));
    let late = ask(&pipe).await.unwrap().unwrap_err();
    assert_eq!(late, Fault::Unavailable("it ended with exit code 3".into()));
}

#[tokio::test]
async fn closing_lets_calls_in_flight_finish() {
    let (pipe, mut peer) = connect();
    let asked = ask(&pipe);
    let id = peer.hear_id().await;
    let closing = tokio::spawn({
        let pipe = Arc::clone(&pipe);
        async move { pipe.close(Duration::from_secs(60)).await }
    });
    tokio::task::yield_now().await;
    peer.answer(id, "{}").await;
    assert_eq!(result(asked.await.unwrap()), "{}");
    closing.await.unwrap();
    assert!(matches!(ask(&pipe).await.unwrap(), Err(Fault::Unavailable(_))));
}

mod questions;

#[tokio::test]
async fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    const LIMIT: usize = 1000;
    let (pipe, mut peer) = connect_within(&Limits { message: LIMIT, ..Limits::default() });
    for (length, fits) in [(LIMIT, true), (LIMIT + 1, false), (LIMIT * 100, false), (LIMIT, true)] {
        let asked = ask(&pipe);
        let id = peer.hear_id().await;
        let around = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":""}}"#).len();
        peer.answer(id, &format!("\"{}\"", "x".repeat(length - around))).await;
        match fits {
            true => assert_eq!(result(asked.await.unwrap()).len(), length - around + 2),
            false => assert_eq!(asked.await.unwrap().unwrap_err(), Fault::TooLarge(LIMIT)),
        }
    }
}

#[tokio::test]
async fn a_message_that_never_ends_fails_its_call() {
    let (pipe, mut peer) = connect_within(&Limits { message: 1000, ..Limits::default() });
    let (asked, other) = (ask(&pipe), ask(&pipe));
    let (first, second) = (peer.hear_id().await, peer.hear_id().await);
    let begin = format!(r#"{{"jsonrpc":"2.0","id":{first},"result":"{}"#, "x".repeat(2000));
    peer.says.write_all(begin.as_bytes()).await.unwrap();
    let calls = [asked, other];
    let (fault, _, rest) = futures_util::future::select_all(calls).await;
    assert_eq!(fault.unwrap().unwrap_err(), Fault::TooLarge(1000));
    peer.say("and its end").await;
    peer.answer(second, "2").await;
    assert_eq!(
        result(rest.into_iter().next().unwrap().await.unwrap()),
        "2",
        "the other one is not concerned"
    );
}

/// A client's call, which may take a minute.
fn call(pipe: &Arc<Pipe>) -> Asked {
    let pipe = Arc::clone(pipe);
    tokio::spawn(async move {
        let facts = ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None };
        let client = Some(Client { facts: &facts, principal: None, appetite: None });
        let patience = Patience::new(deadlines(), Instant::now().into_std());
        let question = Question { method: "tools/call", params: None, client, events: None, patience };
        pipe.ask(&Era::Legacy("2025-11-25"), question).await
    })
}

#[tokio::test(start_paused = true)]
async fn a_server_that_gives_no_sign_of_life_is_not_waited_for() {
    let (pipe, mut peer) = connect();
    for is_alive in [true, false] {
        let called = call(&pipe);
        let given_up = call(&pipe);
        peer.hear_id().await;
        peer.hear_id().await;
        given_up.abort();
        let rest = async {
            loop {
                let message = peer.hear().await;
                if message.member("method").unwrap().as_str() == "\"ping\"" {
                    break;
                }
            }
        };
        let (fault, ()) = tokio::join!(called, rest);
        assert_eq!(fault.unwrap().unwrap_err(), Fault::Timeout(60));
        if is_alive {
            peer.answer(0, "{}").await;
        }
    }
    assert_eq!(pipe.ended().await, Ending::unresponsive());
}

#[tokio::test]
async fn a_server_may_say_so_much_and_then_only_the_latest() {
    let one = std::num::NonZeroUsize::MIN;
    let three = std::num::NonZeroUsize::new(3).unwrap();
    let limits = Limits { notifications: one, notifications_at_once: three, ..Limits::default() };
    let (pipe, mut peer) = connect_within(&limits);
    let (to, mut events) = mailbox::channel(100);
    let asked = ask_with(&pipe, r#"{"_meta":{"progressToken":"t"}}"#, Some(to));
    let id = peer.hear_id().await;
    for n in 0..50 {
        peer.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":{n}}}}}"#
        ))
        .await;
    }
    peer.answer(id, "1").await;
    assert_eq!(result(asked.await.unwrap()), "1");
    let mut heard = Vec::new();
    while let Some(event) = events.recv().await {
        heard.push(event.params.member("progress").unwrap().as_str().to_owned());
    }
    assert_eq!(heard, ["0", "1", "2", "49"]);
}

/// The longest message taken.
const MAX_MESSAGE: usize = 16 << 20;

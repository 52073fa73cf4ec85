//! Servers that ask before they answer: over streamable HTTP in sessions of single clients, over stdio one call at a time.

#![expect(clippy::disallowed_methods, reason = "a test waits for the tasks it spawns, or ends with them")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wasmgate_core::catalog::{Launch, Process, Remote, RemoteTransport, Server};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

use super::site::{Reply, Rest, Seen, Site, push};
use super::{pool, until};
use crate::egress::Egress;
use crate::launch::{LaunchSettings, Launcher};
use crate::mailbox;
use crate::shutdown::Tasks;
use crate::upstream::asks::{Asks, Parked, Question, Reply as Said};
use crate::upstream::pool::{Clients, Pool, Standing};
use crate::upstream::{Answer, Appetite, Ask, ClientFacts, Event, Fault, Identity, State};

const CAN_BE_ASKED: &str = r#"{"elicitation":{},"roots":{"listChanged":true}}"#;

fn remote(site: &Site) -> Server {
    let remote = Remote {
        urls: vec![site.url.clone().into()],
        transport: RemoteTransport::StreamableHttp,
        headers: Vec::new(),
        private_allowed: true,
    };
    super::server("p", Launch::Remote(remote))
}

/// A legacy server with sessions that can be told what to say and where: the streams it holds open, by what they are of.
struct Asker {
    site: Site,
    open: Arc<Mutex<HashMap<String, Rest>>>,
    opened: mpsc::UnboundedReceiver<String>,
}

impl Asker {
    /// `initialized` decides on each handshake, the first being number 1.
    async fn start(initialized: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let open: Arc<Mutex<HashMap<String, Rest>>> = Arc::default();
        let (tell, opened) = mpsc::unbounded_channel();
        let sessions = AtomicUsize::new(0);
        let held = Arc::clone(&open);
        let site = Site::start(move |seen| {
            let hold = |of: String| {
                let (reply, rest) = Reply::events();
                push(&rest, ": hello\n\n");
                held.lock().unwrap().insert(of.clone(), rest);
                let _ = tell.send(of);
                reply
            };
            let session = seen.header("mcp-session-id").unwrap_or_default().to_owned();
            match seen.rpc().as_str() {
                "initialize" => {
                    let n = sessions.fetch_add(1, Ordering::SeqCst) + 1;
                    let result =
                        r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{}}"#;
                    let reply = initialized(&seen, n);
                    reply.unwrap_or_else(|| {
                        Reply::result(&seen, result).with("mcp-session-id", &format!("s{n}"))
                    })
                }
                "tools/list" => Reply::result(&seen, r#"{"tools":[{"name":"t"}]}"#),
                "GET" => match seen.header("last-event-id") {
                    Some(id) => hold(format!("{session} after {id}")),
                    None => hold(format!("{session} GET")),
                },
                "DELETE" => Reply::status(200),
                "tools/call" | "resources/read" => {
                    let name = seen.body.as_ref().unwrap().pointer("/params/name");
                    match name.map(|name| name.as_str().to_owned()).as_deref() {
                        Some("\"gone\"") => Reply::status(404),
                        _ => hold(format!("{session} {}", seen.id())),
                    }
                }
                _ => Reply::status(202),
            }
        })
        .await;
        Self { site, open, opened }
    }

    async fn usual() -> Self {
        Self::start(|_, _| None).await
    }

    /// The next call that comes: its stream, its session and its id.
    async fn call(&mut self) -> (String, String, String) {
        loop {
            let of = self.opened.recv().await.unwrap();
            let (session, id) = of.split_once(' ').unwrap();
            if id != "GET" {
                return (of.clone(), session.to_owned(), id.to_owned());
            }
        }
    }

    fn say(&self, of: &str, message: &str) {
        push(&self.open.lock().unwrap()[of], format!("data: {message}\n\n"));
    }

    fn elicit(&self, of: &str, id: u64) {
        self.say(
            of,
            &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create","params":{{}}}}"#),
        );
    }

    fn answer(&self, of: &str, id: &str, result: &str) {
        self.say(of, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
    }

    /// The nth answer of ours.
    async fn replied(&self, n: usize) -> (String, String) {
        let seen = self.site.wait_for("POST", n).await;
        let session = seen.header("mcp-session-id").unwrap().to_owned();
        (session, seen.body.unwrap().as_str().to_owned())
    }
}

type Calling = JoinHandle<Result<Answer, Fault>>;

fn call(pool: &Arc<Pool>, principal: &str, capabilities: &str) -> Calling {
    call_with(pool, (principal, capabilities), ("tools/call", r#"{"name":"t"}"#), mailbox::channel(8).0)
}

fn call_with(
    pool: &Arc<Pool>,
    (principal, capabilities): (&str, &str),
    (method, params): (&str, &str),
    events: mailbox::Sender<Event>,
) -> Calling {
    let json = |text: &str| Json::parse(text.to_owned()).unwrap();
    let client = ClientFacts { info: None, capabilities: json(capabilities), log_level: None };
    let (method, principal) = (method.into(), principal.into());
    let ask = Ask {
        method,
        params: Some(json(params)),
        principal,
        session: None,
        client: Arc::new(client),
        events,
        appetite: Appetite::default(),
    };
    let pool = Arc::clone(pool);
    tokio::spawn(async move {
        let answer = pool.ask(&ServerName::new("p").unwrap(), ask).await;
        answer.map_err(|error| error.fault)
    })
}

#[track_caller]
fn asks(answer: Result<Answer, Fault>) -> (Vec<Question>, Parked) {
    match answer.unwrap() {
        Answer::Asks(Asks { questions, parked }) => (questions, parked),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn text(answer: Result<Answer, Fault>) -> String {
    match answer.unwrap() {
        Answer::Result(json) => json.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn resume(parked: Parked, questions: &[Question]) -> Calling {
    let yes = || Said::Result(Json::parse(r#"{"action":"accept"}"#.to_owned()).unwrap());
    let replies = questions.iter().map(|question| (question.key.clone(), yes())).collect();
    let resuming = parked.resume(replies, mailbox::channel(8).0);
    tokio::spawn(async move { resuming.await.map_err(|error| error.fault) })
}

#[tokio::test]
async fn a_client_that_can_be_asked_has_a_session_of_its_own() {
    let mut server = Asker::usual().await;
    let pool = pool(vec![remote(&server.site)]);
    let alice = call(&pool, "alice", CAN_BE_ASKED);
    let (of, session, id) = server.call().await;
    assert_eq!(session, "s2");
    server.elicit(&of, 9);
    server.say(&of, r#"{"jsonrpc":"2.0","id":10,"method":"sampling/createMessage","params":{}}"#);
    let (questions, parked) = asks(alice.await.unwrap());
    assert_eq!((questions.len(), &*questions[0].method), (1, "elicitation/create"));
    let refused = (session.clone(), r#"{"jsonrpc":"2.0","id":10,"error":{"code":-32601,"message":"this client cannot be asked that here"}}"#.to_owned());
    assert_eq!(server.replied(1).await, refused, "what was not declared");
    let resuming = resume(parked, &questions);
    let accepted = r#"{"jsonrpc":"2.0","id":9,"result":{"action":"accept"}}"#;
    assert_eq!(server.replied(2).await, (session, accepted.to_owned()));
    server.answer(&of, &id, r#"{"ok":1}"#);
    assert_eq!(text(resuming.await.unwrap()), r#"{"ok":1}"#);

    for (principal, capabilities, expected) in [
        ("alice", CAN_BE_ASKED, "s2"),
        ("bob", CAN_BE_ASKED, "s3"),
        ("alice", r#"{"sampling":{"tools":{}}}"#, "s4"),
        ("alice", "{}", "s1"),
        ("bob", r#"{"roots":{},"elicitation":{"form":{}}}"#, "s3"),
    ] {
        let calling = call(&pool, principal, capabilities);
        let (of, session, id) = server.call().await;
        assert_eq!(session, expected, "{principal} {capabilities}");
        server.answer(&of, &id, "{}");
        assert_eq!(text(calling.await.unwrap()), "{}");
    }
    let declared: Vec<_> = server.site.of("initialize").iter().map(capabilities).collect();
    let asked = r#"{"elicitation":{"form":{}},"roots":{}}"#;
    assert_eq!(declared, ["{}", asked, asked, r#"{"sampling":{"tools":{}}}"#]);
    pool.close().await;
    let mut ended: Vec<_> = server.site.of("DELETE");
    ended.sort_by_key(|seen| seen.header("mcp-session-id").unwrap().to_owned());
    let ended: Vec<_> = ended.iter().map(|seen| seen.header("mcp-session-id").unwrap()).collect();
    assert_eq!(ended, ["s1", "s2", "s3", "s4"]);
}

/// What of declared capabilities can be asked. All servers are told that pages can be shown.
fn asked_for(declared: &Json) -> String {
    assert!(
        declared.pointer("/extensions/io.modelcontextprotocol~1ui/mimeTypes/0").is_some(),
        "{declared:?}"
    );
    declared.without_member("extensions").as_str().to_owned()
}

fn capabilities(seen: &Seen) -> String {
    asked_for(&seen.body.as_ref().unwrap().pointer("/params/capabilities").unwrap())
}

#[tokio::test]
async fn a_question_on_the_stream_of_the_session_is_the_latest_calls() {
    let mut server = Asker::usual().await;
    let pool = pool(vec![remote(&server.site)]);
    let first = call(&pool, "alice", CAN_BE_ASKED);
    let (first_of, session, first_id) = server.call().await;
    let second = call(&pool, "alice", CAN_BE_ASKED);
    let (of, _, id) = server.call().await;
    let stream = format!("{session} GET");
    server.elicit(&stream, 1);
    let (questions, parked) = asks(second.await.unwrap());
    server.answer(&first_of, &first_id, r#"{"first":1}"#);
    assert_eq!(text(first.await.unwrap()), r#"{"first":1}"#);
    let resuming = resume(parked, &questions);
    assert!(server.replied(1).await.1.contains("accept"));
    server.answer(&of, &id, r#"{"second":1}"#);
    assert_eq!(text(resuming.await.unwrap()), r#"{"second":1}"#);

    server.elicit(&stream, 2);
    assert!(server.replied(2).await.1.contains("-32601"), "no call is in flight");
    server.elicit("s1 GET", 3);
    assert!(server.replied(3).await.1.contains("-32601"), "the stream that everybody shares");
    pool.close().await;
}

#[tokio::test]
async fn letting_go_of_a_question_answers_it_and_cancels_the_call() {
    let mut server = Asker::usual().await;
    let pool = pool(vec![remote(&server.site)]);
    let alice = call(&pool, "alice", CAN_BE_ASKED);
    let (of, session, id) = server.call().await;
    server.elicit(&of, 1);
    let (_, parked) = asks(alice.await.unwrap());
    drop(parked);
    let (told, error) = server.replied(1).await;
    assert!(told == session && error.contains(r#""id":1,"error":{"code":-32603"#), "{error}");
    let cancelled = server.site.wait_for("notifications/cancelled", 1).await;
    assert_eq!(cancelled.header("mcp-session-id"), Some(&*session));
    assert_eq!(cancelled.body.unwrap().pointer("/params/requestId").unwrap().as_str(), id);
    let stream = server.open.lock().unwrap()[&of].clone();
    stream.closed().await;
    pool.close().await;
}

#[tokio::test]
async fn what_happens_while_the_client_is_asked_is_seen() {
    let mut server = Asker::usual().await;
    let pool = pool(vec![remote(&server.site)]);
    // It gives up waiting and answers.
    let alice = call(&pool, "alice", CAN_BE_ASKED);
    let (of, _, id) = server.call().await;
    server.elicit(&of, 1);
    let (questions, parked) = asks(alice.await.unwrap());
    server.answer(&of, &id, r#"{"gave":"up"}"#);
    let stream = server.open.lock().unwrap()[&of].clone();
    drop(server.open.lock().unwrap().remove(&of));
    stream.closed().await;
    assert_eq!(text(resume(parked, &questions).await.unwrap()), r#"{"gave":"up"}"#);
    // Its connection breaks.
    let alice = call(&pool, "alice", CAN_BE_ASKED);
    let (of, _, _) = server.call().await;
    server.elicit(&of, 2);
    let (questions, parked) = asks(alice.await.unwrap());
    super::site::cut(&server.open.lock().unwrap()[&of]);
    assert!(matches!(resume(parked, &questions).await.unwrap(), Err(Fault::Crashed(_))));
    // The pool closes.
    let alice = call(&pool, "alice", CAN_BE_ASKED);
    let (of, _, _) = server.call().await;
    server.elicit(&of, 3);
    let (questions, parked) = asks(alice.await.unwrap());
    pool.close().await;
    assert!(matches!(resume(parked, &questions).await.unwrap(), Err(Fault::Crashed(_))));
}

#[tokio::test]
async fn a_stream_that_breaks_while_the_client_is_asked_is_taken_up_again() {
    let mut server = Asker::usual().await;
    let pool = pool(vec![remote(&server.site)]);
    let alice = call(&pool, "alice", CAN_BE_ASKED);
    let (of, _, id) = server.call().await;
    push(&server.open.lock().unwrap()[&of], "id: seven\nretry: 1\n");
    server.elicit(&of, 1);
    let (questions, parked) = asks(alice.await.unwrap());
    super::site::cut(&server.open.lock().unwrap()[&of]);
    let (again, _, last) = server.call().await;
    assert_eq!(last, "after seven");
    server.elicit(&again, 2);
    let resuming = resume(parked, &questions);
    assert!(server.replied(1).await.1.contains(r#""id":1,"result""#));
    let (questions, parked) = asks(resuming.await.unwrap());
    assert_eq!(questions.iter().map(|question| &*question.key).collect::<Vec<_>>(), ["q2"]);
    let resuming = resume(parked, &questions);
    server.answer(&again, &id, r#"{"ok":1}"#);
    assert_eq!(text(resuming.await.unwrap()), r#"{"ok":1}"#);
    pool.close().await;
}

#[tokio::test]
async fn a_session_of_its_own_that_is_lost_is_opened_anew() {
    let mut server = Asker::usual().await;
    let pool = pool(vec![remote(&server.site)]);
    let gone = || {
        call_with(&pool, ("alice", CAN_BE_ASKED), ("tools/call", r#"{"name":"gone"}"#), mailbox::channel(8).0)
    };
    assert!(matches!(gone().await.unwrap(), Err(Fault::Unavailable(_))));
    assert_eq!(server.site.of("tools/call").len(), 1, "a tool is never run again");
    let gone = ("resources/read", r#"{"uri":"a:b","name":"gone"}"#);
    let answer = call_with(&pool, ("alice", CAN_BE_ASKED), gone, mailbox::channel(8).0).await.unwrap();
    assert!(matches!(answer, Err(Fault::Unavailable(_))));
    let sessions: Vec<_> = server.site.of("resources/read");
    let sessions: Vec<_> = sessions.iter().map(|seen| seen.header("mcp-session-id").unwrap()).collect();
    assert_eq!(sessions, ["s3", "s4"], "reading is repeated once");
    let calling = call(&pool, "alice", CAN_BE_ASKED);
    let (of, session, id) = server.call().await;
    assert_eq!(session, "s5");
    server.answer(&of, &id, "{}");
    assert_eq!(text(calling.await.unwrap()), "{}");
    assert_eq!(pool.status()[0].state, State::Ready, "the base session was never in doubt");
    pool.close().await;
}

#[tokio::test]
async fn a_server_with_one_session_serves_all_in_it() {
    let refuse = |seen: &Seen, n| (n > 1).then(|| Reply::error(seen, 400, -32600));
    let mut server = Asker::start(refuse).await;
    let pool = pool(vec![remote(&server.site)]);
    for _ in 0..2 {
        let calling = call(&pool, "alice", CAN_BE_ASKED);
        let (of, session, id) = server.call().await;
        assert_eq!(session, "s1");
        server.answer(&of, &id, "{}");
        assert_eq!(text(calling.await.unwrap()), "{}");
    }
    assert_eq!(server.site.of("initialize").len(), 2, "it is not asked again at once");
    pool.close().await;
}

#[tokio::test]
async fn sessions_are_bounded_and_the_longest_idle_one_makes_room() {
    let mut server = Asker::usual().await;
    let pool = pool(vec![remote(&server.site)]);
    let mut calling = Vec::new();
    for n in 0..65 {
        let asked = call(&pool, &format!("client {n}"), CAN_BE_ASKED);
        let (of, session, id) = server.call().await;
        let expected = if n < 64 { format!("s{}", n + 2) } else { "s1".to_owned() };
        assert_eq!(session, expected, "who comes when all are busy is served where nothing is asked");
        calling.push((asked, of, id));
    }
    for n in [7, 3] {
        let (asked, of, id) = &mut calling[n];
        server.answer(of, id, "{}");
        assert_eq!(text(asked.await.unwrap()), "{}");
    }
    let _asked = call(&pool, "another client", CAN_BE_ASKED);
    let (_, session, _) = server.call().await;
    assert_eq!(session, "s66");
    assert_eq!(server.site.wait_for("DELETE", 1).await.header("mcp-session-id"), Some("s9"));
    pool.close().await;
}

/// Asks as many questions as its tool's name is long, all at once, and answers with the replies. A name that is a path is
/// one question, and as soon as there is something at the path it answers without a reply.
const ASKER: &str = r#"
import json, os, sys, time
def say(**message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
def hear(): return json.loads(sys.stdin.readline() or "null")
seen = []
while m := hear():
    method, id, p = m.get("method"), m.get("id"), m.get("params") or {}
    seen.append(method)
    if method == "initialize":
        say(id=id, result={"protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "x": p["capabilities"]}, "serverInfo": {}})
    elif method == "tools/list": say(id=id, result={"tools": []})
    elif method == "tools/call":
        early = p["name"].startswith("/")
        asked = [0] if early else list(range(len(p["name"])))
        for n in asked: say(id=n, method="elicitation/create", params={"message": p["name"]})
        if p["name"] == "!": sys.exit(3)
        replies = {}
        if early:
            while not os.path.exists(p["name"]): time.sleep(0.01)
            asked = []
        while len(replies) < len(asked):
            reply = hear()
            if reply is None: sys.exit()
            if "method" in reply: seen.append(reply["method"]); continue
            replies[reply["id"]] = "result" in reply
        say(id=id, result={"replies": sorted(replies.items()), "seen": seen})
    elif id is not None: say(id=id, error={"code": -32601, "message": "no " + method})
"#;

fn process(max_in_flight: usize) -> Server {
    let args = ["-c", ASKER].map(Into::into).to_vec();
    let process = Process { program: "python3".into(), args, env: Vec::new(), cwd: None };
    let max_in_flight = std::num::NonZeroUsize::new(max_in_flight);
    Server { max_in_flight, ..super::server("p", Launch::Process(process)) }
}

#[tokio::test]
async fn a_process_that_takes_one_call_at_a_time_may_ask() {
    let pool = pool(vec![process(1)]);
    let status = until(&pool, |status| status.state == State::Ready).await;
    let declared = status.offer.unwrap().capabilities.member("x").unwrap();
    let declared: serde_json::Value = serde_json::from_str(&asked_for(&declared)).unwrap();
    assert_eq!(
        declared,
        serde_json::json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}})
    );
    let alice =
        call_with(&pool, ("alice", CAN_BE_ASKED), ("tools/call", r#"{"name":"ab"}"#), mailbox::channel(8).0);
    let (mut questions, mut parked) = asks(alice.await.unwrap());
    // Bob waits for his turn, however long she takes.
    let bob =
        call_with(&pool, ("bob", CAN_BE_ASKED), ("tools/call", r#"{"name":"c"}"#), mailbox::channel(8).0);
    let mut replied = 0;
    let answer = loop {
        replied += questions.len();
        match resume(parked, &questions).await.unwrap() {
            Ok(Answer::Asks(more)) => (questions, parked) = (more.questions, more.parked),
            answer => break answer,
        }
    };
    assert_eq!(replied, 2);
    let answer = text(answer);
    assert!(answer.starts_with(r#"{"replies": [[0, true], [1, true]]"#), "{answer}");
    assert_eq!(
        answer.matches("tools/call").count(),
        1,
        "his call was not sent before hers was over: {answer}"
    );
    let (questions, parked) = asks(bob.await.unwrap());
    assert_eq!(questions[0].params.as_ref().unwrap().member("message").unwrap().as_str(), "\"c\"");
    // A third one gives up waiting, and letting go of the second gives the turn on.
    let given_up = call(&pool, "carol", CAN_BE_ASKED);
    tokio::task::yield_now().await;
    given_up.abort();
    drop(parked);
    let again =
        call_with(&pool, ("bob", CAN_BE_ASKED), ("tools/call", r#"{"name":""}"#), mailbox::channel(8).0);
    assert_eq!(text(again.await.unwrap()).matches("tools/call").count(), 3);
    pool.close().await;
}

#[tokio::test]
async fn a_process_that_anybody_may_call_at_once_may_ask_nothing() {
    let pool = pool(vec![process(2)]);
    let status = until(&pool, |status| status.state == State::Ready).await;
    assert_eq!(asked_for(&status.offer.unwrap().capabilities.member("x").unwrap()), "{}");
    let answer = text(call(&pool, "alice", CAN_BE_ASKED).await.unwrap());
    assert!(answer.starts_with(r#"{"replies": [[0, false]]"#), "{answer}");
    pool.close().await;
}

#[tokio::test]
async fn a_parked_call_that_its_server_has_answered_is_in_nobodys_way() {
    let pool = pool(vec![process(1)]);
    until(&pool, |status| status.state == State::Ready).await;
    let path = std::env::temp_dir().join(format!("wasmgate-asker-{}", std::process::id()));
    let params = format!(r#"{{"name":"{}"}}"#, path.display());
    let alice = call_with(&pool, ("alice", CAN_BE_ASKED), ("tools/call", &params), mailbox::channel(8).0);
    let (questions, parked) = asks(alice.await.unwrap());
    // It goes on without her, and she has not come back yet.
    std::fs::write(&path, "").unwrap();
    let silent = ("tools/call", r#"{"name":""}"#);
    let bob = call_with(&pool, ("bob", CAN_BE_ASKED), silent, mailbox::channel(8).0);
    assert_eq!(text(bob.await.unwrap()).matches("tools/call").count(), 2);
    let hers = text(resume(parked, &questions).await.unwrap());
    assert_eq!(hers.matches("tools/call").count(), 1, "what was said to her call is there: {hers}");
    std::fs::remove_file(&path).unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_parked_call_of_a_dead_process_is_in_nobodys_way() {
    let pool = pool(vec![process(1)]);
    let dies = ("tools/call", r#"{"name":"!"}"#);
    let alice = call_with(&pool, ("alice", CAN_BE_ASKED), dies, mailbox::channel(8).0);
    let (questions, parked) = asks(alice.await.unwrap());
    until(&pool, |status| matches!(status.state, State::Failed { .. })).await;
    until(&pool, |status| status.state == State::Ready).await;
    let silent = ("tools/call", r#"{"name":""}"#);
    let bob = call_with(&pool, ("bob", CAN_BE_ASKED), silent, mailbox::channel(8).0);
    assert!(text(bob.await.unwrap()).starts_with(r#"{"replies": []"#));
    let lost = resume(parked, &questions).await.unwrap().unwrap_err();
    assert_eq!(lost, Fault::Crashed(" with exit code 3".into()));
    pool.close().await;
}

#[tokio::test]
async fn the_only_client_there_is_may_be_asked_by_any_process() {
    let tasks = Tasks::new();
    let environment = std::env::vars_os().collect();
    let launcher = Launcher::new(LaunchSettings { environment, ..LaunchSettings::default() }, tasks.clone());
    let identity = Identity { name: "test".into(), version: "0".into() };
    let standing = Standing { clients: Clients::One, ..identity.into() };
    let pool = Pool::new(launcher, Egress::new(), tasks, standing);
    super::apply(&pool, vec![process(0)]);
    let (questions, parked) = asks(call(&pool, "", CAN_BE_ASKED).await.unwrap());
    let answer = text(resume(parked, &questions).await.unwrap());
    assert!(answer.starts_with(r#"{"replies": [[0, true]]"#), "{answer}");
    pool.close().await;
}

//! What is slow to start, breaks, or is over while others wait: it delays nobody, goes to nobody else, and is not sent again.

#![expect(clippy::disallowed_methods, reason = "a test waits for the tasks it spawns, or ends with them")]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, split};
use tokio::sync::oneshot;
use tokio::time::timeout;
use wasmgate_core::catalog::{Instances, Launch, Process, Remote, RemoteTransport, Server, Sharing};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

use super::site::{Reply, Seen, Site};
use super::{pool, shared, until};
use crate::egress::Egress;
use crate::launch::{LaunchSettings, Launcher};
use crate::mailbox;
use crate::shutdown::Tasks;
use crate::upstream::declared::Declared;
use crate::upstream::link::Link;
use crate::upstream::pool::{Pool, Standing};
use crate::upstream::slot::Opener;
use crate::upstream::stdio::{Behind, Ends, Pipe};
use crate::upstream::{Answer, Appetite, Ask, ClientFacts, Event, Fault, Identity, Limits, State};

/// So long as nothing takes that is not stuck.
const STUCK: Duration = Duration::from_secs(20);

// Slow starts

/// A process that exists in memory only.
fn process(name: &str) -> Server {
    let process = Process { program: "none".into(), args: Vec::new(), env: Vec::new(), cwd: None };
    super::server(name, Launch::Process(process))
}

/// Servers that begin with `slow` never begin; the others are there at once.
fn opener() -> Opener {
    Arc::new(|shared, server, _| {
        let (name, tasks, limits) = (server.name.clone(), shared.tasks.clone(), shared.limits.clone());
        Box::pin(async move {
            if name.as_str().starts_with("slow") {
                std::future::pending::<()>().await;
            }
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let (end, ended) = oneshot::channel();
            tasks.spawn("peer", async move {
                polite(theirs).await;
                drop(end);
            });
            let (output, input) = split(ours);
            let ends =
                Ends { input: Box::new(input), output: Box::new(output), behind: Behind::Other(ended) };
            Ok(Link::Pipe(Arc::new(Pipe::open(name, ends, Declared::NOTHING, &tasks, &limits))))
        })
    })
}

/// A legacy server without anything, which says ten things in the course of each call.
async fn polite(stream: DuplexStream) {
    let (hears, mut says) = split(stream);
    let mut lines = BufReader::new(hears).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        let result = match message["method"].as_str().unwrap_or_default() {
            "tools/call" => {
                for n in 0..10 {
                    let params = json!({"level": "info", "data": n});
                    let line = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params});
                    says.write_all((line.to_string() + "\n").as_bytes()).await.unwrap();
                }
                json!({})
            }
            "initialize" => json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}),
            _ if message["id"].is_null() => continue,
            "server/discover" => {
                let error = json!({"code": -32601, "message": "no"});
                let line = json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string() + "\n";
                says.write_all(line.as_bytes()).await.unwrap();
                continue;
            }
            _ => json!({}),
        };
        let line = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string() + "\n";
        says.write_all(line.as_bytes()).await.unwrap();
    }
}

/// A pool of such servers.
fn in_memory(servers: Vec<Server>, limits: Limits) -> (Arc<Pool>, Tasks) {
    let tasks = Tasks::new();
    let launcher = Launcher::new(LaunchSettings::default(), tasks.clone());
    let identity = Identity { name: "test".into(), version: "0".into() };
    let standing = Standing { limits, ..Standing::from(identity) };
    let mut pool = Pool::new(launcher, Egress::new(), tasks.clone(), standing);
    pool.simulate(opener(), 1);
    super::apply(&pool, servers);
    (pool, tasks)
}

#[tokio::test(start_paused = true)]
async fn servers_that_start_slowly_keep_no_other_from_starting() {
    let mut servers: Vec<Server> = (0..40).map(|n| process(&format!("slow{n}"))).collect();
    servers.push(process("quick"));
    let (pool, tasks) = in_memory(servers, Limits::default());
    let mut changed = pool.changed();
    let is_up = || {
        let quick = pool.status().into_iter().find(|status| status.server.name.as_str() == "quick");
        quick.is_some_and(|quick| quick.state == State::Ready)
    };
    let waiting = async {
        while !is_up() {
            changed.changed().await.unwrap()
        }
    };
    timeout(STUCK, waiting).await.expect("it waits for none of them");
    pool.close().await;
    tasks.finish(STUCK).await;
}

#[tokio::test(start_paused = true)]
async fn all_instances_of_a_server_may_say_so_much_together() {
    let number = |number| NonZeroUsize::new(number).unwrap();
    let limits = Limits { notifications: number(1), notifications_at_once: number(5), ..Limits::default() };
    let instances = Instances { sharing: Sharing::PerPrincipal, ..Instances::default() };
    let (pool, tasks) = in_memory(vec![Server { instances, ..process("p") }], limits);
    until(&pool, |status| status.state == State::Ready).await;
    for (principal, heard) in [("alice", 5), ("bob", 0)] {
        let (events, mut told) = mailbox::channel(100);
        let calling = call_telling(&pool, (principal, None), "t", events);
        assert_eq!(outcome(calling).await, Ok("{}".to_owned()));
        let mut count = 0;
        while told.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, heard, "{principal}");
    }
    pool.close().await;
    tasks.finish(STUCK).await;
}

// Two addresses

/// A legacy server that answers a call of `hold` only when it is told to, and with what.
struct Held {
    site: Site,
    answers: Arc<Mutex<Vec<oneshot::Sender<Reply>>>>,
}

impl Held {
    async fn start(name: &'static str) -> Self {
        let answers: Arc<Mutex<Vec<oneshot::Sender<Reply>>>> = Arc::default();
        let held = Arc::clone(&answers);
        let site = Site::start(move |seen| {
            // Each request has a connection of its own, so that what is there is not used again.
            let reply = match called(&seen).as_deref() {
                Some("hold") => {
                    let (answer, later) = oneshot::channel();
                    held.lock().unwrap().push(answer);
                    Reply::later(later)
                }
                Some(_) => Reply::result(&seen, &format!(r#"{{"by":"{name}"}}"#)),
                None => legacy(&seen, "s1"),
            };
            reply.with("connection", "close")
        })
        .await;
        Self { site, answers }
    }

    /// How often a tool was called.
    fn calls_of(&self, tool: &str) -> usize {
        self.site.of("tools/call").iter().filter(|seen| called(seen).as_deref() == Some(tool)).count()
    }
}

/// The tool that a request calls.
fn called(seen: &Seen) -> Option<String> {
    let name = seen.body.as_ref()?.pointer("/params/name")?;
    (seen.rpc() == "tools/call").then(|| name.string().unwrap().into_owned())
}

fn legacy(seen: &Seen, session: &str) -> Reply {
    match seen.rpc().as_str() {
        "initialize" => Reply::result(
            seen,
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s"}}"#,
        )
        .with("mcp-session-id", session),
        "tools/list" => Reply::result(seen, r#"{"tools":[{"name":"t"}]}"#),
        "GET" => Reply::status(405),
        "DELETE" => Reply::status(200),
        method if method.starts_with("notifications/") => Reply::status(202),
        _ => Reply::error(seen, 200, -32601),
    }
}

fn remote(sites: &[&Site], instances: Instances) -> Server {
    let remote = Remote {
        urls: sites.iter().map(|site| site.url.clone().into()).collect(),
        transport: RemoteTransport::StreamableHttp,
        headers: Vec::new(),
        private_allowed: true,
    };
    Server { instances, ..super::server("p", Launch::Remote(remote)) }
}

type Calling = tokio::task::JoinHandle<Result<Answer, Fault>>;

fn call(pool: &Arc<Pool>, whose: (&str, Option<&str>), tool: &str) -> Calling {
    call_telling(pool, whose, tool, mailbox::channel(4).0)
}

fn call_telling(
    pool: &Arc<Pool>,
    (principal, session): (&str, Option<&str>),
    tool: &str,
    events: mailbox::Sender<Event>,
) -> Calling {
    let client = ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None };
    let ask = Ask {
        method: "tools/call".into(),
        params: Some(Json::parse(format!(r#"{{"name":"{tool}"}}"#)).unwrap()),
        principal: principal.into(),
        session: session.map(Into::into),
        client: Arc::new(client),
        events,
        appetite: Appetite::default(),
    };
    let pool = Arc::clone(pool);
    tokio::spawn(
        async move { pool.ask(&ServerName::new("p").unwrap(), ask).await.map_err(|error| error.fault) },
    )
}

async fn outcome(calling: Calling) -> Result<String, Fault> {
    match timeout(STUCK, calling).await.expect("an outcome").unwrap()? {
        Answer::Result(json) => Ok(json.as_str().to_owned()),
        other => panic!("{other:?}"),
    }
}

/// A call is held at the one address, which then takes no more connections; another call found that out and was
/// answered at the other address. What waits for the answer of the first call, and who is asked for the rest of it.
async fn broken_with_a_call_on_it() -> (Arc<Pool>, Held, Held, Calling) {
    let (mut first, mut second) = (Held::start("one").await, Held::start("two").await);
    let pool = pool(vec![remote(&[&first.site, &second.site], shared(1))]);
    until(&pool, |status| status.state == State::Ready).await;
    if first.site.of("initialize").is_empty() {
        (first, second) = (second, first);
    }
    let held = call(&pool, ("", None), "hold");
    first.site.wait_for("tools/call", 1).await;
    first.site.take_no_more();
    let quick = outcome(call(&pool, ("", None), "quick")).await;
    assert!(quick.is_ok(), "{quick:?}");
    assert_eq!((first.calls_of("quick"), second.calls_of("quick")), (0, 1));
    assert!(!held.is_finished(), "the call before it goes on");
    (pool, first, second, held)
}

#[tokio::test]
async fn a_broken_connection_drains_beside_its_successor() {
    let (pool, first, second, held) = broken_with_a_call_on_it().await;
    let answer = first.answers.lock().unwrap().remove(0);
    let seen = first.site.of("tools/call").remove(0);
    assert!(answer.send(Reply::result(&seen, r#"{"late":1}"#)).is_ok(), "somebody waits for it");
    assert_eq!(outcome(held).await, Ok(r#"{"late":1}"#.to_owned()));
    assert_eq!((first.calls_of("hold"), second.calls_of("hold")), (1, 0));
    pool.close().await;
}

#[tokio::test]
async fn a_call_that_failed_where_the_connection_broke_is_not_made_at_the_other_address() {
    for status in [429, 502, 503] {
        let (pool, first, second, held) = broken_with_a_call_on_it().await;
        let answer = first.answers.lock().unwrap().remove(0);
        assert!(answer.send(Reply::status(status)).is_ok(), "somebody waits for it");
        let failed = outcome(held).await;
        assert!(matches!(failed, Err(Fault::Declined(_))), "{status}: {failed:?}");
        assert_eq!((first.calls_of("hold"), second.calls_of("hold")), (1, 0), "{status}");
        pool.close().await;
    }
}

#[tokio::test]
async fn an_address_of_an_older_version_serves_not_everybody_out_of_one_session() {
    let modern = Site::start(|seen| match seen.rpc().as_str() {
        "server/discover" => Reply::result(
            &seen,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#,
        ),
        "tools/list" => Reply::result(&seen, r#"{"resultType":"complete","tools":[]}"#),
        "tools/call" => Reply::result(&seen, r#"{"resultType":"complete"}"#),
        _ => Reply::error(&seen, 404, -32601),
    })
    .await;
    let older = Held::start("older").await;
    let pool = pool(vec![remote(&[&modern, &older.site], Instances::default())]);
    until(&pool, |status| matches!(status.state, State::Degraded { .. })).await;
    assert!(!older.site.of("initialize").is_empty(), "it was asked");
    for n in 0..6 {
        let principal = ["alice", "bob"][n % 2];
        assert!(outcome(call(&pool, (principal, None), "t")).await.is_ok(), "{principal}");
    }
    assert_eq!((modern.of("tools/call").len(), older.site.of("tools/call").len()), (6, 0));
    pool.close().await;
}

// A base that is over while its session is renewed

#[tokio::test]
async fn a_base_whose_client_left_during_a_renewal_goes_to_nobody_as_it_was() {
    let (lost, count) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let (hold, held) = oneshot::channel::<Reply>();
    let (is_lost, held) = (Arc::clone(&lost), Mutex::new(Some(held)));
    let site = Site::start(move |seen| match seen.rpc().as_str() {
        "initialize" => match count.fetch_add(1, Ordering::SeqCst) + 1 {
            // The renewal is not answered for now.
            2 => Reply::later(held.lock().unwrap().take().unwrap()),
            n => legacy(&seen, &format!("s{n}")),
        },
        "tools/call" if is_lost.swap(false, Ordering::SeqCst) => Reply::status(404),
        "tools/call" => Reply::result(&seen, "{}"),
        _ => legacy(&seen, ""),
    })
    .await;
    let instances = Instances { sharing: Sharing::PerSession, min: 0, ..Instances::default() };
    let pool = pool(vec![remote(&[&site], instances)]);
    until(&pool, |status| status.state == State::Ready).await;
    assert!(outcome(call(&pool, ("a", Some("one")), "t")).await.is_ok());
    lost.store(true, Ordering::SeqCst);
    assert!(outcome(call(&pool, ("a", Some("one")), "t")).await.is_err(), "the server has forgotten it");
    let renewal = site.wait_for("initialize", 2).await;
    pool.session_over("one");
    let next = call(&pool, ("b", Some("two")), "t");
    site.wait_for("initialize", 3).await;
    drop(hold.send(legacy(&renewal, "s2")));
    assert!(outcome(next).await.is_ok());
    let last = site.of("tools/call").pop().unwrap();
    assert_eq!(last.header("mcp-session-id"), Some("s3"), "a session that nobody had before");
    pool.close().await;
}

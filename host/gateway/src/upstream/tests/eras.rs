//! How the era of a server is found out, and what is remembered of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wasmgate_core::catalog::{Launch, Process, Protocol, Remote, RemoteTransport, Server};

use super::site::{Reply, Seen, Site, push};
use super::{is_failed, pool, tool, until};
use crate::upstream::eras::Way;
use crate::upstream::{State, Status};

fn remote(site: &Site, transport: RemoteTransport) -> Server {
    let remote =
        Remote { urls: vec![site.url.clone().into()], transport, headers: Vec::new(), private_allowed: true };
    super::server("p", Launch::Remote(remote))
}

fn is_decided(status: &Status) -> bool {
    status.state == State::Ready || is_failed(status)
}

fn discovered(seen: &Seen) -> Reply {
    Reply::result(seen, r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}"#)
}

fn initialized(seen: &Seen) -> Reply {
    Reply::result(seen, r#"{"protocolVersion":"2025-06-18","capabilities":{}}"#)
}

/// An answer written as a status, as an error `status code data`, or as a result.
fn reply(seen: &Seen, said: &str) -> Reply {
    match (said, said.split(' ').collect::<Vec<_>>().as_slice()) {
        ("discovered", _) => discovered(seen),
        ("initialized", _) => initialized(seen),
        (result, _) if result.starts_with('{') => Reply::result(seen, result),
        (_, [status]) => Reply::status(status.parse().unwrap()),
        (_, [status, code, data]) => Reply::json(
            status.parse().unwrap(),
            format!(
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{code},"message":"no","data":{data}}}}}"#,
                seen.id()
            ),
        ),
        _ => panic!("{said}"),
    }
}

/// What becomes of a server that answers its discover requests like this, one after the other, and `initialize` like that:
/// the version spoken or the code of the failure, what it was asked, and what is remembered.
async fn check(discover: &'static [&str], initialize: &'static str, expected: (&str, &str, Option<Way>)) {
    let turn = AtomicUsize::new(0);
    let site = Site::start(move |seen| match seen.rpc().as_str() {
        "server/discover" => {
            let turn = turn.fetch_add(1, Ordering::SeqCst).min(discover.len() - 1);
            reply(&seen, discover[turn])
        }
        "initialize" => reply(&seen, initialize),
        "notifications/initialized" => Reply::status(202),
        _ => Reply::status(405),
    })
    .await;
    let server = remote(&site, RemoteTransport::Auto);
    let pool = pool(vec![server.clone()]);
    let status = until(&pool, is_decided).await;
    let outcome = match status.state {
        State::Failed { code, reason, .. } => format!("{code}: {reason}"),
        _ => status.offer.unwrap().version.to_string(),
    };
    let asked: Vec<String> = site.seen().iter().map(Seen::rpc).filter(|m| !m.starts_with("not")).collect();
    let asked = asked.join(" ").replace("server/", "");
    let case = format!("{discover:?} {initialize}");
    assert!(outcome.starts_with(expected.0), "{case}: {outcome}");
    assert!(asked.starts_with(expected.1), "{case}: {asked}");
    assert_eq!(pool.known(&server), expected.2, "{case}");
    pool.close().await;
}

#[tokio::test]
async fn every_order_of_refusals_over_http() {
    let (legacy, modern) = (Some(Way::Legacy), Some(Way::Modern));
    let (new, old) = ("2026-07-28", "2025-06-18");
    check(&["discovered"], "405", (new, "discover", modern)).await;
    for refusal in ["404", "400", "405", "404 -32601 {}", "200 -32601 {}", "400 -32000 {}", "{}"] {
        let refusals: &'static [&str] = Box::leak(Box::new([refusal]));
        check(refusals, "initialized", (old, "discover initialize", legacy)).await;
    }
    // From in between, or of a bad moment: decides nothing that lasts.
    for busy in ["408", "429", "500", "500 -32603 {}", "502", "503", "504"] {
        let busy: &'static [&str] = Box::leak(Box::new([busy]));
        check(busy, "initialized", (old, "discover initialize", None)).await;
    }
    for refused in ["401", "403", "407"] {
        let refused: &'static [&str] = Box::leak(Box::new([refused]));
        check(refused, "initialized", ("unauthorized", "discover", None)).await;
    }
    // Errors that only servers of 2026-07-28 know.
    let again = r#"400 -32022 {"supported":["2026-07-28"],"requested":"2026-07-28"}"#;
    let again: &'static [&str] = Box::leak(Box::new([again, "discovered"]));
    check(again, "405", (new, "discover discover", modern)).await;
    check(
        &[r#"400 -32022 {"supported":["2025-06-18"]}"#],
        "initialized",
        (old, "discover initialize", legacy),
    )
    .await;
    let both =
        "protocol_version: speaks protocol version 2099-01-01; this gateway speaks 2026-07-28, 2025-11-25";
    check(&[r#"400 -32022 {"supported":["2099-01-01"]}"#], "initialized", (both, "discover", None)).await;
    for own in ["400 -32020 {}", "400 -32021 {}"] {
        let own: &'static [&str] = Box::leak(Box::new([own]));
        check(own, "initialized", ("initialize_refused: answered server/discover", "discover", None)).await;
    }
    // Nothing helps.
    check(&["404"], "404", ("not_mcp", "discover initialize GET", None)).await;
    check(&["503"], "503", ("unavailable", "discover initialize", None)).await;
}

#[tokio::test]
async fn a_version_that_an_old_server_names_is_taken() {
    let site = Site::start(|seen| {
        let version = seen.body.as_ref().and_then(|body| body.pointer("/params/protocolVersion"));
        match (seen.rpc().as_str(), version.as_ref().and_then(|version| version.string()).as_deref()) {
            ("initialize", Some("2025-03-26")) => {
                Reply::result(&seen, r#"{"protocolVersion":"2025-03-26","capabilities":{}}"#)
            }
            ("initialize", _) => reply(&seen, r#"200 -32602 {"supported":["1.0","2025-03-26"]}"#),
            ("notifications/initialized", _) => Reply::status(202),
            _ => Reply::status(405),
        }
    })
    .await;
    let pool = pool(vec![remote(&site, RemoteTransport::StreamableHttp)]);
    let status = until(&pool, |status| status.state == State::Ready).await;
    assert_eq!(&*status.offer.unwrap().version, "2025-03-26");
    // The header is of 2025-06-18.
    assert_eq!(site.of("notifications/initialized")[0].header("mcp-protocol-version"), None);
    pool.close().await;
}

#[tokio::test]
async fn an_old_transport_is_found_unless_another_is_said() {
    let start = || {
        Site::start(|seen| match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "/mcp") => {
                let (reply, rest) = Reply::events();
                push(&rest, "event: endpoint\ndata: /messages\n\n");
                STREAMS.lock().unwrap().push(rest);
                reply
            }
            ("POST", "/messages") => {
                let id = seen.id();
                let result = match seen.rpc().as_str() {
                    "initialize" => r#"{"protocolVersion":"2024-11-05","capabilities":{}}"#,
                    "tools/call" => r#"{"ok":1}"#,
                    _ => return Reply::status(202),
                };
                let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                let streams = STREAMS.lock().unwrap();
                push(streams.last().unwrap(), format!("data: {message}\n\n"));
                Reply::status(202)
            }
            _ => Reply::status(405),
        })
    };
    static STREAMS: std::sync::Mutex<Vec<super::site::Rest>> = std::sync::Mutex::new(Vec::new());
    let site = start().await;
    let server = remote(&site, RemoteTransport::Auto);
    let found = pool(vec![server.clone()]);
    let status = until(&found, is_decided).await;
    assert_eq!(&*status.offer.unwrap().version, "2024-11-05");
    assert_eq!(found.known(&server), Some(Way::OldTransport));
    tool(&found, "p", "t").await.unwrap();
    found.close().await;
    let site = start().await;
    let forced = pool(vec![remote(&site, RemoteTransport::StreamableHttp)]);
    assert!(is_failed(&until(&forced, is_decided).await));
    assert!(site.of("GET").is_empty());
    forced.close().await;
}

/// A program that writes down what it is asked, and answers what its second argument names.
const OLD: &str = r#"
import json, os, sys
log, answers = open(sys.argv[1], "a"), sys.argv[2]
for line in sys.stdin:
    m = json.loads(line); method, id = m["method"], m.get("id")
    log.write(method + "\n"); log.flush()
    if method == "initialize" and "refuses" not in answers: r = {"result": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}}
    elif method == "initialize": r = {"error": {"code": -32601, "message": "no"}}
    elif "dies" in answers and method == "server/discover": os._exit(1)
    elif "modern" in answers and method == "server/discover": r = {"result": {"supportedVersions": ["2026-07-28"], "capabilities": {}}}
    else: continue
    if id is not None: print(json.dumps({"jsonrpc": "2.0", "id": id, **r}), flush=True)
"#;

struct Old {
    directory: PathBuf,
    server: Server,
}

impl Old {
    fn new(name: &str, answers: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("wasmgate-era-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let log = directory.join("log").to_str().unwrap().to_owned();
        let args = ["-c", OLD, &log, answers].map(|arg| arg.to_owned().into()).to_vec();
        let process = Process { program: "python3".into(), args, env: Vec::new(), cwd: None };
        let mut server = super::server("p", Launch::Process(process));
        // The probe gives up after a third.
        server.deadlines.initialize = Duration::from_secs(6);
        Self { directory, server }
    }

    /// What it was asked since the last time, by a gateway that starts anew.
    async fn start(&self) -> (Status, String) {
        let pool = pool(Vec::new());
        pool.remember_in(&self.directory);
        super::apply(&pool, vec![self.server.clone()]);
        let status = until(&pool, |status| status.state == State::Ready).await;
        pool.close().await;
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap();
        std::fs::write(self.directory.join("log"), "").unwrap();
        (status, log.replace('\n', " ").replace("server/", "").replace("notifications/", ""))
    }
}

#[tokio::test]
async fn a_silent_old_program_is_probed_once() {
    let old = Old::new("silent", "silent");
    let (status, asked) = old.start().await;
    assert_eq!(&*status.offer.unwrap().version, "2025-06-18");
    assert!(asked.starts_with("discover initialize initialized"), "{asked}");
    let (_, asked) = old.start().await;
    assert!(asked.starts_with("initialize initialized"), "no probe, no waiting: {asked}");
    std::fs::write(old.directory.join("eras.json"), "{").unwrap();
    let (_, asked) = old.start().await;
    assert!(asked.starts_with("discover"), "{asked}");
    std::fs::remove_dir_all(&old.directory).unwrap();
}

#[tokio::test]
async fn a_program_that_dies_of_the_probe_is_started_again_without() {
    let old = Old::new("dies", "dies");
    let (status, asked) = old.start().await;
    assert_eq!(&*status.offer.unwrap().version, "2025-06-18");
    assert!(asked.starts_with("discover initialize initialized"), "{asked}");
    std::fs::remove_dir_all(&old.directory).unwrap();
}

#[tokio::test]
async fn a_program_that_has_become_another_is_found_out() {
    let mut old = Old::new("becomes", "silent");
    old.start().await;
    // The same definition, other behaviour: what is known lies in the file by the definition.
    let eras = old.directory.join("eras.json");
    let known = std::fs::read_to_string(&eras).unwrap();
    let before = fingerprint(&known);
    old = Old { server: Old::new("becomes", "modern refuses").server, ..old };
    old.start().await;
    let now = fingerprint(&std::fs::read_to_string(&eras).unwrap());
    std::fs::write(&eras, known.replace(&before, &now)).unwrap();
    let (status, asked) = old.start().await;
    assert_eq!(&*status.offer.unwrap().version, "2026-07-28");
    assert!(asked.starts_with("initialize discover"), "{asked}");
    std::fs::remove_dir_all(&old.directory).unwrap();
}

fn fingerprint(eras: &str) -> String {
    eras.split('"').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn what_is_said_is_not_found_out() {
    let site = Site::start(|seen| match seen.rpc().as_str() {
        "server/discover" => discovered(&seen),
        "initialize" => initialized(&seen),
        "notifications/initialized" => Reply::status(202),
        _ => Reply::status(405),
    })
    .await;
    for (protocol, version) in [(Protocol::Legacy, "2025-06-18"), (Protocol::Modern, "2026-07-28")] {
        let mut server = remote(&site, RemoteTransport::Auto);
        server.protocol = protocol;
        let pool = pool(vec![server.clone()]);
        let status = until(&pool, is_decided).await;
        assert_eq!(&*status.offer.unwrap().version, version);
        assert_eq!(pool.known(&server), None);
        pool.close().await;
    }
    let asked: Vec<String> = site.seen().iter().map(Seen::rpc).filter(|m| !m.starts_with("GET")).collect();
    assert_eq!(asked, ["initialize", "notifications/initialized", "server/discover"]);
}

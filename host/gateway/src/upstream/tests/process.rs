//! Servers that are child processes.

use std::time::Duration;

use wasmgate_core::catalog::{EnvVar, Launch, Process, Protocol, Server, ToolFilter};

use super::{apply, is_failed, names, pool, tool, until};
use crate::upstream::{Answer, Fault, State};

/// A server for faults: what it does is the first word of the tool's name.
const PEER: &str = r#"
import json, os, sys, time
tools = [{"name": "echo", "n": 1.50}]
def say(**message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
for line in sys.stdin:
    m = json.loads(line); method, id, p = m["method"], m.get("id"), m.get("params") or {}
    if method == "initialize":
        say(id=id, result={"protocolVersion": os.environ.get("SPEAKS", p["protocolVersion"]), "capabilities": {"tools": {}, "logging": {}},
            "serverInfo": {"name": "peer"}, "instructions": "be kind"})
    elif method == "tools/list":
        at = int(p.get("cursor") or 0)
        page = {"tools": tools[at:at + 1]}
        if at + 1 < len(tools): page["nextCursor"] = str(at + 1)
        say(id=id, result=page)
    elif method == "tools/call":
        name = p["name"]
        if name == "crash": print("out of disk", file=sys.stderr, flush=True); os._exit(3)
        if name == "grow":
            tools.append({"name": "more%d" % len(tools)})
            for _ in range(5): say(method="notifications/tools/list_changed")
        if name == "pid": say(id=id, result={"pid": os.getpid()})
        elif name != "hang": say(id=id, result={"echo": p.get("arguments")})
    elif method == "logging/setLevel": tools.append({"name": "level-" + p["level"]}); say(id=id, result={}); say(method="notifications/tools/list_changed")
    elif id is not None: say(id=id, error={"code": -32601, "message": "no " + method})
"#;

fn process(name: &str, program: &str, args: &[&str]) -> Server {
    let args = args.iter().map(|arg| (*arg).into()).collect();
    let process = Process { program: program.into(), args, env: Vec::new(), cwd: None };
    super::server(name, Launch::Process(process))
}

fn peer(name: &str) -> Server {
    process(name, "python3", &["-c", PEER])
}

#[tokio::test]
async fn a_call_waits_for_the_start_and_the_offer_is_raw() {
    let pool = pool(vec![peer("p")]);
    let Answer::Result(result) = tool(&pool, "p", "echo").await.unwrap() else { panic!() };
    assert_eq!(result.member("echo").unwrap().member("n").unwrap().as_str(), "7");
    let status = until(&pool, |status| status.state == State::Ready).await;
    let offer = status.offer.unwrap();
    assert_eq!((&*offer.version, offer.instructions.as_deref()), ("2025-11-25", Some("be kind")));
    assert_eq!(offer.tools[0].as_str(), r#"{"name": "echo", "n": 1.5}"#);
    assert!(offer.prompts.is_empty() && offer.templates.is_empty());
    pool.close().await;
    assert!(matches!(tool(&pool, "p", "echo").await, Err(Fault::Unavailable(_))));
}

#[tokio::test]
async fn a_crash_fails_its_calls_and_the_next_start_works() {
    let pool = pool(vec![peer("p"), peer("other")]);
    let (hanging, crash, other) =
        tokio::join!(tool(&pool, "p", "hang"), tool(&pool, "p", "crash"), tool(&pool, "other", "echo"));
    let expected = Fault::Crashed(" with exit code 3".into());
    assert_eq!(hanging.unwrap_err(), expected);
    assert_eq!(crash.unwrap_err(), expected);
    assert!(other.is_ok());
    let failed = until(&pool, is_failed).await;
    let State::Failed { code, reason, stderr } = failed.state else { panic!() };
    assert_eq!((code, reason.as_str()), ("exited", "ended with exit code 3"));
    assert_eq!(stderr.unwrap().trim(), "out of disk");
    assert!(failed.offer.is_some(), "what it offered stays known");
    assert_eq!(tool(&pool, "p", "echo").await.unwrap_err(), Fault::Unavailable(reason));
    until(&pool, |status| status.state == State::Ready).await;
    assert!(tool(&pool, "p", "echo").await.is_ok());
    pool.close().await;
}

#[tokio::test]
async fn lists_are_read_anew_when_they_change_and_when_the_level_does() {
    let pool = pool(vec![peer("p")]);
    tool(&pool, "p", "grow").await.unwrap();
    let status =
        until(&pool, |status| status.offer.as_ref().is_some_and(|offer| offer.tools.len() == 2)).await;
    assert_eq!(names(&status), ["echo", "more1"]);
    pool.want_log_level("debug");
    let status =
        until(&pool, |status| status.offer.as_ref().is_some_and(|offer| offer.tools.len() == 3)).await;
    assert_eq!(names(&status)[2], "level-debug");
    pool.close().await;
}

#[tokio::test]
async fn unchanged_servers_keep_their_process() {
    let pool = pool(vec![peer("p")]);
    let pid = |answer: Result<Answer, Fault>| match answer.unwrap() {
        Answer::Result(result) => result.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let first = pid(tool(&pool, "p", "pid").await);
    let mut renamed = peer("p");
    renamed.tools = ToolFilter::Only(["echo".to_owned()].into());
    apply(&pool, vec![peer("new"), renamed]);
    assert_eq!(pid(tool(&pool, "p", "pid").await), first);
    assert_ne!(pool.status()[1].server.tools, ToolFilter::All, "the newer definition is shown");
    let mut other = peer("p");
    if let Launch::Process(process) = &mut other.launch {
        process.env.push(EnvVar { name: "A".into(), value: "secret".to_owned().into() });
    }
    apply(&pool, vec![other.clone()]);
    let second = pid(tool(&pool, "p", "pid").await);
    assert_ne!(second, first);
    if let Launch::Process(process) = &mut other.launch {
        process.env[0].value = "another".to_owned().into();
    }
    apply(&pool, vec![other]);
    assert_ne!(pid(tool(&pool, "p", "pid").await), second, "a secret counts");
    pool.close().await;
}

#[tokio::test]
async fn a_call_that_began_before_its_server_was_removed_still_reaches_it() {
    let pool = pool(vec![peer("p")]);
    tool(&pool, "p", "pid").await.unwrap();
    apply(&pool, Vec::new());
    assert!(pool.status().is_empty());
    assert!(matches!(tool(&pool, "p", "pid").await, Ok(Answer::Result(_))));
    pool.close().await;
}

#[tokio::test]
async fn servers_that_cannot_serve_say_why() {
    let mut silent = process("p", "sh", &["-c", "cat >/dev/null"]);
    silent.deadlines.initialize = Duration::from_millis(200);
    let speaks = |version: &str| {
        let mut server = peer("p");
        if let Launch::Process(process) = &mut server.launch {
            let value = version.to_owned().into();
            process.env.push(EnvVar { name: "SPEAKS".into(), value });
        }
        server
    };
    let cases = [
        (silent, "initialize_timeout", "did not answer initialize"),
        (speaks("1999-01-01"), "protocol_version", "speaks protocol version 1999-01-01"),
        (process("p", "sh", &["-c", "echo no config >&2; exit 4"]), "exited", "with exit code 4"),
        (process("p", "no-such-program", &[]), "program_not_found", "no-such-program"),
        (
            process(
                "p",
                "sh",
                &[
                    "-c",
                    r#"read l; echo '{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"go away"}}'; cat >/dev/null"#,
                ],
            ),
            "initialize_refused",
            "go away",
        ),
    ];
    for (mut server, expected, words) in cases {
        if expected == "initialize_refused" {
            server.protocol = Protocol::Legacy;
        }
        let pool = pool(vec![server]);
        let failed = until(&pool, is_failed).await;
        let State::Failed { code, reason, .. } = failed.state else { panic!() };
        assert_eq!(code, expected, "{reason}");
        assert!(reason.contains(words), "{reason}");
        assert!(
            matches!(tool(&pool, "p", "echo").await, Err(Fault::Unavailable(why)) if why.contains(words))
        );
        pool.close().await;
    }
}

#[tokio::test]
async fn a_server_of_the_modern_era_is_found_out() {
    let script = r#"
import json, sys
for line in sys.stdin:
    m = json.loads(line); id, meta = m.get("id"), (m.get("params") or {}).get("_meta") or {}
    assert id is not None, "a modern client sends no notification here"
    if meta.get("io.modelcontextprotocol/protocolVersion") != "2026-07-28": r = {"error": {"code": -32022, "message": "", "data": {"supported": ["2026-07-28"]}}}
    elif m["method"] == "server/discover": r = {"result": {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "m"}}}}
    elif m["method"] == "tools/list": r = {"result": {"resultType": "complete", "tools": [{"name": "t"}]}}
    else: r = {"result": {"resultType": "complete", "saw": meta}}
    print(json.dumps({"jsonrpc": "2.0", "id": id, **r}), flush=True)
"#;
    let pool = pool(vec![process("p", "python3", &["-c", script])]);
    let Answer::Result(result) = tool(&pool, "p", "t").await.unwrap() else { panic!() };
    let saw = result.member("saw").unwrap();
    assert_eq!(saw.member("io.modelcontextprotocol/clientCapabilities").unwrap().as_str(), "{}");
    assert_eq!(saw.pointer("/io.modelcontextprotocol~1clientInfo/name").unwrap().as_str(), "\"test\"");
    let offer = pool.status()[0].offer.clone().unwrap();
    assert_eq!((&*offer.version, offer.tools.len()), ("2026-07-28", 1));
    assert!(offer.info.as_ref().is_some_and(|info| info.as_str().contains("\"m\"")));
    pool.close().await;
}

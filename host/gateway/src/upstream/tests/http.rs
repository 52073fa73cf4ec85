//! Servers over streamable HTTP.

#![expect(clippy::disallowed_methods, reason = "a test waits for the tasks it spawns, or ends with them")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use wasmgate_core::catalog::{Launch, Remote, RemoteTransport, Server};

use super::site::{Reply, Rest, Seen, Site, cut, push};
use super::{ask, call, is_failed, names, pool, pool_within, tool, until};
use crate::mailbox;
use crate::upstream::{Answer, Fault, Limits, State};

fn remote(site: &Site) -> Server {
    let remote = Remote {
        urls: vec![site.url.clone().into()],
        transport: RemoteTransport::StreamableHttp,
        headers: vec![("x-key".into(), "secret".to_owned().into())],
        private_allowed: true,
    };
    super::server("p", Launch::Remote(remote))
}

/// What a well-behaved legacy server says to everything but `tools/call`.
fn legacy(seen: &Seen) -> Reply {
    match seen.rpc().as_str() {
        "initialize" => Reply::result(
            seen,
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"s"}}"#,
        )
        .with("mcp-session-id", "s1"),
        "tools/list" => Reply::result(seen, r#"{"tools":[{"name":"t"}]}"#),
        "GET" => Reply::status(405),
        "DELETE" => Reply::status(200),
        method if method.starts_with("notifications/") => Reply::status(202),
        _ => Reply::error(seen, 200, -32601),
    }
}

/// A legacy server whose answer to `tools/call` is this.
async fn site(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Site {
    Site::start(move |seen| if seen.rpc() == "tools/call" { answer(&seen) } else { legacy(&seen) }).await
}

#[track_caller]
fn text(answer: Result<Answer, Fault>) -> String {
    match answer.unwrap() {
        Answer::Result(json) => json.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn requests_carry_the_session_the_version_and_the_configured_headers() {
    let site = site(|seen| Reply::result(seen, r#"{"x":1.50, "y":[]}"#)).await;
    let pool = pool(vec![remote(&site)]);
    assert_eq!(text(tool(&pool, "p", "t").await), r#"{"x":1.50, "y":[]}"#);
    let first = &site.of("initialize")[0];
    assert_eq!((first.header("mcp-session-id"), first.header("mcp-protocol-version")), (None, None));
    let call = &site.of("tools/call")[0];
    assert_eq!(call.header("mcp-session-id"), Some("s1"));
    assert_eq!(call.header("mcp-protocol-version"), Some("2025-06-18"));
    assert_eq!(call.header("accept"), Some("application/json, text/event-stream"));
    assert_eq!((call.header("x-key"), call.header("accept-encoding")), (Some("secret"), None));
    assert_eq!((call.header("mcp-method"), call.header("mcp-name")), (None, None));
    pool.close().await;
    assert_eq!(site.of("DELETE")[0].header("mcp-session-id"), Some("s1"));
}

#[tokio::test]
async fn an_event_stream_is_read_up_to_the_answer() {
    let site = site(|seen| {
        let (reply, rest) = Reply::events();
        let id = seen.id();
        let token = seen.body.as_ref().unwrap().pointer("/params/_meta/progressToken").unwrap();
        push(&rest, ": hello\r\n\r\n");
        for part in [
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{},"#,
                token.as_str()
            ),
            r#""progress":1}}"#.to_owned(),
        ] {
            push(&rest, format!("data: {part}\r"));
            push(&rest, "\n");
        }
        push(&rest, "\r\n");
        push(
            &rest,
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":1}}\n\n",
        );
        push(&rest, "data: {\"jsonrpc\":\"2.0\",\"id\":999,\"result\":\"not yours\"}\n\n");
        push(&rest, "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"sampling/createMessage\"}\n\n");
        push(&rest, format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n\n"));
        reply
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    let (to, mut events) = mailbox::channel(8);
    let params = r#"{"name":"t","_meta":{"progressToken":"mine"}}"#;
    assert_eq!(text(ask(&pool, "p", "tools/call", params, to).await), "{}");
    assert_eq!(events.recv().await.unwrap().params.as_str(), "{\"progressToken\":\"mine\",\n\"progress\":1}");
    assert_eq!(&*events.recv().await.unwrap().method, "notifications/message");
    assert!(events.recv().await.is_none());
    let refused = site.wait_for("POST", 1).await.body.unwrap();
    assert_eq!(refused.pointer("/error/code").unwrap().as_str(), "-32601");
    assert_eq!(refused.member("id").unwrap().as_str(), "\"q\"");
    pool.close().await;
}

#[tokio::test]
async fn statuses_become_faults_and_nothing_is_sent_twice() {
    let status = Arc::new(AtomicUsize::new(0));
    let site = site({
        let status = Arc::clone(&status);
        move |seen| match status.load(Ordering::SeqCst) {
            307 => Reply::status(307).with("location", "/elsewhere"),
            400 => Reply::error(seen, 400, -32602),
            202 => Reply::status(202),
            418 => Reply::json(418, "{}"),
            code => Reply::status(u16::try_from(code).unwrap()),
        }
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    for (n, (code, expected)) in [
        (401, "refused our credentials (HTTP 401)"),
        (403, "refused our credentials (HTTP 403)"),
        (429, "is not available: it answered HTTP 429"),
        (503, "is not available: it answered HTTP 503"),
        (500, "is not available: it answered HTTP 500"),
        (307, "is not available: it answered HTTP 307; redirects are not followed"),
        (418, "sent something that is not MCP: HTTP 418 without an answer"),
        (202, "sent something that is not MCP: HTTP 202 without an answer"),
    ]
    .into_iter()
    .enumerate()
    {
        status.store(code, Ordering::SeqCst);
        assert_eq!(tool(&pool, "p", "t").await.unwrap_err().to_string(), expected);
        assert_eq!(site.of("tools/call").len(), n + 1);
    }
    status.store(400, Ordering::SeqCst);
    assert!(
        matches!(tool(&pool, "p", "t").await, Ok(Answer::Error(error)) if error.as_str().contains("-32602"))
    );
    pool.close().await;
}

#[tokio::test]
async fn a_lost_session_is_renewed_and_only_reading_is_repeated() {
    let lost = Arc::new(AtomicUsize::new(0));
    let sessions = Arc::new(AtomicUsize::new(0));
    let site = Site::start({
        let (lost, sessions) = (Arc::clone(&lost), Arc::clone(&sessions));
        move |seen| match seen.rpc().as_str() {
            "initialize" => {
                sessions.fetch_add(1, Ordering::SeqCst);
                legacy(&seen)
            }
            "resources/read" | "tools/call" if lost.swap(0, Ordering::SeqCst) == 1 => Reply::status(404),
            "resources/read" | "tools/call" => Reply::result(&seen, r#"{"ok":1}"#),
            _ => legacy(&seen),
        }
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    until(&pool, |status| status.state == State::Ready).await;
    lost.store(1, Ordering::SeqCst);
    let (to, _unread) = mailbox::channel(1);
    assert_eq!(text(ask(&pool, "p", "resources/read", r#"{"uri":"a:b"}"#, to).await), r#"{"ok":1}"#);
    assert_eq!((sessions.load(Ordering::SeqCst), site.of("resources/read").len()), (2, 2));
    lost.store(1, Ordering::SeqCst);
    assert!(matches!(tool(&pool, "p", "t").await, Err(Fault::Unavailable(_))));
    assert_eq!(site.of("tools/call").len(), 1, "a tool is never run again");
    assert_eq!(text(tool(&pool, "p", "t").await), r#"{"ok":1}"#, "the next call waits for the new session");
    pool.close().await;
}

#[tokio::test]
async fn a_session_that_dies_under_many_calls_is_renewed_once() {
    let is_dead = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (held, mut waiting) = mpsc::unbounded_channel();
    let site = Site::start({
        let is_dead = Arc::clone(&is_dead);
        move |seen| match (seen.rpc().as_str(), seen.header("mcp-session-id")) {
            ("initialize", _) if is_dead.load(Ordering::SeqCst) => {
                Reply::result(&seen, r#"{"protocolVersion":"2025-06-18","capabilities":{}}"#)
                    .with("mcp-session-id", "s2")
            }
            (_, Some("s1")) if is_dead.load(Ordering::SeqCst) => Reply::status(404),
            ("resources/read", Some("s1")) => {
                let (reply, stream) = Reply::events();
                held.send(stream).unwrap();
                reply
            }
            ("resources/read", Some("s2")) => Reply::result(&seen, r#"{"ok":1}"#),
            _ => legacy(&seen),
        }
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    until(&pool, |status| status.state == State::Ready).await;
    let read = |pool: Arc<super::Pool>| async move {
        let (to, _unread) = mailbox::channel(1);
        ask(&pool, "p", "resources/read", r#"{"uri":"a:b"}"#, to).await
    };
    let in_flight: Vec<_> = (0..20).map(|_| tokio::spawn(read(Arc::clone(&pool)))).collect();
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(waiting.recv().await.unwrap());
    }
    is_dead.store(true, Ordering::SeqCst);
    // Twenty more find the session dead; those in flight on it are cut off by the server.
    let late: Vec<_> = (0..20).map(|_| tokio::spawn(read(Arc::clone(&pool)))).collect();
    for call in late {
        assert_eq!(text(call.await.unwrap()), r#"{"ok":1}"#);
    }
    drop(streams);
    for call in in_flight {
        assert!(matches!(call.await.unwrap(), Err(Fault::Crashed(_))), "they may have been looked at");
    }
    assert_eq!(site.of("initialize").len(), 2, "one renewal for all");
    pool.close().await;
}

#[tokio::test]
async fn what_is_too_large_fails_its_call() {
    let site = site(|seen| {
        let filler = "x".repeat(1 << 20);
        match seen.body.as_ref().unwrap().pointer("/params/name").unwrap().string().unwrap().as_ref() {
            "json" => Reply::result(seen, &format!("\"{}\"", "x".repeat(MAX_MESSAGE))),
            "event" => {
                let (reply, rest) = Reply::events();
                push(&rest, "data: ");
                (0..17).for_each(|_| push(&rest, filler.clone()));
                push(&rest, "\n\n");
                reply
            }
            _ => Reply::result(seen, "{}"),
        }
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    assert_eq!(tool(&pool, "p", "json").await.unwrap_err(), Fault::TooLarge(MAX_MESSAGE));
    // Bytes that are no message at all answer nobody.
    assert!(matches!(tool(&pool, "p", "event").await.unwrap_err(), Fault::Crashed(_)));
    assert_eq!(text(tool(&pool, "p", "small").await), "{}");
    pool.close().await;
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server() {
    let (held, mut open) = mpsc::unbounded_channel::<Rest>();
    let site = site(move |_| {
        let (reply, rest) = Reply::events();
        held.send(rest).unwrap();
        reply
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    let calling = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { tool(&pool, "p", "t").await }
    });
    let id = site.wait_for("tools/call", 1).await.id();
    calling.abort();
    let cancelled = site.wait_for("notifications/cancelled", 1).await;
    assert_eq!(cancelled.body.unwrap().pointer("/params/requestId").unwrap().as_str(), id);
    open.recv().await.unwrap().closed().await;
    pool.close().await;
}

#[tokio::test]
async fn a_broken_stream_is_taken_up_after_its_last_event() {
    let site = Site::start(|seen| match seen.rpc().as_str() {
        "tools/call" => {
            let (reply, rest) = Reply::events();
            push(&rest, format!("id: at-{}\nretry: 1\ndata:\n\ndata: {{\"json", seen.id()));
            if seen.body.as_ref().unwrap().pointer("/params/name").unwrap().as_str() == "\"cut\"" {
                cut(&rest);
            }
            reply
        }
        "GET" => match seen.header("last-event-id") {
            None => Reply::status(405),
            Some(at) => {
                let (reply, rest) = Reply::events();
                push(
                    &rest,
                    format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":\"{at}\"}}\n\n", &at[3..]),
                );
                reply
            }
        },
        _ => legacy(&seen),
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    for name in ["end", "cut"] {
        let result = text(tool(&pool, "p", name).await);
        assert!(result.starts_with("\"at-"), "{result}");
    }
    pool.close().await;
}

#[tokio::test]
async fn the_servers_own_stream_brings_list_changes() {
    let (held, mut open) = mpsc::unbounded_channel::<Rest>();
    let lists = AtomicUsize::new(0);
    let site = Site::start(move |seen| match seen.rpc().as_str() {
        "GET" => {
            let (reply, rest) = Reply::events();
            held.send(rest).unwrap();
            reply
        }
        "tools/list" => {
            let n = lists.fetch_add(1, Ordering::SeqCst);
            Reply::result(&seen, &format!(r#"{{"tools":[{{"name":"t{n}"}}]}}"#))
        }
        _ => legacy(&seen),
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    let stream = open.recv().await.unwrap();
    push(
        &stream,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n".repeat(20),
    );
    until(&pool, |status| status.offer.is_some() && names(status) == ["t1"]).await;
    push(&stream, "data: {\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"ping\"}\n\n");
    assert_eq!(
        site.wait_for("POST", 1).await.body.unwrap().as_str(),
        r#"{"jsonrpc":"2.0","id":4,"result":{}}"#
    );
    drop(stream);
    let _again = open.recv().await.unwrap();
    until(&pool, |status| names(status) == ["t2"]).await;
    pool.close().await;
}

#[tokio::test]
async fn a_modern_server_is_told_who_asks_in_headers_too() {
    let site = Site::start(|seen| {
        let version = "2026-07-28";
        if seen.method != http::Method::POST {
            return Reply::status(405);
        }
        if seen.header("mcp-protocol-version") != Some(version) {
            return Reply::error(&seen, 400, -32022);
        }
        match seen.rpc().as_str() {
            "server/discover" => Reply::result(
                &seen,
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#,
            ),
            "tools/list" => Reply::result(&seen, 
                r#"{"resultType":"complete","tools":[{"name":"tö","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}}]}"#,
            ),
            "tools/call" => Reply::result(&seen, r#"{"resultType":"complete"}"#),
            _ => Reply::error(&seen, 404, -32601),
        }
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    text(call(&pool, "p", r#"{"name":"tö","arguments":{"r":"eu"}}"#).await);
    let call = &site.of("tools/call")[0];
    assert_eq!(call.header("mcp-method"), Some("tools/call"));
    assert_eq!(call.header("mcp-name"), Some("=?base64?dMO2?="));
    assert_eq!(call.header("mcp-param-r"), Some("eu"));
    let (to, _unread) = mailbox::channel(1);
    let unknown = ask(&pool, "p", "prompts/get", "{}", to).await;
    assert!(matches!(unknown, Ok(Answer::Error(error)) if error.as_str().contains("-32601")));
    pool.close().await;
    assert!(site.of("notifications/initialized").is_empty() && site.of("DELETE").is_empty());
}

/// A server of 2026-07-28 with these tools, by turns, that refuses calls without `Mcp-Param-B`.
async fn choosy(turns: &'static [&'static str]) -> Site {
    let turn = AtomicUsize::new(0);
    Site::start(move |seen| match seen.rpc().as_str() {
        "server/discover" => Reply::result(
            &seen,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#,
        ),
        "tools/list" => {
            let turn = turn.fetch_add(1, Ordering::SeqCst).min(turns.len() - 1);
            Reply::result(&seen, &format!(r#"{{"resultType":"complete","tools":[{}]}}"#, turns[turn]))
        }
        "tools/call" if seen.header("mcp-param-b").is_none() => Reply::error(&seen, 400, -32020),
        "tools/call" => Reply::result(&seen, r#"{"resultType":"complete"}"#),
        _ => Reply::error(&seen, 404, -32601),
    })
    .await
}

#[tokio::test]
async fn a_call_at_odds_with_its_headers_is_asked_once_more_by_the_new_schema() {
    const OLD: &str =
        r#"{"name":"t","inputSchema":{"properties":{"n":{"type":"integer","x-mcp-header":"A"}}}}"#;
    const NEW: &str =
        r#"{"name":"t","inputSchema":{"properties":{"n":{"type":"integer","x-mcp-header":"B"}}}}"#;
    let site = choosy(&[OLD, NEW]).await;
    let changing = pool(vec![remote(&site)]);
    text(tool(&changing, "p", "t").await);
    let calls = site.of("tools/call");
    assert_eq!(
        (calls.len(), calls[0].header("mcp-param-a"), calls[1].header("mcp-param-b")),
        (2, Some("7"), Some("7"))
    );
    // What clients are shown follows.
    until(&changing, |status| status.offer.as_ref().is_some_and(|offer| offer.tools[0].as_str() == NEW))
        .await;
    changing.close().await;
    let site = choosy(&[OLD]).await;
    let stubborn = pool(vec![remote(&site)]);
    assert!(
        matches!(tool(&stubborn, "p", "t").await, Ok(Answer::Error(error)) if error.as_str().contains("-32020"))
    );
    assert_eq!(site.of("tools/call").len(), 2, "once more and no more");
    stubborn.close().await;
}

#[tokio::test]
async fn tools_with_bad_annotations_are_left_out_and_the_others_stay() {
    let site = choosy(&[concat!(
        r#"{"name":"good","inputSchema":{"properties":{"n":{"type":"integer","x-mcp-header":"B"}}}},"#,
        r#"{"name":"bad","inputSchema":{"properties":{"n":{"type":"number","x-mcp-header":"B"}}}},"#,
        r#"{"name":"plain","inputSchema":{"type":"object"}}"#,
    )])
    .await;
    let pool = pool(vec![remote(&site)]);
    let status = until(&pool, |status| status.state == State::Ready).await;
    assert_eq!(names(&status), ["good", "plain"]);
    let left_out = &status.offer.unwrap().left_out;
    assert_eq!(left_out.len(), 1);
    assert!(
        left_out[0].tool == "bad" && left_out[0].reason.contains("not of type string, integer or boolean")
    );
    pool.close().await;
}

#[tokio::test]
async fn a_remote_that_cannot_be_reached_says_why() {
    let site = site(|seen| Reply::result(seen, "{}")).await;
    let mut public = remote(&site);
    let mut gone = remote(&site);
    if let (Launch::Remote(public), Launch::Remote(gone)) = (&mut public.launch, &mut gone.launch) {
        public.private_allowed = false;
        let mut url = site.url.clone();
        url.set_scheme("https").unwrap();
        public.urls = vec![url.into()];
        let mut url = site.url.clone();
        url.set_port(Some(1)).unwrap();
        gone.urls = vec![url.into()];
    }
    for (server, words) in
        [(public, "`127.0.0.1` is a loopback address"), (gone, "no connection: Connection refused")]
    {
        let pool = pool(vec![server]);
        let State::Failed { code, reason, .. } = until(&pool, is_failed).await.state else { panic!() };
        assert_eq!(code, "unavailable");
        assert!(reason.contains(words), "{reason}");
        pool.close().await;
    }
    assert!(site.seen().is_empty());
}

#[tokio::test]
async fn an_unreachable_address_makes_way_for_the_next() {
    let site = site(|seen| Reply::result(seen, r#"{"ok":1}"#)).await;
    let mut server = remote(&site);
    if let Launch::Remote(remote) = &mut server.launch {
        let mut gone = site.url.clone();
        gone.set_port(Some(1)).unwrap();
        remote.urls.insert(0, gone.into());
    }
    let pool = pool(vec![server]);
    let status = until(&pool, |status| matches!(status.state, State::Degraded { .. })).await;
    let reason = "1 of its 2 addresses cannot be used; the others serve".to_owned();
    assert_eq!(status.state, State::Degraded { reason });
    assert_eq!(text(tool(&pool, "p", "t").await), r#"{"ok":1}"#);
    pool.close().await;
}

#[tokio::test]
async fn bodies_and_events_may_be_as_long_as_the_limit_and_no_longer() {
    const LIMIT: usize = 2000;
    let site = site(|seen| {
        let params = seen.body.as_ref().unwrap().member("params").unwrap();
        let name = params.member("name").unwrap().string().unwrap().into_owned();
        let (kind, length) = name.split_once('-').unwrap();
        let around = format!(r#"{{"jsonrpc":"2.0","id":{},"result":""}}"#, seen.id()).len();
        let filler = "x".repeat(length.parse::<usize>().unwrap() - around);
        let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":"{filler}"}}"#, seen.id());
        if kind == "json" {
            return Reply::json(200, text);
        }
        let (reply, rest) = Reply::events();
        push(&rest, format!("data: {text}\n\n"));
        reply
    })
    .await;
    let limits = Limits { message: LIMIT, ..Limits::default() };
    let pool = pool_within(vec![remote(&site)], limits);
    for kind in ["json", "event"] {
        let fits = tool(&pool, "p", &format!("{kind}-{LIMIT}")).await;
        assert!(matches!(fits, Ok(Answer::Result(_))), "{kind}: {fits:?}");
        let longer = tool(&pool, "p", &format!("{kind}-{}", LIMIT + 1)).await;
        assert_eq!(longer.unwrap_err(), Fault::TooLarge(LIMIT), "{kind}");
    }
    pool.close().await;
}

/// The longest message taken.
const MAX_MESSAGE: usize = 16 << 20;

//! Requests that say one thing to one reader and another to the next (F37): nothing of them reaches a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::gateway::{Running, TOKEN};
use wasmgate_tests::http::Ask;
use wasmgate_tests::mcp::{only, parsed};
use wasmgate_tests::socket::{exchange, status};
use wasmgate_tests::{gateway, remote};

/// A gateway before a server that counts its calls: a safe tool and a dangerous one.
async fn counted() -> (Running, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let server = remote::service(move |head, body| {
        if !head.starts_with("POST") {
            return (405, String::new());
        }
        let message: Value = serde_json::from_str(body).unwrap_or_default();
        let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "counted", "version": "1"}}),
            "tools/list" => json!({"tools": [tool("safe"), tool("danger")]}),
            "tools/call" => {
                counter.fetch_add(1, Ordering::SeqCst);
                json!({"content": [{"type": "text", "text": "done"}]})
            }
            "ping" => json!({}),
            _ if message["id"].is_null() => return (202, String::new()),
            _ => return (200, json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}}).to_string()),
        };
        (200, json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
    })
    .await;
    let catalog = Catalog::new().remote("fx", &format!("http://{server}/mcp"), "streamable-http");
    let gw = gateway().catalog(catalog).start().await;
    gw.ready(["fx"]).await;
    (gw, calls)
}

/// A good call is served, and it is the first one the server hears of.
async fn only_a_good_call_arrives(gw: Running, calls: &AtomicUsize) {
    assert_eq!(calls.load(Ordering::SeqCst), 0, "something was forwarded");
    let called = gw.modern().call("safe", json!({})).await;
    assert_eq!(called["content"][0]["text"], "done", "{called}");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    gw.stop().await;
}

#[tokio::test]
async fn f37_headers_say_something_else_than_the_body() {
    let (gw, calls) = counted().await;
    let danger = || gw.modern().ask("tools/call", json!({"name": "danger"}));
    let legacy = gw.legacy().await;
    let cases: Vec<(&str, Ask)> = vec![
        ("another name", danger().header("mcp-name", "safe")),
        ("another name, encoded", danger().header("mcp-name", "=?base64?c2FmZQ==?=")),
        ("a name in another case", danger().header("mcp-name", "Danger")),
        ("a name with something after it", danger().header("mcp-name", "danger, safe")),
        ("no name", danger().without("mcp-name")),
        ("two names", danger().another_header("mcp-name", "safe")),
        ("the same name twice", danger().another_header("mcp-name", "danger")),
        ("another method", danger().header("mcp-method", "tools/list")),
        ("no method", danger().without("mcp-method")),
        ("two methods", danger().another_header("mcp-method", "tools/list")),
        ("another version", danger().header("mcp-protocol-version", "2025-11-25")),
        ("no version", danger().without("mcp-protocol-version")),
        ("two versions", danger().another_header("mcp-protocol-version", "2025-11-25")),
        (
            "two legacy versions",
            legacy
                .post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"danger"}}"#)
                .another_header("mcp-protocol-version", "2025-06-18"),
        ),
    ];
    for (what, ask) in cases {
        let answer = ask.send().await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert_eq!(only(&answer)["error"]["code"], -32020, "{what}: {}", answer.text());
    }
    only_a_good_call_arrives(gw, &calls).await;
}

#[tokio::test]
async fn f37_headers_are_there_twice() {
    let (gw, calls) = counted().await;
    let danger = || gw.modern().ask("tools/call", json!({"name": "danger"}));
    let legacy = gw.legacy().await;
    let call = || legacy.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"danger"}}"#);
    let here = format!("http://{}", gw.address());
    let other = gw.legacy().await.session.expect("an id");
    let own = legacy.session.clone().expect("an id");
    let cases: Vec<(&str, Ask, u16)> = vec![
        ("two tokens", danger().another_header("authorization", format!("Bearer {TOKEN}")), 400),
        ("a token and another", danger().another_header("authorization", "Bearer x"), 400),
        (
            "two hosts",
            danger().header("host", gw.address().to_string()).another_header("host", "evil.example"),
            400,
        ),
        (
            "the same host twice",
            danger()
                .header("host", gw.address().to_string())
                .another_header("host", gw.address().to_string()),
            400,
        ),
        (
            "two origins",
            danger().header("origin", &*here).another_header("origin", "https://evil.example"),
            403,
        ),
        ("the same origin twice", danger().header("origin", &*here).another_header("origin", &*here), 403),
        ("two types", danger().another_header("content-type", "application/json"), 415),
        ("two sessions", call().another_header("mcp-session-id", other), 400),
        ("the same session twice", call().another_header("mcp-session-id", own), 400),
    ];
    for (what, ask, expected) in cases {
        let answer = ask.send().await;
        assert_eq!(answer.status, expected, "{what}: {}", answer.text());
    }
    only_a_good_call_arrives(gw, &calls).await;
}

/// A modern call of the dangerous tool, whole: its headers and its body.
fn danger() -> (String, String) {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "danger", "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}});
    let head = format!(
        "Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: danger\r\nConnection: close\r\n"
    );
    (head, body.to_string())
}

#[tokio::test]
async fn f37_the_request_line_names_another_place() {
    let (gw, calls) = counted().await;
    let (address, (head, body)) = (gw.address(), danger());
    let ask = async |line: &str, host: &str| {
        let request = format!("{line}\r\n{host}{head}Content-Length: {}\r\n\r\n{body}", body.len());
        exchange(address, request.as_bytes()).await
    };
    let ours = format!("Host: {address}\r\n");
    for (line, host) in [
        ("POST http://evil.example/mcp HTTP/1.1", &*ours),
        ("POST http://evil.example:80/mcp HTTP/1.1", &*ours),
        ("POST http://user@evil.example/mcp HTTP/1.1", &*ours),
        ("POST mcp HTTP/1.1", &*ours),
        ("POST /mcp HTTP/1.1", ""),
        ("POST /mcp HTTP/1.1", "Host:\r\n"),
        ("POST /mcp HTTP/1.1", "Host: a b\r\n"),
        ("POST /mcp HTTP/1.1", &format!("Host: user@{address}\r\n")),
        ("POST /mcp", &*ours),
        ("POST  /mcp HTTP/1.1", &*ours),
        ("POST /mcp HTTP/1.1 x", &*ours),
        ("POST /m\u{0}cp HTTP/1.1", &*ours),
    ] {
        let answer = ask(line, host).await;
        assert_eq!(status(&answer), 400, "{line} {host:?}: {answer}");
    }
    let elsewhere = ask("POST http://evil.example/mcp HTTP/1.1", "Host: evil.example\r\n").await;
    assert_eq!(status(&elsewhere), 403, "{elsewhere}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    // "A server MUST accept the absolute-form in requests" (RFC 9112 section 3.2.2), where it names this place.
    let answer = ask(&format!("POST http://{address}/mcp HTTP/1.1"), &ours).await;
    assert_eq!((status(&answer), calls.load(Ordering::SeqCst)), (200, 1), "{answer}");
    gw.stop().await;
}

#[tokio::test]
async fn f37_a_request_says_its_length_in_two_ways() {
    let (gw, calls) = counted().await;
    let (address, (head, body)) = (gw.address(), danger());
    let head = format!("POST /mcp HTTP/1.1\r\nHost: {address}\r\n{head}");
    let length = body.len();
    let chunks = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let hidden = format!("0\r\n\r\n{head}Content-Length: {length}\r\n\r\n{body}");
    for (what, request) in [
        (
            "both, chunked",
            format!("{head}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}", chunks.len()),
        ),
        (
            "both, the other way round",
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{chunks}"),
        ),
        (
            "both, in another case",
            format!("{head}tRANSFER-eNCODING: Chunked\r\ncONTENT-lENGTH: 4\r\n\r\n{chunks}"),
        ),
        (
            "a request hidden behind a length",
            format!("{head}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{hidden}", hidden.len()),
        ),
        (
            "a request hidden behind chunks",
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{hidden}"),
        ),
        (
            "two lengths",
            format!("{head}Content-Length: {length}\r\nContent-Length: {}\r\n\r\n{body}", length - 1),
        ),
        ("a list of lengths", format!("{head}Content-Length: {length}, {length}\r\n\r\n{body}")),
        ("another coding last", format!("{head}Transfer-Encoding: chunked, gzip\r\n\r\n{chunks}")),
        ("an unknown coding", format!("{head}Transfer-Encoding: xchunked\r\n\r\n{chunks}")),
        ("no coding", format!("{head}Transfer-Encoding: identity\r\n\r\n{body}")),
        ("a coding in quotes", format!("{head}Transfer-Encoding: \"chunked\"\r\n\r\n{chunks}")),
        (
            "chunks of HTTP/1.0",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").replace("HTTP/1.1", "HTTP/1.0"),
        ),
        ("a space before the colon", format!("{head}Transfer-Encoding : chunked\r\n\r\n{chunks}")),
        ("a folded header", format!("{head}X: a\r\n b\r\nContent-Length: {length}\r\n\r\n{body}")),
        ("a folded coding", format!("{head}Transfer-Encoding:\r\n chunked\r\n\r\n{chunks}")),
        ("a header that begins with a space", format!("{head} Content-Length: {length}\r\n\r\n{body}")),
        ("a NUL in a header", format!("{head}X: a\0b\r\nContent-Length: {length}\r\n\r\n{body}")),
        ("a return in a header", format!("{head}X: a\rContent-Length: {length}\r\n\r\n{body}")),
        (
            "a chunk that is no number",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}g\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk of a size beyond numbers",
            format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        ),
    ] {
        let answer = exchange(address, request.as_bytes()).await;
        assert_eq!(status(&answer), 400, "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: one answer, and the end: {answer}");
        assert_eq!(calls.load(Ordering::SeqCst), 0, "{what} was forwarded");
    }
    only_a_good_call_arrives(gw, &calls).await;
}

#[tokio::test]
async fn f37_what_is_behind_a_request_is_a_request_of_its_own() {
    let (gw, calls) = counted().await;
    let (address, (head, body)) = (gw.address(), danger());
    // The first is refused at its head and has its body unread: that is not taken for a request.
    let inner = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\n{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for refused in [
        "Content-Type: text/plain",
        "Accept: text/html",
        "Authorization: Bearer wrong",
        "Origin: https://evil.example",
    ] {
        let kept = head.replace("Connection: close\r\n", "");
        let name = refused.split_once(':').expect("a name").0;
        let others: String =
            kept.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\n{others}{refused}\r\nContent-Length: {}\r\n\r\n{inner}",
            inner.len()
        );
        let answer = exchange(address, request.as_bytes()).await;
        assert!(status(&answer) >= 400, "{refused}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{refused}: {answer}");
    }
    // A body that is one itself, and a good request behind it on the same connection.
    let quoted = json!({"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"text": inner}}).to_string();
    let first = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{quoted}",
        quoted.len()
    );
    let health = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, format!("{first}{health}").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    let body =
        answer.split("\r\n\r\n").nth(1).and_then(|rest| rest.split("HTTP/1.1").next()).expect("a body");
    assert_eq!(parsed(body)["id"], 7, "{answer}");
    only_a_good_call_arrives(gw, &calls).await;
}

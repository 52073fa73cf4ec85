//! The whole front over pipes in memory, in front of a gateway without servers.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[test]
fn paths_stand_for_places() {
    for (path, expected) in [
        ("/mcp", Place::Mcp(View::All)),
        ("/servers/time/mcp", Place::Mcp(View::One(ServerName::new("time").unwrap()))),
        ("/servers/a.b-c_d/mcp", Place::Mcp(View::One(ServerName::new("a.b-c_d").unwrap()))),
        ("/servers//mcp", Place::Nowhere),
        ("/servers/../mcp", Place::Nowhere),
        ("/servers/a/b/mcp", Place::Nowhere),
        ("/servers/a%2fb/mcp", Place::Nowhere),
        ("/servers/time", Place::Nowhere),
        ("/", Place::Nowhere),
        ("/MCP", Place::Nowhere),
        ("/mcp/", Place::Nowhere),
        ("/health", Place::Health),
        ("/ready", Place::Ready),
        ("/sse", Place::Sse),
        ("/messages", Place::Messages),
        ("/interceptors", Place::Interceptors),
    ] {
        assert_eq!(Place::of(path), expected, "{path}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_cure() {
    let bind = async |address: SocketAddr| bind(address, Settings::default(), Tasks::new()).await;
    let first = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let port = first.local_addr().port();
    let error = bind(first.local_addr()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "port {port} on 127.0.0.1 is already in use: stop the program that has it or choose another with `--port`"
        )
    );
}

fn front(slot: Slot, tasks: &Tasks) -> Arc<Front> {
    let settings = Settings {
        token: Some("tok".into()),
        allowed_origins: vec!["https://app.example.com".into()],
        limits: Limits { body: 1000, ..Limits::default() },
        ..Settings::default()
    };
    Arc::new(Front::new(([127, 0, 0, 1], 8811).into(), settings, slot, tasks.clone()))
}

/// The seat of the only connection there is.
fn alone() -> Seat {
    match Seats::new(1, 1).enter([127, 0, 0, 1].into()) {
        Entry::Entered(seat) => seat,
        Entry::AddressFull | Entry::Full => unreachable!("the first one"),
    }
}

/// As long as the front's.
fn life(front: &Front) -> Life {
    Life { keep: Keep::Alive, stopping: front.tasks.stopping() }
}

/// Sends the bytes on a connection of its own and returns all that comes back until its end.
async fn exchange(front: &Arc<Front>, request: &[u8]) -> String {
    let (mut near, far) = tokio::io::duplex(1 << 20);
    let mut answer = String::new();
    let talk = async {
        near.write_all(request).await.unwrap();
        near.read_to_string(&mut answer).await.unwrap();
    };
    tokio::join!(connection(Arc::clone(front), far, alone(), life(front)), talk);
    answer
}

/// A request: line, headers, body. `Host`, `Content-Length` and `Connection: close` are added.
fn request(line: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:8811\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    format!("{text}Content-Length: {}\r\n\r\n{body}", body.len())
}

const TOKEN: &str = "Authorization: Bearer tok";
const JSON: &str = "Content-Type: application/json";

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

/// What comes back must have the status and contain the text.
async fn check(front: &Arc<Front>, request: &str, expected: &str, text: &str) {
    let answer = exchange(front, request.as_bytes()).await;
    assert_eq!(status(&answer), expected, "{request}\n---\n{answer}");
    assert!(answer.contains(text), "{request}\n---\n{answer}");
}

/// A modern request with its headers.
fn modern(method: &str, version: &str) -> String {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    let headers =
        [TOKEN, JSON, &format!("MCP-Protocol-Version: {version}"), &format!("Mcp-Method: {method}")];
    request("POST /mcp", &headers, &body)
}

#[tokio::test]
async fn health_comes_first_and_mcp_waits_for_the_gateway() {
    let tasks = Tasks::new();
    let (fill, slot) = tokio::sync::watch::channel(None);
    let front = front(slot, &tasks);
    check(&front, &request("GET /health", &[], ""), "200", r#"{"status":"ok"}"#).await;
    check(&front, &request("GET /ready", &[TOKEN], ""), "503", "the configuration is loading").await;
    let discover = modern("server/discover", "2026-07-28");
    let asked = check(&front, &discover, "200", "supportedVersions");
    let filled = async { fill.send_replace(Some(crate::front::tests::gateway(&tasks))) };
    tokio::join!(asked, filled);
    check(&front, &request("GET /ready", &[TOKEN], ""), "200", r#"{"ready":true,"#).await;
}

#[tokio::test(start_paused = true)]
async fn patience_with_a_gateway_that_never_comes_ends() {
    let tasks = Tasks::new();
    let (_fill, slot) = tokio::sync::watch::channel(None);
    let front = front(slot, &tasks);
    check(&front, &modern("server/discover", "2026-07-28"), "503", "not_serving").await;
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let tasks = Tasks::new();
    let front = front(crate::front::tests::slot(&tasks), &tasks);
    let refused = async |line: &str, headers: &[&str], status: &str, text: &str| {
        check(&front, &request(line, headers, "{"), status, text).await;
    };
    for line in
        ["GET /ready", "POST /mcp", "GET /mcp", "DELETE /mcp", "GET /sse", "POST /messages", "GET /nothing"]
    {
        refused(line, &[], "401", "www-authenticate: Bearer").await;
        refused(line, &["Authorization: Bearer wrong"], "401", "invalid_token").await;
        refused(line, &[TOKEN, TOKEN], "400", "exactly one").await;
        refused(line, &[TOKEN, "Origin: https://evil.example"], "403", "Origin").await;
        refused(line, &[TOKEN, "Origin: null"], "403", "Origin").await;
        refused(line, &[TOKEN, "Sec-Fetch-Site: cross-site"], "403", "other sites").await;
        refused(line, &[TOKEN, "Host: 127.0.0.1:8811"], "400", "Host").await;
    }
    let evil = "GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    check(&front, evil, "403", "not served under that").await;
    let absolute = "GET http://evil.example/health HTTP/1.1\r\nHost: 127.0.0.1:8811\r\n\r\n";
    check(&front, absolute, "400", "different places").await;
}

#[tokio::test]
async fn only_configured_pages_may_read() {
    let tasks = Tasks::new();
    let front = front(crate::front::tests::slot(&tasks), &tasks);
    let page = "Origin: https://app.example.com";
    let allowed = "access-control-allow-origin: https://app.example.com";
    check(&front, &request("OPTIONS /mcp", &[page], ""), "204", allowed).await;
    check(&front, &request("GET /health", &[page], ""), "200", allowed).await;
    check(&front, &request("POST /mcp", &[page], ""), "401", allowed).await;
    check(&front, &request("OPTIONS /mcp", &["Origin: https://evil.example"], ""), "403", "").await;
    let same =
        exchange(&front, request("GET /health", &["Origin: http://localhost:8811"], "").as_bytes()).await;
    assert!(status(&same) == "200" && !same.contains("access-control"), "{same}");
}

#[tokio::test]
async fn malformed_requests_are_refused_each_in_its_way() {
    let tasks = Tasks::new();
    let front = front(crate::front::tests::slot(&tasks), &tasks);
    let post = |headers: &[&str], body: &str| request("POST /mcp", &[&[TOKEN], headers].concat(), body);
    for (asked, status, text) in [
        (request("PUT /mcp", &[TOKEN], ""), "405", "allow: GET, POST, DELETE"),
        (request("GET /mcp", &[TOKEN], ""), "405", "allow: POST"),
        (request("DELETE /mcp", &[TOKEN], ""), "405", "allow: POST"),
        (request("GET /nothing", &[TOKEN], ""), "404", "/mcp"),
        (post(&[], "{}"), "415", "application/json"),
        (post(&["Content-Type: text/plain"], "{}"), "415", "application/json"),
        (post(&[JSON, "Accept: text/html"], "{}"), "406", "text/event-stream"),
        (post(&[JSON], ""), "400", "-32700"),
        (post(&[JSON], "{"), "400", "-32700"),
        (post(&[JSON], "{}"), "400", "-32600"),
        (post(&[JSON], r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#), "400", "-32600"),
        (post(&[JSON], r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#), "400", "-32600"),
        (post(&[JSON], r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#), "400", "-32600"),
        (post(&[JSON], r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#), "400", "-32600"),
        (post(&[JSON], r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), "200", r#""result":{}"#),
        (post(&[JSON], r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#), "200", r#""tools":["#),
        (post(&[JSON], r#"{"jsonrpc":"2.0","id":1,"method":"x/y"}"#), "400", "session_required"),
        (
            post(&[JSON], r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            "400",
            "session_required",
        ),
        (
            post(&[JSON, "Mcp-Session-Id: guess"], r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
            "404",
            "session_unknown",
        ),
        (post(&[JSON], &" ".repeat(1001)), "413", "larger than 1000 bytes"),
        (modern("tools/call", "2099-01-01"), "400", "-32022"),
        (modern("ping", "2026-07-28"), "404", "-32601"),
        (modern("no/such", "2026-07-28"), "404", "-32601"),
        (modern("tools/list", "2026-07-28").replace("Mcp-Method: tools", "Mcp-Method: x"), "400", "-32020"),
        (modern("tools/list", "2026-07-28").replace("/mcp", "/servers/none/mcp"), "404", "unknown_server"),
        (modern("tools/list", "2026-07-28"), "200", r#""resultType":"complete""#),
    ] {
        check(&front, &asked, status, text).await;
    }
    let chunked = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8811\r\n{TOKEN}\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n5DC\r\n{}",
        " ".repeat(1500)
    );
    check(&front, &chunked, "413", "connection: close").await;
    let long = format!("X-Long: {}", "x".repeat(40 << 10));
    check(&front, &request("GET /health", &[&long], ""), "431", "").await;
}

#[tokio::test(start_paused = true)]
async fn slow_senders_are_not_waited_for() {
    let tasks = Tasks::new();
    let front = front(crate::front::tests::slot(&tasks), &tasks);
    // Half a head: the connection is closed without a word, or with a timeout.
    let answer = exchange(&front, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:8811\r\n").await;
    assert!(answer.is_empty() || status(&answer) == "408", "{answer}");
    let half = request("POST /mcp", &[TOKEN, JSON], "{}").replace("Length: 2", "Length: 20");
    check(&front, &half, "408", "did not arrive in time").await;
}

#[tokio::test]
async fn a_session_opens_lives_and_ends() {
    let tasks = Tasks::new();
    let front = front(crate::front::tests::slot(&tasks), &tasks);
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{}}}"#;
    let opened = exchange(&front, request("POST /mcp", &[TOKEN, JSON], initialize).as_bytes()).await;
    assert!(opened.contains(r#""protocolVersion":"2025-03-26""#), "{opened}");
    let id = opened.lines().find(|line| line.starts_with("mcp-session-id: ")).unwrap().trim().to_owned();
    let post = |body: &str| request("POST /mcp", &[TOKEN, JSON, &id], body);
    check(&front, &post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), "202", "").await;
    check(&front, &post(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#), "202", "").await;
    let ping = post(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
    check(&front, &ping, "200", r#"{"jsonrpc":"2.0","id":"p","result":{}}"#).await;
    check(&front, &post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#), "200", r#"{"tools":[]}"#).await;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"},{"id":2}]"#;
    let answers = r#"[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"error":{"code":-32600"#;
    check(&front, &post(batch), "200", answers).await;
    check(&front, &post(r#"[{"jsonrpc":"2.0","method":"x"}]"#), "202", "").await;
    check(&front, &post("[]"), "400", "-32600").await;
    let elsewhere = ping.replace("/mcp", "/servers/time/mcp");
    check(&front, &elsewhere, "404", "session_unknown").await;
    let delete = request("DELETE /mcp", &[TOKEN, &id], "");
    check(&front, &delete, "200", "").await;
    check(&front, &delete, "404", "session_unknown").await;
    check(&front, &ping, "404", "session_unknown").await;
}

#[tokio::test]
async fn the_old_transport_answers_on_its_stream_and_ends_with_it() {
    let tasks = Tasks::new();
    let front = front(crate::front::tests::slot(&tasks), &tasks);
    let (near, far) = tokio::io::duplex(1 << 20);
    let (over, is_over) = tokio::sync::oneshot::channel();
    let serving = connection(Arc::clone(&front), far, alone(), life(&front));
    tasks.spawn("connection", async move {
        serving.await;
        over.send(()).unwrap();
    });
    let mut stream = tokio::io::BufReader::new(near);
    stream.write_all(request("GET /sse", &[TOKEN], "").as_bytes()).await.unwrap();
    let path = next_data(&mut stream).await;
    assert!(path.starts_with("/messages?sessionId="), "{path}");
    let post = |body: &str| request(&format!("POST {path}"), &[TOKEN, JSON], body);
    let initialize =
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}"#;
    check(&front, &post(initialize), "202", "").await;
    assert!(next_data(&mut stream).await.contains(r#""protocolVersion":"2024-11-05""#));
    check(&front, &post("{"), "400", "-32700").await;
    check(&front, &post(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#), "202", "").await;
    assert_eq!(next_data(&mut stream).await, r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}"#);
    drop(stream);
    is_over.await.unwrap();
    check(&front, &post(initialize), "404", "session_unknown").await;
}

#[tokio::test]
async fn what_is_sent_behind_initialize_waits_for_its_answer() {
    let tasks = Tasks::new();
    let front = front(crate::front::tests::slow_slot(&tasks), &tasks);
    let (near, far) = tokio::io::duplex(1 << 20);
    let serving = connection(Arc::clone(&front), far, alone(), life(&front));
    tasks.spawn("connection", serving);
    let mut stream = tokio::io::BufReader::new(near);
    stream.write_all(request("GET /sse", &[TOKEN], "").as_bytes()).await.unwrap();
    let path = next_data(&mut stream).await;
    // Both on one connection, the second one without a look at the first one's answer.
    let post = |body: &str| request(&format!("POST {path}"), &[TOKEN, JSON], body);
    let initialize =
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}"#;
    let first = post(initialize).replace("Connection: close\r\n", "");
    let both = first + &post(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    let answers = exchange(&front, both.as_bytes()).await;
    assert_eq!(answers.matches(" 202 ").count(), 2, "{answers}");
    assert!(next_data(&mut stream).await.contains(r#""protocolVersion":"2024-11-05""#));
    assert_eq!(next_data(&mut stream).await, r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}"#);
}

/// The data of the next event.
async fn next_data<R: tokio::io::AsyncBufRead + Unpin>(stream: &mut R) -> String {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "the stream ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return data.trim_end().to_owned();
        }
    }
}

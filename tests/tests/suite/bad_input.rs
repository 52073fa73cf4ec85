//! What must not be accepted, from clients and from operators, and that nothing else is harmed by it.

use serde_json::json;
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::gateway;
use wasmgate_tests::gateway::TOKEN;
use wasmgate_tests::http::{self, Ask};
use wasmgate_tests::mcp::{LEGACY, only};

#[tokio::test]
async fn malformed_messages_get_the_right_error_and_the_session_lives() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{}{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let utf16: Vec<u8> =
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: Vec<(&str, Vec<u8>, &[i64])> = vec![
        ("nothing", b"".into(), &[-32700]),
        ("no JSON", b"hello".into(), &[-32700]),
        ("half a message", br#"{"jsonrpc":"2.0","id":1,"#.into(), &[-32700]),
        ("something after the message", br#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#.into(), &[-32700]),
        ("two messages", br#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}"#.into(), &[-32700]),
        ("invalid UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":\"\xff\xfe\"}}".into(), &[-32700]),
        ("overlong UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc0\xaf\"}".into(), &[-32700]),
        ("UTF-16", utf16, &[-32700]),
        ("a byte order mark", b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}".into(), &[-32700]),
        ("a lone surrogate", br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\ud800"}}"#.into(), &[-32700, -32600]),
        ("a number with a leading zero", br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":01}}"#.into(), &[-32700]),
        ("NaN", br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}"#.into(), &[-32700]),
        ("too deep", deep.into(), &[-32600, -32700]),
        ("a number", b"42".into(), &[-32600]),
        ("a string", b"\"ping\"".into(), &[-32600]),
        ("an empty batch", b"[]".into(), &[-32600]),
        ("a batch", br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.into(), &[-32600]),
        ("no version", br#"{"id":1,"method":"ping"}"#.into(), &[-32600]),
        ("another version", br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#.into(), &[-32600]),
        ("a version as a number", br#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#.into(), &[-32600]),
        ("id null", br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.into(), &[-32600]),
        ("id a fraction", br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#.into(), &[-32600]),
        ("id an object", br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#.into(), &[-32600]),
        ("id a truth value", br#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#.into(), &[-32600]),
        ("id beyond 64 bits", br#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}"#.into(), &[-32600]),
        ("method a number", br#"{"jsonrpc":"2.0","id":1,"method":7}"#.into(), &[-32600]),
        ("neither method nor result", br#"{"jsonrpc":"2.0","id":1}"#.into(), &[-32600]),
        ("params a string", br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#.into(), &[-32600, -32602]),
        ("a duplicate member", br#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#.into(), &[-32600]),
        ("a duplicate member in arguments", br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"text","arguments":{"text":"a","text":"b"}}}"#.into(), &[-32600]),
        ("a duplicate member, escaped", br#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/list"}"#.into(), &[-32600]),
        ("result and error", br#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#.into(), &[-32600]),
    ];
    for (what, body, codes) in cases {
        let answer = client.post(body).send().await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        let message = only(&answer);
        let code = message["error"]["code"].as_i64().unwrap_or_default();
        assert!(codes.contains(&code), "{what}: {message}");
        assert_eq!(message["jsonrpc"], "2.0", "{what}");
    }
    assert_eq!(client.call("text", json!({"text": "alive"})).await["content"][0]["text"], "alive");
    gw.stop().await;
}

#[tokio::test]
async fn wrong_params_are_invalid_params() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    for params in [json!({}), json!({"name": 7}), json!({"name": null}), json!({"name": ["text"]})] {
        let answer = client.request("tools/call", params.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{params}: {answer}");
    }
    let unknown = client.request("tools/call", json!({"name": "nope"})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    // Escapes spell the same name, and only the exact name is the name.
    let body = r#"{"jsonrpc":"2.0","id":"n","method":"tools/call","params":{"name":"t\u0065xt","arguments":{"text":"x"}}}"#;
    assert_eq!(only(&client.post(body).send().await)["result"]["content"][0]["text"], "x");
    for odd in ["Text", "text ", " text", "text\u{0}", "tеxt"] {
        let answer = client.request("tools/call", json!({"name": odd})).await;
        assert_eq!(answer["error"]["code"], -32602, "{odd:?}: {answer}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn an_id_in_use_is_refused_and_the_first_call_goes_on() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let body = r#"{"jsonrpc":"2.0","id":"same","method":"tools/call","params":{"name":"progress","arguments":{"steps":2},"_meta":{"progressToken":1}}}"#;
    let mut first = client.post(body).open().await;
    first.event().await.expect("the call is running");
    let second = client.post(body).send().await;
    assert_eq!(only(&second)["error"]["code"], -32600, "{}", second.text());
    client.call("release", json!({})).await;
    assert!(first.rest().await.text().contains("done"));
    // Once it has ended, the id may be used again.
    let again = client.post(r#"{"jsonrpc":"2.0","id":"same","method":"ping"}"#).send().await;
    assert_eq!(only(&again)["result"], json!({}));
    // A number and a string are different ids.
    gw.stop().await;
}

#[tokio::test]
async fn responses_nobody_waits_for_harm_nobody() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    for stray in [
        r#"{"jsonrpc":"2.0","id":12345,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4711}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/no_such_thing"}"#,
    ] {
        let answer = client.post(stray).send().await;
        assert_eq!(answer.status, 202, "{stray}: {}", answer.text());
    }
    assert_eq!(client.call("text", json!({"text": "alive"})).await["content"][0]["text"], "alive");
    gw.stop().await;
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_while_they_come() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let body = |size: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"text","arguments":{{"text":"{}"}}}}}}"#,
            "x".repeat(size)
        )
    };
    assert_eq!(client.post(body(1024 * 1024)).send().await.status, 200, "a megabyte passes");

    // Only the head is sent: the length alone is reason enough.
    let head = format!(
        "POST /servers/fx/mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nConnection: close\r\nContent-Length: 104857600\r\n\r\n",
        gw.address()
    );
    let answer = http::bytes(gw.address(), head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    // Without a length, in chunks, until the limit.
    let mut chunked = head.replace("Content-Length: 104857600", "Transfer-Encoding: chunked").into_bytes();
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..100 {
        chunked.extend_from_slice(&chunk);
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = http::bytes(gw.address(), &chunked).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(client.call("text", json!({"text": "alive"})).await["content"][0]["text"], "alive");
    gw.stop().await;
}

#[tokio::test]
async fn only_the_token_opens_the_door() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}).to_string();
    let ask = || gw.door("/mcp").post(hello.clone());
    let cases: Vec<(&str, Ask)> = vec![
        ("none", ask().without("authorization")),
        ("wrong", ask().header("authorization", "Bearer wrong")),
        ("a prefix", ask().header("authorization", format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]))),
        ("one more character", ask().header("authorization", format!("Bearer {TOKEN}x"))),
        ("another scheme", ask().header("authorization", format!("Basic {TOKEN}"))),
        ("empty", ask().header("authorization", "")),
    ];
    for (what, ask) in cases {
        let answer = ask.send().await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        assert!(answer.header("www-authenticate").is_some_and(|v| v.starts_with("Bearer")), "{what}");
        assert!(answer.header("mcp-session-id").is_none(), "{what}");
    }
    let twice = ask().another_header("authorization", format!("Bearer {TOKEN}")).send().await;
    assert!(twice.status.is_client_error(), "two tokens: {}", twice.status);
    for path in ["/servers/fx/mcp", "/servers/nobody/mcp"] {
        let answer = gw.door(path).post(hello.clone()).without("authorization").send().await;
        assert_eq!(answer.status, 401, "{path}: what is there is nobody's business");
    }
    assert_eq!(
        ask().header("authorization", format!("bearer {TOKEN}")).send().await.status,
        200,
        "the scheme has no case"
    );
    assert_eq!(gw.get("/health").await.status, 200, "a probe needs none");
    gw.stop().await;
}

#[tokio::test]
async fn only_local_origins_and_hosts_are_served() {
    let gw = gateway().catalog(good("fx")).open().start().await;
    gw.ready(["fx"]).await;
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}).to_string();
    let ask = || gw.door("/mcp").post(hello.clone());
    for origin in [
        "http://evil.example",
        "https://127.0.0.1.evil.example",
        "null",
        "http://localhost.evil.example",
        "file://",
    ] {
        let answer = ask().header("origin", origin).send().await;
        assert_eq!(answer.status, 403, "Origin {origin}: {}", answer.text());
    }
    for host in ["evil.example", "evil.example:8811", "127.0.0.1.evil.example"] {
        let answer = ask().header("host", host).send().await;
        assert!([400, 403, 421].contains(&answer.status.as_u16()), "Host {host}: {}", answer.status);
    }
    let port = gw.address().port();
    for origin in [format!("http://localhost:{port}"), format!("http://127.0.0.1:{port}")] {
        assert_eq!(ask().header("origin", origin.clone()).send().await.status, 200, "{origin}");
    }
    assert_eq!(ask().header("host", format!("localhost:{port}")).send().await.status, 200);
    let twice = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let answer = http::bytes(gw.address(), twice.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "two hosts: {answer}");
    gw.stop().await;
}

#[tokio::test]
async fn http_that_is_not_for_mcp_is_refused() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let client = gw.legacy().await;
    let kind = client.post(ping).header("content-type", "text/plain").send().await;
    assert_eq!(kind.status, 415, "{}", kind.text());
    let accept = client.post(ping).header("accept", "text/html").send().await;
    assert_eq!(accept.status, 406, "{}", accept.text());
    for method in ["PUT", "PATCH"] {
        assert_eq!(gw.door("/mcp").ask(method).send().await.status, 405, "{method}");
    }
    for nonsense in
        ["\r\n\r\n", "GET\r\n\r\n", "POST /mcp HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}"]
    {
        let answer = http::bytes(gw.address(), nonsense.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{nonsense:?}: {answer}");
    }
    assert_eq!(client.request("ping", json!({})).await["result"], json!({}));
    gw.stop().await;
}

#[tokio::test]
async fn slow_and_idle_connections_hold_up_nobody() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(gw.address()).await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"POST /mcp HTTP/1.1\r\nHost: 127")
            .await
            .expect("half a head");
        idle.push(stream);
    }
    let client = gw.alone("fx").await;
    assert_eq!(client.call("text", json!({"text": "alive"})).await["content"][0]["text"], "alive");
    // None of them keeps the gateway from stopping either.
    gw.stop().await;
    drop(idle);
}

#[tokio::test]
async fn a_port_in_use_is_said_so() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let ended = gateway().catalog(good("fx")).port(port).run_to_end().await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains(&port.to_string()) && ended.stderr.contains("in use"), "{}", ended.stderr);
}

#[tokio::test]
async fn wrong_files_are_shown_with_their_line() {
    let broken = "registry:\n  time:\n    type: process\n    process: {command: [x\n";
    let unknown = "listen: { http: 127.0.0.1:0 }\nservrs:\n  x: { image: y }\n";
    for (what, builder, says) in [
        ("broken YAML", gateway().catalog(broken), vec!["catalog-1.yaml", "^"]),
        (
            "an unknown key in our own file",
            gateway().config(unknown),
            vec!["wasmgate.yaml", "2", "servrs", "servers", "^"],
        ),
        ("a wrong type", gateway().config("plugins: 7\n"), vec!["wasmgate.yaml", "plugins", "^"]),
        ("no such catalog", gateway().catalog_at("/no/such/catalog.yaml"), vec!["/no/such/catalog.yaml"]),
    ] {
        let ended = builder.run_to_end().await;
        assert_eq!(ended.status.code(), Some(2), "{what}: {}", ended.stderr);
        for word in says {
            assert!(ended.stderr.contains(word), "{what} does not say {word:?}:\n{}", ended.stderr);
        }
        assert!(ended.stdout.is_empty(), "{what}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn an_unknown_server_is_named_with_what_was_meant() {
    let ended = gateway().catalog(good("weather")).servers(["wether"]).run_to_end().await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("wether") && ended.stderr.contains("`weather`"), "{}", ended.stderr);
}

#[tokio::test]
async fn wrong_flags_are_usage_errors() {
    for arguments in [
        vec!["run", "--no-such-flag"],
        vec!["run", "--transport", "pigeon"],
        vec!["run", "--port", "99999"],
        vec!["nonsense"],
    ] {
        let ended = wasmgate_tests::gateway::wasmgate(&arguments, &[]).await;
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn plugins_that_cannot_be_loaded_stop_the_start() {
    let builder = gateway();
    let text = builder.file("text.wasm", "this is not WebAssembly");
    let module = builder.home().join("module.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").expect("a file");
    // A component with nothing in it: it exports no world of ours.
    let empty = builder.home().join("empty.wasm");
    std::fs::write(&empty, b"\0asm\x0d\0\x01\0").expect("a file");
    for (what, path) in [
        ("no such file", "/no/such/plugin.wasm"),
        ("not WebAssembly", text.as_str()),
        ("a core module", module.to_str().expect("UTF-8")),
        ("a component of another world", empty.to_str().expect("UTF-8")),
    ] {
        let config = format!("plugins:\n  mine:\n    use: {path}\n");
        let ended = gateway().catalog(good("fx")).config(&config).run_to_end().await;
        assert_eq!(ended.status.code(), Some(2), "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains("mine") || ended.stderr.contains(path), "{what}: {}", ended.stderr);
    }
    std::fs::remove_dir_all(builder.home()).expect("the directory");
}

#[tokio::test]
async fn missing_values_are_named_and_only_that_server_waits() {
    let config = json!({"type": "process", "process": {"command": ["x", "{{keyed.city}}"]},
        "config": [{"name": "keyed", "description": "d", "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}]});
    let secret = json!({"type": "remote", "remote": {"url": "https://example.com/mcp", "transport_type": "streamable-http", "headers": {"Authorization": "Bearer ${KEY}"}},
        "secrets": [{"name": "locked.key", "env": "KEY"}]});
    let catalog =
        Catalog::new().entry("keyed", config).entry("locked", secret).fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["keyed", "locked", "fx"]).start().await;
    gw.ready(["fx"]).await;
    let keyed = gw.state("keyed").await;
    assert_eq!(keyed["state"], "needs-config", "{keyed}");
    assert!(keyed["reason"].as_str().is_some_and(|reason| reason.contains("city")), "{keyed}");
    let locked = gw.state("locked").await;
    assert_eq!(locked["state"], "needs-secret", "{locked}");
    assert!(locked["reason"].as_str().is_some_and(|reason| reason.contains("locked.key")), "{locked}");
    // Named as it will be when the others have what they lack.
    let client = gw.legacy().await;
    assert_eq!(client.call("fx__text", json!({"text": "fine"})).await["content"][0]["text"], "fine");
    gw.stop().await;
}

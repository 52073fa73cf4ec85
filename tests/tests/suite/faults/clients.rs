//! Faults of clients (F31 to F33): slow, huge, and not text. `hangups` has those that go away, `floods` those that are too
//! many or somebody else, `smuggling` those that say two things at once.
//!
//! Nothing is measured: where somebody must not wait for a slow client, the slow client is given longer than the test has.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wasmgate_tests::catalog::good;
use wasmgate_tests::gateway::Running;
use wasmgate_tests::mcp::{only, parsed};
use wasmgate_tests::socket::{connect, exchange, head, open, rest, room_for, status, waiting};
use wasmgate_tests::{Legacy, gateway, process, require, soon};

/// A gateway with these limits, and its server ready.
async fn with_limits(limits: &str) -> Running {
    let gw = gateway().catalog(good("fx")).config(&format!("limits: {limits}\n")).start().await;
    gw.ready(["fx"]).await;
    gw
}

async fn answers(client: &Legacy) {
    assert_eq!(client.call("text", json!({"text": "alive"})).await["content"][0]["text"], "alive");
}

/// Waits for something that comes by itself.
async fn until(what: &str, is: impl Fn() -> bool) {
    soon(what, async {
        while !is() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_five_thousand_connections_begin_a_request_and_never_end_it() {
    // The clients are in this process, beside those of the tests that run at the same time.
    require!(room_for(8192));
    // Whoever waited for one of them would wait for longer than the test does.
    let gw = with_limits("{http: {headerTime: 1h}}").await;
    let client = gw.alone("fx").await;
    let before = process::resident(gw.pid);
    let mut slow = Vec::new();
    for number in 0..5000_u16 {
        // From one address, and from several.
        let last = if number < 2500 { 1 } else { u8::try_from(2 + number % 7).expect("a small number") };
        let mut stream = connect([127, 0, 0, last], gw.address()).await;
        stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: 127").await.expect("half a head");
        slow.push(stream);
        if number % 100 == 99 {
            answers(&client).await;
        }
    }
    for _ in 0..50 {
        answers(&client).await;
    }
    let opened = Legacy::connect(gw.door("/servers/fx/mcp"), "2025-11-25").await;
    answers(&opened).await;
    let grown = process::resident(gw.pid).saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes for 4,096 slow connections");
    // None of them keeps the gateway from stopping either.
    gw.stop().await;
    drop(slow);
}

#[tokio::test]
async fn f31_a_head_and_a_body_come_too_slowly() {
    let gw = with_limits("{http: {headerTime: 1s, bodyTime: 1s}}").await;
    let client = gw.alone("fx").await;
    for beginning in ["", "POST", "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bea"] {
        assert_eq!(exchange(gw.address(), beginning.as_bytes()).await, "", "{beginning:?}");
    }
    for length in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let answer = exchange(gw.address(), head(gw.address(), &[length]).as_bytes()).await;
        assert_eq!(status(&answer), 408, "{length}: {answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    // What is whole is not slow, however long the connection is open.
    answers(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f31_a_body_comes_byte_by_byte() {
    // Time enough for all of it, were it not for its rate.
    let gw = with_limits("{http: {bodyTime: 1h}}").await;
    let mut stream = connect([127, 0, 0, 1], gw.address()).await;
    let head = head(gw.address(), &["Content-Length: 100000"]);
    stream.write_all(head.as_bytes()).await.expect("the head");
    let (mut input, mut output) = stream.split();
    let drip = async {
        while output.write_all(b" ").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = vec![0; 12];
    let read = soon("an answer to a body that drips", async {
        tokio::select! {
            read = input.read_exact(&mut answer) => read,
            () = drip => unreachable!("it goes on for ever"),
        }
    });
    read.await.expect("an answer");
    assert_eq!(status(&String::from_utf8_lossy(&answer)), 408);
    answers(&gw.alone("fx").await).await;
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_a_client_never_reads_its_answer() {
    let gw = gateway()
        .catalog(good("fx"))
        .arg("--block-secrets=false")
        .config("limits: {http: {writeStall: 1s}}\n")
        .start()
        .await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "big", "arguments": {"bytes": 15 << 20}}});
    let call = call.to_string();
    let request = head(gw.address(), &[&format!("Content-Length: {}", call.len())]);
    let mut deaf: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        let mut stream = connect([127, 0, 0, 1], gw.address()).await;
        stream.write_all(format!("{request}{call}").as_bytes()).await.expect("a call");
        deaf.push(stream);
    }
    // The answers are on their way, because something of each has come.
    for stream in &deaf {
        soon("an answer", stream.readable()).await.expect("an answer");
    }
    until("the clients being cut off", || open(gw.address()) == 0).await;
    for stream in &mut deaf {
        let got = rest(stream).await.len();
        assert!(got < 15 << 20, "{got} bytes are the whole answer");
    }
    answers(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f31_one_address_has_more_connections_than_its_share() {
    let gw = with_limits("{connections: {total: 8, perAddress: 3}}").await;
    let listen = format!(
        "GET /sse HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n",
        gw.address(),
        gateway::TOKEN
    );
    let listen_from = async |last: u8| {
        let mut stream = connect([127, 0, 0, last], gw.address()).await;
        // Refused ones are closed, perhaps before anything is written.
        let _ = stream.write_all(listen.as_bytes()).await;
        let mut answer = [0; 12];
        let is_open = soon("an answer or the end", stream.read_exact(&mut answer)).await.is_ok();
        (is_open, stream)
    };
    let mut held = Vec::new();
    for number in 1..=3 {
        let (is_open, stream) = listen_from(2).await;
        assert!(is_open, "connection {number} of 3");
        held.push(stream);
    }
    assert!(!listen_from(2).await.0, "a fourth one from the same address");
    let (is_open, _other) = listen_from(3).await;
    assert!(is_open, "one from another address");
    held.pop();
    soon("a place of the address being free again", async { while !listen_from(2).await.0 {} }).await;
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("limits.connections.perAddress"), "it is said why: {}", ended.stderr);
}

#[tokio::test]
async fn f31_more_connections_listen_than_there_may_be() {
    let gw = with_limits("{connections: {total: 3, perAddress: 3}}").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let head = gw.door("/sse").ask("GET").open().await;
        assert_eq!(head.status, 200);
        held.push(head);
    }
    // One may be taken and wait inside; the other waits where it is.
    let late = [(); 2].map(|()| tokio::spawn(gw.door("/ready").ask("GET").send()));
    until("one more waiting", || waiting(gw.address()) >= 1).await;
    // Their seats come free one after the other: the first to get one keeps it while it has not been read yet.
    held.truncate(1);
    for late in late {
        assert_eq!(soon("its turn", late).await.expect("no panic").status, 200);
    }
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f32_a_body_of_a_hundred_megabytes() {
    let gw = with_limits("{}").await;
    let client = gw.alone("fx").await;
    answers(&client).await;
    let before = process::resident(gw.pid);
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let send = async |lines: &[&str], piece: &[u8]| {
        let mut stream = connect([127, 0, 0, 1], gw.address()).await;
        stream.write_all(head(gw.address(), lines).as_bytes()).await.expect("the head");
        let (mut input, mut output) = stream.split();
        let write = async {
            // It may be closed half-way.
            for _ in 0..100 {
                if output.write_all(piece).await.is_err() {
                    return;
                }
            }
        };
        let mut answer = Vec::new();
        let read = async {
            let mut piece = vec![0; 4096];
            while let Ok(count @ 1..) = input.read(&mut piece).await {
                answer.extend_from_slice(&piece[..count]);
            }
        };
        soon("an answer to a large body", async { tokio::join!(write, read) }).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    for _ in 0..5 {
        for (lines, piece) in [
            (["Content-Length: 104857600"], &chunk[8..chunk.len() - 2]),
            (["Transfer-Encoding: chunked"], &chunk[..]),
        ] {
            let answer = send(&lines, piece).await;
            // A reset that overtakes the answer takes it away; that the connection ended is sure.
            assert!([413, 0].contains(&status(&answer)), "{lines:?}: {answer}");
        }
    }
    let grown = process::resident(gw.pid).saturating_sub(before);
    assert!(grown < 32 << 20, "ten bodies of 100 MB grew the gateway by {grown} bytes");
    answers(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f32_a_body_of_one_byte_too_many() {
    let gw = with_limits("{http: {body: 64KiB}}").await;
    let client = gw.legacy().await;
    let ping = |size: usize| {
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        ping.to_owned() + &" ".repeat(size - ping.len())
    };
    let fits = client.post(ping(64 << 10)).send().await;
    assert_eq!((fits.status.as_u16(), &only(&fits)["result"]), (200, &json!({})));
    let too_long = client.post(ping((64 << 10) + 1)).send().await;
    assert_eq!(too_long.status, 413, "{}", too_long.text());
    assert!(too_long.text().contains("65536"), "it says how many: {}", too_long.text());
    assert_eq!(too_long.header("connection"), Some("close"));
    gw.stop().await;
}

#[tokio::test]
async fn f32_a_body_that_is_not_as_long_as_it_says_or_packed() {
    let gw = with_limits("{}").await;
    let client = gw.alone("fx").await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let address = gw.address();
    // Too short, and then nothing more.
    let mut stream = connect([127, 0, 0, 1], address).await;
    let short = head(address, &["Content-Length: 1000"]) + ping;
    stream.write_all(short.as_bytes()).await.expect("a request");
    stream.shutdown().await.expect("half the connection");
    let answer = rest(&mut stream).await;
    assert!([400, 0].contains(&status(&answer)), "{answer}");
    // Too long: the rest is no request.
    let long = head(address, &[&format!("Content-Length: {}", ping.len() - 5)]) + ping;
    let answer = exchange(address, long.as_bytes()).await;
    assert_eq!(status(&answer), 400, "{answer}");
    assert!(!answer.contains("\"result\""), "{answer}");
    for bad in ["-1", "+40", "0x28", "40, 41", "99999999999999999999"] {
        let request = head(address, &[&format!("Content-Length: {bad}")]) + ping;
        let answer = exchange(address, request.as_bytes()).await;
        assert!([400, 413].contains(&status(&answer)), "{bad}: {answer}");
    }
    // A bomb is not unpacked, whatever is in it.
    for packing in ["gzip", "br", "deflate", "zstd", "identity, gzip", "x"] {
        let request = client.post(vec![0x1f; 1000]).header("content-encoding", packing);
        let answer = request.send().await;
        assert_eq!(answer.status, 415, "{packing}: {}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    answers(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f32_a_head_of_one_byte_too_many() {
    let gw = with_limits("{http: {headers: 8KiB}}").await;
    let with = |size: usize| {
        let bare = head(gw.address(), &["Connection: close", "Content-Length: 2", "X: "]);
        let filler = "x".repeat(size - bare.len());
        head(gw.address(), &["Connection: close", "Content-Length: 2", &format!("X: {filler}")]) + "{}"
    };
    assert_eq!(with(8192).len(), 8192 + 2);
    let answer = exchange(gw.address(), with(8192).as_bytes()).await;
    assert_eq!(status(&answer), 400, "it is read, and there is no message in it: {answer}");
    assert!(answer.contains("-32600"), "{answer}");
    let answer = exchange(gw.address(), with(8193).as_bytes()).await;
    assert_eq!(status(&answer), 431, "{answer}");
    answers(&gw.alone("fx").await).await;
    gw.stop().await;
}

/// Bodies that are no UTF-8.
fn not_text() -> Vec<(&'static str, Vec<u8>)> {
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"?"}}"#;
    let with = |bytes: &[u8]| {
        let (before, after) = message.split_once('?').expect("a place");
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    let utf16 = |order: fn(u16) -> [u8; 2]| message.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    vec![
        ("a lone byte", with(b"\xff")),
        ("half a character", with(b"\xc3")),
        ("an overlong slash", with(b"\xc0\xaf")),
        ("an overlong NUL", with(b"\xe0\x80\x80")),
        ("a surrogate", with(b"\xed\xa0\x80")),
        ("beyond Unicode", with(b"\xf4\x90\x80\x80")),
        ("Latin-1", with(b"\xe4")),
        ("UTF-16", utf16(u16::to_le_bytes)),
        ("UTF-16, the other way round", utf16(u16::to_be_bytes)),
        ("UTF-16 with its mark", [b"\xff\xfe".to_vec(), utf16(u16::to_le_bytes)].concat()),
        ("a mark of UTF-8", [b"\xef\xbb\xbf".as_slice(), message.as_bytes()].concat()),
        ("a NUL", with(b"\x00")),
        ("a bell", with(b"\x07")),
    ]
}

#[tokio::test]
async fn f33_a_message_is_not_utf_8() {
    let gw = with_limits("{}").await;
    let client = gw.alone("fx").await;
    for (what, body) in not_text() {
        let answer = client.post(body).send().await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert_eq!(only(&answer)["error"]["code"], -32700, "{what}: {}", answer.text());
    }
    // As modern requests they have headers that say what they are.
    for (what, body) in not_text() {
        let answer = gw.modern().ask("tools/list", json!({})).body(body).send().await;
        assert_eq!(
            (answer.status.as_u16(), &only(&answer)["error"]["code"]),
            (400, &json!(-32700)),
            "{what}"
        );
    }
    answers(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f33_a_line_is_not_utf_8() {
    let mut gw = gateway().catalog(good("fx")).transport("stdio").start().await;
    let lines = not_text().into_iter().filter(|(_, line)| !line.contains(&b'\n'));
    let mut count = 0;
    for (_, line) in lines {
        gw.say_bytes(&line).await;
        count += 1;
    }
    gw.say(r#"{"jsonrpc":"2.0","id":"last","method":"ping"}"#).await;
    gw.stdout.line("the answer to a good line", |line| line.contains("\"last\"")).await;
    let text = gw.stdout.text();
    let codes: Vec<i64> = text.lines().filter_map(|line| parsed(line)["error"]["code"].as_i64()).collect();
    assert_eq!(codes, vec![-32700; count], "{text}");
    gw.hang_up();
    gw.ended().await;
}

#[tokio::test]
async fn f32_a_line_of_one_byte_too_many() {
    let mut gw =
        gateway().catalog(good("fx")).config("limits: {message: 4KiB}\n").transport("stdio").start().await;
    let ping = |id: u8, size: usize| {
        format!("{:size$}", format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#))
    };
    gw.say(&ping(1, 4096)).await;
    gw.say(&ping(2, 4097)).await;
    gw.say(&ping(3, 40)).await;
    gw.stdout.line("the last answer", |line| parsed(line)["id"] == 3).await;
    let text = gw.stdout.text();
    let answer = |id: u8| text.lines().map(parsed).find(|line| line["id"] == id).expect("an answer");
    assert_eq!(answer(1)["result"], json!({}));
    assert_eq!(answer(2)["error"]["code"], -32600, "{text}");
    assert!(answer(2)["error"]["message"].as_str().is_some_and(|text| text.contains("4096")), "{text}");
    gw.hang_up();
    gw.ended().await;
}

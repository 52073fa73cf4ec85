//! The proxy against sockets of this machine: what passes, what is refused, and that the other side never hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use expect_test::expect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use wasmgate_core::catalog::{Author, HostRule};

use super::hello::tests::hello;
use super::*;
use crate::egress::dial::LOOPBACK;

/// A proxy, and somebody to talk to behind it, who says back what he hears and counts it.
struct Bench {
    proxy: Proxy,
    tasks: Tasks,
    port: u16,
    heard: Arc<AtomicUsize>,
    greeted: Arc<AtomicUsize>,
}

/// `rules` with `PORT` for the port of the one behind the proxy.
async fn bench(rules: &[&str], author: Author) -> Bench {
    let (heard, greeted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tasks = Tasks::new();
    tasks.spawn("peer", {
        let (heard, greeted, tasks) = (Arc::clone(&heard), Arc::clone(&greeted), tasks.clone());
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                greeted.fetch_add(1, Ordering::SeqCst);
                let heard = Arc::clone(&heard);
                tasks.spawn("echo", async move {
                    let mut bytes = vec![0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        heard.fetch_add(read, Ordering::SeqCst);
                        let http = bytes.starts_with(b"GET ") || bytes.starts_with(b"POST ");
                        if http {
                            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {read}\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n");
                            stream.write_all(head.as_bytes()).await.unwrap();
                        }
                        stream.write_all(&bytes[..read]).await.unwrap();
                    }
                });
            }
        }
    });
    let rules = rules.iter().map(|rule| HostRule::read(&rule.replace("PORT", &port.to_string())).unwrap());
    let allowed = AllowedHosts { rules: rules.collect(), author };
    let server = ServerName::new("s").unwrap();
    let way = Way { server, allowed, listen: Ipv4Addr::LOCALHOST, bits: 8 };
    let proxy = Proxy::start(way, Egress::new(), &tasks).await.unwrap();
    Bench { proxy, tasks, port, heard, greeted }
}

impl Bench {
    /// A connection from another address of the "network".
    async fn member(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(self.proxy.address()).await.unwrap()
    }

    /// Says this and reads what comes, to the end or until nothing more does. `PORT` is the port of the one behind.
    async fn says(&self, text: &str) -> String {
        let mut stream = self.member().await;
        stream.write_all(text.replace("PORT", &self.port.to_string()).as_bytes()).await.unwrap();
        read_head(&mut stream).await.replace(&self.port.to_string(), "PORT")
    }

    /// A tunnel to `to`, and the answer.
    async fn tunnel(&self, to: &str) -> (TcpStream, String) {
        let mut stream = self.member().await;
        let to = to.replace("PORT", &self.port.to_string());
        stream.write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await;
        (stream, head)
    }

    /// What comes back through a tunnel that these bytes are put into; nothing when it is closed.
    async fn sends(&self, to: &str, bytes: &[u8]) -> usize {
        let (mut stream, head) = self.tunnel(to).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        // The other side may have hung up already.
        let _ = stream.write_all(bytes).await;
        let mut back = vec![0; bytes.len()];
        match timeout(FOREVER, stream.read_exact(&mut back)).await.expect("an end") {
            Ok(_) => {
                assert_eq!(back, bytes);
                back.len()
            }
            Err(_) => 0,
        }
    }
}

/// A response with its body as far as its length is known.
async fn read_head(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        match timeout(FOREVER, stream.read(&mut byte)).await.expect("an answer") {
            Ok(1) => text.push(byte[0]),
            _ => break,
        }
    }
    let head = String::from_utf8(text).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let dated = |line: &&str| !line.starts_with("date: ");
    head.lines()
        .filter(dated)
        .chain([String::from_utf8(body).unwrap().as_str()])
        .collect::<Vec<_>>()
        .join("\n")
}

const FOREVER: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_tunnel_carries_tls_to_the_host_that_was_named() {
    let bench = bench(&["localhost:PORT/https", "127.0.0.1:PORT"], Author::Operator).await;
    let hello_of = hello("localhost");
    assert_eq!(bench.sends("localhost:PORT", &hello_of).await, hello_of.len());
    assert_eq!(bench.sends("LocalHost:PORT", &hello_of).await, hello_of.len(), "names have no case");
    let nameless = hello("127.0.0.1");
    assert_eq!(bench.sends("127.0.0.1:PORT", &nameless).await, nameless.len());

    let heard = bench.heard.load(Ordering::SeqCst);
    for (to, bytes) in [
        ("localhost:PORT", hello("evil.example")),
        ("localhost:PORT", nameless),
        ("localhost:PORT", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("localhost:PORT", b"\x16\x02\x00\x00\x00\x00".to_vec()),
        ("127.0.0.1:PORT", hello("evil.example")),
    ] {
        assert_eq!(bench.sends(to, &bytes).await, 0, "{to} {bytes:?}");
    }
    assert_eq!(bench.heard.load(Ordering::SeqCst), heard, "not a byte of it arrived");
}

#[tokio::test]
async fn other_protocols_need_a_rule_that_says_so() {
    let bench = bench(&["localhost:PORT/tcp"], Author::Operator).await;
    assert_eq!(bench.sends("localhost:PORT", b"any bytes at all").await, 16);
}

#[tokio::test]
async fn a_hello_may_come_in_pieces_and_the_end_may_come_first() {
    let bench = bench(&["localhost:PORT"], Author::Operator).await;
    let bytes = hello("localhost");
    let (mut stream, head) = bench.tunnel("localhost:PORT").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for piece in bytes.chunks(7) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut back = vec![0; bytes.len()];
    timeout(FOREVER, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, bytes);

    let (mut cut, _) = bench.tunnel("localhost:PORT").await;
    cut.write_all(&bytes[..20]).await.unwrap();
    cut.shutdown().await.unwrap();
    assert_eq!(timeout(FOREVER, cut.read(&mut back)).await.unwrap().unwrap_or(0), 0);
}

#[tokio::test]
async fn what_no_rule_names_is_refused_before_anything_is_dialled() {
    let bench = bench(&["localhost:PORT/https", "plain.example:80/http"], Author::Operator).await;
    let answers = [
        bench.says("CONNECT 127.0.0.1:PORT HTTP/1.1\r\n\r\n").await,
        bench.says("CONNECT localhost:443 HTTP/1.1\r\n\r\n").await,
        bench.says("CONNECT localhost.:PORT HTTP/1.1\r\n\r\n").await,
        bench.says("CONNECT evil.example:443 HTTP/1.1\r\n\r\n").await,
        bench.says("CONNECT plain.example:80 HTTP/1.1\r\n\r\n").await,
        bench.says("CONNECT u:p@localhost:PORT HTTP/1.1\r\n\r\n").await,
        bench.says("GET http://localhost:PORT/ HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n").await,
        bench.says("GET http://evil.example/ HTTP/1.1\r\nHost: plain.example\r\n\r\n").await,
        bench.says("GET http://plain.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n").await,
        bench.says("GET https://localhost:PORT/ HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n").await,
        bench.says("GET / HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n").await,
    ];
    let said: Vec<&str> = answers.iter().filter_map(|answer| answer.lines().last()).collect();
    expect![[r#"
        wasmgate: `127.0.0.1:PORT` is not among the allowed hosts
        wasmgate: `localhost:443` is not among the allowed hosts
        wasmgate: `localhost.:PORT` is not among the allowed hosts
        wasmgate: `evil.example:443` is not among the allowed hosts
        wasmgate: `plain.example:80` is allowed for plain http only
        wasmgate: CONNECT takes host:port and nothing else
        wasmgate: `localhost:PORT` is allowed for TLS only
        wasmgate: the `Host` of a request was not the host of its address
        wasmgate: the `Host` of a request was not the host of its address
        wasmgate: a proxy takes CONNECT and requests for http:// addresses
        wasmgate: a proxy takes CONNECT and requests for http:// addresses"#]]
    .assert_eq(&said.join("\n"));
    assert_eq!(bench.greeted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_strangers_rule_does_not_lead_to_this_machine() {
    let bench = bench(&["localhost:PORT", "169.254.169.254:80"], Author::Catalog).await;
    let answer = bench.says("CONNECT localhost:PORT HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("a loopback address"), "{answer}");
    let answer = bench.says("GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("metadata"), "{answer}");
    assert_eq!(bench.greeted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_operators_name_does_not_become_this_machine_by_its_address() {
    let rule = format!("{LOOPBACK}:PORT");
    let rules = [rule.as_str(), "127.0.0.1:PORT"];
    let bench = bench(&rules, Author::Operator).await;
    for asked in [
        format!("CONNECT {rule} HTTP/1.1\r\nHost: {rule}\r\n\r\n"),
        format!("GET http://{rule}/ HTTP/1.1\r\nHost: {rule}\r\n\r\n"),
    ] {
        let answer = bench.says(&asked).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("a loopback address"), "{answer}");
    }
    assert_eq!(bench.greeted.load(Ordering::SeqCst), 0);
    let answer = bench.says("GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "another rule of the same list is what it says: {answer}");
}

#[tokio::test]
async fn plain_requests_go_on_without_what_was_for_the_proxy() {
    let bench = bench(&["localhost:PORT"], Author::Operator).await;
    let answer = bench
        .says(
            "POST http://localhost:PORT/a?b=c HTTP/1.1\r\nHost: localhost:PORT\r\nProxy-Authorization: Basic eA==\r\nConnection: x-mine\r\n\
             X-Mine: 1\r\nTE: trailers\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
    let (head, sent) = answer.split_once("\n\n").unwrap();
    assert_eq!(head, format!("HTTP/1.1 200 OK\ncontent-length: {}", bench.heard.load(Ordering::SeqCst)));
    let mut sent: Vec<&str> = sent.lines().filter(|line| !line.is_empty()).collect();
    sent.sort_unstable();
    assert_eq!(sent, ["POST /a?b=c HTTP/1.1", "content-length: 0", "host: localhost:PORT", "x-kept: 1"]);
}

#[tokio::test]
async fn only_the_container_is_served_and_only_while_it_lives() {
    let bench = bench(&["localhost:PORT/tcp"], Author::Operator).await;
    let mut host = TcpStream::connect(bench.proxy.address()).await.unwrap();
    let _ = host.write_all(b"CONNECT localhost:1 HTTP/1.1\r\n\r\n").await;
    let mut byte = [0; 1];
    assert_eq!(timeout(FOREVER, host.read(&mut byte)).await.unwrap().unwrap_or(0), 0, "not even an answer");

    let (mut open, head) = bench.tunnel("localhost:PORT").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (address, tasks) = (bench.proxy.address(), bench.tasks.clone());
    drop(bench.proxy);
    assert_eq!(timeout(FOREVER, open.read(&mut byte)).await.unwrap().unwrap_or(0), 0, "the tunnel is closed");
    timeout(FOREVER, async {
        // The peer itself and its connection.
        while tasks.running() > 2 || TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[test]
fn members_are_those_of_the_network() {
    let way = Way {
        server: ServerName::new("s").unwrap(),
        allowed: AllowedHosts::default(),
        listen: Ipv4Addr::new(10, 1, 2, 9),
        bits: 29,
    };
    for (peer, expected) in [
        ("10.1.2.10:1", true),
        ("10.1.2.14:1", true),
        ("10.1.2.9:1", false),
        ("10.1.2.16:1", false),
        ("10.1.2.7:1", false),
        ("127.0.0.1:1", false),
        ("[::ffff:10.1.2.10]:1", false),
    ] {
        assert_eq!(way.is_member(peer.parse().unwrap()), expected, "{peer}");
    }
}

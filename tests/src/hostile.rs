//! A remote that misbehaves on the wire, written over raw TCP so that it can do what no HTTP library would.
//!
//! `hostile(|heard, before| ..)` is told every request and how many of the same kind came before. `None` leaves the answer
//! to [`well`], a legacy server with sessions, one tool and one resource; anything else are [`Step`]s.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::tls::Identity;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// `POST`, `GET` or `DELETE`.
    pub method: String,
    /// The header lines, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The message, or null.
    pub body: Value,
}

/// What is done on the connection.
#[derive(Debug, Clone)]
pub enum Step {
    /// These bytes.
    Say(Vec<u8>),
    /// These bytes again and again, until nobody takes them.
    Flood(Vec<u8>),
    /// Nothing for so long.
    Wait(Duration),
    /// Nothing any more, and the connection stays.
    Hang,
    /// The connection ends.
    Close,
    /// The connection is reset.
    Reset,
}

/// A remote that lives as long as the test.
pub struct Hostile {
    pub address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Heard>>>,
    connections: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
    cut_off: Arc<AtomicUsize>,
}

type Rule = dyn Fn(&Heard, usize) -> Option<Vec<Step>> + Send + Sync;

/// Starts one.
pub async fn hostile(rule: impl Fn(&Heard, usize) -> Option<Vec<Step>> + Send + Sync + 'static) -> Hostile {
    start(None, Arc::new(rule)).await
}

/// Starts a well-behaved one over TLS.
pub async fn secure(identity: &Identity) -> Hostile {
    start(Some(identity.acceptor()), Arc::new(|_: &Heard, _| None)).await
}

async fn start(tls: Option<tokio_rustls::TlsAcceptor>, rule: Arc<Rule>) -> Hostile {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let scheme = if tls.is_some() { "https" } else { "http" };
    let hostile = Hostile {
        address,
        scheme,
        seen: Arc::default(),
        connections: Arc::default(),
        written: Arc::default(),
        cut_off: Arc::default(),
    };
    let connections = Arc::clone(&hostile.connections);
    let told = Told {
        seen: Arc::clone(&hostile.seen),
        written: Arc::clone(&hostile.written),
        cut_off: Arc::clone(&hostile.cut_off),
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (told, rule, tls) = (told.clone(), Arc::clone(&rule), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, &told, &*rule, reset).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, &told, &*rule, drop).await;
                        }
                    }
                }
            });
        }
    });
    hostile
}

impl Hostile {
    /// Where it serves MCP.
    pub fn url(&self) -> String {
        self.url_of(&self.address.to_string())
    }

    /// The same under another name of this machine.
    pub fn url_of(&self, authority: &str) -> String {
        format!("{}://{authority}/mcp", self.scheme)
    }

    /// What it was asked.
    pub fn seen(&self) -> Vec<Heard> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests of this kind came.
    pub fn count(&self, kind: &str) -> usize {
        self.seen().iter().filter(|heard| heard.kind() == kind).count()
    }

    /// How many bytes of its answers have been taken.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// How many of its answers were taken in part only.
    pub fn cut_off(&self) -> usize {
        self.cut_off.load(Ordering::SeqCst)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Heard {
    /// The method of the message, or else the one of HTTP.
    pub fn kind(&self) -> &str {
        self.body["method"].as_str().unwrap_or(&self.method)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A result for it.
    pub fn result(&self, result: &Value) -> Vec<Step> {
        self.message(&json!({"jsonrpc": "2.0", "id": self.body["id"], "result": result}))
    }

    /// What its tool answers when all is well.
    pub fn done(&self) -> Vec<Step> {
        self.result(&json!({"content": [{"type": "text", "text": "done"}]}))
    }

    fn message(&self, message: &Value) -> Vec<Step> {
        let session = [("content-type", "application/json"), ("mcp-session-id", "s-1")];
        let is_first = self.kind() == "initialize";
        answer(200, session.get(..1 + usize::from(is_first)).unwrap_or_default(), &message.to_string())
    }
}

/// A whole answer.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<Step> {
    vec![Step::Say([head(status, headers, Some(body.len())).as_slice(), body.as_bytes()].concat())]
}

/// An answer without a body.
pub fn status(status: u16, headers: &[(&str, &str)]) -> Vec<Step> {
    answer(status, headers, "")
}

/// The head of a stream of events, which ends with its connection.
pub fn events() -> Step {
    Step::Say(head(200, &[("content-type", "text/event-stream"), ("connection", "close")], None))
}

/// The head of an answer, with the length of its body when that is known.
pub fn head(status: u16, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Status\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(length) = length {
        head += &format!("content-length: {length}\r\n");
    }
    (head + "\r\n").into_bytes()
}

/// As a good server would.
pub fn well(heard: &Heard) -> Vec<Step> {
    match heard.kind() {
        "initialize" => heard.result(&json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}, "resources": {}},
            "serverInfo": {"name": "remote", "version": "1"},
        })),
        "tools/list" => {
            heard.result(&json!({"tools": [{"name": "work", "inputSchema": {"type": "object"}}]}))
        }
        "resources/list" => heard.result(&json!({"resources": [{"uri": "far://one", "name": "one"}]})),
        "resources/read" => heard.result(&json!({"contents": [{"uri": "far://one", "text": "one"}]})),
        "tools/call" => heard.done(),
        "ping" => heard.result(&json!({})),
        "GET" => status(405, &[]),
        "DELETE" => status(200, &[]),
        _ if heard.body["id"].is_null() => status(202, &[]),
        _ => heard.message(&json!({
            "jsonrpc": "2.0", "id": heard.body["id"], "error": {"code": -32601, "message": "no such method"},
        })),
    }
}

/// Where it is noted what has happened.
#[derive(Clone)]
struct Told {
    seen: Arc<Mutex<Vec<Heard>>>,
    written: Arc<AtomicUsize>,
    cut_off: Arc<AtomicUsize>,
}

impl Told {
    /// Writes, counting what is taken; says whether all of it was.
    async fn say<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut BufReader<S>, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(PIECE) {
            if stream.write_all(piece).await.is_err() {
                self.cut_off.fetch_add(1, Ordering::SeqCst);
                return false;
            }
            self.written.fetch_add(piece.len(), Ordering::SeqCst);
        }
        true
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, told: &Told, rule: &Rule, end: impl FnOnce(S)) {
    let mut stream = BufReader::new(stream);
    while let Some(heard) = read(&mut stream).await {
        let before = {
            let mut seen = told.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(heard.clone());
            seen.iter().filter(|other| other.kind() == heard.kind()).count() - 1
        };
        for step in rule(&heard, before).unwrap_or_else(|| well(&heard)) {
            match step {
                Step::Say(bytes) if !told.say(&mut stream, &bytes).await => return,
                Step::Say(_) => {}
                Step::Flood(bytes) => while told.say(&mut stream, &bytes).await {},
                Step::Wait(length) => tokio::time::sleep(length).await,
                Step::Hang => std::future::pending().await,
                Step::Close => return drop(stream.shutdown().await),
                Step::Reset => return end(stream.into_inner()),
            }
            let _ = stream.flush().await;
        }
    }
}

/// So much is written at once, in bytes.
const PIECE: usize = 64 << 10;

/// Ends a connection without the usual farewell.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn read<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Heard> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let method = lines.next()?.split(' ').next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Heard { method, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}

//! HTTP as a test wants it: one request a connection, any header and any body, answers as bytes or event by event.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::soon;

/// A request being put together.
#[derive(Clone)]
pub struct Ask {
    address: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One server-sent event, as far as anybody sends one.
#[derive(Debug, Clone, Default)]
pub struct Sse {
    pub id: Option<String>,
    pub retry: Option<String>,
    pub data: String,
}

/// An answer of which only the head has come.
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    seen: Vec<u8>,
}

impl Ask {
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        Self { address, method: method.into(), path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// Replaces a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a header even if it is there already.
    #[must_use]
    pub fn another_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Leaves a header out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The whole answer.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        soon(&what, async { self.open().await.rest().await }).await
    }

    /// The head of the answer; the body is read as it comes.
    pub async fn open(self) -> Head {
        let what = format!("the head of {} {}", self.method, self.path);
        let answer = soon(&what, async {
            let stream = TcpStream::connect(self.address).await.expect("the gateway accepts connections");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            let mut request = Request::builder().method(self.method.as_str()).uri(&self.path);
            if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
                request = request.header("host", self.address.to_string());
            }
            for (name, value) in &self.headers {
                request = request.header(name, value);
            }
            let request = request.body(Full::new(self.body)).expect("a request that can be written");
            sender.send_request(request).await.expect("an answer")
        })
        .await;
        let (parts, body) = answer.into_parts();
        Head { status: parts.status, headers: parts.headers, body, seen: Vec::new() }
    }
}

impl Head {
    /// The next bytes of the body; `None` at its end, an error where it breaks off.
    pub async fn piece(&mut self) -> Option<Result<Bytes, String>> {
        let frame = soon("more of an answer", self.body.frame()).await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(|error| error.to_string()))
    }

    /// Reads the rest, or says why there is no end.
    ///
    /// # Errors
    /// How it broke off.
    pub async fn to_its_end(mut self) -> Result<Vec<u8>, String> {
        let mut all = std::mem::take(&mut self.seen);
        while let Some(piece) = self.piece().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    /// Reads the rest.
    pub async fn rest(self) -> Answer {
        let body = self.body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Answer { status: self.status, headers: self.headers, body: [&self.seen[..], &body].concat().into() }
    }

    /// The data of the next server-sent event that has any; `None` at the end.
    pub async fn event(&mut self) -> Option<String> {
        loop {
            let event = self.sse().await?;
            if !event.data.is_empty() {
                return Some(event.data);
            }
        }
    }

    /// The next server-sent event with a data field, be it empty; `None` at the end.
    pub async fn sse(&mut self) -> Option<Sse> {
        soon("the next event", async {
            loop {
                while let Some((event, rest)) = cut(&self.seen) {
                    self.seen = rest;
                    if let Some(data) = data_of(&event) {
                        return Some(Sse {
                            id: field_of(&event, "id: "),
                            retry: field_of(&event, "retry: "),
                            data,
                        });
                    }
                }
                let frame = self.body.frame().await?.ok()?;
                if let Ok(data) = frame.into_data() {
                    self.seen.extend_from_slice(&data);
                }
            }
        })
        .await
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The JSON messages of the body, whether it is JSON or an event stream, as they were spelt.
    pub fn messages(&self) -> Vec<String> {
        if !self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return if self.body.is_empty() { Vec::new() } else { vec![self.text()] };
        }
        let mut seen = self.body.to_vec();
        seen.extend_from_slice(b"\n\n");
        let mut messages = Vec::new();
        while let Some((event, rest)) = cut(&seen) {
            messages.extend(data_of(&event).filter(|data| !data.is_empty()));
            seen = rest;
        }
        messages
    }
}

/// The first event, without its empty line, and what follows it.
fn cut(seen: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let at = seen.windows(2).position(|pair| pair == b"\n\n")?;
    Some((seen[..at].to_vec(), seen[at + 2..].to_vec()))
}

fn data_of(event: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(event);
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|d| d.strip_prefix(' ').unwrap_or(d))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn field_of(event: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(event);
    text.lines().find_map(|line| line.strip_prefix(name)).map(ToOwned::to_owned)
}

/// Writes bytes to a socket and reads until the other side closes: for what no HTTP client would send.
pub async fn bytes(address: SocketAddr, request: &[u8]) -> String {
    soon("an answer on the socket", async {
        let mut stream = TcpStream::connect(address).await.expect("the gateway accepts connections");
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

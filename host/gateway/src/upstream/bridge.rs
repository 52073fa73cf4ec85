//! HTTP+SSE of 2024-11-05 as a pair of pipes.
//!
//! The old transport is lines over two HTTP exchanges: the server's messages are events of one long GET, ours are POSTs
//! to the address its first event names. So this turns it into pipes and lets [`super::stdio`] do the rest. A new GET is a
//! new session: when the stream ends, the connection has.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::header::ACCEPT;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use url::Url;
use wasmgate_core::jsonrpc::{self, Message};
use wasmgate_core::name::ServerName;

use super::declared::Declared;
use super::framer::{Frame, Framer};
use super::http::{Way, encoded, is_encoded};
use super::link::Ending;
use super::sse::{SseFrame, SseParser};
use super::stdio::{Behind, Control, Ends, Pipe};
use super::{Denial, Fault};
use crate::egress::Body;
use crate::launch::Instance;
use crate::shutdown::Tasks;

/// Opens the stream, learns where to send to, and starts the bridge. `instance` is the container behind it, when it is
/// one of ours: then the server may take a while until it listens. The server will be told that it may ask what is
/// `declared`.
///
/// # Errors
/// [`Fault`] when there is no stream or it does not say where to send to. The caller sets the deadline.
pub(super) async fn open(
    server: ServerName,
    way: Way,
    instance: Option<Instance>,
    declared: Declared,
    tasks: &Tasks,
) -> Result<Arc<Pipe>, Fault> {
    let mut stream = loop {
        match Stream::open(&way).await {
            Err(Fault::Unavailable(_) | Fault::Declined(_) | Fault::Crashed(_)) if instance.is_some() => {
                sleep(STARTING).await
            }
            opened => break opened?,
        }
    };
    let endpoint = stream.endpoint(&way).await?;
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    let (output, input) = split(ours);
    let (end, ended) = oneshot::channel();
    let behind = instance.map_or(Behind::Other(ended), Behind::Instance);
    let ends = Ends { input: Box::new(input), output: Box::new(output), behind };
    let pipe = Pipe::open(server, ends, declared, tasks, &way.limits);
    let (from_us, to_us) = split(theirs);
    let sender = Sender { way: Way { uri: endpoint, ..way }, controls: pipe.controls() };
    let controls = pipe.controls();
    tasks.spawn("upstream-sse", async move {
        let why = tokio::select! {
            why = stream.forward(to_us, &controls) => why,
            () = sender.forward(from_us) => "it was stopped",
        };
        let _ = end.send(Ending::broken(why));
    });
    Ok(Arc::new(pipe))
}

/// Whether there is a stream that says where to send to.
pub(super) async fn is_offered(way: &Way) -> bool {
    let looking = async { Stream::open(way).await?.endpoint(way).await };
    matches!(timeout(OFFERED, looking).await, Ok(Ok(_)))
}

/// The server's messages.
struct Stream {
    body: Body,
    parser: SseParser,
    frames: Vec<SseFrame>,
}

impl Stream {
    async fn open(way: &Way) -> Result<Self, Fault> {
        let mut request = way.request(Method::GET, Vec::new());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let response = way.send(request).await?;
        match response.status().as_u16() {
            200 if is_encoded(response.headers()) => Err(encoded()),
            200 => Ok(Self {
                body: response.into_body(),
                parser: SseParser::new(way.limits.message),
                frames: Vec::new(),
            }),
            status @ (401 | 403) => Err(Fault::Unauthorized(Denial::of(status, response.headers()))),
            status => Err(Fault::Declined(format!("it answered HTTP {status} instead of an event stream"))),
        }
    }

    /// Waits for more events; false at the end of the stream.
    async fn more(&mut self) -> bool {
        let Some(Ok(frame)) = self.body.frame().await else { return false };
        if let Ok(piece) = frame.into_data() {
            self.parser.feed(&piece, &mut |frame| self.frames.push(frame));
        }
        true
    }

    /// The address the first event names: relative to the stream's own, and on the same origin.
    async fn endpoint(&mut self, way: &Way) -> Result<http::Uri, Fault> {
        while self.frames.is_empty() {
            if !self.more().await {
                return Err(Fault::Misbehaved("an event stream that ended before its endpoint".into()));
            }
        }
        let first = self.frames.remove(0);
        let SseFrame::Event { name, data } = first else { return Err(bad_endpoint()) };
        if name != "endpoint" {
            return Err(Fault::Misbehaved("an event stream that does not begin with its endpoint".into()));
        }
        resolve(&way.uri.to_string(), &data).ok_or_else(bad_endpoint)
    }

    /// Passes messages on until the stream or its reader ends; says why.
    async fn forward(
        &mut self,
        mut to: WriteHalf<DuplexStream>,
        controls: &mpsc::UnboundedSender<Control>,
    ) -> &'static str {
        loop {
            for frame in std::mem::take(&mut self.frames) {
                match frame {
                    SseFrame::Event { data, name } if name.is_empty() || name == "message" => {
                        if to.write_all(&line(&data)).await.is_err() {
                            return "it was stopped";
                        }
                    }
                    SseFrame::Event { .. } => {}
                    SseFrame::TooLong(head) => drop(controls.send(Control::TooLong(head))),
                }
            }
            if !self.more().await {
                return "its event stream ended";
            }
        }
    }
}

/// Our messages.
struct Sender {
    way: Way,
    controls: mpsc::UnboundedSender<Control>,
}

impl Sender {
    /// Sends lines until there are no more. Requests may overtake each other, notifications overtake nothing.
    async fn forward(&self, mut from: ReadHalf<DuplexStream>) {
        let mut framer = Framer::new(usize::MAX);
        let mut posts = FuturesUnordered::new();
        loop {
            let has_room = posts.len() < MAX_POSTS;
            tokio::select! {
                read = from.read_buf(framer.spare()), if has_room => if !matches!(read, Ok(1..)) { return },
                Some(()) = posts.next(), if !posts.is_empty() => continue,
            }
            while let Some(Frame::Line(line)) = framer.next() {
                match request_id(&line) {
                    Some(id) => posts.push(self.post_request(id, line)),
                    None => drop(timeout(NOTIFICATION, self.post(line)).await),
                }
            }
        }
    }

    async fn post_request(&self, id: u64, line: Bytes) {
        if let Err(fault) = self.post(line).await {
            let _ = self.controls.send(Control::Fail(id, fault));
        }
    }

    async fn post(&self, line: Bytes) -> Result<(), Fault> {
        let response = self.way.send(self.way.request(Method::POST, line.to_vec())).await?;
        match response.status().as_u16() {
            200..=299 => Ok(()),
            status @ (401 | 403) => Err(Fault::Unauthorized(Denial::of(status, response.headers()))),
            status => Err(Fault::Declined(format!("it answered HTTP {status}"))),
        }
    }
}

impl Way {
    fn request(&self, method: Method, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(&self.headers);
        request
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Fault> {
        use crate::egress::EgressError;
        self.egress.send(self.reach, request).await.map_err(|error| match error {
            EgressError::Broken(_) => Fault::Crashed(": the connection broke".into()),
            error => Fault::Unavailable(error.to_string()),
        })
    }
}

/// The id of a request of ours. Our answers carry ids of the server's.
fn request_id(line: &Bytes) -> Option<u64> {
    match jsonrpc::read(line.clone()) {
        Ok(Message::Request { id, .. }) => id.as_u64(),
        _ => None,
    }
}

/// An event's data as one line: line breaks between JSON tokens are white space, inside of strings there are none.
fn line(data: &[u8]) -> Vec<u8> {
    let mut line: Vec<u8> = data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
    line.push(b'\n');
    line
}

/// An endpoint relative to the address of its stream; None when it leads to another origin.
fn resolve(stream: &str, endpoint: &[u8]) -> Option<http::Uri> {
    let stream = Url::parse(stream).ok()?;
    let endpoint = stream.join(std::str::from_utf8(endpoint).ok()?).ok()?;
    let is_same = endpoint.origin() == stream.origin() && endpoint.username().is_empty();
    is_same.then(|| endpoint.as_str().parse().ok()).flatten()
}

fn bad_endpoint() -> Fault {
    Fault::Misbehaved("an endpoint that is not an address on the same origin".into())
}

/// How long a server may take to show that it speaks this transport.
const OFFERED: Duration = Duration::from_secs(5);
const BUFFER: usize = 256 * 1024;
const MAX_POSTS: usize = 64;
const NOTIFICATION: Duration = Duration::from_secs(10);
/// How often a container that does not listen yet is tried.
const STARTING: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_stay_on_their_origin() {
        let resolved = |endpoint: &str| {
            resolve("https://a.example/mcp/sse?x=1", endpoint.as_bytes()).map(|uri| uri.to_string())
        };
        assert_eq!(resolved("/messages?s=1").as_deref(), Some("https://a.example/messages?s=1"));
        assert_eq!(resolved("messages").as_deref(), Some("https://a.example/mcp/messages"));
        assert_eq!(resolved("https://a.example:443/m").as_deref(), Some("https://a.example/m"));
        for elsewhere in [
            "http://a.example/m",
            "https://b.example/m",
            "//b.example/m",
            "https://a.example:8443/m",
            "https://u@a.example/",
        ] {
            assert_eq!(resolved(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn only_our_requests_have_an_id_of_ours() {
        let id = |text: &'static str| request_id(&Bytes::from_static(text.as_bytes()));
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":5,"method":"tools/call"}"#), Some(5));
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":5,"result":{}}"#), None);
        assert_eq!(id(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), None);
    }
}

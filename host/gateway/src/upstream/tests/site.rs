//! An HTTP server that does as it is told, and remembers what it was asked.

#![expect(clippy::disallowed_methods, reason = "a test waits for the tasks it spawns, or ends with them")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use url::Url;
use wasmgate_core::json::Json;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Json>,
}

impl Seen {
    /// The JSON-RPC method, or the HTTP one when there is no body.
    pub(crate) fn rpc(&self) -> String {
        let method = self.body.as_ref().and_then(|body| body.member("method"));
        method.map_or_else(|| self.method.to_string(), |method| method.string().unwrap().into_owned())
    }

    pub(crate) fn id(&self) -> String {
        self.body
            .as_ref()
            .and_then(|body| body.member("id"))
            .map_or_else(String::new, |id| id.as_str().to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What to answer.
pub(crate) struct Reply {
    /// In the place of what is here, once it is decided.
    later: Option<oneshot::Receiver<Self>>,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: mpsc::UnboundedReceiver<Result<Frame<Bytes>, std::io::Error>>,
}

/// The rest of a body, sent bit by bit; dropping it ends the body.
pub(crate) type Rest = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::stream(status, "text/plain").0
    }

    pub(crate) fn json(status: u16, text: impl Into<String>) -> Self {
        let (reply, rest) = Self::stream(status, "application/json");
        push(&rest, text);
        reply
    }

    /// A result for this request.
    pub(crate) fn result(to: &Seen, result: &str) -> Self {
        Self::json(200, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, to.id()))
    }

    pub(crate) fn error(to: &Seen, status: u16, code: i64) -> Self {
        Self::json(
            status,
            format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{code},"message":"no"}}}}"#, to.id()),
        )
    }

    /// An event stream.
    pub(crate) fn events() -> (Self, Rest) {
        Self::stream(200, "text/event-stream")
    }

    /// A body of messages, one a line.
    pub(crate) fn lines() -> (Self, Rest) {
        Self::stream(200, "application/json")
    }

    /// What somebody decides later; nothing at all when nobody does.
    pub(crate) fn later(decided: oneshot::Receiver<Self>) -> Self {
        Self { later: Some(decided), ..Self::status(500) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn stream(status: u16, media: &str) -> (Self, Rest) {
        let (rest, body) = mpsc::unbounded_channel();
        (Self { later: None, status, headers: vec![("content-type", media.to_owned())], body }, rest)
    }
}

/// More of a body.
pub(crate) fn push(rest: &Rest, text: impl Into<String>) {
    let _ = rest.send(Ok(Frame::data(Bytes::from(text.into()))));
}

/// Ends a body in the middle.
pub(crate) fn cut(rest: &Rest) {
    let _ = rest.send(Err(std::io::Error::other("cut")));
}

/// A running site.
pub(crate) struct Site {
    pub(crate) url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
    news: tokio::sync::watch::Receiver<usize>,
    listening: tokio::task::AbortHandle,
}

impl Site {
    /// Starts on a free port of this machine.
    pub(crate) async fn start(answer: impl Fn(Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (tell, news) = tokio::sync::watch::channel(0);
        let (log, answer, tell) = (Arc::clone(&seen), Arc::new(answer), Arc::new(tell));
        let listening = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, answer, tell) = (Arc::clone(&log), Arc::clone(&answer), Arc::clone(&tell));
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        respond(request, Arc::clone(&log), Arc::clone(&answer), Arc::clone(&tell))
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, seen, news, listening: listening.abort_handle() }
    }

    /// From now on nobody can connect; the connections there are go on.
    pub(crate) fn take_no_more(&self) {
        self.listening.abort();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests of one JSON-RPC method, or of an HTTP one.
    pub(crate) fn of(&self, method: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.rpc() == method).collect()
    }

    /// Waits for the nth request of this method.
    pub(crate) async fn wait_for(&self, method: &str, n: usize) -> Seen {
        let mut news = self.news.clone();
        loop {
            if let Some(seen) = self.of(method).into_iter().nth(n - 1) {
                return seen;
            }
            tokio::time::timeout(std::time::Duration::from_secs(20), news.changed()).await.unwrap().unwrap();
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<impl Fn(Seen) -> Reply>,
    tell: Arc<tokio::sync::watch::Sender<usize>>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, std::io::Error>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let seen = Seen {
        method: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body: Json::parse(body).ok(),
    };
    log.lock().unwrap().push(seen.clone());
    tell.send_modify(|count| *count += 1);
    let mut reply = answer(seen);
    if let Some(later) = reply.later.take() {
        let decided = later.await.unwrap_or_else(|_| Reply::status(500));
        reply = Reply { headers: [reply.headers.split_off(1), decided.headers].concat(), ..decided };
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let body = futures_util::stream::unfold(reply.body, |mut body| async move {
        // Whatever came before is written out first.
        tokio::task::yield_now().await;
        let frame = body.recv().await?;
        Some((frame, body))
    });
    Ok(response.body(StreamBody::new(SyncStream(Mutex::new(Box::pin(body)))).boxed()).unwrap())
}

/// `BoxBody` wants `Sync`, which a stream behind a lock is.
struct SyncStream<S>(Mutex<std::pin::Pin<Box<S>>>);

impl<S: futures_util::Stream> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.lock().unwrap().as_mut().poll_next(context)
    }
}

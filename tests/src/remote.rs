//! The fixture as somebody else's server: on a port of this machine, outside every gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::gateway::Captured;
use crate::{build, soon};

/// A server that lives as long as this value.
pub struct Remote {
    pub address: SocketAddr,
    child: Child,
}

impl Remote {
    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends it, and waits until it has: a request that a dying process still takes is rightly not sent to another.
    pub async fn end(mut self) {
        soon("the end of the fixture", self.child.kill()).await.expect("it ends");
    }
}

/// Starts the fixture with these arguments and a free address after them.
pub async fn fixture(arguments: &[&str]) -> Remote {
    fixture_on(arguments, 0).await
}

/// Starts the fixture on a port that another one has left.
pub async fn fixture_on(arguments: &[&str], port: u16) -> Remote {
    let address = format!("127.0.0.1:{port}");
    program(build::fixture(), &[arguments, &[&address]].concat()).await
}

/// Starts any server that prints `listening ADDRESS`.
pub async fn program(program: PathBuf, arguments: &[&str]) -> Remote {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the fixture starts");
    let stdout = Captured::of(child.stdout.take().expect("piped"));
    let line = stdout.find(|text| {
        text.strip_prefix("listening ")?.split_once('\n').map(|(address, _)| address.to_owned())
    });
    let address = soon("the fixture saying where it listens", line).await;
    Remote { address: address.parse().expect("an address"), child }
}

/// An HTTP service that answers every request as `answer` says, by head (request line and headers) and body, with a
/// status and a body. It lives as long as the test.
pub async fn service(answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let answer = std::sync::Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = std::sync::Arc::clone(&answer);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    respond(request, std::sync::Arc::clone(&answer))
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            });
        }
    });
    address
}

async fn respond(
    request: hyper::Request<hyper::body::Incoming>,
    answer: std::sync::Arc<impl Fn(&str, &str) -> (u16, String)>,
) -> Result<hyper::Response<http_body_util::Full<bytes::Bytes>>, std::convert::Infallible> {
    use http_body_util::BodyExt as _;
    let (head, body) = request.into_parts();
    let headers =
        head.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
    let head = format!("{} {}\n{}", head.method, head.uri, headers.collect::<String>());
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (status, text) = answer(&head, &String::from_utf8_lossy(&body));
    let response = hyper::Response::builder().status(status).header("content-type", "application/json");
    let response = if status / 100 == 3 { response.header("location", "/elsewhere") } else { response };
    Ok(response.body(http_body_util::Full::new(text.into())).expect("a response that can be written"))
}

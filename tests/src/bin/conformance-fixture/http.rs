//! The server over streamable HTTP, on every path. Messages of an era it does not speak are answered here.
//!
//! One thing more than the SDK offers: in a session the stream of a call of `test_reconnection` ends after its first event,
//! which has an id and nothing else. The result is there once the client has come back for it with `Last-Event-ID`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::era::Era;
use crate::server::Server;

/// When a client should come back to a stream that ended: soon, the suite waits for it.
const RETRY: Duration = Duration::from_millis(100);

/// In the extensions of a request whose stream ends early: told when the client has come back.
#[derive(Clone)]
pub(crate) struct Return(pub(crate) Arc<Notify>);

/// The sessions that are waited for.
type Returns = Arc<Mutex<HashMap<String, Arc<Notify>>>>;
type Mcp = StreamableHttpService<Server, LocalSessionManager>;
type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Binds, prints `listening ADDRESS`, serves for ever.
pub(crate) async fn serve(port: u16, era: Era) -> std::io::Result<()> {
    let server = Server::new(era);
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = Some(RETRY);
    let config = StreamableHttpServerConfig::default()
        .with_sse_retry(Some(RETRY))
        .with_legacy_session_mode(era != Era::Modern)
        .enforce_origin_validation()
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"]);
    let mcp: Mcp = StreamableHttpService::new(move || Ok(server.session()), Arc::new(sessions), config);
    let returns = Returns::default();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let (mcp, returns) = (mcp.clone(), Arc::clone(&returns));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (mcp, returns) = (mcp.clone(), Arc::clone(&returns));
                async move { Ok::<_, Infallible>(answer(&mcp, era, &returns, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(mcp: &Mcp, era: Era, returns: &Returns, request: Request<Incoming>) -> Answer {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return refusal(StatusCode::BAD_REQUEST, Bytes::new()) };
    let body = body.to_bytes();
    if era == Era::Modern && parts.method != Method::POST {
        let mut refused = refusal(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
        refused.headers_mut().insert("allow", HeaderValue::from_static("POST"));
        return refused;
    }
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let version = parts.headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    if let Some(error) = era.refuses_post(version, &message) {
        // A legacy server does not look into what it does not understand, not even for an id.
        let id = if era == Era::Legacy { Value::Null } else { message["id"].clone() };
        let body = json!({"jsonrpc": "2.0", "id": id, "error": error});
        return refusal(StatusCode::BAD_REQUEST, Bytes::from(body.to_string()));
    }
    let session = parts.headers.get("mcp-session-id");
    let session = session.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let comes_back = parts.headers.contains_key("last-event-id");
    let breaks_off = message["params"]["name"] == "test_reconnection";
    if let (Some(session), true) = (&session, breaks_off) {
        let returned = Arc::default();
        locked(returns).insert(session.clone(), Arc::clone(&returned));
        parts.extensions.insert(Return(returned));
    }
    let response = mcp.handle(Request::from_parts(parts, Full::new(body))).await;
    match session {
        Some(_) if breaks_off => first_event_of(response).await,
        Some(session) if comes_back => {
            locked(returns).remove(&session).iter().for_each(|returned| returned.notify_one());
            response
        }
        _ => response,
    }
}

fn locked(returns: &Returns) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
    returns.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn first_event_of(response: Answer) -> Answer {
    let (parts, mut body) = response.into_parts();
    let first = body.frame().await.and_then(|frame| frame.ok()?.into_data().ok()).unwrap_or_default();
    Response::from_parts(parts, Full::new(first).boxed())
}

fn refusal(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

//! MCP towards servers: connections, their pool, what each server offers.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use wasmgate_core::catalog::Server;
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

/// A request to one server, in that server's own names.
pub struct Ask {
    /// The MCP method.
    pub method: Arc<str>,
    /// Params without the client's per-request protocol fields (`io.modelcontextprotocol/*` are stripped by the front);
    /// `_meta.progressToken` is the client's: the connection replaces it with its own and restores it in events.
    pub params: Option<Json>,
    /// What the end client said of itself (for modern servers).
    pub client: Arc<ClientFacts>,
    /// Where notifications that belong to this request go. Full means drop (progress: keep latest is fine).
    pub events: mpsc::Sender<Event>,
}

/// What the end client said of itself.
#[derive(Debug, Clone)]
pub struct ClientFacts {
    /// `clientInfo`.
    pub info: Option<Json>,
    /// `clientCapabilities`.
    pub capabilities: Json,
    /// Log level wanted for this request.
    pub log_level: Option<Box<str>>,
}

/// A notification that belongs to one request: `notifications/progress` with the client's own token, or
/// `notifications/message`.
#[derive(Debug, Clone)]
pub struct Event {
    /// The method.
    pub method: Box<str>,
    /// The params as the client will see them.
    pub params: Json,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A result, as it came.
    Result(Json),
    /// A JSON-RPC error object, as it came.
    Error(Json),
}

/// What a server offers, all pages of every list.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Negotiated protocol version.
    pub version: Box<str>,
    /// Its capabilities object.
    pub capabilities: Json,
    /// Its serverInfo, when given.
    pub info: Option<Json>,
    /// Its instructions.
    pub instructions: Option<String>,
    /// `tools/list` items in its order, as they came.
    pub tools: Vec<Json>,
    /// `prompts/list` items.
    pub prompts: Vec<Json>,
    /// `resources/list` items.
    pub resources: Vec<Json>,
    /// `resources/templates/list` items.
    pub templates: Vec<Json>,
}

/// Where a server is in its life, shown everywhere the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not started yet.
    Pending,
    /// Its image is being pulled.
    Pulling(Option<u8>),
    /// Starting or in its handshake.
    Starting,
    /// Serving.
    Ready,
    /// Could not be started or has ended; retried after a while when `retry` says so.
    Failed {
        /// A stable code (`image_missing`, `docker_unavailable`, `exited`, `initialize_timeout`, ...).
        code: &'static str,
        /// A sentence.
        reason: String,
        /// Last lines of its stderr.
        stderr: Option<String>,
    },
}

/// The servers of the generation in force and their connections.
pub struct Pool {
    _private: (),
}

impl Pool {
    /// Makes the pool hold exactly these servers; new ones are started in the background at once, one broken server
    /// never delaying another.
    pub fn apply(&self, _servers: Vec<Arc<Server>>) {
        todo!()
    }
    /// Every server with its state and, once it has been ready, what it offers; in configuration order.
    pub fn status(&self) -> Vec<Status> {
        todo!()
    }
    /// Changes whenever a state or an offer changes.
    pub fn changed(&self) -> watch::Receiver<u64> {
        todo!()
    }
    /// Asks one server. A server that is starting is waited for, within its initialize deadline; dropping the future
    /// cancels upstream.
    ///
    /// # Errors
    /// [`UpstreamError`] when no answer of the server's own can be had.
    pub async fn call(
        &self,
        _permit: &wasmgate_core::policy::Permit,
        _ask: Ask,
    ) -> Result<Answer, UpstreamError> {
        todo!()
    }
    /// Asks every server that offers logging for this level from now on (`logging/setLevel` towards legacy servers).
    pub fn want_log_level(&self, _level: &str) {
        todo!()
    }
    /// Ends every connection and stops every server this pool started.
    pub async fn close(&self) {
        todo!()
    }
}

/// One server as the pool knows it.
#[derive(Debug, Clone)]
pub struct Status {
    /// The server.
    pub server: Arc<Server>,
    /// Its state.
    pub state: State,
    /// What it offers, or offered when it was last ready.
    pub offer: Option<Arc<Offer>>,
}

/// A request that got no answer of the server's own.
#[derive(Debug, thiserror::Error)]
#[error("server `{server}` {fault}")]
pub struct UpstreamError {
    /// Whose fault.
    pub server: ServerName,
    /// What happened.
    pub fault: Fault,
}

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Never reached the server: safe to try again.
    #[error("is not available: {0}")]
    Unavailable(String),
    /// The server ended while the request was in flight.
    #[error("ended during the call{0}")]
    Crashed(String),
    /// No answer within the deadline.
    #[error("did not answer within {0} s")]
    Timeout(u64),
    /// Something that is not MCP came back.
    #[error("sent something that is not MCP: {0}")]
    Misbehaved(String),
    /// A message larger than allowed came back.
    #[error("sent a message larger than {0} bytes")]
    TooLarge(usize),
    /// The remote wants (other) credentials.
    #[error("refused our credentials (HTTP {0})")]
    Unauthorized(u16),
}

//! The life of a call: one function from a request to its outcome. Knows no HTTP, no sessions, no eras.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::Blocked;

pub use crate::upstream::{ClientFacts, Event, State};

/// Which servers a client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// All of them, names prefixed as configured (`/mcp`).
    All,
    /// One alone, names as it gives them (`/servers/<name>/mcp`).
    One(ServerName),
}

/// One request of a client, freed of everything that belongs to a transport or an era.
pub struct Request {
    /// What it may see.
    pub view: View,
    /// Unique request id for logs and errors.
    pub id: Arc<str>,
    /// Who asks.
    pub principal: Arc<str>,
    /// The session it came in, when there is one.
    pub session: Option<Arc<str>>,
    /// The MCP method.
    pub method: Arc<str>,
    /// Params without the modern protocol fields of `_meta` (`io.modelcontextprotocol/protocolVersion`,
    /// `clientCapabilities`, `clientInfo`, `logLevel`); everything else as it came.
    pub params: Option<Json>,
    /// What the client said of itself.
    pub client: Arc<ClientFacts>,
    /// Protocol version of the client.
    pub version: &'static str,
    /// Where progress and log notifications of this request go.
    pub events: mpsc::Sender<Event>,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Not a method of this gateway (or not one the visible servers offer).
    #[error("method `{0}` is not served")]
    UnknownMethod(Arc<str>),
    /// No such tool, prompt or resource, or not for this caller: deliberately one case.
    #[error("unknown {kind}: {name}")]
    Unknown {
        /// `tool`, `prompt`, `resource`.
        kind: &'static str,
        /// As the client wrote it.
        name: String,
    },
    /// Params that cannot be right.
    #[error("{0}")]
    InvalidParams(String),
    /// An interceptor stopped it.
    #[error("blocked")]
    Blocked(Blocked),
    /// The server answered with an error of its own: this error object, as it came.
    #[error("the server answered with an error")]
    Answered(Json),
    /// The server did not answer.
    #[error(transparent)]
    Upstream(#[from] crate::upstream::UpstreamError),
    /// The gateway is still loading its configuration or is stopping.
    #[error("the gateway is {0}")]
    NotServing(&'static str),
}

/// What the visible servers offer together, for `initialize` and `server/discover`.
#[derive(Debug, Clone)]
pub struct Offering {
    /// Capabilities object: the union of what visible servers really offer.
    pub capabilities: Json,
    /// Instructions under server names.
    pub instructions: Option<String>,
}

/// Revisions of the merged lists; a change means `list_changed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revisions {
    /// Of the tools.
    pub tools: u64,
    /// Of the prompts.
    pub prompts: u64,
    /// Of the resources and templates.
    pub resources: u64,
}

/// The gateway. Shared by every front.
pub struct Gateway {
    _private: (),
}

impl Gateway {
    /// Answers one request: tools/call, prompts/get, resources/read, completion/complete, the four lists. The result
    /// carries no `resultType`, `ttlMs` or `cacheScope` that the server did not send: fronts add what their era needs.
    /// Dropping the future cancels the request upstream.
    ///
    /// # Errors
    /// [`CallError`]; `front::render` words it.
    pub async fn request(&self, _request: Request) -> Result<Json, CallError> {
        todo!()
    }
    /// What a client is told at the start. `None` when the view names no configured server.
    pub fn offering(&self, _view: &View) -> Option<Offering> {
        todo!()
    }
    /// Changes with the merged lists, at most once in 250 ms.
    pub fn revisions(&self) -> watch::Receiver<Revisions> {
        todo!()
    }
    /// Servers with their states for `/ready`: name, state word, reason.
    pub fn states(&self) -> Vec<ServerState> {
        todo!()
    }
    /// A client wants log messages of this level from now on.
    pub fn want_log_level(&self, _level: &str) {
        todo!()
    }
}

/// One line of `/ready`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ServerState {
    /// The server.
    pub name: String,
    /// `pending`, `pulling`, `starting`, `ready`, `needs-config`, `needs-secret`, `needs-auth`, `needs-grant`, `refused`, `failed`.
    pub state: &'static str,
    /// What is wrong or going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many tools it offers.
    pub tools: usize,
}

//! MCP towards servers: connections, their pool, what each server offers.
//!
//! [`Pool`] holds one [`slot`] per server; a slot starts its server, as often as its clients need, shakes hands
//! ([`handshake`]), reads its lists ([`lists`]) and starts it again when it ends. A [`link`] carries requests: over pipes ([`stdio`], one owner task), over
//! streamable HTTP ([`http`], in the caller's own future) or over HTTP+SSE of 2024-11-05 ([`bridge`], which turns it into
//! pipes). [`legacy`] and [`modern`] are the only places that know what an era looks like on the wire.
//!
//! Knows nothing of clients, plugins, policy or catalogs.

mod again; // requests that remotes may be sent twice
mod asks; // calls that wait for their client
mod backoff; // how long to wait before a restart
mod balance; // which of several connections
mod bridge; // HTTP+SSE of 2024-11-05
mod budget; // how much servers may say unasked
mod correlator; // answers to questions
mod declared; // what clients can be asked
mod denial; // remotes that do not let us in
mod detect; // which era a server is of
mod dice; // chance
mod era; // what a request looks like, by era
mod eras; // what has been found out about that
mod flow; // results that are passed on as they come
mod framer; // lines of stdio
mod handshake; // initialize or discover
mod http; // streamable HTTP
mod incoming; // what a message is
mod lanes; // the addresses of a remote
mod legacy; // 2025-11-25 and earlier
mod limits; // what servers may take
mod link; // one connection, whatever its transport
mod lists; // all pages of every list
mod modern; // 2026-07-28
mod modern_listen; // what a listen asks for
mod noise; // output that is no message, and too much of it
mod outlet; // notifications on their way to a call
mod poci; // tools that are one container per call
mod pool; // all servers
mod questions; // what servers ask of us
mod sieve; // responses that are not held
mod slot; // one server and its instances
mod sse; // event streams
mod stdio; // pipes
mod turns; // so many at once
mod waiter; // a call that somebody else looks after

use std::sync::Arc;

use wasmgate_core::catalog::Server;
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

use crate::mailbox;

pub use asks::{Asks, Parked, Question, Reply};
#[cfg(test)]
pub(crate) use asks::{Resumed, Waiting};
pub use denial::{Denial, Wants};
pub use flow::{Appetite, Flow, Whole};
pub use limits::Limits;
pub use pool::{Clients, Pool, Standing};
pub use sieve::{HELD, Piece};

/// Who the gateway says it is to servers.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A request to one server, in that server's own names.
pub struct Ask {
    /// The MCP method.
    pub method: Arc<str>,
    /// Params without the client's per-request protocol fields (`io.modelcontextprotocol/*` are stripped by the front);
    /// `_meta.progressToken` is the client's: the connection replaces it with its own and restores it in events.
    pub params: Option<Json>,
    /// Who asks: never sent anywhere, but what one principal may be asked goes to no other.
    pub principal: Arc<str>,
    /// The session it comes from, when it comes from one.
    pub session: Option<Arc<str>>,
    /// What the end client said of itself (for modern servers).
    pub client: Arc<ClientFacts>,
    /// Where notifications that belong to this request go. Full means drop (progress: keep latest is fine).
    pub events: mailbox::Sender<Event>,
    /// Whether the result may flow.
    pub appetite: Appetite,
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

/// What clients can wait for changes of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A resource, by the server's own URI.
    Resource(Arc<str>),
    /// A task, by the server's own id.
    Task(Arc<str>),
}

/// A server says that a resource or a task has changed.
#[derive(Debug, Clone)]
pub struct Update {
    /// The server.
    pub server: ServerName,
    /// `notifications/resources/updated` or `notifications/tasks`.
    pub method: &'static str,
    /// The params as they came: `uri` and `taskId` are the server's own.
    pub params: Json,
}

/// What the server answered.
#[derive(Debug)]
pub enum Answer {
    /// A result, as it came.
    Result(Json),
    /// A JSON-RPC error object, as it came.
    Error(Json),
    /// Not yet: it asks its client something first. Only for requests that may be answered with questions.
    Asks(Asks),
    /// A long result, as it comes. Only for requests with an appetite for flows.
    Flow(Flow),
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
    /// Tools it lists that are not among those.
    pub left_out: Vec<LeftOut>,
    /// `prompts/list` items.
    pub prompts: Vec<Json>,
    /// `resources/list` items.
    pub resources: Vec<Json>,
    /// `resources/templates/list` items.
    pub templates: Vec<Json>,
    /// How long the lists may be kept.
    pub keepings: Keepings,
}

/// How long a list may be kept, and by whom (2026-07-28 server/utilities/caching). By default not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keeping {
    /// In milliseconds.
    pub ttl: u64,
    /// Whether it is the same for everybody.
    pub is_public: bool,
}

/// How long the lists of an offer may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keepings {
    /// `tools/list`.
    pub tools: Keeping,
    /// `prompts/list`.
    pub prompts: Keeping,
    /// `resources/list`.
    pub resources: Keeping,
    /// `resources/templates/list`.
    pub templates: Keeping,
}

/// A tool that clients would not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub tool: String,
    /// Why, as a fragment.
    pub reason: String,
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
    /// Serving, or started by the first call when nothing of it need run.
    Ready,
    /// Serving, though not all of it.
    Degraded {
        /// What does not serve.
        reason: String,
    },
    /// Could not be started or has ended; retried after a while when `retry` says so.
    Failed {
        /// A stable code (`image_missing`, `docker_unavailable`, `exited`, `initialize_timeout`, ...).
        code: &'static str,
        /// A sentence.
        reason: String,
        /// Last lines of its stderr.
        stderr: Option<String>,
    },
    /// Left alone for a while, because a start would do harm.
    Quarantined {
        /// A sentence, with what ends it.
        reason: String,
    },
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

impl State {
    /// Why the server cannot be asked, when it has to be said.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Failed { reason, .. } | Self::Quarantined { reason } => Some(reason),
            _ => None,
        }
    }

    /// Whether it cannot be asked though nothing is under way.
    pub fn has_failed(&self) -> bool {
        self.reason().is_some()
    }

    /// Whether its first start is over, in whatever way.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Ready | Self::Degraded { .. }) || self.has_failed()
    }
}

impl Keeping {
    /// What holds for two lists, or two pages, together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { ttl: self.ttl.min(other.ttl), is_public: self.is_public && other.is_public }
    }
}

impl Offer {
    /// Whether it says when a resource changes.
    pub fn takes_subscriptions(&self) -> bool {
        let subscribe =
            self.capabilities.member("resources").and_then(|resources| resources.member("subscribe"));
        subscribe.and_then(|yes| yes.boolean()) == Some(true)
    }
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
    /// The server, or what stands before it, answered with a status and no answer: it may have been looked at.
    #[error("is not available: {0}")]
    Declined(String),
    /// Never reached the server: as much of it as may be is in use.
    #[error("is busy: {0}")]
    Busy(String),
    /// The server ended while the request was in flight.
    #[error("ended during the call{0}")]
    Crashed(String),
    /// The kernel killed the server for memory while the request was in flight.
    #[error("ended during the call out of memory")]
    OutOfMemory,
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
    #[error("refused our credentials (HTTP {})", .0.status)]
    Unauthorized(Denial),
}

impl Fault {
    /// Its word, stable across versions: `data.code` of the error that a client gets.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) | Self::Declined(_) => "upstream_unavailable",
            Self::Crashed(_) | Self::OutOfMemory => "upstream_crashed",
            Self::Timeout(_) => "upstream_timeout",
            Self::Misbehaved(_) => "upstream_misbehaved",
            Self::TooLarge(_) | Self::Busy(_) => "limit_exceeded",
            Self::Unauthorized(_) => "upstream_unauthorized",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

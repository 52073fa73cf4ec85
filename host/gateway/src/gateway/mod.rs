//! The life of a call: from a request to its outcome. Knows no HTTP, no sessions, no image names, no eras.
//!
//! Read [`Gateway::request`] first, then `call.rs`. What the gateway knows of its servers at one moment is a
//! `Snapshot`; `refresh.rs` builds the next one when a server's offer changes.

mod asked; // public name -> server and its own name
mod audited; // requests in the audit log
mod call; // the life of a call
mod drain; // the end of service
mod error;
mod events; // progress and log messages of a call
pub mod extensions; // which ones are carried
mod flow; // results that are passed on as they come
mod greet; // initialize, server/discover
mod in_force; // what became of the newest configuration
mod levels; // log levels clients want
mod lists; // a page of a list
mod offering;
mod park; // calls that wait for their clients
mod phases; // request and response phase
mod questions; // what older servers ask in the course of a call
mod refresh; // the next snapshot
mod repeated; // arguments in headers
mod rounds; // what servers ask of their client
mod shown; // lists as filters leave them
mod snapshot;
mod state; // what clients keep for us between two rounds
mod subscriptions; // resources/subscribe
mod tasks; // calls that go on after they are answered
mod words; // ids and URIs as clients know them

use std::sync::atomic::{self, AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use wasmgate_core::index::Kind;
use wasmgate_core::json::Json;
use wasmgate_core::mcp::method;
use wasmgate_core::name::ServerName;
use wasmgate_core::seal::Sealer;

pub use self::audited::Beside;
use self::audited::Noted;
use crate::audit::Audit;
use crate::mailbox;
use crate::shutdown::Tasks;
#[cfg(test)]
pub use crate::upstream::HELD;
use crate::upstream::Pool;
pub use crate::upstream::{Appetite, ClientFacts, Event, Fault, Piece, State, Update, UpstreamError, Wants};
pub use error::CallError;
pub use flow::{Flow, Given};
pub use greet::Greeting;
pub use in_force::ConfigState;
pub use levels::LogWish;
pub use lists::seconds_now;
pub use offering::{Offering, SERVER_INFO, ServerState};
pub use snapshot::{Generation, Unavailable};
pub use subscriptions::{Listener, Subscription, Told};

/// Which servers a client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// All of them, names prefixed as configured (`/mcp`).
    All,
    /// One alone, names as it gives them (`/servers/<name>/mcp`).
    One(ServerName),
}

/// One request of a client, freed of everything that belongs to a transport or an era.
#[derive(Clone)]
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
    pub events: mailbox::Sender<Event>,
}

/// A question of a server that a client answered with an error.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Which of the questions, by its key in `inputRequests`.
    pub key: String,
    /// What was asked: `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: Box<str>,
    /// The client's JSON-RPC error object.
    pub error: Json,
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

/// What a gateway keeps whatever its generation.
pub struct Keeps {
    /// What seals all that clients keep for us.
    pub sealer: Sealer,
    /// Where requests are noted; None notes none.
    pub audit: Option<Audit>,
}

impl From<Sealer> for Keeps {
    fn from(sealer: Sealer) -> Self {
        Self { sealer, audit: None }
    }
}

/// The gateway. Shared by every front.
pub struct Gateway {
    current: ArcSwap<snapshot::Snapshot>,
    pool: Arc<Pool>,
    sealer: Sealer,
    audit: Option<Audit>,
    parking: park::Parking,
    levels: Arc<levels::Levels>,
    /// What clients have been told.
    revisions: watch::Sender<Revisions>,
    /// What they will be told next. Whoever swaps the snapshot holds this.
    counted: Mutex<Revisions>,
    /// The version of the pool that the snapshot shows.
    seen: AtomicU64,
    /// Ticks after every look at the servers, whether or not the snapshot changed.
    refreshed: watch::Sender<()>,
    started: Instant,
    config: ArcSwap<ConfigState>,
    /// Whether nothing new is begun.
    draining: AtomicBool,
    /// Whether a newer generation may be here in a moment.
    newer: AtomicBool,
}

impl Gateway {
    /// A gateway for one generation of configuration: its servers start at once, behind it. `sealer` seals what
    /// clients keep for us.
    pub fn start(
        generation: Generation,
        pool: Arc<Pool>,
        keeps: impl Into<Keeps>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let Keeps { sealer, audit } = keeps.into();
        pool.apply(generation.servers.clone());
        let version = pool.version();
        let first = snapshot::Snapshot::build(Arc::new(generation), pool.status(), None);
        let gateway = Arc::new(Self {
            current: ArcSwap::from_pointee(first),
            pool,
            sealer,
            audit,
            parking: park::Parking::new(tasks),
            levels: Arc::default(),
            revisions: watch::Sender::new(Revisions::default()),
            counted: Mutex::default(),
            seen: AtomicU64::new(version),
            refreshed: watch::Sender::new(()),
            started: Instant::now(),
            config: ArcSwap::from_pointee(ConfigState::current()),
            draining: AtomicBool::new(false),
            newer: AtomicBool::new(false),
        });
        tasks.spawn("gateway-refresh", refresh::keep_fresh(Arc::clone(&gateway), tasks.stopping()));
        gateway
    }

    /// Goes over to another generation of configuration: servers that run as before keep their connections, requests
    /// that have begun end on the generation they began with, and clients hear of changed lists once.
    pub fn replace(&self, generation: Generation) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.current.load_full();
        self.pool.apply(generation.servers.clone());
        // Nothing of the old snapshot is taken over: what a list shows may depend on more than the servers' offers.
        let version = self.pool.version();
        let next = snapshot::Snapshot::build(Arc::new(generation), self.pool.status(), None);
        counted.count(&now, &next);
        self.current.store(Arc::new(next));
        self.seen.store(version, atomic::Ordering::Release);
        drop(counted);
        self.refreshed.send_replace(());
    }

    /// Says whether a newer generation may be here in a moment: lists that are asked for right after the start wait for it.
    pub fn expect_newer(&self, is_expected: bool) {
        self.newer.store(is_expected, atomic::Ordering::Relaxed);
        self.refreshed.send_replace(());
    }

    /// Answers one request: the four lists, `tools/call`, `prompts/get`, `resources/read`, `completion/complete`, and
    /// on a server alone every method the gateway does not know. The result is the server's own, or a list; fronts add
    /// what their era needs. Dropping the future cancels the request upstream.
    ///
    /// # Errors
    /// [`CallError`]; `front::render` words it.
    pub async fn request(&self, request: Request) -> Result<Json, CallError> {
        self.give(request, &Appetite::default()).await?.whole().await
    }

    /// The same for whoever can take a long result as it comes.
    ///
    /// # Errors
    /// As [`Gateway::request`].
    pub async fn give(&self, request: Request, appetite: &Appetite) -> Result<Given, CallError> {
        let place = self.place(&request).await?;
        let mut noted = Noted::default();
        let given = self.answer(request, (&mut noted, appetite)).await;
        place.given(noted, given)
    }

    async fn answer(
        &self,
        request: Request,
        (noted, appetite): (&mut Noted, &Appetite),
    ) -> Result<Given, CallError> {
        self.takes(&request)?;
        let kind = match &*request.method {
            method::TOOLS_LIST => Kind::Tools,
            method::PROMPTS_LIST => Kind::Prompts,
            method::RESOURCES_LIST => Kind::Resources,
            method::TEMPLATES_LIST => Kind::Templates,
            _ => return self.call(request, None, (noted, appetite)).await,
        };
        self.list(request, kind).await.map(Given::Result)
    }

    /// What seals all that clients keep for us.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Changes with the merged lists, at most once in 250 ms.
    pub fn revisions(&self) -> watch::Receiver<Revisions> {
        self.revisions.subscribe()
    }

    /// The generation of configuration in force.
    pub fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.current.load().generation)
    }

    /// A client's session has ended: what servers keep for it alone ends too.
    pub fn session_over(&self, session: &str) {
        self.pool.session_over(session);
    }

    /// Ends every connection and stops every server.
    pub async fn close(&self) {
        self.parking.close();
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests;

//! The connection to one remote, shared by its stages: a pool of [`crate::upstream`] with one server.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmgate_core::catalog::{
    About, Deadlines, Instances, Launch, Protocol, Remote as Address, RemoteTransport, Server, ToolFilter,
};
use wasmgate_core::index::{Subject, Target};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::policy::{Permit, Policy};

use super::{Remote, RemoteError};
use crate::interceptors::World;
use crate::mailbox;
use crate::upstream::{Answer, Appetite, Ask, ClientFacts, Identity, Pool, UpstreamError};

/// The connection to one remote.
pub(super) struct Line {
    pool: Arc<Pool>,
    permit: Permit,
    client: Arc<ClientFacts>,
    /// How long one call may take.
    pub(super) wall: Duration,
    _until_dropped: DropGuard,
}

impl Line {
    /// Opens it in the background: the first question waits.
    pub(super) fn open(world: &World, remote: &Remote) -> Result<Self, RemoteError> {
        let World { launcher, egress, tasks } = world;
        let name = ServerName::new(&remote.name).map_err(RemoteError::Name)?;
        let version = env!("CARGO_PKG_VERSION");
        let identity = Identity { name: "wasmgate".into(), version: version.into() };
        let wall = remote.wall.unwrap_or(WALL);
        let pool = Pool::new(launcher.clone(), egress.clone(), tasks.clone(), identity.into());
        pool.apply(vec![Arc::new(server(name.clone(), remote, wall))]);
        let policy = Policy::new([(name.clone(), ToolFilter::All)]);
        let target = Target { server: name, subject: Subject::Server };
        // The policy was made for exactly this target.
        let permit = policy.permit(target).map_err(|_| RemoteError::Nothing)?;
        let dropped = CancellationToken::new();
        // The drain waits for the pool's tasks, which end with the pool.
        let (weak, over, stopping) = (Arc::downgrade(&pool), dropped.clone(), tasks.stopping());
        tasks.spawn("remote interceptors", async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = stopping.cancelled() => if let Some(pool) = weak.upgrade() { pool.close().await },
            }
        });
        let client = ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None };
        Ok(Self { pool, permit, client: Arc::new(client), wall, _until_dropped: dropped.drop_guard() })
    }

    /// Asks the remote.
    pub(super) async fn ask(&self, method: &str, params: Option<Json>) -> Result<Answer, UpstreamError> {
        let (events, _) = mailbox::channel(1);
        let principal = "".into();
        let client = Arc::clone(&self.client);
        let ask = Ask {
            method: method.into(),
            params,
            principal,
            session: None,
            client,
            events,
            appetite: Appetite::default(),
        };
        self.pool.call(&self.permit, ask).await
    }
}

fn server(name: ServerName, remote: &Remote, wall: Duration) -> Server {
    let bearer = |token: &SecretString| {
        ("authorization".to_owned(), SecretString::from(format!("Bearer {}", token.expose_secret())))
    };
    let address = Address {
        urls: vec![remote.url.clone().into()],
        transport: RemoteTransport::StreamableHttp,
        headers: remote.token.iter().map(bearer).collect(),
        private_allowed: true,
    };
    Server {
        name,
        about: About::default(),
        launch: Launch::Remote(address),
        prefix: None,
        tools: ToolFilter::All,
        protocol: Protocol::Auto,
        deadlines: Deadlines { initialize: INITIALIZE, idle: wall + GRACE, total: wall + GRACE },
        max_in_flight: None,
        instances: Instances::default(),
        required: false,
    }
}

/// How long one call may take.
const WALL: Duration = Duration::from_secs(10);
/// What the answer of a remote that gave up in time may take to arrive.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// How long the remote may take to greet us.
const INITIALIZE: Duration = Duration::from_secs(10);

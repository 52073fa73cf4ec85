//! The pool against real servers: child processes and HTTP servers of this process.

mod asking; // servers that ask first
mod eras; // finding out which era a server is of
mod http; // streamable HTTP
mod late; // what is slow or over while others wait
mod listen; // what modern servers say outside calls
mod process; // stdio
mod simulation; // whatever may happen, in memory
pub(crate) mod site; // an HTTP server that does as it is told
mod sse; // HTTP+SSE of 2024-11-05

use std::sync::Arc;
use std::time::Duration;

use wasmgate_core::catalog::{About, Deadlines, Instances, Launch, Protocol, Server, Sharing, ToolFilter};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

use super::pool::Pool;
use super::{Answer, Appetite, Ask, ClientFacts, Event, Fault, Identity, Limits, Standing, State, Status};
use crate::egress::Egress;
use crate::launch::{LaunchSettings, Launcher};
use crate::mailbox;
use crate::shutdown::Tasks;

pub(crate) fn server(name: &str, launch: Launch) -> Server {
    Server {
        name: ServerName::new(name).unwrap(),
        about: About::default(),
        launch,
        prefix: None,
        tools: ToolFilter::All,
        protocol: Protocol::Auto,
        deadlines: Deadlines::default(),
        max_in_flight: None,
        // As most tests have it: one connection, whoever asks.
        instances: shared(1),
        required: false,
    }
}

fn at_least(number: usize) -> std::num::NonZeroUsize {
    std::num::NonZeroUsize::new(number).unwrap()
}

/// Everybody shares so many.
pub(crate) fn shared(max: usize) -> Instances {
    let max = at_least(max);
    Instances { sharing: Sharing::Shared, max, ..Instances::default() }
}

fn pool(servers: Vec<Server>) -> Arc<Pool> {
    pool_within(servers, Limits::default())
}

fn pool_within(servers: Vec<Server>, limits: Limits) -> Arc<Pool> {
    let tasks = Tasks::new();
    let environment = std::env::vars_os().collect();
    let launcher = Launcher::new(LaunchSettings { environment, ..LaunchSettings::default() }, tasks.clone());
    let identity = Identity { name: "test".into(), version: "0".into() };
    let standing = Standing { limits, ..Standing::from(identity) };
    let pool = Pool::new(launcher, Egress::new(), tasks, standing);
    apply(&pool, servers);
    pool
}

fn apply(pool: &Pool, servers: Vec<Server>) {
    pool.apply(servers.into_iter().map(Arc::new).collect());
}

async fn call(pool: &Pool, server: &str, params: &str) -> Result<Answer, Fault> {
    let (events, _unread) = mailbox::channel(4);
    ask(pool, server, "tools/call", params, events).await
}

async fn ask(
    pool: &Pool,
    server: &str,
    method: &str,
    params: &str,
    events: mailbox::Sender<Event>,
) -> Result<Answer, Fault> {
    let client = ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None };
    let params = Some(Json::parse(params.to_owned()).unwrap());
    let ask = Ask {
        method: method.into(),
        params,
        principal: "".into(),
        session: None,
        client: Arc::new(client),
        events,
        appetite: Appetite::default(),
    };
    pool.ask(&ServerName::new(server).unwrap(), ask).await.map_err(|error| error.fault)
}

async fn tool(pool: &Pool, server: &str, name: &str) -> Result<Answer, Fault> {
    call(pool, server, &format!(r#"{{"name":"{name}","arguments":{{"n":7}}}}"#)).await
}

/// Waits until the pool's first server satisfies `condition`.
async fn until(pool: &Pool, condition: impl Fn(&Status) -> bool) -> Status {
    let mut changed = pool.changed();
    loop {
        if let Some(status) = pool.status().into_iter().next().filter(&condition) {
            return status;
        }
        tokio::time::timeout(Duration::from_secs(30), changed.changed()).await.unwrap().unwrap();
    }
}

fn is_failed(status: &Status) -> bool {
    matches!(status.state, State::Failed { .. })
}

fn names(status: &Status) -> Vec<String> {
    let offer = status.offer.as_ref().unwrap();
    offer.tools.iter().map(|tool| tool.member("name").unwrap().string().unwrap().into_owned()).collect()
}

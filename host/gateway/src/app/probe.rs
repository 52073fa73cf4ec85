//! A look at tools and servers from the command line: through a gateway in this very process, whose servers are either
//! those of the catalogs named or, as its only server, a gateway that is already running.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use wasmgate_core::catalog::{
    About, Deadlines, Instances, Launch, Protocol, Remote, RemoteTransport, Server, ToolFilter,
};
use wasmgate_core::index::Naming;
use wasmgate_core::json::Json;
use wasmgate_core::mcp::{V2025_11_25, method};
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::Pipeline;

use super::{Assembled, Plugins, Standing, StartError, assemble, close, connect, sealer, world};
use crate::config::{Config, Environment, Seen};
use crate::egress::{Egress, Reach};
use crate::gateway::{CallError, ClientFacts, Event, Generation, Request, ServerState, View};
use crate::interceptors::World;
use crate::launch::{LaunchSettings, Launcher};
use crate::mailbox;
use crate::shutdown::Tasks;
use crate::upstream::{self, Clients};

/// How long servers may take to come up before the probe goes on without them.
const PATIENCE: Duration = Duration::from_secs(35);
/// How long a running gateway may take to show its servers.
const ANSWER: Duration = Duration::from_secs(10);
/// The largest list of servers that is read, in bytes.
const MOST: usize = 8 << 20;

/// What a gateway of one command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Lists and states. Nothing of it is noted in the audit log, which a running gateway may have.
    Look,
    /// A call, which is noted as any other.
    Call,
}

/// A gateway in this process, for one command.
pub struct Probe {
    assembled: Assembled,
    tasks: Tasks,
    view: View,
}

impl Probe {
    /// The servers of a configuration, with its interceptors.
    ///
    /// # Errors
    /// [`StartError`] when a plugin cannot run.
    pub async fn of_config(mut config: Config, purpose: Purpose) -> Result<Self, StartError> {
        let tasks = Tasks::new();
        if purpose == Purpose::Look {
            config.audit = None;
        }
        let world = world(&config.environment, &tasks);
        let plugins = Plugins::new(world.clone(), &config.environment);
        let assembled = assemble(&config, &mut Seen::default(), Clients::Many, (world, plugins)).await?;
        let _in_time = tokio::time::timeout(PATIENCE, assembled.gateway.until_settled()).await;
        Ok(Self { assembled, tasks, view: View::All })
    }

    /// A running gateway as the only server: names as it gives them, nothing in between.
    ///
    /// # Errors
    /// [`StartError`] when the system has no randomness.
    pub async fn of_running(url: Url, token: Option<&SecretString>) -> Result<Self, StartError> {
        let tasks = Tasks::new();
        let name = ServerName::new("gateway").map_err(|error| StartError::System(error.to_string()))?;
        let server = Server {
            name: name.clone(),
            about: About::default(),
            launch: Launch::Remote(Remote {
                urls: vec![url.into()],
                transport: RemoteTransport::StreamableHttp,
                headers: token.into_iter().map(bearer).collect(),
                private_allowed: true,
            }),
            prefix: None,
            tools: ToolFilter::All,
            protocol: Protocol::Auto,
            deadlines: Deadlines::default(),
            max_in_flight: None,
            instances: Instances::default(),
            required: true,
        };
        let launcher = Launcher::new(LaunchSettings::default(), tasks.clone());
        let world = World { launcher, egress: Egress::new(), tasks: tasks.clone() };
        let generation = Generation {
            servers: vec![Arc::new(server)],
            unavailable: Vec::new(),
            naming: Naming::Plain,
            page: usize::MAX,
            pipeline: Pipeline::default(),
        };
        let plugins = Plugins::new(world.clone(), &Environment::default());
        let limits = upstream::Limits::default();
        let standing = Standing { clients: Clients::Many, limits, audit: None, sealer: sealer(&[])? };
        let assembled = connect(generation, world, plugins, standing);
        assembled.gateway.until_settled().await;
        Ok(Self { assembled, tasks, view: View::One(name) })
    }

    /// Every tool, as clients see it.
    ///
    /// # Errors
    /// A sentence.
    pub async fn tools(&self) -> Result<Vec<Json>, String> {
        self.reachable()?;
        let mut tools = Vec::new();
        let mut params = None;
        loop {
            let page = self.ask(method::TOOLS_LIST, params).await?;
            tools.extend(page.member("tools").and_then(|tools| tools.elements()).unwrap_or_default());
            let Some(cursor) = page.member("nextCursor") else { return Ok(tools) };
            params = Some(Json::empty_object().with_member("cursor", &cursor));
        }
    }

    /// Calls a tool and gives its result.
    ///
    /// # Errors
    /// A sentence.
    pub async fn call(&self, tool: &str, arguments: &Json) -> Result<Json, String> {
        self.reachable()?;
        let params =
            Json::empty_object().with_member("name", &Json::of(tool)).with_member("arguments", arguments);
        self.ask(method::TOOLS_CALL, Some(params)).await
    }

    /// Every server with its state.
    pub fn states(&self) -> Vec<ServerState> {
        self.assembled.gateway.states()
    }

    /// Stops what the probe started.
    pub async fn close(self) {
        close(&self.assembled.gateway, &self.assembled.launcher).await;
        self.tasks.finish(Duration::from_secs(10)).await;
    }

    /// A running gateway that does not answer is worth a sentence of its own.
    fn reachable(&self) -> Result<(), String> {
        let failed = self
            .assembled
            .gateway
            .states()
            .into_iter()
            .find(|state| state.state == "failed" && state.required);
        match (&self.view, failed) {
            (View::One(_), Some(state)) => {
                let reason = state.reason.unwrap_or_default();
                Err(format!(
                    "the gateway cannot be used: {reason}; is it running, and is its token in WASMGATE_AUTH_TOKEN or --token?"
                ))
            }
            _ => Ok(()),
        }
    }

    async fn ask(&self, method: &'static str, params: Option<Json>) -> Result<Json, String> {
        let (events, mut seen) = mailbox::channel::<Event>(64);
        let request = Request {
            view: self.view.clone(),
            id: "cli".into(),
            principal: "cli".into(),
            session: None,
            method: method.into(),
            params,
            client: Arc::new(ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None }),
            version: V2025_11_25,
            events,
        };
        let drain = async { while seen.recv().await.is_some() {} };
        let (result, ()) = tokio::join!(self.assembled.gateway.request(request), drain);
        result.map_err(|error| sentence(&error))
    }
}

/// A running gateway's servers, from its `/ready`.
///
/// # Errors
/// A sentence.
pub async fn ready(url: &Url, token: Option<&SecretString>) -> Result<Vec<ServerState>, String> {
    let mut address = url.clone();
    address.set_path("/ready");
    let answered = tokio::time::timeout(ANSWER, get(&address, token)).await;
    let body = answered.unwrap_or_else(|_| Err("nothing within 10 s".into())).map_err(|error| {
        format!("the gateway at {url} cannot be used: {error}; is it running, and is its token in WASMGATE_AUTH_TOKEN or --token?")
    })?;
    #[derive(serde::Deserialize)]
    struct Ready {
        servers: Vec<ServerState>,
    }
    let ready: Ready =
        serde_json::from_slice(&body).map_err(|_| format!("{address} is not a wasmgate gateway"))?;
    Ok(ready.servers)
}

/// The body of a page, whatever its status: `/ready` says 503 and still tells.
async fn get(address: &Url, token: Option<&SecretString>) -> Result<bytes::Bytes, String> {
    let mut request = http::Request::get(address.as_str());
    for (name, value) in token.into_iter().map(bearer) {
        request = request.header(name, value.expose_secret());
    }
    let request = request.body(Full::default()).map_err(|error| error.to_string())?;
    let response = Egress::new().send(Reach::Named, request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    if status == http::StatusCode::UNAUTHORIZED || status == http::StatusCode::FORBIDDEN {
        return Err(format!("it refused us (HTTP {})", status.as_u16()));
    }
    let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|error| error.to_string())?;
    Ok(body.to_bytes())
}

fn bearer(token: &SecretString) -> (String, SecretString) {
    ("authorization".to_owned(), format!("Bearer {}", token.expose_secret()).into())
}

fn sentence(error: &CallError) -> String {
    match error {
        CallError::Answered(object) => {
            let message =
                object.member("message").and_then(|text| text.string().map(std::borrow::Cow::into_owned));
            message.unwrap_or_else(|| object.as_str().to_owned())
        }
        other => crate::front::in_words(other),
    }
}

//! `wasmgate run`: the port first, then catalogs, plugins and servers behind it, then the drain.

use std::future::Future;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::{
    Assembled, Plugins, Renewal, StartError, Supplied, assemble, banner, close, foreign, limits, supply,
    world,
};
use crate::config::{Address, At, Config, Entrance, Limits, Listen, Read, Request, Seen};
use crate::front;
use crate::gateway::Gateway;
use crate::reload::Reload;
use crate::shutdown::Tasks;
use crate::upstream::Clients;

/// Files open besides clients' connections: servers' pipes and connections, catalogs, plugins.
const BESIDES: u64 = 1024;
/// How long clients may take to read what became of calls that did not finish.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long everything else may take to end after that.
const LAST: Duration = Duration::from_secs(10);

/// Who may talk to the gateway.
pub struct Access {
    /// The token to ask for; `None` asks for none.
    pub token: Option<SecretString>,
    /// The token as text, when it was made for this run and nobody knows it yet.
    pub new_token: Option<String>,
}

/// What to run.
pub struct Asked {
    /// What is read again when a file changes.
    pub request: Request,
    /// How far it could be read.
    pub beginning: Beginning,
    /// Whether a changed file is acted on without being told to.
    pub watch: bool,
}

/// How far a configuration could be read before anything is fetched.
pub enum Beginning {
    /// To the end: what it says, and the files it was read from.
    Whole(Box<Config>, Seen),
    /// Catalogs have to be fetched first; clients can come in meanwhile.
    Fetching(Box<Entrance>),
}

impl Beginning {
    fn entrance(&self) -> (&Listen, &Limits) {
        match self {
            Self::Whole(config, _) => (&config.listen, &config.limits),
            Self::Fetching(entrance) => (&entrance.listen, &entrance.limits),
        }
    }
}

/// Runs the gateway until it is told to stop or, on stdio, until the client goes away.
///
/// # Errors
/// [`StartError`] before anything is served, and when a required server does not come up.
pub async fn run(asked: Asked, access: Access) -> Result<(), StartError> {
    let mut signals = Signals::new()?;
    // Fronts have tasks of their own: they end first, while the servers still answer what is in flight.
    let (fronts, tasks) = (Tasks::new(), Tasks::new());
    let (fill, slot) = watch::channel(None);
    let (entrance, watch) = (asked.beginning.entrance(), asked.watch);
    let up = front(entrance, &access, slot, (&fronts, &tasks)).await?;
    let grace = entrance.1.drain;
    if let (Beginning::Fetching(_), Some(address)) = (&asked.beginning, up.local) {
        let url = format!("http://{address}/");
        tracing::info!(%url, "the port is open; requests wait until the catalogs have been fetched");
    }
    let reload = tokio::select! {
        built = build(asked, &tasks) => built?,
        () = signals.next() => return Ok(()),
    };
    let (gateway, launcher) = (Arc::clone(&reload.gateway), reload.launcher.clone());
    fill.send_replace(Some(Arc::clone(&gateway)));
    let facts = banner::Facts::new(&reload.config, &access, up.local);
    tasks.spawn("banner", banner::show(Arc::clone(&gateway), facts, tasks.stopping()));
    tasks.spawn("reload", reload.keep_current(watch, Arc::clone(&signals.reload)));

    let mut gone = pin!(up.ended);
    let outcome = tokio::select! {
        () = signals.next() => {
            tracing::info!("stopping: finishing the calls in flight");
            Ok(())
        }
        () = &mut gone => {
            tracing::info!("the client is gone: stopping");
            Ok(())
        }
        error = required(&gateway) => Err(error),
    };
    gateway.drain();
    tokio::select! {
        left = fronts.finish(grace) => if !left.is_empty() {
            tracing::warn!(tasks = ?left, "the time to finish is over: ending what is left");
        },
        () = signals.next() => tracing::warn!("stopping now: told so twice"),
    }
    close(&gateway, &launcher).await;
    // Calls that were cut off just now have their failures to tell.
    report("front", &fronts.finish(LAST_WORDS).await);
    report("gateway", &tasks.finish(LAST).await);
    outcome
}

/// Resolves when a required server fails instead of coming up for the first time; later failures are told by `/ready`.
async fn required(gateway: &Gateway) -> StartError {
    match gateway.required_failure().await {
        Some((name, reason)) => StartError::Required { name, reason },
        None => std::future::pending().await,
    }
}

/// Reads what could not be read yet, builds the gateway of it, and hands it over with what keeps it at its configuration.
async fn build(asked: Asked, tasks: &Tasks) -> Result<Reload, StartError> {
    let Asked { mut request, beginning, .. } = asked;
    let world = world(request.environment(), tasks);
    let mut plugins = Plugins::new(world.clone(), request.environment());
    let (config, mut seen, supplied) = match beginning {
        Beginning::Whole(config, seen) => (*config, seen, Supplied::Asked),
        Beginning::Fetching(_) => complete(&mut request, &mut plugins).await?,
    };
    // Behind stdin and stdout is one client, whatever is asked in whichever of its calls.
    let clients = if config.listen.at == At::Stdio { Clients::One } else { Clients::Many };
    let assembled = assemble(&config, &mut seen, clients, (world, plugins)).await?;
    let Assembled { gateway, launcher, plugins } = assembled;
    gateway.expect_newer(supplied == Supplied::Kept);
    Ok(Reload {
        listen: config.listen.clone(),
        request,
        config,
        seen,
        supplied,
        plugins,
        gateway,
        launcher,
        tasks: tasks.clone(),
    })
}

/// The configuration with its catalogs: as they were answered last time, where they were, so that nobody waits for a network.
async fn complete(
    request: &mut Request,
    plugins: &mut Plugins,
) -> Result<(Config, Seen, Supplied), StartError> {
    let supplied = supply(request, plugins, Renewal::Kept).await?;
    let mut whole = request.clone();
    let read = tokio::task::spawn_blocking(move || {
        let read = whole.read();
        (whole, read)
    });
    let (whole, Read { config, seen }) = read.await.map_err(|error| StartError::System(error.to_string()))?;
    *request = whole;
    Ok((config.map_err(StartError::Config)?, seen, supplied))
}

/// Raises our own limit of open files, as far as the system lets us: the usual one of 1,024 is fewer than the connections we
/// take. No further than needed, because the programs we start inherit it.
fn allow_files(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let (Some(now), most) = (limit.current, limit.maximum.unwrap_or(u64::MAX)) else { return };
    if now >= wanted {
        return;
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted.min(most)), ..limit });
    if raised.is_err() || most < wanted {
        tracing::warn!(
            wanted,
            most,
            "fewer connections than configured: raise the limit of open files (ulimit -n)"
        );
    }
}

/// The front that is up.
struct Up<F> {
    /// Where it listens, on HTTP.
    local: Option<SocketAddr>,
    /// Resolves when the client is gone; on HTTP never.
    ended: F,
}

async fn front(
    (listen, limits): (&Listen, &Limits),
    access: &Access,
    slot: front::Slot,
    (fronts, tasks): (&Tasks, &Tasks),
) -> Result<Up<impl Future<Output = ()> + use<>>, StartError> {
    let (tell, ended) = tokio::sync::oneshot::channel::<()>();
    let limits = limits::of_clients(limits);
    let settings = front::Settings {
        token: access.token.clone(),
        allowed_origins: listen.allowed_origins.clone(),
        allowed_hosts: listen.allowed_hosts.clone(),
        limits: limits.clone(),
        door: listen.interceptors.then(foreign::door),
        behind: Some(tasks.clone()),
    };
    let mut local = None;
    match &listen.at {
        At::Http(address) | At::Sse(address) => {
            allow_files(limits.connections as u64 + BESIDES);
            let bound = front::bind(resolve(address).await?, settings, fronts.clone()).await?;
            local = Some(bound.local_addr());
            let tasks = tasks.clone();
            fronts.spawn("http", async move {
                let closing = bound.serve(slot).await;
                drop(tell);
                tasks.spawn("http-closing", closing.turn_away(tasks.clone()));
            });
        }
        At::Stdio => {
            let pipes = (tokio::io::stdin(), tokio::io::stdout());
            let serving = front::stdio::serve(slot, pipes, limits, fronts.clone());
            fronts.spawn("stdio", async move {
                serving.await;
                drop(tell);
            });
        }
    }
    let ended = async move {
        let _dropped = ended.await;
    };
    Ok(Up { local, ended })
}

#[expect(clippy::disallowed_methods, reason = "it is where the gateway itself listens: nothing is dialled")]
async fn resolve(address: &Address) -> Result<SocketAddr, StartError> {
    let Address { host, port } = address;
    let found = tokio::net::lookup_host((host.as_str(), *port)).await.ok().and_then(|mut found| found.next());
    found.ok_or_else(|| {
        StartError::System(format!("cannot listen on `{host}`: it is not a name or address of this machine"))
    })
}

fn report(what: &str, left: &[&str]) {
    if !left.is_empty() {
        tracing::warn!(tasks = ?left, "{what}: these did not end in time");
    }
}

/// SIGTERM and SIGINT, either of which means stop, and SIGHUP, which means reload.
struct Signals {
    hangup: tokio::signal::unix::Signal,
    reload: Arc<Notify>,
    /// Whether the gateway was started on a terminal.
    terminal: bool,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let listen = |kind| signal(kind).map_err(|error| StartError::System(format!("no signals: {error}")));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            reload: Arc::default(),
            terminal: std::io::stderr().is_terminal(),
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next signal to stop. Between them, asks for reloads.
    async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {}
            }
            // What the signal was made for: the window of the gateway was closed.
            if self.terminal && !std::io::stderr().is_terminal() {
                return;
            }
            self.reload.notify_one();
        }
    }
}

//! `wasmgate run`: the port first, then plugins and servers behind it, then the drain.

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

use super::{Assembled, StartError, assemble, banner, close, foreign, limits};
use crate::config::{Address, At, Config, Request, Seen};
use crate::front;
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
    /// What it said the first time.
    pub config: Config,
    /// The files it was read from.
    pub seen: Seen,
    /// Whether a changed file is acted on without being told to.
    pub watch: bool,
}

/// Runs the gateway until it is told to stop or, on stdio, until the client goes away.
///
/// # Errors
/// [`StartError`] before anything is served.
pub async fn run(asked: Asked, access: Access) -> Result<(), StartError> {
    let Asked { request, config, mut seen, watch } = asked;
    let mut signals = Signals::new()?;
    // Fronts have tasks of their own: they end first, while the servers still answer what is in flight.
    let (fronts, tasks) = (Tasks::new(), Tasks::new());
    let (fill, slot) = watch::channel(None);
    let up = front(&config, &access, slot, (&fronts, &tasks)).await?;
    let grace = config.limits.drain;
    // Behind stdin and stdout is one client, whatever is asked in whichever of its calls.
    let clients = if config.listen.at == At::Stdio { Clients::One } else { Clients::Many };
    let assembled = tokio::select! {
        built = assemble(&config, &mut seen, clients, &tasks) => built?,
        () = signals.next() => return Ok(()),
    };
    fill.send_replace(Some(Arc::clone(&assembled.gateway)));
    let facts = banner::Facts::new(&config, &access, up.local);
    tasks.spawn("banner", banner::show(Arc::clone(&assembled.gateway), facts, tasks.stopping()));
    let Assembled { gateway, launcher, plugins } = assembled;
    let reload = Reload {
        listen: config.listen.clone(),
        request,
        config,
        seen,
        plugins,
        gateway: Arc::clone(&gateway),
        launcher: launcher.clone(),
        tasks: tasks.clone(),
    };
    tasks.spawn("reload", reload.keep_current(watch, Arc::clone(&signals.reload)));

    let mut gone = pin!(up.ended);
    tokio::select! {
        () = signals.next() => tracing::info!("stopping: finishing the calls in flight"),
        () = &mut gone => tracing::info!("the client is gone: stopping"),
    }
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
    Ok(())
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
    config: &Config,
    access: &Access,
    slot: front::Slot,
    (fronts, tasks): (&Tasks, &Tasks),
) -> Result<Up<impl Future<Output = ()> + use<>>, StartError> {
    let (tell, ended) = tokio::sync::oneshot::channel::<()>();
    let (listen, limits) = (&config.listen, limits::of_clients(&config.limits));
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

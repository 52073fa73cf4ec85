//! `wasmgate run`: the port first, then plugins and servers behind it, then the drain.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{StartError, assemble, banner};
use crate::config::Config;
use crate::front;
use crate::shutdown::Tasks;

/// How long calls in flight may take to finish once the gateway is told to stop (facts of the drain: 25 s).
const GRACE: Duration = Duration::from_secs(25);
/// How long everything else may take to end after that.
const LAST: Duration = Duration::from_secs(10);

/// Where clients come in.
#[derive(Debug, Clone)]
pub enum Transport {
    /// HTTP: streamable HTTP and HTTP+SSE on one port.
    Http(SocketAddr),
    /// This process's own stdin and stdout.
    Stdio,
}

/// Where clients come in and who may.
pub struct Listen {
    /// The transport.
    pub transport: Transport,
    /// Who may talk, and limits.
    pub settings: front::Settings,
    /// The token, when it was made for this run and nobody knows it yet.
    pub new_token: Option<String>,
}

/// Runs the gateway until it is told to stop or, on stdio, until the client goes away.
///
/// # Errors
/// [`StartError`] before anything is served.
pub async fn run(config: Config, listen: Listen) -> Result<(), StartError> {
    let mut signals = Signals::new()?;
    // Fronts have tasks of their own: they end first, while the servers still answer what is in flight.
    let (fronts, tasks) = (Tasks::new(), Tasks::new());
    let (fill, slot) = watch::channel(None);
    let gone = front(&listen, slot, &fronts).await?;
    let gateway = tokio::select! {
        built = assemble(&config, &tasks) => built?,
        () = signals.next() => return Ok(()),
    };
    fill.send_replace(Some(std::sync::Arc::clone(&gateway)));
    tasks.spawn("banner", banner::show(std::sync::Arc::clone(&gateway), banner::Facts::new(&config, &listen, gone.local)));

    let mut gone = pin!(gone.ended);
    tokio::select! {
        () = signals.next() => tracing::info!("stopping: finishing the calls in flight"),
        () = &mut gone => tracing::info!("the client is gone: stopping"),
    }
    tokio::select! {
        left = fronts.finish(GRACE) => report("front", &left),
        () = signals.next() => tracing::warn!("stopping now: told so twice"),
    }
    gateway.close().await;
    report("gateway", &tasks.finish(LAST).await);
    Ok(())
}

/// The front that is up.
struct Up<F> {
    /// Where it listens, on HTTP.
    local: Option<SocketAddr>,
    /// Resolves when the client is gone; on HTTP never.
    ended: F,
}

async fn front(
    listen: &Listen,
    slot: front::Slot,
    fronts: &Tasks,
) -> Result<Up<impl Future<Output = ()> + use<>>, StartError> {
    let (tell, ended) = tokio::sync::oneshot::channel::<()>();
    let mut local = None;
    match listen.transport {
        Transport::Http(address) => {
            let bound = front::bind(address, listen.settings.clone()).await?;
            local = Some(bound.local_addr());
            let serving = bound.serve(slot, fronts.clone());
            fronts.spawn("http", async move {
                serving.await;
                drop(tell);
            });
        }
        Transport::Stdio => {
            let serving = front::stdio::serve(
                slot,
                tokio::io::stdin(),
                tokio::io::stdout(),
                listen.settings.limits.clone(),
                fronts.clone(),
            );
            fronts.spawn("stdio", async move {
                serving.await;
                drop(tell);
            });
        }
    }
    Ok(Up {
        local,
        ended: async move {
            let _dropped = ended.await;
        },
    })
}

fn report(what: &str, left: &[&str]) {
    if !left.is_empty() {
        tracing::warn!(tasks = ?left, "{what}: these did not end in time");
    }
}

/// SIGTERM and SIGINT, either of which means stop.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let listen = |kind| signal(kind).map_err(|error| StartError::System(format!("no signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

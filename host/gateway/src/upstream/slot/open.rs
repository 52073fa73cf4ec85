//! From a server's definition to a connection: the one place that knows both launches and transports.

use std::sync::Arc;

use http::{HeaderMap, Uri};
use tokio::time::timeout;
use url::Url;
use wasmgate_core::catalog::{Launch, Remote, RemoteTransport, Server};

use super::Shared;
use crate::egress::Reach;
use crate::launch::{Channel, Instance, Progress};
use crate::upstream::handshake::Failure;
use crate::upstream::http::{Http, Others, Way, configured};
use crate::upstream::link::Link;
use crate::upstream::stdio::{Behind, Ends, Pipe};
use crate::upstream::{Fault, bridge, eras, poci};

/// Makes connections in place of real servers.
#[cfg(test)]
pub(in crate::upstream) type Opener = Arc<
    dyn Fn(&Shared, &Server, usize) -> futures_util::future::BoxFuture<'static, Result<Link, Failure>>
        + Send
        + Sync,
>;

/// Makes the server run, unless it runs elsewhere, and connects to it: at the address `lane`, of those it has.
pub(super) async fn open(
    shared: &Shared,
    server: &Server,
    lane: usize,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Link, Failure> {
    #[cfg(test)]
    if let Some(opener) = &shared.opener {
        return opener(shared, server, lane).await;
    }
    if let Launch::Remote(remote) = &server.launch {
        return open_remote(shared, server, remote, lane).await;
    }
    if let Launch::Tools(tools) = &server.launch {
        return Ok(Link::Pipe(poci::open(server, tools, &shared.launcher, &shared.tasks, &shared.limits)));
    }
    let started = shared.launcher.start(server, progress).await;
    let mut instance = started.map_err(|error| Failure {
        code: error.code(),
        reason: format!("could not be started: {}", chain(&error)),
        stderr: None,
    })?;
    match instance.take_channel() {
        Some(Channel::Stdio { input, output }) => {
            let ends = Ends { input, output, behind: Behind::Instance(instance) };
            let (name, declared) = (server.name.clone(), shared.declared(server));
            let pipe = Pipe::open(name, ends, declared, &shared.tasks, &shared.limits);
            Ok(Link::Pipe(Arc::new(pipe)))
        }
        Some(Channel::Http { url, transport }) => {
            let headers = configured(&[], &shared.identity).map_err(|error| unusable(&error.to_string()))?;
            let way = way(shared, Reach::Named, &url, headers)?;
            open_http(shared, server, way, transport, Some(instance)).await
        }
        None => Err(unusable("it gave no way to speak to it")),
    }
}

async fn open_remote(
    shared: &Shared,
    server: &Server,
    remote: &Remote,
    lane: usize,
) -> Result<Link, Failure> {
    let url = remote.urls.get(lane).ok_or_else(|| unusable("it has no address"))?;
    let reach = if remote.private_allowed { Reach::Named } else { Reach::Public };
    let headers =
        configured(&remote.headers, &shared.identity).map_err(|error| unusable(&error.to_string()))?;
    let others = if remote.urls.len() > 1 { Others::Some } else { Others::None };
    let way = Way { others, ..way(shared, reach, url.expose(), headers)? };
    open_http(shared, server, way, remote.transport, None).await
}

async fn open_http(
    shared: &Shared,
    server: &Server,
    way: Way,
    transport: RemoteTransport,
    instance: Option<Instance>,
) -> Result<Link, Failure> {
    let is_old = match transport {
        RemoteTransport::Sse => true,
        RemoteTransport::StreamableHttp => false,
        RemoteTransport::Auto => shared.eras.recall(server) == Some(eras::Way::OldTransport),
    };
    if !is_old {
        return Ok(Link::Http(match instance {
            Some(instance) => Http::local(way, instance, &shared.tasks),
            None => Http::remote(way, &shared.tasks),
        }));
    }
    let limit = server.deadlines.initialize;
    let declared = shared.declared(server);
    let opening = bridge::open(server.name.clone(), way, instance, declared, &shared.tasks);
    let opened = timeout(limit, opening).await;
    match opened.unwrap_or_else(|_| Err(Fault::Timeout(limit.as_secs().max(1)))) {
        Ok(pipe) => Ok(Link::Pipe(pipe)),
        Err(fault) => {
            shared.eras.forget(server);
            Err(fault.into())
        }
    }
}

fn way(shared: &Shared, reach: Reach, url: &Url, headers: HeaderMap) -> Result<Way, Failure> {
    let mut url = url.clone();
    url.set_fragment(None);
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable("its address holds credentials: put them into a header"));
    }
    let uri: Uri = url.as_str().parse().map_err(|_| unusable("its address is not one for HTTP"))?;
    let (egress, limits) = (shared.egress.clone(), shared.limits.clone());
    Ok(Way { egress, reach, uri, headers, others: Others::None, limits })
}

fn unusable(reason: &str) -> Failure {
    Failure { code: "start_failed", reason: format!("could not be started: {reason}"), stderr: None }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

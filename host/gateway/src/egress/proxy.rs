//! The only way out of a container whose hosts are named: an HTTP proxy in this process, one for each container.
//!
//! It listens on the host's address in a network that only that container has joined, so who connects is known by where he
//! connects from. For every connection the host and port that were asked for, the addresses they lead to and, in a tunnel,
//! the name in the TLS handshake are checked; names are resolved here and nowhere in the container. What goes through a
//! tunnel is not looked into.

mod answer; // how a refusal is said
mod hello; // the name in a TLS handshake
mod http1; // plain requests
mod traffic; // counted bytes
mod tunnel; // CONNECT

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmgate_core::catalog::{AllowedHosts, Permit};
use wasmgate_core::name::ServerName;

use self::answer::{Answer, Refusal};
use self::traffic::Ledger;
use self::tunnel::Waiting;
use super::{Egress, Reach};
use crate::shutdown::Tasks;

/// Whose way out it is, and where it leads.
#[derive(Debug, Clone)]
pub struct Way {
    /// The server in the container.
    pub server: ServerName,
    /// What it may reach.
    pub allowed: AllowedHosts,
    /// The host's address in the container's network.
    pub listen: Ipv4Addr,
    /// How many bits the addresses of that network share.
    pub bits: u32,
}

/// A proxy that runs until this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    _stop: DropGuard,
}

/// What the connections of one proxy share.
struct Shared {
    way: Way,
    egress: Egress,
    tasks: Tasks,
    stop: CancellationToken,
    ledger: Ledger,
}

impl Proxy {
    /// Listens, and serves until dropped.
    ///
    /// # Errors
    /// When the address is not this machine's.
    pub async fn start(way: Way, egress: Egress, tasks: &Tasks) -> io::Result<Self> {
        let listener = match TcpListener::bind((way.listen, PORT)).await {
            // Somebody has the port on every address of this machine; any other does as well.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                TcpListener::bind((way.listen, 0)).await?
            }
            bound => bound?,
        };
        let (address, stop) = (listener.local_addr()?, tasks.stopping().child_token());
        let ledger = Ledger::new(way.server.clone());
        let shared = Shared { way, egress, tasks: tasks.clone(), stop: stop.clone(), ledger };
        tasks.spawn("egress proxy", Arc::new(shared).accept(listener));
        Ok(Self { address, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Shared {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let open = Arc::new(Semaphore::new(CONNECTIONS));
        let accepting = async {
            // Beyond that many connections the next one waits to be accepted.
            while let Ok(permit) = Arc::clone(&open).acquire_owned().await {
                match listener.accept().await {
                    Ok((stream, peer)) if self.way.is_member(peer) => {
                        let shared = Arc::clone(&self);
                        self.tasks.spawn("egress connection", async move {
                            let stop = shared.stop.clone();
                            let _ = stop.run_until_cancelled(shared.serve(stream)).await;
                            drop(permit);
                        });
                    }
                    Ok((_, peer)) => {
                        tracing::debug!(server = %self.way.server, %peer, "a stranger was turned away")
                    }
                    // Out of files: the next one may do better.
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        };
        let _ = self.stop.run_until_cancelled(accepting).await;
    }

    /// One connection: requests one after the other, the last of which may become a tunnel.
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let waiting = Waiting::default();
        let service = service_fn(|request| {
            let (shared, waiting) = (Arc::clone(&self), waiting.clone());
            async move { Ok::<_, std::convert::Infallible>(shared.answer(request, &waiting).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        if served.await.is_ok()
            && let Some(tunnel) = waiting.take()
        {
            tunnel.run(&self.ledger).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>, waiting: &Waiting) -> Response<Answer> {
        self.ledger.asked();
        let answered = if request.method() == Method::CONNECT {
            self.connect(request, waiting).await
        } else {
            self.forward(request).await
        };
        answered.unwrap_or_else(|refusal| {
            self.ledger.refused(&refusal);
            refusal.response()
        })
    }

    /// A checked connection to a host that a rule names.
    async fn dial(&self, permit: Permit, host: &str, port: u16) -> Result<TcpStream, Refusal> {
        let reach = if permit.private { Reach::Named } else { Reach::Public };
        let dialled = self.egress.connect(reach, host, port).await;
        dialled.map_err(|error| Refusal::of_dial(host, port, &error))
    }
}

impl Way {
    /// Whether somebody who connects is in the container's network and is not this machine.
    fn is_member(&self, peer: SocketAddr) -> bool {
        let SocketAddr::V4(peer) = peer else { return false };
        let differs = u32::from(*peer.ip()) ^ u32::from(self.listen);
        differs != 0 && differs.leading_zeros() >= self.bits
    }
}

/// Where it listens unless that port is taken: the same everywhere, so that a firewall can be told.
const PORT: u16 = 3128;
/// Connections of one container at once.
const CONNECTIONS: usize = 128;
/// How long the head of a request may take, and a connection be idle between two.
const HEADERS: Duration = Duration::from_secs(10);
/// How long the head of a request may be.
const HEADER_BYTES: usize = 32 * 1024;
/// How long before accepting is tried again.
const AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;

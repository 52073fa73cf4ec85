//! The HTTP server: accepts connections within limits, checks who may talk to us, and finds the path.
//!
//! The order is fixed: `Host` and `Origin`, then the path of `/health`, then the token, then everything else. Nothing of a
//! request's body is read before.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wasmgate_core::jsonrpc::Id;
use wasmgate_core::name::ServerName;

use super::auth::Authority;
use super::body::Body;
use super::calling::Reply;
use super::connections::{Entry, Seat, Seats};
use super::door::{self, Door};
use super::framing::Framed;
use super::origin::{Foreign, Site};
use super::render::{Refusal, Wire};
use super::respond::Unread;
use super::session::Caller;
use super::sessions::Sessions;
use super::settings::{Limits, Settings};
use super::silence::Silence;
use super::stall::Unstalled;
use super::{Slot, endpoint, legacy_http, old_sse, preflight, respond, status};
use crate::audit::Entry as Noted;
use crate::gateway::{View, seconds_now};
use crate::joined::Joined;
use crate::shutdown::Tasks;
use crate::woken::Attention;

/// Why no address could be reserved.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has it.
    #[error("port {} on {} is already in use: stop the program that has it or choose another with `--port`", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// Not ours to take.
    #[error("port {} on {} may not be used by this user: choose one above 1023 with `--port`", .0.port(), .0.ip())]
    Forbidden(SocketAddr),
    /// Not an address of this machine, or something else.
    #[error("cannot listen on {address}: choose an address of this machine with `--host`")]
    Other {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A reserved address. Connections wait until [`Bound::serve`].
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    settings: Settings,
    tasks: Tasks,
}

/// Reserves an address; port 0 takes a free one. What is served there runs in `tasks` and ends with them.
///
/// # Errors
/// [`BindError`], with the cure in its words.
pub async fn bind(address: SocketAddr, settings: Settings, tasks: Tasks) -> Result<Bound, BindError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    match bound.await {
        Ok((listener, address)) => Ok(Bound { listener, address, settings, tasks }),
        Err(source) => {
            let source: io::Error = source;
            Err(match source.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse(address),
                io::ErrorKind::PermissionDenied => BindError::Forbidden(address),
                _ => BindError::Other { address, source },
            })
        }
    }
}

impl Bound {
    /// The address, with the port that was taken.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process stops: open connections end with their running requests then. Whoever comes later is for
    /// what this returns.
    pub async fn serve(self, slot: Slot) -> Closing {
        let Self { listener, address, settings, tasks } = self;
        let front = Arc::new(Front::new(address, settings, slot, tasks));
        front.tasks.spawn("session-sweeper", sweep(Arc::clone(&front)));
        let seats = Seats::new(front.limits.connections, front.limits.connections_per_address);
        let closing = Closing { listener, front, seats };
        let tasks = closing.front.tasks.clone();
        closing.accept(&tasks, Keep::Alive).await;
        closing
    }
}

/// A front whose time is over while its running requests go on.
pub struct Closing {
    listener: TcpListener,
    front: Arc<Front>,
    seats: Arc<Seats>,
}

/// Whether a connection may bring another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Alive,
    One,
}

impl Closing {
    /// Tells whoever comes now how things stand, one request a connection, until `tasks` are told to stop: that the gateway
    /// lives and is not ready; and lets running requests be cancelled and what they ask be answered. What is new is refused
    /// by the gateway.
    pub async fn turn_away(self, tasks: Tasks) {
        self.accept(&tasks, Keep::One).await;
    }

    async fn accept(&self, tasks: &Tasks, keep: Keep) {
        let mut told = None;
        let stopping = tasks.stopping();
        loop {
            let accepted = async {
                self.seats.room().await;
                self.listener.accept().await
            };
            let accepted = tokio::select! {
                () = stopping.cancelled() => return,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    // Answers are written whole; waiting for more would only delay them.
                    let _ = stream.set_nodelay(true);
                    tokio::select! {
                        // What was accepted in this moment is served if there is room.
                        biased;
                        seat = seat(&self.seats, from.ip(), &mut told) => {
                            let Some(seat) = seat else { continue };
                            let life = Life { keep, stopping: tasks.stopping() };
                            tasks.spawn("connection", connection(Arc::clone(&self.front), stream, seat, life));
                        }
                        () = stopping.cancelled() => return,
                    }
                }
                Err(error) => {
                    // Out of descriptors, most likely: connections that end free some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A seat for a connection that was accepted; None when its address has its share, which is `told` now and then.
async fn seat(seats: &Arc<Seats>, from: IpAddr, told: &mut Option<Instant>) -> Option<Seat> {
    loop {
        match seats.enter(from) {
            Entry::Entered(seat) => return Some(seat),
            Entry::Full => seats.room().await,
            Entry::AddressFull => {
                if told.is_none_or(|last| last.elapsed() > TELL) {
                    *told = Some(Instant::now());
                    tracing::warn!(
                        %from,
                        "connections refused: the address has as many as it may have (`limits.connections.perAddress`)"
                    );
                }
                return None;
            }
        }
    }
}

/// What is known of the other end of a connection.
pub(super) struct Peer {
    seat: Seat,
    /// Of the call that is under way on the connection.
    pub(super) silence: Silence,
    /// It said the length of a request in two ways.
    ambiguous: Arc<AtomicBool>,
}

/// What every request needs.
pub(super) struct Front {
    pub(super) site: Site,
    pub(super) authority: Authority,
    pub(super) sessions: Sessions,
    pub(super) limits: Limits,
    pub(super) slot: Slot,
    pub(super) tasks: Tasks,
    door: Option<Door>,
    behind: Option<Tasks>,
}

/// What a path stands for.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Health,
    Ready,
    Mcp(View),
    Sse,
    Messages,
    Interceptors,
    Nowhere,
}

impl Place {
    fn of(path: &str) -> Self {
        match path {
            "/health" => Self::Health,
            "/ready" => Self::Ready,
            "/mcp" => Self::Mcp(View::All),
            "/sse" => Self::Sse,
            "/messages" => Self::Messages,
            "/interceptors" => Self::Interceptors,
            _ => {
                let name = path.strip_prefix("/servers/").and_then(|rest| rest.strip_suffix("/mcp"));
                let name = name.and_then(|name| ServerName::new(name).ok());
                name.map_or(Self::Nowhere, |name| Self::Mcp(View::One(name)))
            }
        }
    }
}

impl Front {
    fn new(address: SocketAddr, settings: Settings, slot: Slot, tasks: Tasks) -> Self {
        let Settings { token, allowed_origins, allowed_hosts, limits, door, behind } = settings;
        let pools = slot.clone();
        let over = move |session: &str| {
            if let Some(gateway) = &*pools.borrow() {
                gateway.session_over(session);
            }
        };
        let site = Site::new(address.ip(), address.port(), &allowed_hosts, &allowed_origins);
        Self {
            site: if token.is_none() { site.open() } else { site },
            authority: Authority::new(token),
            sessions: Sessions::new(limits.clone(), over),
            limits,
            slot,
            tasks,
            door,
            behind,
        }
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let (head, body) = request.into_parts();
        if head.headers.contains_key(TRANSFER_ENCODING) && peer.ambiguous.load(Ordering::Relaxed) {
            self.note_stranger(&head, "ambiguous_length");
            let what = "a request has Content-Length or Transfer-Encoding, not both";
            return respond::refused(StatusCode::BAD_REQUEST, what);
        }
        if let Err(foreign) = self.site.admits(&head.uri, &head.headers) {
            let malformed = matches!(foreign, Foreign::Host | Foreign::Target);
            let status = if malformed { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
            self.note_stranger(&head, if malformed { "host_refused" } else { "origin_refused" });
            return respond::refused(status, &foreign.to_string());
        }
        let Some(origin) = self.site.configured_origin(&head.headers).cloned() else {
            return self.route(&head, body, peer).await;
        };
        let mut response = match head.method {
            Method::OPTIONS => preflight::answer(),
            _ => self.route(&head, body, peer).await,
        };
        preflight::share(&mut response, origin);
        response
    }

    async fn route(self: &Arc<Self>, head: &Parts, body: Incoming, peer: &Peer) -> Response<Body> {
        let place = Place::of(head.uri.path());
        if place == Place::Health {
            return match head.method {
                Method::GET | Method::HEAD => respond::json(StatusCode::OK, status::HEALTH.into()),
                _ => respond::not_allowed("GET"),
            };
        }
        let principal = match self.authority.principal(&head.headers) {
            Ok(principal) => principal,
            Err(why) => {
                self.note_stranger(head, "unauthenticated");
                return respond::unauthenticated(why);
            }
        };
        peer.seat.keep();
        let response = self.serve(place, Arc::clone(&principal), (head, body), peer).await;
        if let Some(Unread(code)) = response.extensions().get() {
            let entry = Noted { principal: Some(principal), name: Some(path(head)), ..Noted::default() };
            self.note_entry(entry, code);
        }
        response
    }

    /// The answer to somebody who may talk to us.
    async fn serve(
        self: &Arc<Self>,
        place: Place,
        principal: Arc<str>,
        (head, body): (&Parts, Incoming),
        peer: &Peer,
    ) -> Response<Body> {
        if let (Place::Interceptors, Some(door)) = (&place, &self.door) {
            return match head.method {
                Method::POST => door::post(self, door, principal, (head, body)).await,
                _ => respond::not_allowed("POST"),
            };
        }
        let caller = |view| Caller { principal, view };
        match (place, &head.method) {
            (Place::Ready, _) => self.ready(head),
            (Place::Mcp(view), &Method::POST) => endpoint::post((self, peer), caller(view), head, body).await,
            (Place::Mcp(view), &Method::GET) => legacy_http::get(self, &caller(view), head).await,
            (Place::Mcp(view), &Method::DELETE) => legacy_http::delete(self, &caller(view), head).await,
            (Place::Mcp(_), _) => respond::not_allowed("GET, POST, DELETE"),
            (Place::Sse, &Method::GET) => old_sse::open(self, caller(View::All), head).await,
            (Place::Sse, _) => respond::not_allowed("GET"),
            (Place::Messages, &Method::POST) => old_sse::post(self, &caller(View::All), head, body).await,
            (Place::Messages, _) => respond::not_allowed("POST"),
            (Place::Health | Place::Interceptors | Place::Nowhere, _) => {
                respond::refused(StatusCode::NOT_FOUND, "nothing is served here: MCP clients use /mcp")
            }
        }
    }

    /// Notes that somebody was not let in.
    fn note_stranger(&self, head: &Parts, code: &'static str) {
        self.note_entry(Noted { name: Some(path(head)), ..Noted::default() }, code);
    }

    /// Notes that a message of somebody who is known was refused, in no session that can be named.
    pub(super) fn note(&self, principal: &Arc<str>, method: Option<&str>, code: &'static str) {
        let principal = Some(Arc::clone(principal));
        self.note_entry(Noted { principal, method: method.map(Arc::from), ..Noted::default() }, code);
    }

    fn note_entry(&self, entry: Noted, code: &'static str) {
        if let Some(gateway) = &*self.slot.borrow() {
            gateway.note_refused(entry, code);
        }
    }

    /// A message that is refused, with its line in the audit log.
    pub(super) fn refuse(
        &self,
        principal: &Arc<str>,
        method: Option<&str>,
        (wire, id): (Wire, Option<&Id>),
        refusal: &Refusal,
    ) -> Response<Body> {
        self.note(principal, method, refusal.word());
        respond::whole(Reply::refusal(wire, id, refusal))
    }

    fn ready(&self, head: &Parts) -> Response<Body> {
        match head.method {
            Method::GET | Method::HEAD => {
                let behind = self.behind.as_ref().map_or(0, Tasks::running);
                let (status, body) = status::ready(&self.slot, self.tasks.running() + behind);
                respond::json(status, body.into())
            }
            _ => respond::not_allowed("GET"),
        }
    }
}

/// As much of the path as the audit log has room for. Not the query: there are session ids in it.
fn path(head: &Parts) -> String {
    head.uri.path().chars().take(LONGEST_PATH).collect()
}

/// How long a connection lasts.
struct Life {
    keep: Keep,
    stopping: CancellationToken,
}

/// What may happen to a connection besides what comes on it.
enum Seldom {
    /// Somebody else has its seat.
    SeatLost,
    Stopping,
}

async fn connection<T>(front: Arc<Front>, stream: T, seat: Seat, life: Life)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let peer = Peer { seat, silence: Silence::default(), ambiguous: Arc::default() };
    let stream = Unstalled::new(Joined(stream), front.limits.stall);
    let stream = Framed::new(stream, Arc::clone(&peer.ambiguous));
    let asked = Notify::new();
    // The library looks at a call with everything it does for the connection.
    let calls = Attention::default();
    let service = service_fn(|request| {
        let (front, peer, calls) = (&front, &peer, &calls);
        asked.notify_one();
        async move { Ok::<_, Infallible>(calls.on(pin!(front.answer(request, peer))).await) }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .keep_alive(life.keep == Keep::Alive)
        .header_read_timeout(front.limits.header_time)
        .max_header_size(front.limits.headers)
        .max_buf_size(BUFFER);
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    let beside = Attention::default();
    let seldom = pin!(async {
        tokio::select! {
            () = peer.seat.lost() => Seldom::SeatLost,
            () = life.stopping.cancelled() => Seldom::Stopping,
        }
    });
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        seldom = beside.on(seldom) => match seldom {
            Seldom::SeatLost => return tracing::debug!("a connection that asked nothing made room"),
            Seldom::Stopping => tokio::select! {
                ended = serving.as_mut() => ended,
                // The first request of a connection may be on its way: it is not left without an answer.
                asked = tokio::time::timeout(FIRST, asked.notified()) => {
                    // Half a head, perhaps, which nobody waits for now.
                    if asked.is_err() {
                        return tracing::debug!("a connection that asked nothing ends with the gateway");
                    }
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            },
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn sweep(front: Arc<Front>) {
    let stopping = front.tasks.stopping();
    // What is to be forgotten sooner is looked for sooner.
    let pause = SWEEP.min(front.limits.unconfirmed).min(front.limits.idle);
    while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let swept = front.sessions.sweep(Instant::now(), seconds_now());
        if swept > 0 {
            tracing::debug!(swept, "unused sessions forgotten");
        }
    }
}

/// Largest read of a connection, in bytes: no head is larger.
const BUFFER: usize = 256 << 10;
/// How often it is told that connections are refused.
const TELL: Duration = Duration::from_secs(10);
/// How long a connection that has brought nothing yet is waited for at the end.
const FIRST: Duration = Duration::from_millis(500);
/// So much of a path stands in the audit log, in characters.
const LONGEST_PATH: usize = 128;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const SWEEP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;

//! A connection over streamable HTTP: every request is a POST in its caller's own future.
//!
//! No task and no channel per call. What lives longer than a call: the session id a legacy server gave us, the stream it
//! pushes notifications on ([`listen`]), and the container behind it when it is one of ours.

mod answer; // what comes back on a POST
mod asking; // sessions in which a client can be asked
mod cancel; // calls that nobody waits for any more
mod flowing; // responses that are passed on as they come
mod head; // request heads and response statuses
mod heard; // whose log messages are
mod listen; // the GET stream
mod params; // arguments repeated in headers
mod pulse; // whether a server of ours is still there

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{self, Id};
use wasmgate_core::name::ServerName;

pub(super) use self::head::{configured, encoded, is_encoded};

use self::answer::{Exchange, Purpose};
use self::asking::Asking;
use self::cancel::CancelOnDrop;
use self::flowing::{Beside, Come};
use self::heard::Hearers;
use self::params::ParamHeaders;
use super::again::{Allowance, Effect};
use super::correlator::Patience;
use super::declared::Declared;
use super::era::Era;
use super::link::{Ending, Question, Signals};
use super::outlet::Outlet;
use super::waiter::Waiter;
use super::{Answer, Denial, Fault, Limits};
use crate::egress::{Body, Egress, EgressError, Reach};
use crate::launch::Instance;
use crate::shutdown::Tasks;

/// A connection over streamable HTTP.
pub(super) struct Http {
    way: Way,
    tasks: Tasks,
    session: ArcSwapOption<HeaderValue>,
    param_headers: ArcSwap<ParamHeaders>,
    next: AtomicU64,
    signals: Arc<Signals>,
    ended: watch::Sender<Option<Ending>>,
    /// How many sessions the server has ended.
    sessions_ended: AtomicU64,
    /// Calls in flight.
    calls: TaskTracker,
    /// Requests in flight, and who hears what belongs to them.
    hearers: Hearers,
    /// Messages of ours nobody waits for: so many at once and no more.
    asides: Arc<Semaphore>,
    /// Asks the container behind it, when there is one, to stop.
    stop: CancellationToken,
    /// The container behind it is gone, or there is none.
    gone: CancellationToken,
    /// In a session of one client's own: what makes it one, and the connection it belongs to.
    asking: Option<Asking>,
    base: Option<Arc<Self>>,
    /// How many requests may be repeated, in whatever session.
    allowance: Arc<Mutex<Allowance>>,
    /// The last sign of life of a server of ours, and whether it is being asked for one.
    heard: Arc<Mutex<Instant>>,
    is_asked: Arc<AtomicBool>,
}

/// How to reach one server over HTTP.
#[derive(Clone)]
pub(super) struct Way {
    /// The way out.
    pub(super) egress: Egress,
    /// How far it goes.
    pub(super) reach: Reach,
    /// Where to.
    pub(super) uri: Uri,
    /// Headers of every request: the configured ones and who we are.
    pub(super) headers: HeaderMap,
    /// Whether the server has other addresses to turn to when this one cannot be reached.
    pub(super) others: Others,
    /// What it may take.
    pub(super) limits: Limits,
}

/// The other addresses of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// This is its only one.
    None,
    /// The next connection goes to another.
    Some,
}

impl Http {
    /// A connection to a server that runs elsewhere.
    pub(super) fn remote(way: Way, tasks: &Tasks) -> Arc<Self> {
        let http = Self::new(way, tasks);
        http.gone.cancel();
        Arc::new(http)
    }

    /// A connection to a server of ours that serves HTTP.
    pub(super) fn local(way: Way, instance: Instance, tasks: &Tasks) -> Arc<Self> {
        let http = Arc::new(Self::new(way, tasks));
        tasks.spawn("upstream-instance", Arc::clone(&http).keep(instance));
        http
    }

    fn new(way: Way, tasks: &Tasks) -> Self {
        let signals = Arc::new(Signals::new(&way.limits));
        let allowance = Arc::new(Mutex::new(Allowance::of(way.limits.retries)));
        Self {
            way,
            tasks: tasks.clone(),
            session: ArcSwapOption::empty(),
            param_headers: ArcSwap::default(),
            next: AtomicU64::new(1),
            signals,
            ended: watch::Sender::new(None),
            sessions_ended: AtomicU64::new(0),
            calls: TaskTracker::new(),
            hearers: Hearers::default(),
            asides: Arc::new(Semaphore::new(MAX_ASIDES)),
            stop: CancellationToken::new(),
            gone: CancellationToken::new(),
            asking: None,
            base: None,
            allowance,
            heard: Arc::new(Mutex::new(Instant::now())),
            is_asked: Arc::default(),
        }
    }

    /// A session of one client's own with the same server, which is told that it may ask what is `declared`.
    pub(super) fn own(self: &Arc<Self>, server: ServerName, declared: Declared) -> Arc<Self> {
        let mut own = Self::new(self.way.clone(), &self.tasks);
        // What it says there of lists and resources is for everybody.
        own.signals = Arc::clone(&self.signals);
        own.allowance = Arc::clone(&self.allowance);
        own.heard = Arc::clone(&self.heard);
        own.is_asked = Arc::clone(&self.is_asked);
        own.gone.cancel();
        own.asking = Some(Asking::new(server, declared));
        own.base = Some(Arc::clone(self));
        Arc::new(own)
    }

    /// What the server is told it may ask.
    pub(super) fn declared(&self) -> Declared {
        self.asking.as_ref().map_or(Declared::NOTHING, |asking| asking.declared)
    }

    /// Whether the server gave us a session.
    pub(super) fn has_session(&self) -> bool {
        self.session.load().is_some()
    }

    /// Ends what goes on in the background when it is dropped.
    pub(super) fn ends_with(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }

    /// Listens, in the background, to what the server says in a session of a client's own; returns once it does.
    pub(super) async fn overhear(self: &Arc<Self>, era: &Era) {
        let (http, era) = (Arc::clone(self), era.clone());
        self.tasks.spawn("upstream-overhear", async move {
            http.stop.clone().run_until_cancelled(http.listen(&era)).await;
        });
        if let Some(asking) = &self.asking {
            let _ = timeout(OVERHEAR, asking.listens.cancelled()).await;
        }
    }

    /// Watches the instance behind the connection until it ends or is to be stopped.
    async fn keep(self: Arc<Self>, mut instance: Instance) {
        let exit = tokio::select! {
            exit = instance.ended() => Some(exit),
            () = self.stop.cancelled() => None,
        };
        match exit {
            Some(exit) => self.end(Ending::exited(exit)),
            None => drop(instance.stop(STOP_GRACE).await),
        }
        self.gone.cancel();
    }

    /// See [`super::link::Link::ask`].
    pub(super) async fn ask(self: &Arc<Self>, era: &Era, question: Question<'_>) -> Result<Answer, Fault> {
        let in_flight = self.calls.token();
        let is_first = Purpose::of(question.method) == Purpose::Handshake;
        if is_first {
            self.session.store(None);
        }
        let may_ask = question.principal_asked(era).is_some();
        let doubt = self.doubt(era, &question);
        let (request, mut exchange) = self.exchange(era, question)?;
        let is_armed = !is_first && matches!(era, Era::Legacy(_));
        let cancel = CancelOnDrop { http: Arc::clone(self), era: era.clone(), id: exchange.id, is_armed };
        if let Some(asking) = self.asking.as_ref().filter(|_| may_ask) {
            let (orders, outcome) = asking.converse(&mut exchange, &self.stop);
            let beside = Beside { in_flight, cancel, doubt };
            self.tasks.spawn("upstream-call", exchange.converse(request, beside));
            return Waiter::new(orders, outcome).wait().await;
        }
        let answer = match exchange.run(request).await {
            Ok(Come::Flows(begun)) => {
                return Ok(Answer::Flow(begun.flow(exchange, Beside { in_flight, cancel, doubt })));
            }
            Ok(Come::Answer(answer)) => Ok(answer),
            Err(fault) => Err(fault),
        };
        doubt.into_iter().for_each(|doubt| doubt.settle(&answer));
        cancel.settle(&answer);
        answer
    }

    /// A request as it goes out, and what waits for its answer.
    fn exchange(
        self: &Arc<Self>,
        era: &Era,
        question: Question<'_>,
    ) -> Result<(Request<Full<Bytes>>, Exchange), Fault> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let dressed = era.dress(question.params, id, question.client.map(|client| client.facts));
        let body = jsonrpc::write_request(&Id::number(id), question.method, dressed.params.as_ref());
        let purpose = Purpose::of(question.method);
        let era_of_head = (purpose != Purpose::Handshake).then_some(era);
        let mut head = self.head(Method::POST, era_of_head);
        if matches!(era, Era::Modern(_))
            && let Some(headers) = head.headers_mut()
        {
            head::add_routing(headers, question.method, question.params);
            if let ("tools/call", Some(params)) = (question.method, question.params) {
                self.param_headers.load().add(headers, params);
            }
        }
        let session = head.headers_ref().and_then(|headers| headers.get(head::SESSION)).cloned();
        let session = session.and_then(|sent| self.session.load_full().filter(|now| **now == sent));
        let outlet = question.events.map(Outlet::new);
        let exchange = Exchange {
            http: Arc::clone(self),
            era: era.clone(),
            id,
            token: dressed.token,
            purpose,
            effect: Effect::of(question.method),
            session,
            patience: question.patience,
            hearer: match era {
                Era::Legacy(_) => self.hearers.enter(id, outlet),
                Era::Modern(_) => Hearers::apart(outlet),
            },
            conversation: None,
            appetite: question.client.and_then(|client| client.appetite).cloned().unwrap_or_default(),
        };
        Ok((request(head, body)?, exchange))
    }

    /// Sends a notification or an answer of ours.
    ///
    /// # Errors
    /// When it cannot have arrived.
    pub(super) async fn tell(&self, era: &Era, message: Vec<u8>) -> Result<(), Fault> {
        let head = self.head(Method::POST, Some(era));
        let patience = Patience::of(TELL, Instant::now().into_std());
        let response = self.send(head, message, patience).await?;
        match response.status().as_u16() {
            status @ (401 | 403) => Err(Fault::Unauthorized(Denial::of(status, response.headers()))),
            status @ 500.. => Err(Fault::Declined(format!("it answered HTTP {status}"))),
            _ => Ok(()),
        }
    }

    /// Sends a client's reply to a question of the server.
    ///
    /// # Errors
    /// When the server cannot go on: the call that waits for the reply is lost.
    async fn reply(&self, era: &Era, message: Vec<u8>) -> Result<(), Fault> {
        let session = self.session.load_full();
        let head = self.head(Method::POST, Some(era));
        let sent = self.send(head, message, Patience::of(TELL, Instant::now().into_std())).await;
        let lost = |how: &str| Fault::Crashed(format!(": the client's reply did not reach it{how}"));
        match sent.map_err(|_| lost(""))?.status().as_u16() {
            404 if session.is_some() => {
                session.iter().for_each(|session| self.end_session(session));
                Err(lost(", its session is over"))
            }
            status @ (401 | 403 | 500..) => Err(lost(&format!(" (HTTP {status})"))),
            _ => Ok(()),
        }
    }

    /// Sends a message nobody waits for. Too many at once are dropped.
    fn tell_aside(self: &Arc<Self>, era: &Era, message: Vec<u8>) {
        let Ok(permit) = Arc::clone(&self.asides).try_acquire_owned() else { return };
        let (http, era) = (Arc::clone(self), era.clone());
        self.tasks.spawn("upstream-aside", async move {
            let _permit = permit;
            let _ = http.tell(&era, message).await;
        });
    }

    /// See [`super::link::Link::signals`].
    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// How the server is reached.
    pub(super) const fn way(&self) -> &Way {
        &self.way
    }

    /// See [`super::link::Link::ended`].
    pub(super) async fn ended(&self) -> Ending {
        let mut ended = self.ended.subscribe();
        let ending = ended.wait_for(Option::is_some).await.ok().and_then(|ending| ending.clone());
        ending.unwrap_or_else(Ending::closed)
    }

    /// See [`super::link::Link::how_it_ended`].
    pub(super) fn how_it_ended(&self) -> Option<Ending> {
        self.ended.borrow().clone()
    }

    /// The tools have been listed: their schemas say which arguments go into headers.
    pub(super) fn learn(&self, tools: &[Json]) {
        self.param_headers.store(Arc::new(ParamHeaders::of(tools)));
    }

    /// A new handshake begins: an ended session is forgotten.
    pub(super) fn begin_again(&self) {
        // In this order: an ending of the old session must not end the new one.
        self.session.store(None);
        self.ended.send_replace(None);
    }

    /// How many sessions the server has ended.
    pub(super) fn sessions_ended(&self) -> u64 {
        self.sessions_ended.load(Ordering::Relaxed)
    }

    /// Whether what is behind it is ours and may not be listening yet.
    pub(super) fn may_be_starting(&self) -> bool {
        !self.gone.is_cancelled() && self.how_it_ended().is_none()
    }

    /// The server has forgotten this session of ours. A late word about one that has been renewed ends nothing.
    fn end_session(&self, session: &Arc<HeaderValue>) {
        self.ended.send_if_modified(|ended| {
            let is_current = self.session.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, session));
            if !is_current || ended.is_some() {
                return false;
            }
            self.sessions_ended.fetch_add(1, Ordering::Relaxed);
            *ended = Some(Ending::session_over());
            true
        });
    }

    /// Lets calls in flight finish within `grace`, ends the session and stops the server when it is ours.
    pub(super) async fn close(&self, grace: Duration) {
        self.calls.close();
        let is_silent = self.how_it_ended().is_some_and(|ending| ending.is_unresponsive());
        let grace = if is_silent { Duration::ZERO } else { grace };
        let _ = timeout(grace, self.calls.wait()).await;
        if self.session.load().is_some() && self.how_it_ended().is_none() {
            // 2025-11-25, streamable HTTP, Session Management: 405 is a fine answer.
            let head = self.head(Method::DELETE, Some(&Era::Legacy(super::legacy::VERSIONS[0])));
            let _ = self.send(head, Vec::new(), Patience::of(GOODBYE, Instant::now().into_std())).await;
        }
        self.end(Ending::closed());
        self.stop.cancel();
        self.gone.cancelled().await;
    }

    /// Says how it ended, unless it has ended before.
    fn end(&self, ending: Ending) {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(ending);
            is_first
        });
    }

    /// How many requests may be repeated.
    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_session(&self, response: &Response<Body>) {
        self.session.store(response.headers().get(head::SESSION).cloned().map(Arc::new));
    }

    /// The head of a request; `era` once it is known.
    fn head(&self, method: Method, era: Option<&Era>) -> http::request::Builder {
        let mut builder = Request::builder().method(method).uri(self.way.uri.clone());
        if let Some(headers) = builder.headers_mut() {
            headers.clone_from(&self.way.headers);
            if let Some(version) = era.and_then(|era| head::version(era.version())) {
                headers.insert(head::PROTOCOL_VERSION, version);
            }
            if let Some(session) = self.session.load_full() {
                headers.insert(head::SESSION, HeaderValue::clone(&session));
            }
        }
        builder
    }

    async fn send(
        &self,
        head: http::request::Builder,
        body: Vec<u8>,
        patience: Patience,
    ) -> Result<Response<Body>, Fault> {
        let sending = self.transfer(request(head, body)?);
        let sent = timeout_at(Instant::from_std(patience.ends()), sending).await;
        sent.unwrap_or_else(|_| Err(Fault::Timeout(patience.seconds())))
    }

    /// Sends a request and waits for the head of the response, however long that takes.
    async fn transfer(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Fault> {
        match self.way.egress.send(self.way.reach, request).await {
            Ok(response) => {
                self.hear_of();
                Ok(response)
            }
            Err(EgressError::Broken(error)) => Err(self.lost(cause(&error)).await),
            Err(error) => {
                if self.way.others == Others::Some {
                    self.end(Ending::broken("this one of its addresses cannot be reached"));
                }
                Err(Fault::Unavailable(error.to_string()))
            }
        }
    }

    /// The connection broke with a request on it. When the server behind it ended, that explains more.
    async fn lost(&self, cause: String) -> Fault {
        let behind = self.base.as_deref().unwrap_or(self);
        if !behind.gone.is_cancelled()
            && let Ok(ending) = timeout(LINGER, behind.ended()).await
        {
            return ending.crashed();
        }
        Fault::Crashed(format!(": {cause}"))
    }
}

fn request(head: http::request::Builder, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Fault> {
    let made = head.body(Full::new(Bytes::from(body)));
    made.map_err(|error| Fault::Unavailable(format!("the request cannot be made: {error}")))
}

/// The last cause of an error: the one that names what happened.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// How many messages of ours may be on their way without anybody waiting.
const MAX_ASIDES: usize = 64;
/// How long a notification of ours may take to be accepted.
const TELL: Duration = Duration::from_secs(10);
/// How long the stream of a client's own session may take to open before calls go out all the same.
const OVERHEAR: Duration = Duration::from_secs(1);
/// How long the end of a session may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long an ending container may take to say so after its connections broke.
const LINGER: Duration = Duration::from_millis(150);
const STOP_GRACE: Duration = Duration::from_secs(2);

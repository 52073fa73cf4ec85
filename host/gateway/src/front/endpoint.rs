//! Streamable HTTP: one path that takes messages by POST and, for legacy sessions, streams by GET and their end by DELETE.
//!
//! An answer is JSON when nothing comes before it. A stream is opened when the first notification exists, or after a
//! while of silence so that nobody between gives up; until then an error has its own HTTP status.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{Id, Message, read, write_result};
use wasmgate_core::mcp::method;

use super::accept::{self, Accepts};
use super::batch::{self, Manner};
use super::body::{self, Body};
use super::calling::{Part, Reply, Step};
use super::classify::{Era, Misfit, Protocol, Seen, Shape, classify};
use super::headers::{McpHeaders, SESSION};
use super::http::{Front, Peer};
use super::render::{Refusal, Wire, Worded, failure};
use super::session::{Caller, Session};
use super::{legacy, legacy_http, modern, params, render, respond, resuming, sse};
use crate::gateway::{Appetite, Gateway, seconds_now};

/// One POST on its way.
struct Posted<'a> {
    front: &'a Front,
    peer: &'a Peer,
    gateway: Arc<Gateway>,
    caller: Caller,
    head: &'a Parts,
    accepts: Accepts,
    /// Whether the answer can still be sent as it comes.
    appetite: Appetite,
}

/// Takes a message.
pub(super) async fn post(
    (front, peer): (&Front, &Peer),
    caller: Caller,
    head: &Parts,
    body: Incoming,
) -> Response<Body> {
    let (bytes, accepts) = match take(front, head, body).await {
        Ok(taken) => taken,
        Err(response) => return response,
    };
    let gateway = match super::gateway(&front.slot, front.limits.patience).await {
        Ok(gateway) => gateway,
        Err(error) => return respond::whole(Reply::error(None, &failure(Wire::Legacy, &error, ""))),
    };
    let appetite = Appetite::for_flows();
    let posted = Posted { front, peer, gateway, caller, head, accepts, appetite };
    match batch::looks_like_batch(&bytes) {
        true => posted.batch(bytes).await,
        false => posted.message(bytes).await,
    }
}

/// The body, once it is known that it is JSON and that the client can read an answer.
pub(super) async fn take(
    front: &Front,
    head: &Parts,
    body: Incoming,
) -> Result<(Bytes, Accepts), Response<Body>> {
    if !accept::is_json(&head.headers) {
        let what = "Content-Type must be application/json";
        return Err(respond::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
    }
    let what = "Accept must list application/json and text/event-stream";
    let accepts =
        Accepts::of(&head.headers).ok_or_else(|| respond::refused(StatusCode::NOT_ACCEPTABLE, what))?;
    let bytes = body::read(body, &front.limits).await.map_err(respond::broken_body)?;
    Ok((bytes, accepts))
}

impl Posted<'_> {
    async fn message(self, bytes: Bytes) -> Response<Body> {
        let message = match read(bytes) {
            Ok(message) => message,
            Err(error) => {
                let id = error.id.clone();
                return self.refuse((Wire::Legacy, id.as_ref()), None, &Refusal::Unreadable(error));
            }
        };
        let (shape, params) = match &message {
            Message::Request { params, .. } => (Shape::Request, params.as_ref()),
            Message::Notification { params, .. } => (Shape::Notification, params.as_ref()),
            Message::Response { .. } => (Shape::Response, None),
        };
        let protocol = if shape == Shape::Request { Protocol::of(params) } else { Protocol::default() };
        let method = message.method().unwrap_or_default();
        let headers = Some(McpHeaders::of(&self.head.headers));
        match (classify(&Seen { shape, method, protocol: &protocol, headers }), message) {
            (Ok(Era::Modern(version)), Message::Request { id, method, params }) => {
                let name = protocol.name.as_ref().filter(|_| &*method == method::TOOLS_CALL);
                if let Err(misfit) = self.repeated(version, name, params.as_ref()).await {
                    let to = (Wire::Modern, Some(&id));
                    return self.refuse(to, Some(&method), &Refusal::Misfit(misfit));
                }
                let asked = modern::Asked { id, method, params, protocol, version };
                let step = modern::receive(
                    &self.gateway,
                    &self.caller,
                    asked,
                    (self.accepts.events, &self.appetite),
                    None,
                );
                self.respond(None, step).await
            }
            (Ok(Era::Initialize), Message::Request { id, params, .. }) => self
                .initialize(&id, params)
                .await
                .unwrap_or_else(|worded| respond::whole(Reply::error(Some(&id), &worded))),
            (Ok(Era::Legacy | Era::Initialize | Era::Modern(_)), message) => self.legacy(message).await,
            (Ok(Era::Ignored), _) => respond::empty(StatusCode::ACCEPTED),
            (Err(misfit), message) => {
                let id = if shape == Shape::Request { message.id() } else { None };
                self.refuse((Wire::Modern, id), message.method(), &Refusal::Misfit(misfit))
            }
        }
    }

    fn refuse(&self, to: (Wire, Option<&Id>), method: Option<&str>, refusal: &Refusal) -> Response<Body> {
        self.front.refuse(&self.caller.principal, method, to, refusal)
    }

    /// Whether the headers repeat the arguments of a tool as its schema wants it.
    async fn repeated(
        &self,
        version: &'static str,
        tool: Option<&Json>,
        params: Option<&Json>,
    ) -> Result<(), Misfit> {
        let Some(tool) = tool.and_then(Json::string) else { return Ok(()) };
        let Caller { principal, view } = &self.caller;
        let wanted = self.gateway.param_headers(view, principal, version, &tool).await;
        if wanted.is_empty() {
            return Ok(());
        }
        let arguments = params.and_then(|params| params.member("arguments"));
        params::check(&self.head.headers, arguments.as_ref(), &wanted)
    }

    async fn legacy(self, message: Message) -> Response<Body> {
        let (session, resumable) = match legacy_http::find(self.front, &self.gateway, &self.caller, self.head)
        {
            Ok(session) => (Arc::clone(&session), Some(session)),
            Err(Refusal::NoSession) if legacy_http::is_served_alone(&message) => {
                (legacy_http::alone(&self.caller, self.head), None)
            }
            Err(refusal) => {
                return self.refuse((Wire::Legacy, message.id()), message.method(), &refusal);
            }
        };
        let step = legacy::receive(&self.gateway, &session, message, self.manner());
        // Without a session nobody can come back for the answer, nor cancel the call.
        let step = if resumable.is_some() { step.outliving(&self.front.tasks) } else { step };
        self.respond(resumable, step).await
    }

    /// Only a session of 2025-03-26 may send one; for everyone else `batch::receive` has the refusal.
    async fn batch(self, bytes: Bytes) -> Response<Body> {
        let (session, step) = match legacy_http::find(self.front, &self.gateway, &self.caller, self.head) {
            Ok(session) => {
                let manner = Manner { appetite: Appetite::default(), ..self.manner() };
                let step = batch::receive(&self.gateway, &session, bytes, manner);
                (session, step.outliving(&self.front.tasks))
            }
            Err(refusal) => match read(bytes) {
                Err(error) => return self.refuse((Wire::Legacy, None), None, &Refusal::Unreadable(error)),
                Ok(_) => return self.refuse((Wire::Legacy, None), None, &refusal),
            },
        };
        self.respond(Some(session), step).await
    }

    async fn initialize(&self, id: &Id, params: Option<Json>) -> Result<Response<Body>, Worded> {
        let front = self.front;
        let worded = |refusal: Refusal| {
            front.note(&self.caller.principal, Some(method::INITIALIZE), refusal.word());
            render::refusal(Wire::Legacy, &refusal)
        };
        let session = front.sessions.open(self.caller.clone(), Instant::now()).map_err(worded)?;
        let result = legacy::open(Arc::clone(&self.gateway), Arc::clone(&session), params).await;
        let sealed = result.and_then(|result| {
            let sealed = front.sessions.seal(&session, self.gateway.sealer(), seconds_now());
            Ok((result, sealed.map_err(worded)?))
        });
        let (result, token) = sealed.inspect_err(|_| front.sessions.close(&session))?;
        tracing::debug!(method = method::INITIALIZE, principal = %self.caller.principal, session = %session.id, "session opened");
        let mut response = respond::whole(Reply::message(write_result(id, &result)));
        // An id is visible ASCII.
        if let Ok(value) = HeaderValue::from_str(&token) {
            response.headers_mut().insert(SESSION, value);
        }
        Ok(response)
    }

    fn manner(&self) -> Manner {
        let most = self.front.limits.in_flight;
        Manner { hears: self.accepts.events, most, appetite: self.appetite.clone() }
    }

    /// The streams of a session can be resumed, all others are over when they break.
    async fn respond(self, session: Option<Arc<Session>>, step: Step) -> Response<Body> {
        match step {
            Step::Nothing => respond::empty(StatusCode::ACCEPTED),
            Step::Reply(reply) => respond::whole(reply),
            Step::Call(calling) => self.stream_or_whole(session, calling).await,
            Step::Batch(batch) => self.stream_or_whole(session, batch).await,
            Step::Listen(listen) => {
                let stopping = self.front.tasks.stopping().cancelled_owned();
                self.stream_or_whole(None, listen.until(stopping)).await
            }
        }
    }

    async fn stream_or_whole<S>(self, session: Option<Arc<Session>>, mut parts: S) -> Response<Body>
    where
        S: Stream<Item = Part> + Unpin + Send + 'static,
    {
        let silence = resuming::silence(session.as_deref());
        let mut first = None;
        if session.is_some() && !self.accepts.json {
            self.appetite.spoil();
        }
        if self.accepts.json {
            let part = match self.accepts.events {
                true => self.peer.silence.within(silence, parts.next()).await,
                false => Some(parts.next().await),
            };
            match part {
                Some(Some(Part::Reply(reply))) => return respond::whole(reply),
                Some(Some(Part::Flow(flowing))) => return respond::flowing(*flowing),
                Some(Some(Part::Event(event))) => first = Some(event),
                Some(None) => return respond::empty(StatusCode::ACCEPTED),
                None => {}
            }
        }
        if let Some(session) = session {
            // What goes out there is kept for a client that comes back.
            self.appetite.spoil();
            return resuming::answer(&session, first, parts, &self.front.tasks);
        }
        let mut opening = Vec::new();
        match first {
            Some(event) => sse::push(&mut opening, "message", &event),
            None => opening.extend_from_slice(sse::COMMENT),
        }
        respond::parts(parts, opening)
    }
}

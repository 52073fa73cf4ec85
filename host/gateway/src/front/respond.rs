//! HTTP responses: whole messages, streams, and refusals that come before any message was read.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use wasmgate_core::jsonrpc::{error_object, write_error};
use wasmgate_core::mcp::code;

use super::auth::Unauthenticated;
use super::body::{Body, BodyError};
use super::calling::{Part, Reply};
use super::duplex::message;
use super::flowing::Flowing;
use super::sse::{Event, EventStream};

/// A reply as JSON; an empty stream when the client cancelled and gets no answer.
pub(super) fn whole(reply: Reply) -> Response<Body> {
    match reply.message {
        Some(message) => json(status(reply.status), message.into()),
        None => with_type(StatusCode::OK, EVENTS, Body::empty()),
    }
}

/// A long reply as JSON, as it comes.
pub(super) fn flowing(flowing: Flowing) -> Response<Body> {
    with_type(StatusCode::OK, JSON, Body::Flow(Box::pin(flowing.pieces())))
}

/// Messages as they come; `opening` goes first.
pub(super) fn stream<S>(messages: S, opening: Vec<u8>) -> Response<Body>
where
    S: Stream<Item = Vec<u8>> + Unpin + Send + 'static,
{
    events(messages.map(Event::from), opening)
}

/// The messages of a call as they come, a long answer piece by piece; `opening` goes first.
pub(super) fn parts<S>(parts: S, opening: Vec<u8>) -> Response<Body>
where
    S: Stream<Item = Part> + Unpin + Send + 'static,
{
    let last = Arc::new(Mutex::new(None));
    let rest = Arc::clone(&last);
    let messages = parts.scan((), move |(), part| {
        std::future::ready(match part {
            Part::Flow(flowing) => {
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(flowing);
                None
            }
            part => Some(message(part)),
        })
    });
    let messages = messages.filter_map(std::future::ready).map(Event::from);
    let rest = stream::once(async move { rest.lock().unwrap_or_else(PoisonError::into_inner).take() });
    let rest =
        rest.filter_map(|flowing| std::future::ready(flowing.map(|flowing| flowing.event()))).flatten();
    event_stream(Body::Flow(Box::pin(EventStream::new(messages, opening).map(Ok).chain(rest))))
}

/// Events as they come; `opening` goes first.
pub(super) fn events<S>(events: S, opening: Vec<u8>) -> Response<Body>
where
    S: Stream<Item = Event> + Unpin + Send + 'static,
{
    event_stream(Body::Stream(Box::pin(EventStream::new(events, opening))))
}

fn event_stream(body: Body) -> Response<Body> {
    let mut response = with_type(StatusCode::OK, EVENTS, body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A status and nothing else.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A JSON body.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    with_type(status, JSON, Body::Whole(body))
}

/// Why a message was refused unread: goes with the response as far as the audit log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unread(pub(super) &'static str);

impl Unread {
    const fn of(status: StatusCode) -> Self {
        Self(match status {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::NOT_ACCEPTABLE => "not_acceptable",
            StatusCode::REQUEST_TIMEOUT => "too_slow",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            _ => "unreadable",
        })
    }
}

/// A refusal in words, before a message was read. The connection ends with it: what is left of the request is not read.
pub(super) fn refused(status: StatusCode, what: &str) -> Response<Body> {
    tracing::debug!(status = status.as_u16(), what, "refused");
    let message = write_error(None, &error_object(code::INVALID_REQUEST, what, None));
    let mut response = json(status, message.into());
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.extensions_mut().insert(Unread::of(status));
    response
}

/// A request of someone we do not know; of what cannot be read, `invalid_request` goes with 400 (RFC 6750 section 3.1).
pub(super) fn unauthenticated(why: Unauthenticated) -> Response<Body> {
    let status = match why {
        Unauthenticated::Ambiguous => StatusCode::BAD_REQUEST,
        Unauthenticated::Missing | Unauthenticated::Wrong => StatusCode::UNAUTHORIZED,
    };
    let mut response = refused(status, &why.to_string());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(why.challenge()));
    response
}

/// A body that could not be read.
pub(super) fn broken_body(error: BodyError) -> Response<Body> {
    let status = match error {
        BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyError::Broken => StatusCode::BAD_REQUEST,
    };
    refused(status, &error.to_string())
}

/// A method that this path does not take.
pub(super) fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn with_type(status: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

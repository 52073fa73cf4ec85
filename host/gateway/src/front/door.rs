//! `/interceptors`: a second endpoint beside MCP, with the same callers, checks and limits, and somebody else's answers.
//!
//! Streamable HTTP without sessions: one POST, one JSON answer, in either era. Whoever builds the fronts says who
//! answers ([`Door`]); without one the path is nowhere.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{Message, read, write_result};
use wasmgate_core::mcp::{LEGACY, V2025_11_25};

use super::body::Body;
use super::calling::{Reply, next_id};
use super::classify::{Era, Protocol, Seen, Shape, classify};
use super::headers::{Field, McpHeaders};
use super::http::Front;
use super::render::{Refusal, Wire, Worded, failure, status};
use super::{endpoint, modern, respond};
use crate::gateway::{Beside, Gateway};

/// Answers one request with its result or its error object.
pub type Door = Arc<dyn Fn(Knock) -> BoxFuture<'static, Result<Json, Json>> + Send + Sync>;

/// One request at the door.
pub struct Knock {
    /// The gateway in force.
    pub gateway: Arc<Gateway>,
    /// The request id that logs carry.
    pub id: Arc<str>,
    /// Who asks.
    pub principal: Arc<str>,
    /// The method.
    pub method: Box<str>,
    /// Its params.
    pub params: Option<Json>,
    /// The protocol version it is asked in.
    pub version: &'static str,
}

/// Takes a message.
pub(super) async fn post(
    front: &Front,
    door: &Door,
    principal: Arc<str>,
    (head, body): (&Parts, Incoming),
) -> Response<Body> {
    let bytes = match endpoint::take(front, head, body).await {
        Ok((bytes, _)) => bytes,
        Err(response) => return response,
    };
    let gateway = match super::gateway(&front.slot, front.limits.patience).await {
        Ok(gateway) => gateway,
        Err(error) => return respond::whole(Reply::error(None, &failure(Wire::Legacy, &error, ""))),
    };
    let message = match read(bytes) {
        Ok(message) => message,
        Err(error) => {
            let id = error.id.clone();
            let to = (Wire::Legacy, id.as_ref());
            return front.refuse(&principal, None, to, &Refusal::Unreadable(error));
        }
    };
    // Notifications and responses are of no interest to anybody here.
    let Message::Request { id, method, params } = message else {
        return respond::empty(StatusCode::ACCEPTED);
    };
    let (wire, version) = match era(head, &method, params.as_ref()) {
        Ok(era) => era,
        Err(refusal) => {
            return front.refuse(&principal, Some(&method), (Wire::Modern, Some(&id)), &refusal);
        }
    };
    let beside =
        Beside { id: next_id(), principal: Arc::clone(&principal), method: &method, params: params.as_ref() };
    let knock = Knock {
        gateway: Arc::clone(&gateway),
        id: Arc::clone(&beside.id),
        principal,
        method: method.clone(),
        params: params.clone(),
        version,
    };
    let answer = match gateway.beside(&beside, door(knock)).await {
        Ok(answer) => answer,
        Err(error) => return respond::whole(Reply::error(Some(&id), &failure(wire, &error, &beside.id))),
    };
    let reply = match (answer, wire) {
        (Ok(result), Wire::Modern) => Reply::message(modern::write_result(&id, &method, &result)),
        (Ok(result), Wire::Legacy) => Reply::message(write_result(&id, &result)),
        (Err(error), wire) => Reply::error(Some(&id), &Worded { status: status(wire, &error), error }),
    };
    respond::whole(reply)
}

/// The wire and the version of a request. Legacy ones are in the version of their header, where they have one.
fn era(head: &Parts, method: &str, params: Option<&Json>) -> Result<(Wire, &'static str), Refusal> {
    let protocol = Protocol::of(params);
    let headers = McpHeaders::of(&head.headers);
    let named = match headers.version {
        Field::One(version) => LEGACY.iter().find(|known| **known == version).copied(),
        Field::Absent | Field::Unusable => None,
    };
    let seen = Seen { shape: Shape::Request, method, protocol: &protocol, headers: Some(headers) };
    match classify(&seen).map_err(Refusal::Misfit)? {
        Era::Modern(version) => Ok((Wire::Modern, version)),
        Era::Initialize | Era::Legacy | Era::Ignored => Ok((Wire::Legacy, named.unwrap_or(V2025_11_25))),
    }
}

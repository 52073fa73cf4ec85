//! What only legacy clients do on streamable HTTP: they name their session in a header, get streams with GET, end it with
//! DELETE, and may do without one where it makes no difference.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Response, StatusCode};
use tokio_util::sync::CancellationToken;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::Message;
use wasmgate_core::mcp::{LEGACY, V2025_03_26, method};

use super::accept::Accepts;
use super::body::Body;
use super::calling::{Reply, next_id};
use super::headers::{Field, McpHeaders, SESSION, field};
use super::http::Front;
use super::render::{Refusal, Wire, failure};
use super::respond;
use super::resuming::{self, Wanted};
use super::session::{Agreed, Caller, Session};
use super::sessions::Visit;
use crate::gateway::{ClientFacts, Gateway, Revisions, seconds_now};

/// Opens a legacy session's stream for what belongs to no request, or goes on with a stream that broke.
pub(super) async fn get(front: &Front, caller: &Caller, head: &Parts) -> Response<Body> {
    let (gateway, session) = match session_of(front, caller, head).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    if !Accepts::of(&head.headers).is_some_and(|accepts| accepts.events) {
        return respond::refused(StatusCode::NOT_ACCEPTABLE, "Accept must list text/event-stream");
    }
    let opened = Wanted::of(head).and_then(|wanted| {
        let resumed = match wanted {
            Wanted::News => None,
            Wanted::After(event) => resuming::resume(&session, event)?,
        };
        let news = || resuming::news(&gateway, &session, front.limits.streams, &front.tasks);
        resumed.map_or_else(news, Ok)
    });
    opened.unwrap_or_else(|refusal| front.refuse(&caller.principal, None, (Wire::Legacy, None), &refusal))
}

/// Ends a legacy session.
pub(super) async fn delete(front: &Front, caller: &Caller, head: &Parts) -> Response<Body> {
    match session_of(front, caller, head).await {
        Ok((_, session)) => {
            front.sessions.close(&session);
            respond::empty(StatusCode::OK)
        }
        Err(response) => response,
    }
}

/// The session that a GET or DELETE is about; without one there is nothing to get or to delete.
async fn session_of(
    front: &Front,
    caller: &Caller,
    head: &Parts,
) -> Result<(Arc<Gateway>, Arc<Session>), Response<Body>> {
    if field(&head.headers, SESSION) == Field::Absent {
        return Err(respond::not_allowed("POST"));
    }
    let gateway = super::gateway(&front.slot, front.limits.patience).await;
    let gateway =
        gateway.map_err(|error| respond::whole(Reply::error(None, &failure(Wire::Legacy, &error, ""))))?;
    let session = find(front, &gateway, caller, head);
    let session =
        session.map_err(|refusal| front.refuse(&caller.principal, None, (Wire::Legacy, None), &refusal))?;
    Ok((gateway, session))
}

/// The caller's session that the headers name.
pub(super) fn find(
    front: &Front,
    gateway: &Gateway,
    caller: &Caller,
    head: &Parts,
) -> Result<Arc<Session>, Refusal> {
    let visit = Visit { caller, now: Instant::now(), seconds: seconds_now() };
    match field(&head.headers, SESSION) {
        Field::Absent => Err(Refusal::NoSession),
        Field::Unusable => Err(Refusal::SessionHeader),
        Field::One(id) => front.sessions.find(id, Some(gateway.sealer()), visit),
    }
}

/// Whether a request means the same without a session: most do, and 2025-03-26 to 2025-11-25 leave it to the server
/// whether it has sessions at all (basic/transports, "Session Management").
pub(super) fn is_served_alone(message: &Message) -> bool {
    matches!(message, Message::Request { method, .. } if ALONE.contains(&&**method))
}

/// A session of one request, for clients that never opened one: of the version they name, and they can be asked
/// nothing. Nobody else hears of it.
pub(super) fn alone(caller: &Caller, head: &Parts) -> Arc<Session> {
    let version = match McpHeaders::of(&head.headers).version {
        Field::One(version) => LEGACY.iter().find(|known| **known == version).copied(),
        Field::Absent | Field::Unusable => None,
    };
    let client = ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None };
    let agreed = Agreed { version: version.unwrap_or(V2025_03_26), client: Arc::new(client) };
    let session = Session::new(next_id(), caller.clone(), Instant::now(), CancellationToken::new()).passing();
    // It is new: nothing was agreed before.
    let _ = session.agree(agreed, Revisions::default());
    Arc::new(session)
}

const ALONE: [&str; 9] = [
    method::PING,
    method::TOOLS_LIST,
    method::TOOLS_CALL,
    method::PROMPTS_LIST,
    method::PROMPTS_GET,
    method::RESOURCES_LIST,
    method::TEMPLATES_LIST,
    method::RESOURCES_READ,
    method::COMPLETE,
];

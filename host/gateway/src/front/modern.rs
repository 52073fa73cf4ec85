//! 2026-07-28: every request describes itself, every result says what it is. No session, no handshake.
//!
//! `subscriptions/listen` is the one request that stays open: see [`super::listen`].

use std::sync::{Arc, LazyLock};

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::{Id, write_result_with};
use wasmgate_core::mcp::{meta, method};

use super::calling::{Calling, Question, Reply, Step, Wants, next_id, nobody};
use super::classify::Protocol;
use super::listen::Listen;
use super::render::{Refusal, Wire};
use super::session::{Caller, InFlight};
use crate::audit::Entry;
use crate::gateway::{Appetite, ClientFacts, Gateway, Request, SERVER_INFO, View, extensions};

/// A request that [`super::classify`] found to be modern.
pub(super) struct Asked {
    pub(super) id: Id,
    pub(super) method: Box<str>,
    pub(super) params: Option<Json>,
    pub(super) protocol: Protocol,
    pub(super) version: &'static str,
}

/// Serves one request. `hears` says whether notifications can be sent before the answer, `appetite` whether that can be
/// taken as it comes; `in_flight` is its place among the calls of a pipe, where there is one.
pub(super) fn receive(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    asked: Asked,
    (hears, appetite): (bool, &Appetite),
    in_flight: Option<(Arc<str>, InFlight)>,
) -> Step {
    let refuse = |refusal: Refusal| {
        let principal = Some(Arc::clone(&caller.principal));
        let entry = Entry { principal, method: Some(method::LISTEN.into()), ..Entry::default() };
        gateway.note_refused(entry, refusal.word());
        Step::Reply(Reply::refusal(Wire::Modern, Some(&asked.id), &refusal))
    };
    match &*asked.method {
        method::LISTEN if !hears => refuse(Refusal::Params("Accept: must list text/event-stream")),
        method::LISTEN => {
            let (session, in_flight) = in_flight.unzip();
            let request = Request {
                view: caller.view.clone(),
                id: next_id(),
                principal: Arc::clone(&caller.principal),
                session,
                method: method::LISTEN.into(),
                params: asked.params.map(|params| own_params(params, &asked.protocol)),
                client: Arc::new(facts(asked.protocol, &caller.view, asked.version)),
                version: asked.version,
                events: nobody(),
            };
            Step::Listen(Listen::new(Arc::clone(gateway), asked.id, request, in_flight))
        }
        _ => {
            let wants = if hears { wants(&asked.protocol) } else { Wants::Nothing };
            let question = Question {
                wire: Wire::Modern,
                params: asked.params.map(|params| own_params(params, &asked.protocol)),
                client: Arc::new(facts(asked.protocol, &caller.view, asked.version)),
                id: asked.id,
                method: asked.method.into(),
                version: asked.version,
            };
            let in_flight = in_flight.map(|(session, call)| (Some(session), call));
            let question = (question, appetite.clone());
            Step::Call(Calling::new(Arc::clone(gateway), caller, question, wants, in_flight))
        }
    }
}

/// One complete response. `resultType`, caching hints and our `serverInfo` are added where the server left them out
/// (2026-07-28 basic/index "Result Type", server/utilities/caching); a list that may change at any time is fresh for
/// no time at all, and private.
pub(super) fn write_result(id: &Id, method: &str, result: &Json) -> Vec<u8> {
    let has_hints = CACHEABLE.contains(&method);
    let (kind, meta, hints) = match has_hints {
        true => {
            let [kind, meta, ttl, scope] = result.pick(["resultType", "_meta", "ttlMs", "cacheScope"]);
            (kind, meta, [ttl, scope])
        }
        false => {
            let [kind, meta] = result.pick(["resultType", "_meta"]);
            (kind, meta, [None, None])
        }
    };
    let with_meta = match &meta {
        Some(meta) if meta.is_object() && !meta.has(meta::SERVER_INFO) => {
            Some(result.with_member("_meta", &meta.with_member(meta::SERVER_INFO, &SERVER_INFO)))
        }
        _ => None,
    };
    let is_complete = kind.as_ref().is_none_or(|kind| kind.means("complete"));
    let has_hints = is_complete && has_hints;
    let own = [
        ("resultType", &*COMPLETE, kind.is_none()),
        ("ttlMs", &*NO_TIME, has_hints && hints[0].is_none()),
        ("cacheScope", &*PRIVATE, has_hints && hints[1].is_none()),
        ("_meta", &*OUR_META, meta.is_none()),
    ];
    let lacking = own.into_iter().filter(|(_, _, lacks)| *lacks).map(|(name, value, _)| (name, value));
    write_result_with(id, lacking, with_meta.as_ref().unwrap_or(result))
}

static COMPLETE: LazyLock<Json> = LazyLock::new(|| Json::of("complete"));
static NO_TIME: LazyLock<Json> = LazyLock::new(|| Json::of(&0));
static PRIVATE: LazyLock<Json> = LazyLock::new(|| Json::of("private"));
static OUR_META: LazyLock<Json> =
    LazyLock::new(|| ObjectWriter::new().member(meta::SERVER_INFO, &SERVER_INFO).finish());

/// The params without the members that describe the request itself; every other byte stays.
fn own_params(params: Json, protocol: &Protocol) -> Json {
    let Some(meta) = &protocol.meta else { return params };
    if !protocol.has_more {
        return params.without_picked("_meta", meta);
    }
    let own = [meta::PROTOCOL_VERSION, meta::CLIENT_CAPABILITIES, meta::CLIENT_INFO, meta::LOG_LEVEL];
    params.with_member("_meta", &meta.with_members(&own.map(|name| (name, None))))
}

fn facts(protocol: Protocol, view: &View, version: &str) -> ClientFacts {
    let capabilities = protocol.capabilities.unwrap_or_else(Json::empty_object);
    ClientFacts {
        info: protocol.info,
        capabilities: extensions::declared(capabilities, view, version),
        log_level: protocol.log_level.as_ref().and_then(Json::string).map(|level| level.into()),
    }
}

/// Progress where a token came with the request, log messages where a level did: servers "MUST NOT emit
/// `notifications/message` for requests that did not include" one.
fn wants(protocol: &Protocol) -> Wants {
    match protocol.log_level.as_ref().and_then(Json::string) {
        Some(level) => Wants::Logs(Some(level.into())),
        None if protocol.progress => Wants::Progress,
        None => Wants::Nothing,
    }
}

/// Results that carry caching hints.
pub(super) const CACHEABLE: [&str; 6] = [
    method::DISCOVER,
    method::TOOLS_LIST,
    method::PROMPTS_LIST,
    method::RESOURCES_LIST,
    method::TEMPLATES_LIST,
    method::RESOURCES_READ,
];

#[cfg(test)]
mod tests;

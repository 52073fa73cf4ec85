//! The standard's own door: others list our interceptors and run one of them (SEP-2624, `interceptors/list` and
//! `interceptor/invoke`).
//!
//! The stages are those of the live pipeline; fail policy, audit mode and order are the invoker's, who reads them in the
//! descriptors. What comes over which wire, and who may ask, is the front's.
//!
//! Two things the standard does not have: a mutator that answers in the server's place is an error with the result in
//! `data.answer`, so that an invoker who does not know this stops the message; and a response that is an error goes in
//! as `{"error": {...}}`.

mod describe; // descriptors
mod invoke; // one run of one stage
mod payload; // what a stage sees of a payload

pub(super) use payload::Payload;

use std::sync::Arc;

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::error_object;
use wasmgate_core::mcp::{LEGACY, MODERN, V2025_11_25, code, method};
use wasmgate_core::pipeline::Pipeline;

/// One request at the door, as its front read it.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The request id that logs carry.
    pub id: Arc<str>,
    /// The method.
    pub method: Box<str>,
    /// Its params.
    pub params: Option<Json>,
    /// Who asks.
    pub principal: Arc<str>,
    /// The protocol version it is asked in.
    pub version: &'static str,
}

/// Answers one request with its result, or its error object.
///
/// # Errors
/// A JSON-RPC error object.
pub async fn answer(pipeline: &Pipeline, visit: Visit) -> Result<Json, Json> {
    match &*visit.method {
        method::INITIALIZE => initialize(pipeline, visit.params.as_ref()),
        method::DISCOVER => Ok(discover(pipeline)),
        method::PING => Ok(Json::empty_object()),
        LIST => list(pipeline, visit.params.as_ref()),
        INVOKE => invoke::invoke(pipeline, visit).await,
        _ => Err(error_object(code::METHOD_NOT_FOUND, "Method not found", None)),
    }
}

fn initialize(pipeline: &Pipeline, params: Option<&Json>) -> Result<Json, Json> {
    let wanted = params.and_then(|params| params.member("protocolVersion"));
    let wanted = wanted
        .as_ref()
        .and_then(Json::string)
        .ok_or_else(|| invalid("protocolVersion: a text is required"))?;
    let version = LEGACY.iter().find(|known| **known == wanted).copied().unwrap_or(V2025_11_25);
    let own = ObjectWriter::new()
        .string("name", env!("CARGO_PKG_NAME"))
        .string("version", env!("CARGO_PKG_VERSION"));
    Ok(ObjectWriter::new()
        .string("protocolVersion", version)
        .member("capabilities", &capabilities(pipeline))
        .member("serverInfo", &own.finish())
        .finish())
}

fn discover(pipeline: &Pipeline) -> Json {
    let versions: Vec<&str> = MODERN.iter().chain(&LEGACY).copied().collect();
    ObjectWriter::new()
        .member("supportedVersions", &Json::of(&versions))
        .member("capabilities", &capabilities(pipeline))
        .finish()
}

/// Which events any interceptor hooks, each once.
fn capabilities(pipeline: &Pipeline) -> Json {
    let mut events: Vec<String> = Vec::new();
    for offered in pipeline.stages().iter().filter_map(|stage| describe::offered(stage.info())) {
        for event in offered.events {
            if !events.contains(&event) {
                events.push(event);
            }
        }
    }
    let interceptor = ObjectWriter::new().member("supportedEvents", &Json::of(&events)).finish();
    ObjectWriter::new().member("interceptor", &interceptor).finish()
}

/// The descriptors, in the order of registration.
fn list(pipeline: &Pipeline, params: Option<&Json>) -> Result<Json, Json> {
    let event = match params.and_then(|params| params.member("event")) {
        None => None,
        Some(event) => Some(event.string().ok_or_else(|| invalid("event: must be a text"))?.into_owned()),
    };
    let shown = pipeline.stages().iter().filter_map(|stage| {
        let offered = describe::offered(stage.info())?;
        let wanted = event.as_ref().is_none_or(|event| offered.concerns(event));
        wanted.then(|| describe::descriptor(stage.info(), &offered))
    });
    let shown: Vec<Json> = shown.collect();
    Ok(ObjectWriter::new().member("interceptors", &Json::array(&shown)).finish())
}

fn invalid(words: &str) -> Json {
    error_object(code::INVALID_PARAMS, words, None)
}

pub(super) const LIST: &str = "interceptors/list";
pub(super) const INVOKE: &str = "interceptor/invoke";
/// A run that took longer than `timeoutMs`.
pub(super) const TIMEOUT: i64 = -32000;

#[cfg(test)]
mod tests;

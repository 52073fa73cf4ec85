//! Which era a message belongs to: one pure function over what its headers and its body say.
//!
//! A request that describes itself (`params._meta` with a protocol version) is modern, `initialize` without that is
//! legacy, and so is everything else that no header claims for 2026-07-28. Where both eras are possible the body
//! decides; header and body that disagree are refused (2026-07-28 basic/transports/streamable-http, "Server
//! Validation"; basic/versioning, "Dual-era servers").

use std::borrow::Cow;

use wasmgate_core::json::Json;
use wasmgate_core::mcp::{LEGACY, MODERN, V2025_03_26, V2026_07_28, known_version, meta, method};

use super::headers::{Field, McpHeaders, decode};

/// What a message is, as far as its era goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Request,
    Notification,
    Response,
}

/// What is looked at.
pub(super) struct Seen<'a> {
    pub(super) shape: Shape,
    /// Empty for a response.
    pub(super) method: &'a str,
    pub(super) protocol: &'a Protocol,
    /// None on transports without headers.
    pub(super) headers: Option<McpHeaders<'a>>,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Era {
    /// Served on its own, in this version.
    Modern(&'static str),
    /// Opens a session.
    Initialize,
    /// Belongs to a session; without a header the version is 2025-03-26's assumption.
    Legacy,
    /// A remark or an answer that no modern server waits for.
    Ignored,
}

/// Why a message is not served. `render` has the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// A header is missing, there twice, or says something else than the body.
    Header(Cow<'static, str>),
    /// A version that is not served in the way it was asked for.
    Version(String),
    /// A modern header without a body that describes itself.
    NoMeta,
    /// A modern request that does not say what its client can do.
    NoCapabilities,
    /// A method of older versions.
    Removed,
}

/// What a request says of itself in `params._meta`, and what headers repeat of its params.
#[derive(Debug, Default, Clone)]
pub(super) struct Protocol {
    pub(super) meta: Option<Json>,
    /// There is something in it that is not about the request itself.
    pub(super) has_more: bool,
    pub(super) version: Option<Json>,
    pub(super) capabilities: Option<Json>,
    pub(super) info: Option<Json>,
    pub(super) log_level: Option<Json>,
    pub(super) progress: bool,
    pub(super) name: Option<Json>,
    pub(super) uri: Option<Json>,
    pub(super) task: Option<Json>,
}

impl Protocol {
    /// Reads params in one pass.
    pub(super) fn of(params: Option<&Json>) -> Self {
        let Some(params) = params else { return Self::default() };
        let [meta, name, uri, task] = params.pick(["_meta", "name", "uri", "taskId"]);
        let Some(meta) = meta else { return Self { name, uri, task, ..Self::default() } };
        let ([version, capabilities, info, log_level, token], has_others) = meta.sort([
            meta::PROTOCOL_VERSION,
            meta::CLIENT_CAPABILITIES,
            meta::CLIENT_INFO,
            meta::LOG_LEVEL,
            "progressToken",
        ]);
        Self {
            // What is no object is passed on as it is.
            has_more: has_others || token.is_some() || !meta.is_object(),
            meta: Some(meta),
            version,
            capabilities,
            info,
            log_level,
            progress: token.is_some(),
            name,
            uri,
            task,
        }
    }
}

/// Classifies one message.
pub(super) fn classify(seen: &Seen<'_>) -> Result<Era, Misfit> {
    match &seen.protocol.version {
        Some(version) if seen.shape == Shape::Request => modern(seen, version),
        _ => unmarked(seen),
    }
}

/// The body claims 2026-07-28 or later.
fn modern(seen: &Seen<'_>, version: &Json) -> Result<Era, Misfit> {
    let version = version.string().unwrap_or_default();
    if let Some(headers) = &seen.headers
        && headers.version != Field::One(&version)
    {
        return Err(Misfit::Header("MCP-Protocol-Version".into()));
    }
    let served = MODERN.iter().find(|served| **served == version);
    let served = served.ok_or_else(|| Misfit::Version(version.into_owned()))?;
    if let Some(headers) = &seen.headers {
        mirrored(seen, headers)?;
    }
    if !seen.protocol.capabilities.as_ref().is_some_and(Json::is_object) {
        return Err(Misfit::NoCapabilities);
    }
    if REMOVED.contains(&seen.method) { Err(Misfit::Removed) } else { Ok(Era::Modern(served)) }
}

/// Whether `Mcp-Method` and `Mcp-Name` say what the body says.
fn mirrored(seen: &Seen<'_>, headers: &McpHeaders<'_>) -> Result<(), Misfit> {
    if headers.method != Field::One(seen.method) {
        return Err(Misfit::Header("Mcp-Method".into()));
    }
    let named = match seen.method {
        method::TOOLS_CALL | method::PROMPTS_GET => seen.protocol.name.as_ref(),
        method::RESOURCES_READ => seen.protocol.uri.as_ref(),
        method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL => seen.protocol.task.as_ref(),
        _ => {
            return if headers.name == Field::Unusable {
                Err(Misfit::Header("Mcp-Name".into()))
            } else {
                Ok(())
            };
        }
    };
    let same = match (headers.name, named.and_then(Json::string)) {
        (Field::Absent, None) => true,
        (Field::One(sent), Some(named)) => decode(sent).is_some_and(|sent| sent == named),
        _ => false,
    };
    if same { Ok(()) } else { Err(Misfit::Header("Mcp-Name".into())) }
}

/// The body claims nothing.
fn unmarked(seen: &Seen<'_>) -> Result<Era, Misfit> {
    if seen.shape == Shape::Request && seen.method == method::INITIALIZE {
        return Ok(Era::Initialize);
    }
    let version = match seen.headers.map_or(Field::Absent, |headers| headers.version) {
        Field::Absent => V2025_03_26,
        Field::One(version) => version,
        Field::Unusable => return Err(Misfit::Header("MCP-Protocol-Version".into())),
    };
    match known_version(version) {
        Some(known) if LEGACY.contains(&known) => Ok(Era::Legacy),
        _ if version >= V2026_07_28 && seen.shape == Shape::Request => Err(Misfit::NoMeta),
        Some(_) => Ok(Era::Ignored),
        None => Err(Misfit::Version(version.to_owned())),
    }
}

/// Methods of older versions that 2026-07-28 took out. Asked for with modern `_meta` they are unknown.
const REMOVED: [&str; 7] = [
    method::INITIALIZE,
    method::PING,
    method::SET_LEVEL,
    method::RESOURCES_SUBSCRIBE,
    method::RESOURCES_UNSUBSCRIBE,
    "tasks/result",
    "tasks/list",
];

#[cfg(test)]
mod tests;

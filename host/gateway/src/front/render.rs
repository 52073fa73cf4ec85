//! Every failure in words: the only place where a refusal gets its JSON-RPC code, its HTTP status and its text.
//!
//! Failures the gateway makes carry `data.code`, and where it applies the server and the request id that the log has,
//! too. What a server answered itself passes through byte for byte, except for codes that the client's era may not see.
//! A call stopped by an interceptor is a JSON-RPC error with a code of our own and not a tool result: the tool never
//! ran, and a result would tell the model it had.

use std::borrow::Cow;

use serde::Serialize;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{ReadError, error_object};
use wasmgate_core::mcp::{MODERN, code, method};
use wasmgate_core::pipeline::{Blocked, Finding, Severity, StageError};

use super::classify::Misfit;
use crate::gateway::{CallError, Fault, UpstreamError, Wants};

/// Own codes lie outside -32768..-32000 (2026-07-28 basic/index, "Error Codes"). An interceptor refused the message.
pub(super) const REFUSED: i64 = 1001;
/// An interceptor failed, and it may not be passed by.
pub(super) const PLUGIN_FAILED: i64 = 1002;
/// More than one client, or one session, may have.
pub(super) const LIMIT_EXCEEDED: i64 = 1003;

/// Which wire a failure goes out on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// 2026-07-28 and later.
    Modern,
    /// 2025-11-25 and earlier.
    Legacy,
}

/// A failure, worded.
#[derive(Debug, Clone)]
pub(super) struct Worded {
    /// The HTTP status, where there is HTTP and nothing was sent yet.
    pub(super) status: u16,
    /// The JSON-RPC error object.
    pub(super) error: Json,
}

/// A message that the front refuses before it becomes a request to the gateway.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Not a JSON-RPC message.
    Unreadable(ReadError),
    /// Not of an era we serve.
    Misfit(Misfit),
    /// Params of a method that the front answers itself.
    Params(&'static str),
    /// A request of a session without its id.
    NoSession,
    /// The id of a session twice, or not text.
    SessionHeader,
    /// The session ended, never was, or is someone else's: deliberately one answer.
    UnknownSession,
    /// `Last-Event-ID` names no event that is kept.
    UnknownEvent,
    /// A request before `initialize`.
    Uninitialized,
    /// `initialize` twice, or in a batch.
    Initialized,
    /// The id of a call that is still running.
    IdInUse,
    /// A limit, in words.
    Limit(&'static str),
    /// No such server at this path.
    UnknownServer,
}

impl Refusal {
    /// Why, in one word for the audit log: `data.code` of the error where that has one.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Misfit(Misfit::Header(_)) => "header_mismatch",
            Self::Misfit(Misfit::Version(_)) => "unsupported_version",
            Self::Misfit(Misfit::NoMeta | Misfit::NoCapabilities) | Self::Params(_) => "invalid_params",
            Self::Misfit(Misfit::Removed) => "unknown_method",
            Self::NoSession | Self::Uninitialized => "session_required",
            Self::SessionHeader | Self::UnknownSession => "session_unknown",
            Self::UnknownEvent => "event_unknown",
            Self::Initialized => "session_open",
            Self::IdInUse => "id_in_use",
            Self::Limit(_) => "limit_exceeded",
            Self::UnknownServer => "unknown_server",
        }
    }
}

/// What the `data` of our own errors holds.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Found<'a>>,
    /// More about `code`, as stable as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

#[derive(Serialize)]
struct Found<'a> {
    interceptor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    message: &'a str,
    severity: &'static str,
}

/// Words a message refused by the front.
pub(super) fn refusal(wire: Wire, refusal: &Refusal) -> Worded {
    let simple = |status, code, message: &str| Worded {
        status,
        error: own(code, message, &Data { code: refusal.word(), ..Data::default() }),
    };
    match refusal {
        Refusal::Unreadable(error) => {
            Worded { status: 400, error: error_object(error.code, &error.detail, None) }
        }
        Refusal::Misfit(misfit) => self::misfit(wire, misfit),
        Refusal::Params(what) => {
            Worded { status: 200, error: error_object(code::INVALID_PARAMS, what, None) }
        }
        Refusal::NoSession => {
            simple(400, code::INVALID_REQUEST, "the header Mcp-Session-Id is required: send initialize first")
        }
        Refusal::SessionHeader => simple(
            400,
            code::INVALID_REQUEST,
            "the header Mcp-Session-Id may be there once, in visible ASCII",
        ),
        Refusal::UnknownSession => {
            simple(404, code::INVALID_REQUEST, "no such session: send initialize again")
        }
        // Not 404: that would say that the session is gone.
        Refusal::UnknownEvent => simple(
            400,
            code::INVALID_REQUEST,
            "no such event: what came after it is not kept any more; ask again",
        ),
        Refusal::Uninitialized => simple(200, code::INVALID_REQUEST, "send initialize first"),
        Refusal::Initialized => {
            simple(400, code::INVALID_REQUEST, "initialize opens a session: once, and not in a batch")
        }
        Refusal::IdInUse => simple(400, code::INVALID_REQUEST, "a request with this id is still running"),
        Refusal::Limit(what) => simple(429, LIMIT_EXCEEDED, &format!("too many {what}: try again later")),
        Refusal::UnknownServer => simple(404, code::INVALID_REQUEST, "no server of that name is served here"),
    }
}

/// Words a request that got no result. `request` is the id that logs carry.
pub(super) fn failure(wire: Wire, failed: &CallError, request: &str) -> Worded {
    let data = |code| Data { code, request_id: Some(request), ..Data::default() };
    let error = match failed {
        CallError::Answered(error) => translated(wire, error),
        CallError::UnknownMethod(_) => unknown_method(),
        CallError::Unknown { kind: "resource", name } => {
            let code = match wire {
                Wire::Modern => code::INVALID_PARAMS,
                Wire::Legacy => code::RESOURCE_NOT_FOUND,
            };
            own(code, "Resource not found", &Data { uri: Some(name), ..data("unknown_resource") })
        }
        CallError::Unknown { kind, name } => {
            let word = match *kind {
                "tool" => "unknown_tool",
                "task" => "unknown_task",
                _ => "unknown_prompt",
            };
            own(code::INVALID_PARAMS, &format!("Unknown {kind}: {name}"), &data(word))
        }
        CallError::InvalidParams(what) => own(code::INVALID_PARAMS, what, &data("invalid_params")),
        CallError::Blocked(Blocked::Invalid(found)) => {
            own(REFUSED, &refused(found), &Data { findings: findings(found), ..data("refused") })
        }
        CallError::Blocked(Blocked::StageFailed { stage, error }) => {
            let message = match error {
                StageError::Failed(_) => format!("interceptor `{stage}` failed"),
                StageError::Exceeded(what) => format!("interceptor `{stage}` exceeded its {what}"),
            };
            own(PLUGIN_FAILED, &message, &Data { plugin: Some(stage), ..data("plugin_failed") })
        }
        CallError::Upstream(upstream) => {
            let (reason, scope) = reason(&upstream.fault);
            let server = Some(upstream.server.as_str());
            let data = Data { server, reason, scope, ..data(upstream.fault.word()) };
            let code = if is_busy(failed) { LIMIT_EXCEEDED } else { code::INTERNAL };
            own(code, &failed.to_string(), &data)
        }
        CallError::MissingCapability(required) => {
            let data = Json::empty_object().with_member("requiredCapabilities", required);
            let error = error_object(code::MISSING_CLIENT_CAPABILITY, &failed.to_string(), Some(&data));
            translated(wire, &error)
        }
        CallError::NotAsked(_) => own(code::INTERNAL, &failed.to_string(), &data("input_required")),
        CallError::Limit(_) => own(LIMIT_EXCEEDED, &failed.to_string(), &data("limit_exceeded")),
        CallError::NotServing(_) => own(code::INTERNAL, &failed.to_string(), &data("not_serving")),
    };
    let status = match failed {
        CallError::NotServing(_) => 503,
        // Not 429: it is not this client that asks too much.
        _ if is_busy(failed) => 503,
        CallError::Limit(_) => 429,
        _ => status(wire, &error),
    };
    Worded { status, error }
}

/// Whether as much is under way as may be, with a server or with all of them.
const fn is_busy(failed: &CallError) -> bool {
    matches!(failed, CallError::Upstream(UpstreamError { fault: Fault::Busy(_), .. }))
}

/// A server's error in the words of the client's era where the code alone does not tell: since 2026-07-28 a resource that
/// is not there is -32602 with its URI, before it was -32002 (server/resources, "Error Handling").
pub(super) fn known_to(wire: Wire, asked: &str, failed: CallError) -> CallError {
    match failed {
        CallError::Answered(error)
            if wire == Wire::Legacy
                && asked == method::RESOURCES_READ
                && number(&error) == Some(code::INVALID_PARAMS)
                && error.pointer("/data/uri").is_some() =>
        {
            CallError::Answered(error.with_member("code", &Json::of(&code::RESOURCE_NOT_FOUND)))
        }
        failed => failed,
    }
}

/// A failure in one line, for people at a terminal.
pub fn in_words(failed: &CallError) -> String {
    let worded = failure(Wire::Modern, failed, "").error;
    let message = worded.member("message");
    let text = message.as_ref().and_then(Json::string).map(Cow::into_owned);
    text.unwrap_or_else(|| worded.as_str().to_owned())
}

fn misfit(wire: Wire, misfit: &Misfit) -> Worded {
    let error = match misfit {
        Misfit::Header(name) => error_object(
            code::HEADER_MISMATCH,
            &format!("the header {name} must say, once, what the body says"),
            None,
        ),
        Misfit::Version(requested) => {
            let data = serde_json::json!({ "supported": MODERN, "requested": requested });
            let message = "this protocol version is not served in this way";
            error_object(code::UNSUPPORTED_VERSION, message, Some(&Json::of(&data)))
        }
        Misfit::NoMeta => error_object(
            code::INVALID_PARAMS,
            "params._meta must carry io.modelcontextprotocol/protocolVersion",
            None,
        ),
        Misfit::NoCapabilities => error_object(
            code::INVALID_PARAMS,
            "params._meta must carry io.modelcontextprotocol/clientCapabilities",
            None,
        ),
        Misfit::Removed => {
            let error = unknown_method();
            return Worded { status: status(wire, &error), error };
        }
    };
    Worded { status: 400, error }
}

fn unknown_method() -> Json {
    error_object(code::METHOD_NOT_FOUND, "Method not found", None)
}

fn own(code: i64, message: &str, data: &Data<'_>) -> Json {
    error_object(code, message, Some(&Json::of(data)))
}

/// What is known of a server's failure beyond its word: why, and which scope a remote asks for.
fn reason(fault: &Fault) -> (Option<&'static str>, Option<&str>) {
    match fault {
        Fault::OutOfMemory => (Some("oom_killed"), None),
        Fault::Unauthorized(denial) => {
            let reason = match denial.wants {
                Wants::Credentials => Some("auth_required"),
                Wants::Scope => Some("insufficient_scope"),
                Wants::Nothing => None,
            };
            (reason, denial.scope.as_deref())
        }
        _ => (None, None),
    }
}

/// A server's own error with a code that the client's era may see: 2026-07-28 must not carry -32002 and -32042, and
/// older clients do not know -32020 to -32022. Headers and versions (-32020, -32022) are a matter between the server and
/// us: a client would look for the fault in its own request.
fn translated(wire: Wire, error: &Json) -> Json {
    let code = match (wire, number(error)) {
        (Wire::Modern, Some(code::RESOURCE_NOT_FOUND)) => code::INVALID_PARAMS,
        (
            Wire::Modern,
            Some(code::URL_ELICITATION_REQUIRED | code::HEADER_MISMATCH | code::UNSUPPORTED_VERSION),
        ) => code::INTERNAL,
        (Wire::Legacy, Some(code::UNSUPPORTED_VERSION..=code::HEADER_MISMATCH)) => code::INTERNAL,
        _ => return error.clone(),
    };
    error.with_member("code", &Json::of(&code))
}

/// The HTTP status that goes with an error object (2026-07-28 basic/transports/streamable-http).
pub(super) fn status(wire: Wire, error: &Json) -> u16 {
    match (wire, number(error)) {
        (Wire::Modern, Some(code::METHOD_NOT_FOUND)) => 404,
        (Wire::Modern, Some(code::UNSUPPORTED_VERSION..=code::HEADER_MISMATCH)) => 400,
        _ => 200,
    }
}

fn number(error: &Json) -> Option<i64> {
    error.member("code")?.as_str().parse().ok()
}

fn refused(found: &[(std::sync::Arc<str>, Finding)]) -> Cow<'static, str> {
    let worst = found.iter().find(|(_, finding)| finding.severity == Severity::Error).or(found.first());
    match worst {
        Some((stage, finding)) => format!("refused by `{stage}`: {}", finding.message).into(),
        None => "refused by an interceptor".into(),
    }
}

fn findings(found: &[(std::sync::Arc<str>, Finding)]) -> Vec<Found<'_>> {
    let found = found.iter().map(|(stage, finding)| Found {
        interceptor: stage,
        path: finding.path.as_deref(),
        message: &finding.message,
        severity: match finding.severity {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
        },
    });
    found.collect()
}

#[cfg(test)]
mod tests;

//! Why a request has no result.

use std::sync::Arc;

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::Blocked;

/// Why a request has no result. `front::render` words it for clients.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Not a method of this gateway.
    #[error("method `{0}` is not served")]
    UnknownMethod(Arc<str>),
    /// No such tool, prompt or resource, or not for this caller: deliberately one case.
    #[error("unknown {kind}: {name}")]
    Unknown {
        /// `tool`, `prompt`, `resource`.
        kind: &'static str,
        /// As the client wrote it.
        name: String,
    },
    /// Params that cannot be right.
    #[error("{0}")]
    InvalidParams(String),
    /// An interceptor stopped it.
    #[error("blocked by an interceptor")]
    Blocked(Blocked),
    /// The server answered with an error of its own: this error object, as it came.
    #[error("the server answered with an error")]
    Answered(Json),
    /// The client cannot be asked what the server needs to ask: the capabilities it would have to declare, an object as
    /// in `clientCapabilities` (2026-07-28 basic/index, -32021 `requiredCapabilities`).
    #[error("the server needs capabilities that the client did not declare")]
    MissingCapability(Json),
    /// The server asks its client something, and there is no answer to be had: why, in words.
    #[error("the server asks for input: {0}")]
    NotAsked(&'static str),
    /// More than one client may have, in words.
    #[error("too many {0}: try again later")]
    Limit(&'static str),
    /// The server did not answer.
    #[error(transparent)]
    Upstream(#[from] crate::upstream::UpstreamError),
    /// The gateway is still loading its configuration or is stopping.
    #[error("the gateway is {0}")]
    NotServing(&'static str),
}

impl CallError {
    /// Its word, stable across versions: `data.code` of the error that a client gets, where that has one.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::UnknownMethod(_) => "unknown_method",
            Self::Unknown { kind, .. } => match kind.as_bytes() {
                b"resource" => "unknown_resource",
                b"tool" => "unknown_tool",
                b"task" => "unknown_task",
                _ => "unknown_prompt",
            },
            Self::InvalidParams(_) => "invalid_params",
            Self::Blocked(Blocked::Invalid(_)) => "refused",
            Self::Blocked(Blocked::StageFailed { .. }) => "plugin_failed",
            Self::Answered(_) => "server_error",
            Self::MissingCapability(_) => "missing_capability",
            Self::NotAsked(_) => "input_required",
            Self::Limit(_) => "limit_exceeded",
            Self::Upstream(upstream) => upstream.fault.word(),
            Self::NotServing(_) => "not_serving",
        }
    }
}

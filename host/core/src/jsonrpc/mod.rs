//! The JSON-RPC 2.0 envelope: what is around `params`, `result` and `error`, read strictly and written compactly.
//!
//! [`read`] checks a whole message in one pass and cuts it into slices; nothing inside `params` or `result` is
//! interpreted or changed. The writers make one message, on one line, in one allocation.
//!
//! Not here: what methods mean (`mcp`), and which answer belongs to which question (the gateway's connections).

mod id;
mod peek; // ids of messages that cannot be read
mod read;
mod write;

use crate::json::Json;

pub use id::Id;
pub use peek::peek_id;
pub use read::{MAX_BATCH, read, read_batch};
pub use write::{
    error_object, write_error, write_notification, write_request, write_result, write_result_with,
};

/// The text is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The text is JSON, but not one JSON-RPC message of ours.
pub const INVALID_REQUEST: i64 = -32600;

/// One message.
#[derive(Debug, Clone)]
pub enum Message {
    /// A question; it will be answered.
    Request {
        /// What the answer will carry.
        id: Id,
        /// What is asked.
        method: Box<str>,
        /// An object, where there is one.
        params: Option<Json>,
    },
    /// A remark; nobody answers.
    Notification {
        /// What it is about.
        method: Box<str>,
        /// An object, where there is one.
        params: Option<Json>,
    },
    /// An answer.
    Response {
        /// The question's. None only for an error about a question whose id could not be read.
        id: Option<Id>,
        /// The `result`, or else the `error` object.
        outcome: Result<Json, Json>,
    },
}

impl Message {
    /// The id of a request, or of the request that a response answers.
    pub const fn id(&self) -> Option<&Id> {
        match self {
            Self::Request { id, .. } => Some(id),
            Self::Response { id, .. } => id.as_ref(),
            Self::Notification { .. } => None,
        }
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Request { method, .. } | Self::Notification { method, .. } => Some(method),
            Self::Response { .. } => None,
        }
    }
}

/// Why bytes are not one JSON-RPC message. The text never quotes them: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ReadError {
    /// [`PARSE_ERROR`] or [`INVALID_REQUEST`].
    pub code: i64,
    /// The id, where it could be read. Never with [`PARSE_ERROR`]: a reply then carries null (JSON-RPC 2.0 section 5).
    /// Whoever wants to know which of its own questions such bytes answered asks [`peek_id`].
    pub id: Option<Id>,
    /// What is wrong, in words for the sender.
    pub detail: String,
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

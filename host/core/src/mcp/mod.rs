//! What the gateway must know of MCP itself: versions, methods, error codes, log levels.
//!
//! The source of every rule is the specification of the version named, https://modelcontextprotocol.io/specification.

mod asking; // what servers may ask of clients
mod param_headers; // arguments repeated in headers

pub use asking::{MAY_ASK, QUESTIONS, missing};
pub use param_headers::{BadAnnotation, ParamHeader, param_headers};

/// 2024-11-05: HTTP+SSE and stdio.
pub const V2024_11_05: &str = "2024-11-05";
/// 2025-03-26: streamable HTTP; the only version with JSON-RPC batches.
pub const V2025_03_26: &str = "2025-03-26";
/// 2025-06-18: structured results, elicitation.
pub const V2025_06_18: &str = "2025-06-18";
/// 2025-11-25: the last version with `initialize`.
pub const V2025_11_25: &str = "2025-11-25";
/// 2026-07-28: stateless; every request describes itself.
pub const V2026_07_28: &str = "2026-07-28";

/// Versions opened by `initialize`, newest first.
pub const LEGACY: [&str; 4] = [V2025_11_25, V2025_06_18, V2025_03_26, V2024_11_05];
/// Versions whose requests describe themselves, newest first.
pub const MODERN: [&str; 1] = [V2026_07_28];

/// The version of ours that `wanted` spells, if there is one.
pub fn known_version(wanted: &str) -> Option<&'static str> {
    MODERN.iter().chain(&LEGACY).find(|known| **known == wanted).copied()
}

/// Error codes of JSON-RPC 2.0 and of MCP.
pub mod code {
    /// Not JSON.
    pub const PARSE: i64 = -32700;
    /// Not a request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Params that cannot be right, unknown tools and prompts included.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A failure inside.
    pub const INTERNAL: i64 = -32603;
    /// No such resource (2025-11-25 and earlier).
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// The user has to visit a URL first (2025-11-25).
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
    /// Header and body disagree (2026-07-28).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// A capability is needed that the client did not declare (2026-07-28).
    pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
    /// A protocol version that is not served (2026-07-28).
    pub const UNSUPPORTED_VERSION: i64 = -32022;
}

/// Keys that 2026-07-28 reserves in `params._meta` for a request's own description.
pub mod meta {
    /// The protocol version of the request.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// What the client can do.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Who the client is.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Which log messages the client wants for this request.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Which subscription a message belongs to.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// Who the server is; in results.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
}

/// Extensions that are carried between many servers and a client (2026-07-28 `capabilities.extensions`).
pub mod extension {
    /// Tools whose work goes on after the answer.
    pub const TASKS: &str = "io.modelcontextprotocol/tasks";
    /// MCP Apps: tools with pages.
    pub const UI: &str = "io.modelcontextprotocol/ui";
}

/// Method names.
pub mod method {
    #![expect(missing_docs, reason = "each constant is the method it spells")]
    pub const INITIALIZE: &str = "initialize";
    pub const DISCOVER: &str = "server/discover";
    pub const PING: &str = "ping";
    pub const TOOLS_LIST: &str = "tools/list";
    pub const TOOLS_CALL: &str = "tools/call";
    pub const PROMPTS_LIST: &str = "prompts/list";
    pub const PROMPTS_GET: &str = "prompts/get";
    pub const RESOURCES_LIST: &str = "resources/list";
    pub const TEMPLATES_LIST: &str = "resources/templates/list";
    pub const RESOURCES_READ: &str = "resources/read";
    pub const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
    pub const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
    pub const COMPLETE: &str = "completion/complete";
    pub const SET_LEVEL: &str = "logging/setLevel";
    pub const LISTEN: &str = "subscriptions/listen";
    pub const INITIALIZED: &str = "notifications/initialized";
    pub const CANCELLED: &str = "notifications/cancelled";
    pub const PROGRESS: &str = "notifications/progress";
    pub const MESSAGE: &str = "notifications/message";
    pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
    pub const PROMPTS_CHANGED: &str = "notifications/prompts/list_changed";
    pub const RESOURCE_UPDATED: &str = "notifications/resources/updated";
    pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
    pub const ELICIT: &str = "elicitation/create";
    pub const ELICITED: &str = "notifications/elicitation/complete";
    pub const TASKS_GET: &str = "tasks/get";
    pub const TASKS_UPDATE: &str = "tasks/update";
    pub const TASKS_CANCEL: &str = "tasks/cancel";
    pub const TASK_CHANGED: &str = "notifications/tasks";
    pub const SAMPLE: &str = "sampling/createMessage";
    pub const ROOTS_LIST: &str = "roots/list";
    pub const RESOURCES_CHANGED: &str = "notifications/resources/list_changed";
}

/// Log levels of `logging/setLevel`, from most to least verbose (RFC 5424 words).
pub const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// Whether a message of `level` passes a client that asked for `wanted` and above. Unknown words pass.
pub fn log_level_passes(level: &str, wanted: &str) -> bool {
    let rank = |word: &str| LOG_LEVELS.iter().position(|known| *known == word);
    match (rank(level), rank(wanted)) {
        (Some(level), Some(wanted)) => level >= wanted,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_lets_the_worse_ones_through() {
        assert!(log_level_passes("error", "warning"));
        assert!(log_level_passes("warning", "warning"));
        assert!(!log_level_passes("debug", "info"));
    }
}

//! The configuration, and its JSON schema.

use serde::Deserialize;

/// The configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Settings {
    /// Arguments against the tool's `inputSchema`.
    pub(crate) arguments: Action,
    /// Structured results against the tool's `outputSchema`.
    pub(crate) results: Action,
    /// A tool without a schema of its arguments cannot be called.
    pub(crate) require_schema: bool,
    /// What of a schema cannot be checked refuses the message.
    pub(crate) strict: bool,
}

/// What happens when a value does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// The message is refused.
    Deny,
    /// It is reported.
    Warn,
    /// It is not looked at.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self { arguments: Action::Deny, results: Action::Deny, require_schema: false, strict: false }
    }
}

/// JSON Schema of the configuration.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "arguments": {"enum": ["deny", "warn", "off"], "default": "deny"},
    "results": {"enum": ["deny", "warn", "off"], "default": "deny"},
    "requireSchema": {"type": "boolean", "default": false},
    "strict": {"type": "boolean", "default": false}
  }
}"#;

//! The configuration, and its JSON schema.

use serde::Deserialize;

use crate::clean::Taste;

/// The configuration as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    /// Lists, and what servers say of themselves.
    pub(crate) descriptions: bool,
    /// Results, errors, and what servers ask and tell.
    pub(crate) results: bool,
    /// Arguments, and what clients answer.
    pub(crate) arguments: bool,
    /// Control characters and terminal escapes count as hidden.
    pub(crate) controls: bool,
    /// Single direction marks are left.
    pub(crate) keep_marks: bool,
    pub(crate) member_names: MemberNames,
}

/// What happens to a string with something hidden in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// What is hidden is taken out.
    Remove,
    /// What is hidden becomes visible.
    Escape,
    /// The message does not pass.
    Refuse,
}

/// What happens to a message with something hidden in a member name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MemberNames {
    /// It passes, and is logged.
    Flag,
    /// It does not pass.
    Refuse,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Remove,
            descriptions: true,
            results: true,
            arguments: false,
            controls: true,
            keep_marks: false,
            member_names: MemberNames::Flag,
        }
    }
}

impl Settings {
    /// What counts as hidden.
    pub(crate) fn taste(&self) -> Taste {
        Taste { controls: self.controls, marks: !self.keep_marks }
    }

    /// Whether a member name can refuse a message.
    pub(crate) fn refuses_names(&self) -> bool {
        self.mode == Mode::Refuse || self.member_names == MemberNames::Refuse
    }
}

/// JSON Schema of the configuration.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "mode": {"enum": ["remove", "escape", "refuse"], "default": "remove"},
    "descriptions": {"type": "boolean", "default": true},
    "results": {"type": "boolean", "default": true},
    "arguments": {"type": "boolean", "default": false},
    "controls": {"type": "boolean", "default": true},
    "keepMarks": {"type": "boolean", "default": false},
    "memberNames": {"enum": ["flag", "refuse"], "default": "flag"}
  }
}"#;

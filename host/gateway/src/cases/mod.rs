//! Recorded messages, as files: what `plugin test` runs a component on, and what `run --record` writes.
//!
//! A file holds one case, or an array of cases that share what a plugin keeps between calls. Nothing here runs a plugin.

mod source; // cases of catalog sources

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use source::{ExpectedPage, ExpectedRefused, ExpectedServer, SourceCase};

/// One message, and what a plugin is expected to make of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The MCP method.
    pub event: String,
    /// Which half of the exchange.
    pub phase: CasePhase,
    /// Who began; `server` for what a server asks of the client (sampling, elicitation, roots).
    #[serde(default, skip_serializing_if = "Began::is_client")]
    pub from: Began,
    /// The request id. Cases of one file with the same id are one exchange: notes pass from its request to its response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The server meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The tool or prompt name or the URI meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The session it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The client's protocol version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The plugin's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// Attributes that the plugin can ask for, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// In the response phase: the request's `params` as they were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RawValue>>,
    /// In the response phase: the payload is an error object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// What the plugin is granted beyond what it cannot do without: `clock`, `random`, `kv`, `labels`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// Secrets, by name, that the plugin may send to the origins of `http`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Answers to its HTTP requests; every other request fails. Their origins are granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<CaseHttp>,
    /// The request's `params`, the result, or the error object.
    pub payload: Box<RawValue>,
    /// What the plugin should make of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

/// Which half of an exchange a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CasePhase {
    /// The request, or a notification.
    Request,
    /// Its answer.
    Response,
}

/// Who began an exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Began {
    /// The client.
    #[default]
    Client,
    /// The server.
    Server,
}

impl Began {
    fn is_client(&self) -> bool {
        *self == Self::Client
    }
}

/// One answer to an HTTP request of the plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseHttp {
    /// Which method; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Which URL.
    pub url: String,
    /// The status that is answered.
    #[serde(default = "ok", skip_serializing_if = "is_ok")]
    pub status: u16,
    /// The headers that are answered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body that is answered: a text as it is, anything else as JSON.
    #[serde(default)]
    pub body: Value,
}

fn ok() -> u16 {
    200
}

fn is_ok(status: &u16) -> bool {
    *status == 200
}

/// What became of a message. What is left out is not compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    /// In a word.
    pub verdict: Verdict,
    /// What was found: errors first, each with the members that matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<ExpectedFinding>>,
    /// The payload as it went on, or the answer in the server's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// Where the payload was changed: `add /a`, `remove /b/0`, `replace /c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<String>>,
    /// Words of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a message, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No hook of the plugin wants to see it.
    Ignored,
    /// It passed.
    Valid,
    /// It was refused.
    Invalid,
    /// A mutator or list filter left it alone.
    Unchanged,
    /// It was rewritten.
    Changed,
    /// It was answered in the server's place.
    Answer,
    /// The plugin failed.
    Failed,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// A finding, as far as it matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFinding {
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How bad: `info`, `warn`, `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// What could stand there instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<Value>,
}

/// The cases of one file.
#[derive(Debug, Clone)]
pub enum Cases<C = Case> {
    /// The file is one case.
    One(Box<C>),
    /// The file is an array.
    Several(Vec<C>),
}

/// A file that holds no cases.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// It cannot be read or written.
    #[error("cannot be used: {0}")]
    File(#[source] std::io::Error),
    /// It is something else.
    #[error("is no case: {0}")]
    Shape(#[source] serde_json::Error),
}

impl<C: Serialize + DeserializeOwned> Cases<C> {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`CaseError::Shape`] with line and column.
    pub fn parse(text: &str) -> Result<Self, CaseError> {
        match text.trim_start().starts_with('[') {
            true => serde_json::from_str(text).map(Self::Several).map_err(CaseError::Shape),
            false => {
                serde_json::from_str(text).map(|case| Self::One(Box::new(case))).map_err(CaseError::Shape)
            }
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`CaseError`]
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        Self::parse(&std::fs::read_to_string(path).map_err(CaseError::File)?)
    }

    /// Writes them back to their file.
    ///
    /// # Errors
    /// [`CaseError::File`]
    pub fn write(&self, path: &Path) -> Result<(), CaseError> {
        std::fs::write(path, self.text()).map_err(CaseError::File)
    }

    /// The text of the file; payloads stay as they were written.
    pub fn text(&self) -> String {
        let text = match self {
            Self::One(case) => serde_json::to_string_pretty(case),
            Self::Several(cases) => serde_json::to_string_pretty(cases),
        };
        text.unwrap_or_default() + "\n"
    }

    /// All of them, in order.
    pub fn all(&self) -> &[C] {
        match self {
            Self::One(case) => std::slice::from_ref(&**case),
            Self::Several(cases) => cases,
        }
    }

    /// All of them, to be changed.
    pub fn all_mut(&mut self) -> &mut [C] {
        match self {
            Self::One(case) => std::slice::from_mut(&mut **case),
            Self::Several(cases) => cases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_keeps_its_payload_byte_for_byte() {
        let text = r#"{"event":"tools/call","phase":"request","payload":{"n":1.0e0, "a":"\u0041"}}"#;
        let cases = Cases::<Case>::parse(text).unwrap();
        assert!(cases.text().contains(r#"{"n":1.0e0, "a":"\u0041"}"#), "{}", cases.text());
        assert!(!cases.text().contains("server"), "what is not said is not written");
    }

    #[test]
    fn an_array_is_several_cases() {
        let text =
            r#"[{"event":"a","phase":"request","payload":1},{"event":"b","phase":"response","payload":2}]"#;
        assert_eq!(Cases::<Case>::parse(text).unwrap().all().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| format!("{:?}", Cases::<Case>::parse(text).unwrap_err());
        assert!(error(r#"{"event":"a","phase":"request"}"#).contains("payload"));
        assert!(error(r#"{"event":"a","phase":"request","payload":1,"expect":{}}"#).contains("expect"));
        assert!(error(r#"{"event":"a","phase":"both","payload":1}"#).contains("both"));
    }
}

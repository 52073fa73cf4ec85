//! What a catalog source is asked, and what it is expected to answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CaseHttp;

/// One question to a catalog source. A file whose cases have a `reference` is of these.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceCase {
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What an operator would write.
    pub reference: String,
    /// Which page; the first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only what changed since then (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What an earlier answer gave as its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// Servers wanted; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The source's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// What it is granted beyond what it cannot do without: `clock`, `random`, `kv`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// Secrets, by name, that it may send to the origins of `http`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Answers to its HTTP requests; every other request fails. Their origins are granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<CaseHttp>,
    /// What it should answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedPage>,
}

/// What a catalog source answers. What is left out is not compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedPage {
    /// The servers, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<ExpectedServer>>,
    /// What cannot be imported, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Vec<ExpectedRefused>>,
    /// Names that are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Vec<String>>,
    /// The next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What is to be handed back later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// Words of the failure, when there is no page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A server, as far as it matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedServer {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The entry of a catalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    /// What people should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Vec<String>>,
}

/// A server that cannot be imported, as far as it matters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRefused {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl SourceCase {
    /// Whether a file holds cases of sources: its first case has a `reference`.
    pub fn are_in(text: &str) -> bool {
        let first = match serde_json::from_str::<Value>(text) {
            Ok(Value::Array(cases)) => cases.into_iter().next().unwrap_or_default(),
            Ok(case) => case,
            Err(_) => return false,
        };
        first.get("reference").is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Cases;

    #[test]
    fn a_reference_makes_a_case_of_a_source() {
        for (text, expected) in [
            (r#"{"reference":"a"}"#, true),
            (r#"[{"reference":"a"}]"#, true),
            (r#"{"event":"a"}"#, false),
            ("[]", false),
            ("{", false),
        ] {
            assert_eq!(SourceCase::are_in(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_said_is_not_written() {
        let text = r#"{"reference":"a","expected":{"servers":[{"name":"b"}]}}"#;
        let cases = Cases::<SourceCase>::parse(text).unwrap();
        assert_eq!(cases.text().split_whitespace().collect::<String>(), text);
    }
}

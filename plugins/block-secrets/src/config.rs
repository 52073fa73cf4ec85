//! The configuration: what happens to a message with a credential, per direction, and which rules are turned off.

use secret_scan::{Allowed, RULES};
use serde::Deserialize;
use wasmgate_plugin::{Config, Phase, Problem};

/// The name under which values that the gateway keeps secret are allowed, and under which they are redacted.
pub(crate) const KNOWN: &str = "known-secret";

/// What happens to a message that carries a credential.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// It is refused.
    #[default]
    Deny,
    /// The credential is taken out.
    Redact,
    /// Nothing: it is not looked at.
    Off,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    request: Action,
    response: Action,
    allow: Vec<String>,
}

/// What the operator wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    request: Action,
    response: Action,
    /// Rules that are turned off.
    pub(crate) allowed: Allowed,
    /// Whether values that the gateway keeps secret are let through.
    pub(crate) known_allowed: bool,
}

impl Settings {
    /// Reads the configuration.
    pub(crate) fn read(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        // Most have none, and this runs in every instance.
        if config.is_empty() {
            return Ok(Self::default());
        }
        let Written { request, response, allow } = config.read()?;
        let mut settings = Self { request, response, ..Self::default() };
        let mut problems = Vec::new();
        for (at, name) in allow.iter().enumerate() {
            if name == KNOWN {
                settings.known_allowed = true;
            } else if !settings.allowed.add(name) {
                problems.push(Problem::new(&format!("/allow/{at}"), "is not the name of a rule"));
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// What happens in a phase.
    pub(crate) fn action(&self, phase: Phase) -> Action {
        match phase {
            Phase::Request => self.request,
            Phase::Response => self.response,
        }
    }
}

/// JSON Schema of the configuration.
pub(crate) fn schema() -> String {
    let names: Vec<_> = RULES.iter().map(|rule| format!("\"{}\"", rule.name)).collect();
    let action = r#"{"enum":["deny","redact","off"]}"#;
    let allow = format!(r#"{{"type":"array","items":{{"enum":["{KNOWN}",{}]}}}}"#, names.join(","));
    format!(
        r#"{{"type":"object","additionalProperties":false,"properties":{{"request":{action},"response":{action},"allow":{allow}}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        for (config, expected) in [
            ("{}", Ok(())),
            ("null", Ok(())),
            (r#"{"allow":[]}"#, Ok(())),
            (r#" { "allow" : [ "jwt" , "npm-token", "known-secret" ], "request":"redact" } "#, Ok(())),
            (r#"{"allow":["jwt","nonsense"]}"#, Err("/allow/1")),
            (r#"{"allow":"jwt"}"#, Err("")),
            (r#"{"request":"maybe"}"#, Err("")),
            (r#"{"deny":[]}"#, Err("")),
        ] {
            let read = Settings::read(Config::new(config)).map(|_| ()).map_err(|p| p[0].pointer.clone());
            assert_eq!(read, expected.map_err(str::to_owned), "{config}");
        }
    }

    #[test]
    fn the_schema_is_json_and_knows_the_rules() {
        assert!(schema().contains("\"jwt\""));
        assert_eq!(schema().matches('{').count(), schema().matches('}').count());
    }
}

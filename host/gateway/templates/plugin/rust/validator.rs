//! Refuses tool calls whose arguments contain a forbidden phrase.

use serde::Deserialize;
use wasmgate_plugin::{Call, Config, Descriptor, Finding, Hook, Interceptor, Problem};

/// The configuration, and all that the plugin needs to know.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forbidden {
    phrases: Vec<String>,
}

impl Default for Forbidden {
    fn default() -> Self {
        Self { phrases: vec!["rm -rf /".to_owned()] }
    }
}

impl Interceptor for Forbidden {
    fn describe() -> Descriptor {
        Descriptor::new("@NAME@", env!("CARGO_PKG_VERSION"), "Refuses tool calls with a forbidden phrase.")
            .hook(Hook::validate(&["tools/call"]).request())
            .config_schema(
                r#"{
                    "type": "object",
                    "properties": { "phrases": { "type": "array", "items": { "type": "string", "minLength": 1 } } },
                    "additionalProperties": false
                }"#,
            )
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        config.read()
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let forbidden = |text: &str| self.phrases.iter().any(|phrase| text.contains(phrase));
        let leaves = call.strings("/arguments", 1).into_iter().filter(|leaf| forbidden(&leaf.text));
        Ok(leaves.map(|leaf| Finding::error("contains a forbidden phrase").at(leaf.pointer)).collect())
    }
}

wasmgate_plugin::export!(Forbidden);

#[cfg(test)]
mod tests {
    use wasmgate_plugin::{Phase, harness};

    use super::*;

    #[test]
    fn a_forbidden_phrase_is_refused_where_it_stands() {
        let found = |payload| harness::validate(&Forbidden::default(), "tools/call", Phase::Request, payload).unwrap();
        assert!(found(r#"{"name":"shell","arguments":{"command":"ls"}}"#).is_empty());
        let findings = found(r#"{"name":"shell","arguments":{"command":"rm -rf / --no-preserve-root"}}"#);
        assert_eq!(findings[0].path.as_deref(), Some("/arguments/command"));
    }
}

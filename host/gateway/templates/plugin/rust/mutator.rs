//! Masks words in the results of tools.

use serde::Deserialize;
use wasmgate_plugin::{Config, Descriptor, Draft, Edit, Hook, Interceptor, Outcome, Problem};

/// The configuration, and all that the plugin needs to know.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mask {
    words: Vec<String>,
}

impl Default for Mask {
    fn default() -> Self {
        Self { words: vec!["confidential".to_owned()] }
    }
}

impl Interceptor for Mask {
    fn describe() -> Descriptor {
        Descriptor::new("@NAME@", env!("CARGO_PKG_VERSION"), "Masks words in the results of tools.")
            .hook(Hook::mutate(&["tools/call"]).response())
            .config_schema(
                r#"{
                    "type": "object",
                    "properties": { "words": { "type": "array", "items": { "type": "string", "minLength": 1 } } },
                    "additionalProperties": false
                }"#,
            )
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        config.read()
    }

    fn mutate(&self, draft: &Draft<'_>) -> Result<Outcome, String> {
        let masked = |text: &str| self.words.iter().fold(text.to_owned(), |text, word| text.replace(word, "***"));
        let mut edits = Vec::new();
        for leaf in draft.strings("", 1) {
            let text = masked(&leaf.text);
            if text != leaf.text {
                edits.push(Edit::SetString(leaf.pointer, text));
            }
        }
        if edits.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        draft.apply(&edits)?;
        Ok(Outcome::Changed)
    }
}

wasmgate_plugin::export!(Mask);

#[cfg(test)]
mod tests {
    use wasmgate_plugin::{Phase, harness};

    use super::*;

    #[test]
    fn words_are_masked_wherever_they_stand() {
        let mutated = |payload| harness::mutate(&Mask::default(), "tools/call", Phase::Response, payload).unwrap();
        let (outcome, _) = mutated(r#"{"content":[{"type":"text","text":"public"}]}"#);
        assert_eq!(outcome, Outcome::Unchanged);
        let (outcome, payload) = mutated(r#"{"content":[{"type":"text","text":"very confidential"}]}"#);
        assert_eq!(outcome, Outcome::Changed);
        assert!(payload.contains("very ***"), "{payload}");
    }
}

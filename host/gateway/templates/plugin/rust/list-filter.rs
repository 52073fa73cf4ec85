//! Hides tools by a word in their names.

use serde::Deserialize;
use wasmgate_plugin::{Change, Config, Descriptor, Hook, Interceptor, Item, Operation, Problem};

/// The configuration, and all that the plugin needs to know.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hide {
    words: Vec<String>,
}

impl Default for Hide {
    fn default() -> Self {
        Self { words: vec!["delete".to_owned()] }
    }
}

impl Interceptor for Hide {
    fn describe() -> Descriptor {
        Descriptor::new("@NAME@", env!("CARGO_PKG_VERSION"), "Hides tools by a word in their names.")
            .hook(Hook::filter(&["tools/list"]))
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

    fn filter(&self, _operation: &Operation, items: &[Item]) -> Result<Vec<(usize, Change)>, String> {
        let change = |item: &Item| match &item.description {
            _ if self.words.iter().any(|word| item.name.contains(word)) => Some(Change::Hide),
            None => Some(Change::Patch(r#"{"description":"(no description)"}"#.to_owned())),
            Some(_) => None,
        };
        let changes = items.iter().enumerate();
        Ok(changes.filter_map(|(index, item)| Some((index, change(item)?))).collect())
    }
}

wasmgate_plugin::export!(Hide);

#[cfg(test)]
mod tests {
    use wasmgate_plugin::harness;

    use super::*;

    #[test]
    fn a_word_in_the_name_hides_a_tool() {
        let tools = [("files", r#"{"name":"read","description":"Reads."}"#), ("files", r#"{"name":"delete_all"}"#)];
        let changes = harness::filter(&Hide::default(), "tools/list", &tools).unwrap();
        assert_eq!(changes, [(1, Change::Hide)]);
    }
}

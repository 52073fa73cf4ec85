//! Docker's small files beside the catalog: values (`config.yaml`), enabled servers (`registry.yaml`), allowed tools
//! (`tools.yaml`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::document::{Diagnostic, Source};

/// Configuration values, by the server's canonical name (dots as underscores).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(BTreeMap<String, Map<String, Json>>);

impl Values {
    /// Reads a `config.yaml`: server to values.
    ///
    /// # Errors
    /// When it is not a map of maps.
    pub fn read(source: &Source<'_>) -> Result<Self, Diagnostic> {
        let servers: Option<BTreeMap<String, Option<Map<String, Json>>>> = source.parse()?;
        let mut values = Self::default();
        for (server, map) in servers.unwrap_or_default() {
            values.set(&server, map.unwrap_or_default());
        }
        Ok(values)
    }

    /// Sets values of a server, key by key over those it has.
    pub fn set(&mut self, server: &str, values: Map<String, Json>) {
        self.0.entry(server.replace('.', "_")).or_default().extend(values);
    }

    /// Lays `later` over these.
    pub fn extend(&mut self, later: Self) {
        for (server, values) in later.0 {
            self.set(&server, values);
        }
    }

    /// The values of a server, by its canonical name.
    pub fn of(&self, canonical: &str) -> Option<&Map<String, Json>> {
        self.0.get(canonical)
    }

    /// The servers that have values, by canonical name.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Reads a `registry.yaml`: the names of the enabled servers, in the file's order.
///
/// # Errors
/// When it has no `registry` map.
pub fn read_registry(source: &Source<'_>) -> Result<Vec<String>, Diagnostic> {
    #[derive(Deserialize)]
    struct Registry {
        registry: Option<Map<String, Json>>,
    }
    let file: Registry = source.parse()?;
    Ok(file.registry.unwrap_or_default().into_iter().map(|(name, _)| name).collect())
}

/// Reads a `tools.yaml`: for each server the only tools it may show; a server that is absent may show all.
///
/// # Errors
/// When it is not a map of lists.
pub fn read_tools(source: &Source<'_>) -> Result<BTreeMap<String, Vec<String>>, Diagnostic> {
    let servers: Option<BTreeMap<String, Option<Vec<String>>>> = source.parse()?;
    Ok(servers
        .unwrap_or_default()
        .into_iter()
        .map(|(name, tools)| (name, tools.unwrap_or_default()))
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(text: &str) -> Source<'_> {
        Source { file: "f.yaml", text }
    }

    #[test]
    fn values_go_by_canonical_name_and_later_keys_win() {
        let mut values = Values::read(&source("io.github.x: {a: 1, b: {c: 2}}\ny:\n")).unwrap();
        values.extend(Values::read(&source(r#"{"io_github_x": {"a": 3}}"#)).unwrap());
        assert_eq!(json!(values.of("io_github_x")), json!({"a": 3, "b": {"c": 2}}));
        assert!(Values::read(&source("a: 5\n")).is_err());
    }

    #[test]
    fn registry_and_tools() {
        let names =
            read_registry(&source("registry:\n  zeta:\n    ref: \"\"\n  alpha: {ref: '', config: {x: 1}}\n"));
        assert_eq!(names.unwrap(), ["zeta", "alpha"]);
        assert!(read_registry(&source("- a\n")).is_err());
        let tools = read_tools(&source("a: [x, y]\nb: []\n")).unwrap();
        assert_eq!(json!(tools), json!({"a": ["x", "y"], "b": []}));
    }
}

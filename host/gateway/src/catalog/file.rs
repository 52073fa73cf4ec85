//! The formats a catalog file may have, all read by one reader (YAML or JSON):
//!
//! - `registry:` a map from name to entry (Docker's v2 and v3 catalogs);
//! - `servers:` a list of entries with `name`;
//! - `servers:` a list of `{type, snapshot: {server: entry}}` (Docker's catalog artifacts and profiles), where the item may
//!   carry `tools` (an allow-list) and `config` (values).
//!
//! A broken file is a [`Diagnostic`]. A broken entry is only that: it stays in the list, with what is wrong.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use wasmgate_core::name::ServerName;

use super::{Catalog, Entry, Grants, Listed, Origin, Refusal};
use crate::document::{Diagnostic, Source, Spanned};

/// Reads a catalog.
///
/// # Errors
/// When it is not YAML or JSON, or has neither `registry` nor `servers`.
pub fn read(source: &Source<'_>, origin: Origin) -> Result<Catalog, Diagnostic> {
    let document: Document = source.parse()?;
    if document.registry.is_none() && document.servers.is_none() {
        return Err(Diagnostic::new(
            source.file,
            "is not a catalog: it has neither `registry` nor `servers`",
            "a catalog is `registry: {name: {image: ...}}` or `servers: [{name: ..., image: ...}]`",
        ));
    }
    let enable_all = document.enable.as_ref().and_then(Json::as_str) == Some("all");
    let mut catalog = Catalog { enable_all, ..Catalog::default() };
    for (name, entry) in document.registry.map(|entries| entries.0).unwrap_or_default() {
        let line = entry.referenced.line();
        catalog.add(name.as_str(), Item::plain(entry.value), origin, line);
    }
    // A profile that lists no tools of a server allows none; a catalog that lists none has not said.
    let profile = document.id.is_some();
    for (number, item) in (1..).zip(document.servers.unwrap_or_default()) {
        let line = item.referenced.line();
        let mut item = Item::read(item.value);
        item.tools = item.tools.filter(|tools| profile || !tools.is_empty());
        let name = item.name.clone().unwrap_or_else(|| format!("(number {number})"));
        catalog.add(&name, item, origin, line);
    }
    Ok(catalog)
}

impl Catalog {
    fn add(&mut self, name: &str, item: Item, origin: Origin, line: u64) {
        match ServerName::new(name) {
            Ok(name) => {
                let entry = Entry::read(&item.entry).map(Box::new);
                let entry = entry.map_err(|what| {
                    Refusal::new(format!("the catalog's entry at line {line} cannot be read: {what}"))
                });
                self.servers.push(Listed {
                    name,
                    origin,
                    entry,
                    tools: item.tools,
                    values: item.values,
                    grants: Grants::default(),
                });
            }
            Err(bad) => self.warnings.push(format!("the entry at line {line} is left out: {bad}")),
        }
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    registry: Option<Entries>,
    #[serde(default)]
    servers: Option<Vec<Spanned<Json>>>,
    /// `all` (ours): every server is enabled.
    #[serde(default)]
    enable: Option<Json>,
    /// Only profiles have one.
    #[serde(default)]
    id: Option<Json>,
}

/// A map in its order.
struct Entries(Vec<(String, Spanned<Json>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from server names to entries")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_map(InOrder)
    }
}

/// One item of a list of servers, unwrapped.
struct Item {
    name: Option<String>,
    entry: Json,
    tools: Option<Vec<String>>,
    values: serde_json::Map<String, Json>,
}

impl Item {
    fn plain(entry: Json) -> Self {
        Self { name: None, entry, tools: None, values: serde_json::Map::new() }
    }

    /// An item of `servers:` is an entry, or wraps one in `snapshot.server`.
    fn read(item: Json) -> Self {
        let Some(inner) = item.pointer("/snapshot/server") else {
            let name = item.get("name").and_then(Json::as_str).map(str::to_owned);
            return Self { name, ..Self::plain(item) };
        };
        let names = |list: &Vec<Json>| list.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        Self {
            name: inner.get("name").and_then(Json::as_str).map(str::to_owned),
            tools: item.get("tools").and_then(Json::as_array).map(names),
            values: item.get("config").and_then(Json::as_object).cloned().unwrap_or_default(),
            entry: with_launch(inner.clone(), &item),
        }
    }
}

/// The wrapper's `image` or `endpoint` stands in where the snapshot says neither.
fn with_launch(mut entry: Json, wrapper: &Json) -> Json {
    let bare = entry.get("image").is_none() && entry.get("remote").is_none();
    if let (true, Some(members)) = (bare, entry.as_object_mut()) {
        if let Some(image) = wrapper.get("image").and_then(Json::as_str) {
            members.insert("image".to_owned(), image.into());
        } else if let Some(url) = wrapper.get("endpoint").and_then(Json::as_str) {
            members.insert("remote".to_owned(), serde_json::json!({ "url": url }));
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::document::render;

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let shown = match read(&Source { file: "c.yaml", text }, Origin::File) {
            Err(problem) => render(&problem),
            Ok(catalog) => {
                let line = |listed: &Listed| {
                    let from = match &listed.entry {
                        Ok(entry) => {
                            format!("{:?} {:?}", entry.from.image, entry.from.remote.as_ref().map(|r| &r.url))
                        }
                        Err(refusal) => refusal.to_string(),
                    };
                    format!("{} {from} tools={:?} values={:?}\n", listed.name, listed.tools, listed.values)
                };
                let warnings = catalog.warnings.iter().map(|warning| format!("warning: {warning}\n"));
                catalog.servers.iter().map(line).chain(warnings).collect()
            }
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn maps_lists_and_snapshots() {
        check(
            "version: 3\nname: x\nregistry:\n  b: {image: ib, unknown: 1}\n  a: {image: ia}\n",
            expect![[r#"
                b Some("ib") None tools=None values={}
                a Some("ia") None tools=None values={}
            "#]],
        );
        check(
            r#"{"servers": [{"name": "a", "image": "ia"}, {"image": "nameless"}]}"#,
            expect![[r#"
                a Some("ia") None tools=None values={}
                warning: the entry at line 1 is left out: `(number 2)` cannot name a server: use 1 to 128 letters, digits, `.`, `_` or `-`, a letter or digit first
            "#]],
        );
        check(
            "id: p\nname: t\nservers:\n- type: image\n  image: x\n  tools: [one]\n  config: {k: 1}\n  snapshot: {server: {name: a}}\n- type: remote\n  endpoint: https://e\n  tools: null\n  snapshot: {server: {name: b}}\n",
            expect![[r#"
                a Some("x") None tools=Some(["one"]) values={"k": Number(1)}
                b None Some("https://e") tools=None values={}
            "#]],
        );
    }

    #[test]
    fn one_bad_entry_is_only_that() {
        check(
            "registry:\n  bad: {command: 5}\n  worse: text\n  'no/name': {}\n  good: {image: x, env: null}\n",
            expect![[r#"
                bad the catalog's entry at line 2 cannot be read: invalid type: integer `5`, expected a sequence tools=None values={}
                worse the catalog's entry at line 3 cannot be read: is not a map of keys tools=None values={}
                good Some("x") None tools=None values={}
                warning: the entry at line 4 is left out: `no/name` cannot name a server: use 1 to 128 letters, digits, `.`, `_` or `-`, a letter or digit first
            "#]],
        );
    }

    #[test]
    fn a_broken_file_is_a_diagnostic() {
        check(
            "registry:\n  a: {image: x\n",
            expect![[r#"
            c.yaml:2:6: unclosed bracket '{'
              |
            2 |   a: {image: x
              |      ^
        "#]],
        );
        check(
            "registry: {}\nregistry: {}\n",
            expect![[r#"
            c.yaml:2:1: the key `registry` appears twice
              |
            2 | registry: {}
              | ^^^^^^^^
              remove one of the two: which one counts would be a guess
        "#]],
        );
        check(
            "other: 1\n",
            expect![[r#"
            c.yaml: is not a catalog: it has neither `registry` nor `servers`
              a catalog is `registry: {name: {image: ...}}` or `servers: [{name: ..., image: ...}]`
        "#]],
        );
        check(
            "registry: [a]\n",
            expect![[r#"
            c.yaml:1:11: expected a map
              |
            1 | registry: [a]
              |           ^
        "#]],
        );
    }
}

//! The formats a catalog file may have, all read by one reader (YAML or JSON, the latter with comments if need be):
//!
//! - `registry:` a map from name to entry (Docker's v2 and v3 catalogs);
//! - `servers:` a list of entries with `name`;
//! - `servers:` a list of `{type, snapshot: {server: entry}}` (Docker's catalog artifacts and profiles, also as they lie in
//!   OCI registries), where the item may carry `tools` (an allow-list) and `config` (values);
//! - `mcpServers:` or `servers:`, a map: a client's configuration, see [`super::client`].
//!
//! A broken file is a [`Diagnostic`]. A broken entry is only that: it stays in the list, with what is wrong.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use wasmgate_core::name::ServerName;

use super::item::Item;
use super::{Catalog, Entry, Grants, Listed, Origin, ProfileInfo, Refusal, client};
use crate::document::{Diagnostic, Source, Spanned};

/// Reads a catalog.
///
/// # Errors
/// When it is not YAML or JSON, or none of the formats.
pub fn read(source: &Source<'_>, origin: Origin) -> Result<Catalog, Diagnostic> {
    let document = parse(source)?;
    let mut catalog = Catalog::default();
    let mut known = document.registry.is_some();
    catalog.enable_all = document.enable.as_ref().and_then(Json::as_str) == Some("all");
    for (name, entry) in document.registry.map(|entries| entries.0).unwrap_or_default() {
        let line = entry.referenced.line();
        catalog.add(name.as_str(), Item::plain(entry.value), origin, line);
    }
    let mut clients = vec![(document.mcp_servers, document.inputs)];
    if let Some(Nested { servers, inputs }) = document.mcp {
        clients.push((servers, inputs));
    }
    match document.servers {
        Some(Servers::List(items)) => {
            known = true;
            catalog.profile = document.id.as_ref().and_then(Json::as_str).map(|id| ProfileInfo {
                id: id.to_owned(),
                name: document.name.as_ref().and_then(Json::as_str).unwrap_or(id).to_owned(),
            });
            catalog.enable_all |= catalog.profile.is_some();
            catalog.add_items(items, origin);
        }
        Some(Servers::Map(entries)) => {
            let inputs = clients.first_mut().map(|(_, inputs)| std::mem::take(inputs)).unwrap_or_default();
            clients.push((Some(entries), inputs));
        }
        None => {}
    }
    for (entries, inputs) in clients {
        let Some(Entries(entries)) = entries else { continue };
        known = true;
        client::add(&mut catalog, entries, &inputs, origin);
    }
    if known { Ok(catalog) } else { Err(unknown(source)) }
}

/// JSON without its comments, which a reader of YAML would take for keys; anything else as it stands.
fn parse(source: &Source<'_>) -> Result<Document, Diagnostic> {
    let plain = client::without_comments(source.text);
    match plain.and_then(|text| Source { file: source.file, text: &text }.parse().ok()) {
        Some(document) => Ok(document),
        None => source.parse(),
    }
}

fn unknown(source: &Source<'_>) -> Diagnostic {
    Diagnostic::new(
        source.file,
        "is not a catalog: it has neither `registry` nor `servers` nor `mcpServers`",
        "a catalog is `registry: {name: {image: ...}}` or `servers: [{name: ..., image: ...}]`",
    )
}

impl Catalog {
    fn add_items(&mut self, items: Vec<Spanned<Json>>, origin: Origin) {
        for (number, item) in (1..).zip(items) {
            let line = item.referenced.line();
            let mut item = Item::read(item.value);
            // A profile that lists no tools of a server allows none; a catalog that lists none has not said.
            item.tools = item.tools.filter(|tools| self.profile.is_some() || !tools.is_empty());
            let name = match (item.name.clone(), item.guess()) {
                (Some(name), _) => name,
                (None, Some(guess)) => self.free(&guess),
                (None, None) => format!("(number {number})"),
            };
            self.add(&name, item, origin, line);
        }
    }

    /// A name that no server of this catalog has.
    fn free(&self, name: &str) -> String {
        let taken = |name: &str| self.servers.iter().any(|listed| listed.name.as_str() == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
    }

    /// Adds a server, or what is wrong with it.
    pub(super) fn add(&mut self, name: &str, item: Item, origin: Origin, line: u64) {
        match ServerName::new(name) {
            Ok(name) => {
                let entry = item.document.as_ref().map_err(Clone::clone).and_then(|document| {
                    Entry::read(document).map(Box::new).map_err(|what| {
                        Refusal::new(format!("the catalog's entry at line {line} cannot be read: {what}"))
                    })
                });
                self.servers.push(Listed {
                    name,
                    origin,
                    entry,
                    tools: item.tools,
                    values: item.values,
                    grants: Grants::default(),
                    document: Arc::new(item.document.unwrap_or_default()),
                });
            }
            Err(bad) => self.warnings.push(format!("the entry at line {line} is left out: {bad}")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    registry: Option<Entries>,
    #[serde(default)]
    servers: Option<Servers>,
    /// Claude Desktop, Cursor, Windsurf and most others.
    #[serde(default)]
    mcp_servers: Option<Entries>,
    /// What a client's configuration asks people for.
    #[serde(default)]
    inputs: Vec<Json>,
    /// The settings of VS Code hold the same under a key of their own.
    #[serde(default)]
    mcp: Option<Nested>,
    /// `all` (ours): every server is enabled.
    #[serde(default)]
    enable: Option<Json>,
    /// Only profiles have one.
    #[serde(default)]
    id: Option<Json>,
    #[serde(default)]
    name: Option<Json>,
}

#[derive(Deserialize)]
struct Nested {
    #[serde(default)]
    servers: Option<Entries>,
    #[serde(default)]
    inputs: Vec<Json>,
}

/// `servers:` of a catalog, or of a client.
enum Servers {
    List(Vec<Spanned<Json>>),
    Map(Entries),
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Servers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of servers, or a map from names to servers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Servers, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(Servers::List)
            }
            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Servers, A::Error> {
                Entries::deserialize(MapAccessDeserializer::new(entries)).map(Servers::Map)
            }
        }
        from.deserialize_any(Either)
    }
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
    fn profiles_in_yaml_and_in_json() {
        let yaml = "
version: 1
id: work
name: For work
servers:
- {type: image, image: 'mcp/time:1@sha256:00', tools: null, secrets: default, catalog_ref: mcp/c}
- {type: image, image: mcp/time, tools: []}
- {type: remote, endpoint: 'https://mcp.example.com/mcp', tools: [a]}
- {type: registry, source: 'https://r.example/v0/servers/io.github.acme%2Fweather/versions/1.0.0'}
- {type: image, image: x, config: {k: 1}, snapshot: {server: {name: full, type: server, image: '', remote: {}}}}
- {type: image, image: alpine, snapshot: {server: {name: tools, type: poci, tools: [{name: t, container: {image: alpine}}]}}}
secrets: {default: {provider: docker-desktop-store}}
";
        let value: Json = Source { file: "p", text: yaml }.parse().unwrap();
        let json = value.to_string();
        for text in [yaml, json.as_str()] {
            let catalog = read(&Source { file: "p", text }, Origin::File).unwrap();
            let profile = catalog.profile.clone().unwrap();
            assert_eq!((profile.id.as_str(), profile.name.as_str()), ("work", "For work"));
            assert!(catalog.enable_all, "a profile is the servers that run");
        }
        check(
            yaml,
            expect![[r#"
            time Some("mcp/time:1@sha256:00") None tools=None values={}
            time-2 Some("mcp/time") None tools=Some([]) values={}
            mcp-example-com None Some("https://mcp.example.com/mcp") tools=Some(["a"]) values={}
            io-github-acme-weather it is only named here, as `https://r.example/v0/servers/io.github.acme%2Fweather/versions/1.0.0`: add that address to `catalogs`, or import it with `wasmgate server import` tools=None values={}
            full Some("x") Some("") tools=None values={"k": Number(1)}
            tools None None tools=None values={}
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
                c.yaml: is not a catalog: it has neither `registry` nor `servers` nor `mcpServers`
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

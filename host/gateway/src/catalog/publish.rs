//! Catalogs as they are published: Docker's document (`application/vnd.docker.mcp.catalog.v1+json`), written in one way only
//! (RFC 8785), so that the same servers are the same bytes and so the same digest, on every machine, for ever.
//!
//! Not here: reading it back, which [`super::file`] does, and artifacts, which `oci` makes.

use serde_json::{Map, Value as Json, json};
use wasmgate_core::name::ServerName;

use super::Entry;

/// A server to publish: its entry as it was written, not as it was understood, so that nothing gets lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its name.
    pub name: ServerName,
    /// Its entry.
    pub entry: Map<String, Json>,
    /// The only tools it may show; all when absent.
    pub tools: Option<Vec<String>>,
}

/// Why a set of servers cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpublishable {
    /// An entry that cannot be read, or that says nothing that could be started anywhere else.
    #[error("server `{name}` {why}")]
    Entry {
        /// Which.
        name: String,
        /// A fragment.
        why: String,
    },
    /// Two of one name.
    #[error("there are two servers `{0}`: leave one out")]
    Twice(String),
    /// No server at all.
    #[error("there is no server to publish")]
    Nothing,
    /// A number that no two programs write the same way.
    #[error("it cannot be written in canonical form: {0}")]
    Canonical(String),
}

/// The document of a catalog of these servers.
///
/// # Errors
/// [`Unpublishable`], for the first server that cannot be.
pub fn document(title: &str, servers: &[Published]) -> Result<Vec<u8>, Unpublishable> {
    if servers.is_empty() {
        return Err(Unpublishable::Nothing);
    }
    let mut names = std::collections::BTreeSet::new();
    if let Some(twice) = servers.iter().find(|server| !names.insert(&server.name)) {
        return Err(Unpublishable::Twice(twice.name.to_string()));
    }
    let items = servers.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    let document = json!({"title": title, "servers": items});
    serde_json_canonicalizer::to_vec(&document).map_err(|error| Unpublishable::Canonical(error.to_string()))
}

/// One server as Docker's catalogs wrap it: what it is started from stands outside as well.
fn item(server: &Published) -> Result<Json, Unpublishable> {
    let refuse = |why: &str| Unpublishable::Entry { name: server.name.to_string(), why: why.to_owned() };
    let written = Json::Object(server.entry.clone());
    let read = Entry::read(&written).map_err(|why| refuse(&format!("cannot be read: {why}")))?;
    if read.from.process.is_some() {
        return Err(refuse("runs a program of this machine, which no other machine has"));
    }
    let mut item = Map::new();
    let kind = match (&read.from.image, super::remote::of(&read.from)) {
        (_, Some(remote)) => {
            let url = if remote.url.is_empty() {
                remote.urls.into_iter().next().unwrap_or_default()
            } else {
                remote.url
            };
            item.insert("type".to_owned(), json!("remote"));
            item.insert("endpoint".to_owned(), json!(url));
            "remote"
        }
        (Some(image), None) if !image.is_empty() => {
            item.insert("type".to_owned(), json!("image"));
            item.insert("image".to_owned(), json!(image));
            "server"
        }
        _ if read.is_poci() => {
            item.insert("type".to_owned(), json!("image"));
            "poci"
        }
        _ => return Err(refuse("says nothing that it could be started from")),
    };
    let mut entry = server.entry.clone();
    entry.insert("name".to_owned(), json!(server.name));
    entry.entry("type").or_insert_with(|| json!(kind));
    if let Some(tools) = &server.tools {
        item.insert("tools".to_owned(), json!(tools));
    }
    item.insert("snapshot".to_owned(), json!({"server": entry}));
    Ok(Json::Object(item))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::catalog::{Origin, file};
    use crate::document::Source;

    fn published(name: &str, entry: Json) -> Published {
        let entry = entry.as_object().cloned().unwrap_or_default();
        Published { name: ServerName::new(name).unwrap(), entry, tools: None }
    }

    #[test]
    fn members_are_sorted_and_numbers_have_one_spelling() {
        let one = json!({"image": "acme/weather:1", "cpus": 2.0, "title": "Weather <1>", "env": []});
        let other = json!({"title": "Weather <1>", "env": [], "cpus": 2, "image": "acme/weather:1"});
        let write =
            |entry: Json| String::from_utf8(document("Weather", &[published("weather", entry)]).unwrap());
        let text = write(one).unwrap();
        assert_eq!(text, write(other).unwrap());
        expect![[r#"{"servers":[{"image":"acme/weather:1","snapshot":{"server":{"cpus":2,"env":[],"image":"acme/weather:1","name":"weather","title":"Weather <1>","type":"server"}},"type":"image"}],"title":"Weather"}"#]].assert_eq(&text);
        let source = Source { file: "published", text: &text };
        let read = file::read(&source, Origin::Elsewhere).unwrap();
        assert_eq!(read.servers[0].name.as_str(), "weather");
        assert_eq!(read.servers[0].entry.as_ref().unwrap().from.image.as_deref(), Some("acme/weather:1"));
    }

    #[test]
    fn what_nobody_else_could_start_is_not_published() {
        let check = |entries: &[(&str, Json)], expected: &str| {
            let servers: Vec<_> =
                entries.iter().map(|(name, entry)| published(name, entry.clone())).collect();
            assert_eq!(document("x", &servers).unwrap_err().to_string(), expected);
        };
        check(&[], "there is no server to publish");
        check(&[("a", json!({}))], "server `a` says nothing that it could be started from");
        check(
            &[("a", json!({"process": {"command": ["x"]}}))],
            "server `a` runs a program of this machine, which no other machine has",
        );
        let image = json!({"image": "i"});
        check(&[("a", image.clone()), ("a", image)], "there are two servers `a`: leave one out");
    }
}

//! Servers as the document of a Docker catalog artifact (`application/vnd.docker.mcp.catalog.v1+json`).
//!
//! `{title, servers: [{type, image | endpoint, tools, snapshot: {server: entry}}]}`, in the canonical form of RFC 8785: the
//! same servers are the same bytes on every machine. Each entry is the one its catalog wrote, with what Docker's gateway
//! asks of every entry (a name, a type, described values); it refuses a whole catalog for one entry, so entries that
//! cannot be made to fit are left out and named.

use serde_json::{Map, Value as Json, json};

use super::{Entry, Listed, Refusal, remote};

/// A catalog, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The document.
    pub text: String,
    /// Servers that are not in it, and why.
    pub left_out: Vec<(String, Refusal)>,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A catalog has a title.
    #[error("a catalog needs a title")]
    NoTitle,
    /// A value that JSON cannot hold.
    #[error("the catalog cannot be written")]
    Json(#[source] serde_json::Error),
}

/// Writes a catalog of these servers, sorted by name. A later server of the same name takes the place of an earlier one.
///
/// # Errors
/// [`WriteError`]; a server that does not fit is left out instead.
pub fn write<'a>(title: &str, servers: impl IntoIterator<Item = &'a Listed>) -> Result<Written, WriteError> {
    if title.trim().is_empty() {
        return Err(WriteError::NoTitle);
    }
    let mut items = std::collections::BTreeMap::new();
    for listed in servers {
        items.insert(listed.name.as_str(), item(listed));
    }
    let mut left_out = Vec::new();
    let mut kept = Vec::new();
    for (name, item) in items {
        match item {
            Ok(item) => kept.push(item),
            Err(why) => left_out.push((name.to_owned(), why)),
        }
    }
    let document = json!({ "title": title, "servers": kept });
    let text = serde_json_canonicalizer::to_string(&document).map_err(WriteError::Json)?;
    Ok(Written { text, left_out })
}

fn item(listed: &Listed) -> Result<Json, Refusal> {
    let entry = listed.entry.as_deref().map_err(Clone::clone)?;
    let Json::Object(document) = listed.document.as_ref() else {
        return Err(Refusal::new("it is written in wasmgate.yaml, not in a catalog"));
    };
    let (kind, (wrapper, key, place)) = launch(entry)?;
    let mut server = document.clone();
    server.insert("name".to_owned(), listed.name.as_str().into());
    server.insert("type".to_owned(), kind.into());
    fit(&mut server)?;
    let mut item = json!({ "type": wrapper, key: place, "snapshot": { "server": server } });
    if let (Some(tools), Some(item)) =
        (listed.tools.as_ref().filter(|tools| !tools.is_empty()), item.as_object_mut())
    {
        item.insert("tools".to_owned(), tools.as_slice().into());
    }
    Ok(item)
}

/// The entry's type, and the wrapper's type with its key and value.
fn launch(entry: &Entry) -> Result<(&'static str, (&'static str, &'static str, String)), Refusal> {
    if entry.is_poci() {
        let images =
            entry.tools.iter().filter_map(|tool| tool.pointer("/container/image").and_then(Json::as_str));
        let image = images.into_iter().next().ok_or_else(|| Refusal::new("its tools have no `container`"))?;
        return Ok(("poci", ("image", "image", image.to_owned())));
    }
    if let Some(remote) = remote::of(&entry.from) {
        let url = if remote.url.is_empty() {
            remote.urls.into_iter().next().unwrap_or_default()
        } else {
            remote.url
        };
        return Ok(("remote", ("remote", "endpoint", url)));
    }
    match entry.from.image.as_deref().filter(|image| !image.is_empty()) {
        Some(image) => Ok(("server", ("image", "image", image.to_owned()))),
        None if entry.from.process.is_some() => {
            Err(Refusal::new("it runs a program of this machine, which a catalog for others cannot name"))
        }
        None => Err(Refusal::new("there is nothing to start")),
    }
}

/// Brings an entry into the shapes that Docker's reader insists on.
fn fit(server: &mut Map<String, Json>) -> Result<(), Refusal> {
    for key in ["env", "headers"] {
        let holder = if key == "env" {
            server.get_mut("env")
        } else {
            server.get_mut("remote").and_then(|remote| remote.get_mut(key))
        };
        match holder {
            Some(Json::Object(members)) => members.values_mut().for_each(as_text),
            Some(Json::Array(items)) => {
                items.iter_mut().filter_map(|item| item.get_mut("value")).for_each(as_text);
            }
            _ => {}
        }
    }
    if let Some(Json::Object(members)) = server.get_mut("env") {
        let pairs = std::mem::take(members).into_iter();
        let list: Vec<Json> = pairs.map(|(name, value)| json!({ "name": name, "value": value })).collect();
        server.insert("env".to_owned(), list.into());
    }
    for key in ["command", "volumes", "extraHosts"] {
        if let Some(Json::Array(items)) = server.get_mut(key) {
            items.iter_mut().for_each(as_text);
        }
    }
    server.get_mut("user").into_iter().for_each(as_text);
    let Some(config) = server.get_mut("config") else { return Ok(()) };
    for schema in config.as_array_mut().into_iter().flatten() {
        let Some(schema) = schema.as_object_mut() else {
            return Err(Refusal::new("its `config` is not a list of maps"));
        };
        for (key, standard) in [
            ("name", json!("")),
            ("description", json!("")),
            ("type", json!("object")),
            ("properties", json!({})),
        ] {
            schema.entry(key).or_insert(standard);
        }
        properties(schema, "config")?;
    }
    Ok(())
}

/// Numbers and booleans as text, which is what they stand for here.
fn as_text(value: &mut Json) {
    if matches!(value, Json::Number(_) | Json::Bool(_)) {
        *value = value.to_string().into();
    }
}

/// Properties have a type, one of six; lists are of texts.
fn properties(schema: &mut Map<String, Json>, at: &str) -> Result<(), Refusal> {
    for (key, property) in schema.get_mut("properties").and_then(Json::as_object_mut).into_iter().flatten() {
        let at = format!("{at}.{key}");
        let refused =
            |what: &str| Refusal::new(format!("its `{at}` {what}, which Docker's catalogs cannot hold"));
        let property = property.as_object_mut().ok_or_else(|| refused("is not a map"))?;
        let kind = property.entry("type").or_insert("string".into()).as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "string" | "integer" | "number" | "boolean" => {}
            "object" => {
                property.entry("properties").or_insert(json!({}));
                properties(property, &at)?;
            }
            "array" => {
                let items = property.entry("items").or_insert(json!({ "type": "string" }));
                if items.get("type").and_then(Json::as_str) != Some("string") {
                    return Err(refused("is a list of other things than texts"));
                }
            }
            _ => return Err(refused("is of an unknown type")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

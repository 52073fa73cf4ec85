//! The two forms of a ToolHive registry, and its own form as server.json.
//!
//! The newer form lists server.json under `data.servers`. ToolHive's own has maps from name to server: `servers` run as
//! images, `remote_servers` do not. Both may have `groups` of more.

use serde_json::{Map, Value as Json, json};
use server_json::Node;
use wasmgate_plugin::source::Failure;

use crate::extension::{EXTENSIONS, PUBLISHER};

/// Every server of a registry as server.json, in the order of the file, or by name where the file has maps.
///
/// # Errors
/// When it is no registry of ToolHive's.
pub(crate) fn servers(json: &Json) -> Result<Vec<Json>, Failure> {
    if let Some(data) = json.get("data").filter(|data| data.is_object()) {
        let groups = list(data, "groups").flat_map(|group| list(group, "servers"));
        return Ok(list(data, "servers").chain(groups).cloned().collect());
    }
    let both = |json: &Json| {
        of(json, "servers", image).chain(of(json, "remote_servers", remote)).collect::<Vec<_>>()
    };
    if !["servers", "remote_servers"].iter().any(|key| json.get(key).is_some_and(Json::is_object)) {
        return Err(Failure::Invalid(
            "it is no registry of ToolHive's: it has neither `servers` nor `data.servers`".to_owned(),
        ));
    }
    let groups = list(json, "groups").flat_map(both);
    Ok(both(json).into_iter().chain(groups).collect())
}

fn list<'j>(json: &'j Json, key: &str) -> impl Iterator<Item = &'j Json> + use<'j> {
    json.get(key).and_then(Json::as_array).into_iter().flatten()
}

fn of<'j>(
    json: &'j Json,
    key: &str,
    read: fn(Node<'_>) -> (&'static str, Json, String),
) -> impl Iterator<Item = Json> + use<'j> {
    let members = Node::root(json).member(key).members();
    members.into_iter().map(move |(name, node)| server(name, node, read(node)))
}

/// server.json of one entry, with what it says besides as an extension of ToolHive's.
fn server(name: &str, node: Node<'_>, (kind, form, identifier): (&str, Json, String)) -> Json {
    let extension = node.json().cloned().unwrap_or_default();
    let mut server = json!({
        "name": name,
        "description": node.member("description").text(),
        "repository": { "url": node.member("repository_url").text() },
        "_meta": { PUBLISHER: { EXTENSIONS: { identifier: extension } } },
    });
    if let Some(members) = server.as_object_mut() {
        members.insert(kind.to_owned(), json!([form]));
    }
    server
}

fn image(node: Node<'_>) -> (&'static str, Json, String) {
    let image = node.member("image").text().unwrap_or_default();
    let transport = node.member("transport").text().unwrap_or_else(|| "stdio".to_owned());
    let port =
        node.member("target_port").text().filter(|port| port != "0").unwrap_or_else(|| "8080".to_owned());
    let transport = match transport.as_str() {
        "stdio" => json!({ "type": "stdio" }),
        _ => json!({ "type": transport, "url": format!("http://localhost:{port}") }),
    };
    let package = json!({
        "registryType": "oci",
        "identifier": image,
        "transport": transport,
        "environmentVariables": inputs(node.member("env_vars")),
    });
    ("packages", package, image)
}

fn remote(node: Node<'_>) -> (&'static str, Json, String) {
    let url = node.member("url").text().unwrap_or_default();
    let remote = json!({ "type": node.member("transport").text(), "url": url, "headers": inputs(node.member("headers")) });
    ("remotes", remote, url)
}

/// Variables and headers: the same as server.json's, but for two names.
fn inputs(node: Node<'_>) -> Vec<Json> {
    let input = |node: Node<'_>| {
        let renamed = |name: &str| match name {
            "required" => "isRequired".to_owned(),
            "secret" => "isSecret".to_owned(),
            other => other.to_owned(),
        };
        let members = node.members().into_iter();
        let members: Map<String, Json> =
            members.filter_map(|(name, node)| Some((renamed(name), node.json()?.clone()))).collect();
        Json::Object(members)
    };
    node.list().map(input).collect()
}

//! What is written is read back as it was, and passes the rules by which Docker's gateway refuses a catalog.

use std::collections::BTreeSet;

use expect_test::expect;

use super::*;
use crate::catalog::{Catalog, Origin, file};
use crate::document::Source;

fn read(text: &str) -> Catalog {
    file::read(&Source { file: "c", text }, Origin::File).unwrap()
}

/// Docker's `Catalog.Validate` (docker/mcp-gateway, pkg/catalog_next and pkg/workingset), and the types its reader wants.
fn docker_refuses(document: &Json) -> Option<String> {
    let text = |value: Option<&Json>| {
        value.and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let Some(_) = text(document.get("title")) else { return Some("title".to_owned()) };
    let mut names = BTreeSet::new();
    for item in document["servers"].as_array()? {
        let place = match item["type"].as_str() {
            Some("image") => "image",
            Some("remote") => "endpoint",
            Some("registry") => "source",
            _ => return Some(format!("type of {item}")),
        };
        let server = &item["snapshot"]["server"];
        let known = matches!(server["type"].as_str(), Some("server" | "remote" | "poci"));
        let name = text(server.get("name"));
        if text(item.get(place)).is_none() || !known || name.is_none() || !names.insert(name) {
            return Some(format!("an item: {item}"));
        }
        if server["tools"].as_array().into_iter().flatten().any(|tool| text(tool.get("name")).is_none()) {
            return Some(format!("tools: {server}"));
        }
        for (key, member) in [("env", "value"), ("secrets", "env")] {
            if server[key].as_array().into_iter().flatten().any(|one| !one[member].is_string()) {
                return Some(format!("{key}: {server}"));
            }
        }
        for config in server["config"].as_array().into_iter().flatten() {
            let whole =
                config["name"].is_string() && config["description"].is_string() && config["type"] == "object";
            if !whole || !properties_pass(&config["properties"]) {
                return Some(format!("config: {config}"));
            }
        }
    }
    None
}

fn properties_pass(properties: &Json) -> bool {
    let pass = |property: &Json| match property["type"].as_str() {
        Some("string" | "integer" | "number" | "boolean") => true,
        Some("object") => properties_pass(&property["properties"]),
        Some("array") => property["items"]["type"] == "string",
        _ => false,
    };
    properties.as_object().is_some_and(|properties| properties.values().all(pass))
}

#[test]
fn every_entry_of_the_sample_is_read_back_as_it_was() {
    let Some((_, catalog)) = crate::catalog::tests::sample::sample() else { return };
    let written = write("Sample", &catalog.servers).unwrap();
    assert_eq!(written.left_out, []);
    assert_eq!(docker_refuses(&serde_json::from_str(&written.text).unwrap()), None);
    let back = read(&written.text);
    assert_eq!(back.servers.len(), catalog.servers.len());
    for before in &catalog.servers {
        let after = back.servers.iter().find(|after| after.name == before.name).unwrap();
        let mut document = Json::clone(&before.document);
        document["name"] = before.name.as_str().into();
        assert_eq!(*after.document, document);
        assert_eq!(after.tools, before.tools);
        assert!(after.entry.is_ok());
    }
    assert_eq!(write("Sample", &back.servers).unwrap(), written);
}

#[test]
fn the_same_servers_are_the_same_bytes() {
    let one = "registry:\n  b: {image: i, title: 'B'}\n  a: {type: remote, remote: {url: 'https://a', transport_type: sse}}\n";
    let two = "registry:\n  a: {remote: {transport_type: sse, url: 'https://a'}}\n  b: {title: 'B', type: server, image: i}\n";
    let written = write("T", &read(one).servers).unwrap().text;
    assert_eq!(written, write("T", &read(two).servers).unwrap().text);
    expect![[r#"{"servers":[{"endpoint":"https://a","snapshot":{"server":{"name":"a","remote":{"transport_type":"sse","url":"https://a"},"type":"remote"}},"type":"remote"},{"image":"i","snapshot":{"server":{"image":"i","name":"b","title":"B","type":"server"}},"type":"image"}],"title":"T"}"#]].assert_eq(&written);
}

#[test]
fn entries_are_made_to_fit_or_left_out() {
    let entries = r#"
registry:
  numbers: {image: i, user: 1000, env: {PORT: 8080}, command: [serve, 5], config: [{properties: {n: {}, l: {type: array}}}]}
  program: {process: {command: [git]}}
  numbers-list: {image: i, config: [{name: x, properties: {n: {type: array, items: {type: integer}}}}]}
  broken: 5
"#;
    let written = write("T", &read(entries).servers).unwrap();
    assert_eq!(docker_refuses(&serde_json::from_str(&written.text).unwrap()), None);
    let left_out: String = written.left_out.iter().map(|(name, why)| format!("{name}: {why}\n")).collect();
    expect![[r#"
        {"servers":[{"image":"i","snapshot":{"server":{"command":["serve","5"],"config":[{"description":"","name":"","properties":{"l":{"items":{"type":"string"},"type":"array"},"n":{"type":"string"}},"type":"object"}],"env":[{"name":"PORT","value":"8080"}],"image":"i","name":"numbers","type":"server","user":"1000"}},"type":"image"}],"title":"T"}
        broken: the catalog's entry at line 6 cannot be read: is not a map of keys
        numbers-list: its `config.n` is a list of other things than texts, which Docker's catalogs cannot hold
        program: it runs a program of this machine, which a catalog for others cannot name
    "#]].assert_eq(&format!("{}\n{left_out}", written.text));
    assert!(matches!(write(" ", []), Err(WriteError::NoTitle)));
}

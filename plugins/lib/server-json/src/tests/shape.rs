//! What every document must be: readable by the catalog, and by Docker's gateway; every name in a template declared.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::Imported;

type Holds = fn(&Json) -> bool;

/// Keys of an entry, and what each holds.
const KEYS: &[(&str, Holds)] = &[
    ("capAdd", texts),
    ("command", texts),
    ("config", Json::is_array),
    ("cpus", Json::is_number),
    ("deadlines", Json::is_object),
    ("description", Json::is_string),
    ("devices", texts),
    ("entrypoint", texts),
    ("env", Json::is_array),
    ("extraHosts", texts),
    ("icon", Json::is_string),
    ("image", Json::is_string),
    ("memory", Json::is_string),
    ("metadata", Json::is_object),
    ("name", Json::is_string),
    ("network", Json::is_string),
    ("path", Json::is_string),
    ("port", Json::is_u64),
    ("privileged", Json::is_boolean),
    ("remote", Json::is_object),
    ("secrets", Json::is_array),
    ("shmSize", Json::is_string),
    ("title", Json::is_string),
    ("tmpfs", texts),
    ("transport", Json::is_string),
    ("type", Json::is_string),
    ("user", Json::is_string),
    ("volumes", texts),
    ("workdir", Json::is_string),
];

fn texts(json: &Json) -> bool {
    json.as_array().is_some_and(|items| items.iter().all(Json::is_string))
}

#[track_caller]
pub(super) fn check(imported: &Imported) {
    let document = &imported.document;
    let members = document.as_object().unwrap();
    for (key, value) in members {
        let known = KEYS
            .iter()
            .find(|(known, _)| known == key)
            .unwrap_or_else(|| panic!("no key of an entry: {key}"));
        assert!(known.1(value), "{key} is {value}");
    }
    assert_eq!(document["name"], imported.name.as_str());
    assert!(
        document.get("image").is_some() != document.get("remote").is_some(),
        "exactly one launch key: {document}"
    );
    let sorted = {
        let mut copy = document.clone();
        copy.sort_all_objects();
        copy
    };
    assert_eq!(sorted.to_string(), document.to_string(), "sorted");
    let (properties, variables) = (properties(document), variables(document));
    let mut placed = document.clone();
    for key in ["config", "description", "title", "metadata", "secrets", "icon"] {
        placed.as_object_mut().unwrap().remove(key);
    }
    every_text(&placed, &mut |text| {
        for (path, _) in templates(text).into_iter().filter(|(path, _)| !path.starts_with('\'')) {
            let (server, property) = path.split_once('.').unwrap_or_else(|| panic!("not a path: {text}"));
            assert_eq!(server, imported.name, "{text}");
            assert!(properties.contains(property), "nobody declares {path} of {text}");
        }
        for name in dollars(text) {
            assert!(variables.contains(&name), "nobody declares ${name} of {text}");
        }
    });
}

fn properties(document: &Json) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for config in document["config"].as_array().into_iter().flatten() {
        assert_eq!(config["name"], document["name"]);
        assert_eq!(config["type"], "object");
        assert!(config["description"].is_string());
        for (name, property) in config["properties"].as_object().unwrap() {
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)), "{name}");
            let kind = property["type"].as_str().unwrap();
            assert!(matches!(kind, "string" | "number" | "boolean" | "array"), "{property}");
            assert_eq!(kind == "array", property.get("items").is_some());
            names.insert(name.clone());
        }
        for name in config["required"].as_array().into_iter().flatten() {
            assert!(names.contains(name.as_str().unwrap()), "{name} is required and not declared");
        }
    }
    names
}

/// Names that `$NAME` may stand for: secrets and variables of the environment.
fn variables(document: &Json) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for secret in document["secrets"].as_array().into_iter().flatten() {
        assert!(secret["name"].is_string() && secret["required"].is_boolean(), "{secret}");
        assert!(names.insert(secret["env"].as_str().unwrap().to_owned()), "twice: {secret}");
    }
    let mut env = BTreeSet::new();
    for variable in document["env"].as_array().into_iter().flatten() {
        assert!(env.insert(variable["name"].as_str().unwrap().to_owned()), "twice: {variable}");
    }
    names.extend(env);
    names
}

fn every_text(json: &Json, see: &mut dyn FnMut(&str)) {
    match json {
        Json::String(text) => see(text),
        Json::Array(items) => items.iter().for_each(|item| every_text(item, see)),
        Json::Object(members) => members.values().for_each(|value| every_text(value, see)),
        _ => {}
    }
}

fn templates(text: &str) -> Vec<(String, String)> {
    let terms = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(inside, _)| inside);
    let parts = terms.map(|inside| inside.split_once('|').unwrap_or((inside, "")));
    parts.map(|(path, filters)| (path.to_owned(), filters.to_owned())).collect()
}

fn dollars(text: &str) -> Vec<String> {
    let text = text.replace("$$", "");
    let after = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    let named = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    after.map(|(name, _)| name.to_owned()).filter(|name| named(name)).collect()
}

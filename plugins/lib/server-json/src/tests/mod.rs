//! The rules, one table each; what real entries become; and that nothing makes the mapping panic.

mod arguments;
mod choice;
mod docker;
mod inputs;
mod real;
mod remotes;
mod shape;

use expect_test::Expect;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// A server with one package; members of `package` count besides the ones that every package has.
fn package(package: Json) -> Json {
    let mut whole = json!({ "registryType": "oci", "identifier": "docker.io/acme/x:1", "transport": { "type": "stdio" } });
    for (key, value) in package.as_object().unwrap() {
        whole[key] = value.clone();
    }
    server(json!({ "packages": [whole] }))
}

fn server(members: Json) -> Json {
    let mut whole = json!({ "name": "io.github.acme/x", "description": "Does x.", "version": "1.0.0" });
    for (key, value) in members.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole
}

/// The document without what every document has, one member a line, then the notes; or why not.
fn shown(document: &Json) -> String {
    let imported = match import(document, &Settings::default()) {
        Ok(imported) => imported,
        Err(refused) => return format!("refused: {}\n", refused.reason),
    };
    shape::check(&imported);
    let mut out = String::new();
    for (key, value) in imported.document.as_object().unwrap() {
        if matches!(key.as_str(), "name" | "description" | "metadata" | "type") {
            continue;
        }
        match (key.as_str(), value) {
            ("config", Json::Array(items)) => {
                for (name, property) in items[0]["properties"].as_object().unwrap() {
                    let required =
                        items[0]["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
                    out.push_str(&format!(
                        "config.{name}{}: {property}\n",
                        if required { " (required)" } else { "" }
                    ));
                }
            }
            (_, Json::Array(items)) if items.iter().any(Json::is_object) => {
                for item in items {
                    out.push_str(&format!("{key}: {item}\n"));
                }
            }
            _ => out.push_str(&format!("{key}: {value}\n")),
        }
    }
    for note in imported.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    out
}

/// One after the other, with a line between them.
#[track_caller]
fn check(documents: &[Json], expected: &Expect) {
    expected.assert_eq(&documents.iter().map(shown).collect::<Vec<_>>().join("--\n"));
}

fn env(variables: Json) -> Json {
    package(json!({ "environmentVariables": variables }))
}

fn args(arguments: Json) -> Json {
    package(json!({ "packageArguments": arguments }))
}

fn run(arguments: Json) -> Json {
    package(json!({ "runtimeArguments": arguments }))
}

fn remote(remote: Json) -> Json {
    server(json!({ "remotes": [remote] }))
}

fn headers(headers: Json) -> Json {
    remote(json!({ "type": "sse", "url": "https://h.example/sse", "headers": headers }))
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        "[a-z{}$|:/. =-]{0,12}".prop_map(Json::from),
        "\\PC{0,6}".prop_map(Json::from),
        prop::sample::select(WORDS.to_vec()).prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let keys = prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((keys, inner), 0..8)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// Texts that mean something somewhere.
const WORDS: &[&str] = &[
    "oci",
    "npm",
    "pypi",
    "stdio",
    "sse",
    "streamable-http",
    "named",
    "positional",
    "-e",
    "-v",
    "--mount",
    "--network",
    "host",
    "a/b",
    "https://h/{x}",
    "http://localhost:{port}/",
    "A={x}",
    "type=bind,src={x},dst=/y",
    "{x}",
    "--x=",
];
/// Names of members that mean something somewhere.
const KEYS: &[&str] = &[
    "server",
    "name",
    "version",
    "status",
    "packages",
    "remotes",
    "registryType",
    "registry_type",
    "identifier",
    "transport",
    "type",
    "url",
    "headers",
    "variables",
    "x",
    "port",
    "runtimeArguments",
    "packageArguments",
    "package_arguments",
    "environmentVariables",
    "value",
    "default",
    "isRequired",
    "isSecret",
    "is_secret",
    "isRepeated",
    "valueHint",
    "format",
    "choices",
    "icons",
    "src",
    "repository",
    "_meta",
    "fileSha256",
    "registryBaseUrl",
];

proptest! {
    /// Whatever is published, it is imported or refused.
    #[test]
    fn any_json_is_imported_or_refused(mut json in any_json(), package in any_json()) {
        if let Ok(imported) = import(&json, &Settings::default()) {
            shape::check(&imported);
        }
        if let Some(members) = json.as_object_mut() {
            members.insert("name".to_owned(), json!("a.b/c"));
            let kind = package.get("type").cloned().unwrap_or_else(|| json!("oci"));
            let mut package = if package.is_object() { package } else { json!({}) };
            package["identifier"] = json!("a/b:1");
            package["registryType"] = kind;
            members.insert("packages".to_owned(), json!([package]));
        }
        if let Ok(imported) = import(&json, &Settings::default()) {
            shape::check(&imported);
        }
    }
}

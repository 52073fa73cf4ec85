//! 762 versions of real servers: each is imported or refused, and how many of which is pinned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expect_test::expect;

use super::*;

/// `$WASMGATE_DATA/registry/servers.json`, or `../shared/data/registry/servers.json` beside the project.
fn real_entries() -> Option<Vec<Json>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data");
    #[expect(clippy::disallowed_methods, reason = "where the test data is")]
    let root = std::env::var("WASMGATE_DATA").map_or(beside, PathBuf::from);
    let path = root.join("registry/servers.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("not checked: there is no {} (set WASMGATE_DATA)", path.display());
        return None;
    };
    let list: Json = serde_json::from_str(&text).unwrap();
    Some(list["servers"].as_array().unwrap().clone())
}

/// A sentence without what differs between servers.
fn general(sentence: &str) -> String {
    if sentence.starts_with("also offered: ") {
        return "also offered: …".to_owned();
    }
    let mut inside = false;
    let mut out = String::new();
    for part in sentence.split('`') {
        out.push_str(if inside { "`…`" } else { part });
        inside = !inside;
    }
    out
}

fn table(counts: &BTreeMap<String, usize>) -> String {
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), (*what).clone()));
    rows.iter().map(|(what, count)| format!("{count:<4} {what}\n")).collect()
}

fn form(document: &Json) -> String {
    let program = document["command"][0].as_str().filter(|word| matches!(*word, "npx" | "uvx"));
    let what = match (document.get("remote"), program) {
        (Some(remote), _) => return format!("remote over {}", remote["transport_type"].as_str().unwrap()),
        (None, Some(program)) => program,
        (None, None) => "image",
    };
    format!("{what} over {}", document["transport"].as_str().unwrap_or("stdio"))
}

#[test]
fn every_real_entry_is_imported_or_refused_with_a_reason() {
    let Some(entries) = real_entries() else { return };
    assert_eq!(entries.len(), 762);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &entries {
        let outcome = match import(entry, &Settings::default()) {
            Ok(imported) => {
                shape::check(&imported);
                format!("imported: {}", form(&imported.document))
            }
            Err(refused) => {
                assert!(!refused.name.is_empty());
                format!("refused: {}", general(&refused.reason))
            }
        };
        *counts.entry(outcome).or_default() += 1;
    }
    expect![[r#"
        284  imported: remote over streamable-http
        182  imported: npx over stdio
        131  imported: uvx over stdio
        84   imported: image over stdio
        26   refused: it names neither a package nor a remote, so there is nothing to run
        24   refused: its package cannot be run: packages of NuGet are not run here: no image is set up for `…`
        12   refused: its package cannot be run: bundles (mcpb) are not run here: they are programs for this machine, not for a container
        7    imported: remote over sse
        6    imported: uvx over streamable-http
        2    imported: image over streamable-http
        2    imported: npx over streamable-http
        1    imported: image over sse
        1    refused: its package cannot be run: the version `…` of its PyPI package is not a version
    "#]].assert_eq(&table(&counts));
}

#[test]
fn what_people_are_told_about_real_entries() {
    let Some(entries) = real_entries() else { return };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let imported = entries.iter().filter_map(|entry| import(entry, &Settings::default()).ok());
    for note in imported.flat_map(|imported| imported.notes) {
        *counts.entry(general(&note)).or_default() += 1;
    }
    expect![[r#"
        94   also offered: …
        40   the runtime argument `…` is none of `…` and given to the package
        22   nothing says that the argument `…` takes a value: it is given, alone, when `…` is true
        9    it is meant for `…` and run with `…`
        6    `…` among its docker arguments has no effect here
        6    the runtime argument `…` has no effect here
        5    an empty item among its variables is passed over
        5    the argument `…` is an optional secret and left out: set it in `…` of the server in wasmgate.yaml
        4    the argument `…` is taken as `…`
        2    its container is spoken to over plain HTTP, where its URL says https
        2    its image has no tag: whatever is `…` runs
        2    the version of its package is `…`, which may be another one tomorrow
        1    of its URL `…` only the port and the path count
        1    the image `…` is taken as `…`
        1    the image's path `…` is written in small letters, as registries have it
    "#]]
    .assert_eq(&table(&counts));
}

/// The order of members, the dates of the registry and what else it says around a server leave no trace.
#[test]
fn documents_depend_on_nothing_but_the_server() {
    for entry in real_entries().unwrap_or_default() {
        let mut turned = json!({ "_meta": { "x": 1 }, "server": reversed(&entry["server"]) });
        if let Some(members) = turned["server"].as_object_mut() {
            members.shift_remove("$schema");
        }
        let document =
            |json: &Json| import(json, &Settings::default()).map(|imported| imported.document.to_string());
        assert_eq!(document(&turned).ok(), document(&entry).ok());
    }
}

fn reversed(json: &Json) -> Json {
    match json {
        Json::Object(members) => {
            members.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect()
        }
        Json::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

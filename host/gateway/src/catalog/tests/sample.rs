//! Every entry of the sample of Docker's published catalog (89 entries), which lies beside the project when it is there.

use std::path::{Path, PathBuf};

use expect_test::{expect, expect_file};

use super::World;
use crate::catalog::report::Report;
use crate::catalog::{Catalog, Origin, file};
use crate::document::Source;

/// The sample: `$WASMGATE_DATA/docker/catalog.yaml`, or `../shared/data/docker/catalog.yaml` beside the project.
pub(in crate::catalog) fn sample() -> Option<(PathBuf, Catalog)> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("WASMGATE_DATA").map_or(beside, PathBuf::from);
    let path = root.join("docker/catalog.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("WASMGATE_REQUIRE_ALL").is_none(), "there is no {}", path.display());
        eprintln!("not checked: there is no {} (set WASMGATE_DATA)", path.display());
        return None;
    };
    let catalog = file::read(&Source { file: "catalog.yaml", text: &text }, Origin::File).unwrap();
    Some((path, catalog))
}

fn lines(report: &Report) -> String {
    let line = |line: &crate::catalog::report::Line| {
        format!("{} {}\n", line.name, [line.status, &line.reason].join(" ").trim())
    };
    report.servers.iter().map(line).collect()
}

#[test]
fn every_entry_is_startable_or_says_what_it_needs() {
    let Some((_, catalog)) = sample() else { return };
    let world = World::default();
    let report = Report::new(&catalog.servers, &world.inputs(), &[]);
    assert_eq!(report.servers.len(), 89);
    assert_eq!(report.exit_code(), 0, "none is refused");
    expect_file!["sample.txt"].assert_eq(&lines(&report));
}

#[test]
fn with_every_secret_and_value_no_entry_is_left() {
    let Some((_, catalog)) = sample() else { return };
    let entries =
        catalog.servers.iter().filter_map(|listed| Some((listed.name.as_str(), listed.entry.as_ref().ok()?)));
    let mut names = Vec::new();
    let mut world = World::default();
    for (server, entry) in entries {
        names.extend(entry.secrets.iter().map(|secret| secret.name.as_str()));
        names.extend(
            entry.oauth.iter().flat_map(|oauth| &oauth.providers).map(|provider| provider.secret.as_str()),
        );
        for key in entry.config.iter().flat_map(|c| c["required"].as_array().into_iter().flatten()) {
            let value = serde_json::Map::from_iter([(key.as_str().unwrap().to_owned(), "value".into())]);
            world.values.set(server, value);
        }
    }
    let secrets: Vec<_> = names.iter().map(|name| (*name, "x")).collect();
    let world = World { values: world.values, ..World::new("", &secrets) };
    let report = Report::new(&catalog.servers, &world.inputs(), &[]);
    let left: Vec<_> = report.servers.into_iter().filter(|line| line.status != "ok").collect();
    expect![""].assert_eq(&lines(&Report { servers: left, errors: Vec::new() }));
}

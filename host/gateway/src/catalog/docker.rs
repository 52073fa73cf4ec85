//! An existing `~/.docker/mcp` folder: which servers were enabled, with which values, tools and catalogs.
//!
//! Texts in, what they say out; whoever reads the files decides what a missing one means (nothing, here as with Docker).
//! Profiles of newer installations lie in a database that is not read: `docker mcp profile export` writes one as a file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::values::{Values, read_registry, read_tools};
use super::{Catalog, Origin, file};
use crate::document::{Diagnostic, Source};

/// The files of the folder besides its catalogs, which lie in [`CATALOGS`].
pub const FILES: [&str; 4] = ["registry.yaml", "config.yaml", "tools.yaml", "catalog.json"];
/// The directory of the catalogs: one YAML file each.
pub const CATALOGS: &str = "catalogs";
/// The catalog that counts where nothing says which.
const STANDARD: &str = "docker-mcp";

/// The texts of the folder; none for a file that is not there.
#[derive(Debug, Clone, Default)]
pub struct Folder<'a> {
    /// `registry.yaml`: the enabled servers.
    pub registry: Option<Source<'a>>,
    /// `config.yaml`: values.
    pub config: Option<Source<'a>>,
    /// `tools.yaml`: the tools that are allowed.
    pub tools: Option<Source<'a>>,
    /// `catalog.json`: the catalogs that are used.
    pub index: Option<Source<'a>>,
    /// The files of `catalogs/`, by name without the ending.
    pub catalogs: Vec<(&'a str, Source<'a>)>,
}

/// What the folder says.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The enabled servers, in the file's order.
    pub enabled: Vec<String>,
    /// Their values.
    pub values: Values,
    /// The tools each may show; a server that is absent may show all.
    pub tools: BTreeMap<String, Vec<String>>,
    /// The catalogs, with the names people know them by; later ones win.
    pub catalogs: Vec<(String, Catalog)>,
    /// What is odd and works.
    pub warnings: Vec<String>,
}

/// Reads the folder.
///
/// # Errors
/// Everything that is wrong with its files.
pub fn read(folder: &Folder<'_>) -> Result<Setup, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut setup = Setup {
        enabled: read_one(folder.registry.as_ref(), read_registry, &mut problems),
        values: read_one(folder.config.as_ref(), Values::read, &mut problems),
        tools: read_one(folder.tools.as_ref(), read_tools, &mut problems),
        ..Setup::default()
    };
    let names = names(folder, &mut setup.warnings, &mut problems);
    for (name, source) in
        names.iter().filter_map(|name| folder.catalogs.iter().find(|(known, _)| known == name))
    {
        // Docker downloaded them: their servers get no private address, no program and no variable of this machine.
        match file::read(source, Origin::Elsewhere) {
            Ok(catalog) => setup.catalogs.push(((*name).to_owned(), catalog)),
            Err(problem) => problems.push(problem),
        }
    }
    let known = |server: &str| {
        setup
            .catalogs
            .iter()
            .any(|(_, catalog)| catalog.servers.iter().any(|listed| listed.name.as_str() == server))
    };
    let (there, gone): (Vec<_>, Vec<_>) = setup.enabled.iter().cloned().partition(|server| known(server));
    setup.warnings.extend(gone.iter().map(|server| format!("`{server}` is enabled, and no catalog has it")));
    setup.enabled = there;
    if problems.is_empty() { Ok(setup) } else { Err(problems) }
}

fn read_one<T: Default>(
    source: Option<&Source<'_>>,
    read: impl Fn(&Source<'_>) -> Result<T, Diagnostic>,
    problems: &mut Vec<Diagnostic>,
) -> T {
    match source.filter(|source| !source.text.trim().is_empty()).map(read) {
        Some(Ok(read)) => read,
        Some(Err(problem)) => {
            problems.push(problem);
            T::default()
        }
        None => T::default(),
    }
}

/// The catalogs that count, in their order: those of the index, Docker's own first.
fn names(folder: &Folder<'_>, warnings: &mut Vec<String>, problems: &mut Vec<Diagnostic>) -> Vec<String> {
    #[derive(Default, Deserialize)]
    struct Index {
        #[serde(default)]
        catalogs: Option<Map<String, Json>>,
    }
    let index = read_one(folder.index.as_ref(), |source| source.parse::<Index>(), problems);
    let Some(listed) = index.catalogs.filter(|catalogs| !catalogs.is_empty()) else {
        return folder.catalogs.iter().map(|(name, _)| (*name).to_owned()).collect();
    };
    let mut names: Vec<String> = Vec::new();
    for (name, about) in listed {
        if folder.catalogs.iter().any(|(known, _)| *known == name) {
            names.push(name);
            continue;
        }
        let url = about.get("url").and_then(Json::as_str).filter(|url| !url.is_empty());
        let cure = url.map(|url| format!(": add `{url}` to `catalogs`")).unwrap_or_default();
        warnings.push(format!("the catalog `{name}` was never downloaded{cure}"));
    }
    names.sort_by_key(|name| name != STANDARD);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source<'_> {
        Source { file: "f", text }
    }

    #[test]
    fn a_folder_says_what_ran() {
        let folder = Folder {
            registry: Some(source("registry:\n  time: {ref: ''}\n  files: {ref: ''}\n  lost: {ref: ''}\n")),
            config: Some(source("files: {paths: [/srv]}\n")),
            tools: Some(source("time: [now]\n")),
            index: Some(source(
                r#"{"catalogs": {"mine": {"displayName": "Mine", "url": ""}, "docker-mcp": {"url": "https://d/c.yaml"}, "far": {"url": "https://far/c.yaml"}}}"#,
            )),
            catalogs: vec![
                ("docker-mcp", source("registry: {time: {image: mcp/time}, files: {image: mcp/files}}")),
                ("mine", source("registry: {time: {image: mine/time}}")),
                ("unused", source("not read at all: [")),
            ],
        };
        let setup = read(&folder).unwrap();
        assert_eq!(setup.enabled, ["time", "files"]);
        assert_eq!(setup.values.of("files").unwrap()["paths"][0], "/srv");
        assert_eq!(setup.tools["time"], ["now"]);
        assert_eq!(
            setup.catalogs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["docker-mcp", "mine"]
        );
        assert_eq!(
            setup.warnings,
            [
                "the catalog `far` was never downloaded: add `https://far/c.yaml` to `catalogs`",
                "`lost` is enabled, and no catalog has it"
            ]
        );
    }

    #[test]
    fn every_broken_file_is_named_and_an_absent_one_is_empty() {
        let folder = Folder {
            registry: Some(source("- x")),
            config: Some(source("a: 5")),
            catalogs: vec![("c", source("other: 1"))],
            ..Folder::default()
        };
        assert_eq!(read(&folder).unwrap_err().len(), 3);
        let empty = read(&Folder { config: Some(source("")), ..Folder::default() }).unwrap();
        assert!(empty.enabled.is_empty() && empty.catalogs.is_empty() && empty.warnings.is_empty());
    }
}

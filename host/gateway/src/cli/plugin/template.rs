//! The files of a new project, all of them inside the program: `plugin new` needs no network.
//!
//! Text between `@` signs is filled in by `new.rs`. The SDK and the WIT are those of this repository; the tests hold the
//! tables to its directories.

/// A file: where it goes in the project, and what is in it.
pub(super) type File = (&'static str, &'static str);

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/plugin/", $path))
    };
}

macro_rules! tree {
    ($from:literal, $to:literal: $($file:literal),* $(,)?) => {
        &[$((
            concat!($to, $file),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../", $from, $file)),
        )),*]
    };
}

/// The contract with the gateway; every language builds from it.
pub(super) const WIT: &[File] = tree!("wit/", "wit/":
    "capabilities.wit", "clock.wit", "interceptors.wit", "log.wit", "messages.wit", "plugin.wit", "source.wit",
    "types.wit", "worlds.wit",
);

/// The Rust SDK. Its manifest is the template's: this one's takes versions from the workspace.
pub(super) const SDK: &[File] = tree!("plugins/sdk/src/", "vendor/wasmgate-plugin/src/":
    "call.rs", "clock.rs", "config.rs", "descriptor.rs", "export.rs", "harness.rs", "http.rs", "kv.rs", "labels.rs",
    "lib.rs", "log.rs", "random.rs", "secrets.rs", "source.rs", "texts.rs", "typed.rs",
);

/// A Rust project, besides its source.
pub(super) const RUST: &[File] = &[
    ("Cargo.toml", template!("rust/Cargo.toml")),
    (".gitignore", template!("rust/gitignore")),
    ("README.md", template!("rust/README.md")),
    ("vendor/wasmgate-plugin/Cargo.toml", template!("rust/sdk-Cargo.toml")),
];

/// A catalog source in Rust, besides its source.
pub(super) const RUST_SOURCE: &[File] = &[
    ("Cargo.toml", template!("rust/source-Cargo.toml")),
    (".gitignore", template!("rust/gitignore")),
    ("README.md", template!("rust/source-README.md")),
    ("vendor/wasmgate-plugin/Cargo.toml", template!("rust/sdk-Cargo.toml")),
];

/// A JavaScript project, besides its source.
pub(super) const JS: &[File] = &[
    ("package.json", template!("js/package.json")),
    (".gitignore", template!("js/gitignore")),
    ("README.md", template!("js/README.md")),
    ("src/wasmgate.js", template!("js/wasmgate.js")),
];

/// A Python project, besides its source.
pub(super) const PYTHON: &[File] = &[
    ("build.sh", template!("python/build.sh")),
    ("requirements.txt", template!("python/requirements.txt")),
    (".gitignore", template!("python/gitignore")),
    ("README.md", template!("python/README.md")),
    ("src/wasmgate.py", template!("python/wasmgate.py")),
];

/// What differs from kind to kind.
pub(super) struct Sources {
    pub(super) rust: &'static str,
    /// None where there is no template in this language yet.
    pub(super) js: Option<&'static str>,
    /// None where there is no template in this language yet.
    pub(super) python: Option<&'static str>,
    /// Messages for `plugin test`.
    pub(super) cases: &'static [File],
    /// The world of the WIT that it implements.
    pub(super) world: &'static str,
    /// A configuration, as it stands in `wasmgate.yaml`.
    pub(super) config: &'static str,
}

pub(super) const VALIDATOR: Sources = Sources {
    rust: template!("rust/validator.rs"),
    js: Some(template!("js/validator.js")),
    python: Some(template!("python/validator.py")),
    cases: &[
        ("tests/1-passes.json", template!("cases/validator-1-passes.json")),
        ("tests/2-refuses.json", template!("cases/validator-2-refuses.json")),
    ],
    world: "validating-interceptor",
    config: "    config: { phrases: [\"rm -rf /\", \"shutdown\"] }",
};

pub(super) const MUTATOR: Sources = Sources {
    rust: template!("rust/mutator.rs"),
    js: Some(template!("js/mutator.js")),
    python: Some(template!("python/mutator.py")),
    cases: &[
        ("tests/1-leaves-alone.json", template!("cases/mutator-1-leaves-alone.json")),
        ("tests/2-masks.json", template!("cases/mutator-2-masks.json")),
    ],
    world: "mutating-interceptor",
    config: "    config: { words: [confidential, secret] }",
};

pub(super) const LIST_FILTER: Sources = Sources {
    rust: template!("rust/list-filter.rs"),
    js: Some(template!("js/list-filter.js")),
    python: Some(template!("python/list-filter.py")),
    cases: &[
        ("tests/1-hides.json", template!("cases/list-filter-1-hides.json")),
        ("tests/2-leaves-alone.json", template!("cases/list-filter-2-leaves-alone.json")),
    ],
    world: "list-filtering-interceptor",
    config: "    config: { words: [delete, drop] }",
};

pub(super) const CATALOG_SOURCE: Sources = Sources {
    rust: template!("rust/catalog-source.rs"),
    js: None,
    python: None,
    cases: &[
        ("tests/1-maps.json", template!("cases/catalog-source-1-maps.json")),
        ("tests/2-fails.json", template!("cases/catalog-source-2-fails.json")),
    ],
    world: "catalog-source",
    config: "    config: { claims: [\"https://*/servers.json\"] }",
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Every file of a directory is in its table, under its own name.
    #[track_caller]
    fn holds_all(directory: &str, table: &[File]) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(directory);
        let entries = std::fs::read_dir(&root).unwrap().flatten();
        let there: BTreeSet<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        let file_name = |(path, _): &File| path.rsplit('/').next().unwrap().to_owned();
        assert_eq!(table.iter().map(file_name).collect::<BTreeSet<_>>(), there, "{directory}");
    }

    #[test]
    fn the_tables_hold_the_whole_sdk_and_the_whole_wit() {
        holds_all("wit", WIT);
        holds_all("plugins/sdk/src", SDK);
    }

    #[test]
    fn the_vendored_sdk_needs_what_the_sdk_needs() {
        let read = |path: &str| {
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
        };
        let (workspace, own, vendored) =
            (read("Cargo.toml"), read("plugins/sdk/Cargo.toml"), template!("rust/sdk-Cargo.toml"));
        let about = ["version", "edition", "rust-version", "license", "repository", "publish"];
        let names = own.lines().filter_map(|line| line.split_once(['.', ' '])).filter(|(name, rest)| {
            rest.contains("workspace") && workspace.contains(&format!("\n{name} = ")) && !about.contains(name)
        });
        let names: BTreeSet<_> = names.map(|(name, _)| name).collect();
        assert!(names.contains("wit-bindgen") && names.contains("serde_json"), "{names:?}");
        for name in names {
            let line = workspace.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
            let pinned = line.trim_end_matches(" }");
            assert!(vendored.contains(pinned), "`{pinned}` is not in the template of the SDK's manifest");
        }
    }
}

//! `wasmgate plugin new`: a project that builds, has a passing test, and says what to do next.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::super::{Failed, output};
use super::template::{self, File, Sources};

/// Begin a plugin: a project that builds with its language's own tools.
#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// Its name: lower-case letters, digits and hyphens, beginning with a letter.
    name: String,
    /// The language: `rust` (cargo), `js` (npm, componentize-qjs) or `python` (componentize-py).
    #[arg(long)]
    lang: Lang,
    /// What it does: `validator` refuses messages, `mutator` rewrites or answers them, `list-filter` hides and rewrites
    /// items of lists, `catalog-source` finds servers (in Rust).
    #[arg(long, default_value = "validator")]
    kind: Kind,
    /// The project's directory [default: the name, here].
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    Rust,
    #[value(alias = "javascript")]
    Js,
    #[value(alias = "py")]
    Python,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Validator,
    Mutator,
    ListFilter,
    CatalogSource,
}

/// Longer names make no better plugins.
const MAX_NAME: usize = 64;

/// Names that Cargo or the project itself uses for something else.
const TAKEN: &[&str] =
    &["test", "core", "std", "alloc", "proc-macro", "app", "wasmgate", "wasmgate-plugin", "wit-world"];

impl New {
    pub(super) fn run(self) -> Result<(), Failed> {
        check_name(&self.name, self.lang).map_err(Failed::Usage)?;
        let files = files(&self.name, self.lang, self.kind).map_err(Failed::Usage)?;
        let directory = self.path.clone().unwrap_or_else(|| PathBuf::from(&self.name));
        if is_occupied(&directory) {
            let shown = directory.display();
            return Err(Failed::Usage(format!(
                "{shown} exists and is not an empty directory: nothing is overwritten; choose another with --path"
            )));
        }
        for (path, text) in files {
            let path = directory.join(path);
            write(&path, &text)
                .map_err(|error| Failed::Work(format!("{} cannot be written: {error}", path.display())))?;
        }
        output::print(&next(&self.name, self.lang, &directory));
        Ok(())
    }
}

fn check_name(name: &str, lang: Lang) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let well_formed = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(fits)
        && !name.ends_with('-')
        && !name.contains("--")
        && name.len() <= MAX_NAME;
    if !well_formed {
        return Err(format!(
            "`{}` cannot be a plugin's name: use lower-case letters, digits and single hyphens, beginning with a letter, {MAX_NAME} at most",
            name.escape_debug()
        ));
    }
    if TAKEN.contains(&name) || (lang == Lang::Rust && is_keyword(name)) {
        return Err(format!("`{name}` means something else to the tools that build it: choose another name"));
    }
    Ok(())
}

/// Words that no crate can be called.
fn is_keyword(name: &str) -> bool {
    let words = "as async await box break const continue crate do dyn else enum extern false final fn for gen if impl in let loop \
                 macro match mod move mut override priv pub ref return self static struct super trait true try type \
                 typeof unsafe unsized use virtual where while yield";
    words.split_whitespace().any(|word| word == name)
}

fn is_occupied(directory: &Path) -> bool {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Everything a project consists of.
///
/// # Errors
/// There is no template of this kind in this language.
fn files(name: &str, lang: Lang, kind: Kind) -> Result<Vec<(&'static str, String)>, String> {
    let Sources { rust, js, python, cases, world, config } = match kind {
        Kind::Validator => template::VALIDATOR,
        Kind::Mutator => template::MUTATOR,
        Kind::ListFilter => template::LIST_FILTER,
        Kind::CatalogSource => template::CATALOG_SOURCE,
    };
    let project = if kind == Kind::CatalogSource { template::RUST_SOURCE } else { template::RUST };
    let (common, path, source): (&[&[File]], &'static str, _) = match lang {
        Lang::Rust => (&[project, template::SDK], "src/lib.rs", Some(rust)),
        Lang::Js => (&[template::JS], "src/plugin.js", js),
        Lang::Python => (&[template::PYTHON], "src/app.py", python),
    };
    let source = (path, source.ok_or("catalog sources can be begun in Rust only so far: use --lang rust")?);
    let fill = |text: &str| {
        text.replace("@NAME@", name)
            .replace("@CRATE@", &name.replace('-', "_"))
            .replace("@WORLD@", world)
            .replace("@CONFIG@", config)
            .replace("@SDK_VERSION@", env!("CARGO_PKG_VERSION"))
    };
    let own = common.iter().copied().flatten().chain([&source]).chain(cases).chain(template::WIT);
    Ok(own.map(|(path, text)| (*path, fill(text))).collect())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file = std::fs::File::create_new(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// The commands that lead to a component that was tried out.
fn next(name: &str, lang: Lang, directory: &Path) -> String {
    let crate_name = name.replace('-', "_");
    let (build, component) = match lang {
        Lang::Rust => (
            "cargo build --release --target wasm32-wasip2",
            format!("target/wasm32-wasip2/release/{crate_name}.wasm"),
        ),
        Lang::Js => ("npm install && npm run build", format!("{name}.wasm")),
        Lang::Python => ("sh build.sh", format!("{name}.wasm")),
    };
    format!(
        "{} is ready; README.md says more\n\n  cd {}\n  {build}\n  wasmgate plugin test {component}",
        directory.display(),
        directory.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_every_tool_takes() {
        for good in ["a", "no-shouting", "x2", "a-1-b"] {
            assert_eq!(check_name(good, Lang::Rust), Ok(()), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", "A", "1a", "-a", "a-", "a--b", "a_b", "../a", "a/b", "a b", "é", "test", "app", &long]
        {
            assert!(check_name(bad, Lang::Python).is_err(), "{bad}");
        }
        assert!(check_name("match", Lang::Rust).is_err());
        assert!(check_name("match", Lang::Js).is_ok());
    }

    #[test]
    fn every_project_is_whole_and_filled_in() {
        for lang in [Lang::Rust, Lang::Js, Lang::Python] {
            for kind in [Kind::Validator, Kind::Mutator, Kind::ListFilter] {
                whole(&files("my-plugin", lang, kind).unwrap());
            }
        }
        whole(&files("my-plugin", Lang::Rust, Kind::CatalogSource).unwrap());
        let refused = files("my-plugin", Lang::Js, Kind::CatalogSource).unwrap_err();
        assert!(refused.contains("--lang rust"), "{refused}");
    }

    fn whole(files: &[(&'static str, String)]) {
        let mut paths: Vec<_> = files.iter().map(|(path, _)| *path).collect();
        for expected in [".gitignore", "README.md", "wit/worlds.wit"] {
            assert!(paths.contains(&expected), "there is no {expected}");
        }
        assert!(paths.iter().any(|path| path.starts_with("tests/") && path.ends_with(".json")));
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), files.len(), "a path occurs twice");
        for (path, text) in files {
            let left = text.split('@').any(|part| ["NAME", "CRATE", "WORLD", "CONFIG"].contains(&part));
            assert!(!left, "{path} has a place that is not filled in");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let home = std::env::temp_dir().join(format!("wasmgate-new-{}", std::process::id()));
        let new =
            || New { name: "mine".into(), lang: Lang::Js, kind: Kind::Validator, path: Some(home.clone()) };
        assert!(new().run().is_ok());
        std::fs::write(home.join("package.json"), "mine").unwrap();
        assert!(matches!(new().run(), Err(Failed::Usage(_))));
        assert_eq!(std::fs::read_to_string(home.join("package.json")).unwrap(), "mine");
        std::fs::remove_dir_all(&home).unwrap();
    }
}

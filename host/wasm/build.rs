//! Builds every plugin of `plugins/` as a component and lists them for `src/builtin.rs`, so that one `cargo build` makes
//! the whole gateway.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

mod guests;

fn main() {
    if let Err(error) = embed() {
        for line in error.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn embed() -> Result<(), String> {
    // Asked at run time: one compiled build script may serve two checkouts that share a target directory.
    let here =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo did not say which crate this is")?);
    let root = here.ancestors().nth(2).ok_or("this crate is not where the workspace has it")?;
    for input in ["plugins", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo::rerun-if-changed={}", here.join("guests.rs").display());
    println!("cargo::rerun-if-changed={}", here.join("build.rs").display());
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not say where to put things")?);
    let names = plugins(&root.join("plugins"))?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let built = guests::build(root, &out, &names)?;
    let mut table =
        String::from("/// Every plugin inside the binary, by name.\npub const BUILT_IN: &[BuiltIn] = &[\n");
    for name in names {
        let file = guests::file_name(name);
        let from = built.join(&file);
        fs::copy(&from, out.join(&file)).map_err(|error| format!("{}: {error}", from.display()))?;
        let _ = writeln!(
            table,
            "    BuiltIn {{ name: {name:?}, bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\")) }},"
        );
    }
    table.push_str("];\n");
    fs::write(out.join("builtin.rs"), table).map_err(|error| error.to_string())
}

/// The crates beside the SDK, in order.
fn plugins(dir: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let crates = entries.flatten().filter(|entry| entry.path().join("Cargo.toml").exists());
    let mut names: Vec<_> = crates.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name != "sdk");
    names.sort();
    Ok(names)
}

//! The map of the code as a test: who may use whom in the gateway, what the pure crate may not name, what plugins may
//! depend on, and that every file says what it is for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wasmgate_tests::build;

/// host/gateway/src: who may name whom. A new entry here is an architecture decision.
const MAY_USE: &[(&str, &[&str])] = &[
    ("catalog", &["oci", "document", "secrets"]),
    ("cli", &["app", "audit", "config", "catalog", "oci", "document", "demo", "cases"]),
    ("config", &["audit", "catalog", "oci", "document", "secrets"]),
    ("front", &["audit", "gateway"]),
    ("secrets", &["document"]),
    ("gateway", &["audit", "upstream"]),
    ("interceptors", &["launch", "upstream"]),
    ("upstream", &["launch"]),
];

/// May name every module: the composition root, and what rebuilds it.
const ROOTS: &[&str] = &["app", "reload"];

/// May be named by every module.
const SHARED: &[&str] = &["telemetry", "shutdown", "egress", "joined", "mailbox", "woken"];

/// What would make `core` touch the world.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
];

#[test]
fn modules_keep_to_the_map() {
    let sources = build::root().join("host/gateway/src");
    let modules: BTreeSet<String> = modules_of(&sources);
    assert!(modules.len() > 3, "no modules found in {}", sources.display());
    let mut wrong = Vec::new();
    for file in rust_files(&sources) {
        let Some(user) = module_of(&sources, &file) else { continue };
        for used in uses(&code(&file)).intersection(&modules) {
            if !may_use(&user, used) {
                wrong.push(format!("{}: `{user}` must not use `{used}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "the map in MAY_USE forbids:\n{}", wrong.join("\n"));
}

fn may_use(user: &str, used: &str) -> bool {
    user == used
        || ROOTS.contains(&user)
        || SHARED.contains(&used)
        || MAY_USE.iter().any(|(from, to)| *from == user && to.contains(&used))
}

/// How connections are opened and names resolved, and where each may stand besides `egress`.
const WAYS_OUT: &[(&str, &[&str])] = &[
    ("TcpStream::connect", &["launch/container/port.rs"]), // a port that a container serves on this machine
    ("TcpSocket", &[]),
    ("lookup_host", &["app/run.rs"]), // where the gateway itself listens
    ("to_socket_addrs", &[]),
    ("legacy::Client", &[]),
    ("client::conn", &[]),
    ("UdpSocket", &[]),
    ("reqwest", &[]),
    ("hyper_rustls", &[]),
];

#[test]
fn only_egress_opens_connections() {
    let sources = build::root().join("host/gateway/src");
    let mut wrong = Vec::new();
    for file in rust_files(&sources) {
        let path = file.strip_prefix(&sources).expect("below it").to_string_lossy().into_owned();
        if path.starts_with("egress") {
            continue;
        }
        let code = code(&file);
        for (way, places) in WAYS_OUT {
            if names(&code, way) && !places.contains(&path.as_str()) {
                wrong.push(format!("{path}: {way}"));
            }
        }
    }
    assert!(wrong.is_empty(), "what leaves this machine goes through `egress`, but:\n{}", wrong.join("\n"));
}

#[test]
fn core_does_not_touch_the_world() {
    let mut wrong = Vec::new();
    for file in rust_files(&build::root().join("host/core/src")) {
        let code = code(&file);
        wrong.extend(
            IMPURE.iter().filter(|name| names(&code, name)).map(|name| format!("{}: {name}", file.display())),
        );
    }
    assert!(wrong.is_empty(), "core is pure, but:\n{}", wrong.join("\n"));
    let manifest = manifest(&build::root().join("host/core/Cargo.toml"));
    for crate_name in ["tokio", "hyper", "bollard", "reqwest", "rustix", "wasmtime"] {
        assert!(!manifest.contains(&crate_name.to_owned()), "core must not depend on {crate_name}");
    }
}

#[test]
fn crates_depend_downwards_only() {
    let ours = |path: &str| -> BTreeSet<String> {
        let found = manifest(&build::root().join(path).join("Cargo.toml"));
        found.into_iter().filter(|name| name.starts_with("wasmgate")).collect()
    };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    assert_eq!(ours("host/core"), set(&[]));
    assert_eq!(ours("host/wasm"), set(&["wasmgate-core"]));
    assert_eq!(ours("plugins/sdk"), set(&[]));
    assert_eq!(ours("tests"), set(&[]), "the suite knows the gateway as a program, not as a library");
    for entry in std::fs::read_dir(build::root().join("plugins")).expect("plugins/").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "sdk" && entry.path().join("Cargo.toml").exists() {
            assert_eq!(ours(&format!("plugins/{name}")), set(&["wasmgate-plugin"]), "plugin {name}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut silent = Vec::new();
    for tree in ["host", "plugins", "tests"] {
        for file in rust_files(&build::root().join(tree)) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            if !text.starts_with("//!") {
                silent.push(file.display().to_string());
            }
        }
    }
    assert!(silent.is_empty(), "no `//!` head:\n{}", silent.join("\n"));
}

#[test]
fn the_map_itself_is_read_right() {
    let cases: &[(&str, &[&str])] = &[
        ("use crate::upstream::Pool;", &["upstream"]),
        ("use crate::{front, gateway::{View, Request}};", &["front", "gateway"]),
        ("let x = crate::launch::Launcher::new();", &["launch"]),
        ("pub(crate) fn f() {}", &[]),
        ("use crate::{\n    egress::Egress,\n    oci,\n};", &["egress", "oci"]),
        ("// use crate::front::X;\nuse super::y;", &[]),
    ];
    for (text, expected) in cases {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(uses(&stripped(text)), expected, "{text}");
    }
}

/// Top-level modules, from their files.
fn modules_of(sources: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(sources).expect("the gateway's sources").flatten();
    entries
        .filter_map(|entry| entry.path().file_stem()?.to_str().map(ToOwned::to_owned))
        .filter(|n| n != "lib" && n != "main")
        .collect()
}

/// Which top-level module a file belongs to; `None` for `lib.rs` and `main.rs`.
fn module_of(sources: &Path, file: &Path) -> Option<String> {
    let first = file.strip_prefix(sources).ok()?.components().next()?;
    let name = Path::new(first.as_os_str()).file_stem()?.to_str()?.to_owned();
    (name != "lib" && name != "main").then_some(name)
}

/// The names that follow `crate::` in code, in groups too.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            None => found.extend(word(rest)),
            Some(group) => found.extend(heads(group)),
        }
    }
    found
}

/// The first word of each member of a `{...}` group whose opening brace is gone.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut fresh, mut found) = (0_i32, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                found.extend(word(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// Whether code names a path or an identifier, as a whole word.
fn names(code: &str, name: &str) -> bool {
    let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(name)
        .any(|(at, _)| edge(code[..at].chars().next_back()) && edge(code[at + name.len()..].chars().next()))
}

/// A file's code: no comments, no unit tests.
fn code(file: &Path) -> String {
    if file.file_stem().is_some_and(|name| name == "tests") {
        return String::new();
    }
    let text = std::fs::read_to_string(file).expect("a source file");
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    stripped(&text[..end])
}

fn stripped(text: &str) -> String {
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The names of everything a manifest depends on to be built, tests aside.
fn manifest(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut found = Vec::new();
    let mut counts = false;
    for line in text.lines() {
        if line.starts_with('[') {
            counts = line.contains("dependencies]") && !line.contains("dev-dependencies");
        } else if counts
            && let Some(name) =
                line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty() && !name.starts_with('#'))
        {
            found.push(name.to_owned());
        }
    }
    found
}

/// Every `.rs` file below a directory, build output aside.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return files };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

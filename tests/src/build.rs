//! The programs under test, built by Cargo itself: the gateway, the fixture, and the fixture as a static program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::watch;

/// `<target>/<profile>`, from where this test program lies.
pub fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows its own path");
    let mut dir = exe.parent().expect("a program lies in a directory");
    if dir.ends_with("deps") {
        dir = dir.parent().expect("deps lies in the profile's directory");
    }
    dir.to_owned()
}

/// The target directory.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile lies in the target directory").to_owned()
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the workspace")
}

/// The gateway.
pub fn wasmgate() -> PathBuf {
    binaries().join("wasmgate")
}

/// The fixture server.
pub fn fixture() -> PathBuf {
    binaries().join("fixture")
}

/// The server for the server mode of the conformance suite.
pub fn conformance_fixture() -> PathBuf {
    binaries().join("conformance-fixture")
}

/// The client for the client mode of the conformance suite.
pub fn conformance_client() -> PathBuf {
    binaries().join("conformance-client")
}

/// Where the binaries are, once Cargo has said they are up to date. The same selection of targets as `cargo test
/// --workspace`, so that the same features apply and only the two programs are linked.
fn binaries() -> &'static Path {
    watch::this_test();
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(given) = std::env::var_os("WASMGATE_BINARIES") {
            return given.into();
        }
        match std::env::current_exe().is_ok_and(|exe| exe.parent().is_some_and(|dir| dir.ends_with("deps"))) {
            true => cargo(&["build", "--workspace", "--bins", "--tests"]),
            // A program that measures asks for no more than the fixture, and says itself which gateway it measures.
            false => cargo(&["build", "-p", "wasmgate-fixture", "--bins"]),
        }
        profile_dir()
    })
}

/// The fixture without any shared library, for an image with nothing else in it.
pub fn static_fixture() -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| static_program("wasmgate-fixture", "fixture")).clone()
}

/// A program of a package without any shared library.
pub fn static_program(package: &str, program: &str) -> Result<PathBuf, String> {
    const TARGET: &str = "x86_64-unknown-linux-musl";
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().map_err(|e| e.to_string())?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if !sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        eprintln!("adding the Rust target {TARGET}");
        let added = Command::new("rustup").args(["target", "add", TARGET]).status();
        if !added.is_ok_and(|status| status.success()) {
            return Err(format!("the Rust target {TARGET} is not installed and rustup could not add it"));
        }
    }
    cargo(&["build", "-p", package, "--target", TARGET]);
    let profile = profile_dir().file_name().map(ToOwned::to_owned).unwrap_or_default();
    Ok(target_dir().join(TARGET).join(profile).join(program))
}

/// The component that misbehaves as it is told to, in a file: one of the plugin host's own tests.
pub fn hostile() -> PathBuf {
    guest("hostile")
}

/// The component that uses what it is told to.
pub fn capable() -> PathBuf {
    guest("capable")
}

/// The component that does as little as an interceptor can.
pub fn trivial() -> PathBuf {
    let directory = target_dir().join("plugins");
    component(&["guest-bench"], &directory);
    directory.join("wasm32-wasip2").join("plugin").join("guest_bench.wasm")
}

fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let directory = target_dir().join("plugins");
    BUILT.get_or_init(|| component(&["guest-hostile", "guest-capable"], &directory));
    directory.join("wasm32-wasip2").join("plugin").join(format!("guest_{name}.wasm"))
}

fn component(packages: &[&str], directory: &Path) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(["build", "--quiet", "--profile", "plugin", "--lib"]);
    command.args(["--target", "wasm32-wasip2"]).arg("--target-dir").arg(directory);
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    assert!(command.status().expect("cargo runs").success(), "the components could not be built");
}

/// A plugin of this repository as a component in a file, built as an author would build it.
pub fn plugin(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    const TARGET: &str = "wasm32-wasip2";
    let directory = target_dir().join("plugins");
    BUILT.get_or_init(|| {
        component(&["block-secrets", "log-calls"], &directory);
    });
    directory.join(TARGET).join("plugin").join(format!("{}.wasm", name.replace('-', "_")))
}

fn cargo(args: &[&str]) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args).arg("--quiet").arg("--target-dir").arg(target_dir());
    let dir = profile_dir();
    let profile = dir.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    command.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    // What Cargo tells a test about its own package is not for the Cargo below it.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "cargo {} failed", args.join(" "));
}

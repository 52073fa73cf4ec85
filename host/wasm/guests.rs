//! Builds guests: crates of this workspace as components. Shared by the build script (the plugins that come with the
//! gateway) and the tests (fixtures).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// Vector instructions are part of WebAssembly since its second version; what searches for a byte uses them.
const FLAGS: &str = r#"target.wasm32-wasip2.rustflags = ["-Ctarget-feature=+simd128"]"#;

/// Builds `packages` of the workspace at `root`, the same way whatever builds the caller, and says where the components
/// are. `below` is any path below the caller's target directory.
pub(crate) fn build(root: &Path, below: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    // The host build's own cargo and compiler, so that one toolchain makes both.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    has_target()?;
    let target_dir = target_dir(below).join("guests");
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os().filter(|(name, _)| concerns_the_host(name)) {
        command.env_remove(name);
    }
    command.current_dir(root).args(["build", "--locked", "--target", TARGET, "--profile", PROFILE, "--lib"]);
    command.args(["--config", FLAGS]).arg("--target-dir").arg(&target_dir);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    let output =
        command.output().map_err(|error| format!("cargo could not be run for the plugins: {error}"))?;
    if !output.status.success() {
        return Err(format!("the plugins could not be built:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target_dir.join(TARGET).join(PROFILE))
}

/// The file a package's component is in.
pub(crate) fn file_name(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}

/// The caller's target directory: the nearest one that cargo marked as its own.
fn target_dir(below: &Path) -> &Path {
    below.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists()).unwrap_or(below)
}

/// Whether a variable that cargo or an operator set for the host's build would change the guests'.
fn concerns_the_host(name: &OsString) -> bool {
    let Some(name) = name.to_str() else { return false };
    let kept =
        ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_MAKEFLAGS"];
    let flags = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "CLIPPY_ARGS",
    ];
    flags.contains(&name)
        || ["TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG", "OUT_DIR"].contains(&name)
        || (name.starts_with("CARGO_") && !kept.iter().any(|prefix| name.starts_with(prefix)))
}

fn has_target() -> Result<(), String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let libdir =
        output.ok().map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
    if libdir.is_some_and(|dir| dir.is_dir()) {
        return Ok(());
    }
    Err(format!(
        "the plugins need the Rust target {TARGET}, which is not installed; run: rustup target add {TARGET}"
    ))
}

//! The instructions of the hot path, counted by callgrind and held to `pins.txt`: a count that differs from what is noted there
//! by more than 5 % fails, whichever way. `UPDATE_EXPECT=1 cargo test -p wasmgate-hot-path` notes what is counted now.
//!
//! Counts do not depend on the machine's load; they do depend on the compiler and on the libraries below it, which are noted
//! too. The pure part is counted optimised, in a build of its own; a whole call through the gateway as tests are built, which
//! says nothing of its speed and still grows with whatever it does more.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test: what is not as expected ends it")]

mod call; // a whole call
mod callgrind;
mod pins;

use std::path::{Path, PathBuf};
use std::process::Command;

use callgrind::count;
use pins::{Pins, conditions};
use wasmgate_tests::build::{root, target_dir};
use wasmgate_tests::require;

#[test]
fn the_hot_path_takes_the_instructions_that_are_noted() {
    require!(callgrind::there());
    let noted = Pins::noted();
    let now = conditions();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return Pins::of(now, counted()).note();
    }
    require!(noted.hold_under(&now));
    noted.check(&counted());
}

fn counted() -> Vec<(String, u64)> {
    let pure = std::thread::spawn(|| count("core", &mut Command::new(optimised())));
    let mut call = Command::new(std::env::current_exe().expect("a test knows its own path"));
    call.args(["--ignored", "--exact", "call::below_callgrind", "--test-threads=1", "--nocapture"]);
    let calls = count("call", &mut call);
    let mut all = pure.join().expect("counted");
    // What is done directly comes before what is done the same way through the gateway.
    let mut direct = 0;
    for (name, count) in calls {
        match name.ends_with(" directly") {
            true => direct = count,
            false => all.push((name, count - direct)),
        }
    }
    all
}

/// The program with the scenarios of the pure part.
fn optimised() -> PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args([
        "build",
        "--quiet",
        "--profile",
        "counted",
        "--bin",
        "wasmgate-hot-path",
    ]);
    cargo.args(["-p", "wasmgate-hot-path"]).arg("--target-dir").arg(target_dir());
    // What Cargo tells a test about its own package is not for the Cargo below it.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    assert!(cargo.status().expect("cargo runs").success(), "the program could not be built");
    target_dir().join("counted").join("wasmgate-hot-path")
}

/// Beside this.
fn beside(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/instructions").join(file)
}

//! Valgrind's callgrind: what happens in functions of one name is counted, call by call of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use wasmgate_tests::build::target_dir;

/// Whether it is installed.
pub(crate) fn there() -> Result<(), String> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("no valgrind (apt-get install valgrind)".into()),
    }
}

/// Runs a program that prints a line for each of its calls of a function `hot_path_measured`: what it was and how often that
/// was done, with a tab between. Returns the instructions each took once. The function must not be inlined.
pub(crate) fn count(what: &str, program: &mut Command) -> Vec<(String, u64)> {
    let directory = fresh(what);
    let mut valgrind = Command::new("valgrind");
    // Two patterns for one name: one and the same would be taken for a single option.
    valgrind.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*hot_path_measured*"]);
    valgrind.args(["--dump-after=*path_measured*", "--separate-threads=no"]);
    valgrind.arg(format!("--callgrind-out-file={}", directory.join("out").display()));
    valgrind.arg(program.get_program()).args(program.get_args());
    let output = valgrind.output().expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{what}: {said}{}", String::from_utf8_lossy(&output.stderr));
    let lines = said.lines().filter_map(|line| line.split_once('\t'));
    let counts = lines
        .enumerate()
        .map(|(number, (name, times))| {
            let total = total(&directory.join(format!("out.{}", number + 1)));
            (format!("{what}: {name}"), total / times.parse::<u64>().expect("how often"))
        })
        .collect();
    if kept().is_none() {
        std::fs::remove_dir_all(directory).expect("a directory");
    }
    counts
}

fn total(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).expect("a file for each call of the function");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).expect("a total")
}

/// Where what callgrind wrote stays, for `callgrind_annotate`.
fn kept() -> Option<PathBuf> {
    std::env::var_os("WASMGATE_CALLGRIND").map(PathBuf::from)
}

/// An empty directory.
fn fresh(what: &str) -> PathBuf {
    let directory = match kept() {
        Some(directory) => directory.join(what),
        None => target_dir().join("tmp").join(format!("callgrind-{what}-{}", std::process::id())),
    };
    let _absent = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

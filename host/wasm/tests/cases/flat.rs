//! What a process holds does not grow with the calls it has served: memory, files, mappings.

use std::process::Command;
use std::sync::Arc;

use crate::support::{bundled, load, run, settings};
use wasmgate_wasm::{Interceptor, Isolation, Settings};

/// Says to the process that is started here that it is to measure. More instantiations than the default are had with
/// `WASMGATE_INSTANTIATIONS=100000 cargo test -p wasmgate-wasm flat`; the benchmark does that many as well.
const CHILD: &str = "WASMGATE_MEASURED";
const COUNT: &str = "WASMGATE_INSTANTIATIONS";

/// Enough that what a leaky call left behind would be seen: 20,000 times one page is 80 MiB.
const INSTANTIATIONS: usize = 20_000;

/// What the process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    resident_kib: usize,
    files: usize,
    mappings: usize,
}

impl Held {
    fn now() -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Self {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
            files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            mappings: read("maps").lines().count(),
        }
    }
}

/// Runs in a process of its own: what other tests do at the same time is not measured.
#[test]
fn calls_leave_nothing_behind() {
    if std::env::var_os(CHILD).is_some() {
        return measure();
    }
    let name = "flat::calls_leave_nothing_behind";
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the test may ask for more rounds")]
fn measure() {
    let count = std::env::var(COUNT).map_or(INSTANTIATIONS, |count| count.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bundled = bundled("log-calls", Settings::default()).await;
        check(&bundled, &[r#"{"name":"read","arguments":{"q":"x"}}"#], count).await;
        let pooled = Settings { isolation: Some(Isolation::Pooled), ..settings("{}") };
        let hostile = load("hostile", pooled).await.unwrap();
        let payloads = ["overrun", "fail", "keep-memory", "count", "recurse", "bad-note"];
        let payloads = payloads.map(|what| format!("{{\"do\":\"{what}\"}}"));
        check(&hostile, &payloads.each_ref().map(String::as_str), count / 10).await;
    });
}

/// Warms up, then calls so often, and compares.
async fn check(stage: &Arc<Interceptor>, payloads: &[&str], count: usize) {
    let calls = async |times: usize| {
        for payload in payloads.iter().cycle().take(times) {
            let _ = run(stage, payload).await;
        }
    };
    calls(1_000).await;
    let before = Held::now();
    calls(count).await;
    let after = Held::now();
    println!("{count} calls: {before:?}, then {after:?}");
    // One per cent, and no less than a megabyte: allocators round.
    let slack = (before.resident_kib / 100).max(1024);
    assert!(after.resident_kib <= before.resident_kib + slack, "{before:?}, then {after:?}");
    assert_eq!(after.files, before.files);
    assert!(after.mappings <= before.mappings + 4, "{before:?}, then {after:?}");
}

//! A test that does not end: the suite would wait for it without a word. It is named instead, with what its gateways have
//! said and what runs below them, and the suite ends.
//!
//! A test becomes known with the first peer it starts, and is forgotten when its thread ends.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::gateway::Captured;
use crate::process;

/// Longer than any test takes, what it has to build included, on a machine with two slow cores.
const LIMIT: Duration = Duration::from_secs(900);

/// A test that runs.
struct Test {
    name: String,
    since: Instant,
    gateways: Vec<(u32, Captured)>,
}

/// Forgets its test when the thread of that ends.
struct Guard;

thread_local! {
    static HERE: RefCell<Option<Guard>> = const { RefCell::new(None) };
}

static RUNNING: Mutex<Vec<Test>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<Test>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The test runner names the thread of a test after it; other threads are nobody's.
fn name() -> Option<String> {
    std::thread::current().name().filter(|name| name.contains("::")).map(ToOwned::to_owned)
}

/// The test on this thread, if it is one's, has begun.
pub fn this_test() {
    let Some(name) = name() else { return };
    HERE.with_borrow_mut(|here| {
        if here.is_none() {
            running().push(Test { name, since: Instant::now(), gateways: Vec::new() });
            *here = Some(Guard);
        }
    });
    static STARTED: Once = Once::new();
    STARTED.call_once(|| drop(std::thread::spawn(watch)));
}

/// It has started a gateway.
pub fn gateway(pid: u32, stderr: Captured) {
    let Some(name) = name() else { return };
    if let Some(test) = running().iter_mut().find(|test| test.name == name) {
        test.gateways.push((pid, stderr));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(name) = name() {
            running().retain(|test| test.name != name);
        }
    }
}

fn watch() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let tests = running();
        let late = tests.iter().filter(|test| test.since.elapsed() >= LIMIT);
        let said: String = late.map(report).collect();
        if said.is_empty() {
            continue;
        }
        // Not by a macro: what those print belongs to the test that was the first to call.
        let _ = std::io::stderr().write_all(said.as_bytes());
        for (pid, _) in tests.iter().flat_map(|test| &test.gateways) {
            process::signal(*pid, rustix::process::Signal::TERM);
        }
        std::process::exit(1);
    }
}

fn report(test: &Test) -> String {
    let mut text = format!("\n{} has not ended for {} s\n", test.name, test.since.elapsed().as_secs());
    for (pid, stderr) in &test.gateways {
        let _ = writeln!(text, "--- the gateway with pid {pid} has said\n{}", stderr.text());
    }
    text += "--- processes below this one\n";
    for (pid, line) in below(std::process::id()) {
        let about = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let (state, waits) = (about("stat"), about("wchan"));
        let state =
            state.rsplit_once(") ").map_or("", |(_, rest)| rest.split(' ').next().unwrap_or_default());
        let _ = writeln!(text, "{pid} {state} {waits} {line}");
    }
    text
}

/// The processes that a process has started, and theirs.
fn below(ancestor: u32) -> Vec<(u32, String)> {
    let mut known = vec![ancestor];
    let all = process::all();
    loop {
        let before = known.len();
        for (pid, _) in &all {
            if !known.contains(pid) && process::parent(*pid).is_some_and(|parent| known.contains(&parent)) {
                known.push(*pid);
            }
        }
        if known.len() == before {
            return all.into_iter().filter(|(pid, _)| *pid != ancestor && known.contains(pid)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_test_is_known_while_its_thread_runs_and_reported_with_its_gateways() {
        let runs = || running().iter().any(|test| test.name == "some::test");
        let thread = std::thread::Builder::new().name("some::test".to_owned());
        let (said, pipe) = tokio::io::duplex(64);
        let captured = Captured::of(pipe);
        let (mut said, words) = (said, b"my last words\n");
        tokio::io::AsyncWriteExt::write_all(&mut said, words).await.expect("somebody reads");
        drop(said);
        captured.all().await;
        let test = thread.spawn(move || {
            this_test();
            gateway(4711, captured);
            assert!(runs());
            running().iter().find(|test| test.name == "some::test").map(report).unwrap_or_default()
        });
        let text = test.expect("a thread").join().expect("it ends");
        assert!(text.starts_with("\nsome::test has not ended for 0 s\n"), "{text}");
        assert!(text.contains("--- the gateway with pid 4711 has said\nmy last words\n"), "{text}");
        assert!(!runs());
    }

    #[test]
    fn what_runs_below_a_process_is_found() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("sleep");
        let found = below(std::process::id());
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(found.iter().any(|(pid, _)| *pid == child.id()), "{found:?}");
    }
}

//! What must hold after every test, whatever it did to its gateway: nothing is left, nothing secret went where it does not
//! belong, every request that failed has its line in an audit log whose chain is whole.
//!
//! The chain is checked here by other means than the gateway's own.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{PATIENCE, docker, process};

/// The audit log of a gateway under test, in its directory.
pub const AUDIT: &str = "audit.jsonl";

/// No program that the gateway has started was told this, neither by argument nor by environment.
pub fn no_process_knows(home: &Path, gateway: u32, secret: &str) {
    let own = process::command_line(gateway);
    for (pid, _) in process::of_home(home, gateway) {
        let since = Instant::now();
        // A child that has not come to its program yet is a copy of the gateway, with all that the gateway was told.
        let is_on_its_way = |line: String| line == own || (line.is_empty() && process::runs(pid));
        while is_on_its_way(process::command_line(pid)) && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let line = process::command_line(pid);
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_told = String::from_utf8_lossy(&environ).contains(secret) || line.contains(secret);
        assert!(!is_told, "process {pid} was told the token: {line}");
    }
}

/// The lines of the audit log that are whole by now; none when the gateway did not get as far as having one.
pub fn audit(home: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(home.join(AUDIT)).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("a line of the audit log is JSON")).collect()
}

/// Every line follows from the one before it, none is torn, none holds the secret, and what did not go well says why. The
/// first line may go on from a file that was moved away.
pub fn the_audit_log_is_whole(home: &Path, secret: &str) {
    let text = std::fs::read_to_string(home.join(AUDIT)).unwrap_or_default();
    assert!(!text.contains(secret), "the token is in the audit log");
    assert!(text.is_empty() || text.ends_with('\n'), "the audit log ends within a line");
    let mut before: Option<(u64, String)> = None;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).expect("a line of the audit log is JSON");
        let number = record["seq"].as_u64().expect("a number");
        if let Some((last, digest)) = &before {
            assert_eq!(number, last + 1, "{line}");
            assert_eq!(record["prev"], digest.as_str(), "{line}");
        } else if number == 0 {
            assert_eq!(record["prev"], "0".repeat(64), "{line}");
        }
        let outcome = record["outcome"].as_str().expect("an outcome");
        if ["denied", "failed", "invalid"].contains(&outcome) {
            assert!(record["code"].as_str().is_some_and(|code| !code.is_empty()), "no reason: {line}");
        }
        let digest = Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect();
        before = Some((number, digest));
    }
}

/// The engine, where there is one, has nothing that this process has started.
pub async fn nothing_in_docker_is_left_of(gateway: u32) {
    let Ok(docker) = docker::there().await else { return };
    let filters = HashMap::from([("label", vec![format!("wasmgate.pid={gateway}")])]);
    let containers = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(containers)).await.expect("containers");
    let names: Vec<_> = containers.into_iter().filter_map(|container| container.names).collect();
    assert!(names.is_empty(), "containers outlived the gateway: {names:?}");
    let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = docker.list_networks(Some(networks)).await.expect("networks");
    let names: Vec<_> = networks.into_iter().filter_map(|network| network.name).collect();
    assert!(names.is_empty(), "networks outlived the gateway: {names:?}");
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    const SECRET: &str = "told-to-the-gateway-alone";

    /// Two processes that look the same, as a gateway and its child do until the child has its program: then one of them
    /// forgets, or does not.
    fn pair(home: &Path, becomes: &str) -> [Child; 2] {
        [(); 2].map(|()| {
            // Without a process of its own, which would be told as well.
            let script = format!("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; {becomes}");
            let mut command = Command::new("sh");
            command.args(["-c", &script]).env("HOME", home).env("TOKEN", SECRET);
            command.spawn().expect("sh starts")
        })
    }

    fn is_known(home: &str, becomes: &str) -> bool {
        let home = Path::new(home);
        let mut pair = pair(home, becomes);
        while process::of_home(home, 0).len() < pair.len() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let looked = std::panic::catch_unwind(|| no_process_knows(home, pair[0].id(), SECRET));
        for child in &mut pair {
            child.kill().expect("is there");
            child.wait().expect("ends");
        }
        looked.is_err()
    }

    #[test]
    fn a_child_that_has_not_come_to_its_program_yet_was_told_nothing() {
        assert!(!is_known("/nowhere/forgets", "unset TOKEN; exec sleep 60"));
        assert!(is_known("/nowhere/keeps", "exec sleep 60"));
    }
}

//! Faults of registries and of what is kept of them (F39, F40): nothing unverified is ever run.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use wasmgate_tests::home::Home;
use wasmgate_tests::registry::{self, Fault, Registry};
use wasmgate_tests::signing::{Key, Shelf};
use wasmgate_tests::{Running, gateway, missing, process, require};

use crate::reload::{change, in_force, rejected, started, yaml};

/// A registry with a plugin that hides tools, and its reference.
async fn with_a_plugin(repository: &str) -> (Registry, String) {
    let registry = registry::registry().await;
    let reference = registry.reference(&format!("{repository}:1"));
    Home::new().line(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    (registry, reference)
}

fn hiding(reference: &str) -> String {
    format!("  hide: {{use: 'oci://{reference}', config: {{deny: ['*echo*']}}}}\n")
}

async fn hides(gw: &Running) -> bool {
    !gw.legacy().await.tool_names().await.iter().any(|name| name.contains("echo"))
}

#[tokio::test]
async fn f39_the_registry_is_down_when_the_file_changes() {
    require!(registry::there());
    let (registry, reference) = with_a_plugin("acme/hide").await;
    let gw = started(&["fx"], &hiding(&reference)).await;
    assert!(hides(&gw).await);
    let absent = registry.reference("acme/other:1");
    drop(registry);
    in_force(&gw, "another server", || change(&gw, &yaml(&["fx", "more"], &hiding(&reference)))).await;
    gw.ready(["fx", "more"]).await;
    assert!(hides(&gw).await, "what is here needs no registry");
    let other = yaml(&["fx"], &hiding(&absent));
    let said = rejected(&gw, "a plugin that is not here", || change(&gw, &other)).await;
    assert!(said.contains("`hide`"), "{said}");
    assert!(hides(&gw).await);
    assert_eq!(gw.state("more").await["state"], "ready", "the whole generation before stays");
    gw.stop().await;
}

#[tokio::test]
async fn f39_the_rules_for_signatures_become_stricter() {
    require!(registry::there());
    let (registry, reference) = with_a_plugin("acme/hide").await;
    let gw = started(&["fx"], &hiding(&reference)).await;
    assert!(hides(&gw).await);
    let key = Key::new();
    fs::write(gw.home().join("cosign.pub"), key.pem()).expect("a key");
    let strict = yaml(&["fx", "more"], &hiding(&reference))
        + "signatures: {rules: [{match: '*', policy: require, key: ./cosign.pub}]}\n";
    let said = rejected(&gw, "rules that nothing meets", || change(&gw, &strict)).await;
    assert!(said.contains("signature"), "{said}");
    assert!(hides(&gw).await, "the generation before stays in force, and with it its rules");
    let lock = fs::read_to_string(gw.home().join("wasmgate.lock")).expect("a lock file");
    let digest = lock.split("sha256:").nth(1).and_then(|rest| rest.get(..64)).expect("a digest");
    Shelf::new(&registry, "acme/hide").sign(&key, &format!("sha256:{digest}")).await;
    in_force(&gw, "a signature", || process::signal(gw.pid, Signal::HUP)).await;
    gw.ready(["fx", "more"]).await;
    assert!(hides(&gw).await);
    gw.stop().await;
}

/// Validates a configuration with this plugin in a home of its own.
async fn validated(home: &Home, reference: &str) -> (Option<i32>, String) {
    let text = format!("plugins: {{mine: {{use: 'oci://{reference}'}}}}\n");
    let config = home.file("wasmgate.yaml", &text);
    let ended = home.run(&["validate", "--config", &config]).await;
    (ended.status.code(), ended.stderr)
}

fn store(home: &Home) -> std::path::PathBuf {
    home.path().join(".local/share/wasmgate/oci/blobs/sha256")
}

/// The blobs in a store that are what their names say, by size: a component is larger than all else.
fn has_component(home: &Home) -> bool {
    let blobs = fs::read_dir(store(home)).into_iter().flatten().flatten();
    blobs.filter_map(|blob| blob.metadata().ok()).any(|about| about.len() > 20_000)
}

#[tokio::test]
async fn f40_a_registry_answers_with_less_something_else_or_no() {
    require!(registry::there());
    let (registry, _) = with_a_plugin("acme/plugin").await;
    type Makes = fn() -> Fault;
    let faults: [(&str, Makes); 5] = [
        ("/blobs/", || Fault::Truncated),
        ("/blobs/", || Fault::Changed),
        ("/manifests/", || Fault::Truncated),
        ("/manifests/", || Fault::Status(401, &[("WWW-Authenticate", "Basic realm=\"x\"")])),
        ("/blobs/", || Fault::Status(404, &[])),
    ];
    for (number, (where_, fault)) in faults.into_iter().enumerate() {
        let faulty =
            registry::faulty(&registry.address, move |line, _| line.contains(where_).then(fault)).await;
        let home = Home::new();
        let (code, said) = validated(&home, &faulty.reference("acme/plugin:1")).await;
        assert_eq!(code, Some(2), "{number}: {said}");
        assert!(said.contains("plugin `mine` cannot be had"), "{number}: {said}");
        assert!(!has_component(&home), "{number}: it was kept");
        assert!(!home.path().join("wasmgate.lock").exists(), "{number}: it was locked");
    }
}

#[tokio::test]
async fn f40_a_registry_is_down_or_silent_at_a_start() {
    require!(registry::there());
    let (registry, _) = with_a_plugin("acme/plugin").await;
    // What passes once is refused the next time: a registry that went silent under the same name.
    let silent = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_silent = std::sync::Arc::clone(&silent);
    let faulty = registry::faulty(&registry.address, move |_, _| {
        is_silent.load(std::sync::atomic::Ordering::SeqCst).then_some(Fault::Silence)
    })
    .await;
    let (home, reference) = (Home::new(), faulty.reference("acme/plugin:1"));
    assert_eq!(validated(&home, &reference).await.0, Some(0));
    silent.store(true, std::sync::atomic::Ordering::SeqCst);
    let before = faulty.asked();
    assert_eq!(validated(&home, &reference).await.0, Some(0), "what is locked and here is not asked for");
    assert_eq!(faulty.asked(), before);
    drop(registry);
    assert_eq!(validated(&home, &reference).await.0, Some(0));
}

#[tokio::test]
async fn f40_an_index_has_nothing_for_us() {
    require!(registry::there());
    let registry = registry::registry().await;
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": []}).to_string();
    let address = registry.address.parse().expect("an address");
    let put = wasmgate_tests::http::Ask::new(address, "PUT", "/v2/acme/index/manifests/1");
    let put = put.header("content-type", kind).body(index).send().await;
    assert_eq!(put.status, 201, "{}", put.text());
    let home = Home::new();
    let (code, said) = validated(&home, &registry.reference("acme/index:1")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("plugin `mine`"), "{said}");
}

#[tokio::test]
async fn f40_bytes_in_the_cache_are_not_what_they_were() {
    require!(registry::there());
    let (registry, reference) = with_a_plugin("acme/plugin").await;
    let home = Home::new();
    assert_eq!(validated(&home, &reference).await.0, Some(0));
    let spoil = || {
        for blob in fs::read_dir(store(&home)).expect("blobs").flatten() {
            let mut bytes = fs::read(blob.path()).expect("a blob");
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
            fs::write(blob.path(), bytes).expect("a blob");
        }
    };
    spoil();
    assert_eq!(validated(&home, &reference).await.0, Some(0), "they are fetched again");
    spoil();
    drop(registry);
    let (code, said) = validated(&home, &reference).await;
    assert_eq!(code, Some(2), "and never run: {said}");
}

/// A file system of its own, as small or as read-only as a test needs it; needs root.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(home: &Home, options: &str) -> Result<Self, String> {
        let dir = home.path().join("mounted");
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let mut command = std::process::Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&dir).output();
        let mounted = mounted.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&mounted.stderr).into_owned();
        if mounted.status.success() {
            Ok(Self(dir))
        } else {
            Err(format!("a file system cannot be mounted: {said}"))
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn f40_the_disk_of_the_cache_is_full_or_read_only() {
    require!(registry::there());
    let (_registry, reference) = with_a_plugin("acme/hide").await;
    for options in ["size=32k", "ro"] {
        let home = Home::new();
        let mounted = match Mounted::new(&home, options) {
            Ok(mounted) => mounted,
            Err(reason) => {
                assert!(missing("f40_the_disk_of_the_cache_is_full_or_read_only", Err(reason)));
                return;
            }
        };
        let data = mounted.0.to_str().expect("UTF-8").to_owned();
        let gate = gateway().config(&yaml(&["fx"], &hiding(&reference))).env("XDG_DATA_HOME", &data);
        // Compiled plugins are not kept either.
        let gw = gate.env("XDG_CACHE_HOME", &data).start().await;
        gw.ready(["fx"]).await;
        assert!(hides(&gw).await, "{options}: it is served from memory");
        let log = gw.stop().await.stderr;
        assert!(log.contains("store"), "{options}: it is said: {log}");
    }
}

#[tokio::test]
async fn f40_two_gateways_share_a_cache() {
    require!(registry::there());
    let (_registry, reference) = with_a_plugin("acme/hide").await;
    let home = Home::new();
    let data = home.path().join("data");
    let one = || {
        let data = data.to_str().expect("UTF-8").to_owned();
        let gate = gateway().config(&yaml(&["fx"], &hiding(&reference)));
        gate.env("XDG_DATA_HOME", &data).env("XDG_CACHE_HOME", &data).start()
    };
    let (first, second) = tokio::join!(one(), one());
    for gw in [first, second] {
        gw.ready(["fx"]).await;
        assert!(hides(&gw).await);
        gw.stop().await;
    }
    let temporary = walk(&data).into_iter().filter(|path| path.contains(".tmp")).count();
    assert_eq!(temporary, 0, "nothing half written is left");
}

fn walk(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

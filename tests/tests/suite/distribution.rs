//! Plugins as artifacts of a real registry: pushed, pulled, configured by reference, locked, updated, and run without the
//! registry once they are here.

use serde_json::{Value, json};
use wasmgate_tests::catalog::good;
use wasmgate_tests::home::Home;
use wasmgate_tests::registry::{self, LOGIN_BASE64, Options};
use wasmgate_tests::{gateway, require};

#[tokio::test]
async fn a_pushed_component_is_the_one_that_is_pulled() {
    require!(registry::there());
    let (registry, home) = (registry::registry().await, Home::new());
    let reference = registry.reference("acme/filter:1.0.0");
    let pinned = home.line(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    let digest = pinned
        .strip_prefix(&registry.reference("acme/filter@sha256:"))
        .expect("the reference with its digest");
    assert_eq!(digest.len(), 64, "{pinned}");
    assert_eq!(
        home.line(&["plugin", "push", "builtin:tool-filter", &reference]).await,
        pinned,
        "the same component is the same artifact"
    );
    let other = Home::new();
    let file = other.path().join("filter.wasm");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(other.line(&["plugin", "pull", &reference, "-o", file]).await, pinned);
    let of_file = other.json(&["plugin", "inspect", file, "--format", "json"]).await;
    let of_registry =
        other.json(&["plugin", "inspect", &format!("oci://{reference}"), "--format", "json"]).await;
    assert_eq!(of_file["digest"], of_registry["digest"]);
    let listed = other.json(&["plugin", "ls", "--json"]).await;
    let is_it = |plugin: &Value| plugin["use"] == json!(format!("oci://{reference}"));
    assert!(listed.as_array().expect("a list").iter().any(is_it), "{listed}");
}

#[tokio::test]
async fn what_is_no_plugin_is_not_pushed_and_what_is_no_component_is_not_pulled_as_one() {
    require!(registry::there());
    let (registry, home) = (registry::registry().await, Home::new());
    let text = home.file("text.wasm", "hello");
    let (code, said) = home.complaint(&["plugin", "push", &text, &registry.reference("acme/text:1")]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("not a WebAssembly component"), "{said}");
    let digested = format!("{}@sha256:{}", registry.reference("acme/x"), "0".repeat(64));
    let (code, said) = home.complaint(&["plugin", "push", "builtin:tool-filter", &digested]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("name a tag"), "{said}");
    let (code, said) = home.complaint(&["plugin", "pull", &registry.reference("acme/absent:1")]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("is not in its registry"), "{said}");
}

#[tokio::test]
async fn a_registry_that_wants_a_login_gets_the_one_docker_has() {
    require!(registry::there());
    let registry = registry::start(Options { login: true, ..Options::default() }).await;
    let home = Home::new();
    let reference = registry.reference("acme/filter:1");
    let (code, said) = home.complaint(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("docker login {}", registry.address)), "{said}");
    let logins = json!({"auths": {&registry.address: {"auth": LOGIN_BASE64}}});
    home.file(".docker/config.json", &logins.to_string());
    home.line(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    let wrong = json!({"auths": {&registry.address: {"auth": "bWU6d3Jvbmc="}}});
    home.file(".docker/config.json", &wrong.to_string());
    let (_, said) = home.complaint(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    assert!(said.contains("does not accept the login") && !said.contains("wrong"), "{said}");
}

/// A configuration that hides a tool through a plugin of the registry.
fn hiding(reference: &str) -> String {
    format!("plugins: {{hide: {{use: 'oci://{reference}', config: {{deny: ['*echo*']}}}}}}\n")
}

#[tokio::test]
async fn a_tag_is_resolved_once_and_then_kept() {
    require!(registry::there());
    let (registry, home) = (registry::registry().await, Home::new());
    let reference = registry.reference("acme/plugin:1");
    let first = home.line(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    let config = home.file("wasmgate.yaml", &format!("plugins: {{mine: {{use: 'oci://{reference}'}}}}\n"));
    let check = ["validate", "--config", &config, "--json"];
    home.json(&check).await;
    let lock = || -> Value {
        let text = std::fs::read_to_string(home.path().join("wasmgate.lock")).expect("a lock file");
        serde_json::from_str(&text).expect("JSON")
    };
    let locked =
        || lock()["artifacts"][format!("oci://{reference}")]["digest"].as_str().expect("a digest").to_owned();
    assert!(first.ends_with(&locked()), "{first} is locked");

    // The tag moves: what runs does not, until somebody says so.
    let second = home.line(&["plugin", "push", "builtin:rate-limit", &reference]).await;
    home.json(&check).await;
    assert!(first.ends_with(&locked()));
    let update = home.run(&["update", "--config", &config, "--check", "--json"]).await;
    assert_eq!(update.status.code(), Some(1), "{}", update.stderr);
    let update: Value = serde_json::from_str(&update.stdout).expect("JSON");
    let change = &update["changes"][0];
    assert!(second.ends_with(change["after"].as_str().expect("a digest")), "{update}");
    assert!(change["differences"].to_string().contains("size: "), "{update}");
    assert_eq!(
        change["newlyWants"],
        json!(["kv: true", "clock: true"]),
        "what it wants besides is shown: {update}"
    );
    assert!(first.ends_with(&locked()), "looking changes nothing");
    let (code, said) = home.complaint_after_output(&["update", "--config", &config]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("--yes"), "nobody agreed: {said}");
    assert!(first.ends_with(&locked()));
    let agreed = home.run(&["update", "--config", &config, "--yes"]).await;
    assert_eq!(agreed.status.code(), Some(0), "{}", agreed.stderr);
    assert!(agreed.stdout.contains("NEWLY WANTS kv: true"), "{}", agreed.stdout);
    assert!(second.ends_with(&locked()));

    // What is no longer in the configuration leaves the file with the next update.
    std::fs::write(&config, "plugins: {}\n").expect("a configuration");
    home.run(&["update", "--config", &config, "--yes"]).await;
    assert_eq!(lock()["artifacts"], json!({}));
}

#[tokio::test]
async fn locked_runs_nothing_that_nobody_looked_at() {
    require!(registry::there());
    let (registry, home) = (registry::registry().await, Home::new());
    let reference = registry.reference("acme/plugin:1");
    home.line(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    let config = home.file("wasmgate.yaml", &format!("plugins: {{mine: {{use: 'oci://{reference}'}}}}\n"));
    let locked = home.run(&["validate", "--config", &config, "--locked"]).await;
    assert_eq!(locked.status.code(), Some(2));
    assert!(locked.stderr.contains("is not in wasmgate.lock"), "{}", locked.stderr);
    assert!(!home.path().join("wasmgate.lock").exists());
    home.run(&["update", "--config", &config, "--yes"]).await;
    home.run(&["validate", "--config", &config, "--locked"]).await;
    let locked = home.run(&["validate", "--config", &config, "--locked"]).await;
    assert_eq!(locked.status.code(), Some(0), "{}", locked.stderr);
    home.file("wasmgate.lock", "{\"version\": 1,");
    let broken = home.run(&["validate", "--config", &config]).await;
    assert_eq!(broken.status.code(), Some(2));
    assert!(broken.stderr.contains("is not a lock file"), "{}", broken.stderr);
}

#[tokio::test]
async fn a_plugin_of_a_registry_works_and_starts_without_the_registry() {
    require!(registry::there());
    let storage = Home::new();
    let registry = registry::registry().await;
    let reference = registry.reference("acme/hide:1");
    storage.line(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    let gate = gateway().catalog(good("good").text()).config(&hiding(&reference));
    let data = storage.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let lock = storage.path().join("wasmgate.lock");
    let running = gate.env("XDG_DATA_HOME", data).start().await;
    running.ready(["good"]).await;
    assert!(!running.legacy().await.tool_names().await.iter().any(|name| name.contains("echo")));
    std::fs::copy(running.home().join("wasmgate.lock"), &lock).expect("a lock file beside the configuration");
    running.stop().await;

    drop(registry);
    let gate = gateway().catalog(good("good").text()).config(&hiding(&reference));
    gate.file("wasmgate.lock", &std::fs::read_to_string(&lock).expect("readable"));
    let running = gate.env("XDG_DATA_HOME", data).start().await;
    running.ready(["good"]).await;
    assert!(!running.legacy().await.tool_names().await.iter().any(|name| name.contains("echo")));
    running.stop().await;

    // Somebody else's bytes under that digest are not run: they are fetched again, or not at all.
    let blobs = std::path::Path::new(data).join("wasmgate/oci/blobs/sha256");
    for blob in std::fs::read_dir(blobs).expect("blobs").flatten() {
        std::fs::write(blob.path(), "something else").expect("a blob");
    }
    let gate = gateway().catalog(good("good").text()).config(&hiding(&reference));
    gate.file("wasmgate.lock", &std::fs::read_to_string(&lock).expect("readable"));
    let ended = gate.env("XDG_DATA_HOME", data).run_to_end().await;
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("plugin `hide` cannot be had"), "{}", ended.stderr);
}

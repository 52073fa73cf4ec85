//! Signatures: what the policy of the configuration lets in, and that nothing else is compiled, read or run. Signed here with
//! keys; certificates of Sigstore are verified in the unit tests, because what they are for cannot be made again.

use expect_test::{Expect, expect};
use serde_json::json;
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::docker;
use wasmgate_tests::gateway::Ended;
use wasmgate_tests::home::Home;
use wasmgate_tests::registry::{self, Registry};
use wasmgate_tests::signing::{Key, Shelf};
use wasmgate_tests::{Running, gateway, require};

/// A registry, a home with the public half of a key, and that key.
async fn scene() -> (Registry, Home, Key) {
    let (registry, home, key) = (registry::registry().await, Home::new(), Key::new());
    home.file("cosign.pub", &key.pem());
    (registry, home, key)
}

/// Rules that want the key for everything.
fn rules(policy: &str) -> String {
    format!("signatures: {{rules: [{{match: '*', policy: {policy}, key: ./cosign.pub}}]}}\n")
}

/// Pushes a bundled component and gives its digest.
async fn pushed(home: &Home, component: &str, reference: &str) -> String {
    let pinned = home.line(&["plugin", "push", component, reference]).await;
    pinned.split_once('@').expect("a digest").1.to_owned()
}

/// What was said, without what differs from run to run.
fn said(text: &str, registry: &Registry) -> String {
    let text = text.replace(&registry.address, "REGISTRY");
    let mut words = Vec::new();
    for line in text.lines() {
        let clean = |word: &str| match word.split_once("sha256:") {
            Some((before, hex)) => {
                let after = hex.trim_start_matches(|c: char| c.is_ascii_hexdigit());
                format!("{before}sha256:...{after}")
            }
            None => word.to_owned(),
        };
        words.push(line.split(' ').map(clean).collect::<Vec<_>>().join(" "));
    }
    words.join("\n")
}

/// Whether the store of a home has a component: what is refused is not even fetched.
fn has_component(home: &Home) -> bool {
    let blobs = std::fs::read_dir(home.path().join(".local/share/wasmgate/oci/blobs/sha256"));
    let mut sizes =
        blobs.into_iter().flatten().flatten().filter_map(|blob| Some(blob.metadata().ok()?.len()));
    sizes.any(|size| size > 20_000)
}

fn plugin(reference: &str) -> String {
    format!("plugins: {{mine: {{use: 'oci://{reference}'}}}}\n")
}

#[tokio::test]
async fn a_plugin_that_is_signed_runs() {
    require!(registry::there());
    let (registry, home, key) = scene().await;
    for (repository, bundle) in [("acme/one", false), ("acme/two", true)] {
        let reference = registry.reference(&format!("{repository}:1"));
        let digest = pushed(&Home::new(), "builtin:tool-filter", &reference).await;
        let shelf = Shelf::new(&registry, repository);
        if bundle {
            shelf.sign_with_bundle(&key, &digest).await
        } else {
            shelf.sign(&key, &digest).await
        }
        let config = home.file("wasmgate.yaml", &(plugin(&reference) + &rules("require")));
        home.json(&["validate", "--config", &config, "--json"]).await;
        assert!(has_component(&home), "{repository}");
    }
}

/// What is said about a plugin beside which lies what `put` puts there.
async fn refused(put: impl AsyncFnOnce(&Shelf<'_>, &Key, &str), expected: Expect) {
    let (registry, home, key) = scene().await;
    let reference = registry.reference("acme/plugin:1");
    let digest = pushed(&Home::new(), "builtin:tool-filter", &reference).await;
    put(&Shelf::new(&registry, "acme/plugin"), &key, &digest).await;
    let config = home.file("wasmgate.yaml", &(plugin(&reference) + &rules("require")));
    let ended = home.run(&["validate", "--config", &config]).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(!has_component(&home), "it was fetched");
    assert!(!home.path().join("wasmgate.lock").exists(), "what was refused is not locked");
    let path = home.path().to_str().expect("UTF-8");
    expected.assert_eq(&said(&format!("{}{}", ended.stdout, ended.stderr).replace(path, "HOME"), &registry));
}

#[tokio::test]
async fn a_plugin_without_a_signature_is_refused() {
    require!(registry::there());
    refused(async |_, _, _| {}, expect![[r#"
        SERVER  STATUS  REASON
        demo    ok
        notes   ok
        time    ok
        error: HOME/wasmgate.yaml:1:23: plugin `mine` must not be used: `REGISTRY/acme/plugin` must be signed by the key sha256:...: it has no signature
          |
        1 | plugins: {mine: {use: 'oci://REGISTRY/acme/plugin:1'}}
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]]).await;
}

#[tokio::test]
async fn a_plugin_with_somebody_else_s_signature_is_refused() {
    require!(registry::there());
    refused(async |shelf, _, digest| shelf.sign(&Key::new(), digest).await, expect![[r#"
        SERVER  STATUS  REASON
        demo    ok
        notes   ok
        time    ok
        error: HOME/wasmgate.yaml:1:23: plugin `mine` must not be used: `REGISTRY/acme/plugin` must be signed by the key sha256:...: its signature is not by the key sha256:..., or what it signs was changed
          |
        1 | plugins: {mine: {use: 'oci://REGISTRY/acme/plugin:1'}}
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]]).await;
    refused(async |shelf, _, digest| shelf.sign_with_bundle(&Key::new(), digest).await, expect![[r#"
        SERVER  STATUS  REASON
        demo    ok
        notes   ok
        time    ok
        error: HOME/wasmgate.yaml:1:23: plugin `mine` must not be used: `REGISTRY/acme/plugin` must be signed by the key sha256:...: its signature is not by the key sha256:..., or what it signs was changed
          |
        1 | plugins: {mine: {use: 'oci://REGISTRY/acme/plugin:1'}}
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]]).await;
}

#[tokio::test]
async fn a_plugin_with_the_signature_of_something_else_is_refused() {
    require!(registry::there());
    let other = format!("sha256:{}", "1".repeat(64));
    let layer = async |shelf: &Shelf<'_>, key: &Key, digest: &str| {
        let (payload, signature) = key.payload(&other);
        shelf.put_layer(digest, payload, &signature).await;
    };
    refused(layer, expect![[r#"
        SERVER  STATUS  REASON
        demo    ok
        notes   ok
        time    ok
        error: HOME/wasmgate.yaml:1:23: plugin `mine` must not be used: `REGISTRY/acme/plugin` must be signed by the key sha256:...: its signature is for another artifact
          |
        1 | plugins: {mine: {use: 'oci://REGISTRY/acme/plugin:1'}}
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]]).await;
    refused(async |shelf, key, digest| shelf.put_bundle(digest, &key.bundle(&other)).await, expect![[r#"
        SERVER  STATUS  REASON
        demo    ok
        notes   ok
        time    ok
        error: HOME/wasmgate.yaml:1:23: plugin `mine` must not be used: `REGISTRY/acme/plugin` must be signed by the key sha256:...: its signature is for another artifact
          |
        1 | plugins: {mine: {use: 'oci://REGISTRY/acme/plugin:1'}}
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]])
        .await;
}

#[tokio::test]
async fn a_plugin_with_a_signature_that_was_changed_is_refused() {
    require!(registry::there());
    let bundle = async |shelf: &Shelf<'_>, key: &Key, digest: &str| {
        let other = format!("sha256:{}", "1".repeat(64));
        let mut bundle = key.bundle(&other);
        bundle["dsseEnvelope"]["payload"] = key.bundle(digest)["dsseEnvelope"]["payload"].clone();
        shelf.put_bundle(digest, &bundle).await;
    };
    refused(bundle, expect![[r#"
        SERVER  STATUS  REASON
        demo    ok
        notes   ok
        time    ok
        error: HOME/wasmgate.yaml:1:23: plugin `mine` must not be used: `REGISTRY/acme/plugin` must be signed by the key sha256:...: its signature is not by the key sha256:..., or what it signs was changed
          |
        1 | plugins: {mine: {use: 'oci://REGISTRY/acme/plugin:1'}}
          |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"#]]).await;
}

#[tokio::test]
async fn what_warns_runs_and_what_nobody_asks_for_is_not_looked_for() {
    require!(registry::there());
    let (registry, home, _) = scene().await;
    let reference = registry.reference("acme/plugin:1");
    pushed(&Home::new(), "builtin:tool-filter", &reference).await;
    let start = async |rules: &str| {
        let plugin =
            format!("plugins: {{hide: {{use: 'oci://{reference}', config: {{deny: ['*echo*']}}}}}}\n");
        let gate = gateway().catalog(good("good").text()).config(&(plugin + rules));
        gate.file("cosign.pub", &std::fs::read_to_string(home.path().join("cosign.pub")).expect("a key"));
        let running = gate.start().await;
        running.ready(["good"]).await;
        assert!(!running.legacy().await.tool_names().await.iter().any(|name| name.contains("echo")));
        running.stop().await.stderr
    };
    let words = "it is used although it has no signature";
    assert!(start(&rules("warn")).await.contains(words));
    for rules in [
        "signatures: {rules: [{match: '*', policy: off}]}\n",
        "signatures: {rules: [{match: 'ghcr.io/acme/*', key: ./cosign.pub}]}\n",
        "",
    ] {
        assert!(!start(rules).await.contains("signature"), "{rules}");
    }
}

#[tokio::test]
async fn what_a_moved_tag_leads_to_needs_a_signature_of_its_own() {
    require!(registry::there());
    let (registry, home, key) = scene().await;
    let reference = registry.reference("acme/plugin:1");
    let named = format!("oci://{reference}");
    let first = pushed(&Home::new(), "builtin:tool-filter", &reference).await;
    Shelf::new(&registry, "acme/plugin").sign_with_bundle(&key, &first).await;
    let config = home.file("wasmgate.yaml", &(plugin(&reference) + &rules("require")));
    let pull = ["plugin", "pull", &reference, "--config", &config, "-o", "/dev/null"];
    assert!(home.line(&pull).await.ends_with(&first));
    home.json(&["plugin", "inspect", &named, "--config", &config, "--format", "json"]).await;
    home.json(&["validate", "--config", &config, "--json"]).await;

    pushed(&Home::new(), "builtin:rate-limit", &reference).await;
    let inspect = ["plugin", "inspect", &named, "--config", &config];
    let update = ["update", "--config", &config, "--yes"];
    for command in [&pull[..], &inspect, &update] {
        let (code, complaint) = home.complaint(command).await;
        assert_ne!(code, Some(0), "{command:?}");
        assert!(complaint.contains("it has no signature"), "{command:?}: {complaint}");
    }
    // What is locked is what was signed, and goes on.
    home.json(&["validate", "--config", &config, "--json"]).await;
    let lock = std::fs::read_to_string(home.path().join("wasmgate.lock")).expect("a lock file");
    assert!(lock.contains(&first), "{lock}");
}

#[tokio::test]
async fn what_was_verified_starts_without_the_registry_under_the_policy_of_now() {
    require!(registry::there());
    let (registry, home, key) = scene().await;
    let (plugin, catalog) = (registry.reference("acme/hide:1"), registry.reference("acme/tools:1"));
    let digest = pushed(&home, "builtin:tool-filter", &plugin).await;
    Shelf::new(&registry, "acme/hide").sign_with_bundle(&key, &digest).await;
    let file = home.file("catalog.json", &Catalog::new().container("good", "acme/none", &[]).text());
    let pinned = home.line(&["catalog", "push", &file, &catalog]).await;
    Shelf::new(&registry, "acme/tools").sign(&key, pinned.split_once('@').expect("a digest").1).await;
    let text = format!("plugins: {{hide: {{use: 'oci://{plugin}', config: {{deny: ['*echo*']}}}}}}\n");
    let config =
        home.file("wasmgate.yaml", &format!("{text}catalogs: ['oci://{catalog}']\n{}", rules("require")));
    let check = ["validate", "--config", &config, "--json"];
    let once = home.json(&check).await;
    drop(registry);
    let again = home.run(&check).await;
    assert_eq!(again.status.code(), Some(0), "{}{}", again.stdout, again.stderr);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&again.stdout).expect("JSON"), once);
    assert!(!again.stderr.contains("WARN"), "nothing had to be asked: {}", again.stderr);

    // Another key in the policy: what was good is not, and nobody can be asked for more.
    home.file("cosign.pub", &Key::new().pem());
    let Ended { status, stderr, .. } = home.run(&["validate", "--config", &config]).await;
    assert_eq!(status.code(), Some(2));
    assert!(stderr.contains(&catalog) && stderr.contains("must be signed by the key"), "{stderr}");
    let alone = home.file("alone.yaml", &(text + &rules("require")));
    let Ended { status, stderr, .. } = home.run(&["validate", "--config", &alone]).await;
    assert_eq!(status.code(), Some(2));
    assert!(stderr.contains(&plugin) && stderr.contains("needs a signature"), "{stderr}");
}

#[tokio::test]
async fn a_catalog_is_read_only_when_it_is_signed() {
    require!(registry::there());
    let (registry, home, key) = scene().await;
    let reference = registry.reference("acme/tools:1");
    let file = home.file("catalog.json", &Catalog::new().container("box", "acme/none:1", &[]).text());
    let digest = home.line(&["catalog", "push", &file, &reference]).await;
    let digest = digest.split_once('@').expect("a digest").1.to_owned();
    let named = format!("oci://{reference}");
    let config = home.file("wasmgate.yaml", &rules("require"));
    let whole = home.file("whole.yaml", &format!("catalogs: ['{named}']\n{}", rules("require")));
    let commands: [&[&str]; 4] = [
        &["validate", "--config", &config, "--oci-ref", &named],
        &["validate", "--config", &whole],
        &["catalog", "pull", &reference, "--config", &config],
        &["catalog", "show", &named, "--config", &config],
    ];
    for command in commands {
        let ended = home.run(command).await;
        assert_ne!(ended.status.code(), Some(0), "{command:?}: {}", ended.stdout);
        assert!(!ended.stdout.contains("box"), "{command:?}: it was read: {}", ended.stdout);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(
            said.contains("must be signed by the key") && said.contains("no signature"),
            "{command:?}: {said}"
        );
    }
    Shelf::new(&registry, "acme/tools").sign(&key, &digest).await;
    for command in commands {
        let ended = home.run(command).await;
        assert_eq!(ended.status.code(), Some(0), "{command:?}: {}{}", ended.stdout, ended.stderr);
    }
}

#[tokio::test]
async fn rules_that_cannot_be_read_let_nothing_in() {
    require!(registry::there());
    let (registry, home, _) = scene().await;
    let reference = registry.reference("acme/plugin:1");
    pushed(&Home::new(), "builtin:tool-filter", &reference).await;
    let rules = "signatures: {rules: [{match: '*', key: ./absent.pub}]}\n";
    let config = home.file("wasmgate.yaml", &(plugin(&reference) + rules));
    let named = format!("oci://{reference}");
    let commands: [&[&str]; 5] = [
        &["plugin", "pull", &reference, "--config", &config, "-o", "/dev/null"],
        &["plugin", "inspect", &named, "--config", &config],
        &["catalog", "pull", &reference, "--config", &config],
        &["update", "--config", &config, "--yes"],
        &["validate", "--config", &config],
    ];
    for command in commands {
        let ended = home.run(command).await;
        assert_eq!(ended.status.code(), Some(2), "{command:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("absent.pub: cannot be read"), "{command:?}: {}", ended.stderr);
        assert!(!has_component(&home), "{command:?}");
    }
}

#[tokio::test]
async fn a_catalog_of_one_s_own_is_published_before_it_is_signed() {
    require!(registry::there());
    let (registry, home, _) = scene().await;
    let reference = registry.reference("acme/tools:1");
    let file = home.file("catalog.json", &Catalog::new().container("box", "acme/none:1", &[]).text());
    let config = home.file("wasmgate.yaml", &rules("require"));
    home.line(&["catalog", "create", &reference, "--title", "mine", "--from", &file, "--config", &config])
        .await;
    let pinned = home.line(&["catalog", "push", &reference, "--config", &config]).await;
    assert!(pinned.contains("@sha256:"), "{pinned}");
    let _ = json!({});
}

/// The server of an image.
fn server_of(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    format!("signed-{}", last.split(':').next().unwrap_or_default())
}

/// A gateway with one container of an image.
async fn boxed(home: &Home, image: &str, pull: &str) -> Running {
    let entry = json!({"type": "server", "image": image, "command": ["server", "--stdio"], "pull": pull});
    let gate = gateway().catalog(Catalog::new().entry(&server_of(image), entry)).config(&rules("require"));
    gate.file("cosign.pub", &std::fs::read_to_string(home.path().join("cosign.pub")).expect("a key"));
    let data = home.path().join("data");
    let gate = gate.env("XDG_DATA_HOME", data.to_str().expect("UTF-8"));
    gate.start().await.with_container(&server_of(image))
}

/// Runs the image's server and gives the digest it ran with.
async fn runs(home: &Home, image: &str, pull: &str) -> String {
    let running = boxed(home, image, pull).await;
    let server = server_of(image);
    running.ready([server.as_str()]).await;
    let answer = running.alone(&server).await.call("echo", json!({"a": 1})).await;
    assert_eq!(answer["structuredContent"], json!({"a": 1}));
    let engine = docker::there().await.expect("checked");
    let config = docker::inspect(&engine, &server).await.config.expect("settings");
    running.stop().await;
    let image = config.image.expect("an image");
    image.split_once('@').unwrap_or_else(|| panic!("{image} has no digest")).1.to_owned()
}

/// Does not run it, and says why.
async fn runs_not(home: &Home, image: &str, pull: &str) -> String {
    let running = boxed(home, image, pull).await;
    let state = running.reaches(&server_of(image), &["ready", "failed"]).await;
    assert_eq!(state["state"], "failed", "{state}");
    let engine = docker::there().await.expect("checked");
    assert!(docker::containers_of(&engine, &server_of(image)).await.is_empty(), "a container was made");
    running.stop().await;
    state["reason"].as_str().expect("a reason").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_runs_as_what_was_verified() {
    require!(registry::there());
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let (registry, home, key) = scene().await;
    let (image, repository) = (registry.reference("acme/box:1"), registry.reference("acme/box"));
    docker::push(&engine, docker::SCRATCH, &image, None).await;
    let shelf = Shelf::new(&registry, "acme/box");
    let digest = shelf.digest("1").await;

    expect!["image_refused: could not be started: image REGISTRY/acme/box:1 must not be used: `REGISTRY/acme/box` must be signed by the key sha256:...: it has no signature"].assert_eq(&said(&runs_not(&home, &image, "missing").await, &registry));
    assert!(engine.inspect_image(&image).await.is_err(), "what is refused is not pulled");
    shelf.sign_with_bundle(&Key::new(), &digest).await;
    expect!["image_refused: could not be started: image REGISTRY/acme/box:1 must not be used: `REGISTRY/acme/box` must be signed by the key sha256:...: its signature is not by the key sha256:..., or what it signs was changed"].assert_eq(&said(&runs_not(&home, &image, "always").await, &registry));
    shelf.sign(&key, &digest).await;
    assert_eq!(runs(&home, &image, "missing").await, digest);

    // The tag moves to an index that nobody signed, and then somebody does.
    let index = shelf.put_index("1", &digest, 1).await;
    for pull in ["missing", "always"] {
        assert!(runs_not(&home, &image, pull).await.contains("it has no signature"), "{pull}");
    }
    shelf.sign_with_bundle(&key, &index).await;
    assert_eq!(runs(&home, &image, "always").await, index, "the index is what is signed");
    docker::forget(&engine, &repository).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_this_machine_is_verified_as_what_it_is() {
    require!(registry::there());
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let (registry, home, key) = scene().await;
    let (image, repository) = (registry.reference("acme/local:1"), registry.reference("acme/local"));
    docker::push(&engine, docker::SCRATCH, &image, None).await;
    let shelf = Shelf::new(&registry, "acme/local");
    let digest = shelf.digest("1").await;
    shelf.sign_with_bundle(&key, &digest).await;
    let missing = runs_not(&home, &image, "never").await;
    assert!(missing.contains("is not on this machine"), "{missing}");
    docker::pull(&engine, &image).await;
    assert_eq!(runs(&home, &image, "never").await, digest);

    // The tag moves to something that nobody signed: who asks the registry is refused it, who does not has the old one.
    shelf.put_index("1", &digest, 2).await;
    for pull in ["never", "missing"] {
        assert_eq!(runs(&home, &image, pull).await, digest, "{pull}");
    }
    assert!(runs_not(&home, &image, "always").await.contains("it has no signature"));

    // The same without the registry; and under another policy.
    drop(registry);
    assert_eq!(runs(&home, &image, "missing").await, digest);
    let said = runs_not(&home, &image, "always").await;
    assert!(said.contains("needs a signature, and its signatures cannot be had"), "{said}");
    home.file("cosign.pub", &Key::new().pem());
    let said = runs_not(&home, &image, "never").await;
    assert!(said.contains("needs a signature, and its signatures cannot be had"), "{said}");
    docker::forget(&engine, &repository).await;

    // What was built here has no digest of a registry.
    expect!["image_refused: could not be started: image wasmgate-tests/fixture:scratch must not be used: it needs a signature, and what is on this machine was not pulled from its registry, so it has no digest that could be signed (pull it, or let the policy be `off` for it)"].assert_eq(&runs_not(&home, docker::SCRATCH, "never").await);
}

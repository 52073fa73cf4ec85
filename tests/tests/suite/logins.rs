//! Logins of this machine, as `docker login` leaves them: for images that the engine pulls, and out of credential helpers.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::home::Home;
use wasmgate_tests::registry::{self, LOGIN, LOGIN_BASE64, Options, Registry};
use wasmgate_tests::{Running, docker, gateway, require};

/// A registry that wants a login.
async fn private() -> Registry {
    registry::start(Options { login: true, ..Options::default() }).await
}

/// A gateway with a server of the image, and Docker's `config.json`.
async fn boxed(image: &str, config: &serde_json::Value) -> Running {
    let entry = json!({"type": "server", "image": image, "command": ["server", "--stdio"]});
    let gate = gateway().catalog(Catalog::new().entry("private-box", entry));
    gate.file("config.json", &config.to_string());
    let docker = gate.home().to_str().expect("UTF-8").to_owned();
    gate.env("DOCKER_CONFIG", &docker).start().await.with_container("private-box")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_private_registry_is_pulled_with_the_login_docker_has() {
    require!(registry::there());
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let registry = private().await;
    let image = registry.reference("acme/private:1");
    docker::push(&engine, docker::SCRATCH, &image, Some(LOGIN)).await;
    assert!(engine.inspect_image(&image).await.is_err(), "it is not here");

    let without = boxed(&image, &json!({})).await;
    let state = without.reaches("private-box", &["ready", "failed"]).await;
    let reason = state["reason"].as_str().unwrap_or_default();
    assert_eq!(state["state"], "failed", "{state}");
    assert!(reason.starts_with("image_denied: "), "{reason}");
    assert!(reason.contains(&format!("run `docker login {}`", registry.address)), "{reason}");
    without.stop().await;

    let wrong = boxed(&image, &json!({"auths": {&registry.address: {"auth": "bWU6d3Jvbmc="}}})).await;
    let state = wrong.reaches("private-box", &["ready", "failed"]).await;
    let reason = state["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("with the login of this machine"), "{reason}");
    assert!(reason.contains(&format!("run `docker login {}`", registry.address)), "{reason}");
    let ended = wrong.stop().await;
    assert!(!ended.stderr.contains("bWU6d3Jvbmc="), "a login was logged: {}", ended.stderr);

    let with = boxed(&image, &json!({"auths": {&registry.address: {"auth": LOGIN_BASE64}}})).await;
    with.ready(["private-box"]).await;
    let answer = with.alone("private-box").await.call("echo", json!({"a": 1})).await;
    assert_eq!(answer["structuredContent"], json!({"a": 1}));
    let ended = with.stop().await;
    assert!(!ended.stderr.contains(LOGIN.1), "a login was logged: {}", ended.stderr);
    docker::forget(&engine, &registry.reference("acme/private")).await;
}

/// A credential helper as Docker's are: it reads the registry's name and prints a login.
fn helper(home: &Home, script: &str) -> String {
    let path = home.file("bin/docker-credential-test", &format!("#!/bin/sh\nread -r server\n{script}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("an executable");
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", home.path().join("bin").display())
}

#[tokio::test]
async fn a_credential_helper_is_asked() {
    require!(registry::there());
    let (registry, home) = (private().await, Home::new());
    let (address, (name, password)) = (&registry.address, LOGIN);
    let path = helper(
        &home,
        &format!(
            "[ \"$1 $server\" = 'get {address}' ] || {{ echo 'credentials not found in native keychain'; exit 1; }}\n\
             echo '{{\"ServerURL\": \"{address}\", \"Username\": \"{name}\", \"Secret\": \"{password}\"}}'"
        ),
    );
    let push = ["plugin", "push", "builtin:tool-filter", &registry.reference("acme/filter:1")];
    for config in [
        json!({"credsStore": "test"}),
        json!({"credHelpers": {address: "test"}}),
        json!({"credsStore": "absent", "credHelpers": {address: "test"}}),
    ] {
        home.file(".docker/config.json", &config.to_string());
        let ended = home.run_with(&push, &[("PATH", &path)]).await;
        assert_eq!(ended.status.code(), Some(0), "{config}: {}", ended.stderr);
        let ended = home.run(&push).await;
        assert_eq!(ended.status.code(), Some(1), "without the helper: {}", ended.stdout);
    }
    let other = json!({"credHelpers": {"elsewhere.example": "test"}});
    home.file(".docker/config.json", &other.to_string());
    let ended = home.run_with(&push, &[("PATH", &path)]).await;
    assert!(ended.stderr.contains(&format!("docker login {address}")), "{}", ended.stderr);
}

#[tokio::test]
async fn what_a_failing_helper_says_is_not_repeated() {
    require!(registry::there());
    let (registry, home) = (private().await, Home::new());
    let path = helper(&home, "echo 'the secret is hunter2'; echo hunter2 >&2; exit 3");
    home.file(".docker/config.json", r#"{"credsStore": "test"}"#);
    let push = ["plugin", "push", "builtin:tool-filter", &registry.reference("acme/filter:1")];
    let ended = home.run_with(&push, &[("PATH", &path)]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("`docker-credential-test` failed"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

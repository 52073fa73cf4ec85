//! Catalog files in Docker's formats, alone and merged, and which servers and tools they enable.

use std::path::PathBuf;

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture};
use wasmgate_tests::gateway::{Ended, wasmgate};
use wasmgate_tests::{build, gateway, require};

/// Samples of Docker's real catalogs: beside the repository, or where the caller says.
fn data() -> Result<PathBuf, String> {
    let beside = build::root().join("../shared/data");
    let path = std::env::var_os("WASMGATE_DATA").map_or(beside, PathBuf::from).join("docker/catalog.yaml");
    if path.exists() { Ok(path) } else { Err(format!("no {} (set WASMGATE_DATA)", path.display())) }
}

async fn validate(path: &str) -> (Ended, Value) {
    let ended = wasmgate(&["validate", "--catalog", path, "--json"], &[]).await;
    let report = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|e| panic!("not JSON ({e}): {}{}", ended.stdout, ended.stderr));
    (ended, report)
}

#[tokio::test]
async fn every_entry_of_docker_s_sample_loads() {
    require!(data());
    let path = data().expect("checked");
    let (ended, report) = validate(path.to_str().expect("UTF-8")).await;
    assert_eq!(ended.status.code(), Some(0), "{}{report}", ended.stderr);
    assert_eq!(report["errors"], json!([]));
    let servers = report["servers"].as_array().expect("servers");
    let written = std::fs::read_to_string(&path).expect("the sample");
    let entries = written
        .lines()
        .filter(|line| {
            line.starts_with("  ")
                && !line.starts_with("   ")
                && line.ends_with(':')
                && !line.starts_with("  -")
        })
        .count();
    assert_eq!(servers.len(), entries, "one line for each entry of the file");
    for server in servers {
        let status = server["status"].as_str().unwrap_or_default();
        assert!(
            ["ok", "needs-config", "needs-secret", "needs-auth", "needs-grant"].contains(&status),
            "{server}"
        );
        assert!(
            status == "ok" || server["reason"].as_str().is_some_and(|reason| reason.len() > 5),
            "what it needs is said: {server}"
        );
    }
    let count = |status: &str| servers.iter().filter(|server| server["status"] == status).count();
    assert!(count("ok") > 10 && count("needs-secret") > 10 && count("needs-config") > 3, "{report}");
}

#[tokio::test]
async fn validate_finds_what_run_would_refuse() {
    let builder = gateway();
    let config = builder.file("wasmgate.yaml", "enable: [nosuch]\n");
    let plugin = builder.file("plugin.yaml", "plugins: {x: {use: ./none.wasm}}\n");
    let broken = builder.file("broken.yaml", "registry:\n  a:\n    image: [x\n  b: 1\n");
    for (arguments, says) in [
        (["--config", config.as_str()], "no server is called `nosuch`"),
        (["--servers", "nosuch"], "no server is called `nosuch`"),
        (["--config", plugin.as_str()], "plugin `x` cannot be read from"),
        (["--catalog", broken.as_str()], "4 |   b: 1\n  |    ^"),
    ] {
        let ended = wasmgate(&["validate", arguments[0], arguments[1]], &[]).await;
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn yaml_json_maps_and_lists_are_read() {
    let command = fixture(&["server", "--stdio"])["process"]["command"].clone();
    let program = command[0].as_str().expect("a path");
    let yaml = format!(
        "version: 3\nname: tests\nregistry:\n  one:\n    type: process\n    process:\n      command:\n        - {program}\n        - server\n        - --stdio\n"
    );
    let list = json!({"name": "tests", "servers": [{"name": "two", "type": "process", "process": {"command": command}}]});
    let gw = gateway().catalog(yaml).catalog(list.to_string()).servers(["one", "two"]).start().await;
    gw.ready(["one", "two"]).await;
    let tools = gw.legacy().await.tool_names().await;
    assert!(tools.contains(&"one__echo".to_owned()) && tools.contains(&"two__echo".to_owned()), "{tools:?}");
    gw.stop().await;
}

#[tokio::test]
async fn a_later_catalog_wins_by_name_and_says_so() {
    let first = Catalog::new().fixture("same", &["raw", "--stdio"]);
    let second = Catalog::new().fixture("same", &["server", "--stdio"]);
    let gw = gateway().catalog(first).catalog(second).servers(["same"]).start().await;
    gw.ready(["same"]).await;
    assert!(gw.alone("same").await.tool_names().await.contains(&"echo".to_owned()));
    let ended = gw.stop().await;
    assert!(
        ended.stderr.lines().any(|line| line.contains("same") && line.to_lowercase().contains("warn")),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn servers_and_tools_are_chosen_on_the_command_line() {
    let catalog = || {
        Catalog::new()
            .fixture("a", &["server", "--stdio"])
            .fixture("b", &["server", "--stdio"])
            .fixture("c", &["server", "--stdio"])
    };
    let some = gateway()
        .catalog(catalog())
        .servers(["c", "a"])
        .arg("--tools")
        .arg("a:echo,a:text,c:*")
        .start()
        .await;
    some.ready(["a", "c"]).await;
    let client = some.legacy().await;
    let tools = client.tool_names().await;
    assert_eq!(
        tools.iter().filter(|name| name.starts_with("a__")).collect::<Vec<_>>(),
        ["a__echo", "a__text"]
    );
    assert_eq!(tools.iter().filter(|name| name.starts_with("c__")).count(), 17);
    assert!(!tools.iter().any(|name| name.starts_with("b__")), "{tools:?}");
    for hidden in ["a__image", "b__echo"] {
        let refused = client.request("tools/call", json!({"name": hidden})).await;
        assert_eq!(refused["error"]["code"], -32602, "what is not shown cannot be called: {refused}");
    }
    some.stop().await;
    let all = gateway().catalog(catalog()).arg("--enable-all-servers").start().await;
    all.ready(["a", "b", "c"]).await;
    assert_eq!(all.legacy().await.tool_names().await.len(), 3 * 17);
    all.stop().await;
}

#[tokio::test]
async fn wasmgate_yaml_says_it_all_in_one_file() {
    let remote = wasmgate_tests::remote::fixture(&["server", "--http"]).await;
    let builder = gateway();
    let catalog = builder.file("more.yaml", &Catalog::new().fixture("fx", &["server", "--stdio"]).text());
    let config = format!(
        "catalogs: [{catalog}]\nservers:\n  far: {{ remote: {{ url: '{}' }} }}\n  fx: {{}}\nplugins:\n  block-secrets: {{ use: builtin }}\n",
        remote.url("/mcp")
    );
    let config = config.replace("  fx: {}\n", "");
    let gw = builder.config(&config).arg("--enable-all-servers").start().await;
    gw.ready(["far", "fx"]).await;
    let tools = gw.legacy().await.tool_names().await;
    assert!(tools.contains(&"far__echo".to_owned()) && tools.contains(&"fx__echo".to_owned()), "{tools:?}");
    gw.stop().await;
}

#[tokio::test]
async fn one_bad_entry_disables_that_entry() {
    let catalog =
        Catalog::new().entry("bad", json!({"type": "server"})).fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).arg("--enable-all-servers").start().await;
    gw.ready(["fx"]).await;
    let bad = gw.state("bad").await;
    assert!(["refused", "failed"].contains(&bad["state"].as_str().unwrap_or("")), "{bad}");
    assert!(bad["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{bad}");
    gw.stop().await;
}

#[tokio::test]
async fn addresses_of_this_machine_are_for_the_operator_s_own_files() {
    let metadata = Catalog::new().remote("cloud", "http://169.254.169.254/latest", "streamable-http");
    let gw = gateway().catalog(metadata).start().await;
    let state = gw.reaches("cloud", &["refused", "failed"]).await;
    assert!(state["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{state}");
    gw.stop().await;
}

#[tokio::test]
async fn validate_reports_and_its_exit_code_says_whether_all_is_well() {
    let dir = std::env::temp_dir().join(format!("wasmgate-validate-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join("catalog.yaml");
    let write = |text: &str| std::fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("UTF-8");

    write(&Catalog::new().fixture("fx", &["server", "--stdio"]).text());
    let (ended, report) = validate(path).await;
    assert_eq!((ended.status.code(), &report["servers"][0]["status"]), (Some(0), &json!("ok")), "{report}");

    write(
        &Catalog::new().entry("bad", json!({"type": "server"})).fixture("fx", &["server", "--stdio"]).text(),
    );
    let (ended, report) = validate(path).await;
    assert_ne!(ended.status.code(), Some(0), "{report}");
    let bad = report["servers"]
        .as_array()
        .and_then(|s| s.iter().find(|s| s["name"] == "bad"))
        .cloned()
        .unwrap_or_default();
    assert_eq!(bad["status"], "refused", "{report}");

    write("registry: [\n");
    let (ended, report) = validate(path).await;
    assert_ne!(ended.status.code(), Some(0), "{report}");
    assert!(report["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{report}");
    std::fs::remove_dir_all(dir).expect("the directory");
}

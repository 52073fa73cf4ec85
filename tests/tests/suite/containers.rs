//! Servers in containers: the hardened settings, both ways to speak to one, and that none is ever left behind.

use serde_json::{Value, json};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::peers::{call, ok, python_client, text};
use wasmgate_tests::{docker, gateway, peers, require, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_from_scratch_runs_hardened() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-hardened";
    let catalog = Catalog::new().container(name, docker::SCRATCH, &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).start().await.with_container(name);
    gw.ready([name]).await;
    let client = gw.alone(name).await;
    assert_eq!(client.call("echo", json!({"a": 1})).await["structuredContent"], json!({"a": 1}));

    let settings = docker::inspect(&engine, name).await;
    let host = settings.host_config.expect("host settings");
    let config = settings.config.expect("settings");
    assert_eq!(config.user.as_deref(), Some("65532:65532"));
    assert_eq!(config.tty, Some(false));
    assert_eq!(config.open_stdin, Some(true));
    assert_eq!(config.stdin_once, Some(true), "the end of the gateway is the end of its input");
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert!(host.cap_add.unwrap_or_default().is_empty());
    assert_eq!(host.privileged, Some(false));
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.init, Some(true));
    assert_eq!(host.ipc_mode.as_deref(), Some("private"));
    let options = host.security_opt.unwrap_or_default();
    assert!(options.iter().any(|option| option.starts_with("no-new-privileges")), "{options:?}");
    assert!(!options.iter().any(|option| option.contains("unconfined")), "{options:?}");
    assert!(host.memory.is_some_and(|bytes| bytes > 0), "a memory limit");
    assert_eq!(host.memory_swap, host.memory, "no swap beyond it");
    assert!(host.nano_cpus.is_some_and(|cpus| cpus > 0), "a CPU limit");
    assert!(host.pids_limit.is_some_and(|pids| pids > 0), "a limit of processes");
    assert_eq!(host.log_config.and_then(|log| log.typ).as_deref(), Some("none"));
    assert_eq!(
        host.restart_policy
            .and_then(|policy| policy.name)
            .map(|name| name.to_string())
            .unwrap_or_default()
            .as_str(),
        "no"
    );

    let written = client.call("write", json!({"path": "/probe"})).await;
    assert_eq!(written["isError"], true, "the root file system can be written: {written}");
    let written = client.call("write", json!({"path": "/tmp/probe"})).await;
    assert!(written["isError"] != true, "/tmp cannot be written: {written}");
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_and_volumes_come_out_as_the_catalog_says() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-configured";
    let entry = json!({"type": "server", "image": docker::SCRATCH, "pull": "never", "command": ["{{box-configured.mode}}", "--stdio"],
        "env": [{"name": "CITY", "value": "{{box-configured.city}}"}, {"name": "DERIVED", "value": "key=$KEY"}],
        "secrets": [{"name": "box-configured.key", "env": "KEY"}],
        "volumes": ["{{box-configured.paths|volume|into}}"],
        "user": "1234:1234", "disableNetwork": true});
    let builder = gateway();
    let shared = builder.home().join("shared");
    std::fs::create_dir(&shared).expect("a directory");
    let shared = shared.to_str().expect("UTF-8").to_owned();
    let values = json!({name: {"mode": "server", "city": "Zürich; --privileged", "paths": [shared]}});
    let values = builder.file("config.yaml", &values.to_string());
    let secrets = builder.file("secrets.env", "box-configured.key=s3cr3t-of-the-box\n");
    let gw = builder
        .catalog(Catalog::new().entry(name, entry))
        .arg("--server-config")
        .arg(values)
        .arg("--secrets")
        .arg(secrets)
        // The tool answers with its secret, which would not get out otherwise.
        .arg("--block-secrets=false")
        .start()
        .await
        .with_container(name);
    gw.ready([name]).await;
    let client = gw.alone(name).await;
    let seen = client.call("env", json!({})).await["structuredContent"].clone();
    assert_eq!(seen["CITY"], "Zürich; --privileged", "a value is never more than a value");
    assert_eq!(
        (&seen["KEY"], &seen["DERIVED"]),
        (&json!("s3cr3t-of-the-box"), &json!("key=s3cr3t-of-the-box"))
    );
    let settings = docker::inspect(&engine, name).await;
    assert_eq!(settings.config.as_ref().and_then(|c| c.user.as_deref()), Some("1234:1234"));
    let host = settings.host_config.expect("host settings");
    assert_eq!(host.network_mode.as_deref(), Some("none"));
    let written = client.call("write", json!({"path": format!("{shared}/probe")})).await;
    assert_eq!(written["isError"], true, "a bind is read-only unless it may be written: {written}");
    let ended = gw.stop().await;
    assert!(!ended.stderr.contains("s3cr3t-of-the-box"), "a secret was logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_serves_http_is_reached() {
    require!(docker::scratch().await);
    let http = json!({"type": "server", "image": docker::SCRATCH, "pull": "never", "command": ["server", "--http", "0.0.0.0:8080"],
        "transport": "streamable-http", "port": 8080, "path": "/mcp"});
    let sse = json!({"type": "server", "image": docker::SCRATCH, "pull": "never", "command": ["raw", "--sse", "0.0.0.0:8081"],
        "transport": "sse", "port": 8081, "path": "/sse"});
    let gw = gateway()
        .catalog(Catalog::new().entry("box-http", http).entry("box-sse", sse))
        .servers(["box-http", "box-sse"])
        .start()
        .await
        .with_container("box-http")
        .with_container("box-sse");
    gw.ready(["box-http", "box-sse"]).await;
    let client = gw.legacy().await;
    assert_eq!(client.call("box-http__echo", json!({"a": 1})).await["structuredContent"], json!({"a": 1}));
    assert_eq!(client.call("box-sse__verbatim", json!({"a": 1})).await["structuredContent"], json!({"a": 1}));
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_server_in_a_container() {
    require!(docker::everything().await);
    require!(peers::python().await);
    let name = "box-everything";
    let mut entry = json!({"type": "server", "image": docker::EVERYTHING, "pull": "never"});
    entry["disableNetwork"] = json!(true);
    let gw = gateway().catalog(Catalog::new().entry(name, entry)).start().await.with_container(name);
    gw.ready([name]).await;
    for mode in ["legacy", "auto"] {
        let url = gw.url(&format!("/servers/{name}/mcp"));
        let target =
            json!({"kind": "streamable", "mode": mode, "url": url, "token": wasmgate_tests::gateway::TOKEN});
        let outcomes = python_client(
            target,
            json!([{"do": "tools"}, call("echo", json!({"message": "from the box"})), {"do": "prompts"}]),
        )
        .await;
        assert!(ok(&outcomes[0])["tools"].as_array().is_some_and(|tools| tools.len() > 5), "{mode}");
        assert!(text(ok(&outcomes[1])).contains("from the box"), "{mode}");
        assert!(ok(&outcomes[2])["prompts"].as_array().is_some_and(|prompts| !prompts.is_empty()), "{mode}");
    }
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_somebody_kills_comes_back() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-killed";
    let gw = gateway()
        .catalog(Catalog::new().container(name, docker::SCRATCH, &["server", "--stdio"]))
        .start()
        .await
        .with_container(name);
    gw.ready([name]).await;
    let client = gw.alone(name).await;
    let slow = {
        let client = client.clone();
        tokio::spawn(async move { client.call_fails("slow", json!({})).await })
    };
    client.call("wait_started", json!({"count": 1})).await;
    let containers = docker::containers_of(&engine, name).await;
    docker::remove(&engine, containers[0].id.as_deref().expect("an id")).await;
    let failed = wasmgate_tests::soon("the running call's end", slow).await.expect("no panic");
    assert_eq!(failed["data"]["code"], "upstream_crashed", "{failed}");
    let answered = wasmgate_tests::soon("the server's return", async {
        loop {
            let answer =
                client.request("tools/call", json!({"name": "text", "arguments": {"text": "back"}})).await;
            if answer.get("result").is_some() {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    assert_eq!(answered.await["result"]["content"][0]["text"], "back");
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_removes_what_a_killed_gateway_left() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    // A server that does not end with its input, as a badly behaved image would not.
    let name = "box-orphan";
    let catalog = || Catalog::new().container(name, docker::SCRATCH, &["stubborn"]);
    let killed = gateway().catalog(catalog()).start().await;
    killed.ready([name]).await;
    let orphan = docker::containers_of(&engine, name).await[0].id.clone().expect("an id");
    killed.kill().await;
    assert_eq!(docker::containers_of(&engine, name).await.len(), 1, "a killed gateway can remove nothing");

    let next = gateway().catalog(catalog()).start().await.with_container(name);
    next.ready([name]).await;
    soon("the orphan's removal", async {
        let gone =
            |all: Vec<bollard::models::ContainerSummary>| !all.iter().any(|c| c.id.as_ref() == Some(&orphan));
        while !gone(docker::containers_of(&engine, name).await) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    next.stop().await;
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_said_so() {
    require!(docker::there().await);
    let catalog = Catalog::new()
        .container("ghost", "wasmgate-tests/there-is-no-such-image:1", &[])
        .fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["ghost", "fx"]).start().await;
    gw.ready(["fx"]).await;
    let state = gw.reaches("ghost", &["failed"]).await;
    assert!(
        state["reason"].as_str().is_some_and(|reason| reason.contains("there-is-no-such-image")),
        "{state}"
    );
    let client = gw.legacy().await;
    assert_eq!(client.call("fx__text", json!({"text": "fine"})).await["content"][0]["text"], "fine");
    gw.stop().await;
}

#[tokio::test]
async fn without_docker_the_rest_is_served() {
    let catalog = Catalog::new()
        .container("box", "wasmgate-tests/fixture:scratch", &["server", "--stdio"])
        .fixture("fx", &["server", "--stdio"]);
    let gw = gateway()
        .catalog(catalog)
        .servers(["box", "fx"])
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .start()
        .await;
    gw.ready(["fx"]).await;
    let state = gw.reaches("box", &["failed"]).await;
    let reason = state["reason"].as_str().unwrap_or_default().to_lowercase();
    assert!(reason.contains("docker"), "a sentence that names Docker: {state}");
    let client = gw.legacy().await;
    assert_eq!(client.call("fx__text", json!({"text": "fine"})).await["content"][0]["text"], "fine");
    let failed: Value = client.request("tools/call", json!({"name": "box__text", "arguments": {}})).await;
    assert!(failed.get("error").is_some(), "{failed}");
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_can_be_one_container_per_call() {
    require!(docker::scratch().await);
    let tool = |name: &str, code: &str, command: &str| {
        json!({"name": name, "description": "Prints.", "container": {"image": docker::SCRATCH, "command": ["print", code, command]},
            "parameters": {"type": "object", "properties": {"words": {"type": "array", "items": {"type": "string"}}}, "required": ["words"]}})
    };
    let entry = json!({"type": "poci", "disableNetwork": true, "tools": [
        tool("say", "0", "{{words|into}}"), tool("fail", "3", "{{words|into}}"), tool("whole", "0", "{{words}}")]});
    let name = "box-poci";
    let gw = gateway().catalog(Catalog::new().entry(name, entry)).start().await.with_container(name);
    gw.ready([name]).await;
    let client = gw.alone(name).await;
    let listed = client.list("tools/list", "tools").await.0;
    assert_eq!(
        listed[0]["inputSchema"]["properties"]["words"]["type"], "array",
        "the schema keeps its properties"
    );

    let words = json!({"words": ["--flag", "a b; $HOME", "{{words}}"]});
    let said = client.call("say", words.clone()).await;
    assert_eq!(said["content"][0]["text"], "--flag\na b; $HOME\n{{words}}\n");
    assert_eq!(said["isError"], false);
    let failed = client.call("fail", words).await;
    assert_eq!(failed["isError"], true);
    assert_eq!(failed["content"][0], said["content"][0]);
    assert_eq!(failed["content"][1]["text"], "ended with exit code 3: fixture: printed 3");
    let one = client.call("whole", json!({"words": "one two"})).await;
    assert_eq!(one["content"][0]["text"], "one two\n", "a text is one argument");
    let refused = client.call_fails("whole", json!({"words": "--privileged"})).await;
    assert_eq!(refused["code"], -32602, "{refused}");
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_few_containers_ask_for_takes_effect_once_granted() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-granted";
    let entry = json!({"type": "server", "image": docker::SCRATCH, "pull": "never", "command": ["--stdio"],
        "entrypoint": ["/fixture", "server"], "workdir": "/scratch", "tmpfs": ["/scratch"], "shmSize": "32m",
        "network": "host", "capAdd": ["NET_ADMIN"], "writableRoot": true});
    let refused = gateway().catalog(Catalog::new().entry(name, entry.clone())).start().await;
    let state = refused.reaches(name, &["needs-grant"]).await;
    let reason = state["reason"].as_str().unwrap_or_default();
    let grants = r#"servers: {box-granted: {grants: [hostNetwork, "capability:NET_ADMIN"]}}"#;
    assert!(reason.contains(grants), "the reason is what to write: {reason}");
    assert!(docker::containers_of(&engine, name).await.is_empty());
    refused.stop().await;

    let gw = gateway()
        .catalog(Catalog::new().entry(name, entry))
        .config(grants)
        .start()
        .await
        .with_container(name);
    gw.ready([name]).await;
    let client = gw.alone(name).await;
    let written = client.call("write", json!({"path": "probe"})).await;
    assert!(written["isError"] != true, "it starts where it may write: {written}");
    let settings = docker::inspect(&engine, name).await;
    let host = settings.host_config.expect("host settings");
    assert_eq!(host.network_mode.as_deref(), Some("host"));
    let added = host.cap_add.unwrap_or_default();
    assert!(matches!(added.as_slice(), [one] if one.ends_with("NET_ADMIN")), "{added:?}");
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!((host.privileged, host.shm_size), (Some(false), Some(32 << 20)));
    assert!(host.tmpfs.is_some_and(|all| all.contains_key("/scratch") && all.contains_key("/tmp")));
    let config = settings.config.expect("settings");
    assert_eq!(config.entrypoint, Some(vec!["/fixture".to_owned(), "server".to_owned()]));
    assert_eq!(config.working_dir.as_deref(), Some("/scratch"));
    gw.stop().await;
}

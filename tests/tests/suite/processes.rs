//! Servers that are processes of this machine: the SDK's, third parties', and how they end.

use std::process::Command;

use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::peers::{call, ok, python_client, text};
use wasmgate_tests::{Running, gateway, peers, require};

#[tokio::test]
async fn the_rust_sdk_s_client_calls_through() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let config = StreamableHttpClientTransportConfig::with_uri(gw.url("/servers/fx/mcp"))
        .auth_header(wasmgate_tests::gateway::TOKEN);
    let client = ().serve(StreamableHttpClientTransport::from_config(config)).await.expect("a session");

    let tools = client.list_all_tools().await.expect("tools");
    assert_eq!(tools.len(), 17, "all pages of the server's list");
    assert_eq!(tools[0].name, "echo");
    let arguments = json!({"deep": {"list": [1, 2.5, null, "ü"]}});
    let request =
        CallToolRequestParams::new("echo").with_arguments(arguments.as_object().cloned().expect("an object"));
    let echoed = client.call_tool(request).await.expect("a result");
    assert_eq!(echoed.structured_content, Some(arguments));
    let image = client.call_tool(CallToolRequestParams::new("image")).await.expect("a result");
    assert_eq!(image.content[0].as_image().map(|image| image.mime_type.as_str()), Some("image/png"));
    let failed =
        client.call_tool(CallToolRequestParams::new("fail")).await.expect("a result, the server's own");
    assert_eq!(failed.is_error, Some(true));
    client.cancel().await.expect("a polite end");
    gw.stop().await;
}

#[tokio::test]
async fn a_process_gets_a_clean_environment() {
    let mut entry = wasmgate_tests::catalog::fixture(&["server", "--stdio"]);
    entry["env"] = json!([{"name": "GIVEN", "value": "yes"}]);
    let gw = gateway()
        .catalog(Catalog::new().entry("fx", entry))
        .env("CANARY", "must not be inherited")
        .env("AWS_SECRET_ACCESS_KEY", "must not be inherited")
        .start()
        .await;
    gw.ready(["fx"]).await;
    let seen = gw.alone("fx").await.call("env", json!({})).await["structuredContent"].clone();
    assert_eq!(seen["GIVEN"], "yes");
    let allowed = ["GIVEN", "PATH", "HOME", "LANG", "TMPDIR", "PWD", "WASMGATE_OWNER"];
    let names: Vec<&String> = seen.as_object().expect("an object").keys().collect();
    assert!(names.iter().all(|name| allowed.contains(&name.as_str())), "more than it should have: {names:?}");
    gw.stop().await;
}

#[tokio::test]
async fn a_server_that_ignores_everything_is_ended_all_the_same() {
    let gw = gateway().catalog(Catalog::new().fixture("mule", &["stubborn"])).start().await;
    gw.ready(["mule"]).await;
    assert_eq!(gw.processes().len(), 1);
    gw.stop().await;
}

#[tokio::test]
async fn one_process_serves_many_clients() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let (a, b) = (gw.alone("fx").await, gw.alone("fx").await);
    let pids = (a.call("pid", json!({})).await, b.call("pid", json!({})).await);
    assert_eq!(pids.0, pids.1, "one instance for one principal");
    assert_eq!(gw.processes().len(), 1, "{:?}", gw.processes());
    gw.stop().await;
}

/// The time, git, fetch and everything servers behind one gateway.
async fn third_parties() -> (Running, String) {
    let bin = peers::python().await.expect("checked");
    let bin = |name: &str| bin.join(name).to_str().expect("UTF-8").to_owned();
    let everything =
        peers::node().await.expect("checked").join("@modelcontextprotocol/server-everything/dist/index.js");
    let builder = gateway();
    let repository = builder.home().join("repository");
    let script =
        "git init -q . && git -c user.name=t -c user.email=t@t commit -q --allow-empty -m 'the first commit'";
    std::fs::create_dir(&repository).expect("a directory");
    let made = Command::new("sh").args(["-c", script]).current_dir(&repository).status().expect("git runs");
    assert!(made.success());
    let repository = repository.to_str().expect("UTF-8").to_owned();
    let catalog = Catalog::new()
        .process("time", &[&bin("mcp-server-time")])
        .process("git", &[&bin("mcp-server-git"), "--repository", &repository])
        .process("fetch", &[&bin("mcp-server-fetch"), "--ignore-robots-txt", "--allow-private-ips"])
        .process("everything", &["node", everything.to_str().expect("UTF-8")]);
    let gw = builder.catalog(catalog).arg("--enable-all-servers").start().await;
    gw.ready(["time", "git", "fetch", "everything"]).await;
    (gw, repository)
}

#[tokio::test]
async fn third_party_servers_work_through_the_python_client() {
    require!(peers::python().await);
    require!(peers::node().await);
    let (gw, repository) = third_parties().await;
    for mode in ["legacy", "2026-07-28", "auto"] {
        let target = json!({"kind": "streamable", "mode": mode, "url": gw.url("/mcp"), "token": wasmgate_tests::gateway::TOKEN});
        let steps = json!([
            {"do": "server"},
            {"do": "tools"},
            call("time__convert_time", json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"})),
            call("git__git_log", json!({"repo_path": repository})),
            call("fetch__fetch", json!({"url": gw.url("/health"), "raw": true})),
            call("everything__echo", json!({"message": "hello"})),
            {"do": "prompts"},
            {"do": "resources"},
        ]);
        let outcomes = python_client(target, steps).await;
        let tools = ok(&outcomes[1])["tools"].as_array().expect("tools").clone();
        let of = |server: &str| {
            tools.iter().filter(|t| t["name"].as_str().is_some_and(|n| n.starts_with(server))).count()
        };
        assert!(
            of("time__") == 2 && of("git__") > 5 && of("fetch__") == 1 && of("everything__") > 5,
            "{mode}: {tools:?}"
        );
        assert!(text(ok(&outcomes[2])).contains("21:00"), "{mode}: {}", outcomes[2]);
        assert!(outcomes[3].to_string().contains("the first commit"), "{mode}: {}", outcomes[3]);
        assert!(ok(&outcomes[4])["isError"] != true, "{mode}: {}", outcomes[4]);
        assert!(text(ok(&outcomes[5])).contains("hello"), "{mode}: {}", outcomes[5]);
        assert!(!ok(&outcomes[6])["prompts"].as_array().expect("prompts").is_empty());
        assert!(!ok(&outcomes[7])["resources"].as_array().expect("resources").is_empty());
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_third_party_server_streams_progress() {
    require!(peers::node().await);
    let everything =
        peers::node().await.expect("checked").join("@modelcontextprotocol/server-everything/dist/index.js");
    let gw = gateway()
        .catalog(Catalog::new().process("everything", &["node", everything.to_str().expect("UTF-8")]))
        .start()
        .await;
    gw.ready(["everything"]).await;
    let client = gw.alone("everything").await;
    let tools = client.tool_names().await;
    let long = tools.iter().find(|name| name.contains("long-running")).unwrap_or_else(|| panic!("{tools:?}"));
    let params =
        json!({"name": long, "arguments": {"duration": 0.2, "steps": 4}, "_meta": {"progressToken": 7}});
    let messages = client.messages("tools/call", params).await;
    let steps: Vec<&Value> = messages.iter().filter(|m| m["method"] == "notifications/progress").collect();
    assert_eq!(steps.len(), 4, "{messages:?}");
    assert!(
        steps.iter().all(|step| step["params"]["progressToken"] == 7),
        "the client's own token comes back: {steps:?}"
    );
    gw.stop().await;
}

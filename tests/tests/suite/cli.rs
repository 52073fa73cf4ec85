//! The subcommands that look at servers and tools, against a catalog and against a gateway that runs.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::gateway::{TOKEN, wasmgate};
use wasmgate_tests::{gateway, mcp};

/// The JSON a subcommand prints when all is well.
async fn json_of(arguments: &[&str], env: &[(&str, &str)]) -> Value {
    let ended = wasmgate(arguments, env).await;
    assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|e| panic!("{arguments:?}: not JSON ({e}): {}", ended.stdout))
}

#[tokio::test]
async fn tools_of_a_catalog() {
    let builder = gateway();
    let path = builder.file("catalog.yaml", &good("fx").text());
    let list = json_of(&["tools", "ls", "--catalog", &path, "--servers", "fx", "--json"], &[]).await;
    assert!(list.to_string().contains("\"echo\"") || list.to_string().contains("fx__echo"), "{list}");
    let called = json_of(
        &[
            "tools",
            "call",
            "--catalog",
            &path,
            "--servers",
            "fx",
            "--json",
            "text",
            r#"{"text":"from the shell"}"#,
        ],
        &[],
    )
    .await;
    assert!(called.to_string().contains("from the shell"), "{called}");
    let inspected =
        json_of(&["tools", "inspect", "--catalog", &path, "--servers", "fx", "--json", "text"], &[]).await;
    assert!(inspected.to_string().contains("The text tool"), "{inspected}");
    let unknown = wasmgate(&["tools", "call", "--catalog", &path, "--servers", "fx", "nope"], &[]).await;
    assert_eq!(unknown.status.code(), Some(1), "{}", unknown.stderr);
    let wrong =
        wasmgate(&["tools", "call", "--catalog", &path, "--servers", "fx", "text", "{not json"], &[]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", wrong.stderr);
    std::fs::remove_dir_all(builder.home()).expect("the directory");
}

#[tokio::test]
async fn servers_and_tools_of_a_running_gateway() {
    let catalog = Catalog::new().fixture("fx", &["server", "--stdio"]).fixture("brief", &["exit", "3"]);
    let gw = gateway().catalog(catalog).servers(["fx", "brief"]).start().await;
    gw.ready(["fx"]).await;
    gw.reaches("brief", &["failed"]).await;
    let url = gw.url("/mcp");
    let env = [("WASMGATE_AUTH_TOKEN", TOKEN)];
    let servers = json_of(&["server", "ls", "--url", &url, "--json"], &env).await;
    let text = servers.to_string();
    assert!(
        text.contains("\"fx\"") && text.contains("\"ready\"") && text.contains("\"failed\""),
        "{servers}"
    );
    let tools = json_of(&["tools", "ls", "--url", &url, "--json"], &env).await;
    assert!(tools.to_string().contains("fx__echo"), "{tools}");
    let called = json_of(&["tools", "call", "--url", &url, "--json", "fx__echo", r#"{"n":1}"#], &env).await;
    assert!(called.to_string().contains(r#""structuredContent":{"n":1}"#), "{called}");
    let refused =
        wasmgate(&["tools", "ls", "--url", &url, "--json"], &[("WASMGATE_AUTH_TOKEN", "wrong")]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    gw.stop().await;
}

#[tokio::test]
async fn help_and_version_are_answers() {
    for (arguments, says) in
        [(vec!["--help"], "run"), (vec!["run", "--help"], "--catalog"), (vec!["--version"], "wasmgate")]
    {
        let ended = wasmgate(&arguments, &[]).await;
        assert_eq!(ended.status.code(), Some(0));
        assert!(ended.stdout.contains(says) && ended.stderr.is_empty(), "{arguments:?}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn logs_off_a_terminal_are_json_with_request_ids() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.legacy().await;
    let failed = client.call_fails("nope", json!({})).await;
    let request =
        failed["data"]["requestId"].as_str().unwrap_or_else(|| panic!("no request id: {failed}")).to_owned();
    client.call("text", json!({"text": "x"})).await;
    let ended = gw.stop().await;
    let lines: Vec<Value> =
        ended.stderr.lines().filter(|line| line.starts_with('{')).map(mcp::parsed).collect();
    assert!(!lines.is_empty(), "no JSON on stderr:\n{}", ended.stderr);
    assert!(
        lines.iter().any(|line| line.to_string().contains(&request)),
        "the log does not know {request}:\n{}",
        ended.stderr
    );
}

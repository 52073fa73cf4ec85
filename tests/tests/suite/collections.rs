//! Catalogs as things of their own: made of servers of several sources, published and read back, chosen as profiles, taken over
//! from Docker and from clients; and a running gateway whose registry goes away.

use rustix::process::Signal;
use serde_json::{Value, json};
use wasmgate_tests::catalog::fixture;
use wasmgate_tests::home::Home;
use wasmgate_tests::official::{self, entry};
use wasmgate_tests::{build, gateway, process, registry, require, soon};

/// A server of the official registry that is a remote.
fn remote(name: &str) -> Value {
    json!({"name": name, "description": "d", "version": "1.0.0",
        "remotes": [{"type": "streamable-http", "url": "https://mcp.example.com/mcp"}]})
}

#[tokio::test]
async fn a_catalog_of_several_sources_is_published_and_read_back() {
    require!(registry::there());
    let (oci, official) =
        (registry::registry().await, official::registry(vec![entry(remote("com.example/one"))]).await);
    let home = Home::new();
    let file = home.file("mine.yaml", "registry:\n  time: {image: acme/time:1, title: Time}\n  other: {image: acme/other:1}\n  here: {process: {command: [x]}}\n");
    let target = oci.reference("acme/tools:1");
    let arguments = [
        "catalog",
        "create",
        &target,
        "--title",
        "Tools",
        "--from",
        &file,
        "--from",
        &official.url("/v0.1/servers"),
        "--exclude",
        "other",
        "--push",
    ];
    let pinned = home.line(&arguments).await;
    assert_eq!(home.line(&arguments).await, pinned, "the same servers are the same artifact");
    let said = home.run(&arguments).await.stderr;
    assert!(said.contains("left out: `here`") && said.contains("2 servers"), "{said}");

    let elsewhere = Home::new();
    let shown = elsewhere.json(&["catalog", "show", &format!("oci://{target}"), "--json"]).await;
    let names: Vec<&String> = shown["servers"].as_object().expect("servers").keys().collect();
    assert_eq!(names, ["com-example-one", "time"]);
    let out = elsewhere.path().join("out.json");
    let out = out.to_str().expect("UTF-8");
    elsewhere.line(&["catalog", "pull", &target, "-o", out]).await;
    let again =
        elsewhere.line(&["catalog", "push", out, &oci.reference("acme/tools:2"), "--title", "Tools"]).await;
    assert_eq!(
        again.split_once('@').map(|(_, digest)| digest),
        pinned.split_once('@').map(|(_, digest)| digest),
        "nothing was lost"
    );
    let listed = elsewhere.json(&["catalog", "ls", "--json"]).await;
    assert!(listed.to_string().contains("\"catalog\""), "{listed}");

    // What Docker's reader insists on (its `catalog pull` refuses the whole catalog otherwise).
    let text = std::fs::read_to_string(out).expect("written");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["title"], "Tools");
    for item in document["servers"].as_array().expect("servers") {
        let server = &item["snapshot"]["server"];
        match item["type"].as_str() {
            Some("image") => assert_eq!(item["image"], server["image"]),
            Some("remote") => assert_eq!(item["endpoint"], server["remote"]["url"]),
            other => panic!("{other:?}"),
        }
        assert!(matches!(server["type"].as_str(), Some("server" | "remote" | "poci")), "{server}");
    }
}

#[tokio::test]
async fn a_name_that_no_catalog_has_is_not_left_out_silently() {
    let home = Home::new();
    let file = home.file("mine.yaml", "registry: {time: {image: acme/time:1}}\n");
    let (code, said) =
        home.complaint(&["catalog", "create", "out.yaml", "--from", &file, "--server", "tiem"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("did you mean `time`?"), "{said}");
    let (code, said) = home.complaint(&["catalog", "create", "acme/x:1", "--from", "./absent.yaml"]).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("./absent.yaml cannot be read: No such file"),
        "a path is no name of a server: {said}"
    );
    let (code, said) = home.complaint(&["server", "import", "absent.json"]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("absent.json cannot be read"), "{said}");
    let (code, _) = home.complaint(&["catalog", "create", "out.yaml", "--from", &file, "--push"]).await;
    assert_eq!(code, Some(2), "a file is not pushed");
}

#[tokio::test]
async fn a_profile_runs_its_servers_and_no_others() {
    let servers = |names: &[&str]| {
        let one = |name: &&str| format!("  {name}: {}\n", fixture(&["server", "--stdio"]));
        format!("registry:\n{}", names.iter().map(one).collect::<String>())
    };
    let config = "enable: all\nprofiles: {one: {servers: [b], tools: ['b__echo']}, none: {servers: [zzz]}}\n";
    let running =
        gateway().catalog(servers(&["a", "b", "c"])).config(config).arg("--profile").arg("one").start().await;
    running.ready(["b"]).await;
    let states = running.states().await;
    assert_eq!(states["servers"].as_array().map(Vec::len), Some(1), "{states}");
    let tools = running.legacy().await.tool_names().await;
    assert!(tools.len() == 1 && tools[0].ends_with("echo"), "{tools:?}");
    running.stop().await;
    let ended =
        gateway().catalog(servers(&["a"])).config(config).arg("--profile").arg("on").run_to_end().await;
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("did you mean `one`?"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_folder_of_docker_s_says_what_ran() {
    let home = Home::new();
    home.file(".docker/mcp/registry.yaml", "registry:\n  files: {ref: ''}\n");
    home.file(".docker/mcp/config.yaml", "files: {paths: [/tmp]}\n");
    home.file(".docker/mcp/tools.yaml", "files: [read]\n");
    home.file(
        ".docker/mcp/catalogs/docker-mcp.yaml",
        "registry:\n  files: {image: mcp/files, command: ['{{files.paths|into}}'], config: [{name: files, type: object, properties: {paths: {type: array, items: {type: string}}}, required: [paths]}]}\n  time: {image: mcp/time}\n",
    );
    let report = home.json(&["validate", "--catalog", "~/.docker/mcp", "--json"]).await;
    let files =
        report["servers"].as_array().expect("servers").iter().find(|server| server["name"] == "files");
    assert_eq!(files.map(|server| &server["status"]), Some(&json!("ok")), "its values came along: {report}");
    assert_eq!(report["errors"], json!([]));
}

#[tokio::test]
async fn a_client_s_own_configuration_is_a_catalog() {
    let program: Value = fixture(&["server", "--stdio"]);
    let command = program["process"]["command"].as_array().expect("a command").clone();
    let client = json!({"mcpServers": {"mine": {"command": command[0], "args": command[1..], "env": {"A": "1"}},
        "far": {"url": "https://mcp.example.com/mcp"}}});
    let gate = gateway();
    let path = gate.file("mcp.json", &client.to_string());
    let running = gate.catalog_at(path).servers(["mine"]).start().await;
    running.ready(["mine"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_reload_without_the_registry_keeps_what_runs() {
    let official = official::registry(vec![entry(remote("com.example/one"))]).await;
    let program = build::fixture();
    let config = |more: &str| {
        let url = official.url("/v0.1/servers");
        let process = program.display();
        format!("catalogs: ['{url}']\nservers:\n  good: {{process: [{process}, server, --stdio]}}\n{more}")
    };
    let running = gateway().config(&config("")).start().await;
    running.ready(["good"]).await;
    let asked = official.entries.asked().len();
    official.entries.fail(Some((503, "{}")));
    let renewed = async |what: &str, change: &dyn Fn()| {
        let before = running.states().await["config"]["since"].take();
        change();
        soon(what, async {
            while running.states().await["config"]["since"] == before {
                tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            }
        })
        .await;
        assert_eq!(running.states().await["config"]["state"], "current", "{what}");
        running.ready(["good"]).await;
    };
    let path = running.home().join("wasmgate.yaml");
    renewed("a change of the file", &|| std::fs::write(&path, config("pageSize: 7\n")).expect("written"))
        .await;
    assert_eq!(official.entries.asked().len(), asked, "what is here is not asked for again");
    renewed("a signal", &|| process::signal(running.pid, Signal::HUP)).await;
    assert!(official.entries.asked().len() > asked, "a signal asks for everything");
    running.stop().await;
}

//! `server import`: servers of the official registry as artifacts. The same server is the same digest, and what was imported
//! runs.

use serde_json::{Value, json};
use wasmgate_tests::home::Home;
use wasmgate_tests::official::{self, META, entry, registry};
use wasmgate_tests::{docker, gateway, remote, require};

/// The digest of [`weather`] imported, for ever. When this changes, every reference that anybody holds is broken.
const DIGEST: &str = "sha256:87cd24c0bf7a228b5c8e93ca00e150b8765ce1e1dd2acb604f5995c5080a026b";

/// A server that uses what a server.json can say.
fn weather() -> Value {
    json!({
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": "io.github.acme/weather",
        "title": "Weather",
        "description": "Forecasts & <warnings>",
        "version": "1.2.0",
        "repository": {"url": "https://github.com/acme/weather", "source": "github"},
        "websiteUrl": "https://acme.example/weather",
        "packages": [{
            "registryType": "oci",
            "identifier": "docker.io/acme/weather:1.2.0",
            "transport": {"type": "stdio"},
            "runtimeArguments": [
                {"type": "named", "name": "--mount", "value": "type=bind,src={maps},dst=/maps,readonly",
                 "variables": {"maps": {"format": "filepath", "isRequired": true, "description": "Directory of maps"}}}
            ],
            "packageArguments": [
                {"type": "positional", "value": "serve"},
                {"type": "named", "name": "--region", "choices": ["eu", "us"], "default": "eu", "description": "Region"},
                {"type": "named", "name": "--station", "isRepeated": true, "description": "Stations"}
            ],
            "environmentVariables": [
                {"name": "API_KEY", "isSecret": true, "isRequired": true, "description": "Key of the service"},
                {"name": "UNITS", "value": "metric"},
                {"name": "CACHE_SECONDS", "format": "number", "default": "60"}
            ]
        }]
    })
}

/// The same value with the members of all its objects in another order.
fn reordered(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.iter().rev().map(|(name, member)| (name.clone(), reordered(member))).collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(reordered).collect()),
        other => other.clone(),
    }
}

#[tokio::test]
async fn one_line_with_one_digest_however_it_is_asked_for() {
    let registry = registry(vec![entry(weather())]).await;
    let home = Home::new();
    let line = home.line(&["server", "import", &registry.latest("io.github.acme/weather")]).await;
    assert_eq!(line, format!("wasmgate.local/io-github-acme-weather:1.2.0@{DIGEST}"));

    let config = home.file(
        "wasmgate.yaml",
        &format!(
            "plugins: {{official-registry: {{use: builtin, config: {{baseUrl: '{0}'}}, grants: {{http: ['{0}']}}}}}}\n",
            registry.url("")
        ),
    );
    let spellings = [
        registry.url("/v0/servers/io.github.acme%2Fweather/versions/latest"),
        registry.url("/v0.1/servers/io.github.acme%2fweather/versions/1.2.0"),
        registry.url("/v0.1/servers/io.github.acme%2Fweather"),
        registry.url("/v0.1/servers/io.github.acme%2Fweather/versions"),
        "registry://io.github.acme/weather".to_owned(),
        "registry://io.github.acme/weather@1.2.0".to_owned(),
        "io.github.acme/weather".to_owned(),
        "io.github.acme/weather@1.2.0".to_owned(),
        "io.github.acme/weather@latest".to_owned(),
    ];
    for spelling in &spellings {
        let again = Home::new().line(&["server", "import", spelling, "--config", &config]).await;
        assert_eq!(again, line, "{spelling}");
    }
    let document = home.file("server.json", &weather().to_string());
    assert_eq!(home.line(&["server", "import", &document]).await, line, "its own file");

    // Dates, the order of members, what the registry says about it: none of it is the server.
    let mut later = entry(reordered(&weather()));
    later["_meta"][META]["publishedAt"] = json!("2027-01-01T00:00:00Z");
    later["_meta"][META]["updatedAt"] = json!("2027-01-01T00:00:00Z");
    later["server"]["_meta"] = json!({"io.modelcontextprotocol.registry/publisher-provided": {"build": 17}});
    registry.entries.set(vec![later]);
    assert_eq!(
        Home::new().line(&["server", "import", &registry.latest("io.github.acme/weather")]).await,
        line
    );
    let mut other = weather();
    other["packages"][0]["environmentVariables"][1]["value"] = json!("imperial");
    registry.entries.set(vec![entry(other)]);
    assert_ne!(
        Home::new().line(&["server", "import", &registry.latest("io.github.acme/weather")]).await,
        line
    );
}

#[tokio::test]
async fn nothing_of_a_server_is_dropped() {
    let registry = registry(vec![entry(weather())]).await;
    let home = Home::new();
    let url = registry.latest("io.github.acme/weather");
    let imported = home.json(&["server", "import", &url, "--json"]).await;
    let server = &imported["server"];
    let shown = server.to_string();
    for said in [
        "maps",
        "Directory of maps",
        "serve",
        "--region",
        "\"enum\":[\"eu\",\"us\"]",
        "Region",
        "--station",
        "Stations",
        "API_KEY",
        "Key of the service",
        "UNITS",
        "metric",
        "CACHE_SECONDS",
        "60",
        "Forecasts & <warnings>",
    ] {
        assert!(shown.contains(said), "`{said}` is in {server:#}");
    }
    // The missing values are asked for by name, with what they are.
    let reference = imported["reference"].as_str().expect("a reference");
    let report = home.run(&["validate", "--oci-ref", reference, "--json"]).await;
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    assert_eq!(report["servers"][0]["status"], "needs-config", "{report}");
    assert!(
        report["servers"][0]["reason"]
            .as_str()
            .expect("words")
            .contains("config.io-github-acme-weather.maps"),
        "{report}"
    );
}

#[tokio::test]
async fn what_cannot_be_imported_says_why_on_stderr_alone() {
    let mut deleted = entry(weather());
    deleted["_meta"][META]["status"] = json!("deleted");
    let mut bundle = weather();
    bundle["name"] = json!("io.github.acme/bundle");
    bundle["packages"] = json!([{"registryType": "mcpb", "identifier": "https://github.com/acme/x/releases/download/1/x.mcpb",
        "fileSha256": "0".repeat(64), "transport": {"type": "stdio"}}]);
    let registry = registry(vec![deleted, entry(bundle)]).await;
    let home = Home::new();
    let complaint = async |reference: &str, code: i32, words: &[&str]| {
        let (found, said) = home.complaint(&["server", "import", reference]).await;
        assert_eq!(found, Some(code), "{reference}: {said}");
        for word in words {
            assert!(said.contains(word), "{reference}: `{word}` is in {said}");
        }
    };
    complaint(&registry.latest("io.github.acme/weather"), 1, &["deleted"]).await;
    complaint(&registry.latest("io.github.acme/bundle"), 1, &["mcpb"]).await;
    complaint(&registry.latest("io.github.acme/none"), 1, &["not there"]).await;
    complaint(&registry.url("/v0/servers/312e45a4-2216-4b21-b9a8-0f1a51425073"), 1, &["name"]).await;
    complaint("gopher://x", 1, &["catalog source"]).await;
    registry.entries.fail(Some((200, "<html>")));
    complaint(&registry.latest("io.github.acme/bundle"), 1, &["JSON"]).await;
    registry.entries.fail(Some((503, "{}")));
    complaint(&registry.latest("io.github.acme/bundle"), 1, &["busy"]).await;
    complaint("http://192.0.2.1/v0.1/servers/a.b%2Fc/versions/latest", 1, &["could not be fetched"]).await;
    let (code, said) = home.complaint(&["server", "import", "a.b/c", "--push"]).await;
    assert_eq!(code, Some(2), "{said}");
}

#[tokio::test]
async fn what_was_imported_runs_by_its_reference() {
    require!(docker::scratch().await);
    let image = docker::scratch().await.expect("checked");
    let mut server = weather();
    server["packages"] = json!([{"registryType": "oci", "identifier": format!("docker.io/{image}"), "transport": {"type": "stdio"},
        "packageArguments": [{"type": "positional", "value": "server"}, {"type": "positional", "value": "--stdio"}]}]);
    let registry = registry(vec![entry(server)]).await;
    let home = Home::new();
    let reference = home.line(&["server", "import", &registry.latest("io.github.acme/weather")]).await;
    drop(registry);
    let data = home.path().join(".local/share");
    let running = gateway()
        .arg("--oci-ref")
        .arg(&reference)
        .env("XDG_DATA_HOME", data.to_str().expect("UTF-8"))
        .start()
        .await;
    running.ready(["io-github-acme-weather"]).await;
    assert!(!running.legacy().await.tool_names().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_pushed_server_runs_anywhere() {
    require!(wasmgate_tests::registry::there());
    let (official, oci) =
        (registry(vec![entry(weather())]).await, wasmgate_tests::registry::registry().await);
    let (home, elsewhere) = (Home::new(), Home::new());
    let target = oci.reference("acme/weather:1.2.0");
    let pushed =
        home.line(&["server", "import", &official.latest("io.github.acme/weather"), &target, "--push"]).await;
    assert_eq!(pushed, format!("{}@{DIGEST}", oci.reference("acme/weather")));
    for reference in [&pushed, &target] {
        let report = elsewhere.run(&["validate", "--oci-ref", reference, "--json"]).await;
        assert!(report.stdout.contains("io-github-acme-weather"), "{}{}", report.stdout, report.stderr);
    }
    let absent = elsewhere.run(&["validate", "--oci-ref", &oci.reference("acme/absent:1")]).await;
    assert_eq!(absent.status.code(), Some(2));
    assert!(absent.stderr.contains("is not in its registry"), "{}", absent.stderr);
}

#[tokio::test]
async fn every_real_entry_is_a_server_or_has_a_reason() {
    require!(official::dump());
    let entries = official::real_entries();
    let names: std::collections::BTreeSet<String> = entries
        .iter()
        .filter(|entry| entry["_meta"][META]["isLatest"] == true)
        .filter_map(|entry| entry["server"]["name"].as_str().map(str::to_owned))
        .collect();
    assert!(names.len() > 100, "the dump has servers");
    let registry = registry(entries).await;
    let home = Home::new();
    let catalog = home.json(&["catalog", "show", &registry.url("/v0.1/servers"), "--json"]).await;
    let (servers, refused) =
        (catalog["servers"].as_object().expect("servers"), catalog["refused"].as_object().expect("refused"));
    assert_eq!(servers.len() + refused.len(), names.len(), "each of them once");
    assert!(servers.len() > refused.len(), "most of them can be run");
    for (name, reason) in refused {
        assert!(reason.as_str().is_some_and(|reason| reason.len() > 15), "{name}: {reason}");
    }
    let pages = registry.entries.asked().len();
    assert!(pages > 1, "in {pages} pages");
}

#[tokio::test]
async fn a_registry_that_is_away_is_taken_at_its_last_word() {
    let remote = |name: &str| {
        json!({"name": name, "description": "d", "version": "1.0.0",
            "remotes": [{"type": "streamable-http", "url": "https://mcp.example.com/mcp"}]})
    };
    let registry = registry(vec![entry(remote("com.example/one"))]).await;
    let home = Home::new();
    let url = registry.url("/v0.1/servers");
    let names = async || -> Vec<String> {
        let report = home.run(&["validate", "--catalog", &url, "--json"]).await;
        let report: Value = serde_json::from_str(&report.stdout)
            .unwrap_or_else(|_| panic!("{}{}", report.stdout, report.stderr));
        let servers = report["servers"].as_array().expect("servers").iter();
        servers.map(|server| server["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names().await, ["com-example-one"]);
    registry.entries.set(vec![entry(remote("com.example/one")), {
        let mut two = entry(remote("com.example/two"));
        two["_meta"][META]["updatedAt"] = json!("2199-01-01T00:00:00Z");
        two
    }]);
    assert_eq!(names().await, ["com-example-one", "com-example-two"], "what is new comes");
    let asked = registry.entries.asked();
    assert!(
        asked.iter().any(|path| path.contains("updated_since=")),
        "only what changed is asked for: {asked:?}"
    );
    registry.entries.fail(Some((503, "{}")));
    assert_eq!(names().await, ["com-example-one", "com-example-two"], "and stays while the registry is away");
    registry.entries.fail(Some((200, "<html>")));
    assert_eq!(names().await, ["com-example-one", "com-example-two"], "nonsense takes the place of nothing");
    registry.entries.fail(Some((404, "{}")));
    let gone = home.run(&["validate", "--catalog", &url]).await;
    assert_eq!(gone.status.code(), Some(2), "a registry that says no is believed: {}", gone.stdout);
}

#[tokio::test]
async fn an_error_page_does_not_take_the_place_of_a_catalog() {
    let good = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let now = std::sync::Arc::clone(&good);
    let address = remote::service(move |_, _| match now.load(std::sync::atomic::Ordering::SeqCst) {
        true => (200, "registry: {time: {image: acme/time:1}}".to_owned()),
        false => (200, "<html>try again later</html>".to_owned()),
    })
    .await;
    let (url, home) = (format!("http://{address}/catalog.yaml"), Home::new());
    let validate = ["validate", "--catalog", &url, "--json"];
    assert_eq!(home.json(&validate).await["servers"][0]["name"], "time");
    good.store(false, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(home.json(&validate).await["servers"][0]["name"], "time", "the last good one");
    }
    let elsewhere = Home::new().run(&validate).await;
    assert_eq!(elsewhere.status.code(), Some(2), "who never had one has none: {}", elsewhere.stdout);
}

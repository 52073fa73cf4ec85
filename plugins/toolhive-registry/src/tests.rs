//! Both forms of a registry, and what ToolHive says beside a server.

use expect_test::{Expect, expect};
use serde_json::json;
use wasmgate_plugin::http::{Response, answer_with};

use super::*;

fn source() -> ToolhiveRegistry {
    ToolhiveRegistry::configure(Config::new("{}")).map_err(|problems| format!("{problems:?}")).unwrap()
}

fn serve(status: u16, body: &str) {
    let body = body.as_bytes().to_vec();
    let headers = vec![("etag".to_owned(), "\"v1\"".to_owned())];
    answer_with(move |_| Ok(Response { status, headers: headers.clone(), body: body.clone() }));
}

fn shown(page: Result<Page, Failure>) -> String {
    let page = match page {
        Ok(page) => page,
        Err(failure) => return format!("{failure}\n"),
    };
    let mut out = String::new();
    for server in page.servers {
        out.push_str(&format!("{} {}\n", server.name, server.provenance));
        let document: Json = serde_json::from_str(&server.document).unwrap();
        for (key, value) in document.as_object().unwrap() {
            if !matches!(key.as_str(), "name" | "metadata" | "type" | "description") {
                out.push_str(&format!("  {key}: {value}\n"));
            }
        }
        server.notes.iter().for_each(|note| out.push_str(&format!("  note: {note}\n")));
    }
    page.refused
        .iter()
        .for_each(|refused| out.push_str(&format!("refused {}: {}\n", refused.name, refused.reason)));
    page.next.iter().for_each(|next| out.push_str(&format!("next {next}\n")));
    out
}

#[track_caller]
fn check(registry: Json, expected: &Expect) {
    serve(200, &registry.to_string());
    expected.assert_eq(&shown(source().fetch(&Request::new("toolhive://"))));
}

fn image(more: Json) -> Json {
    let mut entry = json!({ "description": "An image.", "image": "ghcr.io/acme/x:1", "status": "Active", "tier": "Community",
        "tools": ["a"], "transport": "stdio", "metadata": { "stars": 5, "last_updated": "2026-01-01T00:00:00Z" } });
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    json!({ "version": "1.0.0", "last_updated": "2026-01-01T00:00:00Z", "servers": { "x": entry } })
}

#[test]
fn images() {
    check(
        image(json!({ "args": ["serve", "--json={}"], "env_vars": [
            { "name": "A", "description": "An A.", "required": true },
            { "name": "B", "description": "A key.", "required": false, "secret": true },
            { "name": "C", "description": "A C.", "required": false, "default": "c" },
        ] })),
        &expect![[r#"
            x https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#x
              command: ["serve","--json={{'{'}}{{'}'}}"]
              config: [{"description":"Values for x","name":"x","properties":{"A":{"description":"An A.","type":"string"},"C":{"default":"c","description":"A C.","type":"string"}},"required":["A"],"type":"object"}]
              env: [{"name":"A","value":"{{x.A}}"},{"name":"C","value":"{{x.C}}"},{"name":"MCP_TRANSPORT","value":"stdio"}]
              image: "ghcr.io/acme/x:1"
              secrets: [{"description":"A key.","env":"B","name":"x.B","required":false}]
        "#]],
    );
}

#[test]
fn images_over_http() {
    check(
        image(json!({ "transport": "streamable-http", "target_port": 8931 })),
        &expect![[r#"
        x https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#x
          env: [{"name":"MCP_TRANSPORT","value":"streamable-http"},{"name":"MCP_PORT","value":"8931"},{"name":"FASTMCP_PORT","value":"8931"}]
          image: "ghcr.io/acme/x:1"
          path: "/mcp"
          port: 8931
          transport: "streamable-http"
    "#]],
    );
    check(
        image(json!({ "transport": "sse", "target_port": 0 })),
        &expect![[r#"
        x https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#x
          env: [{"name":"MCP_TRANSPORT","value":"sse"},{"name":"MCP_PORT","value":"8080"},{"name":"FASTMCP_PORT","value":"8080"}]
          image: "ghcr.io/acme/x:1"
          path: "/sse"
          port: 8080
          transport: "sse"
    "#]],
    );
}

#[test]
fn permissions_are_what_docker_would_be_told() {
    check(
        image(
            json!({ "permissions": { "read": ["/projects", "/a:/b"], "write": ["volume://data:/data", { "path": "/w" }],
            "privileged": true, "network": { "outbound": { "allow_host": [".acme.example"], "allow_port": [443] } } } }),
        ),
        &expect![[r#"
            x https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#x
              env: [{"name":"MCP_TRANSPORT","value":"stdio"}]
              image: "ghcr.io/acme/x:1"
              privileged: true
              volumes: ["/projects:/projects:ro","/a:/b:ro","data:/data:rw","/w:/w:rw"]
              note: it asks for no hosts but .acme.example; this gateway does not hold it to that
        "#]],
    );
    check(
        image(
            json!({ "permissions": { "network": { "outbound": { "allow_host": [], "insecure_allow_all": false } } } }),
        ),
        &expect![[r#"
            x https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#x
              env: [{"name":"MCP_TRANSPORT","value":"stdio"}]
              image: "ghcr.io/acme/x:1"
              network: "none"
        "#]],
    );
    check(
        image(json!({ "permissions": { "network": { "mode": "host", "outbound": {} } } })),
        &expect![[r#"
            x https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#x
              env: [{"name":"MCP_TRANSPORT","value":"stdio"}]
              image: "ghcr.io/acme/x:1"
              network: "host"
        "#]],
    );
    check(
        image(json!({ "permissions": { "network": { "outbound": { "insecure_allow_all": true } } } })),
        &expect![[r#"
            x https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#x
              env: [{"name":"MCP_TRANSPORT","value":"stdio"}]
              image: "ghcr.io/acme/x:1"
        "#]],
    );
    check(
        image(json!({ "permissions": { "read": ["s3://bucket:/b"] } })),
        &expect![[r#"
        refused x: its permission `s3://bucket:/b` is neither a path nor a volume
    "#]],
    );
}

#[test]
fn remotes() {
    check(
        json!({ "servers": {}, "remote_servers": { "r": { "url": "https://api.example.com/mcp", "transport": "sse", "status": "Deprecated",
            "headers": [{ "name": "Authorization", "description": "Bearer token.", "required": true, "secret": true },
                { "name": "X-Region", "required": false, "choices": ["eu", "us"], "default": "eu" }],
            "oauth_config": { "issuer": "https://auth.example.com" }, "env_vars": [{ "name": "API" }] } } }),
        &expect![[r#"
            r https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#r
              config: [{"description":"Values for r","name":"r","properties":{"X-Region":{"default":"eu","enum":["eu","us"],"type":"string"}},"type":"object"}]
              remote: {"headers":{"Authorization":"${AUTHORIZATION}","X-Region":"{{r.X-Region}}"},"transport_type":"sse","url":"https://api.example.com/mcp"}
              secrets: [{"description":"Bearer token.","env":"AUTHORIZATION","name":"r.AUTHORIZATION","required":true}]
              note: it is deprecated
              note: it wants a login at https://auth.example.com
              note: `API` are for ToolHive's own client and passed over
        "#]],
    );
}

#[test]
fn server_json_with_extensions() {
    let server = json!({ "name": "io.github.stacklok/x", "version": "1.0.0", "packages": [
            { "registryType": "oci", "identifier": "ghcr.io/acme/x:1", "transport": { "type": "streamable-http", "url": "http://localhost:8080" } }],
        "_meta": { PUBLISHER_META: { "io.github.stacklok": { "ghcr.io/acme/x:1": {
            "args": ["go"], "status": "active", "permissions": { "read": ["/r"] } } } } } });
    let group = json!({ "name": "g", "servers": [{ "name": "io.github.stacklok/y", "remotes": [{ "type": "sse", "url": "https://y.example/sse" }] }] });
    check(
        json!({ "version": "1.0.0", "meta": {}, "data": { "servers": [server], "groups": [group] } }),
        &expect![[r#"
            io-github-stacklok-x https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#io.github.stacklok/x
              command: ["go"]
              env: [{"name":"MCP_TRANSPORT","value":"streamable-http"},{"name":"MCP_PORT","value":"8080"},{"name":"FASTMCP_PORT","value":"8080"}]
              image: "ghcr.io/acme/x:1"
              path: "/mcp"
              port: 8080
              transport: "streamable-http"
              volumes: ["/r:/r:ro"]
            io-github-stacklok-y https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#io.github.stacklok/y
              remote: {"transport_type":"sse","url":"https://y.example/sse"}
        "#]],
    );
}

#[test]
fn one_server_and_pages() {
    let list: Vec<_> = ["a", "b", "c"].iter().map(|name| json!({ "name": format!("acme/{name}"), "remotes": [{ "type": "sse", "url": "https://h.example/sse" }] })).collect();
    serve(200, &json!({ "data": { "servers": list } }).to_string());
    let names = |page: Page| page.servers.into_iter().map(|server| server.name).collect::<Vec<_>>();
    for reference in ["toolhive://b", "toolhive://acme/b", "https://h.example/registry.json#acme-b"] {
        assert_eq!(names(source().fetch(&Request::new(reference)).unwrap()), ["acme-b"]);
    }
    let first = source().fetch(&Request { limit: 2, ..Request::new("toolhive://") }).unwrap();
    assert_eq!((first.next.as_deref(), first.validator.as_deref()), (Some("2"), Some("\"v1\"")));
    let last =
        source().fetch(&Request { limit: 2, cursor: first.next, ..Request::new("toolhive://") }).unwrap();
    assert_eq!((last.next.clone(), names(last)), (None, vec!["acme-c".to_owned()]));
}

#[test]
fn what_is_no_registry() {
    let fetch = |reference: &str| shown(source().fetch(&Request::new(reference)));
    serve(200, "<html>");
    assert_eq!(
        fetch("toolhive://"),
        "what came back makes no sense: the registry is no JSON: expected value at line 1 column 1\n"
    );
    serve(200, "{}");
    assert_eq!(
        fetch("toolhive://"),
        "what came back makes no sense: it is no registry of ToolHive's: it has neither `servers` nor `data.servers`\n"
    );
    serve(200, r#"{"servers":{}}"#);
    assert_eq!(fetch("toolhive://x"), "not found: the registry has no server `x`\n");
    serve(404, "");
    assert_eq!(
        fetch("https://h.example/registry.json"),
        "not found: there is no registry at https://h.example/registry.json: the server answered 404\n"
    );
    assert!(
        fetch("ftp://h.example/registry.json").starts_with("not a reference that this source understands: ")
    );
    assert_eq!(fetch("data:application/vnd.toolhive+json;base64,eyJzZXJ2ZXJzIjp7fX0="), "");
    assert!(ToolhiveRegistry::configure(Config::new(r#"{"url": "h.example"}"#)).is_err());
}

#[test]
fn http_is_upgraded_but_not_to_this_machine() {
    assert_eq!(
        reference::address("http://h.example/registry.json").as_deref(),
        Some("https://h.example/registry.json")
    );
    assert_eq!(
        reference::address("http://127.0.0.1:1/registry.json").as_deref(),
        Some("http://127.0.0.1:1/registry.json")
    );
    assert_eq!(reference::address("https://u:p@h.example/"), None);
}

const PUBLISHER_META: &str = extension::PUBLISHER;

proptest::proptest! {
    /// Whatever is published, it is imported or refused.
    #[test]
    fn any_entry_is_imported_or_refused(text in "\\PC{0,20}", port in proptest::prelude::any::<i64>(), flag in proptest::prelude::any::<bool>()) {
        let entry = json!({ "image": text, "target_port": port, "transport": text, "args": [text, flag], "permissions": { "read": [text], "privileged": flag,
            "network": text }, "env_vars": [{ "name": text, "secret": flag }] });
        let mut page = Page::default();
        for server in native::servers(&json!({ "servers": { "x": entry, text.clone(): flag }, "remote_servers": { "y": { "url": text } } })).unwrap() {
            add(&mut page, &server, "");
        }
        proptest::prop_assert!(page.servers.len() + page.refused.len() >= 2);
    }
}

//! The plugin against registries that answer as registries do, and as they do not.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value as Json, json};
use wasmgate_plugin::http::answer_with;

use super::*;

fn plugin(config: Json) -> OfficialRegistry {
    OfficialRegistry::configure(Config::new(&config.to_string()))
        .map_err(|problems| format!("{problems:?}"))
        .unwrap()
}

fn wrapped(name: &str, version: &str, status: &str) -> Json {
    let package = json!({"registryType": "oci", "identifier": format!("docker.io/acme/x:{version}"), "transport": {"type": "stdio"}});
    json!({"server": {"name": name, "description": "x", "version": version, "packages": [package]},
        "_meta": {"io.modelcontextprotocol.registry/official": {"status": status, "publishedAt": "2026-01-01T00:00:00Z"}}})
}

/// Answers every request with this, and hands out what was asked.
fn answering(status: u16, headers: &[(&str, &str)], body: &str) -> Rc<RefCell<Vec<http::Request>>> {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = asked.clone();
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = body.to_owned();
    answer_with(move |request| {
        seen.borrow_mut().push(request.clone());
        Ok(Response { status, headers: headers.clone(), body: body.clone().into_bytes() })
    });
    asked
}

fn urls(asked: &Rc<RefCell<Vec<http::Request>>>) -> Vec<String> {
    asked.borrow().iter().map(|request| request.url.clone()).collect()
}

fn shown(page: &Result<Page, Failure>) -> String {
    match page {
        Ok(page) => {
            let servers =
                page.servers.iter().map(|s| format!("{} {} from {}", s.name, s.version, s.provenance));
            let refused =
                page.refused.iter().map(|r| format!("refused {} {}: {}", r.name, r.version, r.reason));
            let removed = page.removed.iter().map(|name| format!("removed {name}"));
            let ends = [("next", &page.next), ("validator", &page.validator)];
            let ends = ends.into_iter().filter_map(|(what, text)| Some(format!("{what} {}", text.as_ref()?)));
            servers.chain(refused).chain(removed).chain(ends).collect::<Vec<_>>().join("; ")
        }
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn one_server() {
    let asked =
        answering(200, &[("etag", "\"v1\"")], &wrapped("io.github.acme/x", "1.0.0", "active").to_string());
    let page = plugin(json!({})).fetch(&Request::new("registry://io.github.acme/x"));
    let url = "https://registry.modelcontextprotocol.io/v0.1/servers/io.github.acme%2Fx/versions";
    assert_eq!(shown(&page), format!("io-github-acme-x 1.0.0 from {url}/1.0.0; validator \"v1\""));
    assert_eq!(urls(&asked), [format!("{url}/latest")]);
}

#[test]
fn spelling_dates_and_order_of_members_change_nothing() {
    let reordered = r#"{"_meta": {"io.modelcontextprotocol.registry/official": {"publishedAt": "2027-02-02T00:00:00Z", "status": "active"}},
        "server": {"packages": [{"transport": {"type": "stdio"}, "identifier": "docker.io/acme/x:1.0.0", "registryType": "oci"}],
        "version": "1.0.0", "name": "io.github.acme/x", "description": "x"}}"#;
    let mut documents = Vec::new();
    let plain = wrapped("io.github.acme/x", "1.0.0", "active").to_string();
    for (body, written) in [
        (plain.as_str(), "registry://io.github.acme/x@1.0.0"),
        (reordered, "http://registry.modelcontextprotocol.io/v0/servers/io.github.acme%2Fx"),
        (reordered, "http://127.0.0.1:9/v0.1/servers/io.github.acme%2Fx/versions/latest"),
    ] {
        answering(200, &[], body);
        let page = plugin(json!({})).fetch(&Request::new(written)).unwrap();
        documents.push(page.servers[0].document.clone());
    }
    assert_eq!(documents[0], documents[1]);
    assert_eq!(documents[0], documents[2]);
}

#[test]
fn a_whole_registry_comes_in_pages() {
    let list = json!({"servers": [wrapped("a.b/one", "1", "active"), wrapped("a.b/two", "2", "deleted"), {"server": {"name": "a.b/three", "version": "3"}}],
        "metadata": {"count": 3, "nextCursor": "a.b/three:3"}});
    let asked = answering(200, &[], &list.to_string());
    let source = plugin(json!({}));
    let first = source.fetch(&Request { limit: 500, ..Request::new("registry://?search=web search") });
    assert_eq!(
        shown(&first),
        "a-b-one 1 from https://registry.modelcontextprotocol.io/v0.1/servers/a.b%2Fone/versions/1; \
         refused a.b/two 2: it is deleted in the registry; \
         refused a.b/three 3: it names neither a package nor a remote, so there is nothing to run; next a.b/three:3"
    );
    let changed = Request {
        cursor: Some("a.b/three:3".to_owned()),
        since: Some("2026-01-01T00:00:00Z".to_owned()),
        ..Request::new("registry://")
    };
    assert!(shown(&source.fetch(&changed)).contains("removed a-b-two"));
    assert_eq!(
        urls(&asked),
        [
            "https://registry.modelcontextprotocol.io/v0.1/servers?limit=100&version=latest&search=web%20search",
            "https://registry.modelcontextprotocol.io/v0.1/servers?limit=100&version=latest&cursor=a.b%2Fthree%3A3&updated_since=2026-01-01T00%3A00%3A00Z",
        ]
    );
}

#[test]
fn a_registry_of_ones_own() {
    let source = plugin(json!({"baseUrl": "https://mcp.acme.example/reg/", "token": "acme"}));
    assert!(source.claims().contains(&"https://mcp.acme.example/reg*".to_owned()));
    let asked = answering(200, &[], &json!({"servers": []}).to_string());
    for reference in
        ["registry://", "https://mcp.acme.example/reg", "https://registry.modelcontextprotocol.io"]
    {
        assert_eq!(source.fetch(&Request::new(reference)), Ok(Page::default()));
    }
    let own = "https://mcp.acme.example/reg/v0.1/servers?limit=100&version=latest";
    assert_eq!(
        urls(&asked),
        [own, own, "https://registry.modelcontextprotocol.io/v0.1/servers?limit=100&version=latest"]
    );
    let secrets: Vec<_> = asked.borrow().iter().map(|request| request.secrets.len()).collect();
    assert_eq!(secrets, [1, 1, 0]);
}

#[test]
fn what_has_not_changed() {
    let asked = answering(304, &[], "");
    let again = Request { validator: Some("\"v1\"".to_owned()), ..Request::new("registry://a.b/c") };
    assert_eq!(plugin(json!({})).fetch(&again), Err(Failure::NotModified));
    assert!(asked.borrow()[0].headers.contains(&("if-none-match".to_owned(), "\"v1\"".to_owned())));
}

#[track_caller]
fn check(status: u16, headers: &[(&str, &str)], body: &str, expected: &str) {
    answering(status, headers, body);
    assert_eq!(shown(&plugin(json!({})).fetch(&Request::new("registry://a.b/c@1"))), expected);
}

#[test]
fn registries_that_say_no() {
    check(
        404,
        &[],
        r#"{"error":"Server not found"}"#,
        "not found: `a.b/c` in version `1`: the server answered 404 (Server not found); look for it with registry://?search=c",
    );
    check(
        404,
        &[],
        r#"{"title":"Not Found","status":404,"detail":"Server not found"}"#,
        "not found: `a.b/c` in version `1`: the server answered 404 (Server not found); look for it with registry://?search=c",
    );
    check(
        401,
        &[],
        "",
        "not authorized: `a.b/c` in version `1`: the server answered 401; for a registry that needs a token, set `token` of this plugin",
    );
    check(429, &[("retry-after", "3")], "", "too busy, wait for 3000 ms");
    check(500, &[], "<html>", "failed: `a.b/c` in version `1`: the server answered 500");
    check(
        301,
        &[("location", "https://x.example/")],
        "",
        "failed: `a.b/c` in version `1`: the server answered 301 and points to https://x.example/: write that instead",
    );
    check(
        200,
        &[("content-type", "text/html")],
        "<html>",
        "what came back makes no sense: `a.b/c` in version `1` is no JSON (text/html): expected value at line 1 column 1; is this the address of a registry?",
    );
    check(200, &[], "{}", "what came back makes no sense: it holds neither a server nor a list of servers");
    check(
        200,
        &[],
        &wrapped("a.b/d", "1", "active").to_string(),
        "what came back makes no sense: asked for `a.b/c` in version `1`, the registry answered another server or version",
    );
    check(
        200,
        &[],
        &wrapped("a.b/c", "2", "active").to_string(),
        "what came back makes no sense: asked for `a.b/c` in version `1`, the registry answered another server or version",
    );
    check(
        200,
        &[],
        &wrapped("a.b/c", "1", "deleted").to_string(),
        "refused a.b/c 1: it is deleted in the registry",
    );
}

#[test]
fn an_origin_that_is_not_granted() {
    answer_with(|_| Err(wasmgate_plugin::Refusal::Denied("https://r.example is not granted".to_owned())));
    let page = plugin(json!({})).fetch(&Request::new("https://r.example/v0.1/servers"));
    assert_eq!(shown(&page), "failed: denied: https://r.example is not granted");
}

#[test]
fn documents_that_are_already_here() {
    let bare = wrapped("a.b/c", "1", "active")["server"].clone();
    let fetch = |json: Json| {
        let text: String = json.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        shown(&plugin(json!({})).fetch(&Request::new(&format!("data:application/json,{text}"))))
    };
    for same in [
        bare.clone(),
        wrapped("a.b/c", "1", "active"),
        json!({"servers": [wrapped("a.b/c", "1", "active")]}),
        json!({"registry": [{"server": bare, "x-io.modelcontextprotocol.registry": {}}]}),
    ] {
        assert_eq!(fetch(same), "a-b-c 1 from ");
    }
    assert_eq!(
        fetch(json!({"registry": {"a": {"image": "b"}}})),
        "what came back makes no sense: it holds neither a server nor a list of servers"
    );
    assert!(
        shown(&plugin(json!({})).fetch(&Request::new("data:application/json,x")))
            .contains("the document is no JSON")
    );
}

#[test]
fn preferences_and_images() {
    let source = plugin(json!({"prefer": ["npm"], "images": {"npm": "ghcr.io/acme/node:1"}}));
    let server = json!({"name": "a.b/c", "version": "1", "packages": [
        {"registryType": "oci", "identifier": "a/b:1"}, {"registryType": "npm", "identifier": "x", "version": "1.0.0"}]});
    answering(200, &[], &server.to_string());
    let page = source.fetch(&Request::new("registry://a.b/c")).unwrap();
    let document: Json = serde_json::from_str(&page.servers[0].document).unwrap();
    assert_eq!(document["image"], "ghcr.io/acme/node:1");
    assert_eq!(page.servers[0].notes, ["also offered: oci package `a/b:1`"]);
}

#[test]
fn configurations_that_are_wrong() {
    let wrong = json!({"baseUrl": "mcp.example", "prefer": ["oci", "deb"], "images": {"npm": "a b"}});
    let problems = OfficialRegistry::configure(Config::new(&wrong.to_string())).err().unwrap();
    let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(places, ["/baseUrl", "/prefer/1", "/images/npm"]);
    assert!(serde_json::from_str::<Json>(config::SCHEMA).is_ok());
}

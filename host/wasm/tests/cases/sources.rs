//! Catalog sources that mean well: what they are asked, what they may use, and what the gateway makes of their answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{engine, guest};
use expect_test::{Expect, expect};
use wasmgate_core::json::Json;
use wasmgate_wasm::{
    CatalogSource, Engine, EngineSettings, Grants, HttpGrant, KvGrant, Limits, LoadError, Origin, Outbound,
    OutboundFuture, OutboundRequest, OutboundResponse, Plugin, Settings, SourceFailure, SourcePage,
    SourceRequest,
};

/// Settings of a source with this configuration.
pub(crate) fn settings(config: &str) -> Settings {
    let limits = Limits { cpu: Duration::from_millis(500), ..Limits::of_sources() };
    Settings { config: Json::parse(config.to_owned()).unwrap(), limits, ..Settings::default() }
}

/// The fixture source, under a name of its own, so that tests do not share what it keeps.
pub(crate) async fn source(name: &str, settings: Settings) -> Result<CatalogSource, LoadError> {
    CatalogSource::load(engine(), name, guest("source"), settings).await
}

/// What comes of a reference.
pub(crate) async fn fetch(source: &CatalogSource, reference: &str) -> Result<SourcePage, SourceFailure> {
    source.fetch(SourceRequest::new(reference), &[]).await
}

/// The description of the one server of a page; or the failure.
pub(crate) async fn said(source: &CatalogSource, reference: &str) -> String {
    words(fetch(source, reference).await)
}

fn words(page: Result<SourcePage, SourceFailure>) -> String {
    let text = |page: SourcePage| {
        page.servers.first()?.document.member("description")?.string().map(|s| s.into_owned())
    };
    match page {
        Ok(page) => text(page).unwrap_or_else(|| "nothing".to_owned()),
        Err(failure) => failure.to_string(),
    }
}

/// Everything of a page, a line a server.
pub(crate) fn shown(page: &SourcePage) -> String {
    let mut lines = Vec::new();
    for server in &page.servers {
        let document = server.document.as_str();
        lines.push(format!(
            "{} {:?} {document} {} {:?}",
            server.name, server.version, server.provenance, server.notes
        ));
    }
    lines.extend(page.refused.iter().map(|r| format!("refused {} {:?}: {}", r.name, r.version, r.reason)));
    lines.push(format!("removed {:?} next {:?} validator {:?}", page.removed, page.next, page.validator));
    lines.join("\n")
}

#[tokio::test]
async fn a_source_says_what_it_is_and_what_it_answers() {
    let source = source("claims", settings("{}")).await.unwrap();
    assert_eq!((source.descriptor().name.as_str(), source.descriptor().hooks.len()), ("source", 0));
    assert_eq!(source.claims(), ["test://*", "https://*.example/servers"]);
    for (reference, claimed) in [
        ("test://pages", true),
        ("test://", true),
        ("https://a.example/servers", true),
        ("https://a.example/servers/x", false),
        ("oci://a.example/servers", false),
        ("", false),
    ] {
        assert_eq!(source.claims_reference(reference), claimed, "{reference}");
    }
}

#[tokio::test]
async fn servers_come_a_page_at_a_time() {
    let source = source("pages", settings("{}")).await.unwrap();
    let first = fetch(&source, "test://pages").await.unwrap();
    expect![[r#"
        server-1 "1.0" {"image":"acme/1"} https://acme.example/1 ["tested"]
        server-2 "1.0" {"image":"acme/2"} https://acme.example/2 ["tested"]
        refused other/thing "": it has no package
        removed ["gone"] next Some("2") validator Some("v1")"#]]
    .assert_eq(&shown(&first));
    let request = SourceRequest { cursor: first.next, ..SourceRequest::new("test://pages") };
    let second = source.fetch(request, &[]).await.unwrap();
    assert_eq!(second.servers.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["server-3", "server-4"]);
    assert_eq!(second.next, None);
}

#[tokio::test]
async fn a_source_is_told_everything_that_is_asked() {
    let source = source("asked", settings("{}")).await.unwrap();
    let request = SourceRequest {
        reference: "test://asked".into(),
        cursor: Some("c".into()),
        since: Some("2026-01-01T00:00:00Z".into()),
        validator: Some("v".into()),
        limit: 5_000,
    };
    expect![[r#"Request { reference: "test://asked", cursor: Some("c"), since: Some("2026-01-01T00:00:00Z"), validator: Some("v"), limit: 1000 }"#]]
        .assert_eq(&words(source.fetch(request, &[]).await));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let source = source("failures", settings("{}")).await.unwrap();
    let own = || "in its own words\\u{1b}[2J".to_owned();
    for (which, expected) in [
        ("not-found", SourceFailure::NotFound(own())),
        ("unsupported", SourceFailure::Unsupported(own())),
        ("unauthorized", SourceFailure::Unauthorized(own())),
        ("retry", SourceFailure::RetryAfter(Duration::from_millis(1_500))),
        ("invalid", SourceFailure::Invalid(own())),
        ("failed", SourceFailure::Failed(own())),
    ] {
        let failure = fetch(&source, &format!("test://failure/{which}")).await.unwrap_err();
        assert_eq!(failure, expected);
    }
    let asked =
        SourceRequest { validator: Some("v1".into()), ..SourceRequest::new("test://failure/not-modified") };
    assert_eq!(source.fetch(asked, &[]).await, Err(SourceFailure::NotModified));
    // Nobody asked whether anything changed.
    let unasked = said(&source, "test://failure/not-modified").await;
    assert_eq!(unasked, "failed: it says that nothing changed, and there is nothing that could have");
}

#[tokio::test]
async fn values_survive_between_fetches_and_memory_does_not() {
    let grants = Grants { kv: Some(KvGrant::default()), ..Grants::default() };
    let source = source("survives", Settings { grants, ..settings("{}") }).await.unwrap();
    for number in 1..4 {
        assert_eq!(said(&source, "test://kv").await, number.to_string());
        assert_eq!(said(&source, "test://memory").await, "call 1 of this memory");
    }
    let nobody = "denied: there is no session and no principal outside of a call";
    assert_eq!(said(&source, "test://scopes").await, format!("{nobody}; {nobody}"));
}

#[tokio::test]
async fn without_a_grant_there_is_no_kv() {
    let source = source("no-kv", settings("{}")).await.unwrap();
    assert_eq!(said(&source, "test://kv").await, "failed: denied: `kv: true` is not granted");
}

#[tokio::test]
async fn the_configuration_is_there_in_every_fetch() {
    let source = source("configured-source", settings(r#"{"claims":"default"}"#)).await.unwrap();
    assert_eq!(said(&source, "test://config").await, "default");
    assert_eq!(said(&source, "test://log/here").await, "nothing");
}

/// Answers with the path; remembers what was sent.
#[derive(Default)]
struct Paths(Mutex<Vec<String>>);

impl Outbound for Paths {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        let private = if request.private { "private" } else { "public" };
        self.0.lock().unwrap().push(format!("{} {private} {}", request.url, request.max_response));
        let (status, body) = match request.url.path() {
            "/missing" => (404, "no"),
            _ => (200, "found"),
        };
        Box::pin(std::future::ready(Ok(OutboundResponse { status, headers: Vec::new(), body: body.into() })))
    }
}

fn grant(origin: &str, private: bool) -> HttpGrant {
    HttpGrant { origin: Origin::parse(origin).unwrap(), private }
}

/// The fixture source with `https://granted.example` granted, and what was sent for it.
async fn online(limits: Limits) -> (CatalogSource, Arc<Paths>) {
    let sent = Arc::new(Paths::default());
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-guests");
    let outbound = Some(Arc::clone(&sent) as Arc<dyn Outbound>);
    let engine =
        Engine::new(EngineSettings { cache: Some(cache), outbound, ..EngineSettings::default() }).unwrap();
    let grants = Grants { http: vec![grant("https://granted.example", false)], ..Grants::default() };
    let settings = Settings { grants, limits, ..settings("{}") };
    (CatalogSource::load(&engine, "online", guest("source"), settings).await.unwrap(), sent)
}

#[tokio::test]
async fn origins_besides_the_granted_are_there_for_one_fetch() {
    let (source, sent) = online(Limits::of_sources()).await;
    let elsewhere = "test://http/https://elsewhere.example/a";
    let denied = "failed: denied: `http: [\"https://elsewhere.example\"]` is not granted";
    assert_eq!(said(&source, elsewhere).await, denied);
    let besides = [grant("https://elsewhere.example", true)];
    assert_eq!(words(source.fetch(SourceRequest::new(elsewhere), &besides).await), "found");
    assert_eq!(said(&source, elsewhere).await, denied);
    // Its own are there all the time, and are no more private than they were granted.
    let own = "test://http/https://granted.example/b";
    assert_eq!(words(source.fetch(SourceRequest::new(own), &besides).await), "found");
    assert_eq!(
        said(&source, "test://http/https://granted.example/missing").await,
        "not found: the server answered 404"
    );
    let sent = sent.0.lock().unwrap().clone();
    assert_eq!(
        sent,
        [
            "https://elsewhere.example/a private 16777216",
            "https://granted.example/b public 16777216",
            "https://granted.example/missing public 16777216",
        ]
    );
}

#[tokio::test]
async fn limits_of_the_operator_count() {
    let (source, sent) = online(Limits { http_calls: 0, ..Limits::of_sources() }).await;
    assert_eq!(
        said(&source, "test://http/https://granted.example/a").await,
        "failed: more than allowed: 0 requests in one call (`limits.httpCalls`)"
    );
    assert!(sent.0.lock().unwrap().is_empty());
}

async fn refused(name: &str, settings: Settings, expected: Expect) {
    let error = CatalogSource::load(engine(), "refused", guest(name), settings).await.unwrap_err();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    expected.assert_eq(&format!("{error}{cause}"));
}

#[tokio::test]
async fn what_is_no_source_is_not_loaded_as_one() {
    refused("editor", settings("{}"), expect!["exports no world that wasmgate runs: no `wasmgate:plugin/source` in version 0.1.x, it exports wasmgate:plugin/validator@0.1.0, wasmgate:plugin/mutator@0.1.0, wasmgate:plugin/list-filter@0.1.0, wasmgate:plugin/plugin@0.1.0; the world of catalog sources is `catalog-source`"]).await;
    refused(
        "source",
        settings(r#"{"claims":"refuse"}"#),
        expect!["refuses its configuration: `/claims` is refused"],
    )
    .await;
    refused(
        "source",
        settings(r#"{"claims":7}"#),
        expect![[r#"refuses its configuration: `/claims` value is not of type "string""#]],
    )
    .await;
    let limits = Limits { output: wasmgate_wasm::MAX_PAGE_BYTES + 1, ..Limits::of_sources() };
    refused(
        "source",
        Settings { limits, ..settings("{}") },
        expect!["has a limit that cannot be given: output is at most 33554432"],
    )
    .await;
}

#[tokio::test]
async fn a_source_is_a_plugin_without_interceptors() {
    let loaded = Plugin::load(engine(), "source", guest("source"), Settings::default()).await.unwrap();
    assert_eq!((loaded.descriptor.name.as_str(), loaded.interceptors.len()), ("source", 0));
}

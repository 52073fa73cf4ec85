//! The bundled catalog sources as components: that each loads with the grants it asks for, reads what registries answer, and
//! does so within the budget that a source has.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use expect_test::expect;
use wasmgate_core::json::Json;
use wasmgate_wasm::{
    CatalogSource, Engine, EngineSettings, Grants, HttpGrant, Limits, Origin, Outbound, OutboundFuture,
    OutboundRequest, OutboundResponse, Settings, SourceRequest, builtin,
};

use crate::sources::shown;

/// Answers everything with one body; remembers what was asked.
struct Registry {
    body: Vec<u8>,
    asked: Mutex<Vec<String>>,
}

impl Outbound for Registry {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        self.asked.lock().unwrap().push(request.url.to_string());
        let response = OutboundResponse { status: 200, headers: Vec::new(), body: self.body.clone().into() };
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// A bundled source with what it asks for, in front of a registry that answers with this.
async fn source(name: &str, body: impl Into<Vec<u8>>) -> (CatalogSource, Arc<Registry>) {
    let registry = Arc::new(Registry { body: body.into(), asked: Mutex::default() });
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-guests");
    let outbound = Some(Arc::clone(&registry) as Arc<dyn Outbound>);
    let engine =
        Engine::new(EngineSettings { cache: Some(cache), outbound, ..EngineSettings::default() }).unwrap();
    let origins = ["https://registry.modelcontextprotocol.io", "https://raw.githubusercontent.com"];
    let grant = |origin: &&str| HttpGrant { origin: Origin::parse(origin).unwrap(), private: false };
    let settings = Settings {
        config: Json::parse("{}".to_owned()).unwrap(),
        limits: Limits::of_sources(),
        grants: Grants { http: origins.iter().map(grant).collect(), ..Grants::default() },
        ..Settings::default()
    };
    (CatalogSource::load(&engine, name, builtin(name).unwrap(), settings).await.unwrap(), registry)
}

#[tokio::test]
async fn a_server_of_the_official_registry() {
    let server = r#"{"server":{"name":"io.github.acme/x","version":"1.0.0","description":"d","packages":[{"registryType":"oci",
        "identifier":"docker.io/acme/x:1","transport":{"type":"stdio"}}]},"_meta":{}}"#;
    let (source, registry) = source("official-registry", server).await;
    assert!(source.claims_reference("registry://io.github.acme/x"));
    assert!(source.claims_reference("http://127.0.0.1:8080/v0.1/servers/io.github.acme%2Fx/versions/latest"));
    assert!(!source.claims_reference("oci://ghcr.io/acme/x"));
    let page = source.fetch(SourceRequest::new("registry://io.github.acme/x"), &[]).await.unwrap();
    expect![[r#"
        io-github-acme-x "1.0.0" {"description":"d","image":"docker.io/acme/x:1","metadata":{"name":"io.github.acme/x","version":"1.0.0"},"name":"io-github-acme-x","type":"server"} https://registry.modelcontextprotocol.io/v0.1/servers/io.github.acme%2Fx/versions/1.0.0 []
        removed [] next None validator None"#]]
    .assert_eq(&shown(&page));
    let asked = registry.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        ["https://registry.modelcontextprotocol.io/v0.1/servers/io.github.acme%2Fx/versions/latest"]
    );
}

/// All 762 at once, where a registry lists 100 in an answer.
#[tokio::test]
async fn real_entries_are_read_within_the_budget_of_a_source() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("WASMGATE_DATA").map_or(beside, PathBuf::from);
    let Ok(list) = std::fs::read(root.join("registry/servers.json")) else {
        eprintln!(
            "not checked: there is no {} (set WASMGATE_DATA)",
            root.join("registry/servers.json").display()
        );
        return;
    };
    let (source, _) = source("official-registry", list).await;
    let page = source.fetch(SourceRequest::new("registry://"), &[]).await.unwrap();
    assert_eq!((page.servers.len(), page.refused.len()), (699, 63));
}

#[tokio::test]
async fn a_server_of_toolhive() {
    let registry = r#"{"servers":{"time":{"image":"ghcr.io/acme/time:1","transport":"stdio","permissions":{"read":["/usr/share/zoneinfo"]}}}}"#;
    let (source, _) = source("toolhive-registry", registry).await;
    assert!(
        source.claims_reference("toolhive://")
            && source.claims_reference("https://acme.example/registry.json#time")
    );
    let page = source.fetch(SourceRequest::new("toolhive://time"), &[]).await.unwrap();
    expect![[r#"
        time "" {"env":[{"name":"MCP_TRANSPORT","value":"stdio"}],"image":"ghcr.io/acme/time:1","metadata":{"name":"time"},"name":"time","type":"server","volumes":["/usr/share/zoneinfo:/usr/share/zoneinfo:ro"]} https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json#time []
        removed [] next None validator None"#]]
    .assert_eq(&shown(&page));
}

//! Whom servers of a catalog reach that the operator did not write.

use serde_json::{Value, json};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::{docker, gateway, require};

use super::{Canary, check, probe};

/// A web server with a catalog; `/moved` redirects.
async fn strangers_catalog(registry: Value) -> std::net::SocketAddr {
    let document = json!({"version": 3, "registry": registry}).to_string();
    let answer = move |head: &str, _: &str| match head.contains("/moved") {
        true => (302, String::new()),
        false => (200, document.clone()),
    };
    wasmgate_tests::remote::service(answer).await
}

#[tokio::test]
async fn a_strangers_catalog_leads_nowhere_private() {
    let canary = Canary::on("127.0.0.1").await;
    let remote = |url: &str| json!({"type": "remote", "remote": {"url": url.replace("PORT", &canary.port.to_string()), "transport_type": "streamable-http"}});
    let registry = json!({
        "near": remote("https://127.0.0.1:PORT/mcp"),
        "named": remote("https://localhost:PORT/mcp"),
        "plain": remote("http://localhost:PORT/mcp"),
        "dword": remote("https://2130706433:PORT/mcp"),
        "octal": remote("https://0177.1:PORT/mcp"),
        "mapped": remote("https://[::ffff:127.0.0.1]:PORT/mcp"),
        "metadata": remote("https://169.254.169.254/latest/meta-data/"),
    });
    let address = strangers_catalog(registry).await;
    let names = ["near", "named", "plain", "dword", "octal", "mapped", "metadata"];
    let gw = gateway().catalog_at(format!("http://{address}/catalog.yaml")).servers(names).start().await;
    for name in names {
        let state = gw.reaches(name, &["failed", "refused"]).await;
        let reason = state["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("not allowed") || reason.contains("only your own files"), "{name}: {state}");
    }
    gw.stop().await;
    let moved = gateway()
        .catalog_at(format!("http://{address}/moved"))
        .arg("--enable-all-servers")
        .run_to_end()
        .await;
    assert!(!moved.status.success() && moved.stderr.contains("redirects to"), "{}", moved.stderr);
    assert_eq!(canary.hits(), 0, "nobody came by");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_names_may_be_allowed_by_the_operator() {
    require!(docker::probe().await);
    let service = wasmgate_tests::remote::service(|_, _| (200, "here".to_owned())).await;
    let (name, canary) = ("iso-excepted", Canary::on("127.0.0.1").await);
    let rules = [
        format!("localhost:{}/http", service.port()),
        format!("localhost:{}/http", canary.port),
        "169.254.169.254:80/http".to_owned(),
    ];
    let entry = probe(json!({"allowHosts": rules}));
    let address = strangers_catalog(json!({name: entry})).await;
    let fetched = || gateway().catalog_at(format!("http://{address}/catalog.yaml"));
    // Whoever downloads a catalog and names the file has not written its rules.
    let downloaded = || gateway().catalog(Catalog::new().entry(name, entry.clone()));
    let none = json!([]);
    let some = json!([service.to_string(), "169.254.0.0/16"]);
    for (gw, allow, outcome) in [
        (fetched(), &none, "status 403"),
        (downloaded(), &none, "status 403"),
        (fetched(), &some, "status 200"),
        (downloaded(), &some, "status 200"),
    ] {
        let config = json!({"egress": {"allow": allow}}).to_string();
        let gw = gw.config(&config).servers([name]).start().await.with_container(name);
        gw.ready([name]).await;
        check(
            &gw.alone(name).await,
            &[
                (&format!("get=http://localhost:{}/", service.port()), outcome),
                (&format!("get=http://localhost:{}/", canary.port), "status 403"),
                ("get=http://169.254.169.254/", "status 403"),
            ],
        )
        .await;
        gw.stop().await;
    }
    assert_eq!(canary.hits(), 0, "one exception is not another");
}

//! Whom strangers make the gateway itself talk to: a registry with its token service and its redirects, an index with what it
//! lists, a name that a plugin may ask. None of them leads to this machine, where a canary counts who comes by.

use std::net::{IpAddr, ToSocketAddrs as _};

use serde_json::json;
use wasmgate_tests::home::Home;
use wasmgate_tests::registry::{self, Fault, Faulty};
use wasmgate_tests::{build, gateway, official, require, soon};

use crate::isolation::Canary;

/// Where a registry or an index of this machine may not send anybody: other names and addresses of this machine, and what
/// clouds tell their machines.
fn places(canary: &Canary) -> Vec<String> {
    let port = canary.port;
    vec![
        format!("http://localhost:{port}/x"),
        format!("https://localhost:{port}/x"),
        format!("https://127.0.0.2:{port}/x"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
    ]
}

/// In front of `behind`: whatever has `of` in its first line is answered with this.
async fn leading(behind: &str, of: &'static str, status: u16, header: (&'static str, String)) -> Faulty {
    // As long as the test, like whoever says it.
    let value: &'static str = header.1.leak();
    let headers: &'static [_] = vec![(header.0, value)].leak();
    registry::faulty(behind, move |line, _| line.contains(of).then_some(Fault::Status(status, headers))).await
}

/// The address of nobody, for who answers everything himself.
const NOBODY: &str = "127.0.0.1:9";

#[tokio::test]
async fn a_registrys_token_service_is_nowhere_private() {
    let canary = Canary::on("0.0.0.0").await;
    for place in places(&canary) {
        let realm = ("WWW-Authenticate", format!("Bearer realm=\"{place}\",service=\"s\""));
        let registry = leading(NOBODY, "/v2/", 401, realm).await;
        let (code, said) = Home::new().complaint(&["plugin", "pull", &registry.reference("acme/x:1")]).await;
        assert_eq!(code, Some(1), "{place}: {said}");
        assert!(said.contains("leads to"), "{place}: {said}");
        assert!(registry.asked() > 0, "{place}");
    }
    assert_eq!(canary.hits(), 0, "nobody came by");
}

#[tokio::test]
async fn a_registrys_redirects_lead_nowhere_private() {
    require!(registry::there());
    let canary = Canary::on("0.0.0.0").await;
    let (behind, home) = (registry::registry().await, Home::new());
    home.line(&["plugin", "push", "builtin:tool-filter", &behind.reference("acme/filter:1")]).await;
    for place in places(&canary) {
        let registry = leading(&behind.address, "/blobs/", 307, ("Location", place.clone())).await;
        let pull = ["plugin", "pull", &registry.reference("acme/filter:1")];
        let (code, said) = Home::new().complaint(&pull).await;
        assert_eq!(code, Some(1), "{place}: {said}");
        assert!(said.contains("leads to"), "{place}: {said}");
    }
    assert_eq!(canary.hits(), 0, "nobody came by");
}

#[tokio::test]
async fn an_index_leads_nowhere_private() {
    let canary = Canary::on("0.0.0.0").await;
    for place in places(&canary) {
        let index = leading(NOBODY, "/v0.1/", 302, ("Location", place.clone())).await;
        let url = format!("http://{}/v0.1/servers/io.github.acme%2Fx/versions/latest", index.address);
        let (code, said) = Home::new().complaint(&["server", "import", &url]).await;
        assert_eq!(code, Some(1), "{place}: {said}");
        assert!(index.asked() > 0, "{place}");
    }
    for place in places(&canary) {
        let remote = json!({"name": "io.github.acme/x", "description": "x", "version": "1.0.0",
            "remotes": [{"type": "streamable-http", "url": place}]});
        let index = official::registry(vec![official::entry(remote)]).await;
        let home = Home::new();
        let imported = home.run(&["server", "import", &index.latest("io.github.acme/x")]).await;
        // What is not refused at once is refused when it would be spoken with.
        let Some(reference) = imported.stdout.lines().next() else {
            assert_eq!(imported.status.code(), Some(1), "{place}: {}", imported.stderr);
            continue;
        };
        let data = home.path().join(".local/share");
        let gw =
            gateway().arg("--oci-ref").arg(reference).env("XDG_DATA_HOME", data.to_str().expect("UTF-8"));
        let gw = gw.start().await;
        gw.reaches("io-github-acme-x", &["failed", "refused"]).await;
        gw.stop().await;
    }
    assert_eq!(canary.hits(), 0, "nobody came by");
}

/// A name other than `localhost` that leads to this machine, or to a private address of it.
fn own_name() -> Result<String, String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").map_err(|error| error.to_string())?;
    let name = name.trim().to_ascii_lowercase();
    let addresses = (name.as_str(), 0).to_socket_addrs().map_err(|error| format!("`{name}`: {error}"))?;
    let is_ours = |ip: IpAddr| matches!(ip, IpAddr::V4(v4) if v4.is_loopback() || v4.is_private());
    let mut addresses = addresses.peekable();
    match addresses.peek().is_some() && addresses.all(|address| is_ours(address.ip())) {
        true if name != "localhost" => Ok(name),
        _ => Err(format!("this machine's name `{name}` leads to no private address")),
    }
}

#[tokio::test]
async fn a_name_that_a_plugin_may_ask_does_not_become_this_machine() {
    require!(own_name());
    let name = own_name().expect("checked");
    let (canary, meant) = (Canary::on("0.0.0.0").await, Canary::on("0.0.0.0").await);
    let public = format!("https://{name}:{}", canary.port);
    let private = format!("http://{name}:{}", meant.port);
    let config = format!(
        "servers:\n  fx: {{process: [{}, server, --stdio]}}\nplugins:\n  asks: {{use: '{}', grants: {{http: ['{public}', {{origin: '{private}', private: true}}]}}}}\n",
        build::fixture().display(),
        build::capable().display(),
    );
    let gw = gateway().config(&config).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    for origin in [&public, &private] {
        let call = json!({"name": "text", "arguments": {"text": "fine"}, "do": format!("get {origin}/")});
        soon("the call", client.request("tools/call", call)).await;
    }
    assert_eq!(canary.hits(), 0, "nobody came by");
    soon("who was meant to come by", async {
        while meant.hits() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    gw.stop().await;
}

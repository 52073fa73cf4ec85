//! Starts: the port is open before anything is fetched, and what is known from an earlier run serves at once.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wasmgate_tests::home::Home;
use wasmgate_tests::{Gateway, Running, gateway, soon};

/// A web server with one document. As long as it has nothing to say, whoever asks waits.
struct Web {
    address: SocketAddr,
    says: watch::Sender<Option<(u16, String)>>,
}

impl Web {
    async fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let says = watch::Sender::new(None);
        let hears = says.subscribe();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, hears.clone()));
            }
        });
        Self { address, says }
    }

    fn says(&self, status: u16, text: impl Into<String>) {
        self.says.send_replace(Some((status, text.into())));
    }

    fn falls_silent(&self) {
        self.says.send_replace(None);
    }

    fn gateway(&self, home: &Home) -> Gateway {
        let data = home.path().join("data");
        let url = format!("http://{}/catalog.json", self.address);
        gateway()
            .arg("--catalog")
            .arg(url)
            .arg("--enable-all-servers")
            .env("XDG_DATA_HOME", data.to_str().expect("UTF-8"))
    }
}

async fn answer(mut stream: TcpStream, mut says: watch::Receiver<Option<(u16, String)>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let Ok(said) = says.wait_for(Option::is_some).await.map(|said| said.clone()) else { return };
    let (status, text) = said.expect("something");
    let length = text.len();
    let response = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    );
    let _ = stream.write_all(response.as_bytes()).await;
}

/// A catalog of a server that nothing is started for: it lacks a secret.
fn catalog(server: &str) -> String {
    let secret = json!([{"name": format!("{server}.key"), "env": "KEY"}]);
    json!({"registry": {server: {"title": "x", "type": "server", "image": "docker.io/acme/x:1", "secrets": secret}}})
        .to_string()
}

async fn names(gw: &Running) -> Vec<String> {
    let states = gw.states().await;
    let servers = states["servers"].as_array().expect("a list");
    servers.iter().filter_map(|server| server["name"].as_str()).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_port_is_open_while_catalogs_are_fetched() {
    let (web, home) = (Web::silent().await, Home::new());
    let gw = web.gateway(&home).start().await;
    assert_eq!(gw.get("/health").await.status, 200);
    assert_eq!(gw.readiness().await["reason"], "the configuration is loading");
    let modern = gw.modern();
    let waiting = tokio::spawn(async move { modern.request("server/discover", json!({})).await });
    assert_eq!(gw.get("/health").await.status, 200);
    assert!(!waiting.is_finished(), "what cannot be answered yet waits");
    web.says(200, catalog("a"));
    let discovered = soon("the answer that waited", waiting).await.expect("an answer");
    assert!(discovered["result"]["capabilities"]["tools"].is_object(), "{discovered}");
    assert_eq!(names(&gw).await, ["a"]);
    gw.stop().await;
}

#[tokio::test]
async fn a_gateway_that_waits_for_catalogs_can_be_stopped() {
    let (web, home) = (Web::silent().await, Home::new());
    let gw = web.gateway(&home).start().await;
    assert_eq!(gw.get("/health").await.status, 200);
    gw.stop().await;
}

#[tokio::test]
async fn a_catalog_that_cannot_be_had_ends_the_start() {
    let (web, home) = (Web::silent().await, Home::new());
    web.says(404, "");
    let ended = web.gateway(&home).run_to_end().await;
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("answers with status 404"), "{}", ended.stderr);
}

#[tokio::test]
async fn what_was_answered_last_serves_until_there_is_an_answer() {
    let (web, home) = (Web::silent().await, Home::new());
    web.says(200, catalog("a"));
    let gw = web.gateway(&home).start().await;
    gw.reaches("a", &["needs-secret"]).await;
    gw.stop().await;

    web.falls_silent();
    let gw = web.gateway(&home).start().await;
    let discovered = gw.modern().request("server/discover", json!({})).await;
    assert!(discovered["result"]["capabilities"].is_object(), "nobody waits for the network: {discovered}");
    assert_eq!(names(&gw).await, ["a"]);
    web.says(200, catalog("b"));
    gw.printed("that there is news", |text| text.contains("the new configuration is in force")).await;
    assert_eq!(names(&gw).await, ["b"], "the new catalog is in force");
    gw.stop().await;

    web.falls_silent();
    let gw = web.gateway(&home).start().await;
    gw.reaches("b", &["needs-secret"]).await;
    assert_eq!(names(&gw).await, ["b"], "and is what is known now");
    gw.stop().await;
}

#[tokio::test]
async fn a_no_is_believed_at_the_next_start() {
    let (web, home) = (Web::silent().await, Home::new());
    web.says(200, catalog("a"));
    let gw = web.gateway(&home).start().await;
    gw.reaches("a", &["needs-secret"]).await;
    gw.stop().await;

    web.says(404, "");
    let gw = web.gateway(&home).start().await;
    gw.printed("that the catalog is gone", |text| text.contains("answers with status 404")).await;
    assert_eq!(names(&gw).await, ["a"], "what is in force stays so");
    gw.stop().await;
    let ended = web.gateway(&home).run_to_end().await;
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("answers with status 404"), "{}", ended.stderr);

    web.says(200, catalog("a"));
    let gw = web.gateway(&home).start().await;
    gw.reaches("a", &["needs-secret"]).await;
    gw.stop().await;
}

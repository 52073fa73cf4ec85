//! Whom a container reaches whose hosts are named, and that its network ends with it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::{Running, build, docker, gateway, require, soon};

use super::{Canary, check, probe, tries};

/// A TLS server of this machine. It has some name; the probe does not look at it.
struct TlsServer {
    port: u16,
    _child: Child,
}

async fn tls_server() -> Result<TlsServer, String> {
    let directory = build::profile_dir().join("isolation-tls");
    let failed = |error: std::io::Error| format!("no openssl ({error})");
    std::fs::create_dir_all(&directory).map_err(failed)?;
    let (key, certificate) = (directory.join("key.pem"), directory.join("cert.pem"));
    let mut made = Command::new("openssl");
    made.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
    ]);
    made.arg("/CN=localhost").arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let made = made.stderr(Stdio::null()).status().await.map_err(failed)?;
    assert!(made.success(), "openssl makes a certificate");
    let mut served = Command::new("openssl");
    served.args(["s_server", "-accept", "127.0.0.1:0", "-key"]).arg(&key).arg("-cert").arg(&certificate);
    let mut child = served
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let port = soon("openssl saying where it listens", async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if let Some(place) = line.strip_prefix("ACCEPT ") {
                return place.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
            }
        }
        panic!("openssl ended")
    });
    let port = port.await;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(TlsServer { port, _child: child })
}

/// A gateway with the probe behind these rules, which the operator wrote.
async fn with_hosts(name: &str, rules: &[String]) -> Running {
    let config = json!({"servers": {name: {"allowHosts": rules}}});
    let catalog = Catalog::new().entry(name, probe(json!({"allowHosts": ["nothing.example"]})));
    let gw = gateway().catalog(catalog).config(&config.to_string()).start().await.with_container(name);
    gw.ready([name]).await;
    gw
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_host_is_reached_and_nothing_else_is() {
    require!(docker::probe().await);
    let engine = docker::there().await.expect("checked");
    let server = match tls_server().await {
        Ok(server) => server,
        Err(reason) => {
            require!(Err::<(), _>(reason));
            return;
        }
    };
    let (tls, name) = (server.port, "iso-hosts-only");
    let plain = wasmgate_tests::remote::service(|_, _| (200, "plain".to_owned())).await.port();
    let elsewhere = Canary::on("0.0.0.0").await;
    let gw = with_hosts(
        name,
        &[
            format!("localhost:{tls}/https"),
            format!("localhost:{plain}/http"),
            "secret.example:443".to_owned(),
        ],
    )
    .await;
    let client = gw.alone(name).await;
    let place = |port: u16| format!("localhost:{port}");
    let bridge = bridge_address().await;

    check(
        &client,
        &[
            (&format!("tls={}/localhost", place(tls)), "TLS"),
            (&format!("get=http://{}/", place(plain)), "status 200"),
            // The name in the handshake, or in the request, is another one.
            (&format!("tls={}/evil.example", place(tls)), "closed"),
            (&format!("tls={}/", place(tls)), "closed"),
            (&format!("raw={}", place(tls)), "closed"),
            (&format!("get=http://{}/ evil.example", place(plain)), "status 403"),
            (&format!("get=http://evil.example/ {}", place(plain)), "status 403"),
            // Other protocols, ports, names and spellings of the same place.
            (&format!("tls={}/localhost", place(plain)), "status 403"),
            (&format!("get=http://{}/", place(tls)), "status 403"),
            (&format!("tls={}/localhost", place(elsewhere.port)), "status 403"),
            (&format!("tls=127.0.0.1:{tls}/localhost"), "status 403"),
            (&format!("tls=[::1]:{tls}/localhost"), "status 403"),
            (&format!("tls=[::ffff:127.0.0.1]:{tls}/localhost"), "status 403"),
            (&format!("tls=2130706433:{tls}/localhost"), "status 403"),
            ("tls=1.1.1.1:443/cloudflare-dns.com", "status 403"),
            ("tls=dns.google:443/dns.google", "status 403"),
            ("get=http://169.254.169.254/latest/meta-data/", "status 403"),
            // Around the proxy.
            ("lookup=localhost.secret.example", "not resolved"),
            ("dns=127.0.0.11:53/data.tunnel.example", "no answer"),
            ("v6", "no address"),
            ("has=HTTPS_PROXY", "yes"),
        ],
    )
    .await;
    let out = tries(
        &client,
        &[
            "net",
            "tcp=1.1.1.1:443",
            "tcp=169.254.169.254:80",
            &format!("tcp={bridge}:{}", elsewhere.port),
            &format!("tcp=127.0.0.1:{}", elsewhere.port),
            "dns=8.8.8.8:53/data.tunnel.example",
            "tcp=[2606:4700:4700::1111]:443",
        ],
    )
    .await;
    for line in out.lines() {
        assert!(!line.ends_with(": open") && !line.ends_with(": answered"), "{out}");
    }
    assert_eq!(elsewhere.hits(), 0, "nobody came by");
    soon("the end of the networks of calls that have ended", async {
        while !docker::networks_of(&engine, name).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    })
    .await;
    gw.stop().await;
}

/// The address of a container, and the host's in the same network.
async fn places(engine: &bollard::Docker, name: &str) -> (String, String) {
    let networks =
        docker::inspect(engine, name).await.network_settings.and_then(|settings| settings.networks);
    let network = networks.expect("networks").into_values().next().expect("one network");
    let id = network.network_id.expect("an id");
    let made = engine.inspect_network(&id, None::<bollard::query_parameters::InspectNetworkOptions>).await;
    let config = made.expect("the network").ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let host = config.into_iter().find_map(|config| config.gateway).expect("the host's address");
    (network.ip_address.expect("an address"), host)
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_do_not_reach_each_other() {
    require!(docker::scratch().await);
    require!(docker::probe().await);
    let engine = docker::there().await.expect("checked");
    let server = |more: Value| {
        let mut entry = json!({"type": "server", "image": docker::SCRATCH, "command": ["server", "--http", "0.0.0.0:8080"], "pull": "never",
            "transport": "streamable-http", "port": 8080});
        entry.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        entry
    };
    let catalog = Catalog::new()
        .entry("iso-near", server(json!({})))
        .entry("iso-far", server(json!({"allowHosts": ["api.example.com"]})))
        .entry("iso-open-probe", probe(json!({})))
        .entry("iso-host-probe", probe(json!({"allowHosts": ["api.example.com"]})));
    let mut gw = gateway().catalog(catalog).start().await;
    for name in ["iso-near", "iso-far", "iso-open-probe", "iso-host-probe"] {
        gw = gw.with_container(name);
        gw.ready([name]).await;
    }
    // Both are served: one over a port of this machine, one in its own network.
    for name in ["iso-near", "iso-far"] {
        let echoed = gw.alone(name).await.call("echo", json!({"a": name})).await;
        assert_eq!(echoed["structuredContent"], json!({"a": name}));
    }
    let ((near, _), (far, far_host)) = (places(&engine, "iso-near").await, places(&engine, "iso-far").await);
    let words = [format!("tcp={near}:8080"), format!("tcp={far}:8080"), format!("greets={far_host}:3128")];
    for name in ["iso-open-probe", "iso-host-probe"] {
        let client = gw.alone(name).await;
        let words: Vec<&str> = std::iter::once("net").chain(words.iter().map(String::as_str)).collect();
        let mut found = tries(&client, &words).await;
        let reached =
            |line: &str| line.ends_with(": open") || line.ends_with(": an answer") || line.ends_with(": TLS");
        if found.lines().any(reached) {
            // Docker takes its rules away for some milliseconds whenever it makes a network, and other tests have it do so.
            found = tries(&client, &words).await;
        }
        assert!(!found.lines().any(reached), "{name}: {found}");
        assert_eq!(found.lines().count(), 3, "{found}");
    }
    gw.stop().await;
    for name in ["iso-near", "iso-far", "iso-open-probe", "iso-host-probe"] {
        assert!(docker::networks_of(&engine, name).await.is_empty(), "{name} left a network");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_end_with_their_servers_however_those_end() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let (name, broken) = ("iso-orphan", "iso-broken");
    let entry = |command: Value| json!({"type": "server", "image": docker::SCRATCH, "command": command, "pull": "never", "allowHosts": ["api.example.com"]});
    let catalog =
        || Catalog::new().entry(name, entry(json!(["stubborn"]))).entry(broken, entry(json!(["exit", "3"])));
    let killed = gateway().catalog(catalog()).start().await;
    killed.ready([name]).await;
    killed.reaches(broken, &["failed"]).await;
    let container = docker::containers_of(&engine, name).await[0].id.clone().expect("an id");
    let network = docker::networks_of(&engine, name).await[0].id.clone().expect("an id");
    killed.kill().await;

    let next = gateway().catalog(catalog()).start().await.with_container(name).with_container(broken);
    next.ready([name]).await;
    soon("the end of what the killed gateway left", async {
        loop {
            let containers = docker::containers_of(&engine, name).await;
            let networks = docker::networks_of(&engine, name).await;
            if containers.iter().all(|one| one.id.as_ref() != Some(&container))
                && networks.iter().all(|one| one.id.as_ref() != Some(&network))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    next.stop().await;
    for name in [name, broken] {
        assert!(docker::networks_of(&engine, name).await.is_empty(), "{name} left a network");
    }
}

/// The address of the machine on Docker's own bridge.
async fn bridge_address() -> String {
    let engine = docker::there().await.expect("checked");
    let bridge =
        engine.inspect_network("bridge", None::<bollard::query_parameters::InspectNetworkOptions>).await;
    let config = bridge.expect("Docker's bridge").ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    config.into_iter().find_map(|config| config.gateway).unwrap_or_else(|| "172.17.0.1".to_owned())
}

//! What a hostile program in a container can do and whom it can reach: a probe that tries, under default settings, without a
//! network, and with named hosts.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, HostConfig};
use expect_test::expect;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::{Legacy, Running, build, docker, gateway, require, soon};

/// An entry whose only tool runs the probe with the words of a call.
fn probe(more: Value) -> Value {
    let tool = json!({"name": "try", "description": "Tries.", "container": {"image": docker::PROBE, "command": ["{{words|into}}"]},
        "parameters": {"type": "object", "properties": {"words": {"type": "array", "items": {"type": "string"}}}}});
    let mut entry = json!({"type": "poci", "tools": [tool], "pull": "never", "env": [{"name": "OWN_MARK", "value": "1"}]});
    entry.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    entry
}

/// What the probe found, line by line.
async fn tries(client: &Legacy, words: &[&str]) -> String {
    let result = client.call("try", json!({"words": words})).await;
    assert_eq!(result["isError"], false, "{result}");
    result["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

/// Tries to reach things, each of which is to have this outcome.
async fn check(client: &Legacy, table: &[(&str, &str)]) {
    let words: Vec<&str> = std::iter::once("net").chain(table.iter().map(|(word, _)| *word)).collect();
    let expected: String = table.iter().map(|(word, outcome)| format!("{word}: {outcome}\n")).collect();
    assert_eq!(tries(client, &words).await, expected);
}

/// A port that counts who connects. It listens on this address of this machine.
pub struct Canary {
    pub port: u16,
    hits: Arc<AtomicUsize>,
}

impl Canary {
    pub async fn on(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let (port, hits) = (listener.local_addr().expect("an address").port(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&hits);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, hits }
    }

    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

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
async fn a_hostile_program_finds_nothing_to_work_with() {
    require!(docker::probe().await);
    let name = "iso-findings";
    let catalog = Catalog::new().entry(name, probe(json!({})));
    let gw = gateway().catalog(catalog).start().await.with_container(name);
    gw.ready([name]).await;
    let found = tries(&gw.alone(name).await, &["findings"]).await;
    expect![[r#"
        Uid: 65532 65532 65532 65532
        Gid: 65532 65532 65532 65532
        Groups: 65532
        CapInh: 0000000000000000
        CapPrm: 0000000000000000
        CapEff: 0000000000000000
        CapBnd: 0000000000000000
        CapAmb: 0000000000000000
        NoNewPrivs: 1
        Seccomp: 2
        environment: HOME HOSTNAME OWN_MARK PATH
        processes seen: 2
        environments of others: 0
        setuid(0): refused
        setgid(0): refused
        mount: refused
        umount: refused
        pivot_root: refused
        chroot: refused
        unshare(user): refused
        unshare(mount): refused
        unshare(net): refused
        keyctl: refused
        bpf: refused
        perf_event_open: refused
        init_module: refused
        reboot: refused
        sethostname: refused
        settimeofday: refused
        mknod: refused
        ptrace(1): done
        raw socket: refused
        packet socket: refused
        write /x: refused
        write /etc/hosts: refused
        write /etc/resolv.conf: refused
        write /etc/hostname: refused
        write /proc/sys/kernel/core_pattern: refused
        write /proc/sysrq-trigger: refused
        write /proc/sys/net/ipv4/ip_forward: refused
        write /sys/fs/cgroup/x: refused
        write /sys/kernel/uevent_helper: refused
        write /dev/x: refused
        write /tmp/x: done
        read /proc/kcore: refused
        read /proc/keys: refused
        read /proc/timer_list: refused
        read /proc/latency_stats: refused
        read /sys/firmware/x: refused
        read /var/run/docker.sock: refused
        read /run/docker.sock: refused
        read /dev/mem: refused
        read /dev/kmsg: refused
        read /dev/vda: refused
        run a program from /tmp: refused
        fill /tmp: 63 MiB and then ENOSPC
        fill /dev/shm: 16 MiB and then ENOSPC
        processes and threads: 128 and then EAGAIN
        memory: killed by signal 9
        Max open files: 1024 1024
        Max core file size: 0 0
    "#]]
    .assert_eq(&found);
    gw.stop().await;
}

/// The settings of a container as the engine has them, as far as they are a matter of policy.
fn policy(container: ContainerInspectResponse) -> String {
    let host = container.host_config.expect("host settings");
    let sorted = |list: Option<Vec<String>>| {
        let mut list = list.unwrap_or_default();
        list.sort();
        list
    };
    let HostConfig { masked_paths, readonly_paths, .. } = host.clone();
    let masked = sorted(masked_paths);
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"] {
        assert!(masked.iter().any(|masked| masked == path), "{path} is not masked: {masked:?}");
    }
    let readonly = sorted(readonly_paths);
    for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"] {
        assert!(readonly.iter().any(|readonly| readonly == path), "{path} is writable: {readonly:?}");
    }
    let network = host.network_mode.as_deref().map(|mode| match mode {
        "none" | "host" => mode,
        mode if mode.starts_with("wasmgate-") => "the gateway's",
        _ => "its own",
    });
    let config = container.config.expect("settings");
    let text = json!({
        "user": config.user, "tty": config.tty, "network": network, "privileged": host.privileged, "capAdd": host.cap_add, "capDrop": host.cap_drop,
        "securityOpt": host.security_opt, "readonlyRootfs": host.readonly_rootfs, "tmpfs": host.tmpfs, "mounts": host.mounts,
        "binds": host.binds, "devices": host.devices, "memory": host.memory, "memorySwap": host.memory_swap, "cpus": host.nano_cpus,
        "pids": host.pids_limit, "ulimits": host.ulimits, "shm": host.shm_size, "oomScoreAdj": host.oom_score_adj, "init": host.init,
        "ipc": host.ipc_mode, "pid": host.pid_mode, "uts": host.uts_mode, "userns": host.userns_mode, "log": host.log_config,
        "restart": host.restart_policy, "autoRemove": host.auto_remove, "volumesFrom": host.volumes_from, "extraHosts": host.extra_hosts,
        "dns": host.dns,
    });
    let lines = text.as_object().unwrap().iter().map(|(key, value)| format!("{key}: {value}\n"));
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_container_is_created_as_the_policy_says() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let entry = |more: Value| {
        let mut entry = json!({"type": "server", "image": docker::SCRATCH, "command": ["server", "--stdio"], "pull": "never"});
        entry.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        entry
    };
    let catalog = Catalog::new()
        .entry("iso-open", entry(json!({})))
        .entry("iso-none", entry(json!({"disableNetwork": true})))
        .entry("iso-hosts", entry(json!({"allowHosts": ["api.example.com"]})));
    let mut gw = gateway().catalog(catalog).start().await;
    let mut policies = Vec::new();
    for name in ["iso-open", "iso-none", "iso-hosts"] {
        gw = gw.with_container(name);
        gw.ready([name]).await;
        policies.push(policy(docker::inspect(&engine, name).await));
    }
    expect![[r#"
        user: "65532:65532"
        tty: false
        network: "the gateway's"
        privileged: false
        capAdd: []
        capDrop: ["ALL"]
        securityOpt: ["no-new-privileges:true"]
        readonlyRootfs: true
        tmpfs: {"/tmp":"rw,noexec,nosuid,nodev,size=64m"}
        mounts: null
        binds: null
        devices: null
        memory: 536870912
        memorySwap: 536870912
        cpus: 1000000000
        pids: 128
        ulimits: [{"Name":"nofile","Soft":1024,"Hard":1024},{"Name":"core","Soft":0,"Hard":0}]
        shm: 16777216
        oomScoreAdj: 500
        init: true
        ipc: "private"
        pid: ""
        uts: ""
        userns: ""
        log: {"Type":"none","Config":{}}
        restart: {"Name":"no","MaximumRetryCount":0}
        autoRemove: false
        volumesFrom: null
        extraHosts: null
        dns: null
    "#]]
    .assert_eq(&policies[0]);
    let differs = |other: &str| -> String {
        let pairs = policies[0].lines().zip(other.lines());
        pairs.filter(|(open, other)| open != other).map(|(_, other)| format!("{other}\n")).collect()
    };
    expect![[r#"
        network: "none"
    "#]]
    .assert_eq(&differs(&policies[1]));
    expect![[r#"
        network: "its own"
        dns: ["192.0.2.53"]
    "#]]
    .assert_eq(&differs(&policies[2]));
    gw.stop().await;
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
        let found = tries(&client, &words).await;
        let reached =
            |line: &str| line.ends_with(": open") || line.ends_with(": an answer") || line.ends_with(": TLS");
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

/// The address of the machine on Docker's own bridge.
async fn bridge_address() -> String {
    let engine = docker::there().await.expect("checked");
    let bridge =
        engine.inspect_network("bridge", None::<bollard::query_parameters::InspectNetworkOptions>).await;
    let config = bridge.expect("Docker's bridge").ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    config.into_iter().find_map(|config| config.gateway).unwrap_or_else(|| "172.17.0.1".to_owned())
}

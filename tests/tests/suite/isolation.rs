//! What a hostile program in a container can do: a probe that tries, and the settings of every kind of container. Whom it can
//! reach is in [`allowed`], whom a stranger's catalog can name in [`strangers`].

mod allowed;
mod strangers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bollard::models::{ContainerInspectResponse, HostConfig};
use expect_test::expect;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::{Legacy, docker, gateway, require};

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

//! The settings of every container, in one pure function: what a server gets when nobody asked for more.
//!
//! The profile follows the OWASP Docker cheat sheet, rules 0 to 8, and Docker's default seccomp profile.

use std::collections::HashMap;
use std::fmt::Write as _;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    PortBinding, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use wasmgate_core::catalog::{Argument, Container, ContainerTransport, Device, Network};
use wasmgate_core::name::ServerName;

use crate::launch::Limits;
use crate::launch::identity::{DEFINITION, SERVER};

/// What the body needs besides the entry.
pub(super) struct Placement<'a> {
    /// Whose container it is.
    pub(super) server: &'a ServerName,
    /// Mounts that the bind policy has passed.
    pub(super) mounts: Vec<Mount>,
    /// The labels of the gateway that starts it.
    pub(super) labels: HashMap<String, String>,
    /// Limits where the entry has none.
    pub(super) limits: Limits,
}

/// What the engine is asked to create. The environment is in it: never print it.
pub(super) fn create_body(container: &Container, placement: Placement<'_>) -> ContainerCreateBody {
    let stdio = container.transport == ContainerTransport::Stdio;
    let port = port(&container.transport).filter(|_| publishes(&container.network));
    let extras = &container.extras;
    let mut body = ContainerCreateBody {
        image: Some(container.image.clone()),
        cmd: Some(words(&container.command)).filter(|command| !command.is_empty()),
        entrypoint: Some(extras.entrypoint.clone()).filter(|entrypoint| !entrypoint.is_empty()),
        working_dir: extras.workdir.clone(),
        env: Some(
            container.env.iter().map(|var| format!("{}={}", var.name, var.value.expose_secret())).collect(),
        ),
        user: Some(container.user.clone().unwrap_or_else(|| NOBODY.to_owned())),
        // A terminal would let the server write the frames that tell stdout from stderr.
        tty: Some(false),
        open_stdin: Some(stdio),
        attach_stdin: Some(stdio),
        // The server reads the end of its input when the gateway dies.
        stdin_once: Some(stdio),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: port.map(|port| vec![key(port)]),
        ..ContainerCreateBody::default()
    };
    let server = placement.server.as_str().to_owned();
    let mut labels = placement.labels.clone();
    body.host_config = Some(host_config(container, placement));
    labels.insert(SERVER.to_owned(), server);
    labels.insert(DEFINITION.to_owned(), definition(container, &body));
    body.labels = Some(labels);
    body
}

/// The port a container serves HTTP on.
pub(super) fn port(transport: &ContainerTransport) -> Option<u16> {
    match transport {
        ContainerTransport::Stdio => None,
        ContainerTransport::StreamableHttp { port, .. } | ContainerTransport::Sse { port, .. } => Some(*port),
    }
}

/// How the engine spells a port.
pub(super) fn key(port: u16) -> String {
    format!("{port}/tcp")
}

fn host_config(container: &Container, placement: Placement<'_>) -> HostConfig {
    let limits = placement.limits;
    let memory = i64::try_from(container.memory.unwrap_or(limits.memory)).unwrap_or(i64::MAX);
    let extras = &container.extras;
    let mounted = |path: &str| placement.mounts.iter().any(|mount| mount.target.as_deref() == Some(path));
    let owner = owner(container.user.as_deref().unwrap_or(NOBODY));
    let asked = extras.tmpfs.iter().map(|path| (path.as_str(), format!("{TMP}{owner}")));
    let memory_files = [("/tmp", TMP.to_owned())].into_iter().chain(asked);
    let memory_files = memory_files.filter(|(path, _)| !mounted(path));
    let tmpfs: HashMap<_, _> = memory_files.map(|(path, options)| (path.to_owned(), options)).collect();
    let networked = matches!(container.network, Network::Default | Network::Host);
    let published = port(&container.transport).filter(|_| publishes(&container.network));
    let published = published.map(|port| HashMap::from([(key(port), Some(vec![loopback()]))]));
    HostConfig {
        // The exit code and the reason are read first; removal is ours.
        auto_remove: Some(false),
        init: Some(true),
        privileged: Some(extras.privileged),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(extras.capabilities.clone()),
        devices: Some(extras.devices.iter().map(device).collect())
            .filter(|devices: &Vec<_>| !devices.is_empty()),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        readonly_rootfs: Some(!container.writable_root),
        tmpfs: Some(tmpfs).filter(|tmpfs| !tmpfs.is_empty()),
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some((container.cpus.unwrap_or(limits.cpus) * 1e9) as i64),
        pids_limit: Some(limits.pids),
        oom_score_adj: Some(500),
        ulimits: Some(vec![ulimit("nofile", 1024), ulimit("core", 0)]),
        shm_size: Some(extras.shm_size.map_or(SHM, |size| i64::try_from(size).unwrap_or(i64::MAX))),
        // Attaching still works; nothing of what is said lands on the engine's disk.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        network_mode: Some(network(&container.network).to_owned()),
        extra_hosts: Some(container.extra_hosts.clone()).filter(|hosts| networked && !hosts.is_empty()),
        port_bindings: published,
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        mounts: Some(placement.mounts).filter(|mounts| !mounts.is_empty()),
        ..HostConfig::default()
    }
}

/// Options that give a memory file system to a user. Where the image has a directory of that name, or the engine makes one,
/// the directory's mode counts, and only its owner may write. A user that goes by a name has to do with that.
fn owner(user: &str) -> String {
    let ids: Option<Vec<u32>> = user.split(':').map(|id| id.parse().ok()).collect();
    match ids.as_deref() {
        Some([user, group]) => format!(",uid={user},gid={group}"),
        Some([user]) => format!(",uid={user}"),
        _ => String::new(),
    }
}

/// Whether a port is published: the machine's own network needs it not, and one without a way out cannot.
fn publishes(network: &Network) -> bool {
    *network == Network::Default
}

/// Without a network until it is put into one.
fn network(network: &Network) -> &'static str {
    match network {
        Network::None | Network::Default | Network::Hosts(_) => "none",
        Network::Host => "host",
    }
}

fn device(device: &Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.host.clone()),
        path_in_container: Some(device.container.clone()),
        cgroup_permissions: Some(device.access.clone()),
    }
}

fn words(command: &[Argument]) -> Vec<String> {
    command.iter().map(|word| word.expose().to_owned()).collect()
}

fn ulimit(name: &str, limit: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(limit), hard: Some(limit) }
}

/// A port of this machine that nobody else reaches, chosen by the engine.
fn loopback() -> PortBinding {
    PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) }
}

/// A hash that is the same for the same settings. Values of the environment and secret arguments are left out: a hash of
/// a short secret tells the secret.
fn definition(container: &Container, body: &ContainerCreateBody) -> String {
    let names = body.env.iter().flatten().map(|var| var.split('=').next().unwrap_or_default().to_owned());
    let shown = |argument: &Argument| argument.to_string();
    let cmd = body.cmd.as_ref().map(|_| container.command.iter().map(shown).collect());
    let public = ContainerCreateBody { env: Some(names.collect()), cmd, labels: None, ..body.clone() };
    let mut value = serde_json::to_value(public).unwrap_or_default();
    value.sort_all_objects();
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(format!("{value}{:?}", container.network)) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A user that exists nowhere, so it owns nothing.
const NOBODY: &str = "65532:65532";
const SHM: i64 = 16 * 1024 * 1024;
const TMP: &str = "rw,noexec,nosuid,nodev,size=64m";

#[cfg(test)]
pub(super) mod tests;

//! The settings of every container, in one pure function: what a server gets when nobody asked for more.
//!
//! The profile follows the OWASP Docker cheat sheet, rules 0 to 8, and Docker's default seccomp profile.

use std::collections::HashMap;
use std::fmt::Write as _;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, PortBinding,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use wasmgate_core::catalog::{Container, ContainerTransport, Network};
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
    let port = port(&container.transport);
    let mut body = ContainerCreateBody {
        image: Some(container.image.clone()),
        cmd: Some(container.command.clone()).filter(|command| !command.is_empty()),
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
    labels.insert(DEFINITION.to_owned(), definition(&body));
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
    let over_tmp = placement.mounts.iter().any(|mount| mount.target.as_deref() == Some("/tmp"));
    let tmpfs = (!over_tmp).then(|| HashMap::from([("/tmp".to_owned(), TMP.to_owned())]));
    let networked = container.network == Network::Default;
    let published =
        port(&container.transport).map(|port| HashMap::from([(key(port), Some(vec![loopback()]))]));
    HostConfig {
        // The exit code and the reason are read first; removal is ours.
        auto_remove: Some(false),
        init: Some(true),
        privileged: Some(false),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(Vec::new()),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        readonly_rootfs: Some(!container.writable_root),
        tmpfs,
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some((container.cpus.unwrap_or(limits.cpus) * 1e9) as i64),
        pids_limit: Some(limits.pids),
        oom_score_adj: Some(500),
        ulimits: Some(vec![ulimit("nofile", 1024), ulimit("core", 0)]),
        shm_size: Some(16 * 1024 * 1024),
        // Attaching still works; nothing of what is said lands on the engine's disk.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        network_mode: Some(if networked { "default" } else { "none" }.to_owned()),
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

fn ulimit(name: &str, limit: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(limit), hard: Some(limit) }
}

/// A port of this machine that nobody else reaches, chosen by the engine.
fn loopback() -> PortBinding {
    PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) }
}

/// A hash that is the same for the same settings. Values of the environment are left out: a hash of a short secret
/// tells the secret.
fn definition(body: &ContainerCreateBody) -> String {
    let names = body.env.iter().flatten().map(|var| var.split('=').next().unwrap_or_default().to_owned());
    let public = ContainerCreateBody { env: Some(names.collect()), labels: None, ..body.clone() };
    let mut value = serde_json::to_value(public).unwrap_or_default();
    value.sort_all_objects();
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(value.to_string()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A user that exists nowhere, so it owns nothing.
const NOBODY: &str = "65532:65532";
const TMP: &str = "rw,noexec,nosuid,nodev,size=64m";

#[cfg(test)]
pub(super) mod tests;

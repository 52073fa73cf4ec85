//! A server as a catalog writes it: Docker's keys, ours beside them, everything else passed over.
//!
//! This is the file's shape and may be wrong; [`super::resolve`] turns it into a [`wasmgate_core::catalog::Server`]. An
//! inline server of wasmgate.yaml becomes an [`Entry`] too, so there is one way from words to a server.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value as Json;
use wasmgate_core::catalog::{Protocol, Pull};

use super::instances::InstancesEntry;
use crate::document::units::{AtOnce, Memory, Span};
use crate::document::{EnvList, Text};

/// One server of a catalog.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Entry {
    /// Its name, where the format does not use it as a key.
    pub name: Option<String>,
    /// `server`, `remote`, `poci` or `process`; only `poci` without a launch key matters, as with Docker.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// A short title.
    pub title: Option<String>,
    /// A sentence or two.
    pub description: Option<String>,
    /// What it is started from.
    #[serde(flatten)]
    pub from: From,
    /// Environment: literals, templates or `$VAR`.
    pub env: EnvList,
    /// The secrets it may have, and under which variable.
    pub secrets: Vec<SecretEntry>,
    /// How one logs in to it.
    pub oauth: Option<OauthEntry>,
    /// JSON-schema-like objects that say which values it takes.
    pub config: Vec<Json>,
    /// Descriptions of its tools; read only for `poci` entries.
    pub tools: Vec<Json>,
    /// How it is run.
    #[serde(flatten)]
    pub options: Options,
}

/// What a server is started from: exactly one of these counts, in Docker's order (remote before image).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct From {
    /// An image reference.
    pub image: Option<String>,
    /// Somebody else's server.
    pub remote: Option<RemoteEntry>,
    /// Deprecated spelling of a remote over SSE.
    pub sse_endpoint: Option<String>,
    /// A program on this machine (ours).
    pub process: Option<ProcessEntry>,
}

/// `remote:` of an entry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RemoteEntry {
    /// Its address; templates and `$VAR` allowed.
    pub url: String,
    /// Several equivalent addresses (ours).
    pub urls: Vec<String>,
    /// `sse`, or `http`, `streamable`, `streaming`, `streamable-http`.
    #[serde(alias = "transport")]
    pub transport_type: String,
    /// Headers; templates and `$VAR` allowed.
    pub headers: std::collections::BTreeMap<String, Text>,
}

/// `process:` of an entry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ProcessEntry {
    /// Program and arguments.
    pub command: Vec<Text>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Environment, besides the entry's own.
    pub env: EnvList,
}

/// One item of `secrets:`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SecretEntry {
    /// The secret's name in secret stores.
    pub name: String,
    /// The variable it is delivered as.
    #[serde(default)]
    pub env: String,
    /// Whether the server needs it; Docker has no such key and neither have most catalogs.
    #[serde(default)]
    pub required: Option<bool>,
    /// What it is, for whoever has to get it.
    #[serde(default)]
    pub description: Option<String>,
}

/// `oauth:` of an entry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OauthEntry {
    /// Who hands out tokens.
    pub providers: Vec<OauthProvider>,
}

/// One item of `oauth.providers`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OauthProvider {
    /// The provider's name.
    pub provider: String,
    /// The secret a token is kept as.
    pub secret: String,
    /// The variable a token is delivered as.
    pub env: String,
}

/// How a server is run. Each key may also be set, and then wins, in wasmgate.yaml.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Options {
    /// Arguments after the image.
    pub command: Option<Vec<Text>>,
    /// `source:target[:ro]`, or templates that make mounts.
    pub volumes: Option<Vec<Text>>,
    /// Lines for the hosts file.
    pub extra_hosts: Option<Vec<Text>>,
    /// `user[:group]`.
    pub user: Option<Text>,
    /// No network at all.
    pub disable_network: Option<bool>,
    /// The only destinations it may reach, `host[:port][/protocol]` each.
    pub allow_hosts: Option<Vec<Text>>,
    /// Whether the operator wrote them, in wasmgate.yaml.
    #[serde(skip)]
    pub hosts_named: bool,
    /// Keeps state between calls.
    pub long_lived: Option<bool>,
    /// Prefix of its tools' names.
    pub prefix: Option<String>,
    /// `stdio`, `streamable-http` or `sse`, for containers (ours).
    pub transport: Option<Transport>,
    /// Port inside the container (ours).
    pub port: Option<u16>,
    /// Path of the endpoint on that port (ours).
    pub path: Option<String>,
    /// Limits and timing (ours).
    #[serde(flatten)]
    pub limits: Limits,
    /// What few containers ask for (ours).
    #[serde(flatten)]
    pub extras: ExtrasEntry,
}

/// The part of [`Options`] that few containers ask for. All of it ours, and named as in Docker's Compose files.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExtrasEntry {
    /// In place of the image's working directory.
    pub workdir: Option<Text>,
    /// In place of the image's entry point.
    pub entrypoint: Option<Vec<Text>>,
    /// `none`, `default` or `host`; the latter needs the operator's grant.
    pub network: Option<NetworkEntry>,
    /// All capabilities and devices; needs the operator's grant.
    pub privileged: Option<bool>,
    /// Capabilities; each needs the operator's grant.
    pub cap_add: Option<Vec<Text>>,
    /// `/dev/x[:/dev/y][:rwm]`; each needs the operator's grant.
    pub devices: Option<Vec<Text>>,
    /// Size of `/dev/shm`.
    pub shm_size: Option<Memory>,
    /// Paths that are memory, besides `/tmp`.
    pub tmpfs: Option<Vec<Text>>,
}

/// `network:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkEntry {
    /// Nothing.
    None,
    /// Whatever the machine reaches.
    #[serde(alias = "bridge")]
    Default,
    /// The machine's own.
    Host,
}

/// The part of [`Options`] that is about resources, timing and protocol. All of it ours.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Limits {
    /// Memory limit.
    pub memory: Option<Memory>,
    /// CPU limit in cores.
    pub cpus: Option<f64>,
    /// Whether the root filesystem may be written.
    pub writable_root: Option<bool>,
    /// When its image is pulled.
    pub pull: Option<PullEntry>,
    /// Which protocol era to speak.
    pub protocol: Option<ProtocolEntry>,
    /// How long requests may take.
    pub deadlines: Option<DeadlinesEntry>,
    /// How many requests each instance of it is given at once.
    pub max_in_flight: Option<AtOnce>,
    /// Who shares an instance, and how many run.
    pub instances: Option<InstancesEntry>,
    /// Whether the gateway must not run without it.
    pub required: Option<bool>,
}

/// How a container is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Attached stdin and stdout.
    Stdio,
    /// Streamable HTTP on a port.
    #[serde(alias = "http", alias = "streamable", alias = "streaming")]
    StreamableHttp,
    /// HTTP+SSE on a port.
    Sse,
}

/// `pull:`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullEntry {
    /// When the image is not there.
    Missing,
    /// Never.
    Never,
    /// At every start.
    Always,
}

/// `protocol:`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtocolEntry {
    /// Find out.
    Auto,
    /// Always the initialize handshake.
    Legacy,
    /// Always stateless.
    Modern,
}

/// `deadlines:`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadlinesEntry {
    /// From start to the answer to `initialize`; default 30s.
    pub initialize: Option<Span>,
    /// Longest silence within a call; default 60s.
    pub idle: Option<Span>,
    /// Longest a call may take; default 10m.
    pub total: Option<Span>,
}

impl std::convert::From<PullEntry> for Pull {
    fn from(entry: PullEntry) -> Self {
        match entry {
            PullEntry::Missing => Self::Missing,
            PullEntry::Never => Self::Never,
            PullEntry::Always => Self::Always,
        }
    }
}

impl std::convert::From<ProtocolEntry> for Protocol {
    fn from(entry: ProtocolEntry) -> Self {
        match entry {
            ProtocolEntry::Auto => Self::Auto,
            ProtocolEntry::Legacy => Self::Legacy,
            ProtocolEntry::Modern => Self::Modern,
        }
    }
}

impl Entry {
    /// Reads an entry from its document. Members that are `null` count as absent, as Docker's reader has it.
    ///
    /// # Errors
    /// A fragment that says which member has the wrong shape.
    pub fn read(document: &Json) -> Result<Self, String> {
        let Json::Object(members) = document else { return Err("is not a map of keys".to_owned()) };
        let present = members.iter().filter(|(_, value)| !value.is_null());
        let present = Json::Object(present.map(|(key, value)| (key.clone(), value.clone())).collect());
        serde_json::from_value(present).map_err(|error| error.to_string())
    }

    /// Whether it describes one container per tool call.
    pub fn is_poci(&self) -> bool {
        self.from.is_empty()
            && (self.kind.as_deref() == Some("poci")
                || self.tools.iter().any(|t| t.get("container").is_some()))
    }
}

impl From {
    /// Whether nothing says how to start it.
    pub fn is_empty(&self) -> bool {
        let blank = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        let remote =
            self.remote.as_ref().is_some_and(|remote| !remote.url.is_empty() || !remote.urls.is_empty());
        blank(&self.image) && blank(&self.sse_endpoint) && !remote && self.process.is_none()
    }
}

impl Options {
    /// These options, with what `over` says in place of what they say.
    pub fn overlaid(self, over: Self) -> Self {
        // The three say the same thing in three ways: one of them replaces all, but that there is some network leaves
        // open which.
        let hosts = over.allow_hosts.is_some();
        let network = hosts || over.extras.network.is_some() || over.disable_network.is_some();
        let replaced = hosts || over.extras.network.is_some() || over.disable_network == Some(true);
        let (allow_hosts, hosts_named) = match replaced {
            true => (over.allow_hosts, over.hosts_named),
            false => (self.allow_hosts, self.hosts_named),
        };
        Self {
            command: over.command.or(self.command),
            volumes: over.volumes.or(self.volumes),
            extra_hosts: over.extra_hosts.or(self.extra_hosts),
            user: over.user.or(self.user),
            disable_network: if network { over.disable_network } else { self.disable_network },
            allow_hosts,
            hosts_named,
            long_lived: over.long_lived.or(self.long_lived),
            prefix: over.prefix.or(self.prefix),
            transport: over.transport.or(self.transport),
            port: over.port.or(self.port),
            path: over.path.or(self.path),
            limits: Limits {
                memory: over.limits.memory.or(self.limits.memory),
                cpus: over.limits.cpus.or(self.limits.cpus),
                writable_root: over.limits.writable_root.or(self.limits.writable_root),
                pull: over.limits.pull.or(self.limits.pull),
                protocol: over.limits.protocol.or(self.limits.protocol),
                deadlines: over.limits.deadlines.or(self.limits.deadlines),
                max_in_flight: over.limits.max_in_flight.or(self.limits.max_in_flight),
                instances: over.limits.instances.or(self.limits.instances),
                required: over.limits.required.or(self.limits.required),
            },
            extras: ExtrasEntry {
                workdir: over.extras.workdir.or(self.extras.workdir),
                entrypoint: over.extras.entrypoint.or(self.extras.entrypoint),
                network: if network { over.extras.network } else { self.extras.network },
                privileged: over.extras.privileged.or(self.extras.privileged),
                cap_add: over.extras.cap_add.or(self.extras.cap_add),
                devices: over.extras.devices.or(self.extras.devices),
                shm_size: over.extras.shm_size.or(self.extras.shm_size),
                tmpfs: over.extras.tmpfs.or(self.extras.tmpfs),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an entry and the operator's word over it come to, of the three ways to say what is reached.
    #[track_caller]
    fn check(entry: &str, over: &str, expected: &str) {
        let read = |text: &str| serde_json::from_str::<Options>(text).unwrap();
        let both = read(entry).overlaid(read(over));
        let hosts =
            both.allow_hosts.map(|hosts| hosts.into_iter().map(|host| host.0).collect::<Vec<_>>().join(" "));
        let found =
            format!("{:?} {:?} {}", both.extras.network, both.disable_network, hosts.unwrap_or_default());
        assert_eq!(found.trim(), expected, "{entry} {over}");
    }

    #[test]
    fn the_operator_replaces_what_an_entry_says_of_its_network() {
        let (hosts, off) = (r#"{"allowHosts": ["a.b"]}"#, r#"{"disableNetwork": true}"#);
        check(hosts, "{}", "None None a.b");
        check(hosts, r#"{"allowHosts": ["c.d"]}"#, "None None c.d");
        check(hosts, r#"{"allowHosts": []}"#, "None None");
        check(hosts, r#"{"network": "default"}"#, "Some(Default) None");
        check(hosts, r#"{"network": "none"}"#, "Some(None) None");
        check(hosts, off, "None Some(true)");
        check(hosts, r#"{"disableNetwork": false}"#, "None Some(false) a.b");
        check(off, hosts, "None None a.b");
        check(r#"{"network": "host"}"#, hosts, "None None a.b");
        check(off, r#"{"disableNetwork": false}"#, "None Some(false)");
    }
}

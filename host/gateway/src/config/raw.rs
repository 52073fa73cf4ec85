//! wasmgate.yaml as written. May be wrong; [`super::Config`] cannot. Every key has a default, an unknown one is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value as Json};

use super::audit::RawAudit;
use super::limits::RawLimits;
use super::raw_plugins::RawPlugins;
use super::sealing::RawSealing;
use super::signatures::RawSignatures;
use crate::catalog::{
    DeadlinesEntry, InstancesEntry, NetworkEntry, ProtocolEntry, PullEntry, Transport, Values,
};
use crate::document::units::{AtOnce, Memory};
use crate::document::{EnvList, Source, Spanned, Text, closest};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawConfig {
    /// Where clients come in; default `{http: 127.0.0.1:8811}`.
    pub(super) listen: Option<RawListen>,
    /// Catalog files, later ones win; default the built-in demo when there are no `servers` either.
    pub(super) catalogs: Vec<Spanned<String>>,
    /// Servers of one's own, and options for servers of the catalogs. Always enabled.
    pub(super) servers: BTreeMap<String, Spanned<RawServer>>,
    /// Servers of the catalogs to enable: a list of names, or `all`.
    pub(super) enable: Option<RawEnable>,
    /// Values, by server.
    pub(super) config: BTreeMap<String, Map<String, Json>>,
    /// Where secrets are looked up, in order; default `[env]`.
    pub(super) secrets: Option<Vec<Spanned<String>>>,
    /// Plugins, by name; `log-calls` and `block-secrets` are there unless set to `mode: off`.
    pub(super) plugins: RawPlugins,
    /// `prefixed` (default) or `plain` names of tools and prompts.
    pub(super) names: RawNames,
    /// How many items a page of a list has; default 1000, because many clients never ask for a second page.
    pub(super) page_size: Option<Spanned<usize>>,
    /// Which host paths containers may mount.
    pub(super) binds: RawBinds,
    /// Sets of servers and tools, chosen with `--profile`.
    pub(super) profiles: BTreeMap<String, Spanned<RawProfile>>,
    /// How registries of OCI artifacts are spoken to.
    pub(super) registries: RawRegistries,
    /// Which artifacts and images need whose signature.
    pub(super) signatures: Option<RawSignatures>,
    /// The keys of what clients keep for us.
    pub(super) sealing: RawSealing,
    /// Where the gateway may connect to.
    pub(super) egress: RawEgress,
    /// Where requests are noted; nowhere when absent.
    pub(super) audit: Option<RawAudit>,
    /// What clients and servers may take.
    pub(super) limits: RawLimits,
}

/// One of `profiles:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawProfile {
    /// The servers that are enabled.
    pub(super) servers: Vec<Spanned<String>>,
    /// The tools that may be seen: `server__tool`, `server:tool`, `tool`, with `*` for all of a server; all when absent.
    pub(super) tools: Option<Vec<String>>,
}

/// `registries:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRegistries {
    /// `host[:port]`s that are spoken to over plain http; loopback always is.
    pub(super) insecure: Vec<Spanned<String>>,
}

/// `egress:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawEgress {
    /// Destinations that catalogs, plugins and registries may name although they are not public.
    pub(super) allow: Vec<Spanned<String>>,
}

/// The keys of the file.
pub(super) const KEYS: &[&str] = &[
    "listen",
    "catalogs",
    "servers",
    "enable",
    "config",
    "secrets",
    "plugins",
    "names",
    "pageSize",
    "binds",
    "profiles",
    "registries",
    "signatures",
    "sealing",
    "egress",
    "audit",
    "limits",
];

/// The values in a file of Docker's (`config.yaml`: server to values), when that is what the text is and no key of it is, or
/// nearly is, one of ours.
pub(super) fn docker_values(source: &Source<'_>) -> Option<Values> {
    let servers: BTreeMap<String, Json> = source.parse().ok()?;
    let theirs = |(name, values): (&String, &Json)| {
        values.is_object() && closest(name, KEYS.iter().copied()).is_none()
    };
    (!servers.is_empty() && servers.iter().all(theirs)).then(|| Values::read(source).ok())?
}

/// `listen:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawListen {
    /// `host:port` of `/mcp` and `/sse`.
    pub(super) http: Option<Spanned<Text>>,
    /// The same, for clients that know only `/sse`.
    pub(super) sse: Option<Spanned<Text>>,
    /// Stdin and stdout instead of a port.
    pub(super) stdio: bool,
    /// No token is asked for; default false.
    pub(super) allow_unauthenticated: bool,
    /// Origins of web pages that may call, besides this machine's own.
    pub(super) allowed_origins: Vec<String>,
    /// Host names the gateway answers to, besides this machine's own.
    pub(super) allowed_hosts: Vec<String>,
    /// Others may list and run the interceptors, at `/interceptors`; default false.
    pub(super) interceptors: bool,
}

/// One of `servers:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawServer {
    pub(super) image: Option<String>,
    pub(super) process: Option<RawProcess>,
    pub(super) remote: Option<RawRemote>,
    pub(super) url: Option<String>,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) env: EnvList,
    pub(super) secrets: Vec<RawSecret>,
    pub(super) tools: Option<Vec<String>>,
    pub(super) command: Option<Vec<Text>>,
    pub(super) volumes: Option<Vec<Text>>,
    pub(super) extra_hosts: Option<Vec<Text>>,
    pub(super) user: Option<Text>,
    pub(super) network: Option<NetworkEntry>,
    pub(super) disable_network: Option<bool>,
    pub(super) allow_hosts: Option<Vec<Text>>,
    pub(super) long_lived: Option<bool>,
    pub(super) prefix: Option<String>,
    pub(super) transport: Option<Transport>,
    pub(super) port: Option<u16>,
    pub(super) path: Option<String>,
    pub(super) memory: Option<Memory>,
    pub(super) cpus: Option<f64>,
    pub(super) writable_root: Option<bool>,
    pub(super) pull: Option<PullEntry>,
    pub(super) protocol: Option<ProtocolEntry>,
    pub(super) deadlines: Option<DeadlinesEntry>,
    pub(super) max_in_flight: Option<AtOnce>,
    pub(super) instances: Option<InstancesEntry>,
    pub(super) required: Option<bool>,
    pub(super) workdir: Option<Text>,
    pub(super) entrypoint: Option<Vec<Text>>,
    pub(super) privileged: Option<bool>,
    pub(super) cap_add: Option<Vec<Text>>,
    pub(super) devices: Option<Vec<Text>>,
    pub(super) shm_size: Option<Memory>,
    pub(super) tmpfs: Option<Vec<Text>>,
    /// What a catalog's server may have of this machine.
    pub(super) grants: Vec<Spanned<String>>,
}

/// `process:` of a server: `[program, argument, ...]`, or with `cwd` and `env`.
#[derive(Debug, Default)]
pub(super) struct RawProcess {
    pub(super) command: Vec<Text>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) env: EnvList,
}

/// `remote:` of a server: a URL, or with its transport and headers.
#[derive(Debug, Default)]
pub(super) struct RawRemote {
    pub(super) url: String,
    pub(super) urls: Vec<String>,
    pub(super) transport: String,
    pub(super) headers: BTreeMap<String, Text>,
}

/// One of a server's `secrets:`: a name, or with the variable it is delivered as.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecret {
    pub(super) name: String,
    #[serde(default)]
    pub(super) env: String,
    #[serde(default)]
    pub(super) required: Option<bool>,
    #[serde(default)]
    pub(super) description: Option<String>,
}

/// `enable:`.
#[derive(Debug)]
pub(super) enum RawEnable {
    All,
    Only(Vec<Spanned<String>>),
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawNames {
    #[default]
    Prefixed,
    Plain,
}

/// `binds:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawBinds {
    /// Roots below which host paths may be mounted, read-only, besides the temporary directories.
    pub(super) allow: Vec<Spanned<String>>,
    /// Exact host paths that may be mounted writable.
    pub(super) allow_writable: Vec<Spanned<String>>,
}

impl<'de> Deserialize<'de> for RawEnable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawEnable;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`all` or a list of server names")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawEnable, E> {
                match text {
                    "all" => Ok(RawEnable::All),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawEnable, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(RawEnable::Only(names))
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for RawProcess {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            command: Vec<Text>,
            #[serde(default)]
            cwd: Option<PathBuf>,
            #[serde(default)]
            env: EnvList,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawProcess;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`[program, argument, ...]` or `{command: [program, ...]}`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawProcess, A::Error> {
                let mut process = RawProcess::default();
                while let Some(word) = items.next_element()? {
                    process.command.push(word);
                }
                Ok(process)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawProcess, A::Error> {
                let Full { command, cwd, env } =
                    Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RawProcess { command, cwd, env })
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for RawRemote {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[derive(Default)]
        struct Full {
            url: String,
            urls: Vec<String>,
            #[serde(alias = "transport_type")]
            transport: String,
            headers: BTreeMap<String, Text>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawRemote;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or `{url: ..., headers: {...}}`")
            }
            fn visit_str<E: de::Error>(self, url: &str) -> Result<RawRemote, E> {
                Ok(RawRemote { url: url.to_owned(), ..RawRemote::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawRemote, A::Error> {
                let Full { url, urls, transport, headers } =
                    Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RawRemote { url, urls, transport, headers })
            }
        }
        from.deserialize_any(Either)
    }
}

//! What the command line says, before it meets the file. The command line fills it; it wins over the file.

use std::path::PathBuf;

use crate::document::units::Memory;

/// Flags about servers, plugins and listening.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// Which servers, from where, with which values.
    pub servers: ServerFlags,
    /// Where clients come in.
    pub listen: ListenFlags,
    /// `--log-calls`, when given.
    pub log_calls: Option<bool>,
    /// `--block-secrets`, when given.
    pub block_secrets: Option<bool>,
    /// `--interceptor`s, in their order, as written; the command line has checked how they are written.
    pub interceptors: Vec<String>,
    /// `--record`: where messages are written, and how many.
    pub record: Option<Record>,
    /// `--audit-log`: in place of the file's `audit.file`.
    pub audit_log: Option<PathBuf>,
}

/// Messages that are written to files as they pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where.
    pub directory: PathBuf,
    /// How many.
    pub most: u64,
}

/// Which servers, from where, with which values.
#[derive(Debug, Clone, Default)]
pub struct ServerFlags {
    /// `--catalog`: in place of the file's `catalogs`.
    pub catalogs: Vec<String>,
    /// `--additional-catalog`: after them.
    pub additional_catalogs: Vec<String>,
    /// `--oci-ref`: artifacts whose servers are enabled.
    pub oci_refs: Vec<String>,
    /// `--mcp-registry`: addresses of servers in a registry; these are enabled too.
    pub mcp_registries: Vec<String>,
    /// `--profile`: one of the file's `profiles`, or a profile of Docker's as a file or an artifact.
    pub profile: Option<String>,
    /// `--locked`: an artifact that the lock file does not have is an error.
    pub frozen: bool,
    /// `--servers`: exactly these, in place of everything else that enables servers.
    pub servers: Vec<String>,
    /// `--enable-all-servers`.
    pub enable_all: bool,
    /// `--registry`: Docker's files of enabled servers.
    pub registries: Vec<PathBuf>,
    /// Docker's files of values, over the file's `config`.
    pub values: Vec<PathBuf>,
    /// `--tools-config`: Docker's files of allowed tools.
    pub tools_files: Vec<PathBuf>,
    /// `--tools`: in place of those files.
    pub tools: Vec<String>,
    /// `--secrets`, split at its colons: in place of the file's `secrets`.
    pub secrets: Vec<String>,
    /// `--cpus`: for every container that does not say itself.
    pub cpus: Option<f64>,
    /// `--memory`: likewise.
    pub memory: Option<Memory>,
    /// `--long-lived`: every server keeps state between calls.
    pub long_lived: bool,
}

/// Where clients come in.
#[derive(Debug, Clone, Default)]
pub struct ListenFlags {
    /// `--transport`.
    pub transport: Option<Transport>,
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--allow-unauthenticated`.
    pub allow_unauthenticated: bool,
}

/// `--transport`, as Docker spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `stdio`.
    Stdio,
    /// `sse`.
    Sse,
    /// `http`, `streamable`, `streaming`, `streamable-http`.
    Http,
}

impl std::str::FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdio" => Ok(Self::Stdio),
            "sse" => Ok(Self::Sse),
            "http" | "streamable" | "streaming" | "streamable-http" => Ok(Self::Http),
            other => Err(format!("`{other}` is not a transport: use `streaming`, `sse` or `stdio`")),
        }
    }
}

//! The flags that say which servers and which configuration, shared by every subcommand that needs them.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Which servers, from where, with which values.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Sources {
    /// The configuration file [default: wasmgate.yaml where it exists].
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A catalog of servers; may be repeated, later ones win.
    #[arg(long, value_name = "FILE", visible_alias = "additional-catalog")]
    pub(super) catalog: Vec<String>,
    /// Servers to enable, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) servers: Vec<String>,
    /// Enable every server of the catalogs.
    #[arg(long, conflicts_with = "servers")]
    pub(super) enable_all_servers: bool,
    /// Docker's registry.yaml: the servers to enable; may be repeated.
    #[arg(long, value_name = "FILE", visible_alias = "additional-registry")]
    pub(super) registry: Vec<PathBuf>,
    /// Docker's config.yaml: values for servers; may be repeated.
    #[arg(long, value_name = "FILE", visible_alias = "additional-config")]
    pub(super) server_config: Vec<PathBuf>,
    /// Docker's tools.yaml: the tools each server may show; may be repeated.
    #[arg(long, value_name = "FILE", visible_alias = "additional-tools-config")]
    pub(super) tools_config: Vec<PathBuf>,
    /// Tools to show: `tool`, `server:tool`, `server:*` or `*`, separated by commas.
    #[arg(long, value_name = "TOOLS", value_delimiter = ',')]
    pub(super) tools: Vec<String>,
    /// Where secrets are looked up, separated by colons: `env` or files of NAME=VALUE lines.
    #[arg(long, value_name = "SOURCES", value_delimiter = ':')]
    pub(super) secrets: Vec<String>,
}

/// The bundled interceptors, on unless switched off.
#[derive(Debug, Clone, Args)]
pub(super) struct Bundled {
    /// Log each call's name, argument shape and duration, never a value.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(super) log_calls: bool,
    /// Block calls and results that carry secrets.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(super) block_secrets: bool,
}

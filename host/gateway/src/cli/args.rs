//! The flags that say which servers and which configuration, shared by every subcommand that needs them.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use secrecy::SecretString;
use url::Url;

use super::Failed;
use crate::app::{self, Probe, Purpose, ServerState};
use crate::catalog::report::Report;
use crate::config::{Config, Environment, Flags, Needs, Request, ServerFlags};
use crate::document::units::{BadQuantity, Memory};
use crate::document::{Diagnostic, render};
use crate::telemetry;

/// Which servers, from where, with which values.
#[derive(Debug, Clone, Args)]
pub(super) struct Sources {
    /// The configuration file [default: wasmgate.yaml where it exists].
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A catalog of servers; may be repeated, later ones win.
    #[arg(long, value_name = "FILE")]
    pub(super) catalog: Vec<String>,
    /// A catalog besides those of the configuration.
    #[arg(long, value_name = "FILE")]
    additional_catalog: Vec<String>,
    /// An OCI artifact whose servers are run; may be repeated.
    #[arg(long, value_name = "REFERENCE")]
    oci_ref: Vec<String>,
    /// A server of a registry by its address, or of the official one by its name, which is run; may be repeated.
    #[arg(long, value_name = "URL|NAME")]
    mcp_registry: Vec<String>,
    /// The profile to run: one of the configuration's, or one of Docker's as a file or `oci://` reference.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Fail rather than run an artifact whose digest is not in wasmgate.lock.
    #[arg(long)]
    locked: bool,
    /// Servers to enable, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    servers: Vec<String>,
    /// Enable every server of the catalogs.
    #[arg(long, conflicts_with = "servers")]
    enable_all_servers: bool,
    /// Docker's registry.yaml: the servers to enable; may be repeated.
    #[arg(long, value_name = "FILE", visible_alias = "additional-registry")]
    registry: Vec<PathBuf>,
    /// Docker's config.yaml: values for servers; may be repeated.
    #[arg(long, value_name = "FILE", visible_alias = "additional-config")]
    server_config: Vec<PathBuf>,
    /// Docker's tools.yaml: the tools each server may show; may be repeated.
    #[arg(long, value_name = "FILE", visible_alias = "additional-tools-config")]
    tools_config: Vec<PathBuf>,
    /// Tools to show: `tool`, `server:tool`, `server:*` or `*`, separated by commas.
    #[arg(long, value_name = "TOOLS", value_delimiter = ',')]
    tools: Vec<String>,
    /// Where secrets are looked up, separated by colons: `env` or files of NAME=VALUE lines.
    #[arg(long, value_name = "SOURCES")]
    secrets: Option<String>,
    /// CPU cores for each container that does not say itself.
    #[arg(long)]
    cpus: Option<f64>,
    /// Memory for each container that does not say itself, for example `512MiB` or `2Gb`.
    #[arg(long, value_parser = memory)]
    memory: Option<Memory>,
    /// Accepted for command lines that come from Docker: servers are not started per call here anyway.
    #[arg(long)]
    long_lived: bool,
}

/// The bundled interceptors, on unless switched off.
#[derive(Debug, Clone, Args)]
pub(super) struct Bundled {
    /// Log each call's name, argument shape and duration, never a value.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(super) log_calls: Option<bool>,
    /// Block calls and results that carry secrets.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(super) block_secrets: Option<bool>,
}

/// Interceptors that Docker's command lines name.
#[derive(Debug, Clone, Args)]
pub(super) struct Interceptors {
    /// Run tool calls through a command, container, HTTP service or component: `before|after:exec|docker|http|wasm:...`;
    /// may be repeated. All but `wasm` run unsandboxed.
    #[arg(long = "interceptor", value_name = "WHEN:TYPE:ARGUMENT", value_parser = app::checked_interceptor)]
    pub(super) interceptors: Vec<String>,
}

/// What a command looks at: a running gateway, or servers that it starts itself for as long as it takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Reached {
    #[command(flatten)]
    sources: Sources,
    /// A running gateway [default: http://127.0.0.1:8811/mcp, unless --catalog or --config is given].
    #[arg(long, conflicts_with_all = ["catalog", "config"])]
    url: Option<Url>,
    /// The running gateway's token [default: WASMGATE_AUTH_TOKEN].
    #[arg(long, requires = "url")]
    token: Option<String>,
}

impl Reached {
    /// Runs `look` on what was reached, and stops what was started for it.
    pub(super) fn probe<F>(self, purpose: Purpose, look: F) -> Result<(), Failed>
    where
        F: AsyncFnOnce(&Probe) -> Result<(), Failed>,
    {
        runtime(async {
            let probe = self.reach(purpose).await?;
            let done = look(&probe).await;
            probe.close().await;
            done
        })
    }

    /// Runs `show` on the states of the servers reached.
    pub(super) fn states(self, show: impl FnOnce(Vec<ServerState>)) -> Result<(), Failed> {
        runtime(async {
            let states = match self.running() {
                Some((url, token)) => app::ready(&url, token.as_ref()).await.map_err(Failed::Work)?,
                None => {
                    let probe = self.reach(Purpose::Look).await?;
                    let states = probe.states();
                    probe.close().await;
                    states
                }
            };
            show(states);
            Ok(())
        })
    }

    async fn reach(&self, purpose: Purpose) -> Result<Probe, Failed> {
        telemetry::start(Some(Environment::read().log.as_deref().unwrap_or("error")));
        let reached = match self.running() {
            Some((url, token)) => Probe::of_running(url, token.as_ref()).await,
            None => Probe::of_config(self.sources.load(Flags::default())?, purpose).await,
        };
        reached.map_err(|error| Failed::Work(error.to_string()))
    }

    /// The running gateway meant, if one is.
    fn running(&self) -> Option<(Url, Option<SecretString>)> {
        let own = !self.sources.catalog.is_empty() || self.sources.config.is_some();
        let usual = || (!own).then(|| Url::parse("http://127.0.0.1:8811/mcp").ok()).flatten();
        let url = self.url.clone().or_else(usual)?;
        let token = self.token.clone().map(SecretString::from).or_else(|| Environment::read().auth_token);
        Some((url, token))
    }
}

/// The configuration file alone, for commands that start nothing.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ConfigFile {
    /// The configuration file, for its plugins and registries [default: wasmgate.yaml where it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// What it says of plugins and registries.
    pub(super) fn needs(&self) -> Result<Needs, Failed> {
        self.request().needs().map_err(|problems| Failed::Usage(wording(&problems)))
    }

    /// What to read.
    pub(super) fn request(&self) -> Request {
        Request::new(self.config.clone(), Flags::default())
    }
}

/// Runs work that talks to registries. Log lines go to stderr from `warn` on.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    telemetry::start(Some(Environment::read().log.as_deref().unwrap_or("warn")));
    app::block_on(work).map_err(|error| Failed::Work(format!("no runtime: {error}")))?
}

fn runtime(work: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    app::block_on(work).map_err(|error| Failed::Work(format!("no runtime: {error}")))?
}

impl Sources {
    /// The configuration that the flags, the file and the environment make.
    pub(super) fn load(&self, flags: Flags) -> Result<Config, Failed> {
        let mut request = self.request(flags);
        fetch(&mut request)?;
        request.read().config.map_err(|diagnostics| Failed::Usage(wording(&diagnostics)))
    }

    /// What to read for it.
    pub(super) fn request(&self, flags: Flags) -> Request {
        Request::new(self.config.clone(), Flags { servers: self.flags(), ..flags })
    }

    /// What is wrong with what they name.
    pub(super) fn check(&self, foreign: &Interceptors) -> Result<Report, Failed> {
        let interceptors = foreign.interceptors.clone();
        let mut request = self.request(Flags { interceptors, ..Flags::default() });
        fetch(&mut request)?;
        Ok(request.validate(app::check_plugins))
    }

    fn flags(&self) -> ServerFlags {
        ServerFlags {
            catalogs: self.catalog.clone(),
            additional_catalogs: self.additional_catalog.clone(),
            oci_refs: self.oci_ref.clone(),
            mcp_registries: self.mcp_registry.clone(),
            profile: self.profile.clone(),
            frozen: self.locked,
            servers: self.servers.clone(),
            enable_all: self.enable_all_servers,
            registries: self.registry.clone(),
            values: self.server_config.clone(),
            tools_files: self.tools_config.clone(),
            tools: self.tools.clone(),
            secrets: self.secrets.iter().flat_map(|path| split_secrets(path)).collect(),
            cpus: self.cpus,
            memory: self.memory,
            long_lived: self.long_lived,
        }
    }
}

/// What the request names and cannot read itself.
pub(super) fn fetch(request: &mut Request) -> Result<(), Failed> {
    app::fetch(request).map_err(|error| Failed::Usage(error.to_string()))
}

/// Diagnostics as the terminal shows them.
pub(super) fn wording(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(render).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn memory(text: &str) -> Result<Memory, String> {
    text.parse().map_err(|error: BadQuantity| error.to_string())
}

/// The places of a search path; colons part them, but not the one in `file:`.
fn split_secrets(path: &str) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    let mut after_scheme = false;
    for part in path.split(':') {
        match places.last_mut() {
            Some(last) if after_scheme => last.push_str(&format!(":{part}")),
            _ => places.push(part.to_owned()),
        }
        after_scheme = !after_scheme && part == "file";
    }
    places
}

//! `wasmgate run`: the gateway.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use clap::{Args, ValueEnum};
use secrecy::SecretString;

use super::Failed;
use super::args::{Bundled, Sources};
use crate::app::{self, Listen};
use crate::config::{self, Config};
use crate::{front, telemetry};

/// Run the gateway.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    bundled: Bundled,
    /// How clients come in [default: streaming].
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// The address to listen on [default: 127.0.0.1].
    #[arg(long)]
    host: Option<String>,
    /// The port to listen on; 0 takes a free one [default: 8811].
    #[arg(long)]
    port: Option<u16>,
    /// Ask clients for no token.
    #[arg(long)]
    allow_unauthenticated: bool,
}

/// How clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// Streamable HTTP on `/mcp` (and HTTP+SSE on `/sse`).
    #[value(alias = "http", alias = "streamable", alias = "streamable-http")]
    Streaming,
    /// The same port; named for clients that speak HTTP+SSE on `/sse`.
    Sse,
    /// Standard input and output of this process.
    Stdio,
}

impl Run {
    pub(super) fn run(self) -> Result<(), Failed> {
        telemetry::start(config::env::log_filter().as_deref());
        let config = self.sources.load(Some(&self.bundled))?;
        let listen = self.listen(&config)?;
        let done = app::block_on(app::run(config, listen));
        done.map_err(|error| Failed::Work(error.to_string()))?.map_err(|error| Failed::Usage(error.to_string()))
    }

    fn listen(&self, config: &Config) -> Result<Listen, Failed> {
        let stdio = self.transport.map_or(config.listen.stdio, |transport| transport == Transport::Stdio);
        if stdio {
            if self.port.is_some() || self.host.is_some() {
                return Err(Failed::Usage("--host and --port mean nothing with stdio: leave them out".into()));
            }
            let settings = front::Settings::default();
            return Ok(Listen { transport: app::Transport::Stdio, settings, new_token: None });
        }
        let host = self.host.clone().unwrap_or_else(|| config.listen.host.clone());
        let address = address(&host, self.port.unwrap_or(config.listen.port))?;
        let (token, new_token) = self.token()?;
        let settings = front::Settings {
            token,
            allowed_origins: config.listen.allowed_origins.clone(),
            allowed_hosts: config.listen.allowed_hosts.clone(),
            ..front::Settings::default()
        };
        Ok(Listen { transport: app::Transport::Http(address), settings, new_token })
    }

    /// The token to ask for, and the same as text when it was made here.
    fn token(&self) -> Result<(Option<SecretString>, Option<String>), Failed> {
        if self.allow_unauthenticated {
            return Ok((None, None));
        }
        if let Some(token) = config::env::auth_token() {
            return Ok((Some(token), None));
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Failed::Work(format!("no randomness for a token: {error}")))?;
        let made: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((Some(made.clone().into()), Some(made)))
    }
}

fn address(host: &str, port: u16) -> Result<SocketAddr, Failed> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let found = (host, port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| Failed::Usage(format!("--host {host}: not an address of this machine")))
}

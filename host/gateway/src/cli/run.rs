//! `wasmgate run`: the gateway.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::Failed;
use super::args::{Bundled, Interceptors, Sources, wording};
use crate::app::{self, Access, Asked, Beginning};
use crate::config::{Environment, Flags, ListenFlags, Read, Record, Transport};
use crate::telemetry;

/// Run the gateway.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    bundled: Bundled,
    #[command(flatten)]
    foreign: Interceptors,
    /// How clients come in: `streaming` (HTTP on `/mcp`), `sse` (HTTP on `/sse`) or `stdio` [default: streaming].
    #[arg(long)]
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
    /// Take over changes of the configuration, of the files it names and of plugins while running.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, default_value = "true", default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    watch: bool,
    /// Write every message, with its payload, into this directory, as cases for `plugin test`.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// How many messages are written at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, requires = "record")]
    record_max: u64,
    /// Note every request and how it ended, in this file.
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
}

impl Run {
    pub(super) fn run(self) -> Result<(), Failed> {
        let flags = Flags {
            listen: ListenFlags {
                transport: self.transport,
                host: self.host,
                port: self.port,
                allow_unauthenticated: self.allow_unauthenticated,
            },
            log_calls: self.bundled.log_calls,
            block_secrets: self.bundled.block_secrets,
            interceptors: self.foreign.interceptors,
            record: self.record.map(|directory| Record { directory, most: self.record_max }),
            audit_log: self.audit_log,
            ..Flags::default()
        };
        telemetry::start(Environment::read().log.as_deref());
        let mut request = self.sources.request(flags);
        let Read { config, seen } = request.read();
        let beginning = match (config, request.entrance()) {
            (Ok(config), _) => Beginning::Whole(Box::new(config), seen),
            (Err(_), Some(entrance)) => Beginning::Fetching(Box::new(entrance)),
            (Err(diagnostics), None) => return Err(Failed::Usage(wording(&diagnostics))),
        };
        let open = match &beginning {
            Beginning::Whole(config, _) => config.listen.allow_unauthenticated,
            Beginning::Fetching(entrance) => entrance.listen.allow_unauthenticated,
        };
        let access = access(open, request.environment())?;
        let asked = Asked { request, beginning, watch: self.watch };
        let done = app::block_on(app::run(asked, access));
        done.map_err(|error| Failed::Work(error.to_string()))?.map_err(|error| match error {
            // It was asked for properly, and began.
            app::StartError::Required { .. } => Failed::Work(error.to_string()),
            _ => Failed::Usage(error.to_string()),
        })
    }
}

/// The environment's token, else one made for this run.
fn access(open: bool, environment: &Environment) -> Result<Access, Failed> {
    if open {
        return Ok(Access { token: None, new_token: None });
    }
    if let Some(token) = &environment.auth_token {
        return Ok(Access { token: Some(token.clone()), new_token: None });
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Failed::Work(format!("no randomness for a token: {error}")))?;
    let made: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Access { token: Some(made.clone().into()), new_token: Some(made) })
}

//! What a person sees first: where the gateway is, how to connect a client, the token, and which servers are up.
//! On a terminal as text; elsewhere as log lines.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::run::Access;
use crate::config::{At, Config};
use crate::gateway::{Gateway, ServerState};

/// How long the list of servers waits for them to come up.
const PATIENCE: Duration = Duration::from_secs(3);

/// What there is to say.
pub(super) struct Facts {
    url: Option<String>,
    new_token: Option<String>,
    open: bool,
    loopback: bool,
    warnings: Vec<String>,
    /// How to call this program from a shell.
    program: String,
}

impl Facts {
    pub(super) fn new(config: &Config, access: &Access, local: Option<SocketAddr>) -> Self {
        Self {
            url: local.map(|address| {
                format!(
                    "http://{address}/{}",
                    if matches!(config.listen.at, At::Sse(_)) { "sse" } else { "mcp" }
                )
            }),
            new_token: access.new_token.clone(),
            open: access.token.is_none(),
            loopback: local.is_none_or(|address| address.ip().is_loopback()),
            warnings: config.warnings.clone(),
            program: program(config),
        }
    }
}

/// This program as a shell can call it: by its path from here, else by its whole path.
fn program(config: &Config) -> String {
    let Some(path) = &config.environment.executable else { return "wasmgate".to_owned() };
    path.strip_prefix(&config.environment.directory).unwrap_or(path).display().to_string()
}

/// Says it: the address at once, the servers once they have settled or after three seconds.
pub(super) async fn show(gateway: Arc<Gateway>, facts: Facts, stop: CancellationToken) {
    let terminal = std::io::stderr().is_terminal();
    for warning in &facts.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(url) = &facts.url {
        if terminal {
            say(&greeting(url, &facts));
        } else {
            tracing::info!(%url, token = facts.new_token.as_deref(), "listening");
        }
        if facts.open && !facts.loopback {
            tracing::warn!("anyone who can reach {url} can use every server: no token is asked for");
        }
    }
    let settled = tokio::time::timeout(PATIENCE, gateway.until_settled());
    if stop.run_until_cancelled(settled).await.is_none() {
        return;
    }
    let states = gateway.states();
    if terminal && facts.url.is_some() {
        say(&servers(&states));
    } else {
        for state in states {
            let (name, word) = (&*state.name, &*state.state);
            tracing::info!(server = name, state = word, tools = state.tools, reason = state.reason, "server");
        }
    }
}

/// The token is shown once, as the line that sets it for the examples below it.
fn greeting(url: &str, facts: &Facts) -> String {
    let secret = match (&facts.new_token, facts.open) {
        (Some(token), _) => {
            format!("export WASMGATE_AUTH_TOKEN={token}   (made for this run; set your own to keep it)")
        }
        (None, false) => "the one in WASMGATE_AUTH_TOKEN".to_owned(),
        (None, true) => "none is asked for".to_owned(),
    };
    let (header, member) = if facts.open {
        ("", "")
    } else {
        (
            " --header \"Authorization: Bearer $WASMGATE_AUTH_TOKEN\"",
            ", \"headers\": {\"Authorization\": \"Bearer ${WASMGATE_AUTH_TOKEN}\"}",
        )
    };
    format!(
        "wasmgate {version} is up\n\n  clients  {url}\n  token    {secret}\n\n  Connect one of them:\n\
         \x20   Claude Code   claude mcp add --transport http wasmgate {url}{header}\n\
         \x20   mcp.json      {{\"mcpServers\": {{\"wasmgate\": {{\"type\": \"http\", \"url\": \"{url}\"{member}}}}}}}\n\
         \x20   this shell    {program} tools ls --url {url}\n",
        version = env!("CARGO_PKG_VERSION"),
        program = facts.program,
    )
}

fn servers(states: &[ServerState]) -> String {
    if states.is_empty() {
        return "  No server is enabled.\n".to_owned();
    }
    let line = |state: &ServerState| {
        let what = match (&state.reason, state.tools) {
            (Some(reason), _) => reason.clone(),
            (None, 1) => "1 tool".to_owned(),
            (None, tools) => format!("{tools} tools"),
        };
        format!("    {:<24} {:<12} {what}\n", state.name, state.state)
    };
    format!("  Servers:\n{}", states.iter().map(line).collect::<String>())
}

fn say(text: &str) {
    let mut err = std::io::stderr().lock();
    let _closed = writeln!(err, "{text}");
}

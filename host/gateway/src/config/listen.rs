//! Where clients come in, from the file and the flags.

use crate::document::{Diagnostic, Source, Spanned, Text};

use super::flags::{ListenFlags, Transport};
use super::raw::RawListen;

/// The port Docker's gateway uses for HTTP.
pub const PORT: u16 = 8811;
/// Where the gateway listens unless told otherwise: this machine only.
pub const HOST: &str = "127.0.0.1";

/// Where clients come in and who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The transport.
    pub at: At,
    /// No token is asked for.
    pub allow_unauthenticated: bool,
    /// Origins of web pages that may call, besides this machine's own.
    pub allowed_origins: Vec<String>,
    /// Host names the gateway answers to, besides this machine's own.
    pub allowed_hosts: Vec<String>,
    /// Others may list and run the interceptors, at `/interceptors`.
    pub interceptors: bool,
}

/// A transport and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// Stdin and stdout.
    Stdio,
    /// Streamable HTTP on `/mcp` (and HTTP+SSE on `/sse`).
    Http(Address),
    /// The same, announced as HTTP+SSE.
    Sse(Address),
}

/// A host (name or address) and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            at: At::Http(Address { host: HOST.to_owned(), port: PORT }),
            allow_unauthenticated: false,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            interceptors: false,
        }
    }
}

/// The file's `listen`, then the flags over it.
pub(super) fn listen(
    raw: Option<RawListen>,
    flags: &ListenFlags,
    source: &Source<'_>,
) -> Result<Listen, Diagnostic> {
    let mut listen = match raw {
        Some(raw) => from_file(raw, source)?,
        None => Listen::default(),
    };
    listen.allow_unauthenticated |= flags.allow_unauthenticated;
    listen.at = over(listen.at, flags)?;
    Ok(listen)
}

fn from_file(raw: RawListen, source: &Source<'_>) -> Result<Listen, Diagnostic> {
    let at = match (raw.stdio, raw.http, raw.sse) {
        (false, None, None) => Listen::default().at,
        (true, None, None) => At::Stdio,
        (false, Some(http), None) => At::Http(address(&http, source)?),
        (false, None, Some(sse)) => At::Sse(address(&sse, source)?),
        _ => {
            let cure = "keep one of `http`, `sse` and `stdio`; `http` serves `/sse` too";
            return Err(Diagnostic::new(source.file, "`listen` names more than one place", cure));
        }
    };
    if raw.interceptors && at == At::Stdio {
        let cure = "listen on `http`, or remove `interceptors`";
        return Err(Diagnostic::new(
            source.file,
            "`listen.interceptors` is an HTTP endpoint; stdio has none",
            cure,
        ));
    }
    Ok(Listen {
        at,
        allow_unauthenticated: raw.allow_unauthenticated,
        allowed_origins: raw.allowed_origins,
        allowed_hosts: raw.allowed_hosts,
        interceptors: raw.interceptors,
    })
}

fn over(at: At, flags: &ListenFlags) -> Result<At, Diagnostic> {
    let address = match &at {
        At::Http(address) | At::Sse(address) => address.clone(),
        At::Stdio => Address { host: HOST.to_owned(), port: PORT },
    };
    let address = Address {
        host: flags.host.clone().unwrap_or(address.host),
        port: flags.port.unwrap_or(address.port),
    };
    let transport = flags.transport.unwrap_or(match at {
        At::Stdio => Transport::Stdio,
        At::Sse(_) => Transport::Sse,
        At::Http(_) => Transport::Http,
    });
    match transport {
        Transport::Stdio if flags.port.is_some() || flags.host.is_some() => Err(Diagnostic::new(
            "command line",
            "`--port` and `--host` make no sense with stdio",
            "leave them out, or say `--transport streaming`",
        )),
        Transport::Stdio => Ok(At::Stdio),
        Transport::Sse => Ok(At::Sse(address)),
        Transport::Http => Ok(At::Http(address)),
    }
}

/// Reads `host:port`, `:port`, `port` or `[v6]:port`.
fn address(written: &Spanned<Text>, source: &Source<'_>) -> Result<Address, Diagnostic> {
    let text = written.value.0.trim();
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host_fits = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    match port.parse() {
        Ok(port) if host_fits => {
            Ok(Address { host: if bare.is_empty() { HOST.to_owned() } else { bare.to_owned() }, port })
        }
        _ => {
            let message = format!("`{text}` is not an address to listen on");
            let cure = format!("write `host:port`, such as `{HOST}:{PORT}`");
            Err(source.at(&written.referenced, text, message, cure))
        }
    }
}

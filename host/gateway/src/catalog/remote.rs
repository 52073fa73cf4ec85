//! Somebody else's server: its URLs and headers.
//!
//! Unlike Docker's gateway, `{{...}}` is evaluated in both, an empty `transport_type` means that it is found out, and a secret may
//! also stand in the path or query of a URL, or be the whole of it; what is shown of such a URL is its host.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use wasmgate_core::catalog::{Remote, RemoteTransport, RemoteUrl};

use super::entry::{From, RemoteEntry};
use super::scope::Scope;
use super::template::{Piece, Template};
use super::vars::{Bit, split};
use super::{Refusal, Resolution};
use crate::egress::is_of_connection;

/// Headers that belong to the protocol; an entry cannot set them, nor those of the connection.
const RESERVED: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "accept",
    "mcp-session-id",
    "mcp-protocol-version",
    "last-event-id",
];

/// What may stay as it is in a path or query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The remote an entry names, `sseEndpoint` first, as with Docker.
pub(super) fn of(from: &From) -> Option<RemoteEntry> {
    let remote = from.remote.clone().unwrap_or_default();
    match from.sse_endpoint.as_deref() {
        Some(url) if !url.is_empty() => Some(RemoteEntry {
            url: url.to_owned(),
            urls: Vec::new(),
            transport_type: "sse".to_owned(),
            ..remote
        }),
        _ => (!remote.url.is_empty() || !remote.urls.is_empty()).then_some(remote),
    }
}

/// The remote, with everything put in.
///
/// # Errors
/// A refusal, or the secret a header of wasmgate.yaml needs.
pub(super) fn build(entry: &RemoteEntry, scope: &Scope<'_>) -> Result<Remote, Resolution> {
    let transport = match entry.transport_type.to_ascii_lowercase().as_str() {
        "sse" => RemoteTransport::Sse,
        "" => RemoteTransport::Auto,
        "http" | "streamable" | "streaming" | "streamable-http" => RemoteTransport::StreamableHttp,
        other => {
            return Err(Refusal::new(format!(
                "its `transport_type` `{other}` is neither `streamable-http` nor `sse`"
            ))
            .into());
        }
    };
    let written = [&entry.url].into_iter().filter(|url| !url.is_empty()).chain(&entry.urls);
    let urls = written.map(|text| url(text, scope)).collect::<Result<Vec<_>, _>>()?;
    Ok(Remote {
        urls,
        transport,
        headers: headers(entry, scope)?,
        private_allowed: scope.origin.is_operator(),
    })
}

fn headers(entry: &RemoteEntry, scope: &Scope<'_>) -> Result<Vec<(String, SecretString)>, Resolution> {
    let mut headers = Vec::new();
    for (name, written) in &entry.headers {
        let lower = name.to_ascii_lowercase();
        let is_reserved = RESERVED.contains(&lower.as_str()) || is_of_connection(&lower);
        if is_reserved || http::HeaderName::from_bytes(lower.as_bytes()).is_err() {
            return Err(Refusal::new(format!("it cannot set a header `{name}`")).into());
        }
        // A header without the secret it is made of would only be refused at the other end.
        if scope.lacks(&written.0) {
            continue;
        }
        let value = scope.secret_text(&written.0, &format!("header `{name}`"))?;
        if http::HeaderValue::from_str(value.expose_secret()).is_err() {
            return Err(Refusal::new(format!(
                "the value of its header `{name}` has characters no header can hold"
            ))
            .into());
        }
        if !value.expose_secret().is_empty() {
            headers.push((lower, value));
        }
    }
    if let Some(token) = &scope.token {
        let bearer = format!("Bearer {}", token.expose_secret());
        if http::HeaderValue::from_str(&bearer).is_err() {
            return Err(Refusal::new("its access token has characters no header can hold").into());
        }
        headers.retain(|(name, _)| name != "authorization");
        headers.push(("authorization".to_owned(), SecretString::from(bearer)));
    }
    Ok(headers)
}

fn url(written: &str, scope: &Scope<'_>) -> Result<RemoteUrl, Resolution> {
    let (mut text, mut secret) = (String::new(), false);
    for piece in Template::parse(written).evaluate(&scope.root) {
        match piece {
            Piece::Value(value) => put(&mut text, &value.to_text(), written)?,
            Piece::Literal(literal) => {
                for bit in split(&literal) {
                    match bit {
                        Bit::Text(literal) => text.push_str(literal),
                        Bit::Var(name) => {
                            let filled = scope.word(name)?;
                            if filled.secret && in_authority(&text) == Some(true) {
                                return Err(Refusal::new(format!(
                                    "`${name}` would put a secret into the host of its URL, which is no secret"
                                ))
                                .into());
                            }
                            secret |= filled.secret;
                            put(&mut text, &filled.text, written)?;
                        }
                    }
                }
            }
        }
    }
    let url = Url::parse(&text)
        .map_err(|error| Refusal::new(format!("its URL `{written}` cannot be read: {error}")))?;
    let web = matches!(url.scheme(), "https" | "http") && url.has_host();
    if !web || !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::new(format!(
            "its URL `{written}` is not an http or https address without a user name"
        ))
        .into());
    }
    if url.scheme() == "http" && !scope.origin.is_operator() {
        return Err(Refusal::new(format!(
            "its URL `{written}` is plain http, which only your own files may name"
        ))
        .into());
    }
    Ok(if secret { RemoteUrl::secret(url) } else { url.into() })
}

/// Puts a value where it stands: whole at the start, a plain host in the authority, escaped after it. So it can choose neither
/// the host (unless it is all the catalog wrote there) nor a further parameter.
fn put(text: &mut String, value: &str, written: &str) -> Result<(), Refusal> {
    match in_authority(text) {
        None if text.is_empty() => text.push_str(value),
        Some(false) => text.extend(utf8_percent_encode(value, PLAIN)),
        Some(true) if value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':')) => {
            text.push_str(value)
        }
        _ => {
            return Err(Refusal::new(format!(
                "a value in its URL `{written}` is not a plain host name or port"
            )));
        }
    }
    Ok(())
}

/// Whether what follows `text` would be part of its host; none before there is a scheme.
fn in_authority(text: &str) -> Option<bool> {
    text.split_once("://").map(|(_, rest)| !rest.contains(['/', '?', '#']))
}

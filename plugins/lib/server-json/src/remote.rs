//! Somebody else's server: its URL and headers.

use catalog_entry::{Entry, Text};
use serde_json::{Map, Value as Json, json};

use crate::Reason;
use crate::input::{Paths, Reading, Undeclared};
use crate::model::{Format, Input, Transport, TransportKind};

/// Headers that belong to the connection or to MCP: the gateway sets them itself.
const RESERVED: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Makes the entry one of this remote.
pub(crate) fn fill(entry: &mut Entry, remote: &Transport) -> Result<(), Reason> {
    let url = remote.url.as_deref().ok_or_else(|| Reason::new("it says no URL"))?;
    let kind = match &remote.kind {
        TransportKind::StreamableHttp => "streamable-http",
        TransportKind::Sse => "sse",
        TransportKind::Stdio if url.trim_end_matches('/').ends_with("/sse") => "sse",
        TransportKind::Stdio => "streamable-http",
        TransportKind::Other(word) => {
            return Err(Reason::new(format!("its transport `{word}` is none of MCP's")));
        }
    };
    if remote.kind == TransportKind::Stdio {
        entry.note(format!("it says no HTTP transport; taken as {kind}"));
    }
    let url = address(entry, remote, url)?;
    let mut headers = Map::new();
    for (name, header) in &remote.headers {
        if let Some(text) = self::header(entry, name, header)? {
            headers.insert(name.clone(), Json::String(text));
        }
    }
    let mut document = json!({ "url": url, "transport_type": kind });
    if let Some(members) = document.as_object_mut().filter(|_| !headers.is_empty()) {
        members.insert("headers".to_owned(), Json::Object(headers));
    }
    entry.set("remote", document);
    Ok(())
}

/// The URL. What it needs has to be there: an address with a gap is none.
fn address(entry: &mut Entry, remote: &Transport, url: &str) -> Result<String, Reason> {
    let bad = |what: &str| Reason::new(format!("its URL `{url}` {what}"));
    let own = url.split(['/', '?', '#']).nth(2).unwrap_or_default();
    let host = own.rsplit_once(':').map_or(own, |(host, _)| host);
    if url.contains(char::is_whitespace) || url.contains(char::is_control) || own.contains('@') {
        return Err(bad("is not an address"));
    }
    if url.starts_with("http://") {
        return Err(bad("is plain http, which only your own files may name"));
    }
    if !url.starts_with("https://") && !url.starts_with('{') {
        return Err(bad("is not an https address"));
    }
    if matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0" | "[::1]") {
        return Err(bad("points at the machine it is read on"));
    }
    let required = |variable: &Input| Input {
        required: variable.required || variable.default.is_none(),
        ..variable.clone()
    };
    let variables = remote.variables.iter().map(|(name, variable)| (name.clone(), required(variable)));
    let input = Input { value: Some(url.to_owned()), variables: variables.collect(), ..Input::default() };
    let reading = Reading { undeclared: Undeclared::Property, paths: Paths::Plain };
    let text = reading.text(entry, "url", &input);
    Ok(entry.url(&text))
}

/// The value of a header; none where it is not sent.
fn header(entry: &mut Entry, name: &str, header: &Input) -> Result<Option<String>, Reason> {
    let word = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(word) {
        return Err(Reason::new(format!("`{name}` cannot name a header")));
    }
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        entry.note(format!("the header `{name}` is the gateway's own and not taken over"));
        return Ok(None);
    }
    let input = Input { secret: is_secret(name, header), ..header.clone() };
    let undeclared = if input.secret { Undeclared::Secret } else { Undeclared::Text };
    let text: Text = Reading { undeclared, paths: Paths::Plain }.text(entry, name, &input);
    Ok(Some(entry.argument(&text)))
}

/// Whether a header is one: it says so, its name does, or it has to be there and says nothing else.
fn is_secret(name: &str, header: &Input) -> bool {
    let open = header.default.is_some() || !header.choices.is_empty();
    let plain = matches!(header.format, Some(Format::Number | Format::Boolean));
    let name = name.to_ascii_lowercase();
    let telling = ["authorization", "authentication", "cookie", "key", "password", "secret", "token"];
    let fixed = header.value.as_deref().is_some_and(|value| !value.contains('{'));
    let by_name = telling.iter().any(|word| name.contains(word));
    header.secret || (!open && !plain && !fixed && (by_name || (header.required && header.value.is_none())))
}

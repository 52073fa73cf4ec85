//! Where a package serves HTTP: the port and path of its URL, with the values of the arguments that the URL names.
//!
//! A container has its ports to itself, so what decides the port need not be set by anybody: it is fixed.

use crate::Reason;
use crate::input::{Part, parts};
use crate::model::{Input, Package, TransportKind};

/// Where a container is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) transport: &'static str,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) notes: Vec<String>,
}

/// The endpoint of a package, none where it speaks over stdin and stdout. Inputs that its URL names are fixed.
pub(crate) fn of(package: &mut Package) -> Result<Option<Endpoint>, Reason> {
    let transport = match &package.transport.kind {
        TransportKind::Stdio => return Ok(None),
        TransportKind::StreamableHttp => "streamable-http",
        TransportKind::Sse => "sse",
        TransportKind::Other(word) => {
            return Err(Reason::new(format!("its transport `{word}` is none of MCP's")));
        }
    };
    let required = package.transport.headers.iter().find(|(_, header)| header.required);
    if let Some((name, _)) = required {
        return Err(Reason::new(format!("it wants the header `{name}`, and containers are sent none")));
    }
    let written = package.transport.url.clone();
    let written = written.ok_or_else(|| Reason::new("its transport is HTTP and it says no URL"))?;
    let mut url = String::new();
    let mut notes = Vec::new();
    for part in parts(&written, &package.transport.variables) {
        match part {
            Part::Text(text) => url.push_str(text),
            Part::Name(name) => {
                let value = fixed(package, name, &url, &written)?;
                notes.push(format!("`{name}` is fixed at `{value}`: its container has its ports to itself"));
                url.push_str(&value);
            }
        }
    }
    let mut endpoint = read(&url, transport, &written)?;
    endpoint.notes.extend(notes);
    endpoint.notes.extend(opened(package));
    let headers: Vec<_> = package.transport.headers.iter().map(|(name, _)| format!("`{name}`")).collect();
    if !headers.is_empty() {
        endpoint.notes.push(format!(
            "containers are sent no headers of their own: {} cannot be set",
            headers.join(", ")
        ));
    }
    Ok(Some(endpoint))
}

/// The value of an input that the URL names; from here on it has no other.
fn fixed(package: &mut Package, name: &str, before: &str, url: &str) -> Result<String, Reason> {
    let of_url = package.transport.variables.get(name).cloned();
    let plain = name.trim_start_matches('-');
    let arguments = package.runtime_arguments.iter_mut().chain(&mut package.arguments);
    let argument = arguments
        .filter(|argument| {
            let named = argument.name.as_deref().is_some_and(|flag| flag.trim_matches(['-', '=']) == plain);
            named || argument.hint.as_deref() == Some(name)
        })
        .map(|argument| &mut argument.input)
        .next();
    let variable = package.env.iter_mut().find(|(env, _)| env == name).map(|(_, input)| input);
    let mut inputs: Vec<&mut Input> = argument.into_iter().chain(variable).collect();
    let known = inputs.iter().find_map(|input| literal(input)).or_else(|| of_url.as_ref().and_then(literal));
    let is_port =
        before.rsplit_once("://").is_some_and(|(_, rest)| rest.ends_with(':') && !rest.contains('/'));
    let value = match known {
        Some(value) => value,
        None if is_port && (!inputs.is_empty() || of_url.is_some()) => STANDARD_PORT.to_owned(),
        None => {
            return Err(Reason::new(format!(
                "its URL `{url}` needs `{name}`, which has neither value nor default"
            )));
        }
    };
    for input in &mut inputs {
        input.value = Some(value.clone());
        input.variables.clear();
    }
    Ok(value)
}

/// What is told to listen on `localhost` listens everywhere in its container: nothing else would be reached there. The engine
/// publishes the port to this machine alone.
fn opened(package: &mut Package) -> Vec<String> {
    let arguments = package.arguments.iter_mut();
    let arguments = arguments.filter_map(|argument| Some((argument.name.clone()?, &mut argument.input)));
    let variables = package.env.iter_mut().map(|(name, input)| (name.clone(), input));
    let mut notes = Vec::new();
    for (name, input) in arguments.chain(variables) {
        let plain = name.trim_matches(['-', '=']).to_ascii_lowercase().replace('-', "_");
        if !LISTENING.contains(&plain.as_str()) {
            continue;
        }
        for text in [&mut input.value, &mut input.default].into_iter().flatten() {
            if matches!(text.as_str(), "localhost" | "127.0.0.1") {
                notes.push(format!(
                    "`{name}` is `0.0.0.0` instead of `{text}`, which nobody reaches in a container"
                ));
                "0.0.0.0".clone_into(text);
            }
        }
    }
    notes
}

/// What says where a server listens. `DB_HOST` and its like say where another one is.
const LISTENING: &[&str] = &[
    "address",
    "bind",
    "bind_address",
    "bind_host",
    "fastmcp_host",
    "host",
    "http_address",
    "http_host",
    "listen",
    "listen_address",
    "mcp_host",
    "mcp_http_host",
    "mcp_server_host",
    "server_host",
];

fn literal(input: &Input) -> Option<String> {
    input.value.clone().filter(|value| !value.contains('{')).or_else(|| input.default.clone())
}

/// What a package is told to listen on when only its port is asked for.
const STANDARD_PORT: &str = "8080";

fn read(url: &str, transport: &'static str, written: &str) -> Result<Endpoint, Reason> {
    let bad = |what: &str| Reason::new(format!("its URL `{written}` {what}"));
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(bad("is not an http address")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        Some((host, port)) => (
            host,
            Some(
                port.parse::<u16>()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| bad("has no port that is one"))?,
            ),
        ),
        None => (authority, None),
    };
    let local =
        matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0" | "[::1]" | "[::]" | "host.docker.internal");
    let port = match port {
        Some(port) => port,
        None if local => {
            if secure {
                443
            } else {
                80
            }
        }
        None => return Err(bad("does not say on which port its container serves")),
    };
    let mut notes = Vec::new();
    if secure {
        notes.push("its container is spoken to over plain HTTP, where its URL says https".to_owned());
    }
    if !local {
        notes.push(format!("of its URL `{written}` only the port and the path count"));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let plain = path.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '{' | '}' | '$' | '#'));
    if !plain {
        return Err(bad("has a path with characters that no address has"));
    }
    Ok(Endpoint { transport, port, path, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let shown = match read(url, "sse", url) {
            Ok(endpoint) => format!(
                "{} {}{}",
                endpoint.port,
                endpoint.path,
                if endpoint.notes.is_empty() { "" } else { " *" }
            ),
            Err(reason) => reason.0,
        };
        assert_eq!(shown, expected, "{url}");
    }

    #[test]
    fn urls_of_packages() {
        check("http://localhost:3000", "3000 /");
        check("http://127.0.0.1:8089/mcp", "8089 /mcp");
        check("http://[::1]:1/a?b=c", "1 /a?b=c");
        check("http://localhost/mcp", "80 /mcp");
        check("https://localhost:5000/mcp", "5000 /mcp *");
        check("https://example.com:8080/sse", "8080 /sse *");
        check(
            "https://example.com/sse",
            "its URL `https://example.com/sse` does not say on which port its container serves",
        );
        check("http://localhost:0/", "its URL `http://localhost:0/` has no port that is one");
        check("ftp://localhost/", "its URL `ftp://localhost/` is not an http address");
    }
}

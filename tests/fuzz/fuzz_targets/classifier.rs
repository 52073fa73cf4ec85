//! Any message with any headers: the classifier never panics, what it calls modern says so itself and in its headers, and
//! nothing that contradicts itself is served.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use wasmgate_core::jsonrpc::{self, Message};

#[allow(dead_code, reason = "not everything of the classifier is looked at")]
#[path = "."]
mod front {
    #[path = "../../../host/gateway/src/front/classify.rs"]
    mod classify;
    #[path = "../../../host/gateway/src/front/headers.rs"]
    mod headers;

    use classify::{Era, Protocol, Seen, Shape, classify};
    use headers::McpHeaders;
    use wasmgate_core::json::Json;
    use wasmgate_core::jsonrpc::Message;
    use wasmgate_core::mcp::{MODERN, meta};

    pub(super) fn look(message: &Message, map: Option<&http::HeaderMap>) {
        let (shape, params) = match message {
            Message::Request { params, .. } => (Shape::Request, params.as_ref()),
            Message::Notification { params, .. } => (Shape::Notification, params.as_ref()),
            Message::Response { .. } => (Shape::Response, None),
        };
        let method = message.method().unwrap_or_default();
        let protocol = Protocol::of(params);
        let found = classify(&Seen { shape, method, protocol: &protocol, headers: map.map(McpHeaders::of) });
        let claims = params.and_then(|params| params.member("_meta")?.member(meta::PROTOCOL_VERSION));
        match found {
            Ok(Era::Modern(version)) => {
                assert!(shape == Shape::Request && MODERN.contains(&version));
                assert_eq!(claims.as_ref().and_then(Json::string).as_deref(), Some(version));
                if let Some(map) = map {
                    assert_eq!(map.get_all("mcp-protocol-version").iter().collect::<Vec<_>>(), [version]);
                    assert_eq!(map.get_all("mcp-method").iter().collect::<Vec<_>>(), [method]);
                }
            }
            Ok(Era::Initialize) => assert!(method == "initialize" && claims.is_none()),
            Ok(Era::Legacy) => assert!(shape != Shape::Request || claims.is_none(), "a modern request in a session"),
            Ok(Era::Ignored) => assert!(shape != Shape::Request, "a request that nobody answers"),
            Err(_) => {}
        }
    }
}

/// Lines `name: value` as in HTTP, and behind them the body.
fn parts(input: &[u8]) -> (HeaderMap, &[u8]) {
    let mut map = HeaderMap::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            map.append(name, value);
        }
        rest = after;
    }
    (map, rest)
}

fuzz_target!(|input: &[u8]| {
    let (map, body) = parts(input);
    let Ok(message) = jsonrpc::read(body.to_vec().into()) else { return };
    front::look(&message, Some(&map));
    // The same on a pipe, and with headers that repeat what the body says.
    front::look(&message, None);
    if let Message::Request { method, params, .. } = &message {
        let mut map = HeaderMap::new();
        let name = params.as_ref().and_then(|params| params.member("name").or_else(|| params.member("uri")));
        let named = name.as_ref().and_then(|name| name.string()).unwrap_or_default();
        for (header, value) in [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method), ("mcp-name", &named)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                map.insert(header, value);
            }
        }
        front::look(&message, Some(&map));
    }
});

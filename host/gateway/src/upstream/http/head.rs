//! Request heads and response statuses.

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use wasmgate_core::json::Json;

use crate::egress::is_of_connection;
use crate::upstream::{Denial, Fault, Identity, again, modern};

/// The session a legacy server gave us.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The version spoken.
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Where to take a broken stream up again.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A configured header that cannot be sent. Names it, never its value.
#[derive(Debug, thiserror::Error)]
#[error("its header `{0}` cannot be sent: a name or value is not allowed in HTTP")]
pub(in crate::upstream) struct BadHeader(String);

/// The headers of every request: the configured ones, then ours.
///
/// # Errors
/// [`BadHeader`] for one that HTTP does not allow.
pub(in crate::upstream) fn configured(
    headers: &[(String, SecretString)],
    identity: &Identity,
) -> Result<HeaderMap, BadHeader> {
    let mut map = HeaderMap::with_capacity(headers.len() + 8);
    let agent = HeaderValue::try_from(format!("{}/{}", identity.name, identity.version));
    if let Ok(agent) = agent {
        map.insert(USER_AGENT, agent);
    }
    for (name, value) in headers {
        let bad = || BadHeader(name.clone());
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        if is_of_connection(header.as_str()) || header == CONTENT_LENGTH {
            return Err(bad());
        }
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| bad())?;
        value.set_sensitive(true);
        map.insert(header, value);
    }
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    Ok(map)
}

/// Servers before 2025-06-18 do not know the header.
pub(super) fn version(version: &'static str) -> Option<HeaderValue> {
    (version >= "2025-06-18").then(|| HeaderValue::from_static(version))
}

/// The headers a modern server and everything on the way to it routes by, made from the body that goes out.
pub(super) fn add_routing(headers: &mut HeaderMap, method: &str, params: Option<&Json>) {
    if let Ok(method) = HeaderValue::from_str(method) {
        headers.insert(MCP_METHOD, method);
    }
    if let Some(name) = modern::name_header(method, params) {
        headers.insert(MCP_NAME, name);
    }
}

/// What a response is, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Events,
    Other,
}

impl Media {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Self::Json,
            "text/event-stream" => Self::Events,
            _ => Self::Other,
        }
    }
}

/// Whether a body is compressed or otherwise encoded. None is asked for, so none is taken: what it becomes has no bounds.
pub(in crate::upstream) fn is_encoded(headers: &HeaderMap) -> bool {
    let is_plain = |value: &HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    };
    !headers.get_all(CONTENT_ENCODING).iter().all(is_plain)
}

/// The fault of a server that sends such a body.
pub(in crate::upstream) fn encoded() -> Fault {
    Fault::Misbehaved("an encoded body, such as a compressed one, which was not asked for".into())
}

/// What a status and its headers alone say of a request; None when the body has to say it.
pub(super) fn verdict(status: StatusCode, headers: &HeaderMap) -> Option<Fault> {
    let says = |what: &str| Some(Fault::Declined(format!("it answered HTTP {}{what}", status.as_u16())));
    match status.as_u16() {
        401 | 403 | 407 => Some(Fault::Unauthorized(Denial::of(status.as_u16(), headers))),
        300..=399 => says("; redirects are not followed"),
        408 | 429 | 502..=504 => says(&again::in_words(headers)),
        _ => None,
    }
}

/// What a status says of a request when the body is no answer either.
pub(super) fn without_answer(status: StatusCode) -> Fault {
    let status = status.as_u16();
    if status >= 500 {
        return Fault::Declined(format!("it answered HTTP {status}"));
    }
    Fault::Misbehaved(format!("HTTP {status} without an answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_judged() {
        let word = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            match verdict(status, &HeaderMap::new()) {
                Some(Fault::Unauthorized(_)) => "credentials",
                Some(Fault::Declined(_)) => "declined",
                Some(_) => "other",
                None => "body",
            }
        };
        for (status, expected) in [
            (200, "body"),
            (202, "body"),
            (301, "declined"),
            (307, "declined"),
            (400, "body"),
            (401, "credentials"),
            (403, "credentials"),
            (405, "body"),
            (407, "credentials"),
            (408, "declined"),
            (404, "body"),
            (429, "declined"),
            (500, "body"),
            (503, "declined"),
        ] {
            assert_eq!(word(status), expected, "{status}");
        }
    }

    #[test]
    fn headers_that_cannot_be_sent_are_named_without_their_value() {
        let identity = Identity { name: "g".into(), version: "1".into() };
        let secret = |text: &str| SecretString::from(text.to_owned());
        let map =
            configured(&[("x-key".into(), secret("s")), ("accept".into(), secret("x"))], &identity).unwrap();
        assert_eq!((map["x-key"].as_bytes(), map["user-agent"].as_bytes()), (&b"s"[..], &b"g/1"[..]));
        assert_eq!(map["accept"], "application/json, text/event-stream");
        assert!(map["x-key"].is_sensitive());
        for (name, value) in [("x y", "s"), ("x", "top\nsecret"), ("Content-Length", "5")] {
            let error = configured(&[(name.into(), secret(value))], &identity).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn encodings_are_told_from_none() {
        let encoded = |value: &'static str| {
            is_encoded(&HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(value))]))
        };
        for value in ["gzip", "br", "x-anything", "identity, gzip", "deflate"] {
            assert!(encoded(value), "{value}");
        }
        assert!(!encoded("identity") && !encoded(" Identity ") && !encoded(""));
        assert!(!is_encoded(&HeaderMap::new()));
    }

    #[test]
    fn media_types_are_read_leniently() {
        let media = |value: &'static str| {
            Media::of(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert_eq!(media("Application/JSON; charset=utf-8"), Media::Json);
        assert_eq!(media("text/event-stream;charset=UTF-8"), Media::Events);
        assert_eq!(media("text/html"), Media::Other);
        assert_eq!(Media::of(&HeaderMap::new()), Media::Other);
    }
}

//! The `Mcp-*` headers of streamable HTTP, and how 2026-07-28 spells values in them (SEP-2243, "Value Encoding").

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName};

/// The session of a legacy client.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// One header that may be there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// Not sent.
    Absent,
    /// Sent once, in visible ASCII.
    One(&'a str),
    /// Sent more than once, or not text: never to be trusted.
    Unusable,
}

/// What the headers of a request say about its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct McpHeaders<'a> {
    /// `MCP-Protocol-Version`.
    pub(super) version: Field<'a>,
    /// `Mcp-Method`.
    pub(super) method: Field<'a>,
    /// `Mcp-Name`, as sent: see [`decode`].
    pub(super) name: Field<'a>,
}

impl<'a> McpHeaders<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        Self { version: field(headers, VERSION), method: field(headers, METHOD), name: field(headers, NAME) }
    }
}

/// One header by its name.
pub(super) fn field(headers: &HeaderMap, name: impl AsHeaderName) -> Field<'_> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Field::Absent,
        (Some(value), None) => value.to_str().map_or(Field::Unusable, Field::One),
        (Some(_), Some(_)) => Field::Unusable,
    }
}

/// The text a value stands for: `=?base64?...?=` is decoded, everything else is literal. None when the encoded part is
/// not base64 of UTF-8.
pub(super) fn decode(value: &str) -> Option<Cow<'_, str>> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(Cow::Borrowed(value));
    };
    let bytes = STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_sentinel_is_decoded() {
        for (value, expected) in [
            ("echo", Some("echo")),
            ("", Some("")),
            ("=?base64?ZWNobw==?=", Some("echo")),
            ("=?base64?w6RsdGVy?=", Some("älter")),
            ("=?base64??=", Some("")),
            ("=?base64?ZWNobw==", Some("=?base64?ZWNobw==")),
            ("ZWNobw==?=", Some("ZWNobw==?=")),
            ("=?BASE64?ZWNobw==?=", Some("=?BASE64?ZWNobw==?=")),
            ("=?base64?ZWNobw?=", None),
            ("=?base64?*?=", None),
            ("=?base64?/w==?=", None),
        ] {
            assert_eq!(decode(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn a_header_counts_only_when_it_is_there_once_as_text() {
        let with = |values: &[&[u8]]| -> HeaderMap {
            let value = |bytes: &&[u8]| http::HeaderValue::from_bytes(bytes).unwrap();
            values.iter().map(|bytes| (HeaderName::from_static("mcp-name"), value(bytes))).collect()
        };
        assert_eq!(McpHeaders::of(&with(&[])).name, Field::Absent);
        assert_eq!(McpHeaders::of(&with(&[b"a"])).name, Field::One("a"));
        assert_eq!(McpHeaders::of(&with(&[b"a", b"a"])).name, Field::Unusable);
        assert_eq!(McpHeaders::of(&with(&[b"\xff"])).name, Field::Unusable);
    }
}

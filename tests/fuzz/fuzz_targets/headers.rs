//! Any bytes as the value of an `Mcp-*` header: never a panic, only text once and in ASCII counts, and decoding gives
//! what was encoded.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "not everything of the reader is looked at")]
#[path = "."]
mod front {
    #[path = "../../../host/gateway/src/front/headers.rs"]
    mod headers;

    use headers::{Field, McpHeaders, decode};

    /// What counts of a request with these values of `Mcp-Name`.
    pub(super) fn name(map: &http::HeaderMap) -> Result<Option<String>, ()> {
        match McpHeaders::of(map).name {
            Field::Absent => Ok(None),
            Field::One(text) => Ok(Some(text.to_owned())),
            Field::Unusable => Err(()),
        }
    }

    pub(super) fn decoded(value: &str) -> Option<String> {
        decode(value).map(std::borrow::Cow::into_owned)
    }
}

fuzz_target!(|input: &[u8]| {
    let values: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let mut map = HeaderMap::new();
    for value in values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok()) {
        map.append("mcp-name", value);
    }
    let sent: Vec<&HeaderValue> = map.get_all("mcp-name").iter().collect();
    match (front::name(&map), sent.as_slice()) {
        (Ok(None), []) => {}
        (Ok(Some(text)), [one]) => assert_eq!(text.as_bytes(), one.as_bytes()),
        (Err(()), [one]) => assert!(one.to_str().is_err()),
        (Err(()), [_, _, ..]) => {}
        other => panic!("{other:?}"),
    }
    for text in values.iter().filter_map(|value| std::str::from_utf8(value).ok()) {
        let decoded = front::decoded(text);
        if !text.starts_with("=?base64?") || !text.ends_with("?=") {
            assert_eq!(decoded.as_deref(), Some(text), "what is not marked is literal");
        }
        let encoded = format!("=?base64?{}?=", STANDARD.encode(text));
        assert_eq!(front::decoded(&encoded).as_deref(), Some(text));
    }
});

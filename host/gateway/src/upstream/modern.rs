//! What is particular to servers of 2026-07-28: `server/discover`, and protocol fields in every request.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use wasmgate_core::json::{Json, ObjectWriter};

use super::declared::with_pages;
use super::era::META;
use super::{ClientFacts, Identity};

/// The version spoken.
pub(super) const VERSION: &str = "2026-07-28";

/// The params of a request as they go out, with the protocol fields of 2026-07-28 basic "Per-request protocol fields", and
/// the progress token its client knows. A server may ask what this client can be asked (never what another one
/// can: a shared connection is no session); what the gateway cannot carry the front has taken out. Our own requests can be asked
/// nothing; those that read lists must see the tools that come with pages.
pub(super) fn dress(
    params: Option<&Json>,
    id: u64,
    client: Option<&ClientFacts>,
    ourselves: &Json,
) -> (Option<Json>, Option<Json>) {
    let empty = Json::empty_object();
    let params = params.unwrap_or(&empty);
    let there = META.of(params);
    let meta = there.as_ref().filter(|meta| meta.is_object());
    let token = meta.and_then(|meta| meta.member("progressToken"));
    let info = client.and_then(|client| client.info.clone()).unwrap_or_else(|| ourselves.clone());
    let ours = token.as_ref().map(|_| Json::of(&id));
    let capabilities =
        client.map_or_else(|| with_pages(&Json::empty_object()), |client| client.capabilities.clone());
    let level = client.and_then(|client| client.log_level.as_deref()).map(Json::of);
    let fields = [
        (PROTOCOL_VERSION, Some(&*OUR_VERSION)),
        (CLIENT_CAPABILITIES, Some(&capabilities)),
        (CLIENT_INFO, Some(&info)),
        (LOG_LEVEL, level.as_ref()),
        ("progressToken", ours.as_ref()),
    ];
    let set = fields.into_iter().filter(|(_, value)| value.is_some());
    let values = set.clone().filter_map(|(name, value)| Some((name, value?)));
    let params = match (&there, meta) {
        (None, _) => params.with_new_object("_meta", values),
        (Some(_), None) => params.with_member("_meta", &Json::object(values)),
        (Some(_), Some(meta)) => params.with_member("_meta", &meta.with_members(&set.collect::<Vec<_>>())),
    };
    (Some(params), token)
}

/// The value of `Mcp-Name` for a request: name, URI or task id (2026-07-28, streamable HTTP, Request Metadata).
pub(super) fn name_header(method: &str, params: Option<&Json>) -> Option<HeaderValue> {
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    let value = params?.member(key)?;
    HeaderValue::from_str(&header_value(value.string()?)).ok()
}

/// A header value that carries `text`: as it is when it is plain, else in base64 with its marker.
pub(super) fn header_value(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let is_trimmed = text.trim_matches([' ', '\t']) == text;
    let looks_encoded = text.starts_with("=?base64?") && text.ends_with("?=");
    if is_visible && is_trimmed && !looks_encoded {
        return text;
    }
    Cow::Owned(format!("=?base64?{}?=", STANDARD.encode(text.as_bytes())))
}

/// What a `server/discover` result says, as `initialize` would have said it.
pub(super) fn speaks_ours(result: &Json) -> bool {
    let versions = result.member("supportedVersions").and_then(|versions| versions.elements());
    versions.unwrap_or_default().iter().any(|version| version.string().as_deref() == Some(VERSION))
}

/// `serverInfo`, which modern results carry in `_meta`.
pub(super) fn server_info(result: &Json) -> Option<Json> {
    result.member("_meta")?.member("io.modelcontextprotocol/serverInfo")
}

impl Identity {
    /// As `clientInfo`.
    pub(super) fn to_json(&self) -> Json {
        ObjectWriter::new().string("name", &self.name).string("version", &self.version).finish()
    }
}

const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// [`VERSION`], as it stands in every request.
static OUR_VERSION: LazyLock<Json> = LazyLock::new(|| Json::of(VERSION));

#[cfg(test)]
mod tests {
    use super::*;

    fn ourselves() -> Json {
        Identity { name: "g".into(), version: "1".into() }.to_json()
    }

    #[track_caller]
    fn check(params: Option<&str>, client: Option<&ClientFacts>, sent: &str) {
        let params = params.map(|text| Json::parse(text.to_owned()).unwrap());
        let (dressed, _) = dress(params.as_ref(), 7, client, &ourselves());
        assert_eq!(
            dressed.unwrap().as_str(),
            sent.replace("VERSION", PROTOCOL_VERSION).replace("NS", "io.modelcontextprotocol")
        );
    }

    #[test]
    fn every_request_says_who_asks() {
        check(
            None,
            None,
            r#"{"_meta":{"VERSION":"2026-07-28","NS/clientCapabilities":{"extensions":{"NS/ui":{"mimeTypes":["text/html;profile=mcp-app"]}}},"NS/clientInfo":{"name":"g","version":"1"}}}"#,
        );
        let client = ClientFacts {
            info: Some(Json::parse(r#"{"name":"c"}"#).unwrap()),
            capabilities: Json::parse(r#"{"sampling":{}}"#).unwrap(),
            log_level: Some("info".into()),
        };
        check(
            Some(r#"{"name":"t","_meta":{"progressToken":"p","traceparent":"00-1"}}"#),
            Some(&client),
            r#"{"name":"t","_meta":{"progressToken":7,"traceparent":"00-1","VERSION":"2026-07-28","NS/clientCapabilities":{"sampling":{}},"NS/clientInfo":{"name":"c"},"NS/logLevel":"info"}}"#,
        );
    }

    #[test]
    fn names_become_headers() {
        let name = |method, params: &str| {
            let value = name_header(method, Some(&Json::parse(params.to_owned()).unwrap()));
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(name("tools/call", r#"{"name":"a b"}"#).as_deref(), Some("a b"));
        assert_eq!(name("resources/read", r#"{"uri":"file:///x"}"#).as_deref(), Some("file:///x"));
        assert_eq!(name("tools/call", r#"{"name":"é"}"#).as_deref(), Some("=?base64?w6k=?="));
        assert_eq!(name("tools/call", r#"{"name":" a"}"#).as_deref(), Some("=?base64?IGE=?="));
        assert_eq!(name("tools/call", r#"{"name":"a\nb"}"#).as_deref(), Some("=?base64?YQpi?="));
        assert_eq!(
            name("tools/call", r#"{"name":"=?base64?eA==?="}"#).as_deref(),
            Some("=?base64?PT9iYXNlNjQ/ZUE9PT89?=")
        );
        assert_eq!(name("tools/list", r#"{"name":"a"}"#), None);
    }
}

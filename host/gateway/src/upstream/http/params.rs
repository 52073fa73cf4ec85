//! Arguments that a modern server wants repeated in headers (2026-07-28, streamable HTTP, `x-mcp-header`).
//!
//! A tool's input schema names them; the values are taken from the request that goes out, whatever a client sent.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use wasmgate_core::json::Json;

use crate::upstream::modern;

/// What the tools of one server want, by tool.
#[derive(Debug, Default)]
pub(super) struct ParamHeaders(HashMap<String, Vec<Wanted>>);

/// One argument and its header.
#[derive(Debug)]
struct Wanted {
    /// Names of properties, outermost first.
    path: Vec<String>,
    header: HeaderName,
}

impl ParamHeaders {
    /// Reads the schemas of these tools.
    pub(super) fn of(tools: &[Json]) -> Self {
        let wanted = tools.iter().filter_map(|tool| {
            let name = tool.member("name")?.string()?.into_owned();
            let mut found = Vec::new();
            search(&tool.member("inputSchema")?, &mut Vec::new(), &mut found);
            (!found.is_empty()).then_some((name, found))
        });
        Self(wanted.collect())
    }

    /// Adds the headers for a `tools/call` with these params.
    pub(super) fn add(&self, headers: &mut HeaderMap, params: &Json) {
        if self.0.is_empty() {
            return;
        }
        let [Some(name), Some(arguments)] = params.pick(["name", "arguments"]) else { return };
        let wanted = name.string().and_then(|name| self.0.get(&*name));
        for Wanted { path, header } in wanted.into_iter().flatten() {
            let value = path.iter().try_fold(arguments.clone(), |at, name| at.member(name));
            if let Some(value) = value.as_ref().and_then(header_text) {
                headers.insert(header.clone(), value);
            }
        }
    }
}

/// Looks through `properties`, and theirs, for annotations.
fn search(schema: &Json, path: &mut Vec<String>, found: &mut Vec<Wanted>) {
    let properties = schema.member("properties").and_then(|properties| properties.members());
    for (name, property) in properties.unwrap_or_default() {
        path.push(name);
        let header = property.member("x-mcp-header");
        let header = header.as_ref().and_then(Json::string).filter(|header| !header.is_empty());
        let header = header.and_then(|header| HeaderName::try_from(format!("mcp-param-{header}")).ok());
        if let Some(header) = header {
            found.push(Wanted { path: path.clone(), header });
        }
        search(&property, path, found);
        path.pop();
    }
}

/// Strings, numbers and booleans have a form as a header; nothing else has.
fn header_text(value: &Json) -> Option<HeaderValue> {
    let text = match value.string() {
        Some(text) => modern::header_value(text).into_owned(),
        None if value.is_object() || value.is_array() || value.is_null() => return None,
        None => value.as_str().to_owned(),
    };
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &str, expected: &[(&str, &str)]) {
        let tool = r#"{"name":"t","inputSchema":{"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"Deep-N"}}},
            "plain":{"type":"string"},
            "bad":{"type":"string","x-mcp-header":"not a token"}}}}"#;
        let wanted =
            ParamHeaders::of(&[Json::parse(tool).unwrap(), Json::parse(r#"{"name":"other"}"#).unwrap()]);
        let params = Json::parse(format!(r#"{{"name":"t","arguments":{arguments}}}"#)).unwrap();
        let mut headers = HeaderMap::new();
        wanted.add(&mut headers, &params);
        let mut got: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        got.sort_unstable();
        assert_eq!(got, expected);
    }

    #[test]
    fn annotated_arguments_become_headers() {
        check(r#"{"region":"eu","plain":"x","bad":"y"}"#, &[("mcp-param-region", "eu")]);
        check(r#"{"deep":{"n":7}}"#, &[("mcp-param-deep-n", "7")]);
        check(r#"{"region":"é"}"#, &[("mcp-param-region", "=?base64?w6k=?=")]);
        check(r#"{"region":{"a":1},"deep":7}"#, &[]);
        check(r#"{"region":null}"#, &[]);
        check(r#"{"region":"a\r\nx: y"}"#, &[("mcp-param-region", "=?base64?YQ0KeDogeQ==?=")]);
    }
}

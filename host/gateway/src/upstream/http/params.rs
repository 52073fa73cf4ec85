//! Arguments that a modern server wants repeated in headers (2026-07-28, streamable HTTP, `x-mcp-header`).
//!
//! A tool's input schema names them; the values are taken from the request that goes out, whatever a client sent.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use wasmgate_core::json::Json;
use wasmgate_core::mcp::{code, method, param_headers};

use super::Http;
use crate::upstream::era::Era;
use crate::upstream::incoming::Kinds;
use crate::upstream::link::{Link, Question};
use crate::upstream::{Answer, Fault, lists, modern};

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
    /// Reads the schemas of these tools. Tools with bad annotations are not among those that are called.
    pub(super) fn of(tools: &[Json]) -> Self {
        let wanted = tools.iter().filter_map(|tool| {
            let name = tool.member("name")?.string()?.into_owned();
            let found: Vec<Wanted> = param_headers(&tool.member("inputSchema")?)
                .ok()?
                .into_iter()
                .filter_map(|wanted| {
                    let header = HeaderName::try_from(format!("mcp-param-{}", wanted.name)).ok()?;
                    Some(Wanted { path: wanted.path, header })
                })
                .collect();
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

impl Http {
    /// Asks, and when a server of 2026-07-28 refuses a call because headers and arguments are at odds, reads its tools
    /// anew and asks once more (streamable HTTP, Client Behavior): with that error nothing has been run.
    pub(in crate::upstream) async fn ask_in_its_headers(
        self: &Arc<Self>,
        era: &Era,
        question: Question<'_>,
    ) -> Result<Answer, Fault> {
        if question.method != method::TOOLS_CALL || matches!(era, Era::Legacy(_)) {
            return self.ask(era, question).await;
        }
        let (again, patience) = (question.clone(), question.patience);
        let answer = self.ask(era, question).await;
        if !is_at_odds(&answer) {
            return answer;
        }
        let link = Link::Http(Arc::clone(self));
        match Box::pin(lists::tools(&link, era, patience)).await {
            Ok(tools) => {
                self.learn(&tools);
                self.signals().raise(Kinds::TOOLS);
                self.ask(era, again).await
            }
            Err(_) => answer,
        }
    }
}

fn is_at_odds(answer: &Result<Answer, Fault>) -> bool {
    let Ok(Answer::Error(error)) = answer else { return false };
    error.member("code").and_then(|code| code.as_str().parse().ok()) == Some(code::HEADER_MISMATCH)
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
            "plain":{"type":"string"}}}}"#;
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
        check(r#"{"region":"eu","plain":"x"}"#, &[("mcp-param-region", "eu")]);
        check(r#"{"deep":{"n":7}}"#, &[("mcp-param-deep-n", "7")]);
        check(r#"{"region":"é"}"#, &[("mcp-param-region", "=?base64?w6k=?=")]);
        check(r#"{"region":{"a":1},"deep":7}"#, &[]);
        check(r#"{"region":null}"#, &[]);
        check(r#"{"region":"a\r\nx: y"}"#, &[("mcp-param-region", "=?base64?YQ0KeDogeQ==?=")]);
    }
}

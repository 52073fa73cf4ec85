//! Requests with their line in the audit log: what was asked, and in one word how it ended.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::Blocked;

use super::{CallError, Fault, Gateway, Given, Request};
use crate::audit::{Entry, Open, Outcome};

/// What is found out about a request on its way.
#[derive(Default)]
pub(super) struct Noted {
    /// The server it went to.
    pub(super) server: Option<ServerName>,
}

/// A request's place in the log, when there is a log.
pub(super) struct Place(Option<Open>);

/// A request at another door of this process than MCP's (`/interceptors`).
pub struct Beside<'a> {
    /// Unique request id for logs.
    pub id: Arc<str>,
    /// Who asks.
    pub principal: Arc<str>,
    /// The method.
    pub method: &'a str,
    /// Its params, as they came.
    pub params: Option<&'a Json>,
}

impl Gateway {
    /// Reserves a request's place in the log.
    ///
    /// # Errors
    /// [`CallError::NotServing`] when nothing is served without a record and none can be written.
    pub(super) async fn place(&self, request: &Request) -> Result<Place, CallError> {
        if self.audit.is_none() {
            return Ok(Place(None));
        }
        let beside = Beside {
            id: Arc::clone(&request.id),
            principal: Arc::clone(&request.principal),
            method: &request.method,
            params: request.params.as_ref(),
        };
        self.place_of(Entry { session: request.session.clone(), ..entry(&beside) }).await
    }

    async fn place_of(&self, entry: Entry) -> Result<Place, CallError> {
        let Some(audit) = &self.audit else { return Ok(Place(None)) };
        let opened = audit.begin(entry).await;
        opened
            .map(|open| Place(Some(open)))
            .map_err(|_| CallError::NotServing("unable to write its audit log"))
    }

    /// The answer that `answering` gives to a request at another door, its result or its error object, with its line in the
    /// log.
    ///
    /// # Errors
    /// [`CallError::NotServing`] when nothing is served without a record and none can be written.
    pub async fn beside(
        &self,
        asked: &Beside<'_>,
        answering: impl Future<Output = Result<Json, Json>>,
    ) -> Result<Result<Json, Json>, CallError> {
        let place = self.place_of(entry(asked)).await?;
        let answer = answering.await;
        let known = answer.as_ref().map_err(|error| CallError::Answered(error.clone()));
        place.take(Noted::default(), known.as_ref().copied());
        Ok(answer)
    }

    /// Notes what a front refused before it was a request of a known principal's or a stranger's. `code` says why.
    pub fn note_refused(&self, entry: Entry, code: &'static str) {
        if let Some(audit) = &self.audit {
            let method = entry.method.map(|method| cut(&method).into());
            audit.denied(Entry { method, ..entry }, code);
        }
    }
}

impl Place {
    /// The request has ended like this. Dropped before that it was cancelled.
    pub(super) fn take(self, noted: Noted, result: Result<&Json, &CallError>) {
        // Where nothing is audited, nobody looks into the result.
        self.put(noted, || outcome(result));
    }

    /// The request has ended like this, or goes on with what it has been given.
    pub(super) fn given(self, noted: Noted, given: Result<Given, CallError>) -> Result<Given, CallError> {
        match given {
            Ok(Given::Flow(flow)) => Ok(Given::Flow(Box::new(flow.noted(self, noted)))),
            Ok(Given::Result(result)) => {
                self.take(noted, Ok(&result));
                Ok(Given::Result(result))
            }
            Err(error) => {
                self.take(noted, Err(&error));
                Err(error)
            }
        }
    }

    /// The request has ended in one of the words for a result.
    pub(super) fn end(self, noted: Noted, kind: &'static str) {
        self.put(noted, || Outcome { kind, code: None });
    }

    fn put(self, noted: Noted, outcome: impl FnOnce() -> Outcome) {
        let Some(mut open) = self.0 else { return };
        open.entry.server = noted.server.map(|name| name.as_str().into());
        open.end(outcome());
    }
}

fn entry(asked: &Beside<'_>) -> Entry {
    Entry {
        principal: Some(Arc::clone(&asked.principal)),
        session: None,
        request: Some(Arc::clone(&asked.id)),
        method: Some(cut(asked.method).into()),
        name: asked.params.and_then(name),
        server: None,
        params: asked.params.map(digest),
    }
}

/// What a request names, whatever kind of thing that is. No secret of a URI is in it.
fn name(params: &Json) -> Option<String> {
    let [name, uri, task] = params.pick(["name", "uri", "taskId"]);
    if let (None, Some(uri)) = (&name, &uri) {
        return uri.string().map(|uri| cut(&bare(&uri)).to_owned());
    }
    name.or(task)?.string().map(|text| cut(&text).to_owned())
}

/// Of a URI what leads to the resource: scheme, host and path, also of one that stands in the path of another
/// (`wasmgate://server/https://...`). User names, passwords, queries and fragments may be secrets, and all of `data:` is
/// contents.
fn bare(uri: &str) -> String {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let is_scheme = |(at, _): &(usize, &str)| {
        path.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    let data = path.match_indices("data:").find(is_scheme);
    let path = data.and_then(|(at, scheme)| path.get(..at + scheme.len())).unwrap_or(path);
    let mut parts = path.split("//");
    let mut bare = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '\\']).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        let host = authority.rsplit('@').next().unwrap_or_default();
        bare.extend(["//", host, rest]);
    }
    bare
}

/// As much of a text as a line has room for.
fn cut(text: &str) -> &str {
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= LONGEST_NAME);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

fn digest(params: &Json) -> String {
    Sha256::digest(params.bytes()).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a text does not fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

fn outcome(result: Result<&Json, &CallError>) -> Outcome {
    let (kind, code) = match result {
        Ok(result) => (of_result(result), None),
        Err(error) => (of_error(error), Some(error.word())),
    };
    Outcome { kind, code }
}

fn of_result(result: &Json) -> &'static str {
    let [is_error, kind] = result.pick(["isError", "resultType"]);
    if is_error.and_then(|is_error| is_error.boolean()) == Some(true) {
        return "tool_error";
    }
    match kind.as_ref().and_then(Json::string).as_deref() {
        Some("input_required") => "input_required",
        _ => "ok",
    }
}

const fn of_error(error: &CallError) -> &'static str {
    match error {
        CallError::UnknownMethod(_) | CallError::InvalidParams(_) | CallError::MissingCapability(_) => {
            "invalid"
        }
        CallError::Unknown { .. } | CallError::Blocked(Blocked::Invalid(_)) | CallError::Limit(_) => "denied",
        CallError::Upstream(upstream) if matches!(upstream.fault, Fault::Unauthorized(_)) => "denied",
        CallError::Answered(_)
        | CallError::Blocked(Blocked::StageFailed { .. })
        | CallError::NotAsked(_)
        | CallError::NotServing(_)
        | CallError::Upstream(_) => "failed",
    }
}

/// Bytes of a name or method that stand in a line.
const LONGEST_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(200);
        assert_eq!(cut(&long).len(), 256);
        assert_eq!(cut(&format!("x{long}")).len(), 257);
    }

    #[test]
    fn of_a_uri_no_secret_is_kept() {
        let check = |uri: &str, expected: &str| {
            let params = Json::empty_object().with_member("uri", &Json::of(uri));
            assert_eq!(name(&params).as_deref(), Some(expected), "{uri}");
        };
        check("file:///a/b.txt", "file:///a/b.txt");
        check("note:7", "note:7");
        check("https://h.example:8443/p?token=S#S", "https://h.example:8443/p");
        check("https://u:S@h.example/p", "https://h.example/p");
        check("https://u:S@S@h.example", "https://h.example");
        check("wasmgate://fx/https://u:S@h.example/p?S", "wasmgate://fx/https://h.example/p");
        check("//u:S@h/p", "//h/p");
        check("data:text/plain,S", "data:");
        check("wasmgate://fx/data:,S", "wasmgate://fx/data:");
        check("#S", "");
        let tool = Json::parse(br#"{"uri":"x?S","name":"what?"}"#.as_slice()).unwrap();
        assert_eq!(name(&tool).as_deref(), Some("what?"));
    }

    #[test]
    fn outcomes_are_one_word() {
        let check = |text: &'static str, expected| {
            assert_eq!(of_result(&Json::parse(text.as_bytes()).unwrap()), expected, "{text}");
        };
        check(r#"{"content":[]}"#, "ok");
        check(r#"{"isError":false}"#, "ok");
        check(r#"{"isError":true,"resultType":"complete"}"#, "tool_error");
        check(r#"{"resultType":"input_required"}"#, "input_required");
        let denied = outcome(Err(&CallError::Unknown { kind: "tool", name: "x".into() }));
        assert_eq!(denied, Outcome { kind: "denied", code: Some("unknown_tool") });
    }
}

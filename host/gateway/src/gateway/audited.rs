//! Requests with their line in the audit log: what was asked, and in one word how it ended.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::Blocked;

use super::{CallError, Fault, Gateway, Request};
use crate::audit::{Entry, Open, Outcome};

/// What is found out about a request on its way.
#[derive(Default)]
pub(super) struct Noted {
    /// The server it went to.
    pub(super) server: Option<ServerName>,
}

/// A request's place in the log, when there is a log.
pub(super) struct Place(Option<Open>);

impl Gateway {
    /// Reserves a request's place in the log.
    ///
    /// # Errors
    /// [`CallError::NotServing`] when nothing is served without a record and none can be written.
    pub(super) async fn place(&self, request: &Request) -> Result<Place, CallError> {
        let Some(audit) = &self.audit else { return Ok(Place(None)) };
        let opened = audit.begin(entry(request)).await;
        opened
            .map(|open| Place(Some(open)))
            .map_err(|_| CallError::NotServing("unable to write its audit log"))
    }
}

impl Place {
    /// The request has ended like this. Dropped before that it was cancelled.
    pub(super) fn take(self, noted: Noted, result: &Result<Json, CallError>) {
        let Some(mut open) = self.0 else { return };
        open.entry.server = noted.server.map(|name| name.as_str().into());
        open.end(outcome(result));
    }
}

fn entry(request: &Request) -> Entry {
    Entry {
        principal: Some(Arc::clone(&request.principal)),
        session: request.session.clone(),
        request: Some(Arc::clone(&request.id)),
        method: Some(cut(&request.method).into()),
        name: request.params.as_ref().and_then(name),
        server: None,
        params: request.params.as_ref().map(digest),
    }
}

/// What a request names, whatever kind of thing that is.
fn name(params: &Json) -> Option<String> {
    let named = ["name", "uri", "taskId"].iter().find_map(|member| params.member(member))?;
    named.string().map(|text| cut(&text).to_owned())
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

fn outcome(result: &Result<Json, CallError>) -> Outcome {
    let (kind, code) = match result {
        Ok(result) => (of_result(result), None),
        Err(error) => (of_error(error), Some(error.word())),
    };
    Outcome { kind, code }
}

fn of_result(result: &Json) -> &'static str {
    if result.member("isError").and_then(|is_error| is_error.boolean()) == Some(true) {
        return "tool_error";
    }
    match result.member("resultType").and_then(|kind| kind.string().map(|kind| kind == "input_required")) {
        Some(true) => "input_required",
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
    fn outcomes_are_one_word() {
        let check = |text: &'static str, expected| {
            assert_eq!(of_result(&Json::parse(text.as_bytes()).unwrap()), expected, "{text}");
        };
        check(r#"{"content":[]}"#, "ok");
        check(r#"{"isError":false}"#, "ok");
        check(r#"{"isError":true,"resultType":"complete"}"#, "tool_error");
        check(r#"{"resultType":"input_required"}"#, "input_required");
        let denied = outcome(&Err(CallError::Unknown { kind: "tool", name: "x".into() }));
        assert_eq!(denied, Outcome { kind: "denied", code: Some("unknown_tool") });
    }
}

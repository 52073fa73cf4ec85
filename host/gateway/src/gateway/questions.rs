//! What a server of an older version asks in the course of a call: what goes to the client, what is answered without it,
//! and how the client's answers come back.
//!
//! Servers may ask what the client declared (see [`missing`]). Who declared no roots has none. Anything else a modern
//! client would have had to declare, and is told so; a legacy client would have refused the question, so the server gets
//! that refusal and decides what becomes of the call.

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::error_object;
use wasmgate_core::mcp::{MODERN, code, method, missing};

use super::park::Stay;
use super::{CallError, Request};
use crate::upstream::{Asks, Parked, Question, Reply};

/// What became of a server's questions.
pub(super) enum Sorted {
    /// The client must be asked.
    Asked(Vec<Question>, Stay),
    /// Nobody needs to be asked.
    Known(Parked, Vec<(String, Reply)>),
}

/// Finds out who answers what a server asks. An error cancels the call.
pub(super) fn sorted(asks: Asks, request: &Request) -> Result<Sorted, CallError> {
    let Asks { questions, parked } = asks;
    let is_modern = MODERN.contains(&request.version);
    let (mut asked, mut known) = (Vec::new(), Vec::new());
    let mut required = Json::empty_object();
    for question in questions {
        match question.lacking(request) {
            None => asked.push(question),
            Some(_) if &*question.method == method::ROOTS_LIST => {
                known.push((question.key, Reply::Result(no_roots())));
            }
            Some(lacking) if is_modern => required = required.merged(&lacking),
            Some(_) => known.push((question.key, Reply::Error(refusal()))),
        }
    }
    if required.members().is_some_and(|members| !members.is_empty()) {
        return Err(CallError::MissingCapability(required));
    }
    Ok(match asked.is_empty() {
        true => Sorted::Known(parked, known),
        false => Sorted::Asked(asked, Stay { call: parked, known }),
    })
}

/// The result that asks a client for input. Since 2026-07-28 a URL has no id: the answer comes with the request.
pub(super) fn input_required(questions: &[Question], version: &str) -> Json {
    let is_modern = MODERN.contains(&version);
    let requests = questions.iter().fold(ObjectWriter::new(), |all, question| {
        let request = ObjectWriter::new().string("method", &question.method);
        let request = match &question.params {
            Some(params) if is_modern => request.member("params", &params.without_member("elicitationId")),
            Some(params) => request.member("params", params),
            None => request,
        };
        all.member(&question.key, &request.finish())
    });
    let result = ObjectWriter::new().string("resultType", "input_required");
    result.member("inputRequests", &requests.finish()).finish()
}

/// The questions behind a -32042 (2025-11-25 `URLElicitationRequiredError`); None when it names no URL.
pub(super) fn urls(error: &Json) -> Option<Vec<Question>> {
    let number = error.member("code")?.as_str().parse::<i64>();
    if number != Ok(code::URL_ELICITATION_REQUIRED) {
        return None;
    }
    let elicitations = error.pointer("/data/elicitations")?.elements()?;
    let is_url = |params: &Json| params.member("url").is_some_and(|url| url.string().is_some());
    if elicitations.is_empty() || !elicitations.iter().all(is_url) {
        return None;
    }
    let questions = elicitations.into_iter().enumerate().map(|(at, params)| Question {
        key: format!("url-{at}"),
        method: method::ELICIT.into(),
        params: Some(params.with_member("mode", &Json::of("url"))),
    });
    Some(questions.collect())
}

/// The replies among the params of a retry: what was not asked is not looked at, what is missing is asked again.
pub(super) fn replies(params: Option<&Json>, asked: &[String]) -> Vec<(String, Reply)> {
    let responses = params.and_then(|params| params.member("inputResponses"));
    let Some(responses) = responses else { return Vec::new() };
    asked.iter().filter_map(|key| Some((key.clone(), Reply::Result(responses.member(key)?)))).collect()
}

impl Question {
    /// What the client of a request would have to declare to be asked this.
    pub(super) fn lacking(&self, request: &Request) -> Option<Json> {
        missing(&request.client.capabilities, &self.method, self.params.as_ref())
    }
}

fn no_roots() -> Json {
    Json::empty_object().with_member("roots", &Json::array([]))
}

/// What a client says to a question that it does not know.
fn refusal() -> Json {
    error_object(code::METHOD_NOT_FOUND, "this client offers no such method", None)
}

#[cfg(test)]
mod tests;

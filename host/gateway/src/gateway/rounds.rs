//! What a server asks of its client (elicitation, sampling, roots), and what the client answers.
//!
//! A question is an `input_required` result, its answer comes with the client's retry (2026-07-28 basic/patterns/mrtr).
//! Every question passes the request phase and every answer the response phase of an exchange that the server began. The
//! retry does not say what each of its answers answers. So where interceptors look, the server's `requestState` goes to the
//! client sealed, together with the methods asked; the client gives it back unread, to whichever replica it likes. An
//! answer without such a state is told by its shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmgate_core::json::Json;
use wasmgate_core::mcp::{MODERN, method};
use wasmgate_core::pipeline::{Exchange, Hook, Operation, Pipeline, Verdict};
use wasmgate_core::seal::{Purpose, Scope, Sealer};

use super::lists::{nonce, seconds_now};
use super::phases::of_server;
use super::{CallError, Request};

/// The questions and answers of one operation.
pub(super) struct Rounds<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) operation: &'a Operation,
    pub(super) sealer: &'a Sealer,
}

/// What the client keeps for us between two rounds.
#[derive(Serialize, Deserialize, Default)]
struct Kept {
    /// The server's own state, when it gave one.
    state: Option<String>,
    /// The method asked, by key.
    asked: BTreeMap<String, String>,
}

impl Rounds<'_> {
    /// Whether the params of a request may hold a sealed state although nobody looks any more.
    pub(super) fn may_carry_state(request: &Request) -> bool {
        MODERN.contains(&request.version) && MAY_ASK.contains(&&*request.method)
    }

    /// The questions of a result, as interceptors leave them. Every other result stays as it is.
    pub(super) async fn questions(&self, result: Json) -> Result<Json, CallError> {
        let event = &*self.operation.event;
        if !MAY_ASK.contains(&event) || !QUESTIONS.iter().any(|asked| self.interested(asked)) {
            return Ok(result);
        }
        let [kind, requests, state] = result.pick(["resultType", "inputRequests", "requestState"]);
        let requests = requests.and_then(|requests| requests.members()).unwrap_or_default();
        if kind.as_ref().and_then(Json::string).as_deref() != Some("input_required") || requests.is_empty() {
            return Ok(result);
        }
        let mut passed = requests.clone();
        let mut kept = Kept { state: state.and_then(|state| text(&state)), asked: BTreeMap::new() };
        for (key, request) in &mut passed {
            let asked = request.member("method").and_then(|asked| text(&asked)).unwrap_or_default();
            *request = self.question(&asked, request).await?;
            kept.asked.insert(key.clone(), asked);
        }
        let mut result = result;
        if passed != requests {
            let passed =
                passed.iter().fold(Json::empty_object(), |all, (key, one)| all.with_member(key, one));
            result = result.with_member("inputRequests", &passed);
        }
        Ok(result.with_member("requestState", &Json::of(&self.seal(&kept)?)))
    }

    /// One question: its params pass the request phase.
    async fn question(&self, asked: &str, request: &Json) -> Result<Json, CallError> {
        let operation = of_server(self.operation, asked);
        if !self.pipeline.interested(&operation) {
            return Ok(request.clone());
        }
        let params = request.member("params").unwrap_or_else(Json::empty_object);
        match self.pipeline.request(&Exchange::new(operation), params.clone()).await {
            Verdict::Continue(passed) if passed == params => Ok(request.clone()),
            Verdict::Continue(passed) => Ok(request.with_member("params", &passed)),
            Verdict::Refuse(blocked) => Err(CallError::Blocked(blocked)),
            Verdict::Answer(_) => Err(CallError::NotServing("unable to answer for the client")),
        }
    }

    /// The params of a retry as the server must see them: its own state, and the answers as interceptors leave them.
    pub(super) async fn answers(&self, params: Option<Json>) -> Result<Option<Json>, CallError> {
        let Some(params) = params.as_ref().filter(|_| MAY_ASK.contains(&&*self.operation.event)) else {
            return Ok(params);
        };
        let [state, responses] = params.pick(["requestState", "inputResponses"]);
        let kept = state.as_ref().and_then(|state| self.open(state));
        let mut passed = params.clone();
        if let Some(kept) = &kept {
            let own = kept.state.as_ref().map(Json::of);
            passed = passed.with_members(&[("requestState", own.as_ref())]);
        }
        let responses = responses.and_then(|responses| responses.members()).unwrap_or_default();
        let mut answers = responses.clone();
        for (key, answer) in &mut answers {
            let asked = kept.as_ref().and_then(|kept| kept.asked.get(key)).map(String::as_str);
            *answer = self.answer(asked.unwrap_or_else(|| by_shape(answer)), answer).await?;
        }
        if answers != responses {
            let all = answers.iter().fold(Json::empty_object(), |all, (key, one)| all.with_member(key, one));
            passed = passed.with_member("inputResponses", &all);
        }
        Ok(Some(passed))
    }

    /// One answer passes the response phase.
    async fn answer(&self, asked: &str, answer: &Json) -> Result<Json, CallError> {
        let operation = of_server(self.operation, asked);
        if !self.pipeline.interested(&operation) {
            return Ok(answer.clone());
        }
        self.pipeline.response(&Exchange::new(operation), answer.clone()).await.map_err(CallError::Blocked)
    }

    /// Whether a stage wants to see what the server says in a message of this event.
    pub(super) fn interested(&self, event: &str) -> bool {
        let names = |hook: &Hook| hook.events.iter().any(|pattern| pattern.matches(event));
        // Most pipelines name no such event: they cost no more than a look at their hooks.
        self.pipeline.stages().iter().any(|stage| stage.info().hooks.iter().any(names))
            && self.pipeline.interested(&of_server(self.operation, event))
    }

    fn seal(&self, kept: &Kept) -> Result<String, CallError> {
        let payload = Json::of(kept);
        let sealed = self.sealer.seal(self.scope(), seconds_now() + LIFE, payload.bytes(), nonce()?);
        sealed.map_err(|_| CallError::NotServing("out of randomness"))
    }

    /// None when the state is the server's own.
    fn open(&self, state: &Json) -> Option<Kept> {
        let opened = self.sealer.open(self.scope(), seconds_now(), &state.string()?).ok()?;
        Json::parse(opened).ok()?.deserialize().ok()
    }

    fn scope(&self) -> Scope<'_> {
        Scope { purpose: Purpose::RequestState, principal: &self.operation.principal }
    }
}

/// What an answer answers, when nothing else says it (2026-07-28 `InputResponse`: the shapes have no member in common).
fn by_shape(answer: &Json) -> &'static str {
    match answer.pick(["action", "roots", "role"]) {
        [Some(_), ..] => method::ELICIT,
        [_, Some(_), _] => method::ROOTS_LIST,
        [_, _, Some(_)] => method::SAMPLE,
        _ => method::ELICIT,
    }
}

fn text(value: &Json) -> Option<String> {
    value.string().map(std::borrow::Cow::into_owned)
}

/// Requests that may be answered with questions.
const MAY_ASK: [&str; 3] = [method::TOOLS_CALL, method::PROMPTS_GET, method::RESOURCES_READ];
/// What a server may ask.
const QUESTIONS: [&str; 3] = [method::ELICIT, method::SAMPLE, method::ROOTS_LIST];
/// How long a client may take to answer, in seconds.
const LIFE: u64 = 3600;

//! What a server asks of its client (elicitation, sampling, roots), and what the client answers.
//!
//! A question is an `input_required` result, its answer comes with the client's retry (2026-07-28 basic/patterns/mrtr).
//! Every question passes the request phase and every answer the response phase of an exchange that the server began. The
//! retry does not say what each of its answers answers. So where interceptors look, the server's `requestState` goes to the
//! client sealed, together with the methods asked; the client gives it back unread, to whichever replica it likes. An
//! answer without such a state is told by its shape.
//!
//! A server of an older version asks while its call goes on. The call is parked (see `park`), and the sealed state says
//! where: it belongs to one principal and one request, and opens the way back once. To such a server no call is made
//! again because a state is not what it should be.

use std::sync::{Arc, LazyLock};

use wasmgate_core::json::{Json, Rare};
use wasmgate_core::mcp::{MAY_ASK, MODERN, QUESTIONS, method};
use wasmgate_core::pipeline::{Exchange, Operation, Pipeline, Verdict};
use wasmgate_core::seal::Sealer;

use super::park::{self, Parking, Stay};
use super::phases::of_server;
use super::questions::input_required;
use super::state::{Called, Kept, State, bad_state, digest, fresh_id};
use super::{CallError, Refused, Request};
use crate::upstream::{Offer, Question, Reply};

/// The questions and answers of one operation.
pub(super) struct Rounds<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) operation: &'a Operation,
    pub(super) sealer: &'a Sealer,
    pub(super) parking: &'a Parking,
    /// What the server offers, where that is known.
    pub(super) offer: Option<Arc<Offer>>,
    /// What is asked, in the server's names, as the client said it.
    pub(super) said: Option<Json>,
}

/// A request that may come back with answers.
#[derive(Default)]
pub(super) struct Retry {
    /// What the server must see.
    pub(super) params: Option<Json>,
    /// The call it belongs to.
    pub(super) parked: Option<Back>,
}

/// The way back to a parked call.
pub(super) struct Back {
    pub(super) stay: Stay,
    /// The keys of what its client was asked.
    pub(super) asked: Vec<String>,
}

impl Rounds<'_> {
    /// Whether a client of 2026-07-28 answers questions with this request, or gives a state back.
    pub(super) fn carries_answers(request: &Request, params: Option<&Json>) -> bool {
        let may = MAY_ASK.contains(&&*request.method) || &*request.method == method::TASKS_UPDATE;
        MODERN.contains(&request.version)
            && may
            && params.is_some_and(|params| ANSWERS.iter().any(|answer| answer.of(params).is_some()))
    }

    /// The questions of a result, as interceptors leave them. Every other result stays as it is.
    pub(super) async fn questions(&self, result: Json) -> Result<Json, CallError> {
        let event = &*self.operation.event;
        if !MAY_ASK.contains(&event) {
            return Ok(result);
        }
        let Some(requests) = REQUESTS.of(&result) else { return Ok(result) };
        let is_seen = || QUESTIONS.iter().any(|asked| self.interested(asked));
        if !(is_seen() || State::looks_ours(&result)) {
            return Ok(result);
        }
        let [kind, state] = result.pick(["resultType", "requestState"]);
        let requests = requests.members().unwrap_or_default();
        if kind.as_ref().and_then(Json::string).as_deref() != Some("input_required") || requests.is_empty() {
            return Ok(result);
        }
        let mut kept = Kept { state: state.and_then(|state| text(&state)), ..Kept::default() };
        let result = self.passed(result, &requests, &mut kept).await?;
        Ok(result.with_member(
            "requestState",
            &Json::of(&kept.seal(self.sealer, &self.operation.principal, LIFE)?),
        ))
    }

    /// Parks a call that waits for its client: the result that asks, as interceptors leave it.
    pub(super) async fn park(&self, questions: &[Question], stay: Stay) -> Result<Json, CallError> {
        let id = fresh_id()?;
        let call = Called { digest: digest(self.operation, self.said.as_ref()), parked: Some(id.clone()) };
        let mut kept = Kept { call: Some(call), ..Kept::default() };
        let result = self.asking(questions, &mut kept).await?;
        let state = kept.seal(self.sealer, &self.operation.principal, park::LIFE.as_secs())?;
        self.parking.keep(id, &self.operation.principal, stay)?;
        Ok(result.with_member("requestState", &Json::of(&state)))
    }

    /// The result that asks for what has to be done before the call is made anew.
    pub(super) async fn before_again(&self, questions: &[Question]) -> Result<Json, CallError> {
        let call = Called { digest: digest(self.operation, self.said.as_ref()), parked: None };
        let mut kept = Kept { call: Some(call), ..Kept::default() };
        let result = self.asking(questions, &mut kept).await?;
        let state = kept.seal(self.sealer, &self.operation.principal, park::LIFE.as_secs())?;
        Ok(result.with_member("requestState", &Json::of(&state)))
    }

    async fn asking(&self, questions: &[Question], kept: &mut Kept) -> Result<Json, CallError> {
        let result = input_required(questions, self.operation.version);
        let requests = result.member("inputRequests").and_then(|requests| requests.members());
        self.passed(result, &requests.unwrap_or_default(), kept).await
    }

    /// Passes every question through the request phase, and notes what is asked.
    async fn passed(
        &self,
        result: Json,
        requests: &[(String, Json)],
        kept: &mut Kept,
    ) -> Result<Json, CallError> {
        let mut passed = requests.to_vec();
        for (key, request) in &mut passed {
            let asked = request.member("method").and_then(|asked| text(&asked)).unwrap_or_default();
            *request = self.question(&asked, request).await?;
            kept.asked.insert(key.clone(), asked);
        }
        if passed == requests {
            return Ok(result);
        }
        let passed = object(&passed);
        Ok(result.with_member("inputRequests", &passed))
    }

    /// The questions of a task, as interceptors leave them.
    pub(super) async fn questions_of_task(&self, requests: Json) -> Result<Json, CallError> {
        let members = requests.members().unwrap_or_default();
        let mut passed = members.clone();
        for (_, request) in &mut passed {
            let asked = request.member("method").and_then(|asked| text(&asked)).unwrap_or_default();
            *request = self.question(&asked, request).await?;
        }
        Ok(if passed == members { requests } else { object(&passed) })
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

    /// A retry: what the server must see of it, the answers as interceptors leave them, and the call it belongs to.
    pub(super) async fn answers(
        &self,
        params: Option<Json>,
        refused: Vec<Refused>,
    ) -> Result<Retry, CallError> {
        if &*self.operation.event == method::TASKS_UPDATE {
            return self.answers_to_task(params).await;
        }
        let Some(given) = params.as_ref().filter(|_| MAY_ASK.contains(&&*self.operation.event)) else {
            return Ok(Retry { params, parked: None });
        };
        let [state, responses] = given.pick(["requestState", "inputResponses"]);
        let kept = self.kept(state.as_ref(), responses.is_some())?;
        let mut back = kept.as_ref().map(|kept| self.back(kept)).transpose()?.flatten();
        let mut passed = given.clone();
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
        for Refused { key, method, error } in refused {
            let error = self.refusal(&method, &error).await?;
            match &mut back {
                Some(back) => back.stay.known.push((key, Reply::Error(error))),
                // A server of 2026-07-28 knows no errors of clients; of elicitations it knows that they were broken off.
                None if &*method == method::ELICIT => answers.push((key, cancel())),
                None => return Err(CallError::Answered(error)),
            }
        }
        if kept.is_some_and(|kept| kept.call.is_some_and(|call| call.parked.is_none())) {
            return done_before_again(&passed, &answers);
        }
        if answers != responses {
            let all = object(&answers);
            passed = passed.with_member("inputResponses", &all);
        }
        Ok(Retry { params: Some(passed), parked: back })
    }

    /// What a client answers to a task's questions. No state goes with it: the task remembers what it asked.
    async fn answers_to_task(&self, params: Option<Json>) -> Result<Retry, CallError> {
        let responses = params.as_ref().and_then(|params| params.member("inputResponses")?.members());
        let responses = responses.unwrap_or_default();
        let mut answers = responses.clone();
        for (_, answer) in &mut answers {
            *answer = self.answer(by_shape(answer), answer).await?;
        }
        let params = match params {
            Some(params) if answers != responses => {
                Some(params.with_member("inputResponses", &object(&answers)))
            }
            params => params,
        };
        Ok(Retry { params, parked: None })
    }

    /// What a state of ours holds; none when it is the server's own. One that looks like ours must be. A server has states
    /// of its own, and makes something of answers without one, only when it is known to be of 2026-07-28.
    fn kept(&self, state: Option<&Json>, is_answer: bool) -> Result<Option<Kept>, CallError> {
        let is_modern = self.offer.as_ref().is_some_and(|offer| MODERN.contains(&&*offer.version));
        let Some(state) = state else {
            return if is_answer && !is_modern { Err(bad_state()) } else { Ok(None) };
        };
        let state = state.string().unwrap_or_default();
        match State::read(self.sealer, &self.operation.principal, &state) {
            State::Ours(kept) if kept.call.is_some() || is_modern => Ok(Some(kept)),
            State::Theirs if is_modern => Ok(None),
            State::Ours(_) | State::Theirs | State::Bad => Err(bad_state()),
        }
    }

    /// The way back to the call that a state is of. Nothing is taken out for a request that is another one.
    fn back(&self, kept: &Kept) -> Result<Option<Back>, CallError> {
        let Some(call) = &kept.call else { return Ok(None) };
        if call.digest != digest(self.operation, self.said.as_ref()) {
            return Err(CallError::InvalidParams("requestState: it belongs to another request".into()));
        }
        let Some(id) = &call.parked else { return Ok(None) };
        let stay = self.parking.take(id, &self.operation.principal).ok_or_else(bad_state)?;
        Ok(Some(Back { stay, asked: kept.asked.keys().cloned().collect() }))
    }

    /// One answer passes the response phase.
    async fn answer(&self, asked: &str, answer: &Json) -> Result<Json, CallError> {
        let operation = of_server(self.operation, asked);
        if !self.pipeline.interested(&operation) {
            return Ok(answer.clone());
        }
        self.pipeline.response(&Exchange::new(operation), answer.clone()).await.map_err(CallError::Blocked)
    }

    /// An error in place of an answer passes the response phase, too.
    async fn refusal(&self, asked: &str, error: &Json) -> Result<Json, CallError> {
        let operation = of_server(self.operation, asked);
        if !self.pipeline.interested(&operation) {
            return Ok(error.clone());
        }
        let mut exchange = Exchange::new(operation);
        exchange.failed = true;
        self.pipeline.response(&exchange, error.clone()).await.map_err(CallError::Blocked)
    }

    /// Whether a stage wants to see what the server says in a message of this event.
    pub(super) fn interested(&self, event: &str) -> bool {
        self.pipeline.interested_in_event(event, self.operation.server.as_ref())
    }

    /// Whether the server is of a version without `requestState`. Until it is known it is not.
    pub(super) fn server_is_old(&self) -> bool {
        self.offer.as_ref().is_some_and(|offer| !MODERN.contains(&&*offer.version))
    }
}

/// A call that is made anew once everything was accepted.
fn done_before_again(params: &Json, answers: &[(String, Json)]) -> Result<Retry, CallError> {
    let is_accepted = |answer: &Json| {
        answer.member("action").is_some_and(|action| action.string().as_deref() == Some("accept"))
    };
    if !answers.iter().all(|(_, answer)| is_accepted(answer)) {
        return Err(CallError::NotAsked("it was declined"));
    }
    let params = params.without_member("inputResponses");
    Ok(Retry { params: Some(params), parked: None })
}

/// What an elicitation comes to that did not come to an end.
fn cancel() -> Json {
    Json::empty_object().with_member("action", &Json::of("cancel"))
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

fn object(members: &[(String, Json)]) -> Json {
    Json::object(members.iter().map(|(name, value)| (name.as_str(), value)))
}

fn text(value: &Json) -> Option<String> {
    value.string().map(std::borrow::Cow::into_owned)
}

/// How long a client may take to answer a server that keeps no call for it, in seconds.
const LIFE: u64 = 3600;
/// The member with which a result asks.
static REQUESTS: LazyLock<Rare> = LazyLock::new(|| Rare::new("inputRequests"));
/// The members with which questions are answered.
static ANSWERS: LazyLock<[Rare; 2]> = LazyLock::new(|| ["requestState", "inputResponses"].map(Rare::new));

#[cfg(test)]
mod tests;

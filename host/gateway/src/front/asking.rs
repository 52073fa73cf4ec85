//! What servers ask of a legacy client in the course of a call: requests on that call's own stream.
//!
//! Inside the gateway a question is a result that asks for input, and its answer comes with the same request asked again.
//! A legacy client knows neither. So each question goes to it as a JSON-RPC request of ours, and when all are answered the
//! request is asked again on its behalf, at most [`ROUNDS`] times. Which server asks, and of which era, is the gateway's
//! business.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use memchr::memmem::Finder;
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::{write_notification, write_request};
use wasmgate_core::mcp::{QUESTIONS, V2025_11_25, method, missing};

use super::calling::next_id;
use super::session::{OpenQuestion, Session};
use crate::gateway::{Appetite, CallError, Gateway, Given, Refused, Request};
use crate::mailbox;

/// Where the questions of one call go.
pub(super) struct Asking {
    session: Arc<Session>,
    /// Whole messages, on their way to the call's stream.
    said: mailbox::Sender<Vec<u8>>,
}

/// What a server asks before it goes on.
struct Round {
    questions: Vec<(String, Question)>,
    state: Option<Json>,
}

struct Question {
    method: String,
    params: Option<Json>,
}

/// The questions of a round that the client has not answered. When they are dropped early the client is told.
struct Open<'a> {
    questions: Vec<OpenQuestion>,
    said: &'a mailbox::Sender<Vec<u8>>,
}

/// A call that the gateway may hold for us. Unless it was asked again it is given up with this.
struct Held<'a> {
    gateway: &'a Gateway,
    request: &'a Request,
    state: Option<&'a Json>,
}

impl Asking {
    /// What is said comes out of the receiver, in whole messages.
    pub(super) fn new(session: Arc<Session>) -> (Self, mailbox::Receiver<Vec<u8>>) {
        let (said, receiver) = mailbox::channel(2 * MAX_QUESTIONS);
        (Self { session, said }, receiver)
    }

    /// Asks the gateway, and the client whatever the server wants to know meanwhile, until there is a result.
    pub(super) async fn request(
        &self,
        gateway: &Gateway,
        request: Request,
        appetite: &Appetite,
    ) -> Result<Given, CallError> {
        let params = request.params.clone().unwrap_or_else(Json::empty_object);
        let mut given = gateway.give(request.clone(), appetite).await?;
        for _ in 0..ROUNDS {
            // One that flows asks nothing.
            let Given::Result(result) = given else { return Ok(given) };
            let Some(round) = Round::of(&result)? else { return Ok(Given::Result(result)) };
            let _held = Held { gateway, request: &request, state: round.state.as_ref() };
            let (answers, refused) = self.round(&request, &round).await?;
            let params = params.with_members(&[
                ("inputResponses", answers.as_ref()),
                ("requestState", round.state.as_ref()),
            ]);
            let again = Request { params: Some(params), ..request.clone() };
            given = gateway.go_on(again, refused, appetite).await?;
        }
        let Given::Result(result) = given else { return Ok(given) };
        match Round::of(&result)? {
            None => Ok(Given::Result(result)),
            Some(round) => {
                drop(Held { gateway, request: &request, state: round.state.as_ref() });
                Err(CallError::NotAsked("the server keeps asking"))
            }
        }
    }

    /// Puts all questions at once, and waits for all answers: the results by key, and what the client refused.
    async fn round(
        &self,
        request: &Request,
        round: &Round,
    ) -> Result<(Option<Json>, Vec<Refused>), CallError> {
        let mut open = Open { questions: Vec::new(), said: &self.said };
        for (_, question) in &round.questions {
            self.put(request, question, &mut open)?;
        }
        let answers = tokio::time::timeout(PATIENCE, open.answers()).await;
        let answers = answers.map_err(|_| CallError::NotAsked("the client did not answer in time"))??;
        let mut results = Vec::new();
        let mut refused = Vec::new();
        for ((key, question), answer) in round.questions.iter().zip(answers) {
            match answer {
                Ok(result) if result.is_object() => results.push((key.as_str(), result)),
                Ok(_) => return Err(CallError::NotAsked("the client's answer is no object")),
                Err(error) => {
                    refused.push(Refused {
                        key: key.clone(),
                        method: question.method.as_str().into(),
                        error,
                    });
                }
            }
        }
        let all = results.iter().fold(ObjectWriter::new(), |all, (key, result)| all.member(key, result));
        Ok(((!results.is_empty()).then(|| all.finish()), refused))
    }

    fn put(&self, request: &Request, question: &Question, open: &mut Open<'_>) -> Result<(), CallError> {
        let Question { method, params } = question;
        if let Some(required) = missing(&request.client.capabilities, method, params.as_ref()) {
            return Err(CallError::MissingCapability(required));
        }
        let asked = self.session.ask().map_err(|_| CallError::Limit("questions at once"))?;
        let params = as_known_to(request.version, method, params.as_ref());
        let message = write_request(asked.id(), method, params.as_ref());
        // Full cannot be: a round is over before the next one begins.
        self.said.try_send(message).map_err(|_| CallError::NotAsked("the client is gone"))?;
        open.questions.push(asked);
        Ok(())
    }
}

/// Whether a result is one that asks for input.
pub(super) fn asks(result: &Json) -> bool {
    // Nearly no result has the word, and to look for it is cheaper than to walk from member to member.
    let kind = INPUT_REQUIRED.find(result.bytes()).and_then(|_| result.member("resultType"));
    kind.as_ref().and_then(Json::string).as_deref() == Some("input_required")
}

impl Round {
    /// None for a result that asks nothing.
    fn of(result: &Json) -> Result<Option<Self>, CallError> {
        if !asks(result) {
            return Ok(None);
        }
        let [requests, state] = result.pick(["inputRequests", "requestState"]);
        let requests = requests.and_then(|requests| requests.members()).unwrap_or_default();
        if requests.len() > MAX_QUESTIONS {
            return Err(CallError::Limit("questions at once"));
        }
        let mut questions = Vec::new();
        for (key, request) in requests {
            let [method, params] = request.pick(["method", "params"]);
            let method = method.as_ref().and_then(Json::string).unwrap_or_default().into_owned();
            if !QUESTIONS.contains(&method.as_str()) {
                return Err(CallError::NotAsked("the server asks what no client knows"));
            }
            questions.push((key, Question { method, params }));
        }
        Ok(Some(Self { questions, state }))
    }
}

impl Open<'_> {
    async fn answers(&mut self) -> Result<Vec<Result<Json, Json>>, CallError> {
        let mut answers = Vec::new();
        for question in &mut self.questions {
            answers.push(question.answer().await.ok_or(CallError::NotAsked("the client is gone"))?);
        }
        Ok(answers)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        for question in self.questions.iter().filter(|question| question.is_open()) {
            let params = ObjectWriter::new()
                .member("requestId", &question.id().to_json())
                .string("reason", "the question is no longer of interest");
            // A client that is gone needs no telling.
            let _ = self.said.try_send(write_notification(method::CANCELLED, Some(&params.finish())));
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.state.and_then(Json::string) {
            self.gateway.abandon(&self.request.principal, &state);
        }
    }
}

/// The params of a question as a client of this version knows them. Forms had no `mode` before 2025-11-25; until
/// 2026-07-28 a URL came with an id, which `notifications/elicitation/complete` may name.
fn as_known_to(version: &str, asked: &str, params: Option<&Json>) -> Option<Json> {
    let params = params?;
    if asked != method::ELICIT {
        return Some(params.clone());
    }
    let [mode, id] = params.pick(["mode", "elicitationId"]);
    let mode = mode.as_ref().and_then(Json::string);
    Some(match mode.as_deref() {
        Some("form") if version != V2025_11_25 => params.without_member("mode"),
        Some("url") if id.is_none() => params.with_member("elicitationId", &Json::of(&*next_id())),
        _ => params.clone(),
    })
}

/// How often a server may ask before it must have an answer.
const ROUNDS: usize = 10;
/// How many questions a server may ask at once.
const MAX_QUESTIONS: usize = 32;
/// How long a client may take to answer: a little less than the gateway keeps the call for it.
const PATIENCE: Duration = Duration::from_secs(290);
/// What a result that asks says it is. Prepared once: that takes longer than looking through a short result.
static INPUT_REQUIRED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"input_required\""));

#[cfg(test)]
mod tests;

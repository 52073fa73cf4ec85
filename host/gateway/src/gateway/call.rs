//! A request that goes to one server: name, permit, interceptors, server, interceptors. Each step is a few lines here;
//! the whole is [`Gateway::call`].

use std::sync::Arc;

use wasmgate_core::index::{Index, Subject, Target};
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::error_object;
use wasmgate_core::mcp::{code, method};
use wasmgate_core::pipeline::{Exchange, Operation, Party, Pipeline, Verdict};

use super::snapshot::Snapshot;
use super::{CallError, Gateway, Request, View};
use crate::upstream::{Answer, Ask};

impl Gateway {
    /// Answers a request that belongs to one server.
    pub(super) async fn call(&self, mut request: Request) -> Result<Json, CallError> {
        let now = self.current.load_full(); // one generation, to the end of this call
        let asked = Asked::read(&now, &request)?; // public name -> server and its own name
        let permit = now.policy.permit(asked.target.clone()).map_err(|_| asked.unknown())?;
        let params = asked.in_own_words(request.params.take());
        let pipeline = &now.generation.pipeline;
        let operation = operation(&request, &asked.target);
        let ask = |params: Option<Json>| Ask {
            method: Arc::clone(&request.method),
            params,
            client: Arc::clone(&request.client),
            events: request.events.clone(),
        };
        if !pipeline.interested(&operation) {
            let answer = self.pool.call(&permit, ask(params)).await?;
            return asked.in_public_words(result(answer)?);
        }
        let mut exchange = Exchange::new(operation);
        exchange.attributes = attributes(&request);
        let outcome =
            match towards_server(pipeline, &mut exchange, params.unwrap_or_else(Json::empty_object)).await? {
                Sent::Answered(result) => Ok(result),
                // Stages say what is asked, never who is asked: the name is put back whatever they wrote.
                Sent::Params(params) => {
                    let params = asked.in_own_words(Some(params));
                    self.pool.call(&permit, ask(params)).await.map_err(CallError::from).and_then(result)
                }
            };
        asked.in_public_words(towards_client(pipeline, &mut exchange, outcome).await?)
    }
}

/// What a request asks for.
struct Asked {
    target: Target,
    kind: &'static str,
    /// As the client wrote it.
    public: String,
    place: Place,
}

/// Where the name stands in the params.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Member(&'static str),
    /// `ref.<member>` of a completion.
    Ref(&'static str),
    Nowhere,
}

impl Asked {
    fn read(now: &Snapshot, request: &Request) -> Result<Self, CallError> {
        let index = now.index(&request.view).ok_or(CallError::NotServing("not serving that server"))?;
        let (kind, place) = match &*request.method {
            method::TOOLS_CALL => ("tool", Place::Member("name")),
            method::PROMPTS_GET => ("prompt", Place::Member("name")),
            method::RESOURCES_READ => ("resource", Place::Member("uri")),
            method::COMPLETE => completion_place(request)?,
            other => return Self::unlisted_method(other, &request.view),
        };
        let public = text_at(request.params.as_ref(), place)?;
        let listed = match kind {
            "tool" => index.tool(&public),
            "prompt" => index.prompt(&public),
            _ if place == Place::Ref("uri") => index.template(&public).or_else(|| index.resource(&public)),
            _ => index.resource(&public),
        };
        let target = listed.or_else(|| unlisted(now, index, &request.view, kind, &public));
        let unknown = || CallError::Unknown { kind, name: public.clone() };
        Ok(Self { target: target.ok_or_else(unknown)?, kind, public, place })
    }

    /// A method the gateway does not know goes to a server that is alone; with several nobody can say which is meant.
    /// Subscriptions and tasks are not forwarded: they need routes back, which a later version brings.
    fn unlisted_method(method: &str, view: &View) -> Result<Self, CallError> {
        let stateful =
            matches!(method, method::RESOURCES_SUBSCRIBE | method::RESOURCES_UNSUBSCRIBE | method::LISTEN)
                || method.starts_with("tasks/");
        match view {
            View::One(server) if !stateful => {
                let target = Target { server: server.clone(), subject: Subject::Server };
                Ok(Self { target, kind: "method", public: method.to_owned(), place: Place::Nowhere })
            }
            _ => Err(CallError::UnknownMethod(method.into())),
        }
    }

    fn unknown(&self) -> CallError {
        CallError::Unknown { kind: self.kind, name: self.public.clone() }
    }

    /// The params as the server must see them: its own name in place of the public one, every other byte as it was.
    fn in_own_words(&self, params: Option<Json>) -> Option<Json> {
        let (params, own) = match (params, self.target.subject.name()) {
            (Some(params), Some(own)) => (params, own),
            (params, _) => return params,
        };
        let member = match self.place {
            Place::Member(member) => {
                let same = params.member(member).is_some_and(|now| now.string().as_deref() == Some(own));
                return Some(if same { params } else { params.with_member(member, &Json::of(&**own)) });
            }
            Place::Ref(member) => member,
            Place::Nowhere => return Some(params),
        };
        let reference =
            params.member("ref").unwrap_or_else(Json::empty_object).with_member(member, &Json::of(&**own));
        Some(params.with_member("ref", &reference))
    }

    /// A result as the client must see it: the contents of a resource under the URI that was asked for.
    fn in_public_words(&self, result: Json) -> Result<Json, CallError> {
        let own = match &self.target.subject {
            Subject::Resource(own) if self.place == Place::Member("uri") && **own != *self.public => own,
            _ => return Ok(result),
        };
        let Some(contents) = result.member("contents").and_then(|contents| contents.elements()) else {
            return Ok(result);
        };
        let public = Json::of(&self.public);
        let renamed: Vec<Json> = contents
            .into_iter()
            .map(|item| match item.member("uri").is_some_and(|uri| uri.string().as_deref() == Some(own)) {
                true => item.with_member("uri", &public),
                false => item,
            })
            .collect();
        Ok(result.with_member("contents", &Json::of(&renamed)))
    }
}

/// A name that no list has: still a target on a server alone (servers may serve what they do not list), and where its
/// prefix names a server that has not come up yet.
fn unlisted(now: &Snapshot, index: &Index, view: &View, kind: &'static str, public: &str) -> Option<Target> {
    let subject = |own: &str| match kind {
        "tool" => Subject::Tool(own.into()),
        "prompt" => Subject::Prompt(own.into()),
        _ => Subject::Resource(own.into()),
    };
    if let View::One(server) = view {
        return Some(Target { server: server.clone(), subject: subject(public) });
    }
    if kind == "resource" {
        return None;
    }
    let (server, own) = index.by_prefix(public)?;
    let not_up = now.status(server).is_some_and(|status| status.offer.is_none());
    not_up.then(|| Target { server: server.clone(), subject: subject(own) })
}

fn completion_place(request: &Request) -> Result<(&'static str, Place), CallError> {
    let reference = request.params.as_ref().and_then(|params| params.member("ref"));
    let kind = reference.as_ref().and_then(|reference| reference.member("type"));
    match kind.as_ref().and_then(Json::string).as_deref() {
        Some("ref/prompt") => Ok(("prompt", Place::Ref("name"))),
        Some("ref/resource") => Ok(("resource", Place::Ref("uri"))),
        _ => Err(CallError::InvalidParams("ref.type: must be `ref/prompt` or `ref/resource`".into())),
    }
}

fn text_at(params: Option<&Json>, place: Place) -> Result<String, CallError> {
    let (value, at) = match place {
        Place::Member(member) => (params.and_then(|params| params.member(member)), member.to_owned()),
        Place::Ref(member) => {
            (params.and_then(|params| params.member("ref")?.member(member)), format!("ref.{member}"))
        }
        Place::Nowhere => (None, String::new()),
    };
    let text = value.as_ref().and_then(Json::string).map(std::borrow::Cow::into_owned);
    text.ok_or_else(|| CallError::InvalidParams(format!("{at}: a text is required")))
}

fn operation(request: &Request, target: &Target) -> Operation {
    Operation {
        id: Arc::clone(&request.id),
        event: Arc::clone(&request.method),
        server: Some(target.server.clone()),
        subject: target.subject.name().cloned(),
        principal: Arc::clone(&request.principal),
        session: request.session.clone(),
        version: request.version,
        initiator: Party::Client,
    }
}

fn attributes(request: &Request) -> Vec<(&'static str, Json)> {
    let name = request.client.info.as_ref().and_then(|info| info.member("name"));
    name.map(|name| ("client.name", name)).into_iter().collect()
}

fn result(answer: Answer) -> Result<Json, CallError> {
    match answer {
        Answer::Result(result) => Ok(result),
        Answer::Error(error) => Err(CallError::Answered(error)),
    }
}

/// What the request phase left to do.
pub(super) enum Sent {
    /// Send this.
    Params(Json),
    /// Nothing: an interceptor answered.
    Answered(Json),
}

/// The request phase.
pub(super) async fn towards_server(
    pipeline: &Pipeline,
    exchange: &mut Exchange,
    params: Json,
) -> Result<Sent, CallError> {
    match pipeline.request(exchange, params).await {
        Verdict::Continue(params) => {
            exchange.sent = Some(params.clone());
            Ok(Sent::Params(params))
        }
        Verdict::Answer(result) => Ok(Sent::Answered(result)),
        Verdict::Refuse(blocked) => Err(CallError::Blocked(blocked)),
    }
}

/// The response phase: successes and failures alike.
async fn towards_client(
    pipeline: &Pipeline,
    exchange: &mut Exchange,
    outcome: Result<Json, CallError>,
) -> Result<Json, CallError> {
    let error = match outcome {
        Ok(result) => return pipeline.response(exchange, result).await.map_err(CallError::Blocked),
        Err(error) => error,
    };
    exchange.failed = true;
    let payload = match &error {
        CallError::Answered(object) => object.clone(),
        other => error_object(code::INTERNAL, &other.to_string(), None),
    };
    let seen = pipeline.response(exchange, payload.clone()).await.map_err(CallError::Blocked)?;
    Err(if seen == payload { error } else { CallError::Answered(seen) })
}

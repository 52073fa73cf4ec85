//! 2024-11-05 to 2025-11-25: a session opened by `initialize`, and what it answers itself. The same for every transport.
//!
//! What a server asks of its client (sampling, elicitation, roots) goes out on the stream of the call it belongs to: see
//! [`super::asking`]. Where a call has no such stream, servers are told that this client can be asked nothing.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt as _;
use memchr::memmem::Finder;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{Id, Message, write_result};
use wasmgate_core::mcp::{LEGACY, LOG_LEVELS, MAY_ASK, V2025_11_25, method};

use super::batch::Manner;
use super::calling::{Calling, Question, Reply, Step, Wants, next_id, nobody};
use super::render::{Refusal, Wire, Worded};
use super::session::{Agreed, InFlight, Session};
use super::{offer, render, token};
use crate::gateway::{CallError, ClientFacts, Gateway, Offering, Request, extensions};

/// Serves one message of a session.
pub(super) fn receive(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    message: Message,
    manner: Manner,
) -> Step {
    let asks = manner.hears;
    serve(gateway, session, message, Served { manner, asks })
}

/// The same for a message in a batch: its answer is a part of another message, so there is no stream for questions.
pub(super) fn receive_in_batch(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    message: Message,
    manner: Manner,
) -> Step {
    serve(gateway, session, message, Served { manner, asks: false })
}

/// How a message is served.
struct Served {
    manner: Manner,
    /// Whether the client can be asked what the server wants to know meanwhile.
    asks: bool,
}

fn serve(gateway: &Arc<Gateway>, session: &Arc<Session>, message: Message, served: Served) -> Step {
    match message {
        Message::Response { id, outcome } => {
            if let Some(id) = id {
                session.answered(&id, outcome);
            }
            Step::Nothing
        }
        Message::Notification { method, params } => {
            // `notifications/roots/list_changed` ends here, too: no server is told that there are such notifications,
            // because a server asks for the roots in the course of a call and anew in each.
            if &*method == method::CANCELLED {
                cancel(session, params.as_ref());
            }
            Step::Nothing
        }
        Message::Request { id, method, params } => {
            let method: Arc<str> = method.into();
            let asked = Asked { id: id.clone(), method: Arc::clone(&method), params, served };
            request(gateway, session, asked).unwrap_or_else(|refusal| {
                session.note(gateway, Some(&method), &refusal);
                Step::Reply(Reply::refusal(Wire::Legacy, Some(&id), &refusal))
            })
        }
    }
}

/// The client no longer wants the answer to a request.
pub(super) fn cancel(session: &Session, params: Option<&Json>) {
    let id = params.and_then(|params| Id::of(&params.member("requestId")?));
    if let Some(id) = id {
        session.cancel(&id);
    }
}

/// Opens a session: settles its version and who the client is, as the interceptors leave both, and returns the result of
/// `initialize`.
pub(super) async fn open(
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    params: Option<Json>,
) -> Result<Json, Worded> {
    let refuse = |refusal: Refusal| {
        session.note(&gateway, Some(method::INITIALIZE), &refusal);
        render::refusal(Wire::Legacy, &refusal)
    };
    if session.agreed().is_some() {
        return Err(refuse(Refusal::Initialized));
    }
    let wanted = agree(params.as_ref()).map_err(refuse)?;
    let lists = *gateway.revisions().borrow();
    let request = request_of(&session, &wanted, method::INITIALIZE, params);
    let id = Arc::clone(&request.id);
    let word = |params: &Json, offering: &Offering| match agree(Some(params)) {
        Ok(agreed) => Ok(offer::initialized(agreed.version, offering)),
        Err(_) => Err(CallError::InvalidParams(NO_VERSION.into())),
    };
    let greeting = match gateway.greet(request, word).await {
        Ok(greeting) => greeting,
        Err(CallError::NotServing(_)) if gateway.offering(&session.caller.view).is_none() => {
            // This has its line.
            return Err(render::refusal(Wire::Legacy, &Refusal::UnknownServer));
        }
        Err(error) => {
            tracing::info!(request = %id, method = method::INITIALIZE, %error, "no result");
            return Err(render::failure(Wire::Legacy, &error, &id));
        }
    };
    let mut agreed = agree(Some(&greeting.params)).map_err(refuse)?;
    // What the client is told counts, whoever wrote it.
    let told = greeting.result.member("protocolVersion");
    let told = told.as_ref().and_then(Json::string).unwrap_or_default();
    agreed.version = LEGACY.iter().find(|known| **known == told).copied().unwrap_or(agreed.version);
    let capabilities = agreed.client.capabilities.clone();
    let capabilities = extensions::declared(capabilities, &session.caller.view, agreed.version);
    agreed.client = Arc::new(ClientFacts { capabilities, ..(*agreed.client).clone() });
    session.agree(agreed, lists).map_err(refuse)?;
    Ok(greeting.result)
}

/// `initialize` on a stream: answered on the spot unless an interceptor takes its time. Meanwhile [`Session::is_opening`].
fn initialize(gateway: &Arc<Gateway>, session: &Arc<Session>, id: Id, params: Option<Json>) -> Step {
    let (opening, opened) = (session.opening(), open(Arc::clone(gateway), Arc::clone(session), params));
    let mut answer: Pin<Box<dyn Future<Output = Reply> + Send>> = Box::pin(async move {
        let _opening = opening;
        match opened.await {
            Ok(result) => Reply::message(write_result(&id, &result)),
            Err(worded) => Reply::error(Some(&id), &worded),
        }
    });
    match (&mut answer).now_or_never() {
        Some(reply) => Step::Reply(reply),
        None => Step::Call(Calling::of(answer)),
    }
}

/// A result as legacy clients know it: without what 2026-07-28 added. Servers of that version always say `resultType`;
/// without it the other members mean something else, and stay. Since that version structured content may be anything, and
/// so may its schema; before, a client that minds finds the whole list or result invalid (2025-11-25 `Tool`,
/// `CallToolResult`). The content as text is there in any case.
pub(super) fn result(method: &str, result: &Json) -> Json {
    if method == method::TOOLS_LIST {
        return with_known_schemas(result);
    }
    // Results of older servers do not have it, and are not walked for that.
    if RESULT_TYPE.find(result.bytes()).is_none() {
        return result.clone();
    }
    let [kind, structured] = result.pick(["resultType", "structuredContent"]);
    if kind.as_ref().and_then(Json::string).as_deref() != Some("complete") {
        return result.clone();
    }
    let mut changes = vec![("resultType", None), ("ttlMs", None), ("cacheScope", None)];
    if structured.is_some_and(|structured| !structured.is_object()) {
        changes.push(("structuredContent", None));
    }
    result.with_members(&changes)
}

/// A list of tools without output schemas of anything but objects.
fn with_known_schemas(list: &Json) -> Json {
    let is_known =
        |schema: &Json| schema.member("type").is_some_and(|kind| kind.string().as_deref() == Some("object"));
    let is_other = |tool: &Json| tool.member("outputSchema").is_some_and(|schema| !is_known(&schema));
    // Most lists have none, and are not walked for that.
    if memchr::memmem::find(list.bytes(), b"\"outputSchema\"").is_none() {
        return list.clone();
    }
    let Some(tools) = list.member("tools") else { return list.clone() };
    let Some(mut tools) = tools.elements().filter(|tools| tools.iter().any(is_other)) else {
        return list.clone();
    };
    for tool in tools.iter_mut().filter(|tool| is_other(tool)) {
        *tool = tool.without_member("outputSchema");
    }
    list.with_member("tools", &Json::array(&tools))
}

struct Asked {
    id: Id,
    method: Arc<str>,
    params: Option<Json>,
    served: Served,
}

fn request(gateway: &Arc<Gateway>, session: &Arc<Session>, asked: Asked) -> Result<Step, Refusal> {
    let answered = |result: &Json| {
        session.admit(&asked.id)?;
        Ok(Step::Reply(Reply::message(write_result(&asked.id, result))))
    };
    match &*asked.method {
        method::INITIALIZE => {
            session.admit(&asked.id)?;
            Ok(initialize(gateway, session, asked.id, asked.params))
        }
        method::PING => answered(&Json::empty_object()),
        method::SET_LEVEL => {
            let level = level(asked.params.as_ref())?;
            session.set_level(level, gateway.want_log_level(level));
            answered(&Json::empty_object())
        }
        method::RESOURCES_SUBSCRIBE | method::RESOURCES_UNSUBSCRIBE => {
            let uri = asked.params.as_ref().and_then(|params| params.member("uri"));
            let uri =
                uri.as_ref().and_then(Json::string).ok_or(Refusal::Params("uri: a text is required"))?;
            if uri.len() > MAX_URI {
                return Err(Refusal::Params("uri: longer than 8 KiB"));
            }
            if &*asked.method == method::RESOURCES_SUBSCRIBE && !session.may_subscribe(&uri) {
                return Err(Refusal::Limit("subscriptions"));
            }
            let (agreed, in_flight) = session.begin(&asked.id, asked.served.manner.most)?;
            let request = request_of(session, &agreed, &asked.method, asked.params.clone());
            let wait =
                Waiting { gateway: Arc::clone(gateway), session: Arc::clone(session), uri: (&*uri).into() };
            Ok(Step::Call(Calling::of(Box::pin(wait.change(request, asked.id, in_flight)))))
        }
        method::DISCOVER | method::LISTEN => Err(Refusal::Misfit(super::classify::Misfit::Removed)),
        _ => {
            let (agreed, in_flight) = session.begin(&asked.id, asked.served.manner.most)?;
            let wants = match asked.served.manner.hears {
                true => Wants::Logs(agreed.client.log_level.clone()),
                false => Wants::Nothing,
            };
            let can_be_asked = asked.served.asks && MAY_ASK.contains(&&*asked.method);
            let client = if can_be_asked { agreed.client } else { silent(agreed.client) };
            let question = Question {
                wire: Wire::Legacy,
                id: asked.id,
                method: asked.method,
                params: asked.params,
                version: agreed.version,
                client,
            };
            let gateway = Arc::clone(gateway);
            if can_be_asked {
                let question = (question, asked.served.manner.appetite);
                return Ok(Step::Call(Calling::asking(gateway, session, question, wants, in_flight)));
            }
            let in_flight = Some((session.known_as(), in_flight));
            let question = (question, asked.served.manner.appetite);
            Ok(Step::Call(Calling::new(gateway, &session.caller, question, wants, in_flight)))
        }
    }
}

/// A request without notifications.
fn request_of(session: &Session, agreed: &Agreed, method: &str, params: Option<Json>) -> Request {
    Request {
        view: session.caller.view.clone(),
        id: next_id(),
        principal: Arc::clone(&session.caller.principal),
        session: session.known_as(),
        method: method.into(),
        params,
        client: Arc::clone(&agreed.client),
        version: agreed.version,
        events: nobody(),
    }
}

/// A session that begins or ceases to wait for changes of a resource.
struct Waiting {
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    uri: Arc<str>,
}

impl Waiting {
    async fn change(self, request: Request, id: Id, mut in_flight: InFlight) -> Reply {
        let request_id = Arc::clone(&request.id);
        let outcome = tokio::select! {
            biased;
            () = in_flight.cancelled() => return Reply::silence(),
            outcome = self.ask(request) => outcome,
        };
        match outcome {
            Ok(result) => Reply::message(write_result(&id, &result)),
            Err(error) => Reply::error(Some(&id), &render::failure(Wire::Legacy, &error, &request_id)),
        }
    }

    async fn ask(&self, request: Request) -> Result<Json, CallError> {
        if &*request.method == method::RESOURCES_SUBSCRIBE {
            let (result, subscription) = self.gateway.subscribe(request).await?;
            if let Some(subscription) = subscription {
                self.session.subscribe(Arc::clone(&self.uri), subscription);
            }
            return Ok(result);
        }
        let mut subscription = self.session.take_subscription(&self.uri);
        let outcome = self.gateway.unsubscribe(request, &mut subscription).await;
        // Still there when an interceptor objected.
        if let Some(subscription) = subscription {
            self.session.subscribe(Arc::clone(&self.uri), subscription);
        }
        outcome
    }
}

/// The version asked for when it is one of ours, else our newest (2025-11-25 basic/lifecycle, "Version Negotiation").
fn agree(params: Option<&Json>) -> Result<Agreed, Refusal> {
    let missing = Refusal::Params(NO_VERSION);
    let Some(params) = params else { return Err(missing) };
    let [version, capabilities, info] = params.pick(["protocolVersion", "capabilities", "clientInfo"]);
    let wanted = version.as_ref().and_then(Json::string).ok_or(missing)?;
    let version = LEGACY.iter().find(|known| **known == wanted).copied().unwrap_or(V2025_11_25);
    let capabilities = capabilities.filter(Json::is_object).unwrap_or_else(Json::empty_object);
    let roots = capabilities.member("roots").map(|roots| roots.without_member("listChanged"));
    let capabilities = capabilities.with_members(&[("roots", roots.as_ref()), ("tasks", None)]);
    let (info, capabilities) = short(info, capabilities);
    // A copy: the session outlives the message by far.
    let info = info.map(|info| info.detached());
    let client = ClientFacts { info, capabilities: capabilities.detached(), log_level: None };
    Ok(Agreed { version, client: Arc::new(client) })
}

/// What is kept of a client: all of it, unless it says so much of itself that many like it would be a burden.
fn short(info: Option<Json>, capabilities: Json) -> (Option<Json>, Json) {
    let is_short = |value: &Json| value.bytes().len() <= MAX_SELF;
    let info = info.map(|info| if is_short(&info) { info } else { token::name_and_version(&info) });
    let capabilities = if is_short(&capabilities) { capabilities } else { token::askable(&capabilities) };
    (info.filter(is_short), capabilities)
}

/// The same client where it cannot be asked anything.
fn silent(client: Arc<ClientFacts>) -> Arc<ClientFacts> {
    let can_be_asked = client.capabilities.pick(token::ASKABLE).iter().any(Option::is_some);
    if !can_be_asked {
        return client;
    }
    let capabilities = client.capabilities.with_members(&token::ASKABLE.map(|name| (name, None)));
    Arc::new(ClientFacts { capabilities, ..(*client).clone() })
}

fn level(params: Option<&Json>) -> Result<&'static str, Refusal> {
    let level = params.and_then(|params| params.member("level"));
    let level = level.as_ref().and_then(Json::string);
    let known = LOG_LEVELS.iter().find(|known| level.as_deref() == Some(**known));
    known.copied().ok_or(Refusal::Params(
        "level: must be one of debug, info, notice, warning, error, critical, alert, emergency",
    ))
}

/// The longest URI that is waited for, in bytes.
pub(super) const MAX_URI: usize = 8 << 10;
/// The most that is kept of `clientInfo`, and of the capabilities, in bytes.
const MAX_SELF: usize = 16 << 10;

/// The member that results have since 2026-07-28. Prepared once: that takes longer than looking through a short result.
static RESULT_TYPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"resultType\""));
const NO_VERSION: &str = "protocolVersion: a text is required";

#[cfg(test)]
mod tests;

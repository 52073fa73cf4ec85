//! A request that goes to one server: name, permit, interceptors, server, interceptors. Each step is a few lines here;
//! the whole is [`Gateway::call`].

use std::sync::Arc;

use wasmgate_core::json::Json;
use wasmgate_core::mcp::{MAY_ASK, MODERN};
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::Exchange;
use wasmgate_core::policy::Permit;

use super::audited::Noted;
use super::phases::{Sent, towards_client, towards_server};
use super::questions::{self, Sorted, replies, sorted};
use super::rounds::{Back, Retry, Rounds};
use super::snapshot::Snapshot;
use super::state::State;
use super::{Appetite, CallError, Fault, Flow, Gateway, Given, Refused, Request, UpstreamError};
use crate::mailbox;
use crate::upstream::{self, Answer, Ask, Event, Offer, Question};

/// One request on its way to its server.
struct Going<'a> {
    rounds: &'a Rounds<'a>,
    permit: &'a Permit,
    request: &'a Request,
    /// Whether its result may flow.
    appetite: Option<&'a Appetite>,
}

/// What became of a request at its server.
enum Came {
    Result(Json),
    Flow(upstream::Flow),
    Error(Json),
    /// It goes on when the client has answered.
    Asks(Vec<Question>, super::park::Stay),
}

impl Gateway {
    /// Asks again after a result that asked for input: `request` is the same request with `inputResponses` and with the
    /// `requestState` of that result, if it had one; `refused` are the questions that the client answered with errors. For
    /// fronts whose clients do not ask again themselves.
    ///
    /// # Errors
    /// [`CallError`]; the client's own error where the server cannot be told of it.
    pub async fn go_on(
        &self,
        request: Request,
        refused: Vec<Refused>,
        appetite: &Appetite,
    ) -> Result<Given, CallError> {
        let place = self.place(&request).await?;
        let mut noted = Noted::default();
        let given = self.call(request, Some(refused), (&mut noted, appetite)).await;
        place.given(noted, given)
    }

    /// The client gives up on a result that asked for input, with this `requestState`: a call that waits for it is
    /// cancelled. Any other state is nothing to us.
    pub fn abandon(&self, principal: &str, state: &str) {
        let parked = State::read(&self.sealer, principal, state).parked();
        drop(parked.and_then(|id| self.parking.take(&id, principal)));
    }

    /// Answers a request that belongs to one server. `refused` comes with one that is asked again.
    pub(super) async fn call(
        &self,
        mut request: Request,
        refused: Option<Vec<Refused>>,
        (noted, appetite): (&mut Noted, &Appetite),
    ) -> Result<Given, CallError> {
        let (now, asked) = self.asked(&request).await?; // public name -> server and its own name
        noted.server = Some(asked.target.server.clone());
        let permit = now.policy.permit(asked.target.clone()).map_err(|_| asked.unknown())?;
        let params = asked.clients_in_own_words(request.params.take());
        let pipeline = &now.generation.pipeline;
        let subject = asked.target.subject.name().cloned();
        let operation = request.operation(Some(asked.target.server.clone()), subject);
        let answers = refused.is_some() || Rounds::carries_answers(&request, params.as_ref());
        let rounds = Rounds {
            pipeline,
            operation: &operation,
            sealer: &self.sealer,
            parking: &self.parking,
            offer: self.offer(&now, &asked.target.server, answers).await,
            said: params.clone(),
        };
        // What the client answers to the server's questions.
        let Retry { params, parked } = match answers {
            true => rounds.answers(params, refused.unwrap_or_default()).await?,
            false => Retry { params, parked: None },
        };
        let otherwise = now.says_otherwise(&request, &asked);
        let may_flow = appetite.is_for_flows() && !otherwise && now.may_flow(&request, &asked, &operation);
        let appetite = may_flow.then_some(appetite);
        let going = Going { rounds: &rounds, permit: &permit, request: &request, appetite };
        if !pipeline.interested(&operation) {
            return match self.asked_in_full(going, params, parked).await? {
                Given::Result(result) => {
                    self.in_public_words(&now, (&request, &asked), result, otherwise).await.map(Given::Result)
                }
                flow @ Given::Flow(_) => Ok(flow),
            };
        }
        let mut exchange = Exchange::new(operation.clone());
        exchange.client.clone_from(&request.client.info);
        exchange.tool = asked.tool_said(&now, &request.view);
        let outcome =
            match towards_server(pipeline, &mut exchange, params.unwrap_or_else(Json::empty_object)).await? {
                Sent::Answered(result) => Ok(Given::Result(result)),
                // Stages say what is asked, never who is asked: the name is put back whatever they wrote.
                Sent::Params(params) => {
                    let params = asked.in_own_words(Some(params));
                    self.asked_in_full(going, params, parked).await
                }
            };
        let outcome = match outcome {
            // Only where no interceptor wants to see it.
            Ok(flow @ Given::Flow(_)) => return Ok(flow),
            Ok(Given::Result(result)) => Ok(result),
            Err(error) => Err(error),
        };
        let result = towards_client(pipeline, &mut exchange, outcome).await?;
        self.in_public_words(&now, (&request, &asked), result, otherwise).await.map(Given::Result)
    }

    /// What a server offers. Waited for with answers, because what becomes of them depends on its version.
    async fn offer(&self, now: &Snapshot, server: &ServerName, answers: bool) -> Option<Arc<Offer>> {
        if let Some(offer) = now.status(server).and_then(|status| status.offer.clone()) {
            return Some(offer);
        }
        if answers {
            self.until_up(server).await;
        }
        // A snapshot is a moment behind.
        self.pool.status().into_iter().find(|status| status.server.name == *server)?.offer
    }

    /// Asks the server; what it says meanwhile and what it asks back pass through the interceptors.
    async fn asked_in_full(
        &self,
        going: Going<'_>,
        params: Option<Json>,
        parked: Option<Back>,
    ) -> Result<Given, CallError> {
        // What is done with what came takes its room after that, and not beside it.
        let result = match self.heard(&going, params, parked).await? {
            Came::Flow(flow) => return Ok(Given::Flow(Box::new(going.flow(flow)))),
            Came::Result(result) => going.rounds.questions(going.checked(result)?).await,
            Came::Asks(questions, stay) => going.rounds.park(&questions, stay).await,
            Came::Error(error) => going.failed(error).await,
        };
        result.map(Given::Result)
    }

    /// Asks the server, at the log level that is wanted, and passes on what it says meanwhile.
    async fn heard(
        &self,
        going: &Going<'_>,
        params: Option<Json>,
        parked: Option<Back>,
    ) -> Result<Came, CallError> {
        let events = &going.request.events;
        // A call that waits at its server may be the one it takes at a time: nothing is asked before it goes on.
        let _wish = match parked {
            Some(_) => None,
            None => self.heed_level(going.request, going.permit, going.rounds.offer.as_deref()).await,
        };
        let Some(said) = going.rounds.overheard(events) else {
            return self.come(going, params, parked, events.clone()).await;
        };
        // Seldom, and every call would have to be larger for it.
        let come = Box::pin(self.come(going, params, parked, said.sender()));
        Box::pin(said.beside(come)).await
    }

    /// Asks the server, or goes on with the call that waits there, as far as it goes without the client.
    async fn come(
        &self,
        going: &Going<'_>,
        params: Option<Json>,
        parked: Option<Back>,
        events: mailbox::Sender<Event>,
    ) -> Result<Came, CallError> {
        let mut answer = match parked {
            None => self.pool.call(going.permit, going.ask(params, &events)).await?,
            Some(Back { stay, asked }) => {
                let mut all = replies(params.as_ref(), &asked);
                all.extend(stay.known);
                stay.call.resume(all, events.clone()).await?
            }
        };
        for _ in 0..UNASKED {
            let asks = match answer {
                Answer::Result(result) => return Ok(Came::Result(result)),
                Answer::Error(error) => return Ok(Came::Error(error)),
                // Begun for somebody who could have taken it, and asked for again by somebody who cannot.
                Answer::Flow(flow) if going.appetite.is_none() => {
                    let whole = flow.whole().await;
                    let server = going.permit.server();
                    return match whole {
                        Ok(result) => Ok(Came::Result(result)),
                        Err(fault) => Err(UpstreamError { server: server.clone(), fault }.into()),
                    };
                }
                Answer::Flow(flow) => return Ok(Came::Flow(flow)),
                Answer::Asks(asks) => asks,
            };
            match sorted(asks, going.request)? {
                Sorted::Asked(questions, stay) => return Ok(Came::Asks(questions, stay)),
                Sorted::Known(parked, known) => answer = parked.resume(known, events.clone()).await?,
            }
        }
        Err(CallError::NotAsked("the server keeps asking"))
    }
}

impl Going<'_> {
    fn ask(&self, params: Option<Json>, events: &mailbox::Sender<Event>) -> Ask {
        let request = self.request;
        Ask {
            method: Arc::clone(&request.method),
            params,
            principal: Arc::clone(&request.principal),
            session: request.session.clone(),
            client: Arc::clone(&request.client),
            events: events.clone(),
            appetite: self.appetite.cloned().unwrap_or_default(),
        }
    }

    fn flow(&self, flow: upstream::Flow) -> Flow {
        Flow::new(flow, self.request, self.permit.server(), self.rounds.server_is_old())
    }

    /// A result whose `resultType` its reader may rely on: servers of 2026-07-28 say one that we know, or that comes with
    /// an extension of the client ("Result Type"). To older servers the word means nothing, so they may mean anything by
    /// it.
    fn checked(&self, result: Json) -> Result<Json, CallError> {
        let is_old = self.rounds.server_is_old();
        let is_modern = MODERN.contains(&self.request.version);
        if is_old && !is_modern {
            return Ok(result);
        }
        let Some(kind) = result.member("resultType") else { return Ok(result) };
        if kind.means("complete") {
            return Ok(result);
        }
        let capabilities = &self.request.client.capabilities;
        match kind.string().as_deref() {
            // Whether this client may be given a task is decided where its id is sealed.
            Some("task") if !is_old => Ok(result),
            _ if is_old => Ok(result.with_member("resultType", &Json::of("complete"))),
            Some("input_required") if MAY_ASK.contains(&&*self.request.method) => Ok(result),
            Some(word) if word != "input_required" && has_extension(capabilities) => Ok(result),
            _ => {
                let fault = Fault::Misbehaved("a result of a type that nobody knows".into());
                Err(UpstreamError { server: self.permit.server().clone(), fault }.into())
            }
        }
    }

    /// A server's own error. One that sends the user to a URL first is a question to clients that know no such error.
    async fn failed(&self, error: Json) -> Result<Json, CallError> {
        let may_ask = MODERN.contains(&self.request.version) && MAY_ASK.contains(&&*self.request.method);
        let Some(questions) = questions::urls(&error).filter(|_| may_ask) else {
            return Err(CallError::Answered(error));
        };
        let lacking = questions.iter().find_map(|question| question.lacking(self.request));
        match lacking {
            Some(required) => Err(CallError::MissingCapability(required)),
            None => self.rounds.before_again(&questions).await,
        }
    }
}

/// Whether a client declares any extension: results may be of types that come with it.
pub(super) fn has_extension(capabilities: &Json) -> bool {
    let extensions = capabilities.member("extensions").and_then(|extensions| extensions.members());
    extensions.is_some_and(|extensions| !extensions.is_empty())
}

/// How often a server may ask in the course of one call what takes no client to answer.
const UNASKED: usize = 100;

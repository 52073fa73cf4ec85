//! Clients that wait for changes of a resource (`resources/subscribe`), and what they are told.

use std::sync::Arc;

use tokio::sync::broadcast;
use wasmgate_core::index::Subject;
use wasmgate_core::json::Json;
use wasmgate_core::mcp::method;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Exchange, Operation, Party, Verdict};

use super::asked::Asked;
use super::phases::{Sent, towards_client, towards_server};
use super::snapshot::Snapshot;
use super::{CallError, Gateway, Request};
use crate::upstream::{Answer, Pool, Topic, Update};

/// One client's wait for changes of one resource. Dropping it ends the wait.
pub struct Subscription {
    pool: Arc<Pool>,
    server: ServerName,
    own: Arc<str>,
    public: Arc<str>,
}

/// Whom a change is told.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Unique id of this message for logs.
    pub id: Arc<str>,
    /// Who waits.
    pub principal: Arc<str>,
    /// In which session.
    pub session: Option<Arc<str>>,
    /// Protocol version of the client.
    pub version: &'static str,
}

impl Gateway {
    /// Answers `resources/subscribe`. There is no subscription when an interceptor answered in the server's place.
    ///
    /// # Errors
    /// [`CallError`], what the server answers among it.
    pub async fn subscribe(&self, mut request: Request) -> Result<(Json, Option<Subscription>), CallError> {
        let (now, asked) = self.asked(&request).await?;
        let permit = now.policy.permit(asked.target.clone()).map_err(|_| asked.unknown())?;
        let Subject::Resource(own) = asked.target.subject.clone() else { return Err(asked.unknown()) };
        let params = asked.in_own_words(request.params.take());
        let mut subscription = None;
        let subscribing = async {
            match self.pool.subscribe(&permit, &Topic::Resource(Arc::clone(&own))).await? {
                Answer::Asks(_) => Err(asked.unknown()),
                Answer::Error(error) => Err(CallError::Answered(error)),
                Answer::Result(result) => {
                    let (pool, server) = (Arc::clone(&self.pool), permit.server().clone());
                    let public = asked.public();
                    subscription = Some(Subscription { pool, server, own: Arc::clone(&own), public });
                    Ok(result)
                }
            }
        };
        let result = passed(&now, &request, &asked, params, subscribing).await?;
        Ok((result, subscription))
    }

    /// Answers `resources/unsubscribe`: `subscription` ends unless an interceptor objects, and is then left in place.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn unsubscribe(
        &self,
        mut request: Request,
        subscription: &mut Option<Subscription>,
    ) -> Result<Json, CallError> {
        let (now, asked) = match self.asked(&request).await {
            // What is no longer to be seen can still be left alone.
            Err(CallError::Unknown { .. }) if subscription.take().is_some() => {
                return Ok(Json::empty_object());
            }
            asked => asked?,
        };
        let params = asked.in_own_words(request.params.take());
        let unsubscribing = async {
            drop(subscription.take());
            Ok(Json::empty_object())
        };
        passed(&now, &request, &asked, params, unsubscribing).await
    }

    /// Takes `subscriptions/listen`: its params as interceptors leave them. What it opens, the front keeps.
    ///
    /// # Errors
    /// [`CallError`] when an interceptor objects, or answers what cannot be answered.
    pub async fn listen(&self, request: &Request) -> Result<Json, CallError> {
        let now = self.current.load_full();
        now.index(&request.view).ok_or(CallError::NotServing("not serving that server"))?;
        let params = request.params.clone().unwrap_or_else(Json::empty_object);
        let operation = request.operation(None, None);
        let pipeline = &now.generation.pipeline;
        if !pipeline.interested(&operation) {
            return Ok(params);
        }
        let mut exchange = Exchange::new(operation);
        exchange.attributes = request.attributes();
        match towards_server(pipeline, &mut exchange, params).await? {
            Sent::Params(params) => Ok(params),
            Sent::Answered(_) => Err(CallError::UnknownMethod(Arc::clone(&request.method))),
        }
    }

    /// Resources that change from now on: see [`Gateway::told`].
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.pool.updates()
    }

    /// The params of `notifications/resources/updated` for a client with this subscription, as interceptors leave them;
    /// None when the change is not of its resource, or when one of them objects.
    pub async fn told(&self, update: &Update, subscription: &Told, listener: Listener) -> Option<Json> {
        let params = update.params.clone();
        let operation = Operation {
            id: listener.id,
            event: method::RESOURCE_UPDATED.into(),
            server: Some(update.server.clone()),
            subject: Some(Arc::clone(&subscription.own)),
            principal: listener.principal,
            session: listener.session,
            version: listener.version,
            initiator: Party::Server,
        };
        let now = self.current.load_full();
        let pipeline = &now.generation.pipeline;
        let params = match pipeline.interested(&operation) {
            false => params,
            true => match pipeline.request(&Exchange::new(operation), params).await {
                Verdict::Continue(params) => params,
                Verdict::Answer(_) => return None,
                Verdict::Refuse(blocked) => {
                    tracing::debug!(?blocked, "a change of a resource was kept back by an interceptor");
                    return None;
                }
            },
        };
        Some(match &subscription.public {
            Some(public) => params.with_member("uri", &Json::of(&**public)),
            None => params,
        })
    }
}

/// A subscription that a change is of.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    own: Arc<str>,
    /// What the client calls it, when that is not what the server does.
    public: Option<Arc<str>>,
}

impl Subscription {
    /// Whether a change is of this resource, or of one below it (2025-11-25 server/resources: the URI of an update "might be
    /// a sub-resource of the one that the client actually subscribed to").
    pub fn told_by(&self, update: &Update) -> Option<Told> {
        let uri = update.params.member("uri")?;
        let uri = uri.string()?;
        let rest = uri.strip_prefix(&*self.own).filter(|_| self.server == update.server)?;
        let is_below = rest.is_empty() || self.own.ends_with('/') || rest.starts_with(['/', '?', '#']);
        let public = (self.public != self.own).then(|| Arc::clone(&self.public));
        is_below.then(|| Told { own: Arc::clone(&self.own), public })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.pool.unsubscribe(&self.server, Topic::Resource(Arc::clone(&self.own)));
    }
}

/// Both phases around `work`.
async fn passed(
    now: &Snapshot,
    request: &Request,
    asked: &Asked,
    params: Option<Json>,
    work: impl Future<Output = Result<Json, CallError>>,
) -> Result<Json, CallError> {
    let pipeline = &now.generation.pipeline;
    let operation = request.operation(Some(asked.target.server.clone()), asked.subject(params.as_ref()));
    if !pipeline.interested(&operation) {
        return work.await;
    }
    let mut exchange = Exchange::new(operation);
    exchange.attributes = request.attributes();
    let params = params.unwrap_or_else(Json::empty_object);
    let outcome = match towards_server(pipeline, &mut exchange, params).await? {
        Sent::Answered(result) => Ok(result),
        Sent::Params(_) => work.await,
    };
    towards_client(pipeline, &mut exchange, outcome).await
}

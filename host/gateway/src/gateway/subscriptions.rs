//! Clients that wait for changes of a resource (`resources/subscribe`) or a task (`subscriptions/listen`), and what they are
//! told.

use std::sync::Arc;

use tokio::sync::broadcast;
use wasmgate_core::index::Subject;
use wasmgate_core::json::Json;
use wasmgate_core::mcp::method;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Exchange, Operation, Party, Verdict};

use super::asked::Asked;
use super::audited::Noted;
use super::phases::{Sent, towards_client, towards_server};
use super::snapshot::Snapshot;
use super::tasks::TaskSeen;
use super::{CallError, Gateway, Request, View};
use crate::upstream::{Answer, Pool, Topic, Update};

/// One client's wait for changes of one resource or task. Dropping it ends the wait.
pub struct Subscription {
    pool: Arc<Pool>,
    server: ServerName,
    topic: Topic,
    view: View,
    /// What the client calls it.
    public: Arc<str>,
    /// The tool that runs the task.
    tool: Option<Arc<str>>,
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
    pub async fn subscribe(&self, request: Request) -> Result<(Json, Option<Subscription>), CallError> {
        let place = self.place(&request).await?;
        let mut noted = Noted::default();
        let subscribed = self.subscribed(request, &mut noted).await;
        place.take(noted, subscribed.as_ref().map(|(result, _)| result));
        subscribed
    }

    async fn subscribed(
        &self,
        mut request: Request,
        noted: &mut Noted,
    ) -> Result<(Json, Option<Subscription>), CallError> {
        self.takes(&request)?;
        let (now, asked) = self.asked(&request).await?;
        noted.server = Some(asked.target.server.clone());
        let permit = now.policy.permit(asked.target.clone()).map_err(|_| asked.unknown())?;
        let Subject::Resource(own) = asked.target.subject.clone() else { return Err(asked.unknown()) };
        let params = asked.clients_in_own_words(request.params.take());
        let mut subscription = None;
        let subscribing = async {
            match self.pool.subscribe(&permit, &Topic::Resource(Arc::clone(&own))).await? {
                Answer::Asks(_) | Answer::Flow(_) => Err(asked.unknown()),
                Answer::Error(error) => Err(CallError::Answered(error)),
                Answer::Result(result) => {
                    subscription = Some(Subscription {
                        pool: Arc::clone(&self.pool),
                        server: permit.server().clone(),
                        topic: Topic::Resource(Arc::clone(&own)),
                        view: request.view.clone(),
                        public: asked.public(),
                        tool: None,
                    });
                    Ok(result)
                }
            }
        };
        let result = passed(&now, &request, &asked, params, subscribing).await?;
        Ok((result, subscription))
    }

    /// Waits for changes of a task: one of the `taskIds` of this `subscriptions/listen`, whose params have passed the
    /// interceptors ([`Gateway::listen`]).
    ///
    /// # Errors
    /// [`CallError`]: `MissingCapability` when the client did not declare the extension, `Unknown` for an id that leads to no
    /// task of this client.
    pub async fn watch_task(&self, request: &Request, id: &str) -> Result<Subscription, CallError> {
        let now = self.current.load_full();
        let unknown = || CallError::Unknown { kind: "task", name: id.to_owned() };
        let task = self.task(&now, request, id)?.ok_or_else(unknown)?;
        let permit = now.policy.permit(task.target()).map_err(|_| unknown())?;
        let topic = Topic::Task(task.id);
        match self.pool.subscribe(&permit, &topic).await? {
            Answer::Result(_) => Ok(Subscription {
                pool: Arc::clone(&self.pool),
                server: task.server,
                topic,
                view: request.view.clone(),
                public: id.into(),
                tool: Some(task.tool),
            }),
            Answer::Error(error) => Err(CallError::Answered(error)),
            Answer::Asks(_) | Answer::Flow(_) => Err(unknown()),
        }
    }

    /// Answers `resources/unsubscribe`: `subscription` ends unless an interceptor objects, and is then left in place. Also
    /// while the gateway drains: it begins nothing.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn unsubscribe(
        &self,
        request: Request,
        subscription: &mut Option<Subscription>,
    ) -> Result<Json, CallError> {
        let place = self.place(&request).await?;
        let mut noted = Noted::default();
        let result = self.unsubscribed(request, subscription, &mut noted).await;
        place.take(noted, result.as_ref());
        result
    }

    async fn unsubscribed(
        &self,
        mut request: Request,
        subscription: &mut Option<Subscription>,
        noted: &mut Noted,
    ) -> Result<Json, CallError> {
        let (now, asked) = match self.asked(&request).await {
            // What is no longer to be seen can still be left alone.
            Err(CallError::Unknown { .. }) if subscription.take().is_some() => {
                return Ok(Json::empty_object());
            }
            asked => asked?,
        };
        noted.server = Some(asked.target.server.clone());
        let params = asked.clients_in_own_words(request.params.take());
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
        let place = self.place(request).await?;
        let params = self.listened(request).await;
        // What it opens has no result yet.
        let opened = Json::empty_object();
        place.take(Noted::default(), params.as_ref().map(|_| &opened));
        params
    }

    async fn listened(&self, request: &Request) -> Result<Json, CallError> {
        self.takes(request)?;
        let now = self.current.load_full();
        now.index(&request.view).ok_or(CallError::NotServing("not serving that server"))?;
        let params = request.params.clone().unwrap_or_else(Json::empty_object);
        let operation = request.operation(None, None);
        let pipeline = &now.generation.pipeline;
        if !pipeline.interested(&operation) {
            return Ok(params);
        }
        let mut exchange = Exchange::new(operation);
        exchange.client.clone_from(&request.client.info);
        match towards_server(pipeline, &mut exchange, params).await? {
            Sent::Params(params) => Ok(params),
            Sent::Answered(_) => Err(CallError::UnknownMethod(Arc::clone(&request.method))),
        }
    }

    /// Resources and tasks that change from now on: see [`Gateway::told`].
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.pool.updates()
    }

    /// The params of the notification for a client with this subscription, as interceptors leave them and in the client's
    /// words; None when one of them objects.
    pub async fn told(&self, update: &Update, told: &Told, listener: Listener) -> Option<Json> {
        let operation = Operation {
            id: listener.id,
            event: update.method.into(),
            server: Some(update.server.clone()),
            subject: Some(Arc::clone(told.topic.own())),
            principal: listener.principal,
            session: listener.session,
            version: listener.version,
            initiator: Party::Server,
        };
        let now = self.current.load_full();
        let params = match self.overheard_news(&now, &operation, told, update.params.clone()).await {
            Ok(params) => params?,
            Err(error) => {
                tracing::debug!(%error, event = update.method, "news were kept back by an interceptor");
                return None;
            }
        };
        let public = Json::of(&*told.public);
        let params = match &told.topic {
            Topic::Task(_) => params.with_member("taskId", &public),
            // Of a resource below it, too: that has its name from its own URI.
            Topic::Resource(own) if is_at(&params, own) => return Some(params.with_member("uri", &public)),
            Topic::Resource(_) => params,
        };
        Some(now.notification_in_public_words(&told.view, &update.server, update.method, params))
    }

    async fn overheard_news(
        &self,
        now: &Snapshot,
        operation: &Operation,
        told: &Told,
        params: Json,
    ) -> Result<Option<Json>, CallError> {
        let params = match &told.tool {
            None => params,
            Some(tool) => {
                let seen = TaskSeen { now, view: &told.view, operation, tool, client: None };
                self.task_state(&seen, params).await?
            }
        };
        let pipeline = &now.generation.pipeline;
        if !pipeline.interested(operation) {
            return Ok(Some(params));
        }
        match pipeline.request(&Exchange::new(operation.clone()), params).await {
            Verdict::Continue(params) => Ok(Some(params)),
            Verdict::Answer(_) => Ok(None),
            Verdict::Refuse(blocked) => Err(CallError::Blocked(blocked)),
        }
    }
}

/// A subscription that a change is of.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    topic: Topic,
    view: View,
    public: Arc<str>,
    tool: Option<Arc<str>>,
}

impl Subscription {
    /// Whether a change is of this resource, or of one below it (2025-11-25 server/resources: the URI of an update "might be
    /// a sub-resource of the one that the client actually subscribed to"), or of this task.
    pub fn told_by(&self, update: &Update) -> Option<Told> {
        if self.server != update.server || update.method != self.topic.method() {
            return None;
        }
        let is_meant = match &self.topic {
            Topic::Resource(own) => {
                let uri = update.params.member("uri")?;
                let uri = uri.string()?;
                let rest = uri.strip_prefix(&**own)?;
                rest.is_empty() || own.ends_with('/') || rest.starts_with(['/', '?', '#'])
            }
            Topic::Task(own) => update.params.member("taskId")?.string().as_deref() == Some(own),
        };
        is_meant.then(|| Told {
            topic: self.topic.clone(),
            view: self.view.clone(),
            public: Arc::clone(&self.public),
            tool: self.tool.clone(),
        })
    }
}

impl Topic {
    /// The server's own URI or id.
    const fn own(&self) -> &Arc<str> {
        match self {
            Self::Resource(own) | Self::Task(own) => own,
        }
    }

    /// The notification that tells of it.
    const fn method(&self) -> &'static str {
        match self {
            Self::Resource(_) => method::RESOURCE_UPDATED,
            Self::Task(_) => method::TASK_CHANGED,
        }
    }
}

fn is_at(params: &Json, own: &str) -> bool {
    params.member("uri").is_some_and(|uri| uri.string().as_deref() == Some(own))
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.pool.unsubscribe(&self.server, self.topic.clone());
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
    let operation =
        request.operation(Some(asked.target.server.clone()), asked.target.subject.name().cloned());
    if !pipeline.interested(&operation) {
        return work.await;
    }
    let mut exchange = Exchange::new(operation);
    exchange.client.clone_from(&request.client.info);
    let params = params.unwrap_or_else(Json::empty_object);
    let outcome = match towards_server(pipeline, &mut exchange, params).await? {
        Sent::Answered(result) => Ok(result),
        Sent::Params(_) => work.await,
    };
    towards_client(pipeline, &mut exchange, outcome).await
}

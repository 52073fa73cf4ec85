//! `subscriptions/listen` of 2026-07-28: a request that stays open and is told of what changes.
//!
//! Its first message says what of its wishes is granted, every message carries the request's id
//! (2026-07-28 basic/patterns/subscriptions). It is answered when the gateway stops, and ends unanswered when its client
//! cancels it or goes away.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream};
use futures_util::{StreamExt as _, future};
use tokio::sync::{broadcast, watch};
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::{Id, write_notification};
use wasmgate_core::mcp::{meta, method};

use super::calling::{Part, Reply, next_id};
use super::duplex::changes;
use super::legacy;
use super::modern::write_result;
use super::render::{Refusal, Wire, failure, refusal};
use super::session::InFlight;
use crate::gateway::{CallError, Gateway, Listener, Request, Revisions, Subscription, Update};

/// An open `subscriptions/listen`.
pub(super) struct Listen {
    id: Id,
    parts: BoxStream<'static, Part>,
}

/// What a client asked to be told, and gets.
struct Granted {
    tools: bool,
    prompts: bool,
    resources: bool,
    uris: Vec<(String, Subscription)>,
    tasks: Vec<(String, Subscription)>,
}

impl Listen {
    /// Opens it; nothing happens before the first poll.
    pub(super) fn new(gateway: Arc<Gateway>, id: Id, request: Request, in_flight: Option<InFlight>) -> Self {
        let (from, view) = (id.clone(), request.view.clone());
        let opening = async move {
            let listener = Listener {
                id: Arc::clone(&request.id),
                principal: Arc::clone(&request.principal),
                session: request.session.clone(),
                version: request.version,
            };
            // From before it is granted: nothing is missed.
            let lists = gateway.revisions();
            let told = *lists.borrow();
            let news = ((lists, told), gateway.updates());
            match granted(&gateway, request).await {
                Ok(granted) => granted.parts(gateway, from, news, listener),
                Err(error) => {
                    let worded = match (&error, gateway.offering(&view)) {
                        (CallError::NotServing(_), None) => refusal(Wire::Modern, &Refusal::UnknownServer),
                        _ => failure(Wire::Modern, &error, &listener.id),
                    };
                    let reply = Reply::error(Some(&from), &worded);
                    stream::once(future::ready(Part::Reply(reply))).boxed()
                }
            }
        };
        let parts = stream::once(opening).flatten();
        let parts = match in_flight {
            None => parts.boxed(),
            Some(mut in_flight) => parts.take_until(async move { in_flight.cancelled().await }).boxed(),
        };
        Self { id, parts }
    }

    /// Its messages, and its answer once `stopping` is.
    pub(super) fn until(
        self,
        stopping: impl Future<Output = ()> + Send + 'static,
    ) -> impl Stream<Item = Part> + Unpin + Send + 'static {
        let result = ObjectWriter::new().member("_meta", &stamp(&self.id)).finish();
        let last = Part::Reply(Reply::message(write_result(&self.id, method::LISTEN, &result)));
        self.parts.take_until(Box::pin(stopping)).chain(stream::once(future::ready(last)))
    }
}

/// Through the interceptors, and then what can be granted: a resource or task that cannot be waited for is left out. To ask
/// for tasks without having declared their extension is an error (ext-tasks, "Task Status Notifications").
async fn granted(gateway: &Arc<Gateway>, request: Request) -> Result<Granted, CallError> {
    let one = |uri: &str| Request {
        view: request.view.clone(),
        id: Arc::clone(&request.id),
        principal: Arc::clone(&request.principal),
        session: request.session.clone(),
        method: method::RESOURCES_SUBSCRIBE.into(),
        params: Some(ObjectWriter::new().string("uri", uri).finish()),
        client: Arc::clone(&request.client),
        version: request.version,
        events: request.events.clone(),
    };
    let params = gateway.listen(&request).await?;
    let wishes = params.member("notifications").unwrap_or_else(Json::empty_object);
    let [tools, prompts, resources, uris, tasks] = wishes.pick([TOOLS, PROMPTS, RESOURCES, URIS, TASKS]);
    let is_true = |wish: Option<Json>| wish.and_then(|wish| wish.boolean()) == Some(true);
    let subscribing = texts(uris).into_iter().map(|uri| async {
        let subscribed = tokio::time::timeout(PATIENCE, gateway.subscribe(one(&uri))).await.ok()?;
        Some((uri, subscribed.ok()?.1?))
    });
    let watching = texts(tasks).into_iter().map(|id| async {
        match tokio::time::timeout(PATIENCE, gateway.watch_task(&request, &id)).await {
            Ok(Err(missing @ CallError::MissingCapability(_))) => Err(missing),
            watched => Ok(watched.ok().and_then(Result::ok).map(|watched| (id, watched))),
        }
    });
    let (uris, tasks) = future::join(future::join_all(subscribing), future::join_all(watching)).await;
    Ok(Granted {
        tools: is_true(tools),
        prompts: is_true(prompts),
        resources: is_true(resources),
        uris: uris.into_iter().flatten().collect(),
        tasks: tasks.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?,
    })
}

/// The texts of a list, as many as one request may wait for.
fn texts(list: Option<Json>) -> Vec<String> {
    let list = list.and_then(|list| list.elements()).unwrap_or_default();
    let texts = list.iter().take(MOST).filter_map(|text| text.string().map(std::borrow::Cow::into_owned));
    // One that is too long is not granted.
    texts.filter(|text| text.len() <= legacy::MAX_URI).collect()
}

impl Granted {
    fn parts(
        self,
        gateway: Arc<Gateway>,
        id: Id,
        (lists, updates): ((watch::Receiver<Revisions>, Revisions), broadcast::Receiver<Update>),
        listener: Listener,
    ) -> BoxStream<'static, Part> {
        let granted = Json::of(&self.named());
        let params =
            ObjectWriter::new().member("notifications", &granted).member("_meta", &stamp(&id)).finish();
        let first = write_notification(method::ACKNOWLEDGED, Some(&params));
        let wanted = [
            (self.tools, method::TOOLS_CHANGED),
            (self.prompts, method::PROMPTS_CHANGED),
            (self.resources, method::RESOURCES_CHANGED),
        ];
        let lists = list_changes(lists, wanted, id.clone());
        let subscriptions = self.uris.into_iter().chain(self.tasks).map(|(_, subscription)| subscription);
        let updates = news(gateway, subscriptions.collect(), updates, listener, id);
        let first = stream::once(future::ready(first));
        first.chain(stream::select(lists, updates)).map(Part::Event).boxed()
    }

    /// As the client named its wishes.
    fn named(&self) -> serde_json::Value {
        let mut named = serde_json::Map::new();
        for (name, granted) in [(TOOLS, self.tools), (PROMPTS, self.prompts), (RESOURCES, self.resources)] {
            if granted {
                named.insert(name.into(), true.into());
            }
        }
        for (name, granted) in [(URIS, &self.uris), (TASKS, &self.tasks)] {
            if !granted.is_empty() {
                let granted: Vec<&str> = granted.iter().map(|(wish, _)| wish.as_str()).collect();
                named.insert(name.into(), granted.into());
            }
        }
        named.into()
    }
}

fn list_changes(
    (revisions, told): (watch::Receiver<Revisions>, Revisions),
    wanted: [(bool, &'static str); 3],
    id: Id,
) -> impl Stream<Item = Vec<u8>> + Send {
    let changed = stream::unfold((revisions, told, id), move |(mut revisions, told, id)| async move {
        revisions.changed().await.ok()?;
        let now = *revisions.borrow_and_update();
        let params = ObjectWriter::new().member("_meta", &stamp(&id)).finish();
        let messages: Vec<Vec<u8>> = changes(told, now)
            .filter(|method| wanted.contains(&(true, *method)))
            .map(|method| write_notification(method, Some(&params)))
            .collect();
        Some((stream::iter(messages), (revisions, now, id)))
    });
    changed.flatten()
}

fn news(
    gateway: Arc<Gateway>,
    subscriptions: Vec<Subscription>,
    updates: broadcast::Receiver<Update>,
    listener: Listener,
    id: Id,
) -> impl Stream<Item = Vec<u8>> + Send {
    let state = (gateway, subscriptions, updates, listener, id);
    let told = stream::unfold(state, |(gateway, subscriptions, mut updates, listener, id)| async move {
        let mut messages = Vec::new();
        match updates.recv().await {
            Err(broadcast::error::RecvError::Closed) => return None,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "changes of resources and tasks came faster than they were read");
            }
            Ok(update) => {
                for told in subscriptions.iter().filter_map(|one| one.told_by(&update)) {
                    let listener = Listener { id: next_id(), ..listener.clone() };
                    if let Some(params) = gateway.told(&update, &told, listener).await {
                        messages.push(write_notification(update.method, Some(&stamped(&params, &id))));
                    }
                }
            }
        }
        Some((stream::iter(messages), (gateway, subscriptions, updates, listener, id)))
    });
    told.flatten()
}

/// The `_meta` of every message.
fn stamp(id: &Id) -> Json {
    ObjectWriter::new().member(meta::SUBSCRIPTION_ID, &id.to_json()).finish()
}

fn stamped(params: &Json, id: &Id) -> Json {
    let own = params.member("_meta").filter(Json::is_object).unwrap_or_else(Json::empty_object);
    params.with_member("_meta", &own.with_member(meta::SUBSCRIPTION_ID, &id.to_json()))
}

const TOOLS: &str = "toolsListChanged";
const PROMPTS: &str = "promptsListChanged";
const RESOURCES: &str = "resourcesListChanged";
const URIS: &str = "resourceSubscriptions";
const TASKS: &str = "taskIds";
/// So many resources, and so many tasks, may one request wait for.
const MOST: usize = 1000;
/// How long servers may take to accept a subscription: clients wait for the first message.
const PATIENCE: Duration = Duration::from_millis(500);

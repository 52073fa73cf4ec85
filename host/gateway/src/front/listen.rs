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
    subscriptions: Vec<(String, Subscription)>,
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
            let news = (gateway.revisions(), gateway.updates());
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

    /// Its messages, without an end.
    pub(super) fn parts(self) -> BoxStream<'static, Part> {
        self.parts
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

/// Through the interceptors, and then what can be granted: a resource that cannot be subscribed to is left out.
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
    let [tools, prompts, resources, uris] = wishes.pick([TOOLS, PROMPTS, RESOURCES, URIS]);
    let is_true = |wish: Option<Json>| wish.and_then(|wish| wish.boolean()) == Some(true);
    let uris: Vec<String> = uris
        .and_then(|uris| uris.elements())
        .unwrap_or_default()
        .iter()
        .take(MOST)
        .filter_map(|uri| uri.string().map(std::borrow::Cow::into_owned))
        .collect();
    let subscribing = uris.into_iter().map(|uri| async {
        let subscribed = tokio::time::timeout(PATIENCE, gateway.subscribe(one(&uri))).await.ok()?;
        Some((uri, subscribed.ok()?.1?))
    });
    let subscriptions = future::join_all(subscribing).await.into_iter().flatten().collect();
    Ok(Granted {
        tools: is_true(tools),
        prompts: is_true(prompts),
        resources: is_true(resources),
        subscriptions,
    })
}

impl Granted {
    fn parts(
        self,
        gateway: Arc<Gateway>,
        id: Id,
        (lists, updates): (watch::Receiver<Revisions>, broadcast::Receiver<Update>),
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
        let updates = resource_updates(gateway, self.subscriptions, updates, listener, id);
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
        if !self.subscriptions.is_empty() {
            let uris: Vec<&str> = self.subscriptions.iter().map(|(uri, _)| uri.as_str()).collect();
            named.insert(URIS.into(), uris.into());
        }
        named.into()
    }
}

fn list_changes(
    mut revisions: watch::Receiver<Revisions>,
    wanted: [(bool, &'static str); 3],
    id: Id,
) -> impl Stream<Item = Vec<u8>> + Send {
    let told = *revisions.borrow_and_update();
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

fn resource_updates(
    gateway: Arc<Gateway>,
    subscriptions: Vec<(String, Subscription)>,
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
                tracing::debug!(missed, "changes of resources came faster than they were read");
            }
            Ok(update) => {
                for told in subscriptions.iter().filter_map(|(_, one)| one.told_by(&update)) {
                    let listener = Listener { id: next_id(), ..listener.clone() };
                    if let Some(params) = gateway.told(&update, &told, listener).await {
                        messages
                            .push(write_notification(method::RESOURCE_UPDATED, Some(&stamped(&params, &id))));
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
/// So many resources may one request wait for.
const MOST: usize = 1000;
/// How long servers may take to accept a subscription: clients wait for the first message.
const PATIENCE: Duration = Duration::from_millis(500);

//! Everything a client is sent over one long stream (stdio, HTTP+SSE): the parts of all its calls, and list changes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, SelectAll};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use wasmgate_core::jsonrpc::write_notification;
use wasmgate_core::mcp::method;

use super::calling::{Part, Reply, Step, next_id};
use super::session::Session;
use crate::gateway::{Gateway, Listener, Revisions, Update};

/// The messages for one client, one at a time, as long as it is there.
pub(super) struct Duplex {
    calls: SelectAll<BoxStream<'static, Part>>,
    /// What stays open and is owed nothing at the end.
    listening: SelectAll<BoxStream<'static, Part>>,
    ready: VecDeque<Vec<u8>>,
    changes: BoxStream<'static, Vec<u8>>,
    steps: Option<mpsc::Receiver<Step>>,
    stopping: CancellationToken,
}

impl Duplex {
    /// `changes` are the list changes for this client, `steps` what its messages come to when another task reads them.
    /// What listens is answered once `stopping` is.
    pub(super) fn new(
        changes: BoxStream<'static, Vec<u8>>,
        steps: Option<mpsc::Receiver<Step>>,
        stopping: CancellationToken,
    ) -> Self {
        let (calls, listening) = (SelectAll::new(), SelectAll::new());
        Self { calls, listening, ready: VecDeque::new(), changes, steps, stopping }
    }

    /// Takes what a message came to.
    pub(super) fn push(&mut self, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Reply(Reply { message, .. }) => self.ready.extend(message),
            Step::Call(calling) => self.calls.push(calling.boxed()),
            Step::Batch(batch) => self.calls.push(batch.boxed()),
            Step::Listen(listen) => {
                let stopping = self.stopping.clone().cancelled_owned();
                self.listening.push(listen.until(stopping).boxed());
            }
        }
    }

    /// All messages until the process stops, and then those that are owed.
    pub(super) fn drained(self) -> impl Stream<Item = Vec<u8>> + Send {
        stream::unfold(self, |mut duplex| async move {
            let stopping = duplex.stopping.clone();
            let message = match stopping.run_until_cancelled(duplex.next()).await {
                Some(message) => message,
                None => duplex.next_owed().await,
            };
            message.map(|message| (message, duplex))
        })
    }

    /// The next message that is owed: None once nothing is left to be sent and nothing is being worked on.
    pub(super) async fn next_owed(&mut self) -> Option<Vec<u8>> {
        let next = |cx: &mut Context<'_>| match self.poll_next_unpin(cx) {
            Poll::Pending if self.ready.is_empty() && self.calls.is_empty() => Poll::Ready(None),
            next => next,
        };
        std::future::poll_fn(next).await
    }
}

impl Stream for Duplex {
    type Item = Vec<u8>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        let this = &mut *self;
        loop {
            if let Some(message) = this.ready.pop_front() {
                return Poll::Ready(Some(message));
            }
            let next = this.steps.as_mut().map_or(Poll::Pending, |steps| steps.poll_recv(cx));
            match next {
                Poll::Ready(Some(step)) => {
                    this.push(step);
                    continue;
                }
                Poll::Ready(None) => this.steps = None,
                Poll::Pending => {}
            }
            match this.calls.poll_next_unpin(cx) {
                Poll::Ready(Some(part)) => {
                    this.ready.extend(message(part));
                    continue;
                }
                // Without calls the set is over; it is looked at again with the next one.
                Poll::Ready(None) | Poll::Pending => {}
            }
            match this.listening.poll_next_unpin(cx) {
                Poll::Ready(Some(part)) => this.ready.extend(message(part)),
                Poll::Ready(None) | Poll::Pending => return this.changes.poll_next_unpin(cx),
            }
        }
    }
}

/// The message of a part; None when the client cancelled.
pub(super) fn message(part: Part) -> Option<Vec<u8>> {
    match part {
        Part::Event(message) => Some(message),
        Part::Reply(reply) => reply.message,
        // Comes only where one was asked for.
        Part::Flow(_) => None,
    }
}

/// The list changes that a session has to be told, as they come; those it missed come first. Nothing while `hears` says
/// no or nothing was agreed, and never an end.
pub(super) fn list_changes(
    gateway: &Gateway,
    session: Arc<Session>,
    hears: impl Fn() -> bool + Send + Sync + 'static,
) -> BoxStream<'static, Vec<u8>> {
    let mut revisions = gateway.revisions();
    revisions.mark_changed();
    let state = (revisions, session, hears);
    let changed = stream::unfold(state, |(mut revisions, session, hears)| async move {
        revisions.changed().await.ok()?;
        let now = *revisions.borrow_and_update();
        let hears_now = session.agreed().is_some() && hears();
        let told = if hears_now { session.tell(now) } else { now };
        let messages: Vec<_> = changes(told, now).map(|method| write_notification(method, None)).collect();
        Some((stream::iter(messages), (revisions, session, hears)))
    });
    changed.flatten().chain(stream::pending()).boxed()
}

/// All that a session is told on its own stream: list changes, and changes of the resources it waits for.
pub(super) fn announcements(
    gateway: &Arc<Gateway>,
    session: Arc<Session>,
    hears: impl Fn() -> bool + Send + Sync + 'static,
) -> BoxStream<'static, Vec<u8>> {
    let hears = Arc::new(hears);
    let hears_too = Arc::clone(&hears);
    let lists = list_changes(gateway, Arc::clone(&session), move || hears());
    stream::select(lists, updates(gateway, session, move || hears_too())).boxed()
}

/// Changes of the resources that a session waits for. What comes while `hears` says no is lost. Never an end.
pub(super) fn updates(
    gateway: &Arc<Gateway>,
    session: Arc<Session>,
    hears: impl Fn() -> bool + Send + Sync + 'static,
) -> BoxStream<'static, Vec<u8>> {
    let state = (gateway.updates(), Arc::clone(gateway), session, hears);
    let told = stream::unfold(state, |(mut updates, gateway, session, hears)| async move {
        let mut messages = Vec::new();
        match updates.recv().await {
            Err(broadcast::error::RecvError::Closed) => return None,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::debug!(missed, session = %session.id, "changes of resources came faster than they were read");
            }
            Ok(update) if hears() => messages = told(&gateway, &session, &update).await,
            Ok(_) => {}
        }
        Some((stream::iter(messages), (updates, gateway, session, hears)))
    });
    told.flatten().chain(stream::pending()).boxed()
}

/// What a session is told of one change.
async fn told(gateway: &Gateway, session: &Session, update: &Update) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for subscription in session.told_by(update) {
        let Some(agreed) = session.agreed() else { continue };
        let listener = Listener {
            id: next_id(),
            principal: Arc::clone(&session.caller.principal),
            session: Some(Arc::clone(&session.id)),
            version: agreed.version,
        };
        if let Some(params) = gateway.told(update, &subscription, listener).await {
            messages.push(write_notification(method::RESOURCE_UPDATED, Some(&params)));
        }
    }
    messages
}

/// What to tell about a change: the method of each notification.
pub(super) fn changes(told: Revisions, now: Revisions) -> impl Iterator<Item = &'static str> {
    let changed = [
        (told.tools != now.tools, method::TOOLS_CHANGED),
        (told.prompts != now.prompts, method::PROMPTS_CHANGED),
        (told.resources != now.resources, method::RESOURCES_CHANGED),
    ];
    changed.into_iter().filter(|(is, _)| *is).map(|(_, method)| method)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_change_is_told_list_by_list() {
        let told = Revisions { tools: 1, prompts: 1, resources: 1 };
        let lines = |now| {
            let messages = changes(told, now);
            messages.collect::<Vec<_>>()
        };
        assert!(lines(told).is_empty());
        assert_eq!(
            lines(Revisions { tools: 2, resources: 3, ..told }),
            ["notifications/tools/list_changed", "notifications/resources/list_changed",]
        );
    }

    #[test]
    fn answers_come_in_order_and_changes_between_them() {
        let changes = stream::iter([b"changed".to_vec()]).chain(stream::pending()).boxed();
        let (steps, receiver) = mpsc::channel(4);
        let mut duplex = Duplex::new(changes, Some(receiver), CancellationToken::new());
        duplex.push(Step::Nothing);
        duplex.push(Step::Reply(Reply::message(b"one".to_vec())));
        duplex.push(Step::Reply(Reply::silence()));
        steps.try_send(Step::Reply(Reply::message(b"two".to_vec()))).unwrap();
        let mut next = || duplex.next().now_or_never().flatten();
        assert_eq!(next(), Some(b"one".to_vec()));
        assert_eq!(next(), Some(b"two".to_vec()));
        assert_eq!(next(), Some(b"changed".to_vec()));
        assert_eq!(next(), None);
        drop(steps);
        assert_eq!(duplex.next_owed().now_or_never(), Some(None));
        assert!(duplex.next().now_or_never().is_none(), "a stream stays open without senders");
    }
}

//! What a server says while it works on a call (progress, log messages), on its way through the interceptors.

use std::pin::Pin;

use wasmgate_core::mcp::method;
use wasmgate_core::pipeline::{Exchange, Operation, Pipeline, Verdict};

use super::Event;
use super::phases::of_server;
use super::rounds::Rounds;
use crate::mailbox::{self, NotTaken};

/// The notifications of one call that interceptors look at first.
pub(super) struct Overheard<'a> {
    pipeline: &'a Pipeline,
    progress: Operation,
    message: Operation,
    from: mailbox::Receiver<Event>,
    sender: mailbox::Sender<Event>,
    to: mailbox::Sender<Event>,
    /// The latest progress, when it found no room.
    held: Option<Event>,
}

impl<'a> Rounds<'a> {
    /// The way the notifications of this call take; None when nobody looks at them or nobody waits for them, which is
    /// decided here, once for the call.
    pub(super) fn overheard(&self, to: &mailbox::Sender<Event>) -> Option<Overheard<'a>> {
        if to.is_closed() || !(self.interested(method::PROGRESS) || self.interested(method::MESSAGE)) {
            return None;
        }
        let (sender, from) = mailbox::channel(EVENTS);
        let [progress, message] =
            [method::PROGRESS, method::MESSAGE].map(|event| of_server(self.operation, event));
        Some(Overheard {
            pipeline: self.pipeline,
            progress,
            message,
            from,
            sender,
            to: to.clone(),
            held: None,
        })
    }
}

impl Overheard<'_> {
    /// Where the server's notifications go.
    pub(super) fn sender(&self) -> mailbox::Sender<Event> {
        self.sender.clone()
    }

    /// Passes notifications on until `call` is done; what came before its end goes before its end. It comes in a box: it
    /// would be here twice, as it was given and where it is waited for, and half of what a call takes.
    pub(super) async fn beside<T>(mut self, mut call: Pin<Box<impl Future<Output = T>>>) -> T {
        let done = loop {
            tokio::select! {
                biased;
                Some(event) = self.from.recv() => self.pass(event).await,
                done = &mut call => break done,
            }
        };
        while let Some(event) = self.from.try_recv() {
            self.pass(event).await;
        }
        if let Some(event) = self.held.take() {
            let _ = self.to.send_last(event);
        }
        done
    }

    async fn pass(&mut self, event: Event) {
        let operation = match &*event.method {
            method::MESSAGE => &self.message,
            method::PROGRESS => &self.progress,
            // That a URL was visited: nothing but an id.
            _ => return self.forward(event),
        };
        if !self.pipeline.interested(operation) {
            return self.forward(event);
        }
        let token = event.params.member("progressToken");
        match self.pipeline.request(&Exchange::new(operation.clone()), event.params).await {
            Verdict::Continue(params) => {
                // Stages say what is said, never to whom.
                let params = match &token {
                    Some(token) => params.with_member("progressToken", token),
                    None => params,
                };
                self.forward(Event { method: event.method, params });
            }
            Verdict::Refuse(blocked) => {
                let (request, event) = (&*operation.id, &*operation.event);
                tracing::debug!(request, event, ?blocked, "notification dropped by an interceptor");
            }
            Verdict::Answer(_) => {}
        }
    }

    /// A client that reads slowly loses some, but not the latest progress; the call does not wait for it.
    fn forward(&mut self, event: Event) {
        let is_progress = &*event.method == method::PROGRESS;
        match self.to.try_send(event) {
            Err(NotTaken::Full(event)) if is_progress => self.held = Some(event),
            Ok(()) if is_progress => self.held = None,
            _ => {}
        }
    }
}

/// How many notifications wait for the interceptors; more are dropped.
const EVENTS: usize = 64;

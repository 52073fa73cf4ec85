//! A JSON-RPC batch, which clients of 2025-03-26 may send and no others: its calls run side by side, and their answers
//! go out as one array (JSON-RPC 2.0 section 6).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt as _};
use wasmgate_core::jsonrpc::{Id, Message, read, read_batch};
use wasmgate_core::mcp::{V2025_03_26, method};

use super::calling::{Calling, Part, Reply, Step};
use super::legacy;
use super::render::{Refusal, Wire};
use super::session::Session;
use crate::gateway::{Appetite, Gateway};
use crate::shutdown::Tasks;

/// The calls of a batch, and the answers there are so far.
pub(super) struct Batch {
    calls: SelectAll<Calling>,
    answers: Vec<Vec<u8>>,
    is_over: bool,
}

/// How a session's message is served.
#[derive(Clone)]
pub(super) struct Manner {
    /// Whether notifications can be sent before the answer.
    pub(super) hears: bool,
    /// How many calls may be in flight.
    pub(super) most: usize,
    /// Whether a long answer can be taken as it comes.
    pub(super) appetite: Appetite,
}

/// Serves what a session sent: one message, or a batch from those who may send one.
pub(super) fn receive(gateway: &Arc<Gateway>, session: &Arc<Session>, bytes: Bytes, manner: Manner) -> Step {
    let refuse = |id: Option<&Id>, method: Option<&str>, refusal: Refusal| {
        session.note(gateway, method, &refusal);
        Step::Reply(Reply::refusal(Wire::Legacy, id, &refusal))
    };
    let unreadable = |error| refuse(None, None, Refusal::Unreadable(error));
    let may_batch = session.agreed().is_some_and(|agreed| agreed.version == V2025_03_26);
    if !(may_batch && looks_like_batch(&bytes)) {
        return match read(bytes) {
            Ok(message) => legacy::receive(gateway, session, message, manner),
            Err(error) => unreadable(error),
        };
    }
    let messages = match read_batch(bytes) {
        Ok(messages) => messages,
        Err(error) => return unreadable(error),
    };
    let mut batch = Batch { calls: SelectAll::new(), answers: Vec::new(), is_over: false };
    for message in messages {
        let step = match message {
            Err(error) => {
                let id = error.id.clone();
                refuse(id.as_ref(), None, Refusal::Unreadable(error))
            }
            Ok(Message::Request { id, method, .. }) if &*method == method::INITIALIZE => {
                refuse(Some(&id), Some(&method), Refusal::Initialized)
            }
            Ok(message) => legacy::receive_in_batch(gateway, session, message, manner.clone()),
        };
        batch.add(step);
    }
    if batch.calls.is_empty() && batch.answers.is_empty() { Step::Nothing } else { Step::Batch(batch) }
}

/// Whether a message starts as an array.
pub(super) fn looks_like_batch(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'[')
}

impl Batch {
    /// See [`Step::outliving`].
    #[must_use]
    pub(super) fn outliving(mut self, tasks: &Tasks) -> Self {
        self.calls = self.calls.into_iter().map(|calling| calling.outliving(tasks)).collect();
        self
    }

    fn add(&mut self, step: Step) {
        match step {
            Step::Reply(Reply { message: Some(message), .. }) => self.answers.push(message),
            Step::Call(calling) => self.calls.push(calling),
            Step::Nothing | Step::Reply(_) | Step::Batch(_) | Step::Listen(_) => {}
        }
    }

    fn reply(&self) -> Reply {
        if self.answers.is_empty() {
            return Reply::silence();
        }
        let mut array = self.answers.join(&b","[..]);
        array.insert(0, b'[');
        array.push(b']');
        Reply::message(array)
    }
}

impl Stream for Batch {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Part>> {
        while !self.is_over {
            match self.calls.poll_next_unpin(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Part::Event(event))) => return Poll::Ready(Some(Part::Event(event))),
                Poll::Ready(Some(Part::Reply(reply))) => self.answers.extend(reply.message),
                // Comes only where one was asked for.
                Poll::Ready(Some(Part::Flow(_))) => {}
                Poll::Ready(None) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Part::Reply(self.reply())));
                }
            }
        }
        Poll::Ready(None)
    }
}

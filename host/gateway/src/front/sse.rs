//! Server-sent events: how messages are framed, and a stream that stays alive while nothing happens.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep};

/// How long a stream is silent before a comment keeps it alive.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One event on its way out.
#[derive(Debug, Clone, Default)]
pub(super) struct Event {
    /// What the client says when it wants to go on behind it.
    pub(super) id: Option<String>,
    /// How long the client should wait before it comes back.
    pub(super) retry: Option<Duration>,
    /// One line, as our writers make it. Empty in an event that only primes the client to come back.
    pub(super) data: Bytes,
}

/// Messages as events. What is ready goes out in one piece.
pub(super) struct EventStream<S> {
    messages: S,
    /// Goes out first.
    opening: Vec<u8>,
    silence: Pin<Box<Sleep>>,
    over: bool,
}

impl<S> EventStream<S> {
    /// `opening` is written before everything else, as it is.
    pub(super) fn new(messages: S, opening: Vec<u8>) -> Self {
        Self { messages, opening, silence: Box::pin(sleep(KEEP_ALIVE)), over: false }
    }
}

impl From<Vec<u8>> for Event {
    fn from(message: Vec<u8>) -> Self {
        Self { data: message.into(), ..Self::default() }
    }
}

impl Event {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(id) = &self.id {
            push_line(out, b"id: ", id.as_bytes());
        }
        if let Some(retry) = self.retry {
            push_line(out, b"retry: ", retry.as_millis().to_string().as_bytes());
        }
        match self.data.is_empty() {
            true => out.extend_from_slice(b"data: \n\n"),
            false => push(out, "message", &self.data),
        }
    }
}

impl<S: Stream<Item = Event> + Unpin> Stream for EventStream<S> {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        let mut out = std::mem::take(&mut this.opening);
        while !this.over && out.len() < PIECE {
            match this.messages.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => event.write(&mut out),
                Poll::Ready(None) => this.over = true,
                Poll::Pending => break,
            }
        }
        if out.is_empty() && this.over {
            return Poll::Ready(None);
        }
        if out.is_empty() {
            if this.silence.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            out.extend_from_slice(COMMENT);
        }
        this.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(Some(out.into()))
    }
}

/// Appends one event. `data` is one line, as our writers make it.
pub(super) fn push(out: &mut Vec<u8>, event: &str, data: &[u8]) {
    out.reserve(event.len() + data.len() + 17);
    for part in [b"event: ", event.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        out.extend_from_slice(part);
    }
}

fn push_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, value, b"\n"] {
        out.extend_from_slice(part);
    }
}

/// A comment: nothing to a client, a sign of life to everyone between.
pub(super) const COMMENT: &[u8] = b": keep-alive\n\n";

/// How much goes out in one piece at least before the peer has to take it.
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, stream};

    use super::*;

    fn text(piece: Option<Option<Bytes>>) -> Option<Option<String>> {
        piece.map(|piece| piece.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn what_is_ready_goes_out_in_one_piece() {
        let messages = stream::iter([b"{\"a\":1}".to_vec(), b"{}".to_vec()].map(Event::from));
        let mut events = EventStream::new(messages, b": hi\n\n".to_vec());
        let first = text(events.next().now_or_never()).unwrap();
        let expected = ": hi\n\nevent: message\ndata: {\"a\":1}\n\nevent: message\ndata: {}\n\n";
        assert_eq!(first.as_deref(), Some(expected));
        assert_eq!(text(events.next().now_or_never()), Some(None));
    }

    #[test]
    fn an_event_says_where_it_stands_and_when_to_come_back() {
        let check = |event: Event, expected: &str| {
            let mut out = Vec::new();
            event.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(b"{}".to_vec().into(), "event: message\ndata: {}\n\n");
        let (id, retry) = (Some("7-a1-0".to_owned()), Some(Duration::from_millis(1500)));
        let primer = Event { id: id.clone(), retry, data: Bytes::new() };
        check(primer, "id: 7-a1-0\nretry: 1500\ndata: \n\n");
        check(Event { id, retry: None, data: "{}".into() }, "id: 7-a1-0\nevent: message\ndata: {}\n\n");
    }

    #[tokio::test]
    async fn a_large_message_does_not_wait_for_the_next() {
        let messages = stream::iter([vec![b'1'; PIECE], b"2".to_vec()].map(Event::from));
        let mut events = EventStream::new(messages, Vec::new());
        assert_eq!(events.next().await.unwrap().len(), PIECE + 23);
        assert_eq!(events.next().await.unwrap(), "event: message\ndata: 2\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_comments() {
        let mut events = EventStream::new(stream::pending::<Event>(), Vec::new());
        assert_eq!(text(events.next().now_or_never()), None);
        assert_eq!(events.next().await.unwrap(), COMMENT);
        assert_eq!(events.next().await.unwrap(), COMMENT);
    }
}

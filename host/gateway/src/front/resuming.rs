//! The streams of legacy sessions on HTTP: recorded while they run, so that they can be gone on with.
//!
//! "Disconnection SHOULD NOT be interpreted as the client cancelling its request" (2025-11-25 basic/transports): a call
//! whose stream broke goes on, and what it says waits for its client. See [`super::replay`] for what is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _};
use http::Response;
use http::request::Parts;
use tokio_util::sync::CancellationToken;
use wasmgate_core::mcp::V2025_11_25;

use super::body::Body;
use super::calling::Part;
use super::duplex::{list_changes, message, updates};
use super::headers::{Field, field};
use super::render::Refusal;
use super::replay::{EventId, Kind, Recording, Standing};
use super::session::Session;
use super::{respond, sse};
use crate::gateway::Gateway;
use crate::shutdown::Tasks;

/// What a GET asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// News from now on.
    News,
    /// What came after an event.
    After(EventId),
}

impl Wanted {
    /// # Errors
    /// A `Last-Event-ID` that we never sent.
    pub(super) fn of(head: &Parts) -> Result<Self, Refusal> {
        match field(&head.headers, "last-event-id") {
            Field::Absent => Ok(Self::News),
            Field::One(id) => EventId::parse(id).map(Self::After).ok_or(Refusal::UnknownEvent),
            Field::Unusable => Err(Refusal::UnknownEvent),
        }
    }
}

/// The answer to a POST as a stream: `first`, when it is there already, and then the other parts of the call, which runs
/// to its end whether or not the client stays.
pub(super) fn answer<S>(session: &Session, first: Option<Vec<u8>>, parts: S, tasks: &Tasks) -> Response<Body>
where
    S: Stream<Item = Part> + Unpin + Send + 'static,
{
    let is_primed = is_primed(session);
    let (recording, reader) = session.replay.answer(is_primed);
    let opening = if first.is_none() && !is_primed { sse::COMMENT } else { b"" };
    tasks.spawn("legacy-answer", record(recording, first, parts));
    respond::events(reader.events(), opening.to_vec())
}

/// How long a call is silent before its stream is opened: soon when the client can come back to it from then on.
pub(super) fn silence(session: Option<&Session>) -> Duration {
    if session.is_some_and(is_primed) { SOON } else { sse::KEEP_ALIVE }
}

async fn record(recording: Recording, first: Option<Vec<u8>>, mut parts: impl Stream<Item = Part> + Unpin) {
    if let Some(first) = first {
        recording.push(first).await;
    }
    while let Some(part) = parts.next().await {
        if let Some(message) = message(part) {
            recording.push(message).await;
        }
    }
    recording.finish(Instant::now());
}

/// Goes on behind an event. News that nobody keeps any more begin anew: whoever asks for them misses nothing by that.
///
/// # Errors
/// [`Refusal::UnknownEvent`] when what came after the event is not kept.
pub(super) fn resume(session: &Session, after: EventId) -> Result<Option<Response<Body>>, Refusal> {
    match (session.replay.resume(after), after.kind) {
        (Some(reader), _) => Ok(Some(respond::events(reader.events(), sse::COMMENT.to_vec()))),
        (None, Kind::News) => Ok(None),
        (None, Kind::Answer) => Err(Refusal::UnknownEvent),
    }
}

/// Opens a stream for what belongs to no request, one of at most `most`.
///
/// # Errors
/// [`Refusal::Limit`].
pub(super) fn news(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    most: usize,
    tasks: &Tasks,
) -> Result<Response<Body>, Refusal> {
    let opened = session.replay.news(most, is_primed(session));
    let (recording, reader) = opened.ok_or(Refusal::Limit("open streams"))?;
    let (gateway, session) = (Arc::clone(gateway), Arc::clone(session));
    tasks.spawn("legacy-news", tell(gateway, session, recording, tasks.stopping()));
    Ok(respond::events(reader.events(), sse::COMMENT.to_vec()))
}

/// Tells news as long as they are read, and records them for a while when they are not: changed resources as they come,
/// changed lists once the client is back, when it is told what has changed altogether. Ends with the process, which owes
/// nobody news.
async fn tell(
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    recording: Recording,
    stopping: CancellationToken,
) {
    let hears = || {
        let recording = recording.clone();
        move || recording.is_chosen()
    };
    let mut lists = list_changes(&gateway, Arc::clone(&session), hears());
    let mut updates = updates(&gateway, Arc::clone(&session), hears());
    let (ended, mut left) = (session.ended.clone(), tokio::time::Instant::now());
    while recording.standing() != Standing::Gone {
        let standing = recording.standing();
        let message = tokio::select! {
            biased;
            () = ended.cancelled() => break,
            () = stopping.cancelled() => break,
            () = recording.turned(standing) => {
                left = tokio::time::Instant::now();
                continue;
            }
            () = tokio::time::sleep_until(left + LINGER), if standing != Standing::Read => break,
            Some(message) = lists.next(), if standing == Standing::Read => message,
            Some(message) = updates.next() => message,
        };
        recording.push(message).await;
    }
    recording.finish(Instant::now());
}

/// Clients of before 2025-11-25 would take an empty event for a broken message.
fn is_primed(session: &Session) -> bool {
    session.agreed().is_some_and(|agreed| agreed.version == V2025_11_25)
}

const SOON: Duration = Duration::from_secs(2);
/// How long news wait for a client that went away.
const LINGER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_is_ours_or_refused() {
        let check = |id: Option<&str>, is_good: bool| {
            let mut request = http::Request::builder();
            if let Some(id) = id {
                request = request.header("last-event-id", id);
            }
            let head = request.body(()).unwrap().into_parts().0;
            assert_eq!(Wanted::of(&head).is_ok(), is_good, "{id:?}");
        };
        check(None, true);
        check(Some("0000002a-a1-0"), true);
        check(Some(""), false);
        check(Some("0"), false);
        check(Some("0000002a_a1"), false);
    }
}

//! HTTP+SSE of 2024-11-05: a stream by GET whose first event names the path for messages; everything the client is sent
//! goes down that stream. The stream is the session: when it breaks, its calls are cancelled.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{Stream, StreamExt as _};
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::accept::Accepts;
use super::batch::{self, Manner};
use super::body::Body;
use super::calling::{Reply, Step};
use super::duplex::{Duplex, announcements};
use super::endpoint;
use super::http::Front;
use super::render::{Refusal, Wire, failure};
use super::session::{Caller, Listening, Session};
use super::sessions::Visit;
use super::{respond, sse};
use crate::gateway::{Appetite, seconds_now};

/// Opens the stream.
pub(super) async fn open(front: &Arc<Front>, caller: Caller, head: &Parts) -> Response<Body> {
    if !Accepts::of(&head.headers).is_some_and(|accepts| accepts.events) {
        return respond::refused(StatusCode::NOT_ACCEPTABLE, "Accept must list text/event-stream");
    }
    let gateway = match super::gateway(&front.slot, front.limits.patience).await {
        Ok(gateway) => gateway,
        Err(error) => return respond::whole(Reply::error(None, &failure(Wire::Legacy, &error, ""))),
    };
    let principal = Arc::clone(&caller.principal);
    let opened = front.sessions.open(caller, Instant::now()).and_then(|session| {
        let listening = session.listen(front.limits.streams)?;
        Ok(Opened { front: Arc::clone(front), session, _listening: listening })
    });
    let opened = match opened {
        Ok(opened) => opened,
        Err(refusal) => return front.refuse(&principal, None, (Wire::Legacy, None), &refusal),
    };
    let session = &opened.session;
    let (sender, steps) = mpsc::channel(front.limits.in_flight);
    session.answer_on(sender);
    let mut opening = Vec::new();
    sse::push(&mut opening, "endpoint", format!("/messages?sessionId={}", session.id).as_bytes());
    let changes = announcements(&gateway, Arc::clone(session), || true);
    let duplex = Duplex::new(changes, Some(steps), front.tasks.stopping());
    let messages = Box::pin(duplex.drained()).take_until(session.ended.clone().cancelled_owned());
    respond::stream(opened.around(messages).boxed(), opening)
}

/// Takes a message; its answer goes down the stream.
pub(super) async fn post(front: &Front, caller: &Caller, head: &Parts, body: Incoming) -> Response<Body> {
    let refuse = |refusal| front.refuse(&caller.principal, None, (Wire::Legacy, None), &refusal);
    let Some(id) = session_id(head.uri.query().unwrap_or_default()) else {
        return refuse(Refusal::NoSession);
    };
    // The stream is the session: nothing comes back without it.
    let visit = Visit { caller, now: Instant::now(), seconds: seconds_now() };
    let found = front.sessions.find(id, None, visit);
    let found = found.and_then(|session| Ok((session.answers().ok_or(Refusal::UnknownSession)?, session)));
    let (answers, session) = match found {
        Ok(found) => found,
        Err(refusal) => return refuse(refusal),
    };
    let (bytes, _) = match endpoint::take(front, head, body).await {
        Ok(taken) => taken,
        Err(response) => return response,
    };
    let gateway = match super::gateway(&front.slot, front.limits.patience).await {
        Ok(gateway) => gateway,
        Err(error) => return respond::whole(Reply::error(None, &failure(Wire::Legacy, &error, ""))),
    };
    // Who does not wait for the answer to `initialize` has the next request wait for it.
    let opened = async {
        tokio::select! {
            () = session.opened() => {}
            () = session.ended.cancelled() => {}
        }
    };
    // Later it is told what is missing.
    let _ = tokio::time::timeout(front.limits.patience, opened).await;
    let manner = Manner { hears: true, most: front.limits.in_flight, appetite: Appetite::default() };
    let step = batch::receive(&gateway, &session, bytes, manner);
    match step {
        // What is not a message at all is not worth a place in the stream.
        Step::Reply(reply) if reply.status >= 400 => respond::whole(reply),
        Step::Nothing => respond::empty(StatusCode::ACCEPTED),
        step => match answers.try_send(step) {
            Ok(()) => respond::empty(StatusCode::ACCEPTED),
            Err(mpsc::error::TrySendError::Full(_)) => refuse(Refusal::Limit("messages at once")),
            Err(mpsc::error::TrySendError::Closed(_)) => refuse(Refusal::UnknownSession),
        },
    }
}

/// A session that ends with its stream.
struct Opened {
    front: Arc<Front>,
    session: Arc<Session>,
    _listening: Listening,
}

impl Opened {
    /// The stream, with this beside it until it is dropped.
    fn around<S>(self, messages: S) -> impl Stream<Item = Vec<u8>> + Send
    where
        S: Stream<Item = Vec<u8>> + Send,
    {
        messages.map(move |message| {
            let _ = &self;
            message
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.front.sessions.close(&self.session);
    }
}

fn session_id(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("sessionId="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_named_in_the_query() {
        assert_eq!(session_id("sessionId=abc"), Some("abc"));
        assert_eq!(session_id("a=b&sessionId=abc&c=d"), Some("abc"));
        assert_eq!(session_id("xsessionId=abc"), None);
        assert_eq!(session_id(""), None);
    }
}

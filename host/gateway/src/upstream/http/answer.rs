//! What comes back on a POST: one JSON message, or a stream of events with the answer among them.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming as Body};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use wasmgate_core::json::Json;

use super::Http;
use super::head::{self, Media};
use crate::upstream::correlator::Patience;
use crate::upstream::era::Era;
use crate::upstream::framer::{Frame, Framer, MAX_MESSAGE};
use crate::upstream::incoming::{self, Concern, Incoming};
use crate::upstream::outlet::Outlet;
use crate::upstream::sse::{SseFrame, SseParser};
use crate::upstream::{Answer, Event, Fault, questions};

/// One request that has been sent, and what it waits for.
pub(super) struct Exchange<'a> {
    pub(super) http: &'a Arc<Http>,
    pub(super) era: &'a Era,
    pub(super) id: u64,
    /// The progress token its client knows.
    pub(super) token: Option<Json>,
    /// Whether it is a `subscriptions/listen`, whose answer comes when it ends.
    pub(super) is_listen: bool,
    /// The session it was sent in.
    pub(super) session: Option<Arc<HeaderValue>>,
    pub(super) patience: Patience,
}

impl Exchange<'_> {
    /// Reads the answer, passing on what comes before it.
    pub(super) async fn read(
        mut self,
        response: Response<Body>,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Answer, Fault> {
        let status = response.status();
        let is_legacy = matches!(self.era, Era::Legacy(_));
        if let Some(session) = self.session.take().filter(|_| status == StatusCode::NOT_FOUND && is_legacy) {
            // 2025-11-25, streamable HTTP, Session Management: the session is over; nothing was done.
            self.http.end_session(&session);
            return Err(Fault::Unavailable("its session is over and is being renewed".into()));
        }
        if let Some(fault) = head::verdict(status) {
            return Err(fault);
        }
        let media = Media::of(response.headers());
        let mut outlet = events.map(Outlet::new);
        match media {
            Media::Json if self.is_listen && status.is_success() => {
                self.lines(response.into_body(), &mut outlet).await
            }
            Media::Json => self.message(response, &mut outlet).await,
            Media::Events if status.is_success() => self.events(response.into_body(), &mut outlet).await,
            Media::Events | Media::Other => Err(head::without_answer(status)),
        }
    }

    async fn message(
        &mut self,
        response: Response<Body>,
        outlet: &mut Option<Outlet>,
    ) -> Result<Answer, Fault> {
        let status = response.status();
        let text = self.whole(response.into_body()).await?;
        match self.messages(&text, outlet) {
            Some(answer) => answer,
            None if status.is_success() => {
                Err(Fault::Misbehaved("a body that does not answer the request".into()))
            }
            None => Err(head::without_answer(status)),
        }
    }

    /// Reads a body of messages line by line: how some servers answer a listen.
    async fn lines(&mut self, mut body: Body, outlet: &mut Option<Outlet>) -> Result<Answer, Fault> {
        let mut framer = Framer::new(MAX_MESSAGE);
        loop {
            let piece = self.piece(&mut body).await?;
            // The end of the body ends its last line.
            framer.spare().extend_from_slice(piece.as_deref().unwrap_or(b"\n"));
            while let Some(frame) = framer.next() {
                let Frame::Line(line) = frame else { return Err(Fault::TooLarge(MAX_MESSAGE)) };
                if let Some(answer) = self.messages(&line, outlet) {
                    return answer;
                }
            }
            if piece.is_none() {
                return Err(Fault::Crashed(": its stream ended before the answer".into()));
            }
        }
    }

    /// What the messages of a text lead to: perhaps the end of the exchange.
    fn messages(&mut self, text: &Bytes, outlet: &mut Option<Outlet>) -> Option<Result<Answer, Fault>> {
        let mut answer = None;
        incoming::read(text, &mut |incoming| answer = answer.take().or_else(|| self.take(incoming, outlet)));
        answer
    }

    /// The whole body; in one piece, and then without a copy, when it came in one.
    async fn whole(&self, mut body: Body) -> Result<Bytes, Fault> {
        if body.size_hint().lower() > MAX_MESSAGE as u64 {
            return Err(Fault::TooLarge(MAX_MESSAGE));
        }
        let first = self.piece(&mut body).await?.unwrap_or_default();
        if body.is_end_stream() {
            return Ok(first);
        }
        let mut whole = BytesMut::from(first);
        while let Some(piece) = self.piece(&mut body).await? {
            if whole.len() + piece.len() > MAX_MESSAGE {
                return Err(Fault::TooLarge(MAX_MESSAGE));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next bytes of a body; None at its end.
    async fn piece(&self, body: &mut Body) -> Result<Option<Bytes>, Fault> {
        match timeout_at(Instant::from_std(self.patience.ends()), body.frame()).await {
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
            Ok(Some(Err(error))) => Err(self.http.lost(super::cause(&error)).await),
            Ok(None) => Ok(None),
            Err(_) => Err(Fault::Timeout(self.patience.seconds())),
        }
    }

    /// Reads events up to the answer. When a legacy server's stream breaks off after it gave an id, asks for the rest.
    async fn events(&mut self, mut body: Body, outlet: &mut Option<Outlet>) -> Result<Answer, Fault> {
        let mut parser = SseParser::new(MAX_MESSAGE);
        let mut resumptions = 0;
        loop {
            let ended = match self.stream(&mut body, &mut parser, outlet).await {
                Ok(answer) => return answer,
                Err(ended) => ended,
            };
            let resumable = matches!(self.era, Era::Legacy(_)) && resumptions < MAX_RESUMPTIONS;
            let Some(last_id) = parser.last_id().filter(|_| resumable).map(str::to_owned) else {
                return Err(ended);
            };
            resumptions += 1;
            let pause = parser.retry().unwrap_or(SHORTEST_RETRY).clamp(SHORTEST_RETRY, LONGEST_RETRY);
            let ends = Instant::from_std(self.patience.ends());
            sleep_until(ends.min(Instant::now() + pause)).await;
            body = self.resume(&last_id).await?;
            parser = parser.resumed();
        }
    }

    /// Reads one stream. The outer error says that it ended without an answer.
    async fn stream(
        &mut self,
        body: &mut Body,
        parser: &mut SseParser,
        outlet: &mut Option<Outlet>,
    ) -> Result<Result<Answer, Fault>, Fault> {
        loop {
            let piece = match self.piece(body).await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Err(Fault::Crashed(": its stream ended before the answer".into())),
                Err(fault @ Fault::Timeout(_)) => return Ok(Err(fault)),
                Err(fault) => return Err(fault),
            };
            let mut answer = None;
            parser.feed(&piece, &mut |frame| {
                answer = answer.take().or_else(|| self.frame(frame, outlet));
            });
            if let Some(answer) = answer {
                drain(body);
                return Ok(answer);
            }
        }
    }

    async fn resume(&self, last_id: &str) -> Result<Body, Fault> {
        let head = self.http.head(Method::GET, Some(self.era));
        let head = head.header(head::LAST_EVENT_ID, last_id);
        let response = self.http.send(head, Vec::new(), self.patience).await?;
        if response.status() == StatusCode::OK && Media::of(response.headers()) == Media::Events {
            return Ok(response.into_body());
        }
        Err(Fault::Crashed(": its stream ended before the answer and cannot be resumed".into()))
    }

    fn frame(&mut self, frame: SseFrame, outlet: &mut Option<Outlet>) -> Option<Result<Answer, Fault>> {
        match frame {
            SseFrame::Event { name, data } if name.is_empty() || name == "message" => {
                self.messages(&data, outlet)
            }
            SseFrame::Event { .. } => None,
            SseFrame::TooLong(head) => match incoming::concern(&head, &[]) {
                Concern::Nobody => None,
                Concern::Request(_) | Concern::Unknown => Some(Err(Fault::TooLarge(MAX_MESSAGE))),
            },
        }
    }

    /// What a message on this exchange leads to: perhaps its end.
    fn take(&mut self, incoming: Incoming, outlet: &mut Option<Outlet>) -> Option<Result<Answer, Fault>> {
        match incoming {
            Incoming::Answer(id, answer) => {
                let is_ours = id.is_none_or(|id| id.as_u64() == Some(self.id));
                if let (true, Some(outlet)) = (is_ours, outlet) {
                    outlet.flush();
                }
                return is_ours.then_some(Ok(answer));
            }
            Incoming::Broken(id, detail) => {
                return (id.as_u64() == Some(self.id)).then_some(Err(Fault::Misbehaved(detail)));
            }
            Incoming::Progress(token, params) => {
                if let (Some(outlet), Some(known)) = (outlet, &self.token)
                    && token == Some(self.id)
                {
                    self.patience.renew(Instant::now().into_std());
                    outlet.progress(&params, known);
                }
            }
            Incoming::Log(params) => {
                if let Some(outlet) = outlet {
                    self.patience.renew(Instant::now().into_std());
                    outlet.log(params);
                }
            }
            Incoming::Changed(kinds) => self.http.signals.raise(kinds),
            Incoming::Updated(method, params) => self.http.signals.update(method, params),
            // On a stream of its own it can be of no other listen.
            Incoming::Acknowledged(_, params) => {
                if let Some(outlet) = outlet {
                    outlet.acknowledged(params);
                }
            }
            Incoming::Dropped(id) => {
                // Other ids are the server's own: of what it asked itself.
                let given_up = || Err(Fault::Crashed(": it gave the request up".into()));
                return (self.is_listen && id == self.id).then(given_up);
            }
            Incoming::Question(id, method) => self.http.tell_aside(self.era, questions::answer(&id, &method)),
            Incoming::Other | Incoming::Garbage => {}
        }
        None
    }
}

/// Takes the end of the stream when it is there already, so that the connection can be used again.
fn drain(body: &mut Body) {
    while let Some(Some(Ok(_))) = body.frame().now_or_never() {}
}

/// How often a broken stream is taken up again.
const MAX_RESUMPTIONS: usize = 3;
/// The shortest pause before a stream is taken up again, whatever the server says.
pub(super) const SHORTEST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

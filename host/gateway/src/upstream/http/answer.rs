//! What comes back on a POST: one JSON message, or a stream of events with the answer among them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use wasmgate_core::json::Json;
use wasmgate_core::mcp::method;

use super::Http;
use super::asking::Conversation;
use super::flowing::{Begun, Come};
use super::head::{self, Media};
use super::heard::Hearer;
use crate::egress::Body;
use crate::upstream::again::{self, Effect};
use crate::upstream::correlator::{Patience, absent};
use crate::upstream::era::Era;
use crate::upstream::framer::{Frame, Framer};
use crate::upstream::incoming::{self, Concern, Incoming};
use crate::upstream::outlet::Outlet;
use crate::upstream::sieve::Sieve;
use crate::upstream::slot::random;
use crate::upstream::sse::{SseFrame, SseParser};
use crate::upstream::{Answer, Appetite, Fault};

/// One request that has been sent, and what it waits for.
pub(super) struct Exchange {
    pub(super) http: Arc<Http>,
    pub(super) era: Era,
    pub(super) id: u64,
    /// The progress token its client knows.
    pub(super) token: Option<Json>,
    /// What it is for, where its answer is read in another way than that of a call.
    pub(super) purpose: Purpose,
    /// Whether it may be sent again.
    pub(super) effect: Effect,
    /// The session it was sent in.
    pub(super) session: Option<Arc<HeaderValue>>,
    pub(super) patience: Patience,
    /// Where its notifications go.
    pub(super) hearer: Hearer,
    /// In a session of a client's own: how that client is asked.
    pub(super) conversation: Option<Conversation>,
    /// Whether its result may flow.
    pub(super) appetite: Appetite,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The handshake of a legacy server: its answer gives us a session.
    Handshake,
    /// Finding out what the server is.
    Probe,
    /// A `subscriptions/listen`, whose answer comes when it ends.
    Listen,
    /// Everything else.
    Call,
}

impl Purpose {
    /// What a request of this method is for.
    pub(super) fn of(method: &str) -> Self {
        match method {
            method::INITIALIZE => Self::Handshake,
            method::DISCOVER => Self::Probe,
            method::LISTEN => Self::Listen,
            _ => Self::Call,
        }
    }
}

/// What a body comes to.
enum Text {
    Whole(Bytes),
    Flows(Box<Begun>),
}

/// What a stream of events comes to.
enum Streamed {
    Answer(Result<Answer, Fault>),
    /// The event that is coming carries a result that need not be held.
    Flows(Box<Sieve>),
}

/// Why no more comes.
pub(super) enum Cut {
    /// The stream broke off; what is left of it may be had elsewhere.
    Broken(Fault),
    /// It is over.
    Over(Fault),
}

impl From<Cut> for Fault {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Broken(fault) | Cut::Over(fault) => fault,
        }
    }
}

impl Exchange {
    /// Sends the request and reads the answer, looking after what happens besides.
    pub(super) async fn run(&mut self, request: Request<Full<Bytes>>) -> Result<Come, Fault> {
        let response = self.response(request).await?;
        if self.purpose == Purpose::Probe && response.status().is_server_error() {
            // Says nothing of the server's era, whatever its body says.
            return Err(head::without_answer(response.status()));
        }
        if self.purpose == Purpose::Handshake {
            self.http.take_session(&response);
        }
        self.read(response).await
    }

    /// Sends the request; once more when the remote says when, and may be asked.
    async fn response(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Fault> {
        let http = Arc::clone(&self.http);
        http.allowance().earn();
        for _ in 0..MAX_REPEATS {
            let response = self.meanwhile(pin!(http.transfer(request.clone()))).await??;
            let left = self.patience.ends().saturating_duration_since(Instant::now().into_std());
            let pause = again::after(response.status(), response.headers(), self.effect);
            let Some(pause) = pause.filter(|pause| *pause < left && http.allowance().spend()) else {
                return Ok(response);
            };
            drop(response);
            // Not all at once, and not before.
            self.meanwhile(sleep(pause + SPREAD.mul_f64(random()))).await?;
            self.patience.renew(Instant::now().into_std());
        }
        self.meanwhile(pin!(http.transfer(request))).await?
    }

    /// Reads the answer, passing on what comes before it.
    async fn read(&mut self, response: Response<Body>) -> Result<Come, Fault> {
        let status = response.status();
        let is_legacy = matches!(self.era, Era::Legacy(_));
        if let Some(session) = self.session.take().filter(|_| status == StatusCode::NOT_FOUND && is_legacy) {
            // 2025-11-25, streamable HTTP, Session Management: the session is over; nothing was done.
            self.http.end_session(&session);
            return Err(Fault::Unavailable("its session is over and is being renewed".into()));
        }
        if let Some(fault) = head::verdict(status, response.headers()) {
            return Err(fault);
        }
        if head::is_encoded(response.headers()) {
            return Err(head::encoded());
        }
        let media = Media::of(response.headers());
        match media {
            Media::Json if self.purpose == Purpose::Listen && status.is_success() => {
                self.lines(response.into_body()).await.map(Come::Answer)
            }
            Media::Json => self.message(response).await,
            Media::Events if status.is_success() => self.events(response.into_body()).await,
            Media::Events | Media::Other => Err(head::without_answer(status)),
        }
    }

    async fn message(&mut self, response: Response<Body>) -> Result<Come, Fault> {
        let status = response.status();
        let text = match self.whole(response.into_body(), status.is_success()).await? {
            Text::Whole(text) => text,
            Text::Flows(begun) => return Ok(Come::Flows(begun)),
        };
        match self.messages(&text) {
            Some(answer) => answer.map(Come::Answer),
            None if status.is_success() => {
                Err(Fault::Misbehaved("a body that does not answer the request".into()))
            }
            None => Err(head::without_answer(status)),
        }
    }

    /// Reads a body of messages line by line: how some servers answer a listen.
    async fn lines(&mut self, mut body: Body) -> Result<Answer, Fault> {
        let limit = self.limit();
        let mut framer = Framer::new(limit);
        loop {
            let piece = self.piece(&mut body).await?;
            // The end of the body ends its last line.
            framer.spare().extend_from_slice(piece.as_deref().unwrap_or(b"\n"));
            while let Some(frame) = framer.next() {
                let Frame::Line(line) = frame else { return Err(Fault::TooLarge(limit)) };
                if let Some(answer) = self.messages(&line) {
                    return answer;
                }
            }
            if piece.is_none() {
                return Err(Fault::Crashed(": its stream ended before the answer".into()));
            }
        }
    }

    /// What the messages of a text lead to: perhaps the end of the exchange.
    fn messages(&mut self, text: &Bytes) -> Option<Result<Answer, Fault>> {
        let mut answer = None;
        incoming::read(text, &mut |incoming| answer = answer.take().or_else(|| self.take(incoming)));
        answer
    }

    /// The whole body; in one piece, and then without a copy, when it came in one. A long one that `may_flow` is not held.
    async fn whole(&mut self, mut body: Body, may_flow: bool) -> Result<Text, Fault> {
        let limit = self.limit();
        let mut may_flow = may_flow && self.appetite.is_for_flows();
        let is_too_long =
            |body: &Body, came: usize| body.size_hint().lower() > (limit.saturating_sub(came)) as u64;
        if !may_flow && is_too_long(&body, 0) {
            return Err(Fault::TooLarge(limit));
        }
        let first = self.piece(&mut body).await?.unwrap_or_default();
        if body.is_end_stream() {
            return if first.len() > limit { Err(Fault::TooLarge(limit)) } else { Ok(Text::Whole(first)) };
        }
        let mut whole = BytesMut::from(first);
        loop {
            if may_flow && whole.len() > HELD_BEFORE_FLOWING {
                let start = whole.split().freeze();
                if let Some(sieve) = self.sieve(&start) {
                    return Ok(Text::Flows(Box::new(Begun { body, event: None, sieve })));
                }
                (whole, may_flow) = (BytesMut::from(start), false);
            }
            if whole.len() > limit || (!may_flow && is_too_long(&body, whole.len())) {
                return Err(Fault::TooLarge(limit));
            }
            let Some(piece) = self.piece(&mut body).await? else { return Ok(Text::Whole(whole.freeze())) };
            whole.extend_from_slice(&piece);
        }
    }

    /// What passes a response on that starts like this; None when it must be held.
    fn sieve(&self, start: &Bytes) -> Option<Box<Sieve>> {
        let limits = &self.http.way.limits;
        if !self.appetite.is_for_flows() {
            return None;
        }
        let sieve = Sieve::begin(start, self.id, (limits.message, limits.streamed_result))?;
        self.hearer.tell(Outlet::flush);
        Some(Box::new(sieve))
    }

    /// The longest message taken.
    pub(super) fn limit(&self) -> usize {
        self.http.way.limits.message
    }

    /// The next bytes of a body; None at its end.
    pub(super) async fn piece(&mut self, body: &mut Body) -> Result<Option<Bytes>, Cut> {
        match self.meanwhile(body.frame()).await.map_err(Cut::Over)? {
            Some(Ok(frame)) => {
                self.http.hear_of();
                Ok(Some(frame.into_data().unwrap_or_default()))
            }
            Some(Err(error)) => Err(Cut::Broken(self.http.lost(super::cause(&error)).await)),
            None => Ok(None),
        }
    }

    /// Waits for something as long as the call may take, and looks after what happens besides. What is large comes pinned:
    /// it would be here twice, as it was given and where it is waited for.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Result<T, Fault> {
        let mut what = pin!(what);
        loop {
            let ends = Instant::from_std(self.patience.ends());
            // A server that always has something to say would never let the clock be looked at.
            if Instant::now() >= ends {
                self.due(ends)?;
                continue;
            }
            let Some(conversation) = &mut self.conversation else {
                match timeout_at(ends, &mut what).await {
                    Ok(done) => return Ok(done),
                    Err(_) => self.due(ends)?,
                }
                continue;
            };
            let aside = tokio::select! {
                done = &mut what => return Ok(done),
                aside = conversation.next() => Some(aside),
                () = sleep_until(ends) => None,
            };
            match aside {
                Some(aside) => self.aside(aside)?,
                None => self.due(ends)?,
            }
        }
    }

    /// Its time is over, unless this process did not run meanwhile.
    fn due(&mut self, ends: Instant) -> Result<(), Fault> {
        let excuse = absent(ends.into_std(), Instant::now().into_std());
        let excuse = excuse.ok_or_else(|| Fault::Timeout(self.patience.seconds()))?;
        self.patience.excuse(excuse);
        Ok(())
    }

    /// Reads events up to the answer. When a legacy server's stream breaks off after it gave an id, asks for the rest.
    async fn events(&mut self, mut body: Body) -> Result<Come, Fault> {
        let mut parser = SseParser::new(self.limit());
        let mut resumptions = 0;
        loop {
            let ended = match self.stream(&mut body, &mut parser).await {
                Ok(Streamed::Answer(answer)) => return answer.map(Come::Answer),
                Ok(Streamed::Flows(sieve)) => {
                    let event = Some(parser.into_tail());
                    return Ok(Come::Flows(Box::new(Begun { body, event, sieve })));
                }
                Err(Cut::Over(fault)) => return Err(fault),
                Err(Cut::Broken(fault)) => fault,
            };
            let resumable = matches!(self.era, Era::Legacy(_)) && resumptions < MAX_RESUMPTIONS;
            let Some(last_id) = parser.last_id().filter(|_| resumable).map(str::to_owned) else {
                return Err(ended);
            };
            resumptions += 1;
            let pause = parser.retry().unwrap_or(SHORTEST_RETRY).clamp(SHORTEST_RETRY, LONGEST_RETRY);
            self.meanwhile(sleep(pause)).await?;
            body = self.resume(&last_id).await?;
            parser = parser.resumed();
        }
    }

    /// Reads one stream up to the answer.
    async fn stream(&mut self, body: &mut Body, parser: &mut SseParser) -> Result<Streamed, Cut> {
        // An event that must be held is judged once.
        let mut is_judged = false;
        loop {
            let Some(piece) = self.piece(body).await? else {
                return Err(Cut::Broken(Fault::Crashed(": its stream ended before the answer".into())));
            };
            let mut answer = None;
            parser.feed(&piece, &mut |frame| {
                is_judged = false;
                answer = answer.take().or_else(|| self.frame(frame));
            });
            if let Some(answer) = answer {
                return Ok(Streamed::Answer(answer));
            }
            if !is_judged
                && parser.held() > HELD_BEFORE_FLOWING
                && self.appetite.is_for_flows()
                && let Some(start) = parser.coming()
            {
                if let Some(sieve) = self.sieve(&start) {
                    return Ok(Streamed::Flows(sieve));
                }
                is_judged = true;
            }
            self.hand_out();
        }
    }

    async fn resume(&mut self, last_id: &str) -> Result<Body, Fault> {
        let head = self.http.head(Method::GET, Some(&self.era));
        let request = super::request(head.header(head::LAST_EVENT_ID, last_id), Vec::new())?;
        let http = Arc::clone(&self.http);
        let response = self.meanwhile(pin!(http.transfer(request))).await??;
        let headers = response.headers();
        let is_stream = Media::of(headers) == Media::Events && !head::is_encoded(headers);
        if response.status() == StatusCode::OK && is_stream {
            return Ok(response.into_body());
        }
        Err(Fault::Crashed(": its stream ended before the answer and cannot be resumed".into()))
    }

    fn frame(&mut self, frame: SseFrame) -> Option<Result<Answer, Fault>> {
        match frame {
            SseFrame::Event { name, data } if name.is_empty() || name == "message" => self.messages(&data),
            SseFrame::Event { .. } => None,
            SseFrame::TooLong(head) => match incoming::concern(&head, &[]) {
                Concern::Nobody => None,
                Concern::Request(_) | Concern::Unknown => Some(Err(Fault::TooLarge(self.limit()))),
            },
        }
    }

    /// What a message on this exchange leads to: perhaps its end.
    fn take(&mut self, incoming: Incoming) -> Option<Result<Answer, Fault>> {
        match incoming {
            Incoming::Answer(id, answer) => {
                let is_ours = id.is_none_or(|id| id.as_u64() == Some(self.id));
                if is_ours {
                    self.hearer.tell(Outlet::flush);
                }
                return is_ours.then_some(Ok(answer));
            }
            Incoming::Broken(id, detail) => {
                return (id.as_u64() == Some(self.id)).then_some(Err(Fault::Misbehaved(detail)));
            }
            Incoming::Progress(token, params) => {
                if let Some(known) = self.token.as_ref().filter(|_| self.hearer.is_there())
                    && token == Some(self.id)
                {
                    self.patience.renew(Instant::now().into_std());
                    let may_tell = self.http.signals.may_tell();
                    self.hearer.tell(|outlet| match may_tell {
                        true => outlet.progress(&params, known),
                        false => outlet.hold_progress(&params, known),
                    });
                }
            }
            Incoming::Aside(method, params) => {
                if self.hearer.is_there() {
                    self.patience.renew(Instant::now().into_std());
                    if self.http.signals.may_tell() {
                        self.hearer.tell(|outlet| outlet.aside(method, params));
                    }
                }
            }
            Incoming::Changed(kinds) => self.http.signals.raise(kinds),
            Incoming::Updated(method, params) => self.http.signals.update(method, params),
            // On a stream of its own it can be of no other listen.
            Incoming::Acknowledged(_, params) => {
                self.hearer.tell(|outlet| outlet.acknowledged(params));
            }
            // Other ids are the server's own: of what it asked itself.
            Incoming::Withdrawn(id) if self.purpose == Purpose::Listen && id.as_u64() == Some(self.id) => {
                return Some(Err(Fault::Crashed(": it gave the request up".into())));
            }
            Incoming::Withdrawn(id) => self.withdrawn(&id),
            Incoming::Question(id, asked, params) => self.question(id, asked, params),
            Incoming::Other | Incoming::Garbage => {}
        }
        None
    }
}

/// So much of a response is held, in bytes, before it is passed on as it comes.
const HELD_BEFORE_FLOWING: usize = 256 << 10;
/// How often one request is repeated.
const MAX_REPEATS: usize = 3;
/// Those that were told the same time come back over so long.
const SPREAD: Duration = Duration::from_millis(500);
/// How often a broken stream is taken up again.
const MAX_RESUMPTIONS: usize = 3;
/// The shortest pause before a stream is taken up again, whatever the server says.
pub(super) const SHORTEST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

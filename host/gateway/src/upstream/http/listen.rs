//! The stream a legacy server pushes notifications on (2025-11-25, streamable HTTP, Listening for Messages).

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep};
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::Id;

use super::Http;
use super::answer::SHORTEST_RETRY;
use super::head::{self, Media};
use crate::egress::Body;
use crate::upstream::Fault;
use crate::upstream::correlator::Patience;
use crate::upstream::era::Era;
use crate::upstream::incoming::{self, Incoming, Kinds};
use crate::upstream::questions::{self, METHOD_NOT_FOUND};
use crate::upstream::slot::random;
use crate::upstream::sse::{SseFrame, SseParser};

impl Http {
    /// Listens as long as the server lets us; returns when it does not offer such a stream.
    pub(in crate::upstream) async fn listen(self: &Arc<Self>, era: &Era) {
        let mut parser = SseParser::new(self.way.limits.message);
        let (mut failures, mut has_listened) = (0, false);
        loop {
            let session = self.session.load_full();
            let answer = self.subscribe(era, parser.last_id()).await;
            self.asking.iter().for_each(|asking| asking.listens.cancel());
            match answer {
                Ok(response) if is_stream(&response) => {
                    // What changed while nobody listened was missed, unless the server fills the gap.
                    if has_listened && parser.last_id().is_none() {
                        self.signals.raise(Kinds::ALL);
                    }
                    has_listened = true;
                    failures = if self.read(era, response.into_body(), &mut parser).await {
                        0
                    } else {
                        failures + 1
                    };
                }
                Ok(response) if response.status() == StatusCode::NOT_FOUND && has_listened => {
                    return session.into_iter().for_each(|session| self.end_session(&session));
                }
                Ok(response) if response.status().is_server_error() => failures += 1,
                Ok(_) | Err(Fault::Unauthorized(_)) => return,
                Err(_) => failures += 1,
            }
            parser = parser.resumed();
            sleep(pause(parser.retry(), failures, random())).await;
        }
    }

    async fn subscribe(&self, era: &Era, last_id: Option<&str>) -> Result<Response<Body>, Fault> {
        let mut head = self.head(Method::GET, Some(era));
        if let Some(headers) = head.headers_mut() {
            headers.insert(http::header::ACCEPT, http::HeaderValue::from_static("text/event-stream"));
        }
        if let Some(last_id) = last_id {
            head = head.header(head::LAST_EVENT_ID, last_id);
        }
        self.send(head, Vec::new(), Patience::of(ANSWER, Instant::now().into_std())).await
    }

    /// Reads until the stream ends; says whether anything came.
    async fn read(self: &Arc<Self>, era: &Era, mut body: Body, parser: &mut SseParser) -> bool {
        let mut anything = false;
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(piece) = frame.into_data() else { continue };
            parser.feed(&piece, &mut |frame| {
                anything = true;
                if let SseFrame::Event { data, .. } = frame {
                    incoming::read(&data, &mut |incoming| self.hear(era, incoming));
                }
            });
        }
        anything
    }

    fn hear(self: &Arc<Self>, era: &Era, incoming: Incoming) {
        match incoming {
            Incoming::Changed(kinds) => self.signals.raise(kinds),
            Incoming::Updated(method, params) => self.signals.update(method, params),
            Incoming::Question(id, asked, params) => self.asked(era, id, asked, params),
            Incoming::Withdrawn(id) => self.asking.iter().for_each(|asking| asking.withdrawn(&id)),
            Incoming::Aside(method, params) if self.signals.may_tell() => {
                self.hearers.aside(method, params);
            }
            // Nothing here says which call it belongs to.
            _ => {}
        }
    }

    /// A question on this stream: that of a call only in a session of one client's own.
    fn asked(self: &Arc<Self>, era: &Era, id: Id, asked: Box<str>, params: Option<Json>) {
        let refused = match &self.asking {
            Some(asking) => asking.question(id, asked, params),
            None => Some(questions::answer(&id, &asked, METHOD_NOT_FOUND)),
        };
        if let Some(message) = refused {
            self.tell_aside(era, message);
        }
    }
}

fn is_stream(response: &Response<Body>) -> bool {
    let headers = response.headers();
    response.status() == StatusCode::OK && Media::of(headers) == Media::Events && !head::is_encoded(headers)
}

/// How long to wait before connecting again: what the server says, within bounds, longer after failures.
fn pause(retry: Option<Duration>, failures: u32, jitter: f64) -> Duration {
    let wanted = retry.unwrap_or(SHORTEST_RETRY).max(SHORTEST_RETRY);
    wanted.saturating_mul(2_u32.saturating_pow(failures.min(7))).min(LONGEST).mul_f64(1.0 + jitter / 2.0)
}

/// How long the head of the response may take. The stream itself may be silent for hours.
const ANSWER: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_cannot_make_us_hurry() {
        let millis =
            |retry: Option<u64>, failures| pause(retry.map(Duration::from_millis), failures, 0.0).as_millis();
        assert_eq!(millis(Some(0), 0), 500);
        assert_eq!(millis(None, 0), 500);
        assert_eq!(millis(Some(3000), 0), 3000);
        assert_eq!(millis(Some(3000), 2), 12_000);
        assert_eq!(millis(Some(u64::MAX), 9), 60_000);
        assert!(pause(None, 0, 0.9) > pause(None, 0, 0.1));
    }
}

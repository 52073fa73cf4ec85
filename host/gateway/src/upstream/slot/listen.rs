//! The one `subscriptions/listen` of a server of 2026-07-28, shared by everybody: changes of its lists, and of whatever
//! [`Topics`] somebody waits for.
//!
//! The filter of a listen cannot be changed. When something else is waited for a new one is opened, and only when the server
//! has acknowledged that the old one is closed, so that nothing is lost in between (something may be told twice). After a
//! break what changed meanwhile is unknown: lists are read anew, and every resource waited for counts as changed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::error_object;
use wasmgate_core::mcp::method;
use wasmgate_core::name::ServerName;

use super::random;
use super::topics::{Topics, Verdict};
use crate::mailbox;
use crate::upstream::era::Era;
use crate::upstream::incoming::Kinds;
use crate::upstream::link::{Client, Link, Question};
use crate::upstream::modern_listen::{Filter, patience};
use crate::upstream::questions::METHOD_NOT_FOUND;
use crate::upstream::{Answer, Event, Fault, Topic};

/// Keeps the listen of one connection.
pub(super) struct Listener {
    /// The connection.
    pub(super) link: Link,
    /// Who we say we are, as `clientInfo`.
    pub(super) ourselves: Json,
    /// Whose it is, for the log.
    pub(super) server: ServerName,
    /// The lists whose changes the server says it tells of.
    pub(super) lists: Kinds,
    /// What is waited for.
    pub(super) topics: Arc<Topics>,
    /// Told once the server has begun to tell of changes, or never will. When nobody waits for that any more the lists
    /// may have been read before it began, and are read again.
    pub(super) settled: Option<oneshot::Sender<()>>,
}

impl Listener {
    /// Listens for as long as the connection lives.
    pub(super) async fn run(mut self) -> Infallible {
        let mut changed = self.topics.changed();
        let mut course = Course::default();
        loop {
            if course.gap == Gap::New {
                course.gap = Gap::Known;
                self.topics.begin_again();
            }
            if course.must_pause {
                let length = pause(course.failures, random());
                course.meanwhile(sleep(length)).await;
                course.must_pause = course.gap == Gap::New;
                continue;
            }
            changed.mark_unchanged();
            let filter = Filter { kinds: self.lists, topics: self.topics.wanted(course.admitted) };
            match self.step(&mut course, filter).await {
                Step::Again => {}
                Step::Wait => tokio::select! {
                    _ = changed.changed() => course.meanwhile(sleep(COALESCE)).await,
                    () = course.ended() => {}
                },
                Step::Decline => return self.decline(&mut changed).await,
            }
        }
    }

    /// Makes the listen one for this filter.
    async fn step(&mut self, course: &mut Course, filter: Filter) -> Step {
        if filter.is_empty() {
            *course = Course::default();
            self.settle(Kinds::default());
            return Step::Wait;
        }
        if course.current.as_ref().is_some_and(|listen| listen.filter.topics == filter.topics) {
            // Whoever comes back before the server has heard that they left is told of it all along.
            for topic in self.topics.pending(&filter.topics) {
                self.topics.judge(&topic, Verdict::Taken(Json::empty_object()));
            }
            return Step::Wait;
        }
        let mut fresh = Listen::open(&self.link, &self.ourselves, filter);
        let opened = course.meanwhile(timeout(ACKNOWLEDGED, fresh.acknowledged())).await;
        match opened.unwrap_or(Err(Refusal::Failed(Fault::Timeout(ACKNOWLEDGED.as_secs())))) {
            Ok(taken) => {
                let asked = std::mem::replace(&mut fresh.filter, taken);
                self.begin(course, fresh, &asked);
            }
            Err(Refusal::Unknown) => return Step::Decline,
            Err(Refusal::Error(error)) => self.refused(course, &fresh.filter, &error),
            Err(Refusal::Failed(fault)) => {
                tracing::debug!(server = %self.server, %fault, "listening failed");
                course.failed();
            }
        }
        Step::Again
    }

    /// The server has acknowledged a listen: it takes the place of the one before.
    fn begin(&mut self, course: &mut Course, fresh: Listen, asked: &Filter) {
        let taken = &fresh.filter;
        tracing::debug!(server = %self.server, topics = taken.topics.len(), "listening");
        for topic in &asked.topics {
            let verdict = match taken.topics.contains(topic) {
                true => Verdict::Taken(Json::empty_object()),
                false => Verdict::Refused(error_object(INVALID_PARAMS, NOT_TAKEN, None)),
            };
            self.topics.judge(topic, verdict);
        }
        if course.gap != Gap::None {
            self.fill_gap(taken);
        }
        self.settle(taken.kinds);
        course.begun(fresh);
    }

    /// The server refuses a whole filter. What was asked for anew is asked for in smaller parts, down to the one thing
    /// that it refuses.
    fn refused(&self, course: &mut Course, asked: &Filter, error: &Json) {
        match self.topics.pending(&asked.topics).as_slice() {
            // Said once, tried again.
            [] if course.failures > 0 => course.failed(),
            [] => {
                let code = error.member("code");
                let code = code.as_ref().map(Json::as_str);
                tracing::warn!(server = %self.server, code, "the server refuses to say when its lists change");
                course.failed();
            }
            [one] => self.topics.judge(one, Verdict::Refused(error.clone())),
            several => course.admitted = several.len() / 2,
        }
    }

    /// A server without listens is asked once.
    async fn decline(mut self, changed: &mut watch::Receiver<u64>) -> Infallible {
        tracing::debug!(server = %self.server, "the server does not know listening");
        self.settle(Kinds::default());
        loop {
            changed.mark_unchanged();
            for topic in self.topics.pending(&self.topics.wanted(usize::MAX)) {
                let error = error_object(METHOD_NOT_FOUND, NO_LISTENS, None);
                self.topics.judge(&topic, Verdict::Refused(error));
            }
            let _ = changed.changed().await;
        }
    }

    /// Nobody knows what has changed since the last listen ended.
    fn fill_gap(&self, taken: &Filter) {
        self.link.signals().raise(taken.kinds);
        for topic in &taken.topics {
            if let Topic::Resource(uri) = topic {
                let params = ObjectWriter::new().string("uri", uri).finish();
                self.link.signals().update(method::RESOURCE_UPDATED, params);
            }
        }
    }

    fn settle(&mut self, kinds: Kinds) {
        let missed = self.settled.take().is_some_and(|settled| settled.send(()).is_err());
        if missed {
            self.link.signals().raise(kinds);
        }
    }
}

/// What to do after a step.
enum Step {
    /// Look again.
    Again,
    /// Look again when something has changed.
    Wait,
    /// This server knows no listens.
    Decline,
}

/// How it is going.
struct Course {
    current: Option<Listen>,
    /// How many topics not yet answered may be asked for at once.
    admitted: usize,
    failures: u32,
    /// Before the next attempt.
    must_pause: bool,
    gap: Gap,
}

/// Whether changes may have been missed since the last listen.
#[derive(PartialEq, Eq)]
enum Gap {
    None,
    /// The listen has just ended.
    New,
    /// What it was for is being asked for anew.
    Known,
}

impl Default for Course {
    fn default() -> Self {
        Self { current: None, admitted: usize::MAX, failures: 0, must_pause: false, gap: Gap::None }
    }
}

impl Course {
    fn begun(&mut self, listen: Listen) {
        self.current = Some(listen);
        self.admitted = self.admitted.saturating_mul(2);
        // After a break it has yet to show that it lasts.
        if self.gap == Gap::None {
            self.failures = 0;
        }
        self.gap = Gap::None;
    }

    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.must_pause = true;
    }

    /// Waits for something while the listen there is goes on.
    async fn meanwhile<T>(&mut self, until: impl Future<Output = T>) -> T {
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                biased;
                done = &mut until => return done,
                () = self.ended() => {}
            }
        }
    }

    /// Waits for the end of the listen there is.
    async fn ended(&mut self) {
        let Some(listen) = &mut self.current else { return std::future::pending().await };
        listen.ended().await;
        if listen.since.elapsed() > LASTING {
            self.failures = 0;
        }
        self.current = None;
        self.gap = Gap::New;
        self.failed();
    }
}

/// One `subscriptions/listen` in flight. Dropping it ends it.
struct Listen {
    /// What it asks for; once the server has acknowledged it, what it took on.
    filter: Filter,
    events: mailbox::Receiver<Event>,
    asking: Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>,
    since: Instant,
}

/// Why there is no listen.
enum Refusal {
    /// The server does not know the method.
    Unknown,
    /// It answers with this error.
    Error(Json),
    /// It does not answer, or not sensibly.
    Failed(Fault),
}

impl Listen {
    fn open(link: &Link, ourselves: &Json, filter: Filter) -> Self {
        let (to, events) = mailbox::channel(EVENTS);
        let (link, era) = (link.clone(), Era::Modern(ourselves.clone()));
        let (params, client) = (filter.params(), filter.asker(ourselves.clone()));
        let since = Instant::now();
        let asking = async move {
            let question = Question {
                method: method::LISTEN,
                params: Some(&params),
                client: Some(Client { facts: &client, principal: None, appetite: None }),
                events: Some(to),
                patience: patience(since.into_std()),
            };
            link.ask(&era, question).await
        };
        Self { filter, events, asking: Box::pin(asking), since }
    }

    /// Waits for the acknowledgement: what the server took on.
    async fn acknowledged(&mut self) -> Result<Filter, Refusal> {
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => {
                    if &*event.method == method::ACKNOWLEDGED {
                        return Ok(self.filter.taken(&event.params));
                    }
                }
                answer = &mut self.asking => return Err(Refusal::of(answer)),
            }
        }
    }

    async fn ended(&mut self) {
        loop {
            tokio::select! {
                // Nothing else belongs on a listen; taken so that nothing waits.
                Some(_) = self.events.recv() => {}
                _ = &mut self.asking => return,
            }
        }
    }
}

impl Refusal {
    fn of(answer: Result<Answer, Fault>) -> Self {
        match answer {
            Ok(Answer::Error(error)) => {
                let code = error.member("code").and_then(|code| code.as_str().parse().ok());
                if code == Some(METHOD_NOT_FOUND) { Self::Unknown } else { Self::Error(error) }
            }
            Ok(_) => Self::Failed(Fault::Misbehaved("the end of a listen before its beginning".into())),
            Err(fault) => Self::Failed(fault),
        }
    }
}

/// How long to wait before the next attempt.
fn pause(failures: u32, jitter: f64) -> Duration {
    let longer = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(7)));
    longer.min(LONGEST_PAUSE).mul_f64(0.5 + jitter / 2.0)
}

/// How long a server may take to acknowledge.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);
/// How long wishes are gathered before another listen is opened.
const COALESCE: Duration = Duration::from_millis(25);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A listen that lasted so long had not failed.
const LASTING: Duration = Duration::from_secs(20);
const EVENTS: usize = 4;
/// JSON-RPC 2.0 section 5.1.
const INVALID_PARAMS: i64 = -32602;
const NOT_TAKEN: &str = "this server did not agree to say when this changes";
const NO_LISTENS: &str = "this server takes no subscriptions";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_scatter() {
        let millis = |failures, jitter| pause(failures, jitter).as_millis();
        assert_eq!([millis(1, 1.0), millis(2, 1.0), millis(3, 1.0)], [500, 1000, 2000]);
        assert_eq!(millis(u32::MAX, 1.0), 60_000);
        assert_eq!(millis(1, 0.0), 250);
    }
}

//! Clients that wait for changes of resources and tasks: a server is asked once, however many wait, and again after every
//! new handshake. Servers of 2026-07-28 are asked in their one listen ([`super::listen`]), older ones by
//! `resources/subscribe`.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::error_object;
use wasmgate_core::mcp::method;

use super::connection::Ready;
use super::topics::Verdict;
use super::{Shared, Slot};
use crate::upstream::correlator::Patience;
use crate::upstream::link::Question;
use crate::upstream::questions::METHOD_NOT_FOUND;
use crate::upstream::{Answer, Fault, Topic, Update};

impl Slot {
    /// One more waits for changes of this: the server's answer, the same for everybody who waits.
    pub(in crate::upstream) async fn subscribe(&self, topic: &Topic) -> Result<Answer, Fault> {
        let seat = self.topics.sit_down(topic);
        self.ready(self.server.load().deadlines.initialize, None).await?;
        let verdict = timeout(LIMIT, seat.verdict()).await;
        match verdict.map_err(|_| Fault::Timeout(LIMIT.as_secs()))? {
            Verdict::Taken(result) => {
                seat.keep();
                Ok(Answer::Result(result))
            }
            Verdict::Refused(error) => Ok(Answer::Error(error)),
            Verdict::Failed(fault) => Err(fault),
            Verdict::Pending => Err(Fault::Timeout(LIMIT.as_secs())),
        }
    }

    /// One fewer waits.
    pub(in crate::upstream) fn unsubscribe(&self, topic: &Topic) {
        self.topics.stand_up(topic);
    }

    /// While a server older than 2026-07-28 serves: tells it what is waited for, one after the other, so that what it is
    /// told last is what is wanted last.
    pub(super) async fn tell_topics(&self, ready: &Ready) -> Infallible {
        let mut changed = self.topics.changed();
        let anew = self.topics.wanted(usize::MAX);
        let mut told = BTreeSet::new();
        loop {
            changed.mark_unchanged();
            let wanted = self.topics.wanted(usize::MAX);
            for topic in told.difference(&wanted).cloned().collect::<Vec<Topic>>() {
                told.remove(&topic);
                if !matches!(tell(ready, method::RESOURCES_UNSUBSCRIBE, &topic).await, Ok(Answer::Result(_)))
                {
                    tracing::debug!(server = %self.server.load().name, "the end of a subscription was not accepted");
                }
            }
            // Whoever comes back before the server has heard that they left is told of it all along.
            for topic in self.topics.pending(&told) {
                self.topics.judge(&topic, Verdict::Taken(Json::empty_object()));
            }
            for topic in wanted.difference(&told).cloned().collect::<Vec<Topic>>() {
                let verdict = match tell(ready, method::RESOURCES_SUBSCRIBE, &topic).await {
                    Ok(Answer::Result(result)) => Verdict::Taken(result),
                    Ok(Answer::Error(error)) => Verdict::Refused(error),
                    Ok(Answer::Asks(_) | Answer::Flow(_)) => {
                        Verdict::Failed(Fault::Misbehaved("a question in place of an answer".into()))
                    }
                    Err(fault) => Verdict::Failed(fault),
                };
                let is_taken = matches!(verdict, Verdict::Taken(_));
                if !is_taken && anew.contains(&topic) {
                    tracing::warn!(server = %self.server.load().name, "a subscription was not accepted anew");
                }
                self.topics.judge(&topic, verdict);
                if is_taken {
                    told.insert(topic);
                }
            }
            let _ = changed.changed().await;
        }
    }

    /// While the server serves: passes on what it says of resources and tasks.
    pub(super) async fn pass_updates(&self, shared: &Shared, ready: &Ready) -> Infallible {
        loop {
            let (method, params) = ready.link.signals().next_update().await;
            // Nobody may be listening.
            let _ = shared.updates.send(Update { server: self.server.load().name.clone(), method, params });
        }
    }
}

async fn tell(ready: &Ready, method: &str, topic: &Topic) -> Result<Answer, Fault> {
    let Topic::Resource(uri) = topic else {
        let error = error_object(METHOD_NOT_FOUND, "this server does not say when a task changes", None);
        return Ok(Answer::Error(error));
    };
    let params = ObjectWriter::new().string("uri", uri).finish();
    let patience = Patience::of(TOLD, Instant::now().into_std());
    let question = Question { method, params: Some(&params), client: None, events: None, patience };
    ready.link.ask(&ready.era, question).await
}

/// How long a server may take to accept a subscription or its end.
const TOLD: Duration = Duration::from_secs(10);
/// How long a client waits for that, others before it among it.
const LIMIT: Duration = Duration::from_secs(15);

//! Resources somebody waits for changes of (`resources/subscribe`): each is subscribed to once, however many wait for it,
//! and again after every new handshake.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::error_object;
use wasmgate_core::mcp::method;

use super::{Ready, Shared, Slot};
use crate::upstream::correlator::Patience;
use crate::upstream::era::Era;
use crate::upstream::link::Question;
use crate::upstream::questions::METHOD_NOT_FOUND;
use crate::upstream::{Answer, Fault, Topic, Update};

/// How many wait for each resource, by the server's own URI. Held while the server is asked, so that what it is told last
/// is what is wanted last.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<HashMap<Topic, usize>>);

impl Slot {
    /// One more waits for changes of a resource: the server's answer, or an empty result when it has been asked before.
    pub(in crate::upstream) async fn subscribe(&self, topic: &Topic) -> Result<Answer, Fault> {
        let mut waiting = self.subscriptions.0.lock().await;
        if let Some(count) = waiting.get_mut(topic) {
            *count += 1;
            return Ok(Answer::Result(Json::empty_object()));
        }
        let deadlines = self.server.load().deadlines;
        let ready = self.ready(deadlines.initialize, None).await?;
        let answer = tell(&ready, method::RESOURCES_SUBSCRIBE, topic).await?;
        if matches!(answer, Answer::Result(_)) {
            waiting.insert(topic.clone(), 1);
        }
        Ok(answer)
    }

    /// One fewer waits. The server is told when it was the last one, and when it is there to be told.
    pub(in crate::upstream) async fn unsubscribe(&self, topic: &Topic) {
        let mut waiting = self.subscriptions.0.lock().await;
        match waiting.get_mut(topic) {
            None => return,
            Some(count @ 2..) => {
                *count -= 1;
                return;
            }
            Some(_) => drop(waiting.remove(topic)),
        }
        let ready = self.phase.borrow().ready.clone();
        if let Some(ready) = ready
            && !matches!(tell(&ready, method::RESOURCES_UNSUBSCRIBE, topic).await, Ok(Answer::Result(_)))
        {
            tracing::debug!(server = %self.server.load().name, "the end of a subscription was not accepted");
        }
    }

    /// While the server serves: subscribes anew to what is waited for, then passes on what it says of it. Never returns.
    pub(super) async fn pass_updates(&self, shared: &Shared, ready: &Ready) {
        let waiting: Vec<Topic> = self.subscriptions.0.lock().await.keys().cloned().collect();
        for topic in waiting {
            if !matches!(tell(ready, method::RESOURCES_SUBSCRIBE, &topic).await, Ok(Answer::Result(_))) {
                tracing::warn!(server = %self.server.load().name, "a subscription was not accepted anew");
            }
        }
        loop {
            let params = ready.link.signals().next_update().await;
            // Nobody may be listening.
            let _ = shared.updates.send(Update {
                server: self.server.load().name.clone(),
                method: method::RESOURCE_UPDATED,
                params,
            });
        }
    }
}

async fn tell(ready: &Ready, method: &str, topic: &Topic) -> Result<Answer, Fault> {
    let (Era::Legacy(_), Topic::Resource(uri)) = (&ready.era, topic) else {
        let error = error_object(METHOD_NOT_FOUND, "this server takes no subscriptions", None);
        return Ok(Answer::Error(error));
    };
    let params = ObjectWriter::new().string("uri", uri).finish();
    let patience = Patience::of(LIMIT, Instant::now().into_std());
    let question = Question { method, params: Some(&params), client: None, events: None, patience };
    ready.link.ask(&ready.era, question).await
}

/// How long a server may take to accept a subscription or its end.
const LIMIT: Duration = Duration::from_secs(10);

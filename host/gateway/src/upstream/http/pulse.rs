//! Whether a server of ours that serves HTTP is still there: the same rule as over pipes (see `stdio/pulse.rs`).

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wasmgate_core::mcp::method;

use super::Http;
use crate::upstream::correlator::Patience;
use crate::upstream::era::Era;
use crate::upstream::link::{Ending, Question};
use crate::upstream::{Answer, Fault};

/// A client's call of such a server, while it is not answered.
pub(super) struct Doubt {
    http: Arc<Http>,
    era: Era,
    /// When it has waited too long, if nothing comes.
    at: Instant,
    idle: Duration,
    is_settled: bool,
}

impl Doubt {
    /// It has been answered, or has failed for other reasons than silence.
    pub(super) fn settle(mut self, answer: &Result<Answer, Fault>) {
        self.is_settled = !matches!(answer, Err(Fault::Timeout(_)));
        self.at = Instant::now();
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        if !self.is_settled {
            self.http.look(&self.era, self.at, self.idle);
        }
    }
}

impl Http {
    /// A call begins; None when what is behind the connection is not ours.
    pub(super) fn doubt(self: &Arc<Self>, era: &Era, question: &Question<'_>) -> Option<Doubt> {
        let patience = question.patience;
        let is_watched = question.client.is_some() && self.is_ours();
        is_watched.then(|| Doubt {
            http: Arc::clone(self),
            era: era.clone(),
            at: Instant::from_std(patience.ends()),
            idle: patience.idle(),
            is_settled: false,
        })
    }

    /// The server has said something.
    pub(super) fn hear_of(&self) {
        if self.is_ours() {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    fn is_ours(&self) -> bool {
        !self.base.as_deref().unwrap_or(self).gone.is_cancelled()
    }

    /// Asks the server for a sign of life `at` that time, unless it has said something within `idle`.
    fn look(self: &Arc<Self>, era: &Era, at: Instant, idle: Duration) {
        if self.is_asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let (http, era) = (Arc::clone(self), era.clone());
        self.tasks.spawn("upstream-pulse", async move {
            let behind = http.base.as_ref().unwrap_or(&http);
            let looking = async {
                sleep_until(at).await;
                let heard = *http.heard.lock().unwrap_or_else(PoisonError::into_inner);
                if heard.elapsed() >= idle && http.is_silent(&era, idle.min(PATIENCE)).await {
                    behind.end(Ending::unresponsive());
                }
            };
            // Not of a session of one client's: what is behind that outlives it.
            let looking = behind.stop.run_until_cancelled(looking);
            http.tasks.stopping().run_until_cancelled(looking).await;
            http.is_asked.store(false, Ordering::Release);
        });
    }

    /// Whether nothing at all is answered.
    async fn is_silent(self: &Arc<Self>, era: &Era, limit: Duration) -> bool {
        let method = match era {
            Era::Legacy(_) => method::PING,
            Era::Modern(_) => method::DISCOVER,
        };
        let patience = Patience::of(limit, Instant::now().into_std());
        let question = Question { method, params: None, client: None, events: None, patience };
        matches!(self.ask(era, question).await, Err(Fault::Timeout(_)))
    }
}

/// How long a sign of life may take; less where calls have less.
const PATIENCE: Duration = Duration::from_secs(10);

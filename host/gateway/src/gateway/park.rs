//! Calls that wait at servers of older versions until their clients have answered what the servers ask.
//!
//! A client learns of a question from a result that asks for input, and its answer comes with the same request asked
//! again: see `rounds`. Between the two the call stays at its server, and this is where it is kept: for its principal,
//! for one use, for a while, and not too many of them. What is taken out and dropped, or never taken out, is cancelled at
//! the server; no call is ever made a second time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::CallError;
use crate::shutdown::Tasks;
use crate::upstream::{Parked, Reply};

/// All calls that wait for their clients. Outlives every generation of configuration.
pub(super) struct Parking {
    calls: Arc<Calls>,
}

/// A call that waits for its client.
pub(super) struct Stay {
    pub(super) call: Parked,
    /// Replies to what was asked in the same breath and did not need the client.
    pub(super) known: Vec<(String, Reply)>,
}

#[derive(Default)]
struct Calls {
    state: Mutex<State>,
    /// Something has come that may be the next to leave.
    came: Notify,
}

#[derive(Default)]
struct State {
    waiting: HashMap<String, Waiting>,
    is_closed: bool,
}

struct Waiting {
    principal: Arc<str>,
    until: Instant,
    stay: Stay,
}

impl Parking {
    /// An empty one, with the task that gives calls up when nobody comes for them.
    pub(super) fn new(tasks: &Tasks) -> Self {
        let calls = Arc::<Calls>::default();
        let (stopping, expiring) = (tasks.stopping(), Arc::clone(&calls));
        tasks.spawn("parked-calls", async move {
            stopping.run_until_cancelled(expiring.expire()).await;
        });
        Self { calls }
    }

    /// Keeps a call, under `id`. Of too many calls of one principal the oldest is given up; too many altogether are
    /// refused.
    pub(super) fn keep(&self, id: String, principal: &Arc<str>, stay: Stay) -> Result<(), CallError> {
        let mut state = self.calls.state();
        if state.is_closed {
            return Err(CallError::NotServing("stopping"));
        }
        let given_up = state.oldest_of_too_many(principal).and_then(|id| state.waiting.remove(&id));
        if state.waiting.len() >= MOST {
            return Err(CallError::Limit("calls that wait for their clients"));
        }
        let until = Instant::now() + LIFE;
        let waiting = Waiting { principal: Arc::clone(principal), until, stay };
        state.waiting.insert(id, waiting);
        drop(state);
        self.calls.came.notify_one();
        drop(given_up);
        Ok(())
    }

    /// Takes a call out: for good.
    pub(super) fn take(&self, id: &str, principal: &str) -> Option<Stay> {
        let mut state = self.calls.state();
        let is_theirs = state.waiting.get(id).is_some_and(|waiting| &*waiting.principal == principal);
        let taken = if is_theirs { state.waiting.remove(id) } else { None };
        drop(state);
        taken.map(|waiting| waiting.stay)
    }

    /// Gives all calls up, and whatever comes later.
    pub(super) fn close(&self) {
        let mut state = self.calls.state();
        state.is_closed = true;
        let all = std::mem::take(&mut state.waiting);
        drop(state);
        drop(all);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.calls.state().waiting.len()
    }
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives calls up when their time is over. Never returns.
    async fn expire(&self) {
        loop {
            let next = self.state().waiting.values().map(|waiting| waiting.until).min();
            match next {
                None => self.came.notified().await,
                // What comes later leaves later.
                Some(next) => tokio::time::sleep_until(next).await,
            }
            let now = Instant::now();
            let mut state = self.state();
            let late: Vec<(String, Waiting)> =
                state.waiting.extract_if(|_, waiting| waiting.until <= now).collect();
            drop(state);
            for (_, Waiting { principal, stay, .. }) in &late {
                let server = stay.call.server();
                tracing::info!(%server, %principal, "given up: the client did not answer what the server asked");
            }
        }
    }
}

impl State {
    /// The oldest call of a principal that has as many as it may have.
    fn oldest_of_too_many(&self, principal: &str) -> Option<String> {
        let theirs = || self.waiting.iter().filter(|(_, waiting)| &*waiting.principal == principal);
        if theirs().count() < MOST_OF_ONE {
            return None;
        }
        theirs().min_by_key(|(_, waiting)| waiting.until).map(|(id, _)| id.clone())
    }
}

/// How long a client may take to answer.
pub(super) const LIFE: Duration = Duration::from_secs(300);
/// How many calls may wait.
const MOST: usize = 1000;
/// How many calls of one principal may wait.
const MOST_OF_ONE: usize = 64;

#[cfg(test)]
mod tests;

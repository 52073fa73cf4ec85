//! Every task of the process, by name, and how they end.
//!
//! [`Tasks`] is the only place that spawns, so the drain knows what is left and a panic in one task is reported and
//! stays there.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A cheap handle to the tasks of this process.
#[derive(Clone, Default)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    tracker: TaskTracker,
    stop: CancellationToken,
    names: Mutex<BTreeMap<u64, &'static str>>,
    next: AtomicU64,
    panics: AtomicU64,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` to its end under `name`. A panic in it is logged and ends this task only.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> tokio::task::AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let entry = Entry::new(Arc::clone(&self.inner), name);
        // Not an async block, which would have room for the future twice: as a capture and as what it waits for.
        let guarded = AssertUnwindSafe(future).catch_unwind().map(move |ended| {
            if ended.is_err() {
                entry.inner.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, "task panicked");
            }
        });
        self.inner.tracker.spawn(guarded).abort_handle()
    }

    /// Resolves when the process is to stop: long-lived tasks end then.
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// How many tasks are running.
    pub fn running(&self) -> usize {
        self.inner.tracker.len()
    }

    /// How many tasks ended in a panic since the start.
    pub fn panics(&self) -> u64 {
        self.inner.panics.load(Ordering::Relaxed)
    }

    /// Tells every task to stop and waits at most `grace`; returns the names of those still running.
    pub async fn finish(&self, grace: Duration) -> Vec<&'static str> {
        self.inner.stop.cancel();
        self.inner.tracker.close();
        let in_time = tokio::time::timeout(grace, self.inner.tracker.wait()).await.is_ok();
        if in_time { Vec::new() } else { self.inner.names().values().copied().collect() }
    }
}

impl Inner {
    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, &'static str>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's line in the list of names, taken out when the task ends in whatever way.
struct Entry {
    inner: Arc<Inner>,
    id: u64,
}

impl Entry {
    fn new(inner: Arc<Inner>, name: &'static str) -> Self {
        let id = inner.next.fetch_add(1, Ordering::Relaxed);
        inner.names().insert(id, name);
        Self { inner, id }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.inner.names().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_task_and_the_drain_names_the_rest() {
        let tasks = Tasks::new();
        tasks.spawn("polite", {
            let stop = tasks.stopping();
            async move { stop.cancelled().await }
        });
        tasks.spawn("broken", async { panic!("on purpose") });
        tasks.spawn("stubborn", std::future::pending());
        assert_eq!(tasks.finish(Duration::from_millis(50)).await, ["stubborn"]);
        assert_eq!(tasks.panics(), 1);
    }
}

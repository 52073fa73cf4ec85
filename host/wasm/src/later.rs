//! Work that nobody waits for, as this crate needs it: whoever runs the engine provides it, and knows when all of it is done.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;

/// Something to be done soon, without an answer. It takes microseconds.
pub type LaterFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs what can be done after a call instead of in it.
pub trait Later: Send + Sync {
    /// Runs `work` soon, on the runtime that the calls are on.
    fn run(&self, work: LaterFuture);
}

/// What is to be done after calls. One call leaves several things when it has several stages: they are handed over as one, because
/// a second task would wake another thread before the call has gone on.
pub(crate) struct After {
    later: Arc<dyn Later>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting(Mutex<Vec<LaterFuture>>);

impl Waiting {
    fn all(&self) -> MutexGuard<'_, Vec<LaterFuture>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever is to do what waits. Dropped undone, it takes that along, or nobody would be asked again.
struct Doing(Option<Arc<Waiting>>);

impl Doing {
    /// What waits, once: what comes afterwards is somebody else's.
    fn take(&mut self) -> Vec<LaterFuture> {
        self.0.take().map(|waiting| std::mem::take(&mut *waiting.all())).unwrap_or_default()
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl After {
    pub(crate) fn new(later: Arc<dyn Later>) -> Self {
        Self { later, waiting: Arc::default() }
    }

    /// Has `work` done, together with what else waits by then.
    pub(crate) fn run(&self, work: LaterFuture) {
        let mut waiting = self.waiting.all();
        waiting.push(work);
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            let mut doing = Doing(Some(Arc::clone(&self.waiting)));
            self.later.run(Box::pin(async move {
                join_all(doing.take()).await;
            }));
        }
    }
}

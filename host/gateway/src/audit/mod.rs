//! The audit log: one line for every request that the gateway answered, refused, failed or gave up, in a file that only
//! grows, each line tied to the one before it.
//!
//! [`Audit::begin`] reserves the place of a record before the request goes anywhere; whatever becomes of the request then has
//! its line, also when its future is dropped. Nobody waits for the disk unless so many records do as the queue has places.
//! Contents of requests are never written, only their digest.
//!
//! Not here: which requests there are (`gateway`), who may come in at all (`front`).

mod chain; // lines and what ties them together
mod head; // where the chain is when the file is empty
mod writer; // the file

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use self::chain::Record;
pub use self::chain::{Broken, Verified, verify};
use self::writer::Writer;
use crate::shutdown::Tasks;

/// Where the log is and what holds when it cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file; made when it is not there, readable for its owner only.
    pub file: PathBuf,
    /// What becomes of requests while the file cannot be written.
    pub on_failure: OnFailure,
    /// So many records wait for the disk; then requests do.
    pub queue: NonZeroUsize,
}

/// What becomes of requests while the log cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// They are refused.
    #[default]
    Refuse,
    /// They are served; how many records were lost is written later.
    Continue,
}

/// The log of this process. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    records: mpsc::Sender<Record>,
    is_broken: Arc<AtomicBool>,
    on_failure: OnFailure,
    refusals: Arc<Mutex<Refusals>>,
}

/// What was refused before it was a request: strangers cannot crowd out those who are known, nor these them.
struct Refusals {
    of_strangers: Budget,
    of_known: Budget,
}

/// How many refusals were noted in the present second.
struct Budget {
    since: Instant,
    noted: u32,
    /// Those that were not, since the last one that was.
    lost: u64,
}

impl Refusals {
    const fn new(now: Instant) -> Self {
        Self { of_strangers: Budget::new(now), of_known: Budget::new(now) }
    }

    const fn of(&mut self, entry: &Entry) -> &mut Budget {
        if entry.principal.is_none() { &mut self.of_strangers } else { &mut self.of_known }
    }
}

impl Budget {
    const fn new(since: Instant) -> Self {
        Self { since, noted: 0, lost: 0 }
    }

    /// Whether another is noted, and then how many were not before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= SECOND {
            (self.since, self.noted) = (now, 0);
        }
        if self.noted >= REFUSALS {
            self.lost += 1;
            return None;
        }
        self.noted += 1;
        Some(std::mem::take(&mut self.lost))
    }
}

/// What a record says of a request before it has an outcome.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Who asks.
    pub principal: Option<Arc<str>>,
    /// In which session.
    pub session: Option<Arc<str>>,
    /// The request's id, as in the log and in errors.
    pub request: Option<Arc<str>>,
    /// The MCP method.
    pub method: Option<Arc<str>>,
    /// The tool, prompt or task, as the client wrote it; of a resource what leads there and no secrets.
    pub name: Option<String>,
    /// The server it went to.
    pub server: Option<Arc<str>>,
    /// SHA-256 of the params as they came, in hexadecimal digits.
    pub params: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `ok`, `tool_error`, `input_required`, `denied`, `invalid`, `failed`, `cancelled`.
    pub kind: &'static str,
    /// Why, as in `data.code` of the error.
    pub code: Option<&'static str>,
}

/// A request that has its place in the log and no outcome yet. Dropped without one it was cancelled.
pub struct Open {
    place: Option<mpsc::OwnedPermit<Record>>,
    /// What is known of it.
    pub entry: Entry,
    since: Instant,
}

/// The log cannot be written, and the configuration wants nothing served then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct Unwritable;

/// Why there is no log at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// One file has one writer.
    #[error(
        "another process writes the audit log {}: give this one a file of its own (`--audit-log` or `audit.file`), or stop the other",
        file.display()
    )]
    Held {
        /// The file.
        file: PathBuf,
    },
    /// It cannot be opened, read or locked, or is something else.
    #[error("the audit log {} cannot be opened", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
}

impl Audit {
    /// Opens the file, goes on with its chain, and writes in a task of its own until the process stops.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be opened or read, or is another process's.
    pub fn open(settings: Settings, tasks: &Tasks) -> Result<Self, OpenError> {
        let Settings { file, on_failure, queue } = settings;
        let (audit, written) = Self::over(queue, on_failure);
        let writer = Writer::open(file, on_failure, Arc::clone(&audit.is_broken))?;
        tasks.spawn("audit", writer.run(written, tasks.stopping()));
        Ok(audit)
    }

    /// A log whose records somebody else writes.
    fn over(queue: NonZeroUsize, on_failure: OnFailure) -> (Self, mpsc::Receiver<Record>) {
        let (records, written) = mpsc::channel(queue.get());
        let refusals = Arc::new(Mutex::new(Refusals::new(Instant::now())));
        (Self { records, is_broken: Arc::default(), on_failure, refusals }, written)
    }

    /// Reserves the place of a request's record. Waits while the queue is full.
    ///
    /// # Errors
    /// [`Unwritable`] when nothing may be served without a record and none can be written.
    pub async fn begin(&self, entry: Entry) -> Result<Open, Unwritable> {
        let refuses = self.on_failure == OnFailure::Refuse;
        if refuses && self.is_broken.load(Ordering::Relaxed) {
            return Err(Unwritable);
        }
        let place = self.records.clone().reserve_owned().await.ok();
        // The log ends when everything else has.
        if place.is_none() && refuses {
            return Err(Unwritable);
        }
        Ok(Open { place, entry, since: Instant::now() })
    }

    /// Notes what was refused before it was a request, for want of a token for example. Refusals can fill no disk and hold
    /// up nobody: of more than a hundred in a second the rest is only counted, as `lost` in the next line of this kind, and
    /// so is what finds the queue full. Those of strangers and of known principals are counted apart.
    pub fn denied(&self, entry: Entry, code: &'static str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = refusals.of(&entry);
        let Some(lost) = budget.admit(Instant::now()) else { return };
        let outcome = Outcome { kind: "denied", code: Some(code) };
        if self.records.try_send(Record { entry, outcome, took: Duration::ZERO, lost }).is_err() {
            budget.lost = lost + 1;
        }
    }
}

impl Open {
    /// The request has ended like this.
    pub fn end(mut self, outcome: Outcome) {
        self.put(outcome);
    }

    fn put(&mut self, outcome: Outcome) {
        if let Some(place) = self.place.take() {
            let entry = std::mem::take(&mut self.entry);
            place.send(Record { entry, outcome, took: self.since.elapsed(), lost: 0 });
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.put(Outcome { kind: "cancelled", code: None });
    }
}

/// So many records wait for the disk unless told otherwise.
pub const QUEUE: NonZeroUsize = match NonZeroUsize::new(10_000) {
    Some(records) => records,
    None => NonZeroUsize::MIN,
};
/// So many refusals of each kind are noted in a second.
const REFUSALS: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

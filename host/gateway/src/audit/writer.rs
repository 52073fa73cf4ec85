//! The audit log's file: this process's alone, appended to in batches by one task, reopened when somebody has moved it away,
//! tried again while it cannot be written.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::chain::{Link, Moment, Record};
use super::head::Head;
use super::{OnFailure, OpenError};
use crate::telemetry;

/// The file and where its chain is.
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    link: Link,
    head: Head,
    started: Instant,
    on_failure: OnFailure,
    is_broken: Arc<AtomicBool>,
    lost: u64,
}

impl Writer {
    /// Opens the file and finds the end of its chain. What a crash left of a last line is cut off.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be opened or read, or another process writes it.
    pub(super) fn open(
        path: PathBuf,
        on_failure: OnFailure,
        is_broken: Arc<AtomicBool>,
    ) -> Result<Self, OpenError> {
        let mut head = Head::beside(&path);
        let (file, link) = match begin(&path, &head) {
            Ok(begun) => begun,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Held { file: path });
            }
            Err(cause) => return Err(OpenError::Unusable { file: path, cause }),
        };
        head.keep(&link);
        Ok(Self { path, file, link, head, started: Instant::now(), on_failure, is_broken, lost: 0 })
    }

    /// Writes what comes until nobody can send any more.
    pub(super) async fn run(mut self, mut records: mpsc::Receiver<Record>, stopping: CancellationToken) {
        let mut batch = Vec::new();
        let mut is_last = false;
        loop {
            let came = tokio::select! {
                came = records.recv_many(&mut batch, BATCH) => came,
                () = stopping.cancelled(), if !is_last => {
                    // What has its place is still written.
                    records.close();
                    is_last = true;
                    continue;
                }
            };
            if came == 0 {
                break;
            }
            while !batch.is_empty() && !self.write(&mut batch) {
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    () = stopping.cancelled() => break,
                }
            }
            if !batch.is_empty() {
                tracing::error!(records = batch.len(), "records of the audit log are lost");
                batch.clear();
            }
        }
        let _synced = self.file.sync_data();
    }

    /// Writes the batch and empties it; false when it must be tried again.
    fn write(&mut self, batch: &mut Vec<Record>) -> bool {
        match self.append(batch) {
            Ok(()) => {
                batch.clear();
                if self.is_broken.swap(false, Ordering::Relaxed) {
                    tracing::info!("the audit log can be written again");
                }
                true
            }
            Err(error) => {
                if !self.is_broken.swap(true, Ordering::Relaxed) {
                    tracing::error!(file = %self.path.display(), %error, "the audit log cannot be written");
                }
                if self.on_failure == OnFailure::Continue {
                    self.lost += batch.iter().map(|record| 1 + record.lost).sum::<u64>();
                    batch.clear();
                }
                false
            }
        }
    }

    /// All of the batch, or nothing of it.
    fn append(&mut self, batch: &mut [Record]) -> io::Result<()> {
        self.reopen_if_moved()?;
        let length = self.file.metadata()?.len();
        let mut link = self.link.clone();
        let time = telemetry::now();
        let moment = Moment { time: &time, since_start: self.started.elapsed() };
        if let Some(first) = batch.first_mut() {
            first.lost += std::mem::take(&mut self.lost);
        }
        let lines: Vec<u8> = batch.iter().flat_map(|record| link.line(record, &moment)).collect();
        if let Err(error) = self.file.write_all(&lines) {
            // A disk that is full takes a part.
            let _cut = self.file.set_len(length);
            return Err(error);
        }
        self.link = link;
        self.head.keep(&self.link);
        Ok(())
    }

    /// Whoever moves the file away (logrotate) gets a new one, in which the chain goes on.
    fn reopen_if_moved(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let there = std::fs::metadata(&self.path);
        let is_same = there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if !is_same {
            let moved = std::mem::replace(&mut self.file, alone(&self.path)?);
            let _unlocked = moved.unlock();
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A child that is being started has the file for a moment, too: closing it alone would leave the lock there.
        let _unlocked = self.file.unlock();
    }
}

/// The file, and where its chain goes on: behind its last line, or in an empty file behind what the head says.
fn begin(path: &Path, head: &Head) -> io::Result<(File, Link)> {
    let mut file = alone(path)?;
    let (link, whole) = end_of(&mut file)?;
    if let Some(whole) = whole {
        tracing::warn!(file = %path.display(), "the audit log ended within a line, which is cut off");
        file.set_len(whole)?;
    }
    Ok((file, link.unwrap_or_else(|| head.last())))
}

/// The file, for this process alone: two chains in one file would be none, and a failed write of one process would cut off
/// the other's lines.
///
/// # Errors
/// `WouldBlock` when another process has it, and what the system says of everything else.
fn alone(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::WouldBlock, "another process writes it"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The end of the chain in a file that has a line, and how long the file is without a half line at its end, when there is
/// one.
fn end_of(file: &mut File) -> io::Result<(Option<Link>, Option<u64>)> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LONGEST);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(LONGEST).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let half = (whole < tail.len()).then_some(from + whole as u64);
    let lines = tail.get(..whole.saturating_sub(1)).unwrap_or_default();
    let last = lines.rsplit(|&b| b == b'\n').next().filter(|line| !line.is_empty());
    match last {
        None if from == 0 => Ok((None, half)),
        last => {
            let not_ours = || io::Error::other("its last line is not a record of an audit log");
            Ok((Some(last.and_then(Link::after).ok_or_else(not_ours)?), half))
        }
    }
}

/// So many records are written at once.
const BATCH: usize = 256;
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// No line is longer: names are cut.
const LONGEST: u64 = 64 << 10;

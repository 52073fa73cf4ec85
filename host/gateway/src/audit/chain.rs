//! Lines of the audit log: JSON objects, each with the SHA-256 of the line before it. Bytes in, bytes out.
//!
//! Whoever changes, removes or reorders a line breaks the chain at the next one. Cutting lines off the end cannot be seen in
//! the file itself: compare the number and digest that a check prints with those of an earlier one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Entry, Outcome};

/// One request.
pub(super) struct Record {
    pub(super) entry: Entry,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    /// Records that could not be written before this one.
    pub(super) lost: u64,
}

/// Where a chain is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    /// The number of the next line.
    pub(super) next: u64,
    /// The digest of the line before it.
    pub(super) previous: String,
}

/// Both clocks, when a record was written.
pub(super) struct Moment<'a> {
    /// RFC 3339, UTC.
    pub(super) time: &'a str,
    /// Since the process began to log; never goes back.
    pub(super) since_start: Duration,
}

/// A line as written, in this order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    seq: u64,
    prev: &'a str,
    time: &'a str,
    /// Milliseconds since the process began to log.
    mono: u64,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a str>,
    took_us: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
}

/// What a check reads of a line.
#[derive(Deserialize)]
struct Read {
    seq: u64,
    prev: String,
}

impl Link {
    /// Before the first line.
    pub(super) fn first() -> Self {
        Self { next: 0, previous: "0".repeat(64) }
    }

    /// Whether it can be one.
    pub(super) fn is_sound(&self) -> bool {
        self.previous.len() == 64 && self.previous.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// After this line, when it is one.
    pub(super) fn after(line: &[u8]) -> Option<Self> {
        let read: Read = serde_json::from_slice(line).ok()?;
        Some(Self { next: read.seq + 1, previous: digest(line) })
    }

    /// The next line, with its newline.
    pub(super) fn line(&mut self, record: &Record, moment: &Moment<'_>) -> Vec<u8> {
        let Entry { principal, session, request, method, name, server, params } = &record.entry;
        let line = Line {
            seq: self.next,
            prev: &self.previous,
            time: moment.time,
            mono: millis(moment.since_start),
            outcome: record.outcome.kind,
            code: record.outcome.code,
            principal: principal.as_deref(),
            session: session.as_deref(),
            request: request.as_deref(),
            method: method.as_deref(),
            name: name.as_deref(),
            server: server.as_deref(),
            params: params.as_deref(),
            took_us: u64::try_from(record.took.as_micros()).unwrap_or(u64::MAX),
            lost: record.lost,
        };
        // Texts and numbers: there is nothing in it that could not be written.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        self.previous = digest(&bytes);
        self.next += 1;
        bytes.push(b'\n');
        bytes
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many lines.
    pub lines: u64,
    /// The number of the last one.
    pub last: Option<u64>,
    /// Its digest.
    pub digest: String,
}

/// Where a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {why}")]
pub struct Broken {
    /// Counted from 1, over all files.
    pub line: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Checks the lines of a log, or of the files it was split into, in their order. The first line may have any number and
/// predecessor: what came before it may have been put away.
///
/// # Errors
/// [`Broken`] names the first line that is not what it was.
pub fn verify<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Verified, Broken> {
    let mut link: Option<Link> = None;
    let mut count = 0;
    for line in lines {
        count += 1;
        let broken = |why| Broken { line: count, why };
        let read: Read = serde_json::from_slice(line).map_err(|_| broken("is not a record"))?;
        if let Some(link) = &link {
            if read.seq != link.next {
                return Err(broken("has not the number that follows"));
            }
            if read.prev != link.previous {
                return Err(broken("does not follow from the line before it"));
            }
        }
        link = Some(Link { next: read.seq + 1, previous: digest(line) });
    }
    let last = link.as_ref().map(|link| link.next - 1);
    Ok(Verified { lines: count, last, digest: link.map_or_else(String::new, |link| link.previous) })
}

fn digest(line: &[u8]) -> String {
    Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

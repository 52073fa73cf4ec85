//! Where the audit log goes: `audit`, or `--audit-log`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::audit::{OnFailure, QUEUE, Settings};

/// `audit:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAudit {
    /// The file, relative to the configuration's.
    file: PathBuf,
    /// What becomes of requests while it cannot be written; default `refuse`.
    #[serde(default)]
    on_failure: RawOnFailure,
    /// So many records wait for the disk.
    #[serde(default)]
    queue: Queue,
}

/// Records: places in memory, of about 500 bytes each.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
struct Queue(NonZeroUsize);

impl Default for Queue {
    fn default() -> Self {
        Self(QUEUE)
    }
}

impl TryFrom<u32> for Queue {
    type Error = &'static str;

    fn try_from(records: u32) -> Result<Self, Self::Error> {
        let records = usize::try_from(records).ok().filter(|records| *records <= MOST);
        records.and_then(NonZeroUsize::new).map(Self).ok_or("`queue` must be from 1 to 1000000")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawOnFailure {
    #[default]
    Refuse,
    Continue,
}

/// The file's word, and the command line's over it. Relative paths of either are relative to where it was written.
pub(super) fn audit(
    raw: Option<RawAudit>,
    flag: Option<&Path>,
    (beside, here): (&Path, &Path),
) -> Option<Settings> {
    let on_failure = match raw.as_ref().map(|raw| &raw.on_failure) {
        Some(RawOnFailure::Continue) => OnFailure::Continue,
        Some(RawOnFailure::Refuse) | None => OnFailure::Refuse,
    };
    let Queue(queue) = raw.as_ref().map(|raw| raw.queue).unwrap_or_default();
    let file = flag.map(|file| here.join(file)).or_else(|| Some(beside.join(raw?.file)))?;
    Some(Settings { file, on_failure, queue })
}

/// The longest queue.
const MOST: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Source;

    #[test]
    fn the_queue_has_a_default_and_bounds() {
        let check = |text: &str, expected: Option<usize>| {
            let raw: Result<RawAudit, _> = Source { file: "f.yaml", text }.parse();
            let here = Path::new("/");
            let read = raw.ok().and_then(|raw| audit(Some(raw), None, (here, here)));
            assert_eq!(read.map(|settings| settings.queue.get()), expected, "{text}");
        };
        check("file: a", Some(10_000));
        check("file: a\nqueue: 1", Some(1));
        check("file: a\nqueue: 1000000", Some(1_000_000));
        check("file: a\nqueue: 0", None);
        check("file: a\nqueue: 1000001", None);
        check("file: a\nqueue: -1", None);
    }
}

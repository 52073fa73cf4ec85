//! Where the audit log goes: `audit`, or `--audit-log`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::audit::{OnFailure, Settings};

/// `audit:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAudit {
    /// The file, relative to the configuration's.
    file: PathBuf,
    /// What becomes of requests while it cannot be written; default `refuse`.
    #[serde(default)]
    on_failure: RawOnFailure,
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
    let file = flag.map(|file| here.join(file)).or_else(|| Some(beside.join(raw?.file)))?;
    Some(Settings { file, on_failure })
}

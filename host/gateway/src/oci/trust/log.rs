//! What a transparency log says of a signature: that it is in (a proof) or will be (a promise, signed by the log).

use std::time::SystemTime;

use sigstore_verify::crypto::Keyring;
use sigstore_verify::types::{Bundle, KindVersion, Sha256Hash, SignatureBytes, TransparencyLogEntry};

use super::reason::Reason;

/// What a bundle has to show from logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logged {
    /// Nothing.
    No,
    /// A promise with a time for each entry, as before bundles of version 0.2.
    Promised,
    /// A proof for each entry.
    Proved,
}

/// What there is, from `logs`; an error when some of it could not be verified.
pub(super) fn shown_by(bundle: &Bundle, logs: &Keyring) -> Result<Logged, Reason> {
    let entries = &bundle.verification_material.tlog_entries;
    if entries.len() > MOST_ENTRIES {
        return Err(Reason::Log(format!("there are more than {MOST_ENTRIES}")));
    }
    if !entries.iter().all(|entry| id(entry).is_some_and(|id| logs.key(&id).is_some())) {
        return Err(Reason::Log(UNKNOWN.to_owned()));
    }
    let is_promised = |entry: &TransparencyLogEntry| {
        entry.inclusion_promise.is_some()
            && entry.integrated_time.is_some()
            && entry.kind_version != KindVersion::HashedRekordV002
    };
    if entries.is_empty() {
        Ok(Logged::No)
    } else if entries.iter().all(|entry| entry.inclusion_proof.is_some()) {
        Ok(Logged::Proved)
    } else if entries.iter().all(is_promised) {
        Ok(Logged::Promised)
    } else {
        Err(Reason::Log("it has neither a proof nor a promise of the log".to_owned()))
    }
}

/// The time an entry was promised at, when one of `logs` did: what a client of a key checks itself, because the Sigstore
/// crates look at promises beside certificates only. That the entry is of this signature is not checked here.
pub(super) fn promised(entry: &TransparencyLogEntry, logs: &Keyring) -> Result<SystemTime, Reason> {
    let wrong = |what: &str| Reason::Log(what.to_owned());
    let (Some(promise), Some(time)) = (&entry.inclusion_promise, entry.integrated_time) else {
        return Err(wrong("it has no promise of the log"));
    };
    let id = id(entry).ok_or_else(|| wrong(UNKNOWN))?;
    let key = logs.key_at(&id, time).ok_or_else(|| wrong("its log was not trusted at that time"))?;
    // RFC 8785: names in order, no spaces; nothing in base64, hex and numbers is escaped.
    let signed = format!(
        r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
        entry.canonicalized_body.to_base64(),
        time.as_second(),
        id.to_hex(),
        entry.log_index.as_i64(),
    );
    let signature = SignatureBytes::from_bytes(promise.signed_entry_timestamp.as_bytes());
    key.verify(signed, &signature).map_err(|_| wrong("its promise is not the log's"))?;
    let time = SystemTime::from(time);
    if time > SystemTime::now() { Err(wrong("its time is in the future")) } else { Ok(time) }
}

/// A log's name: the digest of its key.
fn id(entry: &TransparencyLogEntry) -> Option<Sha256Hash> {
    Sha256Hash::try_from(entry.log_id.key_id.as_bytes()).ok()
}

/// For every log that is not in the trust root.
const UNKNOWN: &str = "its log is not one of the trust root's";
/// Entries of one bundle; nobody has more than two.
const MOST_ENTRIES: usize = 8;

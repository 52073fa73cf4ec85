//! What a signed statement says: which artifact, and whether it says who made or signed it.
//!
//! Builders sign more than their artifacts: lists of parts, results of scans. A scan that found the artifact wanting is signed
//! by the same identity; it must not pass for consent. So only statements of [`CONSENTING`] kinds count.

use serde_json::from_slice;
use sigstore_verify::types::{DsseEnvelope, Statement};

use super::reason::{Reason, shown};
use super::subject::Subject;

/// Whether the envelope's statement is a signature of `subject`. Says nothing about who wrote it.
pub(super) fn about(envelope: &DsseEnvelope, subject: &Subject) -> Result<(), Reason> {
    if envelope.payload_type != PAYLOAD {
        return Err(Reason::Statement(shown(&envelope.payload_type)));
    }
    let statement: Statement = from_slice(envelope.payload.as_bytes()).map_err(Reason::unreadable)?;
    if !statement.type_.starts_with(STATEMENT) {
        return Err(Reason::Statement(shown(&statement.type_)));
    }
    if !is_consenting(&statement.predicate_type) {
        return Err(Reason::Statement(shown(&statement.predicate_type)));
    }
    let (algorithm, wanted) = subject.named();
    let is_meant = statement.subject.iter().any(|named| match algorithm {
        "sha512" => named.digest.sha512.is_some_and(|digest| digest.to_hex() == wanted),
        _ => named.digest.sha256.is_some_and(|digest| digest.to_hex() == wanted),
    });
    if is_meant { Ok(()) } else { Err(Reason::OtherArtifact) }
}

/// Whether a statement of this kind says who made or signed an artifact.
pub(super) fn is_consenting(predicate_type: &str) -> bool {
    CONSENTING.contains(&predicate_type)
}

/// in-toto, as DSSE names it.
const PAYLOAD: &str = "application/vnd.in-toto+json";
/// What every in-toto statement says it is; a version follows.
const STATEMENT: &str = "https://in-toto.io/Statement/";
/// cosign's `sign`, and the provenance that builders sign for what they have built.
const CONSENTING: [&str; 3] = [
    "https://sigstore.dev/cosign/sign/v1",
    "https://slsa.dev/provenance/v1",
    "https://slsa.dev/provenance/v0.2",
];

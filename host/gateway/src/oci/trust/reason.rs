//! Why a signature does not count, in words for the person who wrote the policy.

use sigstore_verify::Error;

/// What is wrong with one signature. Words that came with it are cut and cannot move a terminal's cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not of a form that is known, or damaged.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Made for something else: copied from another artifact, or the tag was moved.
    #[error("is for another artifact")]
    OtherArtifact,
    /// A statement that is signed, and says something else than who made the artifact: a list of parts, a scan.
    #[error("is a statement of another kind, `{0}`")]
    Statement(String),
    /// The message is the manifest, and only its digest is known.
    #[error("signs the manifest as it is, and the manifest is not at hand")]
    NoManifest,
    /// What was signed was changed, or the signature was.
    #[error("does not fit what it signs")]
    Forged,
    /// A signature by another key than the policy's.
    #[error("is not by the key {0}, or what it signs was changed")]
    OtherKey(String),
    /// The policy names a key.
    #[error("is made with a certificate, and the policy names a key")]
    Certified,
    /// The policy names an identity.
    #[error("is made with a key, and the policy names an identity")]
    Keyed,
    /// Signed by somebody else.
    #[error("is by `{found}`, and the policy wants `{wanted}`")]
    Identity {
        /// Who signed.
        found: String,
        /// Who should have.
        wanted: String,
    },
    /// Signed by one of that name whom somebody else vouches for.
    #[error("is vouched for by `{found}`, and the policy wants `{wanted}`")]
    Issuer {
        /// Who vouched for the signer.
        found: String,
        /// Who should have.
        wanted: String,
    },
    /// The trust root names a transparency log, and the signature is in none.
    #[error("is in no transparency log")]
    Unlogged,
    /// The log's entry is false, or of a log that is not trusted.
    #[error("has a log entry that does not count: {0}")]
    Log(String),
    /// The certificate is false, or of an authority that is not trusted, or was not valid then.
    #[error("has a certificate that does not count: {0}")]
    Certificate(String),
    /// Nobody who is trusted says when it was made.
    #[error("has no time that counts: {0}")]
    Time(String),
}

impl Reason {
    /// Unreadable, in words.
    pub(super) fn unreadable(why: impl ToString) -> Self {
        Self::Unreadable(shown(&why.to_string()))
    }
}

impl From<Error> for Reason {
    fn from(error: Error) -> Self {
        match error {
            Error::SignatureInvalid(_) => Self::Forged,
            Error::ArtifactMismatch(_) => Self::OtherArtifact,
            Error::Certificate(error) => Self::Certificate(of_chain(&error.to_string())),
            Error::TransparencyLog(error) => Self::Log(shown(&error.to_string())),
            Error::Timestamp(error) => Self::Time(shown(&error.to_string())),
            other => Self::unreadable(other),
        }
    }
}

/// What is wrong with a chain, in words where the library has only names.
fn of_chain(said: &str) -> String {
    let known = CHAIN.iter().find(|(name, _)| said.contains(name));
    known.map_or_else(|| shown(said), |(_, words)| (*words).to_owned())
}

/// Names of `rustls-webpki`'s errors.
const CHAIN: [(&str, &str); 5] = [
    ("CertExpired", "it had expired when, by the log, it was used"),
    ("CertNotValidYet", "it was not valid yet when, by the log, it was used"),
    ("UnknownIssuer", "its authority is not one of the trust root's"),
    ("InvalidSignatureForPublicKey", "its authority is not one of the trust root's"),
    ("RequiredEkuNotFound", "it is not for signing code"),
];

/// Foreign words fit for a terminal and a log: bounded, and nothing in them that would be obeyed instead of shown.
pub(super) fn shown(words: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut text: String =
        words.chars().take(SHOWN).map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect();
    if words.chars().nth(SHOWN).is_some() {
        text.push_str("...");
    }
    text
}

/// Most characters of foreign words.
const SHOWN: usize = 300;

//! Who signed an artifact: signatures as cosign and other Sigstore clients make them, verified without a network.
//!
//! [`verify`] is pure: a digest, what was found with it ([`Evidence`]), whose signature is wanted ([`Signer`]) and whom
//! to believe ([`TrustRoot`]) give [`Verified`] or the reasons why not. [`Policy`] says which artifacts need it.
//! [`fetch`] gets what a registry has; nothing else here touches the world. What a registry sends is hostile
//! until a signature says otherwise: every size is bounded, every word shown is cleaned.
//!
//! Not here: the trust root's own updates (TUF); the file is the operator's.

mod check;
pub mod evidence;
mod fetch;
mod glob;
mod key;
mod log;
mod policy;
mod provider;
mod reason;
mod root;
mod simple;
mod statement;
mod subject;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

pub use fetch::fetch;
pub use glob::Glob;
pub use key::{KeyError, PublicKey};
pub use policy::{Clearance, Demand, Outcome, Pattern, PatternError, Policy, Rule, Unsigned};
pub use reason::Reason;
pub use root::{TrustRoot, TrustRootError};
pub use simple::SimpleSigning;
pub use subject::{Subject, SubjectError};

/// Something that may be a signature of an artifact.
#[derive(Debug, Clone)]
pub enum Evidence {
    /// A Sigstore bundle, versions 0.1 to 0.3: JSON.
    Bundle(Bytes),
    /// A layer of cosign's older form.
    Simple(SimpleSigning),
}

/// Whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Whoever has the private key.
    Key {
        /// The public one.
        key: PublicKey,
        /// Whether it has to be in a transparency log too, where the use of a stolen key is seen.
        logged: bool,
    },
    /// Whoever an issuer vouched for when it was signed (keyless).
    Identity {
        /// The subject of the certificate: a workflow's URL, an e-mail address; `*` stands for any characters.
        identity: Glob,
        /// Who vouched for it: the certificate's issuer extension, exactly.
        issuer: String,
    },
}

/// Who signed, when that is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who.
    pub by: By,
    /// When, if a log or a time stamper that is trusted said so.
    pub when: Option<SystemTime>,
}

/// Whose signature it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A key's, by the digest of its DER form.
    Key(String),
    /// A certificate's.
    Identity {
        /// Its subject.
        identity: String,
        /// Who vouched for that.
        issuer: String,
    },
}

/// No signature counts: why each does not, in the order they were given. Empty when there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified(pub Vec<Reason>);

/// Whether one of `evidence` is the signer's signature of `subject`. The first that is, counts; what stands beside it
/// does not matter.
///
/// # Errors
/// [`Unverified`] with the reason for each that is not.
pub fn verify(
    subject: &Subject,
    evidence: &[Evidence],
    signer: &Signer,
    root: &TrustRoot,
) -> Result<Verified, Unverified> {
    let mut reasons = Vec::new();
    for piece in evidence.iter().take(MOST_EVIDENCE) {
        match check::one(subject, piece, signer, root) {
            Ok(verified) => return Ok(verified),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(Unverified(reasons))
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("it has no signature"),
            [reason] => write!(f, "its signature {reason}"),
            reasons => {
                write!(f, "none of its {} signatures counts", reasons.len())?;
                for (index, reason) in reasons.iter().take(MOST_SAID).enumerate() {
                    write!(f, "{} one {reason}", if index == 0 { ":" } else { ";" })?;
                }
                if reasons.len() > MOST_SAID { f.write_str("; ...") } else { Ok(()) }
            }
        }
    }
}

impl std::error::Error for Unverified {}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "the key {id}"),
            Self::Identity { identity, issuer } => write!(f, "{identity} ({issuer})"),
        }
    }
}

/// Most pieces of evidence looked at for one artifact; each costs some milliseconds.
pub const MOST_EVIDENCE: usize = 32;
/// Largest piece of evidence, in bytes: a bundle holds the statement it signs.
pub const MOST_BYTES: usize = 4 << 20;
/// Reasons said at once.
const MOST_SAID: usize = 4;

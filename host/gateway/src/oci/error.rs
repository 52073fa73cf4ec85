//! What can go wrong with a registry, whose fault it is and what helps. Never with a credential in it.

use super::digest::Digest;
use super::manifest::ManifestError;
use super::reference::NotAReference;
use super::store::StoreError;

/// Why an artifact could not be had, looked up or published.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// What was written is no reference.
    #[error(transparent)]
    Reference(#[from] NotAReference),
    /// The registry wants a login and there is none.
    #[error("{registry} wants a login for this: run `docker login {registry}`{}", note(hint))]
    NoLogin {
        /// Whose.
        registry: String,
        /// Why there is none, if one was looked for and not found for a reason.
        hint: Option<String>,
    },
    /// The registry does not accept the login there is.
    #[error("{registry} does not accept the login of this machine: run `docker login {registry}` again")]
    LoginRefused {
        /// Whose.
        registry: String,
    },
    /// The login is good, but not for this.
    #[error(
        "{registry} does not allow to {action} `{repository}`: run `docker login {registry}` with a name that may"
    )]
    Denied {
        /// Whose.
        registry: String,
        /// `read` or `write`.
        action: &'static str,
        /// In it.
        repository: String,
    },
    /// It is not there. Registries also say so of what one may not see.
    #[error("`{0}` is not in its registry, or only visible after `docker login`")]
    NotFound(String),
    /// Nothing of the network was to be used and it is not in the store.
    #[error("`{0}` is not in the store of this machine, and the network was not to be used: pull it first")]
    NotStored(String),
    /// A reference of the local namespace that the store does not have.
    #[error("`{0}` is only ever in the store of this machine, and is not there: import it again")]
    NotImported(String),
    /// Published references name a tag, not only a digest, and none of the local namespace.
    #[error("nothing can be pushed to `{0}`: {1}")]
    NotATarget(String, &'static str),
    /// The bytes are not those that were asked for. Somebody between here and the publisher changed them.
    #[error("{what} has the digest {found} where {expected} is expected: nothing of it is used")]
    WrongDigest {
        /// Which bytes.
        what: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The registry says of itself that it stored something else.
    #[error("{registry} says it stored {found} where {expected} was sent")]
    StoredOther {
        /// Which.
        registry: String,
        /// As it says.
        found: String,
        /// What was sent.
        expected: Digest,
    },
    /// More bytes than are allowed for this.
    #[error("{what} has {size} bytes, and at most {most} are allowed for it here")]
    TooLarge {
        /// Which bytes.
        what: String,
        /// At least so many.
        size: u64,
        /// So many.
        most: u64,
    },
    /// More or fewer bytes came than the manifest says.
    #[error("{what} has {found} bytes where its manifest says {said}")]
    WrongSize {
        /// Which bytes.
        what: String,
        /// What came; when more came than said, the rest was not read.
        found: u64,
        /// What the manifest says.
        said: u64,
    },
    /// The manifest is not one this program takes.
    #[error("`{reference}` cannot be used: {why}")]
    Manifest {
        /// Which.
        reference: String,
        /// Whose fault: the publisher's.
        #[source]
        why: ManifestError,
    },
    /// The registry cannot be reached, or broke off.
    #[error("{registry} cannot be reached: {why}")]
    Unreachable {
        /// Which.
        registry: String,
        /// The last attempt's failure.
        why: String,
    },
    /// The registry did not go on in time.
    #[error("{registry} took longer than {seconds} s to {what}")]
    TooSlow {
        /// Which.
        registry: String,
        /// For what it was given time.
        what: &'static str,
        /// How much.
        seconds: u64,
    },
    /// The registry has had too many requests.
    #[error("{registry} has had too many requests from here: wait, or run `docker login {registry}`")]
    TooMany {
        /// Which.
        registry: String,
    },
    /// The registry failed.
    #[error("{registry} failed with status {status}")]
    Failed {
        /// Which.
        registry: String,
        /// A 5xx status.
        status: u16,
    },
    /// The registry answered what the specification does not have.
    #[error("{registry} answered {what}")]
    Odd {
        /// Which.
        registry: String,
        /// What, in words.
        what: String,
    },
    /// The registry sends us somewhere we do not go.
    #[error("{registry} leads to {target}: {why}")]
    BadTarget {
        /// Which.
        registry: String,
        /// Host and port.
        target: String,
        /// Why not.
        why: String,
    },
    /// Docker's configuration cannot be read.
    #[error("no login can be read for {registry}: {why}")]
    Credentials {
        /// For whom.
        registry: String,
        /// What is wrong with the file or program.
        why: String,
    },
    /// The store of this machine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OciError {
    /// Whether the registry could not be asked at all, so that what it said before may be used.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::TooSlow { .. } | Self::Failed { .. } | Self::TooMany { .. }
        )
    }

    /// Whether the registry, or the store, says that it is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::NotStored(_) | Self::NotImported(_))
    }
}

fn note(hint: &Option<String>) -> String {
    hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default()
}

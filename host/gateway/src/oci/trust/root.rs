//! Whom a keyless signature may lean on: the certificate authorities, the transparency logs, the certificate logs and the
//! time stampers of one `trusted_root.json`. Read once, nothing is fetched.

use std::fmt;
use std::sync::Arc;

use sigstore_verify::Verifier;
use sigstore_verify::crypto::Keyring;
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};

use super::provider;
use super::reason::shown;

/// A trust root, ready to use; cheap to clone.
#[derive(Clone)]
pub struct TrustRoot(Arc<Ready>);

struct Ready {
    verifier: Verifier,
    logs: Keyring,
    counted: [usize; 4],
    names_logs: bool,
    certificate_logs: bool,
}

/// Why a text is no trust root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustRootError {
    /// Not JSON, or not of this form, or with material that cannot be used.
    #[error("is not a Sigstore trusted root: {0}")]
    Unusable(String),
    /// More than anybody's.
    #[error("has more than {} KiB", MOST >> 10)]
    TooLarge,
}

impl TrustRoot {
    /// Reads a `trusted_root.json` (`application/vnd.dev.sigstore.trustedroot+json`).
    ///
    /// # Errors
    /// [`TrustRootError`] when it is none. One without certificate authorities is good for keys only, and is no error.
    pub fn parse(json: &str) -> Result<Self, TrustRootError> {
        provider::install();
        if json.len() > MOST {
            return Err(TrustRootError::TooLarge);
        }
        let unusable = |why: &dyn fmt::Display| TrustRootError::Unusable(shown(&why.to_string()));
        let root = TrustedRoot::from_json(json).map_err(|error| unusable(&error))?;
        if !root.media_type.starts_with(MEDIA_TYPE) {
            return Err(unusable(&format_args!("its media type is `{}`", root.media_type)));
        }
        let verifier = Verifier::new(&root).map_err(|error| unusable(&error))?;
        let logs = root.rekor_keys().map_err(|error| unusable(&error))?;
        let counted = [
            root.certificate_authorities.len(),
            root.tlogs.len(),
            root.ctlogs.len(),
            root.timestamp_authorities.len(),
        ];
        let (names_logs, certificate_logs) = (!root.tlogs.is_empty(), !root.ctlogs.is_empty());
        Ok(Self(Arc::new(Ready { verifier, logs, counted, names_logs, certificate_logs })))
    }

    /// The public instance of Sigstore, as it was when this program was built.
    ///
    /// # Errors
    /// [`TrustRootError`], were the program built with a damaged one.
    pub fn public_good() -> Result<Self, TrustRootError> {
        Self::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT)
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    /// The keys of the transparency logs.
    pub(super) fn logs(&self) -> &Keyring {
        &self.0.logs
    }

    /// Whether it names a transparency log: then every keyless signature has to be in one.
    pub(super) fn names_logs(&self) -> bool {
        self.0.names_logs
    }

    /// Whether it names a certificate log: then every certificate has to be in one.
    pub(super) fn names_certificate_logs(&self) -> bool {
        self.0.certificate_logs
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [authorities, logs, certificate_logs, stampers] = self.0.counted;
        write!(
            f,
            "TrustRoot({authorities} authorities, {logs} logs, {certificate_logs} certificate logs, {stampers} time stampers)"
        )
    }
}

/// Largest trust root, in bytes: the public one has 7 KB.
const MOST: usize = 1 << 20;
/// What each says it is; a version follows.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot";

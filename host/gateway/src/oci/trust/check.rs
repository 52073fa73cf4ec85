//! One piece of evidence against one signer.
//!
//! The Sigstore crates verify what a certificate made: chain, certificate log, time, transparency log, signature, and that
//! the log's entry is of this signature. With a key the signature alone decides, verified here: the Sigstore crates would
//! refuse the keys of those who use no public log. What a log says of a key's signature adds the time.

use std::borrow::Cow;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sigstore_verify::types::{Artifact, Bundle, SignatureBytes, SignatureContent};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult};

use super::log::{self, Logged};
use super::reason::{Reason, shown};
use super::{
    By, Evidence, Glob, MOST_BYTES, PublicKey, Signer, Subject, TrustRoot, Verified, provider, statement,
};

/// A bundle that is about the subject, whoever made it.
pub(super) struct Signed {
    pub(super) bundle: Bundle,
    /// What is signed, when that is no DSSE envelope.
    pub(super) message: Option<Bytes>,
}

/// Whether `piece` is the signer's signature of `subject`.
pub(super) fn one(
    subject: &Subject,
    piece: &Evidence,
    signer: &Signer,
    root: &TrustRoot,
) -> Result<Verified, Reason> {
    let signed = match piece {
        Evidence::Bundle(bytes) => read(subject, bytes)?,
        Evidence::Simple(layer) => layer.signed(subject)?,
    };
    let artifact = match &signed.message {
        Some(message) => Artifact::Blob(message),
        None => subject.artifact().ok_or(Reason::OtherArtifact)?,
    };
    match signer {
        Signer::Key { key, logged } => by_key(&signed, artifact, (key, *logged), root),
        Signer::Identity { identity, issuer } => by_identity(&signed, artifact, (identity, issuer), root),
    }
}

/// A bundle, when it is about `subject`.
fn read(subject: &Subject, bytes: &Bytes) -> Result<Signed, Reason> {
    if bytes.len() > MOST_BYTES {
        return Err(Reason::unreadable(format_args!("it has more than {} MiB", MOST_BYTES >> 20)));
    }
    let text = std::str::from_utf8(bytes).map_err(Reason::unreadable)?;
    let bundle = Bundle::from_json(text).map_err(Reason::unreadable)?;
    let message = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            statement::about(envelope, subject)?;
            None
        }
        SignatureContent::MessageSignature(_) => Some(subject.manifest().cloned().ok_or(Reason::NoManifest)?),
        _ => return Err(Reason::unreadable("it signs something that is not known")),
    };
    Ok(Signed { bundle, message })
}

fn by_key(
    signed: &Signed,
    artifact: Artifact<'_>,
    (key, must_be_logged): (&PublicKey, bool),
    root: &TrustRoot,
) -> Result<Verified, Reason> {
    let (message, signature) = signed.signature()?;
    if !key.signed(&message, signature) {
        let certified = signed.bundle.signing_certificate().is_some();
        return Err(if certified { Reason::Certified } else { Reason::OtherKey(key.id()) });
    }
    let when = match key_logged(signed, artifact, key, root) {
        Err(reason) if must_be_logged => return Err(reason),
        when => when.ok(),
    };
    Ok(Verified { by: By::Key(key.id()), when })
}

/// When a log says that this key's signature was there.
fn key_logged(
    signed: &Signed,
    artifact: Artifact<'_>,
    key: &PublicKey,
    root: &TrustRoot,
) -> Result<SystemTime, Reason> {
    let policy = PublicKeyVerificationPolicy::new(key.der().clone());
    let kind = log::shown_by(&signed.bundle, root.logs())?;
    let policy = match kind {
        Logged::No => return Err(Reason::Unlogged),
        Logged::Promised => policy.skip_tlog_unsafe(),
        Logged::Proved => policy,
    };
    let checked = signed.verified(|bundle| root.verifier().verify(artifact, bundle, &policy))?;
    let mut times = checked.verified_timestamps().iter().copied().map(SystemTime::from).collect::<Vec<_>>();
    if kind == Logged::Promised {
        for entry in &signed.bundle.verification_material.tlog_entries {
            times.push(log::promised(entry, root.logs())?);
        }
    }
    let proved = || Reason::Time("neither the log nor a time stamper says when".to_owned());
    times.into_iter().min().ok_or_else(proved)
}

fn by_identity(
    signed: &Signed,
    artifact: Artifact<'_>,
    (wanted, vouching): (&Glob, &str),
    root: &TrustRoot,
) -> Result<Verified, Reason> {
    if signed.bundle.signing_certificate().is_none() {
        return Err(Reason::Keyed);
    }
    let policy = certificate_policy(&signed.bundle, root)?;
    let checked = signed.verified(|bundle| root.verifier().verify(artifact, bundle, &policy))?;
    let identity = checked.identity().map_or("", |name| name.as_str()).to_owned();
    let issuer = checked.issuer().unwrap_or_default().to_owned();
    if !wanted.matches(&identity) || identity.is_empty() {
        return Err(Reason::Identity { found: shown(&identity), wanted: wanted.to_string() });
    }
    if issuer != vouching {
        return Err(Reason::Issuer { found: shown(&issuer), wanted: vouching.to_owned() });
    }
    let when = checked.verified_timestamps().iter().copied().min().map(SystemTime::from);
    Ok(Verified { by: By::Identity { identity, issuer }, when })
}

/// What the trust root makes possible is required: where it names logs, an entry; where it names certificate logs, theirs.
/// The crates verify a promise wherever they take its time, also when no proof is asked for.
fn certificate_policy(bundle: &Bundle, root: &TrustRoot) -> Result<VerificationPolicy, Reason> {
    let policy = VerificationPolicy::any_identity();
    let policy = match log::shown_by(bundle, root.logs())? {
        Logged::No if root.names_logs() => return Err(Reason::Unlogged),
        Logged::No | Logged::Promised => policy.skip_tlog_unsafe(),
        Logged::Proved => policy,
    };
    Ok(if root.names_certificate_logs() { policy } else { policy.skip_sct() })
}

impl Signed {
    /// What is signed, and the signature.
    fn signature(&self) -> Result<(Cow<'_, [u8]>, &SignatureBytes), Reason> {
        match (&self.bundle.content, &self.message) {
            (SignatureContent::DsseEnvelope(envelope), _) => {
                Ok((Cow::Owned(envelope.pae()), &envelope.signature.sig))
            }
            (SignatureContent::MessageSignature(signature), Some(message)) => {
                Ok((Cow::Borrowed(message), &signature.signature))
            }
            _ => Err(Reason::NoManifest),
        }
    }

    fn verified(
        &self,
        check: impl FnOnce(&Bundle) -> sigstore_verify::Result<VerificationResult>,
    ) -> Result<VerificationResult, Reason> {
        let checked = match &self.message {
            Some(message) => provider::with_message(message, || check(&self.bundle)),
            None => check(&self.bundle),
        };
        checked.map_err(Reason::from)
    }
}

/// The bytes of a text in base64.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, Reason> {
    STANDARD.decode(text).map_err(Reason::unreadable)
}

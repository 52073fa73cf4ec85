//! cosign's older form: a small JSON that names a digest ("simple signing"), and around it the annotations of an OCI layer.
//!
//! Such a layer says what a bundle of version 0.2 says, so it is turned into one, and verified as one. The payload's
//! `docker-reference` is not looked at, as cosign does not: mirrors keep it as it was.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, from_slice, from_str, from_value, json};
use sigstore_verify::types::{Bundle, DerCertificate};

use super::MOST_BYTES;
use super::check::{Signed, decoded};
use super::reason::{Reason, shown};
use super::subject::{Subject, bytes_of};

/// A layer of the manifest at the tag `sha256-<hex>.sig`.
#[derive(Debug, Clone, Default)]
pub struct SimpleSigning {
    /// What is signed: the layer's content.
    pub payload: Bytes,
    /// The signature in base64, `dev.cosignproject.cosign/signature`.
    pub signature: String,
    /// The signer's certificate in PEM, `dev.sigstore.cosign/certificate`; none when made with a key.
    pub certificate: Option<String>,
    /// What lies between it and an authority, in PEM, `dev.sigstore.cosign/chain`.
    pub chain: Option<String>,
    /// The log's promise in JSON, `dev.sigstore.cosign/bundle`.
    pub bundle: Option<String>,
    /// A time stamp in JSON, `dev.sigstore.cosign/rfc3161timestamp`.
    pub timestamp: Option<String>,
}

impl SimpleSigning {
    /// The media type of such layers.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

    /// A layer by its content and its annotations; `None` without a signature.
    pub fn from_layer(payload: Bytes, annotations: &BTreeMap<String, String>) -> Option<Self> {
        let optional = |name: &str| annotations.get(name).filter(|text| !text.trim().is_empty()).cloned();
        Some(Self {
            payload,
            signature: optional("dev.cosignproject.cosign/signature")?,
            certificate: optional("dev.sigstore.cosign/certificate"),
            chain: optional("dev.sigstore.cosign/chain"),
            bundle: optional("dev.sigstore.cosign/bundle"),
            timestamp: optional("dev.sigstore.cosign/rfc3161timestamp"),
        })
    }

    /// The same as a bundle, when it is about `subject`.
    pub(super) fn signed(&self, subject: &Subject) -> Result<Signed, Reason> {
        let texts = [&self.certificate, &self.chain, &self.bundle, &self.timestamp];
        let size: usize = texts.iter().filter_map(|text| text.as_deref().map(str::len)).sum();
        if size + self.payload.len() + self.signature.len() > MOST_BYTES {
            return Err(Reason::unreadable(format_args!("it has more than {} MiB", MOST_BYTES >> 20)));
        }
        let payload: Payload = from_slice(&self.payload).map_err(Reason::unreadable)?;
        if payload.critical.kind != KIND {
            return Err(Reason::Statement(shown(&payload.critical.kind)));
        }
        let (algorithm, hex) = subject.named();
        if payload.critical.image.digest != format!("{algorithm}:{hex}") {
            return Err(Reason::OtherArtifact);
        }
        Ok(Signed { bundle: self.as_bundle()?, message: Some(self.payload.clone()) })
    }

    fn as_bundle(&self) -> Result<Bundle, Reason> {
        let (kind, signer) = match &self.certificate {
            None => ("publicKey", json!({ "hint": "" })),
            Some(leaf) => {
                let chain = self.chain.as_deref().unwrap_or_default();
                let raw = certificates(leaf)?.into_iter().take(1).chain(certificates(chain)?);
                let list: Vec<Json> = raw.map(|raw| json!({ "rawBytes": raw.to_base64() })).collect();
                ("x509CertificateChain", json!({ "certificates": list }))
            }
        };
        let entries: Vec<Json> = self.bundle.as_deref().map(entry).transpose()?.into_iter().collect();
        let stamp =
            self.timestamp.as_deref().map(from_str::<Stamp>).transpose().map_err(Reason::unreadable)?;
        let stamps: Vec<Json> =
            stamp.into_iter().map(|stamp| json!({ "signedTimestamp": stamp.stamp })).collect();
        from_value(json!({
            "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2",
            "verificationMaterial": {
                (kind): signer,
                "tlogEntries": entries,
                "timestampVerificationData": { "rfc3161Timestamps": stamps },
            },
            "messageSignature": { "signature": self.signature },
        }))
        .map_err(Reason::unreadable)
    }
}

/// The log's promise as a bundle writes it.
fn entry(text: &str) -> Result<Json, Reason> {
    let Promise { signed, payload } = from_str(text).map_err(Reason::unreadable)?;
    let id = bytes_of(&payload.log).ok_or_else(|| Reason::unreadable("no log id"))?;
    let body = decoded(&payload.body)?;
    let body: Body = from_slice(&body).map_err(Reason::unreadable)?;
    Ok(json!({
        "logIndex": payload.index.to_string(),
        "logId": { "keyId": STANDARD.encode(id) },
        "kindVersion": { "kind": body.kind, "version": body.version },
        "integratedTime": payload.time.to_string(),
        "inclusionPromise": { "signedEntryTimestamp": signed },
        "canonicalizedBody": payload.body,
    }))
}

/// The certificates in a PEM text, in its order.
fn certificates(pem: &str) -> Result<Vec<DerCertificate>, Reason> {
    let parts = pem.split_inclusive(END).filter(|part| part.contains(END));
    parts
        .take(MOST_CERTIFICATES)
        .map(|part| DerCertificate::from_pem(part.trim()).map_err(Reason::unreadable))
        .collect()
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

#[derive(Deserialize)]
struct Promise {
    #[serde(rename = "SignedEntryTimestamp")]
    signed: String,
    #[serde(rename = "Payload")]
    payload: Entry,
}

#[derive(Deserialize)]
struct Entry {
    body: String,
    #[serde(rename = "integratedTime")]
    time: i64,
    #[serde(rename = "logIndex")]
    index: i64,
    #[serde(rename = "logID")]
    log: String,
}

#[derive(Deserialize)]
struct Body {
    kind: String,
    #[serde(rename = "apiVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Stamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    stamp: String,
}

/// What cosign's payloads say they are.
const KIND: &str = "cosign container image signature";
/// Where a certificate ends in a PEM text.
const END: &str = "-----END CERTIFICATE-----";
/// Certificates of one text.
const MOST_CERTIFICATES: usize = 8;

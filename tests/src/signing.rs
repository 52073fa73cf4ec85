//! Signatures as cosign leaves them in a registry: made with a key of the test's own and pushed with plain requests, so that
//! every part of one can be wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::http::{Answer, Ask};
use crate::registry::Registry;

/// A P-256 key.
pub struct Key(EcdsaKeyPair);

impl Key {
    #[expect(clippy::new_without_default, reason = "a test makes one; nothing asks for a default")]
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, made.as_ref(), &random);
        Self(pair.expect("a key"))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
    }

    /// The public half, as `cosign.pub` has it.
    pub fn pem(&self) -> String {
        // SubjectPublicKeyInfo of a P-256 point is a constant head and the point.
        let der = [&P256_HEAD[..], self.0.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// cosign's payload about a manifest, and its signature.
    pub fn payload(&self, manifest: &str) -> (Vec<u8>, Vec<u8>) {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": "registry.example/acme/tool"},
                "image": {"docker-manifest-digest": manifest},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string().into_bytes();
        let signature = self.sign(&payload);
        (payload, signature)
    }

    /// A bundle about a manifest.
    pub fn bundle(&self, manifest: &str) -> Value {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": manifest.trim_start_matches("sha256:")}}],
            "predicateType": SIGNED,
            "predicate": {},
        });
        let payload = statement.to_string();
        let signed = format!("DSSEv1 {} {IN_TOTO} {} {payload}", IN_TOTO.len(), payload.len());
        let signature = STANDARD.encode(self.sign(signed.as_bytes()));
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": []},
            "dsseEnvelope": {
                "payloadType": IN_TOTO, "payload": STANDARD.encode(payload), "signatures": [{"sig": signature}],
            },
        })
    }
}

/// A repository that signatures are pushed to.
pub struct Shelf<'a> {
    registry: &'a Registry,
    repository: &'a str,
}

impl<'a> Shelf<'a> {
    pub fn new(registry: &'a Registry, repository: &'a str) -> Self {
        Self { registry, repository }
    }

    /// Signs a manifest in cosign's older form: a layer at a tag made of the digest.
    pub async fn sign(&self, key: &Key, manifest: &str) {
        let (payload, signature) = key.payload(manifest);
        self.put_layer(manifest, payload, &signature).await;
    }

    /// Signs a manifest with a bundle that refers to it.
    pub async fn sign_with_bundle(&self, key: &Key, manifest: &str) {
        self.put_bundle(manifest, &key.bundle(manifest)).await;
    }

    /// Puts a payload and a signature where those of a manifest belong.
    pub async fn put_layer(&self, manifest: &str, payload: Vec<u8>, signature: &[u8]) {
        let mut layer = self.blob("application/vnd.dev.cosign.simplesigning.v1+json", payload).await;
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": STANDARD.encode(signature)});
        let config = self.blob("application/vnd.oci.image.config.v1+json", b"{}".to_vec()).await;
        let signed = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.manifest(&format!("{}.sig", manifest.replace(':', "-")), MANIFEST, &signed).await;
    }

    /// Puts a bundle into the list of what refers to a manifest, which is a tag where the registry has no list.
    pub async fn put_bundle(&self, manifest: &str, bundle: &Value) {
        let layer = self.blob(BUNDLE, bundle.to_string().into_bytes()).await;
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}".to_vec()).await;
        let refers = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config, "layers": [layer],
            "subject": {"mediaType": MANIFEST, "digest": manifest, "size": 1},
            "annotations": {"dev.sigstore.bundle.predicateType": SIGNED},
        });
        let named = digest_of(refers.to_string().as_bytes());
        self.manifest(&named, MANIFEST, &refers).await;
        let listed = json!({
            "mediaType": MANIFEST, "artifactType": BUNDLE, "digest": named, "size": refers.to_string().len(),
            "annotations": {"dev.sigstore.bundle.predicateType": SIGNED},
        });
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]});
        self.manifest(&manifest.replace(':', "-"), INDEX, &list).await;
    }

    /// Puts an index of several platforms under a tag, in which this machine's is so many times, always this manifest: each
    /// number makes another index. Gives its digest.
    pub async fn put_index(&self, tag: &str, manifest: &str, times: usize) -> String {
        let answer = self.ask("GET", &format!("manifests/{manifest}"), &[], Bytes::new()).await;
        let kind = answer.header("content-type").expect("a kind").to_owned();
        let image = json!({
            "mediaType": kind, "digest": manifest, "size": answer.body.len(),
            "platform": {"os": "linux", "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }},
        });
        let list = "application/vnd.docker.distribution.manifest.list.v2+json";
        let index = json!({"schemaVersion": 2, "mediaType": list, "manifests": vec![image; times]});
        self.manifest(tag, list, &index).await;
        digest_of(index.to_string().as_bytes())
    }

    /// The digest that a tag leads to.
    pub async fn digest(&self, tag: &str) -> String {
        let answer = self.ask("GET", &format!("manifests/{tag}"), &[], Bytes::new()).await;
        assert_eq!(answer.status, 200, "{tag}: {}", answer.text());
        digest_of(&answer.body)
    }

    /// Makes a tag lead to another manifest.
    pub async fn move_tag(&self, tag: &str, manifest: &str) {
        let answer = self.ask("GET", &format!("manifests/{manifest}"), &[], Bytes::new()).await;
        let kind = answer.header("content-type").expect("a kind").to_owned();
        let answer = self
            .ask("PUT", &format!("manifests/{tag}"), &[("content-type", &kind)], answer.body.clone())
            .await;
        assert_eq!(answer.status, 201, "{tag}: {}", answer.text());
    }

    /// Stores bytes and describes them.
    async fn blob(&self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = digest_of(&bytes);
        let described = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        let place = self.ask("POST", "blobs/uploads/", &[], Bytes::new()).await;
        let place = place.header("location").expect("a place for an upload").to_owned();
        let (_, place) = place.split_once(&format!("/v2/{}/", self.repository)).expect("in the repository");
        let mark = if place.contains('?') { '&' } else { '?' };
        let kind = [("content-type", "application/octet-stream")];
        let stored = self.ask("PUT", &format!("{place}{mark}digest={digest}"), &kind, bytes.into()).await;
        assert_eq!(stored.status, 201, "{}", stored.text());
        described
    }

    async fn manifest(&self, version: &str, media_type: &str, manifest: &Value) {
        let (path, kind) = (format!("manifests/{version}"), [("content-type", media_type)]);
        let stored = self.ask("PUT", &path, &kind, manifest.to_string().into()).await;
        assert_eq!(stored.status, 201, "{version}: {}", stored.text());
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let address = self.registry.address.parse().expect("an address");
        let mut ask = Ask::new(address, method, &format!("/v2/{}/{path}", self.repository)).body(body);
        for kind in [
            MANIFEST,
            INDEX,
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ] {
            ask = ask.another_header("accept", kind);
        }
        for (name, value) in headers {
            ask = ask.header(name, *value);
        }
        ask.send().await
    }
}

fn digest_of(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// DER of everything before the point: the algorithms `ecPublicKey` and `prime256v1`, and a bit string of 65 bytes.
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const IN_TOTO: &str = "application/vnd.in-toto+json";
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

//! A Sigstore of our own: an authority that certifies signers as Fulcio does, a transparency log that promises and proves as
//! Rekor does, a certificate log, and the trust root that names them. DER is written by hand: a certificate is the only
//! thing that needs it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value as Json, json};

use crate::oci::trust::{Evidence, PublicKey, SimpleSigning, TrustRoot};

/// When everything is signed: 2024-06-01T12:00:00Z.
pub(super) const NOW: i64 = 1_717_243_200;
/// The certificates' ten minutes around it.
const VALID: [&str; 2] = ["240601115500Z", "240601120500Z"];
/// The authority's years.
const YEARS: [&str; 2] = ["200101000000Z", "400101000000Z"];

pub(super) const WORKFLOW: &str = "https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1";
pub(super) const ACTIONS: &str = "https://token.actions.githubusercontent.com";
pub(super) const COSIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// A P-256 key.
pub(super) struct Key(EcdsaKeyPair);

impl Key {
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, made.as_ref(), &random);
        Self(pair.expect("a key"))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
    }

    /// PKIX.
    pub(super) fn der(&self) -> Vec<u8> {
        let kind = seq(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
        seq(&[kind, bits(self.0.public_key().as_ref())])
    }

    pub(super) fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.der())
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey::parse(&self.pem()).expect("a key")
    }

    /// As logs are named: the digest of the key.
    fn id(&self) -> Vec<u8> {
        digest(&SHA256, &self.der()).as_ref().to_vec()
    }
}

/// Who certifies and who keeps the logs.
pub(super) struct Maker {
    pub(super) authority: Key,
    pub(super) log: Key,
    pub(super) certificate_log: Key,
}

/// What the log gives for an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Promise,
    Both,
}

impl Maker {
    pub(super) fn new() -> Self {
        Self { authority: Key::new(), log: Key::new(), certificate_log: Key::new() }
    }

    pub(super) fn root(&self) -> TrustRoot {
        TrustRoot::parse(&self.root_json().to_string()).expect("a trust root")
    }

    pub(super) fn root_json(&self) -> Json {
        let log = |key: &Key| {
            json!({
                "baseUrl": "https://log.example.com", "hashAlgorithm": "SHA2_256",
                "publicKey": { "rawBytes": b64(&key.der()), "keyDetails": "PKIX_ECDSA_P256_SHA_256" },
                "logId": { "keyId": b64(&key.id()) },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log)],
            "ctlogs": [log(&self.certificate_log)],
            "certificateAuthorities": [{
                "uri": "https://ca.example.com",
                "certChain": { "certificates": [{ "rawBytes": b64(&self.authority_certificate()) }] },
            }],
        })
    }

    fn authority_certificate(&self) -> Vec<u8> {
        let constraints = extension("2.5.29.19", true, &seq(&[tlv(0x01, &[0xff])]));
        let usage = extension("2.5.29.15", true, &tlv(0x03, &[1, 0b0000_0110]));
        self.certified(&name(), YEARS, &self.authority, &[constraints, usage])
    }

    /// A certificate for `signer` as `identity`, vouched for by `issuer`, in the certificate log.
    pub(super) fn certificate(&self, signer: &Key, identity: &str, issuer: &str) -> Vec<u8> {
        let usage = extension("2.5.29.15", true, &tlv(0x03, &[7, 0b1000_0000]));
        let purpose = extension("2.5.29.37", false, &seq(&[oid("1.3.6.1.5.5.7.3.3")]));
        let kind = if identity.contains("://") { 0x86 } else { 0x81 };
        let subject = extension("2.5.29.17", true, &seq(&[tlv(kind, identity.as_bytes())]));
        let issuer = extension("1.3.6.1.4.1.57264.1.8", false, &tlv(0x0c, issuer.as_bytes()));
        let mut extensions = vec![usage, purpose, subject, issuer];
        let nobody = seq(&[]);
        let logged = self.logged_certificate(&tbs(&nobody, VALID, signer, &extensions));
        extensions.push(extension("1.3.6.1.4.1.11129.2.4.2", false, &tlv(0x04, &logged)));
        self.certified(&nobody, VALID, signer, &extensions)
    }

    fn certified(&self, subject: &[u8], valid: [&str; 2], key: &Key, extensions: &[Vec<u8>]) -> Vec<u8> {
        let tbs = tbs(subject, valid, key, extensions);
        let signature = bits(&self.authority.sign(&tbs));
        seq(&[tbs, seq(&[oid(ECDSA_SHA256)]), signature])
    }

    /// The certificate log's list of one stamp (RFC 6962, 3.2 and 3.3).
    fn logged_certificate(&self, tbs: &[u8]) -> Vec<u8> {
        let time = u64::try_from(NOW * 1000).expect("a time").to_be_bytes();
        let issuer = digest(&SHA256, &self.authority.der());
        let length = u32::try_from(tbs.len()).expect("a length").to_be_bytes();
        let signed = [&[0, 0], &time[..], &[0, 1], issuer.as_ref(), &length[1..], tbs, &[0, 0]].concat();
        let signature = self.certificate_log.sign(&signed);
        let id = self.certificate_log.id();
        let stamp = [&[0], &id[..], &time, &[0, 0, 4, 3], &short(signature.len()), &signature].concat();
        let list = [&short(stamp.len())[..], &stamp].concat();
        [&short(list.len())[..], &list].concat()
    }

    /// The log's entry, as a bundle has it.
    pub(super) fn entry(&self, body: &Json, time: i64, gives: Gives) -> Json {
        let text = body.to_string();
        let mut entry = json!({
            "logIndex": "1",
            "logId": { "keyId": b64(&self.log.id()) },
            "kindVersion": { "kind": body["kind"], "version": body["apiVersion"] },
            "integratedTime": time.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": b64(&self.promise(&text, time)) },
            "canonicalizedBody": b64(text.as_bytes()),
        });
        if gives == Gives::Both {
            entry["inclusionProof"] = self.proof(&text);
        }
        entry
    }

    fn promise(&self, body: &str, time: i64) -> Vec<u8> {
        let (body, id) = (b64(body.as_bytes()), hex(&self.log.id()));
        let promised = format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{id}","logIndex":1}}"#);
        self.log.sign(promised.as_bytes())
    }

    /// The second leaf of two.
    fn proof(&self, body: &str) -> Json {
        let hash = |parts: &[&[u8]]| digest(&SHA256, &parts.concat()).as_ref().to_vec();
        let (first, leaf) = (hash(&[&[0], b"somebody else's"]), hash(&[&[0], body.as_bytes()]));
        let root = b64(&hash(&[&[1], &first, &leaf]));
        let note = format!("log.example.com\n2\n{root}\n");
        let signed = [&self.log.id()[..4], &self.log.sign(note.as_bytes())].concat();
        json!({
            "logIndex": "1", "treeSize": "2", "rootHash": root, "hashes": [b64(&first)],
            "checkpoint": { "envelope": format!("{note}\n\u{2014} log.example.com {}\n", b64(&signed)) },
        })
    }

    /// The promise as cosign's annotation has it.
    pub(super) fn annotation(&self, body: &Json, time: i64) -> String {
        let text = body.to_string();
        json!({
            "SignedEntryTimestamp": b64(&self.promise(&text, time)),
            "Payload": {
                "body": b64(text.as_bytes()), "integratedTime": time, "logIndex": 1, "logID": hex(&self.log.id()),
            },
        })
        .to_string()
    }
}

/// A statement about a manifest, signed as DSSE.
pub(super) struct Envelope {
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl Envelope {
    pub(super) fn of(manifest: &[u8], predicate: &str, key: &Key) -> Self {
        let digest = digest_of(manifest);
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": digest.trim_start_matches("sha256:") } }],
            "predicateType": predicate,
            "predicate": {},
        });
        let payload = payload.to_string().into_bytes();
        let head = format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), payload.len());
        let signature = key.sign(&[head.as_bytes(), &payload].concat());
        Self { payload, signature }
    }

    pub(super) fn json(&self) -> Json {
        json!({
            "payloadType": IN_TOTO, "payload": b64(&self.payload), "signatures": [{ "sig": b64(&self.signature) }],
        })
    }

    /// What the log writes about it; `verifier` in PEM.
    pub(super) fn logged(&self, verifier: &str) -> Json {
        json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": { "algorithm": "sha256", "value": hex(&[0; 32]) },
            "payloadHash": { "algorithm": "sha256", "value": hex(digest(&SHA256, &self.payload).as_ref()) },
            "signatures": [{ "signature": b64(&self.signature), "verifier": b64(verifier.as_bytes()) }],
        } })
    }
}

/// What the log writes about a signed message.
pub(super) fn logged_message(message: &[u8], signature: &[u8], verifier: &str) -> Json {
    json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": { "hash": { "algorithm": "sha256", "value": hex(digest(&SHA256, message).as_ref()) } },
        "signature": { "content": b64(signature), "publicKey": { "content": b64(verifier.as_bytes()) } },
    } })
}

/// A bundle of version 0.3.
pub(super) fn bundle(material: Json, content: (&str, Json), entries: &[Json]) -> Json {
    let mut bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": material,
    });
    bundle["verificationMaterial"]["tlogEntries"] = entries.into();
    bundle[content.0] = content.1;
    bundle
}

pub(super) fn evidence(bundle: &Json) -> Evidence {
    Evidence::Bundle(bundle.to_string().into())
}

/// cosign's payload for a manifest.
pub(super) fn payload(manifest: &[u8]) -> Vec<u8> {
    let digest = digest_of(manifest);
    json!({
        "critical": {
            "identity": { "docker-reference": "registry.example.com/acme/tool" },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

/// cosign's layer without what is optional.
pub(super) fn layer(payload: &[u8], signature: &[u8]) -> SimpleSigning {
    SimpleSigning { payload: payload.to_vec().into(), signature: b64(signature), ..SimpleSigning::default() }
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(digest(&SHA256, bytes).as_ref()))
}

pub(super) fn b64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", b64(der))
}

fn tbs(subject: &[u8], valid: [&str; 2], key: &Key, extensions: &[Vec<u8>]) -> Vec<u8> {
    let times = valid.map(|time| tlv(0x17, time.as_bytes()));
    seq(&[
        tlv(0xa0, &tlv(0x02, &[2])),
        tlv(0x02, &[7]),
        seq(&[oid(ECDSA_SHA256)]),
        name(),
        seq(&times),
        subject.to_vec(),
        key.der(),
        tlv(0xa3, &seq(extensions)),
    ])
}

fn name() -> Vec<u8> {
    seq(&[tlv(0x31, &seq(&[oid("2.5.4.10"), tlv(0x0c, b"an authority")]))])
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { tlv(0x01, &[0xff]) } else { Vec::new() };
    seq(&[oid(id), flag, tlv(0x04, value)])
}

fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn bits(content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], content].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = short(content.len());
    let head = match content.len() {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("a short length").to_be_bytes()
}

fn oid(dotted: &str) -> Vec<u8> {
    let numbers: Vec<u32> = dotted.split('.').map(|part| part.parse().expect("a number")).collect();
    let mut content = vec![u8::try_from(numbers[0] * 40 + numbers[1]).expect("a small number")];
    for number in &numbers[2..] {
        let groups = (0..5).rev().map(|at| (number >> (7 * at)) & 0x7f).skip_while(|group| *group == 0);
        let mut groups: Vec<u8> =
            groups.map(|group| u8::try_from(group | 0x80).expect("seven bits")).collect();
        if groups.is_empty() {
            groups.push(0);
        }
        *groups.last_mut().expect("a group") &= 0x7f;
        content.extend(groups);
    }
    tlv(0x06, &content)
}

const IN_TOTO: &str = "application/vnd.in-toto+json";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";

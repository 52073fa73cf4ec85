//! Keyless: the signer's certificate, the authority, the logs.

use expect_test::expect;
use serde_json::json;

use super::maker::{
    ACTIONS, COSIGN, Envelope, Gives, Key, Maker, NOW, WORKFLOW, b64, bundle, evidence, layer,
    logged_message, payload, pem,
};
use super::*;

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;

fn identity(identity: &str, issuer: &str) -> Signer {
    Signer::Identity { identity: Glob::new(identity), issuer: issuer.to_owned() }
}

fn workflow() -> Signer {
    identity("https://github.com/acme/tool/.github/workflows/release.yml@*", ACTIONS)
}

/// What a bundle is made of; a test changes one thing.
struct Recipe {
    identity: &'static str,
    issuer: &'static str,
    predicate: &'static str,
    time: i64,
    gives: Option<Gives>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { identity: WORKFLOW, issuer: ACTIONS, predicate: COSIGN, time: NOW, gives: Some(Gives::Both) }
    }
}

impl Recipe {
    fn json(&self, maker: &Maker) -> serde_json::Value {
        let key = Key::new();
        let certificate = maker.certificate(&key, self.identity, self.issuer);
        let envelope = Envelope::of(MANIFEST, self.predicate, &key);
        let body = envelope.logged(&pem("CERTIFICATE", &certificate));
        let entries: Vec<_> =
            self.gives.map(|gives| maker.entry(&body, self.time, gives)).into_iter().collect();
        let material = json!({ "certificate": { "rawBytes": b64(&certificate) } });
        bundle(material, ("dsseEnvelope", envelope.json()), &entries)
    }

    fn made(&self, maker: &Maker) -> Evidence {
        evidence(&self.json(maker))
    }
}

#[test]
fn a_bundle_counts_for_the_identity_and_the_root_that_are_wanted() {
    let (maker, stranger) = (Maker::new(), Maker::new());
    let root = maker.root();
    let good = [Recipe::default().made(&maker)];
    let elsewhere = {
        let mut json = maker.root_json();
        json["certificateAuthorities"] = stranger.root_json()["certificateAuthorities"].take();
        TrustRoot::parse(&json.to_string()).expect("a trust root")
    };
    let public = TrustRoot::public_good().expect("the public root");
    let key = Signer::Key { key: Key::new().public(), logged: false };
    let mut table = Table::default();
    for (name, signer, root) in [
        ("good", workflow(), &root),
        ("other identity", identity("https://github.com/acme/other/*", ACTIONS), &root),
        ("other issuer", identity(WORKFLOW, "https://accounts.google.com"), &root),
        ("other root", workflow(), &stranger.root()),
        ("other authority", workflow(), &elsewhere),
        ("public root", workflow(), &public),
        ("a key is wanted", key, &root),
    ] {
        table.row(name, &said(&about(MANIFEST), &good, &signer, root));
    }
    expect![[r#"
        good: signed by https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1 (https://token.actions.githubusercontent.com), at 1717243200
        other identity: its signature is by `https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1`, and the policy wants `https://github.com/acme/other/*`
        other issuer: its signature is vouched for by `https://token.actions.githubusercontent.com`, and the policy wants `https://accounts.google.com`
        other root: its signature has a log entry that does not count: its log is not one of the trust root's
        other authority: its signature has a certificate that does not count: its authority is not one of the trust root's
        public root: its signature has a log entry that does not count: its log is not one of the trust root's
        a key is wanted: its signature is made with a certificate, and the policy names a key
    "#]].assert_eq(&table.0);
}

#[test]
fn a_bundle_counts_when_the_authority_and_the_logs_say_so() {
    let maker = Maker::new();
    let root = maker.root();
    let mut table = Table::default();
    for (name, recipe) in [
        ("promised only", Recipe { gives: Some(Gives::Promise), ..Recipe::default() }),
        ("provenance", Recipe { predicate: "https://slsa.dev/provenance/v1", ..Recipe::default() }),
        ("in no log", Recipe { gives: None, ..Recipe::default() }),
        ("logged too late", Recipe { time: NOW + 3600, ..Recipe::default() }),
        ("logged too early", Recipe { time: NOW - 3600, ..Recipe::default() }),
        ("logged in the future", Recipe { time: 4_000_000_000, ..Recipe::default() }),
        (
            "a scan",
            Recipe { predicate: "https://cosign.sigstore.dev/attestation/vuln/v1", ..Recipe::default() },
        ),
    ] {
        table.row(name, &said(&about(MANIFEST), &[recipe.made(&maker)], &workflow(), &root));
    }
    let person = Recipe { identity: "ann@example.com", ..Recipe::default() }.made(&maker);
    let signer = identity("ann@example.com", ACTIONS);
    table.row("a person", &said(&about(MANIFEST), &[person], &signer, &root));
    expect![[r#"
        promised only: signed by https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1 (https://token.actions.githubusercontent.com), at 1717243200
        provenance: signed by https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1 (https://token.actions.githubusercontent.com), at 1717243200
        in no log: its signature is in no transparency log
        logged too late: its signature has a certificate that does not count: it had expired when, by the log, it was used
        logged too early: its signature has a certificate that does not count: it was not valid yet when, by the log, it was used
        logged in the future: its signature has a log entry that does not count: invalid integrated time: integrated time 2096-10-02T07:06:40Z is in the future (current time: ...
        a scan: its signature is a statement of another kind, `https://cosign.sigstore.dev/attestation/vuln/v1`
        a person: signed by ann@example.com (https://token.actions.githubusercontent.com), at 1717243200
    "#]].assert_eq(&table.0);
}

#[test]
fn what_was_changed_does_not_count() {
    let (maker, stranger) = (Maker::new(), Maker::new());
    let root = maker.root();
    let mut table = Table::default();
    let mut row = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut made = Recipe::default().json(&maker);
        change(&mut made);
        table.row(name, &said(&about(MANIFEST), &[evidence(&made)], &workflow(), &root));
    };
    let other = Recipe::default().json(&maker);
    let key = Key::new();
    row("payload", &|made| {
        made["dsseEnvelope"]["payload"] =
            b64(&Envelope::of(MANIFEST, "https://slsa.dev/provenance/v1", &key).payload).into()
    });
    row("payload and signature", &|made| made["dsseEnvelope"] = Envelope::of(MANIFEST, COSIGN, &key).json());
    row("certificate", &|made| {
        made["verificationMaterial"]["certificate"] = other["verificationMaterial"]["certificate"].clone()
    });
    row("entry", &|made| {
        made["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"].clone()
    });
    row("time", &|made| {
        made["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = (NOW + 1).to_string().into()
    });
    row("proof", &|made| {
        made["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"] = json!([b64(&[0; 32])])
    });
    row("log", &|made| {
        let body: serde_json::Value = Envelope::of(MANIFEST, COSIGN, &key).logged("");
        made["verificationMaterial"]["tlogEntries"] = json!([stranger.entry(&body, NOW, Gives::Both)]);
    });
    row("no log", &|made| made["verificationMaterial"]["tlogEntries"] = json!([]));
    row("no proof, no promise", &|made| {
        let entry = &mut made["verificationMaterial"]["tlogEntries"][0];
        entry["inclusionProof"].take();
        entry["inclusionPromise"].take();
    });
    row("no certificate", &|made| made["verificationMaterial"]["certificate"] = json!({ "rawBytes": "" }));
    row("not a bundle", &|made| *made = json!({ "mediaType": "text/plain" }));
    expect![[r#"
        payload: its signature does not fit what it signs
        payload and signature: its signature does not fit what it signs
        certificate: its signature does not fit what it signs
        entry: its signature has a log entry that does not count: log entry does not match the bundle: DSSE signature in bundle does not match any signature in Rekor entry (signature or verifier mismatch)
        time: its signature has a log entry that does not count: invalid inclusion promise: SET verification failed: Verification error: the ECDSA_P256_SHA256 signature does not fit
        proof: its signature has a log entry that does not count: invalid inclusion proof: inclusion proof verification failed: root hash mismatch: expected ... computed ...
        log: its signature has a log entry that does not count: its log is not one of the trust root's
        no log: its signature is in no transparency log
        no proof, no promise: its signature has a log entry that does not count: it has neither a proof nor a promise of the log
        no certificate: its signature has a certificate that does not count: malformed certificate: failed to parse certificate: Certificate error: failed to parse certificate: ASN.1 DER message is incomplete: expected 1, actual 0 at DER byte 0
        not a bundle: its signature cannot be read: JSON error: Invalid media type: text/plain at line 1 column 26
    "#]].assert_eq(&table.0);
}

#[test]
fn a_certificate_has_to_be_in_the_certificate_log() {
    let (mut maker, stranger) = (Maker::new(), Maker::new());
    let root = maker.root();
    let without = {
        let mut json = maker.root_json();
        json["ctlogs"] = json!([]);
        TrustRoot::parse(&json.to_string()).expect("a trust root")
    };
    maker.certificate_log = stranger.certificate_log;
    let made = [Recipe::default().made(&maker)];
    let mut table = Table::default();
    table.row("root names a log", &said(&about(MANIFEST), &made, &workflow(), &root));
    table.row("root names none", &said(&about(MANIFEST), &made, &workflow(), &without));
    expect![[r#"
        root names a log: its signature has a certificate that does not count: invalid signed certificate timestamp: SCT signature verification failed: Verification error: key not found or not valid at 2024-06-01T12:00:00Z: ...
        root names none: signed by https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1 (https://token.actions.githubusercontent.com), at 1717243200
    "#]].assert_eq(&table.0);
}

#[test]
fn a_signature_is_for_one_digest() {
    let maker = Maker::new();
    let made = [Recipe::default().made(&maker)];
    let other = about(br#"{"schemaVersion":2,"evil":true}"#);
    assert_eq!(said(&other, &made, &workflow(), &maker.root()), "its signature is for another artifact");
    assert_eq!(said(&other, &[], &workflow(), &maker.root()), "it has no signature");
}

#[test]
fn the_manifest_itself_may_be_signed() {
    let maker = Maker::new();
    let key = Key::new();
    let certificate = maker.certificate(&key, WORKFLOW, ACTIONS);
    let signature = key.sign(MANIFEST);
    let body = logged_message(MANIFEST, &signature, &pem("CERTIFICATE", &certificate));
    let content = json!({ "signature": b64(&signature) });
    let material = json!({ "certificate": { "rawBytes": b64(&certificate) } });
    let made = bundle(material, ("messageSignature", content), &[maker.entry(&body, NOW, Gives::Both)]);
    let subject = about(MANIFEST);
    let with = subject.clone().with_manifest(MANIFEST.into()).expect("its manifest");
    let mut table = Table::default();
    table.row("with it", &said(&with, &[evidence(&made)], &workflow(), &maker.root()));
    table.row("without", &said(&subject, &[evidence(&made)], &workflow(), &maker.root()));
    let other = about(b"{}").with_manifest(Bytes::from_static(b"{}")).expect("its manifest");
    table.row("another", &said(&other, &[evidence(&made)], &workflow(), &maker.root()));
    expect![[r#"
        with it: signed by https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1 (https://token.actions.githubusercontent.com), at 1717243200
        without: its signature signs the manifest as it is, and the manifest is not at hand
        another: its signature does not fit what it signs
    "#]].assert_eq(&table.0);
}

#[test]
fn the_older_form_counts_the_same() {
    let (maker, stranger) = (Maker::new(), Maker::new());
    let key = Key::new();
    let certificate = pem("CERTIFICATE", &maker.certificate(&key, WORKFLOW, ACTIONS));
    let payload = payload(MANIFEST);
    let signature = key.sign(&payload);
    let body = logged_message(&payload, &signature, &certificate);
    let good = SimpleSigning {
        certificate: Some(certificate),
        chain: Some(String::new()),
        bundle: Some(maker.annotation(&body, NOW)),
        ..layer(&payload, &signature)
    };
    let changed = |change: &dyn Fn(&mut SimpleSigning)| {
        let mut layer = good.clone();
        change(&mut layer);
        [Evidence::Simple(layer)]
    };
    let mut table = Table::default();
    let mut row = |name: &str, evidence: &[Evidence]| {
        table.row(name, &said(&about(MANIFEST), evidence, &workflow(), &maker.root()));
    };
    row("good", &changed(&|_| ()));
    row("no promise", &changed(&|layer| layer.bundle = None));
    row("no certificate", &changed(&|layer| layer.certificate = None));
    row("promised by another log", &changed(&|layer| layer.bundle = Some(stranger.annotation(&body, NOW))));
    row(
        "promised another time",
        &changed(&|layer| {
            layer.bundle = layer.bundle.as_ref().map(|text| text.replace("1717243200", "1717243201"))
        }),
    );
    row("another payload", &changed(&|layer| layer.payload = maker::payload(b"{}").into()));
    row("the payload changed", &changed(&|layer| layer.payload = [&payload[..], b" "].concat().into()));
    row("another signature", &changed(&|layer| layer.signature = b64(&Key::new().sign(&payload))));
    row("no base64", &changed(&|layer| layer.signature = "?".to_owned()));
    row("no PEM", &changed(&|layer| layer.certificate = Some("nothing".to_owned())));
    expect![[r#"
        good: signed by https://github.com/acme/tool/.github/workflows/release.yml@refs/tags/v1 (https://token.actions.githubusercontent.com), at 1717243200
        no promise: its signature is in no transparency log
        no certificate: its signature is made with a key, and the policy names an identity
        promised by another log: its signature has a log entry that does not count: its log is not one of the trust root's
        promised another time: its signature has a log entry that does not count: invalid inclusion promise: SET verification failed: Verification error: the ECDSA_P256_SHA256 signature does not fit
        another payload: its signature is for another artifact
        the payload changed: its signature does not fit what it signs
        another signature: its signature does not fit what it signs
        no base64: its signature cannot be read: Invalid encoding: invalid base64: Invalid symbol 63, offset 0.
        no PEM: its signature is made with a key, and the policy names an identity
    "#]].assert_eq(&table.0);
}

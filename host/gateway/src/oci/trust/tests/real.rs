//! Signatures that others made, against the public trust root (see `data/README.md`).

use std::collections::BTreeMap;

use expect_test::expect;
use serde::Deserialize;

use super::*;

const ACTIONS: &str = "https://token.actions.githubusercontent.com";

fn identity(identity: &str) -> Signer {
    Signer::Identity { identity: Glob::new(identity), issuer: ACTIONS.to_owned() }
}

fn public() -> TrustRoot {
    TrustRoot::public_good().expect("the public root")
}

#[derive(Deserialize)]
struct Cosign {
    digest: String,
    payload: String,
    annotations: BTreeMap<String, String>,
}

#[test]
fn an_image_signed_by_cosign_in_a_workflow() {
    let layer: Cosign = serde_json::from_str(include_str!("data/guac-0.1.2.cosign.json")).expect("a layer");
    let payload = Bytes::from(layer.payload);
    let simple = SimpleSigning::from_layer(payload.clone(), &layer.annotations).expect("a signature");
    let subject = Subject::new(&layer.digest).expect("a digest");
    let release = "https://github.com/guacsec/guac/.github/workflows/release.yaml@refs/tags/v*";
    let mut table = Table::default();
    let mut row = |name: &str, layer: &SimpleSigning, signer: &str| {
        table.row(name, &said(&subject, &[Evidence::Simple(layer.clone())], &identity(signer), &public()));
    };
    row("good", &simple, release);
    row("another workflow", &simple, "https://github.com/guacsec/guac/.github/workflows/test.yaml@*");
    let changed = SimpleSigning { payload: [&payload[..], b"\n"].concat().into(), ..simple.clone() };
    row("changed", &changed, release);
    row("without the log", &SimpleSigning { bundle: None, ..simple }, release);
    expect![[r#"
        good: signed by https://github.com/guacsec/guac/.github/workflows/release.yaml@refs/tags/v0.1.2 (https://token.actions.githubusercontent.com), at 1692210967
        another workflow: its signature is by `https://github.com/guacsec/guac/.github/workflows/release.yaml@refs/tags/v0.1.2`, and the policy wants `https://github.com/guacsec/guac/.github/workflows/test.yaml@*`
        changed: its signature does not fit what it signs
        without the log: its signature is in no transparency log
    "#]].assert_eq(&table.0);
}

#[test]
fn the_provenance_of_a_package() {
    let bundle = include_bytes!("data/sigstore-js-2.0.0.sigstore.json");
    let evidence = [Evidence::Bundle(Bytes::from_static(bundle))];
    let digest = "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c";
    let subject = Subject::new(digest).expect("a digest");
    let signer = identity("https://github.com/sigstore/sigstore-js/*");
    let mut table = Table::default();
    table.row("good", &said(&subject, &evidence, &signer, &public()));
    let other = Subject::new(&digest.replace("sha512:46", "sha512:47")).expect("a digest");
    table.row("another artifact", &said(&other, &evidence, &signer, &public()));
    expect![[r#"
        good: signed by https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main (https://token.actions.githubusercontent.com), at 1692374735
        another artifact: its signature is for another artifact
    "#]].assert_eq(&table.0);
}

#[test]
fn a_message_signed_with_a_key_and_logged() {
    let message = Bytes::from_static(include_bytes!("data/managed-key.txt"));
    let bundle = include_bytes!("data/managed-key.sigstore.json");
    let evidence = [Evidence::Bundle(Bytes::from_static(bundle))];
    let key = PublicKey::parse(include_str!("data/managed-key.pub")).expect("a key");
    let subject = about(&message).with_manifest(message).expect("its bytes");
    let mut table = Table::default();
    table.row("good", &said(&subject, &evidence, &Signer::Key { key: key.clone(), logged: true }, &public()));
    let empty =
        TrustRoot::parse(r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#);
    let empty = empty.expect("a root of nothing");
    table.row(
        "logs unknown",
        &said(&subject, &evidence, &Signer::Key { key: key.clone(), logged: false }, &empty),
    );
    table.row(
        "logs unknown, must be logged",
        &said(&subject, &evidence, &Signer::Key { key, logged: true }, &empty),
    );
    expect![[r#"
        good: signed by the key sha256:4cb32c4837c6dda8cfb1681efb3fef5f94ffce5b979e6bdb9139302c857af139, at 1766077479
        logs unknown: signed by the key sha256:4cb32c4837c6dda8cfb1681efb3fef5f94ffce5b979e6bdb9139302c857af139, no time
        logs unknown, must be logged: its signature has a log entry that does not count: its log is not one of the trust root's
    "#]].assert_eq(&table.0);
}

#[test]
fn a_trust_root_is_read_or_refused_with_words() {
    let words =
        |text: &str| TrustRoot::parse(text).map(|root| format!("{root:?}")).unwrap_or_else(|e| e.to_string());
    let mut table = Table::default();
    table.row("public", &format!("{:?}", public()));
    for text in ["", "{}", r#"{"mediaType":"text/plain"}"#, &"[".repeat(2 << 20)] {
        table.row(&text.chars().take(30).collect::<String>(), &words(text));
    }
    let mut broken: serde_json::Value = maker::Maker::new().root_json();
    broken["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = "AAAA".into();
    table.row("no certificate", &words(&broken.to_string()));
    expect![[r#"
        public: TrustRoot(2 authorities, 2 logs, 2 certificate logs, 1 time stampers)
        : is not a Sigstore trusted root: failed to parse JSON: EOF while parsing a value at line 1 column 0
        {}: is not a Sigstore trusted root: failed to parse JSON: missing field `mediaType` at line 1 column 2
        {"mediaType":"text/plain"}: is not a Sigstore trusted root: its media type is `text/plain`
        [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[: has more than 1024 KiB
        no certificate: is not a Sigstore trusted root: invalid trusted certificate: TrailingData(SignedData)
    "#]]
    .assert_eq(&table.0);
}

//! With a key: the signature alone decides; a log adds the time.

use expect_test::expect;
use serde_json::json;

use super::maker::{
    ACTIONS, COSIGN, Envelope, Gives, Key, Maker, NOW, WORKFLOW, bundle, evidence, layer, logged_message,
    payload,
};
use super::*;

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;

fn key(key: &Key, logged: bool) -> Signer {
    Signer::Key { key: key.public(), logged }
}

/// The same words whatever the key.
fn said_by(subject: &Subject, evidence: &[Evidence], signer: &Signer, root: &TrustRoot) -> String {
    let Signer::Key { key, .. } = signer else { return said(subject, evidence, signer, root) };
    said(subject, evidence, signer, root).replace(&key.id(), "K")
}

fn of(envelope: &Envelope, entries: &[serde_json::Value]) -> Evidence {
    evidence(&bundle(json!({ "publicKey": { "hint": "" } }), ("dsseEnvelope", envelope.json()), entries))
}

#[test]
fn a_bundle_counts_with_a_log_and_without() {
    let (maker, stranger, ours, other) = (Maker::new(), Maker::new(), Key::new(), Key::new());
    let root = maker.root();
    let envelope = Envelope::of(MANIFEST, COSIGN, &ours);
    let body = envelope.logged(&ours.pem());
    let proved = of(&envelope, &[maker.entry(&body, NOW, Gives::Both)]);
    let promised = of(&envelope, &[maker.entry(&body, NOW, Gives::Promise)]);
    let foreign = of(&envelope, &[stranger.entry(&body, NOW, Gives::Promise)]);
    let borrowed = of(
        &envelope,
        &[maker.entry(&Envelope::of(MANIFEST, COSIGN, &other).logged(&other.pem()), NOW, Gives::Both)],
    );
    let bare = of(&envelope, &[]);
    let subject = about(MANIFEST);
    let mut table = Table::default();
    for (name, piece) in [
        ("bare", &bare),
        ("proved", &proved),
        ("promised", &promised),
        ("another log", &foreign),
        ("another's entry", &borrowed),
    ] {
        for logged in [false, true] {
            let name = if logged { format!("{name}, must be logged") } else { name.to_owned() };
            table.row(&name, &said_by(&subject, std::slice::from_ref(piece), &key(&ours, logged), &root));
        }
    }
    table.row("another key", &said_by(&subject, std::slice::from_ref(&proved), &key(&other, false), &root));
    table.row(
        "another artifact",
        &said_by(&about(b"{}"), std::slice::from_ref(&proved), &key(&ours, false), &root),
    );
    let list = of(&Envelope::of(MANIFEST, "https://spdx.dev/Document", &ours), &[]);
    table.row("a list of parts", &said_by(&subject, &[list], &key(&ours, false), &root));
    let identity = Signer::Identity { identity: Glob::new(WORKFLOW), issuer: ACTIONS.to_owned() };
    table.row("an identity is wanted", &said(&subject, &[bare], &identity, &root));
    expect![[r#"
        bare: signed by the key K, no time
        bare, must be logged: its signature is in no transparency log
        proved: signed by the key K, at 1717243200
        proved, must be logged: signed by the key K, at 1717243200
        promised: signed by the key K, at 1717243200
        promised, must be logged: signed by the key K, at 1717243200
        another log: signed by the key K, no time
        another log, must be logged: its signature has a log entry that does not count: its log is not one of the trust root's
        another's entry: signed by the key K, no time
        another's entry, must be logged: its signature has a log entry that does not count: log entry does not match the bundle: DSSE signature in bundle does not match any signature in Rekor entry (signature or verifier mismatch)
        another key: its signature is not by the key K, or what it signs was changed
        another artifact: its signature is for another artifact
        a list of parts: its signature is a statement of another kind, `https://spdx.dev/Document`
        an identity is wanted: its signature is made with a key, and the policy names an identity
    "#]].assert_eq(&table.0);
}

#[test]
fn the_older_form_counts_with_a_log_and_without() {
    let (maker, ours, other) = (Maker::new(), Key::new(), Key::new());
    let root = maker.root();
    let payload = payload(MANIFEST);
    let signature = ours.sign(&payload);
    let body = logged_message(&payload, &signature, &ours.pem());
    let bare = layer(&payload, &signature);
    let promised = SimpleSigning { bundle: Some(maker.annotation(&body, NOW)), ..bare.clone() };
    let changed = SimpleSigning { payload: [&payload[..], b" "].concat().into(), ..bare.clone() };
    let unreadable = SimpleSigning { payload: Bytes::from_static(b"{"), ..bare.clone() };
    let subject = about(MANIFEST);
    let mut table = Table::default();
    let mut row = |name: &str, layer: &SimpleSigning, signer: &Signer| {
        table.row(name, &said_by(&subject, &[Evidence::Simple(layer.clone())], signer, &root));
    };
    row("bare", &bare, &key(&ours, false));
    row("bare, must be logged", &bare, &key(&ours, true));
    row("promised", &promised, &key(&ours, true));
    row("another key", &promised, &key(&other, false));
    row("changed", &changed, &key(&ours, false));
    row("unreadable", &unreadable, &key(&ours, false));
    expect![[r#"
        bare: signed by the key K, no time
        bare, must be logged: its signature is in no transparency log
        promised: signed by the key K, at 1717243200
        another key: its signature is not by the key K, or what it signs was changed
        changed: its signature is not by the key K, or what it signs was changed
        unreadable: its signature cannot be read: EOF while parsing an object at line 1 column 1
    "#]]
    .assert_eq(&table.0);
}

#[test]
fn the_first_that_counts_is_enough() {
    let (maker, ours, other) = (Maker::new(), Key::new(), Key::new());
    let bare = |key: &Key| of(&Envelope::of(MANIFEST, COSIGN, key), &[]);
    let subject = about(MANIFEST);
    let signer = key(&ours, false);
    let mut table = Table::default();
    table.row(
        "last",
        &said_by(&subject, &[bare(&other), evidence(&json!({})), bare(&ours)], &signer, &maker.root()),
    );
    let many: Vec<_> = (0..6).map(|_| bare(&other)).collect();
    table.row("none", &said_by(&subject, &many, &signer, &maker.root()));
    let mut buried: Vec<_> = (0..MOST_EVIDENCE).map(|_| evidence(&json!(1))).collect();
    buried.push(bare(&ours));
    assert!(verify(&subject, &buried, &signer, &maker.root()).is_err(), "only so many are looked at");
    expect![[r#"
        last: signed by the key K, no time
        none: none of its 6 signatures counts: one is not by the key K, or what it signs was changed; one is not by the key K, or what it signs was changed; one is not by the key K, or what it signs was changed; one is not by the key K, or what it signs was changed; ...
    "#]].assert_eq(&table.0);
}

#[test]
fn a_policy_warns_or_refuses() {
    let (maker, ours) = (Maker::new(), Key::new());
    let signer = key(&ours, false);
    let rule = |pattern: &str, demand: Demand| Rule {
        pattern: Pattern::parse(pattern).expect("a pattern"),
        demand,
        signatures: None,
    };
    let policy = Policy::new(vec![
        rule("ghcr.io/acme/*", Demand::Require(signer.clone())),
        rule("ghcr.io/*", Demand::Warn(signer)),
        rule("*", Demand::Off),
    ]);
    let subject = about(MANIFEST);
    let good = [of(&Envelope::of(MANIFEST, COSIGN, &ours), &[])];
    let mut table = Table::default();
    for (repository, evidence) in [
        ("ghcr.io/acme/x", &good[..]),
        ("ghcr.io/acme/x", &[]),
        ("ghcr.io/x", &good),
        ("ghcr.io/x", &[]),
        ("docker.io/x", &[]),
    ] {
        let said = match policy.clear(repository, &subject, evidence, &maker.root()) {
            Ok(clearance) => {
                assert_eq!(clearance.digest(), maker::digest_of(MANIFEST));
                match clearance.outcome() {
                    Outcome::NotAsked => "not asked".to_owned(),
                    Outcome::Verified(verified) => format!("by {}", verified.by),
                    Outcome::Warned(unverified) => format!("warned: {unverified}"),
                }
            }
            Err(unsigned) => unsigned.to_string(),
        };
        table.row(repository, &said.replace(&ours.public().id(), "K"));
    }
    expect![[r#"
        ghcr.io/acme/x: by the key K
        ghcr.io/acme/x: `ghcr.io/acme/x` must be signed by the key K: it has no signature
        ghcr.io/x: by the key K
        ghcr.io/x: warned: it has no signature
        docker.io/x: not asked
    "#]]
    .assert_eq(&table.0);
}

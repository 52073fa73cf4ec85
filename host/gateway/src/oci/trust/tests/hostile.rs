//! What a registry may send instead: cut, changed and made-up bytes. Nothing of it verifies as something else, nothing panics.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::maker::{
    ACTIONS, COSIGN, Envelope, Gives, Key, Maker, NOW, WORKFLOW, b64, bundle, layer, logged_message, payload,
    pem,
};
use super::*;

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;
const OTHER: &[u8] = b"{}";

/// One good signature of each form, made once.
struct Good {
    root: TrustRoot,
    identity: Signer,
    key: Signer,
    keyless: Json,
    keyed: Json,
    simple: SimpleSigning,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let (maker, ours) = (Maker::new(), Key::new());
    let certificate = maker.certificate(&ours, WORKFLOW, ACTIONS);
    let written = pem("CERTIFICATE", &certificate);
    let envelope = Envelope::of(MANIFEST, COSIGN, &ours);
    let entry = maker.entry(&envelope.logged(&written), NOW, Gives::Both);
    let material = json!({ "certificate": { "rawBytes": b64(&certificate) } });
    let payload = payload(MANIFEST);
    let signature = ours.sign(&payload);
    let promise = maker.annotation(&logged_message(&payload, &signature, &written), NOW);
    Good {
        root: maker.root(),
        identity: Signer::Identity { identity: Glob::new(WORKFLOW), issuer: ACTIONS.to_owned() },
        key: Signer::Key { key: ours.public(), logged: false },
        keyless: bundle(material, ("dsseEnvelope", envelope.json()), &[entry]),
        keyed: bundle(json!({ "publicKey": { "hint": "" } }), ("dsseEnvelope", envelope.json()), &[]),
        simple: SimpleSigning {
            certificate: Some(written),
            bundle: Some(promise),
            ..layer(&payload, &signature)
        },
    }
});

fn verdict(evidence: Evidence, signer: &Signer, manifest: &[u8]) -> Result<Verified, Unverified> {
    verify(&about(manifest), &[evidence], signer, &GOOD.root)
}

/// What every byte of is under a signature: in base64, and where it is.
const SIGNED: [&str; 5] = [
    "/dsseEnvelope/payload",
    "/dsseEnvelope/signatures/0/sig",
    "/verificationMaterial/certificate/rawBytes",
    "/verificationMaterial/tlogEntries/0/canonicalizedBody",
    "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
];

fn flipped(bytes: &[u8], at: usize, mask: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at % bytes.len();
    bytes[at] ^= mask;
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_changed_byte_that_is_signed_verifies(place in 0..SIGNED.len(), at: usize, mask in 1_u8..) {
        for (good, signer) in [(&GOOD.keyless, &GOOD.identity), (&GOOD.keyed, &GOOD.key)] {
            let mut bundle = good.clone();
            let Some(spot) = bundle.pointer_mut(SIGNED[place]) else { continue };
            let bytes = check::decoded(spot.as_str().expect("a text")).expect("base64");
            *spot = b64(&flipped(&bytes, at, mask)).into();
            let said = verdict(Evidence::Bundle(bundle.to_string().into()), signer, MANIFEST);
            prop_assert!(said.is_err(), "{}", SIGNED[place]);
        }
    }

    #[test]
    fn a_damaged_bundle_verifies_as_what_it_was_or_not_at_all(at: usize, mask in 1_u8.., cut: bool) {
        for (good, signer) in [(&GOOD.keyless, &GOOD.identity), (&GOOD.keyed, &GOOD.key)] {
            let text = good.to_string().into_bytes();
            let damaged = if cut { text[..at % text.len()].to_vec() } else { flipped(&text, at, mask) };
            let was = verdict(Evidence::Bundle(text.into()), signer, MANIFEST);
            prop_assert!(was.is_ok());
            let is = verdict(Evidence::Bundle(damaged.clone().into()), signer, MANIFEST);
            prop_assert!(is.is_err() || (is == was && !cut), "{:?}", is);
            let other = verdict(Evidence::Bundle(damaged.into()), signer, OTHER);
            prop_assert!(other.is_err());
        }
    }

    #[test]
    fn a_damaged_layer_verifies_as_what_it_was_or_not_at_all(part in 0..4, at: usize, mask in 1_u8..128, cut: bool) {
        let damage = |text: &str| {
            let bytes = if cut { text.as_bytes()[..at % text.len()].to_vec() } else { flipped(text.as_bytes(), at, mask) };
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut layer = GOOD.simple.clone();
        match part {
            0 => layer.payload = damage(std::str::from_utf8(&layer.payload).expect("a text")).into(),
            1 => layer.signature = damage(&layer.signature),
            2 => layer.certificate = layer.certificate.as_deref().map(damage),
            _ => layer.bundle = layer.bundle.as_deref().map(damage),
        }
        let was = verdict(Evidence::Simple(GOOD.simple.clone()), &GOOD.identity, MANIFEST);
        prop_assert!(was.is_ok());
        let is = verdict(Evidence::Simple(layer.clone()), &GOOD.identity, MANIFEST);
        prop_assert!(is.is_err() || (is == was && part > 0), "{part} {:?}", is);
        let other = verdict(Evidence::Simple(layer), &GOOD.identity, OTHER);
        prop_assert!(other.is_err());
    }

    #[test]
    fn made_up_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let said = verdict(Evidence::Bundle(bytes.clone().into()), &GOOD.key, MANIFEST);
        prop_assert!(said.is_err());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let layer = SimpleSigning { payload: bytes.into(), bundle: Some(text.clone()), certificate: Some(text), ..SimpleSigning::default() };
        prop_assert!(verdict(Evidence::Simple(layer), &GOOD.identity, MANIFEST).is_err());
    }
}

#[test]
fn what_is_too_large_is_not_read() {
    let large = vec![b' '; MOST_BYTES + 1];
    let said = verdict(Evidence::Bundle(large.into()), &GOOD.key, MANIFEST).expect_err("too large");
    assert_eq!(said.to_string(), "its signature cannot be read: it has more than 4 MiB");
    let deep = "[".repeat(MOST_BYTES);
    assert!(verdict(Evidence::Bundle(deep.into()), &GOOD.key, MANIFEST).is_err());
}

#[test]
fn foreign_words_do_not_move_the_cursor() {
    let evil = json!({ "mediaType": "\u{1b}[2J\u{202e}", "verificationMaterial": {} });
    let said = verdict(Evidence::Bundle(evil.to_string().into()), &GOOD.key, MANIFEST).expect_err("evil");
    assert!(said.to_string().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{said}");
}

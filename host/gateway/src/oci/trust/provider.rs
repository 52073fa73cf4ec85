//! Cryptography below the Sigstore crates: `ring`, which the program links anyway.
//!
//! What `ring` cannot do is refused with words: ML-DSA, and signatures over a digest whose message is not at hand. The
//! Sigstore crates ask for the latter wherever a message is signed as it is; [`with_message`] puts the message within
//! reach, and the signature is then checked over the message, which is the same.

use std::cell::RefCell;

use bytes::Bytes;
use ring::{digest, signature};
use sigstore_verify::crypto::{
    CryptoProvider, Error, HashContext, Result, SigningScheme, install_default_provider,
};
use sigstore_verify::types::HashAlgorithm;

/// Makes `ring` what the Sigstore crates use, for the whole process; they panic without.
pub(super) fn install() {
    // Only the first call finds none installed.
    let _ = install_default_provider(&Ring);
}

/// Runs `check` with `message` at hand for signatures over its digest.
pub(super) fn with_message<T>(message: &Bytes, check: impl FnOnce() -> T) -> T {
    /// Takes the message away again, whatever happens.
    struct Gone(Option<Bytes>);
    impl Drop for Gone {
        fn drop(&mut self) {
            MESSAGE.replace(self.0.take());
        }
    }
    let _gone = Gone(MESSAGE.replace(Some(message.clone())));
    check()
}

thread_local! {
    /// The message that is being checked on this thread.
    static MESSAGE: RefCell<Option<Bytes>> = const { RefCell::new(None) };
}

/// The provider.
#[derive(Debug)]
struct Ring;

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        Ok(Box::new(Hash(digest::Context::new(hash(algorithm)?))))
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], message: &[u8], signed: &[u8]) -> Result<()> {
        let key = signature::UnparsedPublicKey::new(verification(scheme)?, key);
        key.verify(message, signed)
            .map_err(|_| Error::Verification(format!("the {} signature does not fit", scheme.name())))
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signed: &[u8],
    ) -> Result<()> {
        let unsupported = |what: &str| Error::UnsupportedAlgorithm(format!("{} {what}", scheme.name()));
        let algorithm = scheme.hash_algorithm().ok_or_else(|| unsupported("signs no digests"))?;
        let message = MESSAGE.with_borrow(Clone::clone).ok_or_else(|| unsupported("needs the message"))?;
        if digest::digest(hash(algorithm)?, &message).as_ref() != digest {
            return Err(unsupported("needs the message of this digest"));
        }
        self.verify_raw(scheme, key, &message, signed)
    }
}

/// A digest in the making.
struct Hash(digest::Context);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

fn hash(algorithm: HashAlgorithm) -> Result<&'static digest::Algorithm> {
    match algorithm {
        HashAlgorithm::Sha2256 => Ok(&digest::SHA256),
        HashAlgorithm::Sha2384 => Ok(&digest::SHA384),
        HashAlgorithm::Sha2512 => Ok(&digest::SHA512),
        other => Err(Error::UnsupportedAlgorithm(format!("{other} digests are not made here"))),
    }
}

fn verification(scheme: SigningScheme) -> Result<&'static dyn signature::VerificationAlgorithm> {
    Ok(match scheme {
        SigningScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SigningScheme::EcdsaP256Sha384 => &signature::ECDSA_P256_SHA384_ASN1,
        SigningScheme::EcdsaP384Sha256 => &signature::ECDSA_P384_SHA256_ASN1,
        SigningScheme::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SigningScheme::Ed25519 => &signature::ED25519,
        SigningScheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        SigningScheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        SigningScheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        SigningScheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SigningScheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SigningScheme::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        other => {
            let name = other.name();
            return Err(Error::UnsupportedAlgorithm(format!("{name} signatures are not verified here")));
        }
    })
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;

    #[test]
    fn a_signature_over_a_digest_needs_its_message() {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pair.as_ref(), &random);
        let pair = pair.expect("a key");
        let message = Bytes::from_static(b"a message");
        let signed = pair.sign(&random, &message).expect("a signature");
        let made = digest::digest(&digest::SHA256, &message);
        let verify = || {
            let key = pair.public_key().as_ref();
            Ring.verify_prehashed(SigningScheme::EcdsaP256Sha256, key, made.as_ref(), signed.as_ref())
        };
        let words = |said: Result<()>| said.map_err(|error| error.to_string());
        assert_eq!(with_message(&message, || words(verify())), Ok(()));
        let other = Bytes::from_static(b"another message");
        for said in [words(verify()), with_message(&other, || words(verify()))] {
            assert!(said.is_err_and(|words| words.contains("needs the message")));
        }
    }

    #[test]
    fn what_ring_cannot_do_is_refused_with_words() {
        let said = Ring.verify_raw(SigningScheme::MlDsa65, b"", b"", b"").expect_err("refused");
        assert!(said.to_string().contains("ML_DSA_65 signatures are not verified here"), "{said}");
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        let made = Ring.sha256(b"abc");
        assert_eq!(made[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(Ring.sha384(b"abc")[..4], [0xcb, 0x00, 0x75, 0x3f]);
        assert_eq!(Ring.sha512(b"abc")[..4], [0xdd, 0xaf, 0x35, 0xa1]);
    }
}

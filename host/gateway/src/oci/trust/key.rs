//! A public key as `cosign.pub` holds it.

use std::fmt;

use ring::digest;
use sigstore_verify::crypto::{KeyAlgorithm, SigningScheme, VerificationKey, validate_raw_public_key};
use sigstore_verify::types::{DerPublicKey, SignatureBytes};

use super::provider;

/// A key whose signatures count: ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    der: DerPublicKey,
    algorithm: KeyAlgorithm,
}

/// Why a text is no key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or not a public key.
    #[error("is not a public key in PEM form (`-----BEGIN PUBLIC KEY-----`)")]
    Unreadable,
    /// A private key was written where a public one belongs.
    #[error("is a private key: give the public one (cosign writes it to cosign.pub)")]
    Private,
    /// P-521, ML-DSA, short RSA and the like.
    #[error(
        "is of a kind that is not verified here: use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more"
    )]
    Unsupported,
}

impl PublicKey {
    /// Reads a PKIX key in PEM form.
    ///
    /// # Errors
    /// [`KeyError`] when it is none, or none that can be used.
    pub fn parse(pem: &str) -> Result<Self, KeyError> {
        provider::install();
        if pem.len() > MOST {
            return Err(KeyError::Unreadable);
        }
        if pem.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let der = DerPublicKey::from_pem(pem.trim()).map_err(|_| KeyError::Unreadable)?;
        let algorithm = KeyAlgorithm::from_spki(&der).map_err(|_| KeyError::Unsupported)?;
        let key = Self { der, algorithm };
        let raw = VerificationKey::from_spki(&key.der).map_err(|_| KeyError::Unsupported)?;
        match key.schemes().first() {
            Some(scheme) if validate_raw_public_key(*scheme, raw.as_bytes()).is_ok() => Ok(key),
            _ => Err(KeyError::Unsupported),
        }
    }

    /// The key's name: the SHA-256 digest of its DER form.
    pub fn id(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.der.as_bytes());
        digest.as_ref().iter().fold("sha256:".to_owned(), |id, byte| format!("{id}{byte:02x}"))
    }

    /// Whether the key signed `message`.
    pub(super) fn signed(&self, message: &[u8], signature: &SignatureBytes) -> bool {
        self.schemes().iter().any(|scheme| {
            VerificationKey::from_spki_with_scheme(&self.der, *scheme)
                .is_ok_and(|key| key.verify(message, signature).is_ok())
        })
    }

    pub(super) fn der(&self) -> &DerPublicKey {
        &self.der
    }

    /// How such a key signs. cosign hashes with SHA-256 whatever the curve, others as the curve suggests.
    fn schemes(&self) -> &'static [SigningScheme] {
        match self.algorithm {
            KeyAlgorithm::EcdsaP256 => &[SigningScheme::EcdsaP256Sha256],
            KeyAlgorithm::EcdsaP384 => &[SigningScheme::EcdsaP384Sha384, SigningScheme::EcdsaP384Sha256],
            KeyAlgorithm::Ed25519 => &[SigningScheme::Ed25519],
            KeyAlgorithm::Rsa => &[SigningScheme::RsaPkcs1Sha256, SigningScheme::RsaPssSha256],
            _ => &[],
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?} {})", self.algorithm, self.id())
    }
}

/// Longest text read as a key, in bytes: RSA of 8192 bits has some 1,500.
const MOST: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Docker's key for `mcp/` images, <https://github.com/docker/keyring>.
    const DOCKER: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETcvGv5qypnoxKkFIQOdXZ+2H6JN8
8kmAQrMkTb6SmJ7BY59OJIOpTwdjD5joLot6zFs1Q7HHDmkF5HOaC8zSnA==
-----END PUBLIC KEY-----";
    const P521: &str = "-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAQMEHOVvndx2f+Vzq6RSozc+qVMnZ
DNX76ux3GARGsCOnl86vA7YrRGexpm7rL1FEnbvQtH/qRyEMRPFemZDAqV8Ajhfy
aM1/Dm7xyupMdJ6tVk5eGJNwePTL67evrZcZeLV27AkJgWhK3ll8+USW6VzFlp8D
6+r3DykREk0OjHinhkI=
-----END PUBLIC KEY-----";
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQClPXSYMv362M6zGnTFgCAOXofV
1v6jql2lJFk5SC4L0Bw94RZJwHqUehJ+75wFJkL4WHv3jxc7Y7jU1n5l2TEcrQ3c
M/PyExwOqDFwWhbjZzGmyhF42/VUAZ97Lr/OKX6+tan0Q0iTaStTwN63qZpzIWAv
gJ2B4XH/H++YGirJSwIDAQAB
-----END PUBLIC KEY-----";
    const RSA_2048: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAouC3FSVpzq/VCPM+921X
g93SqPxURS0G7uybBWgD3Tu1gExOK3XZPm558Xdt1wpA48LhYVvxfmhbxfGOfxrQ
8vt0kLOaXXkNxcBotoO2RWEikyjvzhc0ImRxcElYQfeydM8qRRoiXe6x8ASSKMrm
VhFQ4xYipLTakdcoNQXXDH1E4sbSAlH2YY6Nzd0ooyx9VMWGBwWm52Zo5F5/VG/B
xjPd+/2cbgQhIy+KbijgVPb1EB8K15zFbgrK8xlR+6Sy668Xo6wGWmLnAj6w4REZ
YAOOIoSy09qo+XNKRdOxkDO56MA5eNMvJPrfITKHKxyXL9UfkyoehE5q0JskXdFr
GwIDAQAB
-----END PUBLIC KEY-----";

    #[test]
    fn keys_are_read_or_refused_with_words() {
        let id = |pem: &str| PublicKey::parse(pem).map(|key| key.id());
        let docker = "sha256:017233c7b898d802fdb5b5b59519988eb1c973e6ba996572dc9a7601f19812b0";
        assert_eq!(id(DOCKER).as_deref(), Ok(docker));
        assert_eq!(id(&format!("\n{DOCKER}\n")).as_deref(), Ok(docker));
        assert!(id(RSA_2048).is_ok());
        assert_eq!(id(RSA_1024), Err(KeyError::Unsupported));
        assert_eq!(PublicKey::parse(P521), Err(KeyError::Unsupported));
        assert_eq!(PublicKey::parse("ssh-ed25519 AAAA"), Err(KeyError::Unreadable));
        assert_eq!(PublicKey::parse(""), Err(KeyError::Unreadable));
        assert_eq!(PublicKey::parse(&"A".repeat(MOST + 1)), Err(KeyError::Unreadable));
        let private = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neyJr\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----";
        assert_eq!(PublicKey::parse(private), Err(KeyError::Private));
        assert_eq!(
            PublicKey::parse("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
            Err(KeyError::Unsupported)
        );
    }
}

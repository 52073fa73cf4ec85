//! Sealed tokens: everything a client keeps for us (cursors, sessions, request states, task ids).
//!
//! A token says what it is for, for whom and until when, and carries a payload that only this gateway can read or
//! make (XChaCha20-Poly1305). Bit-flips, other principals, other purposes and expired tokens are refused alike. There
//! is no clock and no randomness here: the caller brings both.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

const NONCE: usize = 24;

/// What a token is for; a token of one purpose is nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The place in a list.
    Cursor,
    /// What a server asked of its client, until the client answers (2026-07-28 `requestState`).
    RequestState,
    /// What a legacy session agreed on.
    Session,
    /// A task of a server (extension `io.modelcontextprotocol/tasks`).
    Task,
}

/// What a token is for, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// What it is for.
    pub purpose: Purpose,
    /// Who may use it.
    pub principal: &'a str,
}

/// The token was not made here for this purpose and principal, or is too old: deliberately one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid token")]
pub struct BadToken;

/// Seals and opens tokens under one key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl Sealer {
    /// A sealer for `key`: 32 random bytes, shared by the replicas that must read each other's tokens.
    pub fn new(key: [u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&Key::from(key)) }
    }

    /// Seals `payload` until `expires` (seconds since the epoch). `nonce` must be random and fresh.
    ///
    /// # Errors
    /// [`BadToken`] only for payloads beyond the cipher's limit of 256 GiB.
    pub fn seal(
        &self,
        scope: Scope<'_>,
        expires: u64,
        payload: &[u8],
        nonce: [u8; NONCE],
    ) -> Result<String, BadToken> {
        let mut clear = expires.to_be_bytes().to_vec();
        clear.extend_from_slice(payload);
        let aad = associated(scope);
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &clear, aad: &aad })
            .map_err(|_| BadToken)?;
        let mut token = nonce.to_vec();
        token.extend_from_slice(&sealed);
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens a token sealed for `scope` that is still valid at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// [`BadToken`], whatever is wrong.
    pub fn open(&self, scope: Scope<'_>, now: u64, token: &str) -> Result<Vec<u8>, BadToken> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| BadToken)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or(BadToken)?;
        let aad = associated(scope);
        let clear = self
            .cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map_err(|_| BadToken)?;
        let (expires, payload) = clear.split_first_chunk::<8>().ok_or(BadToken)?;
        if u64::from_be_bytes(*expires) < now { Err(BadToken) } else { Ok(payload.to_vec()) }
    }
}

fn associated(scope: Scope<'_>) -> Vec<u8> {
    let mut aad = match scope.purpose {
        Purpose::Cursor => b"cursor\0".to_vec(),
        Purpose::RequestState => b"request-state\0".to_vec(),
        Purpose::Session => b"session\0".to_vec(),
        Purpose::Task => b"task\0".to_vec(),
    };
    aad.extend_from_slice(scope.principal.as_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(principal: &str) -> Scope<'_> {
        Scope { purpose: Purpose::Cursor, principal }
    }

    fn token() -> (Sealer, String) {
        let sealer = Sealer::new([7; 32]);
        let token = sealer.seal(cursor("alice"), 100, b"42", [9; NONCE]);
        (sealer, token.unwrap())
    }

    #[test]
    fn a_token_opens_for_its_owner_until_it_expires() {
        let (sealer, token) = token();
        assert_eq!(sealer.open(cursor("alice"), 100, &token), Ok(b"42".to_vec()));
        assert_eq!(sealer.open(cursor("alice"), 101, &token), Err(BadToken));
        assert_eq!(sealer.open(cursor("bob"), 1, &token), Err(BadToken));
        assert_eq!(Sealer::new([8; 32]).open(cursor("alice"), 1, &token), Err(BadToken));
    }

    #[test]
    fn no_changed_or_shortened_token_opens() {
        let (sealer, token) = token();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(sealer.open(cursor("alice"), 1, &changed), Err(BadToken), "byte {at}");
            assert_eq!(sealer.open(cursor("alice"), 1, &token[..at]), Err(BadToken), "length {at}");
        }
    }
}

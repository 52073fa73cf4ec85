//! Sealed tokens: everything a client keeps for us (cursors, sessions, request states, task ids).
//!
//! A token says what it is for, for whom and until when, and carries a payload that only this gateway can read or
//! make (XChaCha20-Poly1305). Bit-flips, other principals, other purposes and expired tokens are refused alike. There
//! is no clock and no randomness here: the caller brings both.
//!
//! A token names the key it was sealed with, by an id that says nothing about the key. So keys can be replaced while
//! tokens are out there: the first key seals, every key opens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};

const NONCE: usize = 24;
const KEY_ID: usize = 4;
/// Shorter texts are no keys: nobody may be able to guess one.
pub const MIN_KEY_TEXT: usize = 32;

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

/// Seals and opens tokens.
pub struct Sealer {
    first: Cell,
    others: Vec<Cell>,
}

/// One key, ready.
struct Cell {
    id: [u8; KEY_ID],
    cipher: XChaCha20Poly1305,
}

/// A key as people write it: a text of at least [`MIN_KEY_TEXT`] bytes that nobody can guess (`openssl rand -base64 32`).
/// None when it is shorter.
pub fn key_of(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    (text.len() >= MIN_KEY_TEXT).then(|| digest(b"wasmgate sealing key\0", text.as_bytes()))
}

impl Sealer {
    /// A sealer for `key`: 32 random bytes, shared by the replicas that must read each other's tokens.
    pub fn new(key: [u8; 32]) -> Self {
        Self::rotating(key, [])
    }

    /// A sealer that seals with `first`, and opens what was sealed with it or with any of `others`.
    pub fn rotating(first: [u8; 32], others: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self { first: Cell::new(first), others: others.into_iter().map(Cell::new).collect() }
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
        let Cell { id, cipher } = &self.first;
        let payload = Payload { msg: &clear, aad: &aad };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| BadToken)?;
        Ok(URL_SAFE_NO_PAD.encode([&id[..], &nonce, &sealed].concat()))
    }

    /// Opens a token sealed for `scope` that is still valid at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// [`BadToken`], whatever is wrong.
    pub fn open(&self, scope: Scope<'_>, now: u64, token: &str) -> Result<Vec<u8>, BadToken> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| BadToken)?;
        let (id, rest) = bytes.split_first_chunk::<KEY_ID>().ok_or(BadToken)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(BadToken)?;
        let aad = associated(scope);
        let cells = std::iter::once(&self.first).chain(&self.others).filter(|cell| cell.id == *id);
        let payload =
            |cell: &Cell| cell.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad }).ok();
        let clear = cells.into_iter().find_map(payload).ok_or(BadToken)?;
        let (expires, payload) = clear.split_first_chunk::<8>().ok_or(BadToken)?;
        if u64::from_be_bytes(*expires) < now { Err(BadToken) } else { Ok(payload.to_vec()) }
    }
}

impl Cell {
    fn new(key: [u8; 32]) -> Self {
        let [a, b, c, d, ..] = digest(b"wasmgate key id\0", &key);
        Self { id: [a, b, c, d], cipher: XChaCha20Poly1305::new(&Key::from(key)) }
    }
}

fn digest(what: &[u8], bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(what).chain_update(bytes).finalize().into()
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

    #[test]
    fn every_key_opens_and_the_first_one_seals() {
        let (_, old) = token();
        let rotated = Sealer::rotating([8; 32], [[6; 32], [7; 32]]);
        assert_eq!(rotated.open(cursor("alice"), 100, &old), Ok(b"42".to_vec()));
        let new = rotated.seal(cursor("alice"), 100, b"43", [9; NONCE]).unwrap();
        assert_eq!(Sealer::new([8; 32]).open(cursor("alice"), 100, &new), Ok(b"43".to_vec()));
        assert_eq!(Sealer::new([7; 32]).open(cursor("alice"), 100, &new), Err(BadToken));
        assert_ne!(old[..5], new[..5], "the key is named");
    }

    #[test]
    fn a_key_is_a_long_text_and_the_same_text_the_same_key() {
        let text = "b".repeat(MIN_KEY_TEXT);
        assert_eq!(key_of(&text[1..]), None);
        assert_eq!(key_of(&format!("  {}\n", &text[1..])), None);
        assert_eq!(key_of(&text), key_of(&format!("{text}\n")));
        assert_ne!(key_of(&text), key_of(&format!("{text}b")));
    }
}

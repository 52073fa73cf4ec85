//! What a session has read from which server: fingerprints, never values, in the gateway's memory.
//!
//! One table a session, oldest first, as bytes: a version, the number of servers (2 bytes) and each name (length, text);
//! then 10 bytes for each secret: its fingerprint (8) and the server's place in the list (2). Little-endian.

use std::hash::Hasher;

use wasmgate_plugin::kv::{self, Scope};
use wasmgate_plugin::random;

/// Secrets that are remembered of one session; the oldest go.
const MOST: usize = 4096;

/// Bytes of a table: what a store takes as one value.
const MOST_BYTES: usize = 64 << 10;

/// So long after the last secret was read a session's are forgotten.
const TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// How often a table is tried that others change at the same moment.
const TRIES: usize = 64;

const VERSION: u8 = 1;
const TABLE: &str = "read";
const KEY: &str = "key";

/// What stands for a secret: a hash under a key that is made anew for each life of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint(u64);

/// Makes fingerprints.
#[derive(Clone, Copy)]
pub(crate) struct Prints(u64, u64);

impl Prints {
    /// With the gateway's key, which is made here if there is none.
    pub(crate) fn load() -> Result<Self, String> {
        for _ in 0..2 {
            if let Some(key) = kv::get(Scope::Global, KEY)? {
                let half = |at: usize| key.get(at..at + 8).and_then(|half| half.try_into().ok());
                let (Some(one), Some(two)) = (half(0), half(8)) else { return Err(damaged()) };
                return Ok(Self(u64::from_le_bytes(one), u64::from_le_bytes(two)));
            }
            // Another call may be doing the same: the first one's counts.
            kv::swap(Scope::Global, KEY, None, &random::bytes(16)?, None)?;
        }
        Err(damaged())
    }

    pub(crate) fn of(self, secret: &[u8]) -> Fingerprint {
        #[expect(deprecated, reason = "its successor takes no key")]
        let mut hash = std::hash::SipHasher::new_with_keys(self.0, self.1);
        hash.write(secret);
        Fingerprint(hash.finish())
    }
}

/// What one session has read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    servers: Vec<String>,
    read: Vec<(Fingerprint, u16)>,
}

impl Memory {
    /// This session's; None when it has read nothing.
    pub(crate) fn load() -> Result<Option<Self>, String> {
        let bytes = kv::get(Scope::Session, TABLE)?;
        bytes.map(|bytes| Self::decode(&bytes).ok_or_else(damaged)).transpose()
    }

    /// Adds secrets that were read from a server.
    pub(crate) fn add(server: &str, secrets: &[Fingerprint]) -> Result<(), String> {
        for _ in 0..TRIES {
            let before = kv::get(Scope::Session, TABLE)?;
            let mut memory = match &before {
                Some(bytes) => Self::decode(bytes).ok_or_else(damaged)?,
                None => Self::default(),
            };
            memory.insert(server, secrets);
            let after = memory.encode();
            if kv::swap(Scope::Session, TABLE, before.as_deref(), &after, Some(TTL_MS))? {
                return Ok(());
            }
        }
        Err("what the session has read is being changed all the time".to_owned())
    }

    /// The servers that a secret was read from.
    pub(crate) fn origins(&self, secret: Fingerprint) -> Vec<&str> {
        let of_it = self.read.iter().filter(|(known, _)| *known == secret);
        of_it.filter_map(|(_, server)| self.servers.get(usize::from(*server))).map(String::as_str).collect()
    }

    /// Every secret of it.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Fingerprint> {
        self.read.iter().map(|(secret, _)| *secret)
    }

    fn insert(&mut self, server: &str, secrets: &[Fingerprint]) {
        let at = self.servers.iter().position(|known| known == server).unwrap_or_else(|| {
            self.servers.push(server.to_owned());
            self.servers.len() - 1
        });
        let Ok(at) = u16::try_from(at) else { return };
        // What is read again is new again.
        let again: std::collections::HashSet<_> = secrets.iter().collect();
        self.read.retain(|(secret, of)| *of != at || !again.contains(secret));
        self.read.extend(secrets.iter().map(|secret| (*secret, at)));
        self.forget(self.read.len().saturating_sub(MOST));
        while self.size() > MOST_BYTES && !self.read.is_empty() {
            self.forget(self.read.len().div_ceil(4));
        }
    }

    /// Drops the oldest, and servers that nothing is left of.
    fn forget(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.read.drain(..count.min(self.read.len()));
        let mut kept = Vec::new();
        for (_, server) in &mut self.read {
            let Some(name) = self.servers.get(usize::from(*server)) else { continue };
            let at = kept.iter().position(|known| known == name).unwrap_or_else(|| {
                kept.push(name.clone());
                kept.len() - 1
            });
            *server = u16::try_from(at).unwrap_or(u16::MAX);
        }
        self.servers = kept;
    }

    fn size(&self) -> usize {
        let names: usize = self.servers.iter().map(|name| name.len() + 1).sum();
        3 + names + self.read.len() * 10
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        bytes.push(VERSION);
        bytes.extend(u16::try_from(self.servers.len()).unwrap_or(u16::MAX).to_le_bytes());
        for name in &self.servers {
            let name = name.as_bytes();
            let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
            bytes.push(length);
            bytes.extend(name.iter().take(usize::from(length)));
        }
        for (secret, server) in &self.read {
            bytes.extend(secret.0.to_le_bytes());
            bytes.extend(server.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [VERSION, low, high, rest @ ..] = bytes else { return None };
        let mut rest = rest;
        let mut servers = Vec::new();
        for _ in 0..u16::from_le_bytes([*low, *high]) {
            let (length, behind) = rest.split_first()?;
            let (name, behind) = behind.split_at_checked(usize::from(*length))?;
            servers.push(String::from_utf8(name.to_vec()).ok()?);
            rest = behind;
        }
        let (entries, left) = rest.as_chunks::<10>();
        let entry = |[a, b, c, d, e, f, g, h, low, high]: &[u8; 10]| {
            let secret = Fingerprint(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
            (secret, u16::from_le_bytes([*low, *high]))
        };
        left.is_empty().then(|| Self { servers, read: entries.iter().map(entry).collect() })
    }
}

fn damaged() -> String {
    "what the session has read cannot be read".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(range: std::ops::Range<u64>) -> Vec<Fingerprint> {
        range.map(Fingerprint).collect()
    }

    #[test]
    fn what_is_stored_is_what_is_read() {
        let mut memory = Memory::default();
        memory.insert("vault", &prints(0..3));
        memory.insert("mail", &prints(2..4));
        assert_eq!(Memory::decode(&memory.encode()), Some(memory));
        for damaged in [&[] as &[u8], &[2, 0, 0], &[1, 1, 0], &[1, 1, 0, 2, b'a'], &[1, 0, 0, 9]] {
            assert_eq!(Memory::decode(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn the_oldest_go_first() {
        let mut memory = Memory::default();
        memory.insert("old", &prints(0..10));
        memory.insert("vault", &prints(10..4100));
        assert_eq!(memory.read.len(), MOST);
        assert_eq!(memory.origins(Fingerprint(3)), [""; 0]);
        assert_eq!(memory.origins(Fingerprint(4)), ["old"]);
        // Read again, it is among the last to go.
        memory.insert("old", &prints(4..5));
        memory.insert("vault", &prints(5000..5020));
        assert_eq!(memory.origins(Fingerprint(4)), ["old"]);
        assert_eq!(memory.origins(Fingerprint(5)), [""; 0]);
        memory.insert("vault", &prints(10_000..14_096));
        assert_eq!(memory.servers, ["vault"]);
    }

    #[test]
    fn a_table_is_never_larger_than_the_store_takes() {
        let mut memory = Memory::default();
        for server in 0..600_u64 {
            memory.insert(&format!("{server:0128}"), &prints(server..server + 10));
            assert!(memory.encode().len() <= MOST_BYTES);
        }
        assert_eq!(memory.origins(Fingerprint(608)).len(), 1);
    }

    #[test]
    fn fingerprints_need_the_key() {
        assert_ne!(Prints(1, 2).of(b"x"), Prints(1, 3).of(b"x"));
        assert_eq!(Prints::load().unwrap().of(b"x"), Prints::load().unwrap().of(b"x"));
    }
}

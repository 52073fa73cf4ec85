//! What has been found out about servers' eras, so that a server is not probed at each of its starts.
//!
//! An era is kept as long as the gateway runs. That of a program or container that speaks over its pipes is also kept in a
//! file of the data directory: an old one that says nothing to a probe would otherwise cost the limit of the probe at every
//! cold start. What is known of a server is forgotten when its definition changes, when it names another version of itself,
//! and when it turns out wrong; a file that cannot be read is none.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmgate_core::catalog::Server;

/// How a server is to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// As of 2026-07-28.
    Modern,
    /// With `initialize`.
    Legacy,
    /// With `initialize`, over HTTP+SSE of 2024-11-05.
    OldTransport,
}

/// How long something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lasting {
    /// As long as the gateway runs.
    #[default]
    Run,
    /// Until it turns out wrong.
    File,
}

/// The eras of servers, by their definitions.
#[derive(Debug, Default)]
pub(super) struct Eras {
    file: OnceLock<PathBuf>,
    known: Mutex<BTreeMap<String, Known>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    way: Way,
    /// What the server calls its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Counts up: the oldest has the smallest.
    turn: u64,
    #[serde(skip)]
    lasting: Lasting,
}

impl Eras {
    /// Takes what is kept in this data directory, and keeps there what is found out from now on.
    pub(super) fn keep_in(&self, data: &Path) {
        let file = data.join("eras.json");
        let mut kept = read(&file).unwrap_or_default();
        kept.values_mut().for_each(|known| known.lasting = Lasting::File);
        self.known().append(&mut kept);
        // The first directory stays.
        let _ = self.file.set(file);
    }

    /// What is known of this server.
    pub(super) fn recall(&self, server: &Server) -> Option<Way> {
        self.known().get(&fingerprint(server)).map(|known| known.way)
    }

    /// This is how the server was spoken to. One that names another version than before may have become another: it is
    /// looked at anew the next time.
    pub(super) fn learn(&self, server: &Server, way: Way, version: Option<&str>, lasting: Lasting) {
        let (fingerprint, version) = (fingerprint(server), version.map(short));
        let mut known = self.known();
        let turn = known.values().map(|known| known.turn).max().unwrap_or_default() + 1;
        // What was concluded from a death at the start may have been chance: it is not kept for good.
        let by_chance = known
            .get(&fingerprint)
            .is_some_and(|old| old.way == way && old.version.is_none() && old.lasting == Lasting::Run);
        let lasting = if by_chance { Lasting::Run } else { lasting };
        let next = Known { way, version, turn, lasting };
        match known.get(&fingerprint) {
            Some(old) if old.way == way && old.version == next.version => return,
            Some(old) if old.way == way && old.version.is_some() => drop(known.remove(&fingerprint)),
            _ => drop(known.insert(fingerprint, next)),
        }
        while known.len() > MOST {
            let oldest = known.iter().min_by_key(|(_, known)| known.turn).map(|(name, _)| name.clone());
            oldest.map(|oldest| known.remove(&oldest));
        }
        self.write(&known);
    }

    /// What was known is wrong.
    pub(super) fn forget(&self, server: &Server) {
        let mut known = self.known();
        if known.remove(&fingerprint(server)).is_some() {
            self.write(&known);
        }
    }

    /// What cannot be written is found out again.
    fn write(&self, known: &BTreeMap<String, Known>) {
        let Some(file) = self.file.get() else { return };
        let kept = known.iter().filter(|(_, known)| known.lasting == Lasting::File);
        let kept: BTreeMap<&String, &Known> = kept.collect();
        if let Err(error) = write(file, &kept) {
            tracing::debug!(path = %file.display(), %error, "the eras of servers could not be kept");
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes it this server and no other. Secrets are no part of it: nothing that is made of them goes into a file.
fn fingerprint(server: &Server) -> String {
    let digest = Sha256::digest(format!("{} {:?}", server.name, server.launch));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn short(version: &str) -> String {
    version.chars().take(100).collect()
}

fn read(file: &Path) -> Option<BTreeMap<String, Known>> {
    let is_small = std::fs::metadata(file).ok()?.len() <= LONGEST;
    let known: BTreeMap<String, Known> =
        serde_json::from_slice(&is_small.then(|| std::fs::read(file))?.ok()?).ok()?;
    (known.len() <= MOST).then_some(known)
}

/// Whole or not at all: several gateways may share the directory. Of two that write at once one finds out again.
fn write(file: &Path, known: &BTreeMap<&String, &Known>) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = file.with_extension(format!("{}.{number}", std::process::id()));
    let written =
        std::fs::write(&beside, serde_json::to_vec(known)?).and_then(|()| std::fs::rename(&beside, file));
    if written.is_err() {
        let _left = std::fs::remove_file(&beside);
    }
    written
}

/// So many servers are remembered.
const MOST: usize = 256;
/// A file longer than this is not ours.
const LONGEST: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use wasmgate_core::catalog::{Launch, Process};

    use super::*;

    fn server(program: &str) -> Server {
        let process = Process { program: program.into(), args: Vec::new(), env: Vec::new(), cwd: None };
        crate::upstream::tests::server("s", Launch::Process(process))
    }

    fn kept_in(data: &Path) -> Eras {
        let eras = Eras::default();
        eras.keep_in(data);
        eras
    }

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("wasmgate-eras-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn what_is_kept_is_there_at_the_next_start() {
        let data = directory("kept");
        let eras = kept_in(&data);
        eras.learn(&server("old"), Way::Legacy, Some("1"), Lasting::File);
        eras.learn(&server("remote"), Way::OldTransport, None, Lasting::Run);
        assert_eq!(eras.recall(&server("remote")), Some(Way::OldTransport));
        let eras = kept_in(&data);
        assert_eq!(eras.recall(&server("old")), Some(Way::Legacy));
        assert_eq!(eras.recall(&server("remote")), None, "that was for the run");
        assert_eq!(eras.recall(&server("other")), None, "another definition is another server");
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1, "and nothing beside it");
        eras.forget(&server("old"));
        assert_eq!(kept_in(&data).recall(&server("old")), None);
        std::fs::remove_dir_all(data).unwrap();
    }

    #[test]
    fn another_version_is_looked_at_anew() {
        let eras = Eras::default();
        eras.learn(&server("s"), Way::Legacy, Some("1"), Lasting::File);
        eras.learn(&server("s"), Way::Legacy, Some("1"), Lasting::File);
        assert_eq!(eras.recall(&server("s")), Some(Way::Legacy));
        eras.learn(&server("s"), Way::Legacy, Some("2"), Lasting::File);
        assert_eq!(eras.recall(&server("s")), None);
        eras.learn(&server("s"), Way::Modern, Some("2"), Lasting::File);
        assert_eq!(eras.recall(&server("s")), Some(Way::Modern));
    }

    #[test]
    fn a_broken_file_is_none_and_a_full_one_loses_the_oldest() {
        let data = directory("broken");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("eras.json"), "{\"a\":").unwrap();
        let eras = kept_in(&data);
        for n in 0..=MOST {
            eras.learn(&server(&n.to_string()), Way::Legacy, None, Lasting::File);
        }
        let eras = kept_in(&data);
        assert_eq!((eras.recall(&server("0")), eras.recall(&server("1"))), (None, Some(Way::Legacy)));
        std::fs::write(data.join("eras.json"), vec![b' '; LONGEST as usize + 1]).unwrap();
        assert_eq!(kept_in(&data).recall(&server("1")), None);
        std::fs::remove_dir_all(data).unwrap();
    }
}

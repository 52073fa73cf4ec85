//! `wasmgate.lock`: the digest behind every tag that the configuration file names, so that what runs tomorrow is what was
//! looked at today. Written when a tag is first resolved and by `wasmgate update`; read before anything is asked for.
//!
//! Several processes may write it: each reads it again under a lock, changes its own lines, and renames a whole new file
//! over the old one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The only version of the file there is.
const VERSION: u32 = 1;
/// A longer file is none of ours, in bytes.
const LARGEST: u64 = 16 << 20;

/// The file, or the lack of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    path: Option<PathBuf>,
    artifacts: BTreeMap<String, Locked>,
}

/// What is known of one reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Locked {
    /// The manifest's digest (`sha256:...`).
    pub(crate) digest: String,
}

/// As it is on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    artifacts: BTreeMap<String, Locked>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// It cannot be read.
    #[error("{}: cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// It cannot be written.
    #[error("{}: cannot be written", .0.display())]
    Write(PathBuf, #[source] std::io::Error),
    /// It is not such a file.
    #[error("{}: is not a lock file: {}; remove it, and `wasmgate update` writes it anew", .0.display(), .1)]
    Broken(PathBuf, String),
}

impl Lock {
    /// Reads the file; one that is not there is empty, and so is the lack of a path.
    ///
    /// # Errors
    /// [`LockError`] when it is there and cannot be used.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, LockError> {
        let Some(path) = path else { return Ok(Self::default()) };
        Ok(Self { path: Some(path.to_owned()), artifacts: artifacts(path)? })
    }

    /// What is known of a reference, as written in the configuration.
    pub(crate) fn of(&self, reference: &str) -> Option<&Locked> {
        self.artifacts.get(reference)
    }

    /// Every reference.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Locked)> {
        self.artifacts.iter().map(|(reference, locked)| (reference.as_str(), locked))
    }

    /// Notes what references stand for, in place of what was noted. Blocks.
    ///
    /// # Errors
    /// [`LockError`]
    pub(crate) fn note(&mut self, found: BTreeMap<String, Locked>) -> Result<(), LockError> {
        self.change(|artifacts| artifacts.extend(found))
    }

    /// Notes what a reference stands for unless somebody has done so already, and says what now stands there. Blocks.
    ///
    /// # Errors
    /// [`LockError`]
    pub(crate) fn note_first(&mut self, reference: &str, found: Locked) -> Result<Locked, LockError> {
        self.change(|artifacts| {
            artifacts.entry(reference.to_owned()).or_insert_with(|| found.clone());
        })?;
        Ok(self.of(reference).cloned().unwrap_or(found))
    }

    /// Keeps only the references that `keep` wants. Blocks.
    ///
    /// # Errors
    /// [`LockError`]
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) -> Result<(), LockError> {
        self.change(|artifacts| artifacts.retain(|reference, _| keep(reference)))
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<String, Locked>)) -> Result<(), LockError> {
        let Some(path) = self.path.clone() else {
            change(&mut self.artifacts);
            return Ok(());
        };
        let unwritten = |error| LockError::Write(path.clone(), error);
        let directory = path.parent().unwrap_or(Path::new("/"));
        // The directory is what is locked: the file itself is replaced.
        let guard = File::open(directory).map_err(unwritten)?;
        guard.lock().map_err(unwritten)?;
        let mut now = artifacts(&path)?;
        let before = now.clone();
        change(&mut now);
        if now != before {
            write(&path, &now).map_err(unwritten)?;
        }
        self.artifacts = now;
        Ok(())
    }
}

fn artifacts(path: &Path) -> Result<BTreeMap<String, Locked>, LockError> {
    let unread = |error| LockError::Read(path.to_owned(), error);
    let size = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        size => size.map_err(unread)?.len(),
    };
    let broken = |words: String| LockError::Broken(path.to_owned(), words);
    if size > LARGEST {
        return Err(broken(format!("it has more than {} MiB", LARGEST >> 20)));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let written: Written = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    if written.version != VERSION {
        return Err(broken(format!("its version is {}, this program knows {VERSION}", written.version)));
    }
    Ok(written.artifacts)
}

fn write(path: &Path, artifacts: &BTreeMap<String, Locked>) -> std::io::Result<()> {
    let written = Written { version: VERSION, artifacts: artifacts.clone() };
    let mut text = serde_json::to_string_pretty(&written)?;
    text.push('\n');
    let beside = path.with_extension(format!("lock.{}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _left = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(reference: &str, digit: char) -> BTreeMap<String, Locked> {
        let digest = format!("sha256:{}", digit.to_string().repeat(64));
        BTreeMap::from([(reference.to_owned(), Locked { digest })])
    }

    #[test]
    fn two_writers_keep_each_other_s_lines_and_a_broken_file_is_an_error() {
        let dir = std::env::temp_dir().join(format!("wasmgate-lock-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("wasmgate.lock");
        let (mut one, mut two) = (Lock::read(Some(&path)).unwrap(), Lock::read(Some(&path)).unwrap());
        one.note(found("oci://a/b:1", 'a')).unwrap();
        two.note(found("oci://a/c:1", 'c')).unwrap();
        let read = Lock::read(Some(&path)).unwrap();
        assert_eq!(
            read.all().map(|(reference, _)| reference).collect::<Vec<_>>(),
            ["oci://a/b:1", "oci://a/c:1"]
        );
        assert_eq!(read, two);
        let first =
            one.note_first("oci://a/c:1", found("oci://a/c:1", 'd').remove("oci://a/c:1").unwrap()).unwrap();
        assert!(first.digest.ends_with("cc"), "who comes second takes what stands there");
        two.retain(|reference| reference.ends_with("c:1")).unwrap();
        assert_eq!(Lock::read(Some(&path)).unwrap().of("oci://a/b:1"), None);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside it");
        for broken in
            ["", "{", r#"{"version": 2, "artifacts": {}}"#, r#"{"version": 1, "artifacts": {}, "x": 1}"#]
        {
            std::fs::write(&path, broken).unwrap();
            let error = Lock::read(Some(&path)).unwrap_err().to_string();
            assert!(error.contains("is not a lock file"), "{error}");
            assert!(one.note(found("oci://a/b:1", 'b')).is_err());
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                broken,
                "a file nobody understands stays as it is"
            );
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn without_a_file_it_holds_for_the_life_of_the_process() {
        let mut lock = Lock::read(None).unwrap();
        lock.note(found("oci://a/b:1", 'a')).unwrap();
        assert!(lock.of("oci://a/b:1").is_some());
    }
}

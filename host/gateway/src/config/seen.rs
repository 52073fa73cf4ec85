//! Which files a configuration was made of, and what was in them: by this a reload knows whether anything has changed.
//!
//! Contents count, not times: a file that was touched, or written anew with the same bytes, is the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// More than any file that is read may have; of a longer one the first so many bytes count.
const MOST: u64 = 256 << 20;

/// What a file held: its SHA-256, or nothing when it could not be read.
type Content = Option<[u8; 32]>;

/// Files and what they held when they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Content>);

impl Seen {
    /// Notes what was read from a file.
    pub fn read(&mut self, path: &Path, bytes: &[u8]) {
        self.0.insert(path.to_owned(), Some(Sha256::digest(bytes).into()));
    }

    /// Notes a file that could not be used: it is looked at for what it is now.
    pub fn unusable(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), content(path));
    }

    /// Adds the files of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Whether every file still holds what it held. Reads them all, so call it where blocking is allowed.
    pub fn is_current(&self) -> bool {
        self.0.iter().all(|(path, held)| content(path) == *held)
    }
}

/// What a file holds now. Pipes and devices hold nothing that could be read twice.
fn content(path: &Path) -> Content {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut file = File::open(path).ok()?.take(MOST);
    let (mut hasher, mut chunk) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut chunk).ok()? {
            0 => return Some(hasher.finalize().into()),
            some => hasher.update(chunk.get(..some)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_count_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("wasmgate-seen-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (file, absent) = (dir.join("file"), dir.join("absent"));
        std::fs::write(&file, "one").unwrap();
        let mut seen = Seen::default();
        seen.read(&file, b"one");
        seen.unusable(&absent);
        seen.unusable(&dir);
        assert!(seen.is_current());
        std::fs::write(dir.join("other"), "one").unwrap();
        std::fs::rename(dir.join("other"), &file).unwrap();
        assert!(seen.is_current(), "the same bytes in another file");
        std::fs::write(&file, "two").unwrap();
        assert!(!seen.is_current());
        seen.unusable(&file);
        assert!(seen.is_current());
        std::fs::write(&absent, "").unwrap();
        assert!(!seen.is_current(), "a file that was not there");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

//! What was pulled, pushed or imported, on this machine, by digest. Shared by all processes of this user.
//!
//! `blobs/sha256/<hex>` are bytes under their own name; `refs/<hex>.json` say what a reference led to and when. A file is
//! written beside its place, flushed, and renamed, so nobody sees half of one; blobs are digested again at every read, and
//! one that is not what its name says is moved aside and counts as absent. So a crash or a bad disk costs a download.
//!
//! Files are read and written blockingly: [`super::Registry`] does so on threads for that.

mod files; // how one file is written, read and aged

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::artifact::Artifact;
use super::digest::Digest;
use super::manifest::Manifest;
use super::reference::Reference;

/// A store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    root: Arc<Path>,
}

/// One reference in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// As it was asked for: with a tag, or with a digest only.
    pub reference: Reference,
    /// What it led to.
    pub digest: Digest,
    /// When the registry last said so, in seconds since 1970.
    pub when: u64,
    /// What kind of artifact it is; empty when only its digest is known, or it is none.
    pub kind: String,
    /// Manifest, configuration and layers, in bytes; 0 when only its digest is known.
    pub size: u64,
}

/// A file of the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot use `{}`", path.display())]
pub struct StoreError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Store {
    /// Uses the directory, making it if need be, and removes what crashed processes left in it.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to somebody else: what a tag leads to would be theirs to say. Where a disk is full
    /// or read-only it is empty and stays so.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self { root: Arc::from(root.into()) };
        for dir in [store.root.to_path_buf(), store.blobs(), store.refs()] {
            match files::private_dir(&dir) {
                // What cannot be kept can be fetched: it costs the next start time, not this one its answer.
                Err(error) if is_no_room(&error) => {
                    tracing::warn!(path = %dir.display(), %error, "nothing can be kept in the store");
                    return Ok(store);
                }
                made => made.map_err(at(&dir))?,
            }
        }
        for dir in [store.blobs(), store.refs()] {
            files::sweep_leftovers(&dir, LEFTOVER);
        }
        Ok(store)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bytes of this digest, if they are here and are still the same.
    pub fn blob(&self, digest: Digest) -> Option<Bytes> {
        let path = self.blob_path(digest);
        let bytes = files::read(&path, LARGEST)
            .inspect_err(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "blob ignored");
                }
            })
            .ok()?;
        if Digest::of(&bytes) == digest {
            return Some(Bytes::from(bytes));
        }
        tracing::warn!(path = %path.display(), "blob is not what its name says and is moved aside");
        files::move_aside(&path);
        None
    }

    /// The whole artifact of this digest, if all of it is here.
    pub fn artifact(&self, digest: Digest) -> Option<Artifact> {
        let bytes = self.blob(digest)?;
        let manifest = Manifest::read(&bytes, None).ok()?;
        let config = self.blob(manifest.config.digest)?;
        let layers: Option<Vec<Bytes>> =
            manifest.layers.iter().map(|layer| self.blob(layer.digest)).collect();
        Some(Artifact { digest, bytes, manifest, config, layers: layers? })
    }

    /// What a reference led to when a registry was last asked; of the local namespace, a tag leads to the newest import.
    pub fn resolution(&self, reference: &Reference) -> Option<Entry> {
        if reference.is_local() && reference.digest().is_none() {
            let same = |entry: &Entry| entry.reference.pinned(entry.digest) == reference.pinned(entry.digest);
            return self.list().into_iter().filter(same).max_by_key(|entry| entry.when);
        }
        let bytes = files::read(&self.ref_path(reference), LARGEST_REF).ok()?;
        let entry: Entry = serde_json::from_slice(&bytes).ok()?;
        (key(&entry.reference) == key(reference)).then_some(entry)
    }

    /// Keeps an artifact and that `reference` leads to it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep(&self, reference: &Reference, artifact: &Artifact) -> Result<Entry, StoreError> {
        let lock = self.lock_path();
        let _shared = files::lock_shared(&lock).map_err(at(&lock))?;
        let blobs = artifact.manifest.blobs().map(|blob| blob.digest);
        let bodies = std::iter::once(&artifact.config).chain(&artifact.layers);
        for (digest, body) in blobs.zip(bodies) {
            self.write_blob(digest, body)?;
        }
        // The manifest last: where it is, its blobs are.
        self.write_blob(artifact.digest, &artifact.bytes)?;
        let entry = Entry {
            reference: without_needless_digest(reference),
            digest: artifact.digest,
            when: seconds_since_1970(),
            kind: artifact.kind().to_owned(),
            size: artifact.manifest.size().saturating_add(artifact.bytes.len() as u64),
        };
        self.write_entry(&entry)?;
        Ok(entry)
    }

    /// Keeps an artifact that is in no registry, and returns the reference by which it can be had from this store.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep_local(
        &self,
        name: &str,
        version: &str,
        artifact: &Artifact,
    ) -> Result<Reference, StoreError> {
        let reference = Reference::local(name, version, artifact.digest);
        self.keep(&reference, artifact)?;
        Ok(reference)
    }

    /// Sees to it that a reference leads to an artifact that is here.
    pub(super) fn name(&self, reference: &Reference, artifact: &Artifact) -> Result<(), StoreError> {
        let known = self.resolution(reference);
        if known.is_some_and(|known| known.digest == artifact.digest && !known.kind.is_empty()) {
            return Ok(());
        }
        self.keep(reference, artifact).map(drop)
    }

    /// Keeps bytes that a reference leads to and that are no artifact of their own: a list of referrers.
    pub(super) fn keep_blob(&self, reference: &Reference, bytes: &[u8]) -> Result<(), StoreError> {
        let lock = self.lock_path();
        let _shared = files::lock_shared(&lock).map_err(at(&lock))?;
        let digest = Digest::of(bytes);
        self.write_blob(digest, bytes)?;
        self.note(reference, digest)
    }

    /// Notes that a registry says a tag leads to this digest, whether or not it was pulled yet.
    pub(super) fn note(&self, reference: &Reference, digest: Digest) -> Result<(), StoreError> {
        let known = self.resolution(reference).filter(|known| known.digest == digest);
        let (kind, size) = known.map(|known| (known.kind, known.size)).unwrap_or_default();
        let reference = reference.clone();
        self.write_entry(&Entry { reference, digest, when: seconds_since_1970(), kind, size })
    }

    /// Everything in the store that has a name, by name.
    pub fn list(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = files::listing(&self.refs())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter_map(|path| serde_json::from_slice(&files::read(&path, LARGEST_REF).ok()?).ok())
            .map(|entry| self.described(entry))
            .collect();
        entries.sort_by(|a, b| a.reference.cmp(&b.reference));
        entries
    }

    /// Forgets a reference, and the bytes that no other reference needs. Says whether it was there.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove(&self, reference: &Reference) -> Result<bool, StoreError> {
        let lock = self.lock_path();
        let _alone = files::lock_alone(&lock).map_err(at(&lock))?;
        let path = self.ref_path(reference);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(at(&path))?,
        }
        let needed = self.needed();
        for path in files::listing(&self.blobs()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.len() == 64 && !needed.contains(name) {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(true)
    }

    /// Bytes on the disk.
    pub fn size(&self) -> u64 {
        [self.blobs(), self.refs()]
            .iter()
            .flat_map(|dir| files::listing(dir))
            .filter_map(|path| Some(fs::symlink_metadata(path).ok()?.len()))
            .sum()
    }

    /// With what is known since it was pulled.
    fn described(&self, entry: Entry) -> Entry {
        if !entry.kind.is_empty() {
            return entry;
        }
        let Some(bytes) = self.blob(entry.digest) else { return entry };
        let Ok(manifest) = Manifest::read(&bytes, None) else { return entry };
        let size = manifest.size().saturating_add(bytes.len() as u64);
        Entry { kind: manifest.kind().to_owned(), size, ..entry }
    }

    /// The names of the blobs that references need.
    fn needed(&self) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        for entry in self.list() {
            needed.insert(entry.digest.hex());
            let manifest = self.blob(entry.digest).and_then(|bytes| Manifest::read(&bytes, None).ok());
            needed.extend(manifest.iter().flat_map(Manifest::blobs).map(|blob| blob.digest.hex()));
        }
        needed
    }

    fn write_blob(&self, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        let same = |about: fs::Metadata| about.is_file() && about.len() == bytes.len() as u64;
        if fs::symlink_metadata(&path).is_ok_and(same) && self.blob(digest).is_some() {
            return Ok(());
        }
        files::write(&path, bytes).map_err(at(&path))
    }

    fn write_entry(&self, entry: &Entry) -> Result<(), StoreError> {
        let path = self.ref_path(&entry.reference);
        let text = serde_json::to_vec(entry).map_err(io::Error::from).map_err(at(&path))?;
        files::write(&path, &text).map_err(at(&path))
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn refs(&self) -> PathBuf {
        self.root.join("refs")
    }

    fn blob_path(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// By digest of the name: names are longer than file names may be, and one can be the beginning of another.
    fn ref_path(&self, reference: &Reference) -> PathBuf {
        self.refs().join(format!("{}.json", Digest::of(key(reference).as_bytes()).hex()))
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }
}

/// What a resolution is kept under: the tag when there is one without a digest, and the digest alone otherwise.
fn key(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) if !reference.is_local() => reference.only(digest).to_string(),
        _ => reference.to_string(),
    }
}

fn without_needless_digest(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) if !reference.is_local() => reference.only(digest),
        _ => reference.clone(),
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError { path, source }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// After this time an unfinished file has no process that will finish it.
const LEFTOVER: Duration = Duration::from_secs(3600);
/// No blob that is read is larger: a component's 32 MiB, and room.
const LARGEST: u64 = 256 << 20;
const LARGEST_REF: u64 = 64 << 10;

#[cfg(test)]
mod tests;

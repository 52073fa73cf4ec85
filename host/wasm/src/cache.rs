//! Compiled plugins on disk, so that a start does not compile what an earlier one did.
//!
//! Loading compiled code is running native code, so nothing is loaded that this user's own process did not write: the
//! directory and every file belong to the user and to nobody else, and a file carries a digest of its body, of the
//! component it was compiled from and of the engine, so that a truncated, exchanged or stale file counts as absent.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::compile::{Digest, hex};

const MAGIC: &[u8] = b"wasmgate compiled component 1\n";

/// The largest file that is read back.
const MAX_BYTES: u64 = 512 << 20;

/// Compiled components of one engine version and settings.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    engine: u64,
}

impl Cache {
    /// Uses `dir`, making it if need be.
    pub(crate) fn open(dir: &Path, engine: &wasmtime::Engine) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hasher.finish();
        private_dir(dir)?;
        let dir = dir.join(format!("{engine:016x}"));
        private_dir(&dir)?;
        Ok(Self { dir, engine })
    }

    /// The component with this digest, if it was stored and nothing about the file is in doubt.
    pub(crate) fn load(&self, engine: &wasmtime::Engine, digest: &Digest) -> Option<Component> {
        let body = self
            .read(digest)
            .inspect_err(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(plugin = %hex(digest), %error, "compiled plugin ignored");
                }
            })
            .ok()?;
        deserialize(engine, &body)
            .inspect_err(|error| tracing::warn!(plugin = %hex(digest), %error, "compiled plugin ignored"))
            .ok()
    }

    /// Keeps a compiled component. Failing to only costs time at the next start.
    pub(crate) fn store(&self, digest: &Digest, component: &Component) {
        let stored = match component.serialize() {
            Ok(body) => self.write(digest, &body),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        if let Err(error) = stored {
            tracing::warn!(plugin = %hex(digest), %error, "compiled plugin not kept");
        }
    }

    fn read(&self, digest: &Digest) -> io::Result<Vec<u8>> {
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(nofollow).open(self.path(digest))?;
        let about = file.metadata()?;
        if !about.is_file() || about.len() > MAX_BYTES {
            return Err(io::Error::other("not a file, or too large"));
        }
        owned_alone(&about)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let body = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk);
        match body {
            Some((seal, body)) if *seal == self.seal(digest, body) => Ok(body.to_vec()),
            _ => Err(io::Error::other("truncated or changed")),
        }
    }

    /// Writes beside and renames, so that no reader ever sees half a file.
    fn write(&self, digest: &Digest, body: &[u8]) -> io::Result<()> {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{}.{unique}.tmp", std::process::id()));
        let _ = fs::remove_file(&temporary);
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(MAGIC)?;
            file.write_all(&self.seal(digest, body))?;
            file.write_all(body)?;
            file.sync_all()?;
            fs::rename(&temporary, self.path(digest))?;
            File::open(&self.dir)?.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}.cwasm", hex(digest)))
    }

    fn seal(&self, digest: &Digest, body: &[u8]) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(digest);
        hasher.update(self.engine.to_le_bytes());
        hasher.update(body);
        hasher.finalize().into()
    }
}

#[expect(
    unsafe_code,
    reason = "the one place that runs native code from a file: `Cache::read` vouches for it"
)]
fn deserialize(engine: &wasmtime::Engine, body: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `body` is what `Cache::write` put there after `Component::serialize`: the file is this user's alone and its
    // digest was checked on these very bytes.
    unsafe { Component::deserialize(engine, body) }
}

/// Makes sure that `dir` exists and nobody else can change it.
fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let about = fs::symlink_metadata(dir)?;
    if !about.is_dir() {
        return Err(io::Error::other("not a directory"));
    }
    owned_alone(&about)
}

/// Ours, and writable by nobody else.
fn owned_alone(about: &fs::Metadata) -> io::Result<()> {
    if about.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("belongs to another user"));
    }
    if about.mode() & 0o022 != 0 {
        return Err(io::Error::other("others can write to it"));
    }
    Ok(())
}

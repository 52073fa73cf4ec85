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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A directory with the compiled form of a small component in it.
    struct Kept {
        dir: PathBuf,
        engine: wasmtime::Engine,
        cache: Cache,
        file: PathBuf,
    }

    const DIGEST: Digest = [7; 32];

    fn component(engine: &wasmtime::Engine) -> Component {
        Component::from_binary(engine, &wat::parse_str("(component)").unwrap()).unwrap()
    }

    fn kept(name: &str) -> Kept {
        let dir = std::env::temp_dir().join(format!("wasmgate-cache-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let engine = wasmtime::Engine::default();
        let cache = Cache::open(&dir, &engine).unwrap();
        cache.store(&DIGEST, &component(&engine));
        let file = cache.path(&DIGEST);
        Kept { dir, engine, cache, file }
    }

    impl Kept {
        fn is_trusted(&self) -> bool {
            self.cache.load(&self.engine, &DIGEST).is_some()
        }

        /// Something is done to the file: it is not loaded, and the next one that is stored is.
        fn refuses(&self, what: &str, spoil: impl FnOnce(&Path)) {
            assert!(self.is_trusted(), "before: {what}");
            spoil(&self.file);
            assert!(!self.is_trusted(), "{what}");
            self.cache.store(&DIGEST, &component(&self.engine));
            assert!(self.is_trusted(), "after: {what}");
            assert_eq!(fs::symlink_metadata(&self.file).unwrap().mode() & 0o777, 0o600, "{what}");
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_is_in_doubt_is_not_run_and_replaced() {
        let kept = kept("file");
        let good = fs::read(&kept.file).unwrap();
        let with = |bytes: Vec<u8>| move |file: &Path| fs::write(file, bytes).unwrap();
        for length in [0, MAGIC.len(), MAGIC.len() + 31, MAGIC.len() + 32, good.len() - 1] {
            kept.refuses(&format!("cut to {length} bytes"), with(good[..length].to_vec()));
        }
        for at in [0, MAGIC.len(), MAGIC.len() + 32, good.len() / 2, good.len() - 1] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            kept.refuses(&format!("byte {at} flipped"), with(bytes));
        }
        kept.refuses("longer", with([&good[..], b"x"].concat()));
        kept.refuses(
            "of another format",
            with([b"wasmgate compiled component 0\n", &good[MAGIC.len()..]].concat()),
        );
        kept.refuses("writable by the group", |file| mode(file, 0o620));
        kept.refuses("writable by everybody", |file| mode(file, 0o666));
        kept.refuses("a directory", |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
            assert!(!kept.is_trusted());
            fs::remove_dir(file).unwrap();
        });
        kept.refuses("a link to the good one", |file| {
            let aside = kept.dir.join("aside");
            fs::rename(file, &aside).unwrap();
            symlink(aside, file).unwrap();
        });
    }

    #[test]
    fn what_another_component_or_engine_was_compiled_to_is_not_run() {
        let kept = kept("foreign");
        let good = fs::read(&kept.file).unwrap();
        let other = Digest::from([8; 32]);
        fs::write(kept.cache.path(&other), &good).unwrap();
        assert!(kept.cache.load(&kept.engine, &other).is_none(), "another component's name");

        // Another version or other settings of the compiler have a directory of their own, and a seal of their own.
        let foreign = wasmtime::Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        let cache = Cache::open(&kept.dir, &foreign).unwrap();
        assert_ne!(cache.path(&DIGEST), kept.file);
        assert!(cache.load(&foreign, &DIGEST).is_none(), "nothing of another engine's is found");
        fs::write(cache.path(&DIGEST), &good).unwrap();
        assert!(cache.load(&foreign, &DIGEST).is_none(), "nor run where it was put by hand");

        // What was compiled elsewhere is held against the engine even under a good seal.
        let compiled = component(&foreign).serialize().unwrap();
        kept.refuses("sealed, and of another engine", |_| kept.cache.write(&DIGEST, &compiled).unwrap());
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_used() {
        let kept = kept("directory");
        for dir in [&kept.dir, kept.file.parent().unwrap()] {
            for others in [0o720, 0o702, 0o777] {
                mode(dir, others);
                let refused = Cache::open(&kept.dir, &kept.engine).unwrap_err();
                assert_eq!(refused.to_string(), "others can write to it", "{} {others:o}", dir.display());
            }
            mode(dir, 0o700);
        }
        assert!(Cache::open(&kept.dir, &kept.engine).is_ok());
    }
}

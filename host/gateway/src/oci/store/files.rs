//! How the store treats one file: written whole or not at all, read only when it is this user's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Writes beside and renames; flushed before and after, so that a crash leaves the old file, the new one or none.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    let temporary = temporary(dir);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A name of its own: several processes, and containers that share a directory but count processes anew.
fn temporary(dir: &Path) -> PathBuf {
    static UNIQUE: AtomicU64 = AtomicU64::new(0);
    let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
    let random = getrandom::u64().unwrap_or_default();
    dir.join(format!("{TEMPORARY}{}-{unique}-{random:016x}", std::process::id()))
}

/// Reads a regular file of this user.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nofollow).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.len() > most {
        return Err(io::Error::other("not a file, or too large"));
    }
    owned_alone(&about)?;
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default());
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Out of the way, for whoever wants to know what happened.
pub(super) fn move_aside(path: &Path) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(CORRUPT);
    if let Err(error) = fs::rename(path, &aside) {
        tracing::warn!(path = %path.display(), %error, "blob could not be moved aside");
    }
}

/// Removes what nobody will finish, and what was moved aside, once it is old.
pub(super) fn sweep_leftovers(dir: &Path, old: Duration) {
    for path in listing(dir) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let age = fs::symlink_metadata(&path).and_then(|about| about.modified()).map(|then| then.elapsed());
        if (name.starts_with(TEMPORARY) || name.ends_with(CORRUPT))
            && age.is_ok_and(|age| age.is_ok_and(|age| age > old))
        {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The files of a directory; none when it cannot be read.
pub(super) fn listing(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// Makes sure that the directory exists and nobody else can change it.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let about = fs::symlink_metadata(dir)?;
    if !about.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    owned_alone(&about)
}

/// Among others who only add.
pub(super) fn lock_shared(path: &Path) -> io::Result<File> {
    let file = lock_file(path)?;
    file.lock_shared()?;
    Ok(file)
}

/// For taking away: nobody adds meanwhile.
pub(super) fn lock_alone(path: &Path) -> io::Result<File> {
    let file = lock_file(path)?;
    file.lock()?;
    Ok(file)
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Ours, and writable by nobody else.
fn owned_alone(about: &fs::Metadata) -> io::Result<()> {
    if about.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if about.mode() & 0o022 != 0 {
        return Err(io::Error::other("others can write to it"));
    }
    Ok(())
}

const TEMPORARY: &str = ".new-";
const CORRUPT: &str = ".corrupt";

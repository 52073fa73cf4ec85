//! Where the chain is, in a small file beside the log: what an empty log goes on from, when the lines before it have been moved
//! away while nobody wrote.
//!
//! A log that has lines knows better: then this is not looked at, so it may be a batch behind after a crash.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::chain::Link;

/// The file.
pub(super) struct Head {
    path: PathBuf,
    /// What becomes that file when it is whole.
    next: PathBuf,
    is_kept: bool,
}

impl Head {
    /// That of a log.
    pub(super) fn beside(log: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = log.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Self { path: with(".head"), next: with(".head.new"), is_kept: true }
    }

    /// What was kept last; where nothing was, before the first line.
    pub(super) fn last(&self) -> Link {
        let link = match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok().filter(Link::is_sound),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Link::first(),
            Err(_) => None,
        };
        link.unwrap_or_else(|| {
            tracing::warn!(file = %self.path.display(), "it does not say where the audit log was: its chain begins anew");
            Link::first()
        })
    }

    /// Keeps this in place of what there was. The log is whole without it, so a failure is told once and changes nothing.
    pub(super) fn keep(&mut self, link: &Link) {
        let written = serde_json::to_vec(link).map_err(io::Error::from).and_then(|bytes| self.put(&bytes));
        if let (Err(error), true) = (&written, self.is_kept) {
            tracing::warn!(file = %self.path.display(), %error, "cannot keep where the audit log is");
        }
        self.is_kept = written.is_ok();
    }

    /// Whoever reads it finds the old or the new one, never a part.
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.next)?;
        file.write_all(bytes)?;
        fs::rename(&self.next, &self.path)
    }
}

//! Which paths of this machine a container may see, and whether it may write there.
//!
//! A source is resolved first (symlinks, `..`), judged as resolved, and mounted as resolved. What is sensitive stays
//! out whatever the operator allows; what is allowed is read-only unless it is listed as writable, exactly.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use super::LaunchError;

/// The operator's lists. Both empty still allows what lies under `/tmp` and `/var/tmp`, read-only.
#[derive(Debug, Clone, Default)]
pub struct BindPolicy {
    /// Directories (or files) that may be mounted, with everything under them.
    pub allow: Vec<PathBuf>,
    /// Paths that may be mounted writable. Compared exactly: nothing under them is writable on its own.
    pub allow_writable: Vec<PathBuf>,
    /// Paths that are never mounted, nor anything under or around them: the gateway's own state and configuration.
    pub deny: Vec<PathBuf>,
}

/// A source that may be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    /// The resolved path, which is what must be mounted.
    pub(super) source: String,
    /// Whether it must be read-only.
    pub(super) read_only: bool,
}

impl BindPolicy {
    /// Judges one source. Looks at the file system, so call it where blocking is allowed.
    ///
    /// # Errors
    /// [`LaunchError::BindRefused`] with the reason, [`LaunchError::BindMissing`] when there is nothing to mount.
    pub(super) fn check(&self, source: &Path, read_only: bool) -> Result<Bind, LaunchError> {
        let refuse = |reason| LaunchError::BindRefused { path: source.to_owned(), reason };
        if !source.is_absolute() {
            return Err(refuse("it is not an absolute path on this machine".to_owned()));
        }
        // As written as well as resolved: a link out of a sensitive directory is no way in.
        sensitive(source).map_or(Ok(()), |why| Err(refuse(why)))?;
        let resolved =
            source.canonicalize().map_err(|_| LaunchError::BindMissing { path: source.to_owned() })?;
        self.denied(&resolved).map_or(Ok(()), |why| Err(refuse(why)))?;
        let writable = self.allow_writable.iter().any(|path| same(path, &resolved));
        if !writable && !self.allowed(&resolved) {
            let reason = "it is outside the paths that may be mounted: add it, or a directory above it, to the \
                          allowed binds";
            return Err(refuse(reason.to_owned()));
        }
        let text = resolved.to_str().ok_or_else(|| refuse("its name is not valid UTF-8".to_owned()))?;
        Ok(Bind { source: text.to_owned(), read_only: read_only || !writable })
    }

    fn allowed(&self, path: &Path) -> bool {
        // The shared directories themselves hold other people's sockets and files: only what lies under them.
        let shared = SHARED.iter().any(|root| under(path, Path::new(root)) && !same(Path::new(root), path));
        shared || self.allow.iter().any(|root| under(path, root))
    }

    /// Why a resolved path is out whatever is allowed.
    fn denied(&self, path: &Path) -> Option<String> {
        if let Some(why) = sensitive(path) {
            return Some(why);
        }
        if let Some(system) = SYSTEM.iter().find(|system| under(path, Path::new(system))) {
            return Some(format!("{system} is never mounted"));
        }
        if let Some(system) = SYSTEM.iter().find(|system| around(path, Path::new(system))) {
            return Some(format!("it contains {system}, which is never mounted"));
        }
        if self.deny.iter().any(|own| under(path, own) || around(path, own)) {
            return Some("the gateway keeps its own files there".to_owned());
        }
        let root_home = Path::new("/root");
        let inside = self.allow.iter().chain(&self.allow_writable);
        let mut inside = inside.filter(|root| under(root, root_home) && !same(root, root_home));
        if under(path, root_home) && !inside.any(|root| under(path, root)) {
            return Some("/root is never mounted as a whole: allow a directory under it".to_owned());
        }
        let meta = path.metadata().ok()?;
        let kind = meta.file_type();
        if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() {
            return Some("it is a socket, a pipe or a device".to_owned());
        }
        let kept = HOMES_OF_KEYS.iter().find(|name| meta.is_dir() && path.join(name).exists());
        kept.map(|name| format!("it contains {name}"))
    }
}

/// Why a path is sensitive by its words alone.
fn sensitive(path: &Path) -> Option<String> {
    let words: Vec<&str> = path.components().filter_map(|part| part.as_os_str().to_str()).collect();
    if let Some(word) =
        words.iter().find(|word| SEGMENTS.iter().any(|known| known.eq_ignore_ascii_case(word)))
    {
        return Some(format!("{word} holds credentials"));
    }
    if words.windows(2).any(|pair| pair == [".config", "gcloud"]) {
        return Some(".config/gcloud holds credentials".to_owned());
    }
    let name = words.last()?.to_ascii_lowercase();
    if ENGINE_SOCKETS.contains(&name.as_str()) {
        return Some("whoever holds the container engine's socket is root on this machine".to_owned());
    }
    let key = KEY_FILES.contains(&name.as_str()) || KEY_ENDINGS.iter().any(|ending| name.ends_with(ending));
    key.then(|| format!("{name} is a file that holds keys"))
}

/// Whether `path` is `root` or lies under it, `root` as written or as resolved.
fn under(path: &Path, root: &Path) -> bool {
    let plain = root.is_absolute() && !root.components().any(|part| part == Component::ParentDir);
    plain && (path.starts_with(root) || root.canonicalize().is_ok_and(|root| path.starts_with(root)))
}

/// Whether `inner` lies under `path`: mounting `path` would show it.
fn around(path: &Path, inner: &Path) -> bool {
    inner.starts_with(path) || inner.canonicalize().is_ok_and(|inner| inner.starts_with(path))
}

fn same(one: &Path, resolved: &Path) -> bool {
    one == resolved || one.canonicalize().is_ok_and(|one| one == resolved)
}

/// Where anybody may put files.
const SHARED: [&str; 2] = ["/tmp", "/var/tmp"];
/// What makes the machine, with the state of container engines.
const SYSTEM: [&str; 11] = [
    "/proc",
    "/sys",
    "/dev",
    "/etc",
    "/run",
    "/var/run",
    "/boot",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/private/etc",
    "/private/var/run",
];
/// Directories that hold credentials wherever they stand.
const SEGMENTS: [&str; 6] = [".ssh", ".aws", ".docker", ".kube", ".gnupg", ".azure"];
/// Directories that make the one around them unfit for mounting.
const HOMES_OF_KEYS: [&str; 4] = [".ssh", ".gnupg", ".aws", ".kube"];
const ENGINE_SOCKETS: [&str; 5] =
    ["docker.sock", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock"];
const KEY_FILES: [&str; 10] = [
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "authorized_keys",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
];
const KEY_ENDINGS: [&str; 6] = [".pem", ".key", ".p12", ".pfx", ".kdbx", ".jks"];

#[cfg(test)]
mod tests;

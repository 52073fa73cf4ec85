//! Says that a file may have changed. Only that it may: whoever is told looks for himself, because events can be lost, come
//! twice, or come in the middle of a write.
//!
//! Directories are watched and not files, because editors rename a new file over the old one, and every symbolic link on
//! the way to a file is a place where it may be exchanged (Kubernetes swaps the link `..data`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// How many symbolic links lead to a file at most, as in the kernel.
const MOST_LINKS: usize = 40;

/// Watches the files it was last told of.
pub(super) struct Watch {
    /// Absent where this machine cannot watch.
    watcher: Option<RecommendedWatcher>,
    hint: Arc<Notify>,
    spots: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// The directories watched, and which they were.
    directories: BTreeMap<PathBuf, Which>,
}

/// Device and inode: a directory of the same name may be another one.
type Which = (u64, u64);

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
        let (hint, spots) = (Arc::new(Notify::new()), Arc::default());
        let tell = (Arc::clone(&hint), Arc::clone(&spots));
        let watcher = notify::recommended_watcher(move |event| {
            if matters(&event, &tell.1) {
                tell.0.notify_one();
            }
        });
        let watcher = watcher.map_err(|error| cannot(&error)).ok();
        Self { watcher, hint, spots, directories: BTreeMap::new() }
    }

    /// Resolves when one of the files may have changed since the last time.
    pub(super) fn hint(&self) -> Arc<Notify> {
        Arc::clone(&self.hint)
    }

    /// Watches exactly these files, wherever they are now. Reads directories, so call it where blocking is allowed.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let spots: BTreeSet<PathBuf> = files.flat_map(spots).collect();
        let which = |dir: &Path| {
            let about = dir.metadata().ok()?;
            Some((dir.to_owned(), (about.dev(), about.ino())))
        };
        let wanted: BTreeMap<_, _> = spots.iter().filter_map(|spot| which(spot.parent()?)).collect();
        *self.spots.lock().unwrap_or_else(PoisonError::into_inner) =
            spots.into_iter().chain(wanted.keys().cloned()).collect();
        let Some(watcher) = &mut self.watcher else { return };
        for (gone, _) in self.directories.iter().filter(|(dir, which)| wanted.get(*dir) != Some(which)) {
            // A directory that is no more is not watched any more either.
            let _absent = watcher.unwatch(gone);
        }
        let new = |(dir, which): &(&PathBuf, &Which)| self.directories.get(*dir) != Some(which);
        for (dir, _) in wanted.iter().filter(new) {
            if let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive) {
                cannot(&error);
            }
        }
        self.directories = wanted;
    }
}

fn cannot(error: &notify::Error) {
    tracing::warn!(%error, "changes of the configuration are seen late: its files cannot be watched");
}

/// Whether an event may be about one of the spots. Looking at a file is an event, too, and would never end.
fn matters(event: &notify::Result<Event>, spots: &Mutex<BTreeSet<PathBuf>>) -> bool {
    let Ok(event) = event else { return true };
    let only_looked =
        matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
    let spots = spots.lock().unwrap_or_else(PoisonError::into_inner);
    !only_looked && (event.need_rescan() || event.paths.iter().any(|path| spots.contains(path)))
}

/// The places where a change exchanges the file: every symbolic link on the way to it, and its own place or, where there
/// is no such file, the first place of the way that does not exist.
fn spots(file: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut at = PathBuf::from("/");
    let mut rest = steps(file);
    while let Some(step) = rest.pop_front() {
        if step == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&step);
        match next.symlink_metadata() {
            Ok(about) if about.is_symlink() && found.len() < MOST_LINKS => {
                let Ok(target) = next.read_link() else { break };
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                found.push(next);
                for step in steps(&target).into_iter().rev() {
                    rest.push_front(step);
                }
            }
            Ok(about) if about.is_dir() && !rest.is_empty() => at = next,
            _ => {
                found.push(next);
                break;
            }
        }
    }
    found
}

fn steps(path: &Path) -> VecDeque<OsString> {
    let step = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    /// A directory that goes away with the test.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("wasmgate-watch-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir.canonicalize().unwrap())
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn every_link_on_the_way_is_a_spot() {
        let dir = Dir::new("spots");
        let at = |path: &str| dir.0.join(path);
        fs::create_dir_all(at("v1")).unwrap();
        fs::write(at("v1/file"), "").unwrap();
        symlink("v1", at("..data")).unwrap();
        symlink("..data/file", at("file")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let check = |path: &str, expected: &[&str]| {
            assert_eq!(spots(&at(path)), expected.iter().map(|spot| at(spot)).collect::<Vec<_>>(), "{path}");
        };
        check("file", &["file", "..data", "v1/file"]);
        check("v1/../v1/./file", &["v1/file"]);
        check("v1/absent", &["v1/absent"]);
        check("none/absent", &["none"]);
        assert_eq!(spots(&at("loop")).len(), MOST_LINKS + 1);
    }

    /// Whether the change is told of; the limit is for a loaded machine.
    async fn told(watch: &mut Watch, file: &Path, change: impl FnOnce()) -> bool {
        watch.follow([file].into_iter());
        change();
        let hint = watch.hint();
        tokio::time::timeout(Duration::from_secs(20), hint.notified()).await.is_ok()
    }

    #[tokio::test]
    async fn writes_renames_swapped_links_and_new_directories_are_seen() {
        let dir = Dir::new("events");
        let at = |path: &str| dir.0.join(path);
        fs::write(at("file"), "1").unwrap();
        let mut watch = Watch::new();
        assert!(told(&mut watch, &at("file"), || fs::write(at("file"), "2").unwrap()).await, "written");
        fs::write(at("other"), "3").unwrap();
        let rename = || fs::rename(at("other"), at("file")).unwrap();
        assert!(told(&mut watch, &at("file"), rename).await, "renamed over");
        for version in ["v1", "v2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("file"), version).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/file", at("link")).unwrap();
        let swap = || {
            symlink("v2", at("..tmp")).unwrap();
            fs::rename(at("..tmp"), at("..data")).unwrap();
        };
        assert!(told(&mut watch, &at("link"), swap).await, "a link swapped");
        let write = || fs::write(at("v2/file"), "new").unwrap();
        assert!(told(&mut watch, &at("link"), write).await, "the file behind the new link");
        let mkdir = || fs::create_dir(at("later")).unwrap();
        assert!(told(&mut watch, &at("later/file"), mkdir).await, "the directory it will be in");
        let create = || fs::write(at("later/file"), "").unwrap();
        assert!(told(&mut watch, &at("later/file"), create).await, "and the file there");
        let anew = || {
            fs::rename(at("later"), at("before")).unwrap();
            fs::create_dir(at("later")).unwrap();
        };
        watch.follow([at("later/file")].iter().map(PathBuf::as_path));
        anew();
        let create = || fs::write(at("later/file"), "").unwrap();
        assert!(told(&mut watch, &at("later/file"), create).await, "a directory exchanged for another");
    }

    #[test]
    fn what_only_looks_does_not_matter() {
        let spots = Mutex::new(BTreeSet::from([PathBuf::from("/a/file")]));
        let event = |kind, path: &str| Ok(Event::new(kind).add_path(path.into()));
        let write = EventKind::Modify(notify::event::ModifyKind::Any);
        assert!(matters(&event(write, "/a/file"), &spots));
        assert!(!matters(&event(write, "/a/other"), &spots));
        assert!(!matters(&event(EventKind::Access(AccessKind::Open(AccessMode::Any)), "/a/file"), &spots));
        assert!(matters(&event(EventKind::Access(AccessKind::Close(AccessMode::Write)), "/a/file"), &spots));
        assert!(matters(&Err(notify::Error::generic("lost")), &spots));
    }
}

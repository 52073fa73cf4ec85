//! A store that several processes write, that crashes half-way, and whose files go bad.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::oci::artifact::DockerKind;

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("wasmgate-store-{}-{number}", std::process::id())))
    }

    fn open(&self) -> Store {
        Store::open(&self.0).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn artifact(number: usize) -> Artifact {
    Artifact::docker(DockerKind::Server, format!("[{number}]")).unwrap()
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

#[test]
fn what_is_kept_is_found_listed_and_removed() {
    let dir = Dir::new();
    let store = dir.open();
    assert_eq!((store.list(), store.artifact(artifact(1).digest)), (Vec::new(), None));
    store.keep(&reference("r.example/b:1"), &artifact(1)).unwrap();
    store.keep(&reference("r.example/a:1"), &artifact(1)).unwrap();
    store.keep(&reference("r.example/a:2"), &artifact(2)).unwrap();
    let listed: Vec<String> = store.list().iter().map(|entry| entry.reference.to_string()).collect();
    assert_eq!(listed, ["r.example/a:1", "r.example/a:2", "r.example/b:1"]);
    assert_eq!(store.resolution(&reference("r.example/a:2")).unwrap().digest, artifact(2).digest);
    assert_eq!(store.resolution(&reference("r.example/a:3")), None);
    let again = dir.open();
    assert_eq!(again.artifact(artifact(1).digest), Some(artifact(1)));
    let size = again.size();
    assert!(again.remove(&reference("r.example/a:1")).unwrap());
    assert_eq!(again.artifact(artifact(1).digest), Some(artifact(1)), "another name needs it");
    assert!(again.remove(&reference("r.example/b:1")).unwrap());
    assert_eq!(again.artifact(artifact(1).digest), None);
    assert_eq!(again.artifact(artifact(2).digest), Some(artifact(2)), "shares the empty configuration");
    assert!(!again.remove(&reference("r.example/b:1")).unwrap());
    assert!(again.size() < size);
}

#[test]
fn a_pinned_name_is_kept_by_digest_and_moves_no_tag() {
    let dir = Dir::new();
    let store = dir.open();
    store.keep(&reference("r.example/a:1").pinned(artifact(1).digest), &artifact(1)).unwrap();
    assert_eq!(store.resolution(&reference("r.example/a:1")), None);
    let only = reference("r.example/a").only(artifact(1).digest);
    assert_eq!(store.list().iter().map(|entry| &entry.reference).collect::<Vec<_>>(), [&only]);
    assert!(store.remove(&reference("r.example/a:other").pinned(artifact(1).digest)).unwrap());
}

#[test]
fn what_a_tag_leads_to_is_known_before_it_is_pulled() {
    let dir = Dir::new();
    let store = dir.open();
    store.note(&reference("r.example/a:1"), artifact(1).digest).unwrap();
    assert_eq!((store.list()[0].kind.as_str(), store.list()[0].size), ("", 0));
    store.keep(&reference("r.example/a").only(artifact(1).digest), &artifact(1)).unwrap();
    assert!(store.list().iter().all(|entry| entry.kind == DockerKind::Server.artifact_type()));
}

#[test]
fn files_are_this_user_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = Dir::new();
    let store = dir.open();
    store.keep(&reference("r.example/a:1"), &artifact(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for sub in ["", "blobs", "blobs/sha256", "refs"] {
        assert_eq!(mode(&dir.0.join(sub)), 0o700, "{sub}");
    }
    let files: Vec<PathBuf> = files::listing(&store.blobs()).chain(files::listing(&store.refs())).collect();
    assert_eq!(files.len(), 4);
    assert!(files.iter().all(|path| mode(path) == 0o600));
    fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = Store::open(&dir.0).unwrap_err();
    assert!(refused.source.to_string().contains("others can write"), "{refused}");
}

#[test]
fn a_bad_file_is_absent_and_out_of_the_way() {
    let dir = Dir::new();
    let store = dir.open();
    store.keep(&reference("r.example/a:1"), &artifact(1)).unwrap();
    let layer = artifact(1).manifest.layers[0].digest;
    for damage in ["[7]", "[", "[1]longer"] {
        fs::write(store.blob_path(layer), damage).unwrap();
        assert_eq!(store.artifact(artifact(1).digest), None);
        assert!(!store.blob_path(layer).exists(), "moved aside");
        store.keep(&reference("r.example/a:1"), &artifact(1)).unwrap();
        assert_eq!(store.artifact(artifact(1).digest), Some(artifact(1)));
    }
    fs::write(store.blob_path(layer), "[7]").unwrap();
    store.keep(&reference("r.example/a:1"), &artifact(1)).unwrap();
    assert_eq!(store.artifact(artifact(1).digest), Some(artifact(1)), "also when nobody had looked");
    let name = store.ref_path(&reference("r.example/a:1"));
    fs::write(&name, "{").unwrap();
    assert_eq!(store.resolution(&reference("r.example/a:1")), None);
    fs::remove_file(&name).unwrap();
    std::os::unix::fs::symlink(store.blob_path(layer), &name).unwrap();
    assert_eq!(store.resolution(&reference("r.example/a:1")), None);
}

#[test]
fn what_a_crash_left_is_ignored_and_swept_when_old() {
    let dir = Dir::new();
    let store = dir.open();
    let left = [store.blobs().join(".new-1-0-00"), store.refs().join(".new-1-1-00")];
    for path in &left {
        fs::write(path, "half").unwrap();
    }
    assert_eq!(dir.open().list(), []);
    assert!(left.iter().all(|path| path.exists()), "its process may still be at it");
    for path in &left {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - LEFTOVER * 2).unwrap();
    }
    dir.open();
    assert!(left.iter().all(|path| !path.exists()));
}

#[test]
fn processes_share_a_store() {
    let dir = Dir::new();
    let store = dir.open();
    let mut writers: Vec<_> = (0..3).map(|_| child(&dir, "20")).collect();
    // Somebody who takes away meanwhile.
    for round in 0..20 {
        store.keep(&reference(&format!("r.example/mine:{round}")), &artifact(1000 + round)).unwrap();
        store.remove(&reference(&format!("r.example/mine:{round}"))).unwrap();
    }
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    assert_eq!(store.list().len(), 20);
    for entry in store.list() {
        assert!(store.artifact(entry.digest).is_some(), "{}", entry.reference);
    }
    let leftovers = files::listing(&store.blobs()).filter(|path| path.to_string_lossy().contains(".new-"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn a_killed_process_leaves_nothing_half() {
    use std::io::{BufRead as _, BufReader};
    let dir = Dir::new();
    let store = dir.open();
    let mut writer = child(&dir, "1000000");
    let said = BufReader::new(writer.stdout.take().unwrap()).lines();
    assert!(said.map_while(Result::ok).any(|line| line.contains("kept 25")));
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert!(store.list().len() >= 25);
    for entry in store.list() {
        assert!(store.artifact(entry.digest).is_some(), "{}", entry.reference);
    }
}

/// This test program once more, as a process that keeps so many artifacts.
fn child(dir: &Dir, count: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "oci::store::tests::another_process", "--ignored", "--nocapture"])
        .env("WASMGATE_TEST_STORE", &dir.0)
        .env("WASMGATE_TEST_COUNT", count)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the other process of the tests above"]
#[expect(clippy::disallowed_methods, reason = "what the test that started it says")]
fn another_process() {
    let Ok(root) = std::env::var("WASMGATE_TEST_STORE") else { return };
    let count: usize = std::env::var("WASMGATE_TEST_COUNT").unwrap().parse().unwrap();
    let store = Store::open(root).unwrap();
    for number in 0..count {
        store.keep(&reference(&format!("r.example/theirs:{number}")), &artifact(number)).unwrap();
        println!("kept {number}");
    }
}

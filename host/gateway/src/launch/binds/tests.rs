//! The bind policy as tables: what is mounted, as what, and what is refused in which words.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

/// A small world under `/tmp`, removed at the end.
struct World(PathBuf);

impl World {
    fn new(name: &str) -> Self {
        let root = PathBuf::from(format!("/tmp/wasmgate-binds-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for dir in [
            "data/deep",
            "other",
            "home/.ssh",
            "home/work",
            "repo/.docker",
            "repo/.config/gcloud",
            "repo/.config/app",
        ] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        for file in [
            "data/file.txt",
            "data/id_rsa",
            "data/id_rsa.pub",
            "data/server.pem",
            "data/server.KEY",
            "data/.netrc",
        ] {
            fs::write(root.join(file), "x").unwrap();
        }
        for (link, to) in [
            ("to-etc", "/etc"),
            ("to-root", "/"),
            ("to-file", "data/file.txt"),
            ("to-ssh", "home/.ssh"),
            ("to-var", "/var"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        drop(UnixListener::bind(root.join("data/any.sock")).unwrap());
        Self(root.canonicalize().unwrap())
    }

    /// Text with `@` for the root of this world.
    fn path(&self, text: &str) -> PathBuf {
        text.strip_prefix('@')
            .map_or_else(|| text.into(), |rest| format!("{}{rest}", self.0.display()).into())
    }

    fn judge(&self, policy: &BindPolicy, source: &str, read_only: bool) -> String {
        match policy.check(&self.path(source), read_only) {
            Ok(bind) => {
                let mode = if bind.read_only { "ro" } else { "rw" };
                format!("{mode} {}", bind.source.replace(self.0.to_str().unwrap(), "@"))
            }
            Err(error) => {
                format!("{}: {}", error.code(), error.to_string().replace(self.0.to_str().unwrap(), "@"))
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn check(policy: &BindPolicy, world: &World, rows: &[(&str, &str)]) {
    for (source, expected) in rows {
        let got = world.judge(policy, source, false);
        let fits = if expected.starts_with("ro ") || expected.starts_with("rw ") {
            got == *expected
        } else {
            got.contains(expected) && got.starts_with("bind_")
        };
        assert!(fits, "{source}\n expected {expected}\n got      {got}");
    }
}

const OUTSIDE: &str = "outside the paths that may be mounted";
const NEVER: &str = "never mounted";

#[test]
fn without_lists_only_shared_directories_read_only() {
    let world = World::new("default");
    check(
        &BindPolicy::default(),
        &world,
        &[
            ("@/data", "ro @/data"),
            ("@/data/", "ro @/data"),
            ("@/data/deep/../../other", "ro @/other"),
            ("@/data/./deep", "ro @/data/deep"),
            ("@/data/file.txt", "ro @/data/file.txt"),
            ("@/to-file", "ro @/data/file.txt"),
            ("@/data/id_rsa.pub", "ro @/data/id_rsa.pub"),
            ("@/repo/.config/app", "ro @/repo/.config/app"),
            ("/tmp", OUTSIDE),
            ("/var/tmp", OUTSIDE),
            ("/tmp/", OUTSIDE),
            ("/usr/share", OUTSIDE),
            ("/home", OUTSIDE),
            ("/tmp/../usr/lib", OUTSIDE),
            ("@/nothing", "there is nothing at @/nothing"),
            ("@/data/file.txt/x", "there is nothing"),
            ("", "not an absolute path"),
            ("data", "not an absolute path"),
            ("./data", "not an absolute path"),
            ("../etc", "not an absolute path"),
            ("~/.ssh", "not an absolute path"),
            ("-v", "not an absolute path"),
            ("C:\\Users\\a", "not an absolute path"),
            ("C:/Users/a", "not an absolute path"),
            ("\\\\server\\share", "not an absolute path"),
            ("$HOME/data", "not an absolute path"),
            ("@/data:/etc:rw", "there is nothing"),
            ("@/data,readonly=false", "there is nothing"),
        ],
    );
}

#[test]
fn what_is_sensitive_stays_out_even_when_everything_is_allowed() {
    let world = World::new("deny");
    let everything = BindPolicy {
        allow: vec!["/".into()],
        allow_writable: vec!["/etc".into()],
        deny: vec![world.path("@/other/state")],
    };
    check(
        &everything,
        &world,
        &[
            ("/usr/share", "ro /usr/share"),
            ("/", "it contains /proc"),
            ("//", "it contains /proc"),
            ("@/to-root", "it contains /proc"),
            ("/tmp/../..", "it contains /proc"),
            ("/var", "it contains /var/run"),
            ("@/to-var", "it contains /var/run"),
            ("/etc", NEVER),
            ("/etc/passwd", NEVER),
            ("@/to-etc", NEVER),
            ("@/to-etc/passwd", NEVER),
            ("/tmp/../etc", NEVER),
            ("/proc", NEVER),
            ("/proc/self/root", "it contains /proc"),
            ("/proc/1/environ", NEVER),
            ("/sys", NEVER),
            ("/sys/fs/cgroup", NEVER),
            ("/dev", NEVER),
            ("/dev/null", NEVER),
            ("/run", NEVER),
            ("/var/run", NEVER),
            ("/boot", NEVER),
            ("/root", "/root is never mounted as a whole"),
            ("/var/run/docker.sock", "root on this machine"),
            ("/run/docker.sock", "root on this machine"),
            ("/anywhere/podman.sock", "root on this machine"),
            ("@/data/any.sock", "a socket, a pipe or a device"),
            ("@/home/.ssh", "holds credentials"),
            ("@/home/.SSH/x", "holds credentials"),
            ("@/to-ssh", "holds credentials"),
            ("@/home/.ssh/../work", "holds credentials"),
            ("@/home", "it contains .ssh"),
            ("@/home/work", "ro @/home/work"),
            ("@/repo/.docker", "holds credentials"),
            ("@/repo/.config/gcloud", "holds credentials"),
            ("/home/a/.aws/credentials", "holds credentials"),
            ("/home/a/.kube/config", "holds credentials"),
            ("/home/a/.gnupg", "holds credentials"),
            ("/home/a/.azure", "holds credentials"),
            ("@/data/id_rsa", "holds keys"),
            ("@/data/server.pem", "holds keys"),
            ("@/data/server.KEY", "holds keys"),
            ("@/data/.netrc", "holds keys"),
            ("/home/a/.git-credentials", "holds keys"),
        ],
    );
}

#[test]
fn writing_needs_the_exact_path() {
    let world = World::new("write");
    let policy = BindPolicy {
        allow: vec!["/usr".into()],
        allow_writable: vec![world.path("@/data"), world.path("@/to-file")],
        deny: Vec::new(),
    };
    check(
        &policy,
        &world,
        &[
            ("@/data", "rw @/data"),
            ("@/data/", "rw @/data"),
            ("@/data/deep", "ro @/data/deep"),
            ("@/other", "ro @/other"),
            ("@/data/file.txt", "rw @/data/file.txt"),
            ("/usr", "ro /usr"),
            ("/usrx", "there is nothing"),
        ],
    );
    assert_eq!(world.judge(&policy, "@/data", true), "ro @/data");
    let no_way = BindPolicy { allow: vec!["relative".into(), "/tmp/../".into()], ..BindPolicy::default() };
    check(&no_way, &world, &[("/usr/share", OUTSIDE)]);
}

#[test]
fn own_files_stay_out_from_both_sides() {
    let world = World::new("own");
    let policy = BindPolicy { deny: vec![world.path("@/data/deep")], ..BindPolicy::default() };
    check(
        &policy,
        &world,
        &[
            ("@/data/deep", "its own files"),
            ("@/data", "its own files"),
            ("@/data/file.txt", "ro @/data/file.txt"),
        ],
    );
}

//! A Docker engine of the test's own, on a socket and in directories of its own, that may be killed and started again.
//! The engine of this machine never notices.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use rustix::process::Signal;
use tokio::process::Child;

use crate::{docker, process, soon, watch};

/// An engine that lives as long as this value.
pub struct Engine {
    dir: PathBuf,
    daemon: Option<Child>,
}

/// Whether one can be started here.
pub fn there() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("an engine of one's own needs root".into());
    }
    let found = Command::new("dockerd").arg("--version").output();
    found.map(|_| ()).map_err(|error| format!("no dockerd: {error}"))
}

/// Starts one that keeps its images on disk.
pub async fn engine() -> Engine {
    begin(None).await
}

/// Starts one that has so many megabytes for everything.
pub async fn small_engine(megabytes: u32) -> Engine {
    begin(Some(megabytes)).await
}

async fn begin(megabytes: Option<u32>) -> Engine {
    watch::this_test();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Short: the path of a socket has little room.
    let dir = PathBuf::from(format!("/tmp/wg-engine-{}-{number}", std::process::id()));
    std::fs::create_dir_all(dir.join("data")).expect("a temporary directory");
    if let Some(megabytes) = megabytes {
        let data = dir.join("data");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(data);
        assert!(mount.status().is_ok_and(|status| status.success()), "a file system of its own");
    }
    let mut engine = Engine { dir, daemon: None };
    engine.start().await;
    engine
}

impl Engine {
    /// As in `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.dir.join("s").display())
    }

    /// A connection to it.
    pub fn docker(&self) -> Docker {
        Docker::connect_with_unix(&self.host(), 60, API_DEFAULT_VERSION).expect("it has been started")
    }

    /// Starts it, also after its death.
    pub async fn start(&mut self) {
        let file = |name: &str| self.dir.join(name).to_str().expect("UTF-8").to_owned();
        let _ = std::fs::remove_file(file("pid"));
        let mut command = tokio::process::Command::new("dockerd");
        command.args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--storage-driver=vfs"]);
        command.args(["--host", &self.host(), "--data-root", &file("data"), "--exec-root", &file("exec")]);
        std::fs::write(file("config"), "{}").expect("a configuration of its own");
        command.args(["--pidfile", &file("pid"), "--config-file", &file("config")]);
        let log = std::fs::File::options().create(true).append(true).open(file("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        self.daemon = Some(command.spawn().expect("dockerd runs"));
        let answers = async {
            while !self.answers().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon(&format!("the engine's first answer; see {}", file("log")), answers).await;
    }

    async fn answers(&self) -> bool {
        // Before it is there for the first time there is no socket, which is an error at once.
        match Docker::connect_with_unix(&self.host(), 60, API_DEFAULT_VERSION) {
            Ok(docker) => docker.ping().await.is_ok(),
            Err(_) => false,
        }
    }

    /// It dies of SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            soon("the end of the engine", daemon.kill()).await.expect("it ends");
        }
    }

    /// The fixture in an image `FROM scratch`, as [`docker::scratch`] has it.
    pub async fn scratch(&self) -> Result<(), String> {
        docker::scratch_in(&self.docker()).await
    }

    /// What is mounted below its directory, deepest first.
    fn mounts(&self) -> Vec<String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounted = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let mut mounted: Vec<String> =
            mounted.filter(|path| Path::new(path).starts_with(&self.dir)).map(ToOwned::to_owned).collect();
        mounted.sort_by_key(|path| std::cmp::Reverse(path.len()));
        mounted
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.daemon.take());
        // What it started is ours to end, too: its containerd, and by that one's command line what runs containers.
        let mark = self.dir.to_str().unwrap_or("none").to_owned();
        for (pid, line) in process::all().into_iter().filter(|(_, line)| line.contains(&mark)) {
            if line.contains("containerd") || line.contains("dockerd") {
                process::signal(pid, Signal::KILL);
            }
        }
        for mounted in self.mounts() {
            let _ = Command::new("umount").args(["--lazy", &mounted]).status();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

//! Servers that are child processes: a clean environment, an own process group, nothing left behind: neither when they end,
//! nor when the gateway is killed (`warden`), nor when both are (the sweep of the next start).

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use secrecy::ExposeSecret as _;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use wasmgate_core::catalog::{Argument, Process};
use wasmgate_core::name::ServerName;

use super::family::{self, Member};
use super::identity::{Identity, Ownership, started};
use super::instance::{ABANDONED_GRACE, Owner};
use super::stderr::Stderr;
use super::stdin::{self, Closer};
use super::warden::{Warden, Watched};
use super::{Channel, Exit, Instance, LaunchError, LaunchSettings};
use crate::shutdown::Tasks;

/// The part of the gateway's environment that processes see.
#[derive(Debug, Clone, Default)]
pub(super) struct BaseEnv(Vec<(OsString, OsString)>);

impl BaseEnv {
    /// Takes the four variables that are handed on and forgets the rest.
    pub(super) fn of(all: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(all.into_iter().filter(|(name, _)| HANDED_ON.iter().any(|known| name == known)).collect())
    }

    fn path(&self) -> Option<&OsStr> {
        self.0.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str())
    }
}

/// Starts processes, and knows its own.
pub(super) struct Processes {
    base: BaseEnv,
    identity: Arc<Identity>,
    warden: Warden,
    /// How many were started.
    count: AtomicU64,
    tasks: Tasks,
}

impl Processes {
    /// Takes the settings; starts nothing.
    pub(super) fn new(settings: &LaunchSettings, identity: Arc<Identity>, tasks: Tasks) -> Self {
        let warden = Warden::new(settings.warden.clone(), identity.boot());
        let base = BaseEnv::of(settings.environment.iter().cloned());
        Self { base, identity, warden, count: AtomicU64::new(0), tasks }
    }

    /// Starts a process and the task that owns it.
    pub(super) fn start(&self, name: &ServerName, process: &Process) -> Result<Instance, LaunchError> {
        let mut command = command(process, &self.base)?;
        let mark = self.identity.mark(self.count.fetch_add(1, Ordering::Relaxed));
        // Last, so that no entry can pretend to be somebody else's.
        command.env(family::VARIABLE, &mark);
        self.warden.call(&self.tasks);
        let failed = |cause| LaunchError::Spawn { program: process.program.clone(), cause };
        let mut child = command.spawn().map_err(failed)?;
        let lost = || failed(std::io::ErrorKind::BrokenPipe.into());
        let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or_else(lost)?;
        let said = child.stderr.take().ok_or_else(lost)?;
        let id = child.id().ok_or_else(lost)?;
        let group = Pid::from_raw(id.cast_signed()).ok_or_else(lost)?;
        let strays = Strays { mark, child: id, since: started(id).unwrap_or_default() };

        let stderr = Stderr::new(name, &process.env, &process.args);
        let (input, stdin) = stdin::closable(Box::new(input), &self.tasks);
        let channel = Channel::Stdio { input: Box::new(input), output: Box::new(output) };
        let (instance, owner) = Instance::pair(channel, stderr.censor(), &self.tasks);
        let own = Own { child, group, stdin, strays, _watched: self.warden.watch(id) };
        self.tasks.spawn("server process", own.run(owner, stderr, said));
        Ok(instance)
    }

    /// Ends the processes that dead gateways of this machine left, and says how many.
    pub(super) async fn sweep(&self) -> usize {
        let identity = self.identity.clone();
        let swept = tokio::task::spawn_blocking(move || {
            let is_orphan = |mark: &str| identity.judge_mark(mark, started) == Ownership::Orphan;
            family::end(|| family::marked(0, is_orphan), ABANDONED_GRACE)
        });
        swept.await.unwrap_or_default()
    }

    /// The last step of the drain.
    pub(super) async fn close(&self) {
        self.warden.dismiss().await;
    }
}

/// What to run, and with which environment.
fn command(process: &Process, base: &BaseEnv) -> Result<Command, LaunchError> {
    let mut command = Command::new(find(&process.program, base.path())?);
    if let Some(path) = process.cwd.as_ref() {
        if !path.is_dir() {
            return Err(LaunchError::NoDirectory { path: path.clone() });
        }
        command.current_dir(path);
    }
    command
        .args(process.args.iter().map(Argument::expose))
        .env_clear()
        .envs(base.0.iter().map(|(name, value)| (name, value)));
    command.envs(process.env.iter().map(|var| (&var.name, var.value.expose_secret())));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The group is what is signalled, so that what the child starts ends with it.
    command.process_group(0).kill_on_drop(true);
    Ok(command)
}

/// Finds the program in `path`, or takes it as a path when it has a slash.
fn find(program: &str, path: Option<&OsStr>) -> Result<PathBuf, LaunchError> {
    if program.contains('/') {
        // Absolute, because a relative one would be read after the change of directory.
        let file = std::path::absolute(program).unwrap_or_else(|_| program.into());
        return if file.is_file() { Ok(file) } else { Err(LaunchError::ProgramFileMissing { path: file }) };
    }
    let directories = path.unwrap_or_default().as_bytes().split(|&b| b == b':');
    let candidates = directories
        .filter(|dir| dir.starts_with(b"/"))
        .map(|dir| Path::new(OsStr::from_bytes(dir)).join(program));
    let runnable = |file: &PathBuf| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let not_found = || LaunchError::ProgramNotFound { program: program.to_owned() };
    candidates.filter(|_| !program.is_empty()).find(runnable).ok_or_else(not_found)
}

/// A running child and what is needed to end it.
struct Own {
    child: Child,
    group: Pid,
    stdin: Closer,
    strays: Strays,
    _watched: Watched,
}

/// What a child started and its group does not have any more.
struct Strays {
    mark: String,
    child: u32,
    /// When the child started: nothing of it is older.
    since: u64,
}

impl Strays {
    /// The family of the child as long as it lives: those without the mark are known by nothing else.
    async fn family(&self) -> BTreeSet<Member> {
        let child = self.child;
        tokio::task::spawn_blocking(move || family::descendants(child)).await.unwrap_or_default()
    }

    /// Ends what is left of `family` and all that carries the mark.
    async fn end(self, family: BTreeSet<Member>, grace: Duration) {
        let ended = tokio::task::spawn_blocking(move || {
            let find = || {
                let alive = family.iter().filter(|member| member.is_alive()).cloned();
                alive.chain(family::marked(self.since, |mark| mark == self.mark)).collect()
            };
            family::end(find, grace)
        });
        match ended.await {
            Ok(0) | Err(_) => {}
            Ok(ended) => tracing::debug!(ended, "processes that a server had left behind were ended"),
        }
    }
}

impl Own {
    /// Lives as long as the child: reports its end, and ends it when asked.
    async fn run(mut self, mut owner: Owner, stderr: Stderr, said: tokio::process::ChildStderr) {
        let mut asked = None;
        let status = {
            let drain = stderr.clone().drain(said);
            tokio::pin!(drain);
            let mut drained = false;
            let status = loop {
                tokio::select! {
                    status = self.child.wait() => break status.ok(),
                    grace = owner.asked_to_stop() => {
                        asked = Some((grace, self.strays.family().await));
                        break self.stop(grace, drain.as_mut(), &mut drained).await;
                    }
                    () = drain.as_mut(), if !drained => drained = true,
                }
            };
            // The group's number is free for others from here on; numbers are handed out in turn, so it is not
            // taken again within the microseconds since the child was waited for.
            let _ = kill_process_group(self.group, Signal::KILL);
            if !drained {
                let _ = timeout(LAST_WORDS, drain).await;
            }
            status
        };
        let exit = exit(status, stderr.tail());
        if let Some((grace, family)) = asked {
            self.strays.end(family, grace).await;
            owner.ended(exit);
        } else {
            // Its calls fail now; tidying up can wait.
            owner.ended(exit);
            self.strays.end(BTreeSet::new(), ABANDONED_GRACE).await;
        }
    }

    /// Closes stdin, then signals, each with its grace. `drain` goes on meanwhile, or a child that still writes would
    /// block instead of ending.
    async fn stop(
        &mut self,
        grace: Duration,
        mut drain: std::pin::Pin<&mut impl Future<Output = ()>>,
        drained: &mut bool,
    ) -> Option<ExitStatus> {
        let ending = async {
            self.stdin.close();
            if let Ok(status) = timeout(grace, self.child.wait()).await {
                self.end_rest(grace).await;
                return status.ok();
            }
            let _ = kill_process_group(self.group, Signal::TERM);
            if let Ok(status) = timeout(grace, self.child.wait()).await {
                self.end_rest(grace).await;
                return status.ok();
            }
            let _ = kill_process_group(self.group, Signal::KILL);
            self.child.wait().await.ok()
        };
        tokio::pin!(ending);
        loop {
            tokio::select! {
                status = &mut ending => return status,
                () = drain.as_mut(), if !*drained => *drained = true,
            }
        }
    }

    /// The child is gone; what it started gets its own time to end.
    async fn end_rest(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut signalled = kill_process_group(self.group, Signal::TERM);
        while signalled.is_ok() && Instant::now() < deadline {
            // Only the parent can wait for a process, and these are not our children: ask now and then.
            sleep(Duration::from_millis(10)).await;
            signalled = test_kill_process_group(self.group);
        }
    }
}

fn exit(status: Option<ExitStatus>, last_stderr: String) -> Exit {
    Exit {
        code: status.and_then(|status| status.code()).map(i64::from),
        signal: status.and_then(|status| status.signal()),
        out_of_memory: false,
        last_stderr,
    }
}

/// What a process sees of the gateway's environment.
const HANDED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// How long the rest of stderr is waited for: something else may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;

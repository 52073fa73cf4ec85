//! Which processes a server consists of: itself, and whatever it started and left behind.
//!
//! A process group is left with one system call, so groups alone do not tell. Two things do, and both are read from `/proc`:
//! a mark in the environment, which every child inherits however far it goes, and parentage, as long as the parents live.
//! A process that does away with both before its server is stopped, and not only with one, is out of sight.
//!
//! Blocks: call it where that is allowed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// The variable that carries the mark.
pub(super) const VARIABLE: &str = "WASMGATE_OWNER";

/// A process, told apart from every other one that may have its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    /// Its number.
    pub(super) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(super) started: u64,
}

/// What `/proc` says about a process.
struct Seen {
    member: Member,
    parent: u32,
    group: u32,
}

impl Member {
    /// Whether it still runs.
    pub(super) fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|seen| seen.member == *self)
    }

    /// Sends a signal to it and to no other.
    fn signal(&self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // The descriptor holds the number: what is there now is what is signalled.
            Ok(held) if self.is_alive() => drop(pidfd_send_signal(held, signal)),
            // Not every sandbox has them; some say so in other words.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) if self.is_alive() => {
                let _ = kill_process(pid, signal);
            }
            _ => {}
        }
    }
}

/// The processes whose mark is as wanted, of those that started at `since` or later.
pub(super) fn marked(since: u64, wanted: impl Fn(&str) -> bool) -> BTreeSet<Member> {
    let is_wanted =
        |seen: &Seen| seen.member.started >= since && mark(seen.member.pid).is_some_and(|mark| wanted(&mark));
    all().into_iter().filter(is_wanted).map(|seen| seen.member).collect()
}

/// The children of a process, and theirs.
pub(super) fn descendants(pid: u32) -> BTreeSet<Member> {
    let all = all();
    let mut found: BTreeSet<Member> = BTreeSet::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|seen| seen.parent == parent) {
            if found.insert(child.member.clone()) {
                parents.push(child.member.pid);
            }
        }
    }
    found
}

/// The processes of these process groups.
pub(super) fn of_groups(groups: &BTreeSet<u32>) -> BTreeSet<Member> {
    if groups.is_empty() {
        return BTreeSet::new();
    }
    all().into_iter().filter(|seen| groups.contains(&seen.group)).map(|seen| seen.member).collect()
}

/// Ends what `find` finds: SIGTERM, and SIGKILL after `grace`. Looks again until nothing is left, because a process may
/// start another before its own end comes. Says how many there were.
pub(super) fn end(find: impl Fn() -> BTreeSet<Member>, grace: Duration) -> usize {
    let mut all = find();
    if all.is_empty() {
        return 0;
    }
    all.iter().for_each(|member| member.signal(Signal::TERM));
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline && all.iter().any(Member::is_alive) {
        sleep(LOOK.min(grace));
    }
    for _ in 0..ROUNDS {
        let left = find();
        if left.is_empty() {
            break;
        }
        left.iter().for_each(|member| member.signal(Signal::KILL));
        all.extend(left);
        sleep(LOOK);
    }
    all.len()
}

fn all() -> Vec<Seen> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(stat).collect()
}

/// See proc_pid_stat(5). None for a zombie, which runs nothing any more.
fn stat(pid: u32) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name, which may hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(Seen { member: Member { pid, started }, parent, group })
}

/// The mark of a process; None for those of other users, whose environment cannot be read.
fn mark(pid: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variables = environment.split(|byte| *byte == 0);
    let value = |variable: &[u8]| {
        let value = variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        Some(std::ffi::OsStr::from_bytes(value).to_string_lossy().into_owned())
    };
    variables.filter_map(value).next()
}

/// How often processes that are ending are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How often those are killed that are still found. A process that breeds faster than that is the system's to stop.
const ROUNDS: usize = 100;

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeper(mark: &str) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").env_clear().env(VARIABLE, mark).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_process_is_known_by_its_mark_and_its_parents_and_ended() {
        let mark = format!("test-{}", std::process::id());
        let mut child = sleeper(&mark);
        let member = stat(child.id()).unwrap().member;
        let found = marked(0, |found| found == mark);
        assert_eq!(found, BTreeSet::from([member.clone()]));
        assert!(marked(member.started + 1, |found| found == mark).is_empty(), "it is older than that");
        assert!(descendants(std::process::id()).contains(&member));
        assert!(
            !Member { started: member.started + 1, ..member.clone() }.is_alive(),
            "another of its number"
        );
        Member { started: member.started + 1, ..member.clone() }.signal(Signal::KILL);
        assert!(member.is_alive(), "no signal reaches a process that only has the number");
        assert_eq!(end(|| marked(0, |found| found == mark), Duration::from_secs(20)), 1);
        child.wait().unwrap();
        assert!(!member.is_alive());
    }
}

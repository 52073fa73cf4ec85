//! Who started a container or a process, written into its labels or its environment, and whether that gateway still lives.

use std::collections::HashMap;
use std::fs;

/// This gateway process, told apart from every other one on this and other machines.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    gateway: String,
    boot: String,
    host: String,
    /// The kernel's boot and the space in which `pid` is a number.
    space: String,
    pid: u32,
    started: u64,
}

/// What a container's labels say about its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// This gateway started it.
    Ours,
    /// The gateway that started it is certainly gone.
    Orphan,
    /// Another gateway's that lives, or about which nothing is known.
    Others,
}

impl Identity {
    /// The identity of this process under a configured name.
    pub(super) fn of(gateway: &str) -> Self {
        let pid = std::process::id();
        let mut random = [0; 8];
        // Without randomness the process and its start still tell gateways of one machine apart.
        if getrandom::fill(&mut random).is_err() {
            random = (u64::from(pid) << 32 | started(pid).unwrap_or_default() & 0xffff_ffff).to_be_bytes();
        }
        Self {
            gateway: gateway.to_owned(),
            boot: format!("{:016x}", u64::from_be_bytes(random)),
            host: line("/proc/sys/kernel/hostname"),
            space: format!("{} {}", line("/proc/sys/kernel/random/boot_id"), pid_space()),
            pid,
            started: started(pid).unwrap_or_default(),
        }
    }

    /// The id of this run of the gateway.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    /// The labels of every container this gateway starts.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        let labels = [
            (MARK, "true".to_owned()),
            ("wasmgate.gateway", self.gateway.clone()),
            (BOOT, self.boot.clone()),
            (HOST, self.host.clone()),
            (SPACE, self.space.clone()),
            (PID, self.pid.to_string()),
            (STARTED, self.started.to_string()),
        ];
        labels.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// What every process carries that this gateway starts: the labels that tell who did, in one line. `server` tells
    /// those of one server apart from all others.
    pub(super) fn mark(&self, server: u64) -> String {
        let Self { boot, host, space, pid, started, .. } = self;
        format!("{boot} {server} {pid} {started} {host} {space}")
    }

    /// Judges a process by its mark, as [`Self::judge`] does a container.
    pub(super) fn judge_mark(&self, mark: &str, start_of: impl Fn(u32) -> Option<u64>) -> Ownership {
        let mut words = mark.splitn(6, ' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        let (boot, _server, pid, started, host, space) = (next(), next(), next(), next(), next(), next());
        let labels = [(BOOT, boot), (PID, pid), (STARTED, started), (HOST, host), (SPACE, space)];
        let labels: HashMap<_, _> = labels.map(|(name, value)| (name.to_owned(), value)).into();
        let marked = labels.into_iter().chain([(MARK.to_owned(), "true".to_owned())]).collect();
        self.judge(&marked, true, start_of)
    }

    /// Judges a container by its labels. `running` is whether the container runs; `start_of` tells when a process
    /// started, `None` when there is none.
    pub(super) fn judge(
        &self,
        labels: &HashMap<String, String>,
        running: bool,
        start_of: impl Fn(u32) -> Option<u64>,
    ) -> Ownership {
        let label = |name: &str| labels.get(name).map(String::as_str).unwrap_or_default();
        if label(MARK) != "true" {
            return Ownership::Others;
        }
        if label(BOOT) == self.boot {
            return Ownership::Ours;
        }
        let (Ok(pid), Ok(started)) = (label(PID).parse(), label(STARTED).parse::<u64>()) else {
            return Ownership::Others;
        };
        if label(HOST) != self.host {
            return Ownership::Others;
        }
        // From before this kernel's boot, or from another container on this machine: only what no longer runs
        // can belong to nobody, and only a reboot proves it.
        let kernel = |space: &str| space.split(' ').next().unwrap_or_default().to_owned();
        let orphan = if label(SPACE) == self.space {
            start_of(pid) != Some(started)
        } else {
            kernel(label(SPACE)) != kernel(&self.space) && !running
        };
        if orphan { Ownership::Orphan } else { Ownership::Others }
    }
}

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22); `None` when there is none.
pub(super) fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name, which may hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    // A zombie runs nothing any more.
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
}

fn pid_space() -> String {
    fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default()
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// On every container of every gateway.
pub(super) const MARK: &str = "wasmgate";
/// The run of the gateway that started it.
pub(super) const BOOT: &str = "wasmgate.boot";
/// The server it runs.
pub(super) const SERVER: &str = "wasmgate.server";
/// A hash of its settings, without the values of its environment.
pub(super) const DEFINITION: &str = "wasmgate.definition";
const HOST: &str = "wasmgate.host";
const SPACE: &str = "wasmgate.space";
const PID: &str = "wasmgate.pid";
const STARTED: &str = "wasmgate.started";

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(boot: &str, pid: u32) -> Identity {
        let (host, space) = ("vm".to_owned(), "kernel-1 pid:[1]".to_owned());
        Identity { gateway: "g".into(), boot: boot.into(), host, space, pid, started: 100 }
    }

    #[track_caller]
    fn check(change: &[(&str, &str)], running: bool, now: Option<u64>, expected: Ownership) {
        let mut labels = identity("theirs", 7).labels();
        labels.extend(change.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let got = identity("ours", 8).judge(&labels, running, |pid| now.filter(|_| pid == 7));
        assert_eq!(got, expected, "{change:?} running={running} {now:?}");
    }

    #[test]
    fn only_what_is_certainly_dead_is_an_orphan() {
        use Ownership::{Orphan, Others, Ours};
        check(&[], true, Some(100), Others);
        check(&[], true, None, Orphan);
        check(&[], true, Some(101), Orphan);
        check(&[(BOOT, "ours")], true, None, Ours);
        check(&[(MARK, "no")], true, None, Others);
        check(&[(HOST, "elsewhere")], false, None, Others);
        check(&[(SPACE, "kernel-1 pid:[2]")], true, None, Others);
        check(&[(SPACE, "kernel-1 pid:[2]")], false, None, Others);
        check(&[(SPACE, "kernel-0 pid:[1]")], false, Some(100), Orphan);
        check(&[(SPACE, "kernel-0 pid:[1]")], true, None, Others);
        check(&[(PID, "")], false, None, Others);
        check(&[(STARTED, "x")], false, None, Others);
    }

    #[test]
    fn a_mark_is_judged_like_labels() {
        let theirs = identity("theirs", 7).mark(3);
        assert_eq!(theirs, "theirs 3 7 100 vm kernel-1 pid:[1]");
        let judge = |mark: &str, now: Option<u64>| {
            identity("ours", 8).judge_mark(mark, |pid| now.filter(|_| pid == 7))
        };
        assert_eq!(judge(&theirs, Some(100)), Ownership::Others);
        assert_eq!(judge(&theirs, Some(101)), Ownership::Orphan);
        assert_eq!(judge(&theirs, None), Ownership::Orphan);
        assert_eq!(judge(&identity("ours", 8).mark(0), None), Ownership::Ours);
        assert_eq!(judge(&theirs.replace("pid:[1]", "pid:[2]"), None), Ownership::Others);
        assert_eq!(judge(&theirs.replace("vm", "elsewhere"), None), Ownership::Others);
        assert_eq!(judge("something else", None), Ownership::Others);
        assert_eq!(judge("", None), Ownership::Others);
    }

    #[test]
    fn a_live_process_has_a_start_and_a_dead_one_none() {
        assert!(started(std::process::id()).is_some());
        assert_eq!(started(u32::MAX), None);
    }
}

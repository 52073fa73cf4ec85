//! What a gateway has started, seen from outside: through `/proc`, by a mark that every child inherits.
//!
//! A gateway under test gets a `HOME` of its own, and servers inherit `HOME`, so a process with that `HOME` belongs to
//! that gateway even after its parent is gone.

use std::path::Path;

/// Processes, other than `except`, that carry `home`: pid and command line.
pub fn of_home(home: &Path, except: u32) -> Vec<(u32, String)> {
    let mark = format!("HOME={}", home.display());
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != except)
        .filter(|pid| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|&b| b == 0).any(|variable| variable == mark.as_bytes())
        })
        .map(|pid| (pid, command_line(pid)))
        .collect()
}

/// All processes of this machine: pid and command line.
pub fn all() -> Vec<(u32, String)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.map(|pid| (pid, command_line(pid))).collect()
}

/// The arguments of a process, separated by spaces.
pub fn command_line(pid: u32) -> String {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', " ").trim_end().to_owned()
}

/// Whether a process is there and has not ended: nobody has to have waited for it.
pub fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// The process that a process was started by, or was left to.
pub fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> u64 {
    kilobytes(pid, "VmRSS:") * 1024
}

fn kilobytes(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|text| text.strip_prefix(line));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Forgets how much memory a process has had.
pub fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
        .expect("the peak of one's own process can be reset");
}

/// The most memory a process has had, in bytes.
pub fn peak(pid: u32) -> u64 {
    kilobytes(pid, "VmHWM:") * 1024
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

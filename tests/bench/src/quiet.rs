//! Whether something else was going on: CPU time of this machine that is neither ours nor of anything we started.

use std::collections::HashMap;
use std::time::Instant;

use super::Anyhow;

/// The share of one CPU that may go elsewhere before a round is disturbed.
const LET_PASS: f64 = 0.10;

/// One look at the clocks.
pub(crate) struct Look {
    at: Instant,
    all: f64,
    own: f64,
}

impl Look {
    /// Now.
    pub(crate) fn now() -> Anyhow<Self> {
        Ok(Self { at: Instant::now(), all: all()?, own: own()? })
    }

    /// The share of one CPU that went elsewhere since then.
    pub(crate) fn elsewhere(&self) -> Anyhow<f64> {
        let now = Self::now()?;
        let elsewhere = (now.all - self.all) - (now.own - self.own);
        Ok((elsewhere / now.at.duration_since(self.at).as_secs_f64()).max(0.0))
    }
}

/// Whether that is too much.
pub(crate) fn is_disturbed(elsewhere: f64) -> bool {
    elsewhere > LET_PASS
}

/// CPU seconds of all processes, and those that were stolen from this machine.
fn all() -> Anyhow<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().ok_or("no /proc/stat")?;
    let fields: Vec<f64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system; not interrupts, which the loopback makes many of; steal.
    Ok([0, 1, 2, 7].iter().filter_map(|field| fields.get(*field)).sum::<f64>() / 100.0)
}

/// CPU seconds of this process and everything below it, ended children included.
fn own() -> Anyhow<f64> {
    let mut processes = HashMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        let parent = fields.get(1).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        processes.insert(pid, (parent, (11..15).map(number).sum::<f64>()));
    }
    let us = std::process::id();
    let is_ours = |mut pid: u32| {
        for _ in 0..64 {
            match processes.get(&pid) {
                _ if pid == us => return true,
                Some((parent, _)) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    Ok(processes.iter().filter(|(pid, _)| is_ours(**pid)).map(|(_, (_, ticks))| ticks).sum::<f64>() / 100.0)
}

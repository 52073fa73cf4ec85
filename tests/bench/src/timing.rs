//! Things that take long enough to be timed one by one: commands run to their end in a home of their own, and what the
//! runs of one cell come to. Calls, of which there are thousands, are `load.rs`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;
use wasmgate_tests::home::Home;

use super::Anyhow;
use super::process::{gateway_program, say};

/// The gateway's program.
pub(crate) struct Program(PathBuf);

/// A command that has ended well.
pub(crate) struct Ran {
    /// From exec to exit.
    pub(crate) took: Duration,
    /// What it printed.
    pub(crate) stdout: String,
}

impl Program {
    /// The one beside this program.
    pub(crate) fn beside() -> Anyhow<Self> {
        Ok(Self(gateway_program()?))
    }

    /// A command line at home: nothing of this machine's user is seen.
    pub(crate) fn command(&self, home: &Home, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments).env_clear().env("HOME", home.path()).current_dir(home.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command to its end, which must be a good one.
    pub(crate) async fn run(&self, home: &Home, arguments: &[&str]) -> Anyhow<Ran> {
        let since = Instant::now();
        let output = self.command(home, arguments).output().await?;
        let took = since.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("wasmgate {}: {said}", arguments.join(" ")).into());
        }
        Ok(Ran { took, stdout: String::from_utf8_lossy(&output.stdout).into_owned() })
    }

    /// How long a command takes.
    pub(crate) async fn time(&self, home: &Home, arguments: &[&str]) -> Anyhow<Duration> {
        Ok(self.run(home, arguments).await?.took)
    }
}

/// Prints the head of a table of cells.
pub(crate) fn head(what: &str) -> Anyhow<()> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    say(&format!("\nload average before: {}\n", load.join(" ")));
    say(&format!("| {what} | runs | min ms | median ms | max ms | CPU ms |"));
    say("|---|---:|---:|---:|---:|---:|");
    Ok(())
}

/// Times something several times and prints one line; the CPU is the mean of what the runs' processes used.
pub(crate) async fn cell(
    what: &str,
    runs: usize,
    mut once: impl AsyncFnMut() -> Anyhow<Duration>,
) -> Anyhow<()> {
    let before = children_cpu()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        times.push(once().await?);
    }
    let cpu = (children_cpu()? - before) / runs as f64;
    say(&row(what, times, &format!("{cpu:.1}")));
    Ok(())
}

/// One line of the table.
pub(crate) fn row(what: &str, mut times: Vec<Duration>, cpu: &str) -> String {
    times.sort_unstable();
    let at = |index: usize| times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    let last = times.len().saturating_sub(1);
    format!(
        "| {what} | {} | {:.1} | {:.1} | {:.1} | {cpu} |",
        times.len(),
        at(0),
        at(times.len() / 2),
        at(last)
    )
}

/// CPU milliseconds of all children that have ended, user and system.
pub(crate) fn children_cpu() -> Anyhow<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("no stat")?.1;
    let ticks = after_name.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() * 10.0)
}

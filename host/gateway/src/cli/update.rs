//! `wasmgate update`: moves the lock file to what the configuration's tags lead to now, after showing what that changes.

use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;
use serde_json::{Value, json};

use super::args::{ConfigFile, block_on};
use super::{Failed, output};
use crate::app::{self, Update as Found};

/// Look where the tags of the configuration lead now, and take it over.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// Only these plugins or references.
    #[arg(value_name = "NAME|REFERENCE")]
    only: Vec<String>,
    #[command(flatten)]
    config: ConfigFile,
    /// Take everything over without asking.
    #[arg(long)]
    yes: bool,
    /// Show what would change and write nothing; exit code 1 when something would.
    #[arg(long, conflicts_with = "yes")]
    check: bool,
    /// Print what changes as JSON.
    #[arg(long)]
    json: bool,
}

impl Update {
    pub(super) fn run(self) -> Result<(), Failed> {
        let needs = self.config.needs()?;
        if needs.distribution.lock.is_none() {
            let message = "there is no wasmgate.yaml here, so nothing is locked: name it with `--config`";
            return Err(Failed::Usage(message.to_owned()));
        }
        let found = block_on(async { app::update(&needs, &self.only).await.map_err(Failed::Work) })?;
        if self.json {
            output::print_json(&as_json(&found));
        } else {
            output::print(&as_text(&found));
        }
        if found.changes.is_empty() && found.unused.is_empty() {
            return Ok(());
        }
        if self.check {
            return Err(Failed::Work("the lock file is not what the registries say".to_owned()));
        }
        if !self.yes && !agreed()? {
            return Err(Failed::Work("nothing was changed".to_owned()));
        }
        app::accept(&needs, &found).map_err(Failed::Work)?;
        output::note("wasmgate.lock is written");
        Ok(())
    }
}

/// Asks on the terminal. Without one, nobody can agree.
fn agreed() -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Err(Failed::Work("nothing was changed: say `--yes` to agree without a terminal".to_owned()));
    }
    output::note("take this over? [y/N]");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failed::Work(format!("no answer: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn as_text(found: &Found) -> String {
    let mut lines = Vec::new();
    for change in &found.changes {
        let before = change.before.as_deref().unwrap_or("not locked");
        lines.push(change.reference.clone());
        lines.push(format!("  {before} -> {}", change.after));
        lines.extend(change.differences.iter().map(|difference| format!("  {difference}")));
        lines.extend(change.wants.iter().map(|want| format!("  NEWLY WANTS {want}")));
    }
    lines.extend(
        found.unused.iter().map(|reference| format!("{reference}\n  is no longer in the configuration")),
    );
    lines.push(match found.changes.len() {
        0 => format!("{} references lead where they led", found.unchanged),
        some => format!("{some} of {} references lead elsewhere", some + found.unchanged),
    });
    lines.join("\n")
}

fn as_json(found: &Found) -> Value {
    let change = |change: &app::Change| {
        json!({
            "reference": change.reference,
            "before": change.before,
            "after": change.after,
            "differences": change.differences,
            "newlyWants": change.wants,
        })
    };
    json!({
        "changes": found.changes.iter().map(change).collect::<Vec<_>>(),
        "unused": found.unused,
        "unchanged": found.unchanged,
    })
}

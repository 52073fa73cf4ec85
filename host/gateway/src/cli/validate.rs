//! `wasmgate validate`: checks catalogs and configuration without starting anything.

use super::args::{Interceptors, Sources};
use super::{Failed, output};
use crate::catalog::report::{Line, Report};

/// Check catalogs and configuration without starting anything.
#[derive(Debug, clap::Args)]
pub(super) struct Validate {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    foreign: Interceptors,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Validate {
    pub(super) fn run(self) -> Result<(), Failed> {
        let report = self.sources.check(&self.foreign)?;
        if self.json {
            output::print_json(&report);
        } else {
            // Only containers take something; where there is none the column would be empty.
            let containers = report.servers.iter().any(|line| !line.takes.is_empty());
            let takes = |line: &Line| containers.then(|| line.takes.join("; "));
            let row = |line: &Line| {
                let last = [line.reason.clone()];
                [line.name.clone(), line.status.to_owned()]
                    .into_iter()
                    .chain(takes(line))
                    .chain(last)
                    .collect()
            };
            let rows: Vec<Vec<String>> = report.servers.iter().map(row).collect();
            let head: &[&str] = match containers {
                true => &["SERVER", "STATUS", "TAKES", "REASON"],
                false => &["SERVER", "STATUS", "REASON"],
            };
            output::print(&output::table(head, &rows));
        }
        if report.exit_code() == 0 { Ok(()) } else { Err(Failed::Usage(summary(&report))) }
    }
}

fn summary(report: &Report) -> String {
    let refused = report.servers.iter().filter(|line| line.status == "refused").count();
    let mut parts: Vec<String> =
        report.errors.iter().map(|fault| fault.shown.trim_end().to_owned()).collect();
    if refused > 0 {
        parts.push(format!("{refused} of {} servers refused", report.servers.len()));
    }
    parts.join("\n")
}

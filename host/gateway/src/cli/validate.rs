//! `wasmgate validate`: checks catalogs and configuration without starting anything.

use super::args::{Interceptors, Sources};
use super::{Failed, output};
use crate::catalog::report::Report;

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
            let row = |line: &crate::catalog::report::Line| {
                vec![line.name.clone(), line.status.to_owned(), line.reason.clone()]
            };
            let rows: Vec<_> = report.servers.iter().map(row).collect();
            output::print(&output::table(&["SERVER", "STATUS", "REASON"], &rows));
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

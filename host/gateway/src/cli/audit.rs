//! `wasmgate audit verify`: whether a log is as it was written.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failed, output};
use crate::audit::verify;

/// Look at audit logs.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    Verify(Verify),
}

/// Check that no line of an audit log was changed, removed or moved.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The log; of one that was split the files in their order, oldest first.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failed> {
        let Self::Verify(Verify { files, json }) = self;
        let mut bytes = Vec::new();
        for file in &files {
            let text = std::fs::read(file)
                .map_err(|error| Failed::Usage(format!("{} cannot be read: {error}", file.display())))?;
            bytes.extend(text);
        }
        let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let lines = lines.split(|&b| b == b'\n').filter(|_| !bytes.is_empty());
        let found = verify(lines).map_err(|broken| Failed::Work(format!("the log is broken: {broken}")))?;
        if json {
            output::print_json(&json!({"lines": found.lines, "last": found.last, "digest": found.digest}));
        } else {
            let last = found.last.map_or_else(|| "none".to_owned(), |last| last.to_string());
            output::print(&format!(
                "{} lines, unbroken; the last one is number {last}, digest {}",
                found.lines, found.digest
            ));
        }
        Ok(())
    }
}

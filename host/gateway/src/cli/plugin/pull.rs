//! `wasmgate plugin pull`: a component of a registry, into the store of this machine and, if asked for, into a file. Stdout
//! has the reference with its digest and nothing else.

use std::path::PathBuf;

use clap::Args;

use super::super::args::{ConfigFile, block_on};
use super::super::{Failed, output};
use super::push::reference;
use crate::app;

/// Pull a component from a registry. Nothing of it runs.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pull {
    /// Which, as in `ghcr.io/acme/redact:1.0.0`.
    #[arg(value_name = "REFERENCE")]
    reference: String,
    /// Also write it to this file.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
}

impl Pull {
    pub(super) fn run(self) -> Result<(), Failed> {
        let reference = reference(&self.reference)?;
        let needs = self.config.needs()?;
        let progress = output::progress();
        let pulled = block_on(async {
            app::pull_component(&needs, &reference, progress)
                .await
                .map_err(|words| Failed::Work(format!("{}: {words}", self.reference)))
        })?;
        if let Some(path) = &self.output {
            output::write_file(path, &pulled.bytes)?;
        }
        output::print(&pulled.pinned);
        Ok(())
    }
}

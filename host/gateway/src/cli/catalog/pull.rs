//! `wasmgate catalog pull`: a catalog of a registry, into the store of this machine and, if asked for, into a file.

use clap::Args;

use super::super::args::{ConfigFile, block_on};
use super::super::{Failed, output};
use super::{reference, write};
use crate::app;
use crate::oci::Freshness;

/// Pull a catalog, profile or server from a registry.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pull {
    /// Which, as in `ghcr.io/acme/tools:1`.
    #[arg(value_name = "REFERENCE")]
    reference: String,
    /// Also write it to this file.
    #[arg(long, short, value_name = "FILE")]
    output: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
}

impl Pull {
    pub(super) fn run(self) -> Result<(), Failed> {
        let reference = reference(&self.reference)?;
        let needs = self.config.needs()?;
        let progress = output::progress();
        block_on(async {
            let pulled = app::catalog_of(&needs, &reference, Freshness::Check, progress).await;
            let artifact = pulled.map_err(Failed::Work)?;
            if let Some(path) = &self.output {
                write(path, &artifact)?;
            }
            output::print(&reference.only(artifact.digest).to_string());
            Ok(())
        })
    }
}

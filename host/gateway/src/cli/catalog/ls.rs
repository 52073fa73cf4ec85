//! `wasmgate catalog ls`: the catalogs, profiles and servers in the store of this machine.

use clap::Args;
use serde_json::json;

use super::super::args::ConfigFile;
use super::super::{Failed, output};
use crate::app;
use crate::oci::Entry;
use crate::oci::artifact::DockerKind;

/// List the catalogs, profiles and servers that were made here or pulled.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ls {
    #[command(flatten)]
    config: ConfigFile,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub(super) fn run(self) -> Result<(), Failed> {
        let stored = app::stored(&self.config.needs()?, |kind| DockerKind::of(kind).is_some());
        let stored = stored.map_err(Failed::Work)?;
        if self.json {
            let one = |entry: &Entry| {
                json!({
                    "reference": entry.reference.to_string(),
                    "kind": kind(entry),
                    "digest": entry.digest.to_string(),
                    "size": entry.size,
                })
            };
            output::print_json(&stored.iter().map(one).collect::<Vec<_>>());
            return Ok(());
        }
        let row = |entry: &Entry| {
            vec![entry.reference.to_string(), kind(entry).to_owned(), entry.digest.to_string()]
        };
        let rows: Vec<_> = stored.iter().map(row).collect();
        output::print(&output::table(&["REFERENCE", "KIND", "DIGEST"], &rows));
        Ok(())
    }
}

fn kind(entry: &Entry) -> &'static str {
    match DockerKind::of(&entry.kind) {
        Some(DockerKind::Server) => "server",
        Some(DockerKind::Catalog) => "catalog",
        Some(DockerKind::Profile) => "profile",
        None => "other",
    }
}

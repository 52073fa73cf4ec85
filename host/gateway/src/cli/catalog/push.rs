//! `wasmgate catalog push`: a catalog of a file or of the store of this machine, to a registry.

use clap::Args;

use super::super::args::{ConfigFile, block_on};
use super::super::{Failed, output};
use super::{is_file, left_out, reference};
use crate::app::{self, Choice};
use crate::oci::Freshness;

/// Push a catalog to a registry, as an artifact that Docker's gateway reads too.
#[derive(Debug, Args)]
pub(in crate::cli) struct Push {
    /// The catalog: a file, or the reference under which it is in the store of this machine.
    #[arg(value_name = "FILE|REFERENCE")]
    catalog: String,
    /// Where to [default: the reference it has].
    #[arg(value_name = "REFERENCE")]
    target: Option<String>,
    /// What people call it, for files [default: the file's name].
    #[arg(long)]
    title: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
}

impl Push {
    pub(super) fn run(self) -> Result<(), Failed> {
        let file = is_file(&self.catalog);
        let Some(target) = self.target.as_deref().or((!file).then_some(&self.catalog)) else {
            return Err(Failed::Usage("say where to, as in `ghcr.io/acme/tools:1`".to_owned()));
        };
        let target = reference(target)?;
        let needs = self.config.needs()?;
        let progress = output::progress();
        block_on(async {
            let artifact = if file {
                let from = [self.catalog.clone()];
                let gathered = app::gather(&needs, &from, &Choice::default()).await.map_err(Failed::Work)?;
                let title = self.title.as_deref().unwrap_or(&self.catalog);
                left_out(app::publication(title, &gathered.servers).map_err(Failed::Work)?)
            } else {
                let kept =
                    app::catalog_of(&needs, &reference(&self.catalog)?, Freshness::Offline, None).await;
                kept.map_err(Failed::Work)?
            };
            let digest = app::push(&needs, &target, &artifact, progress).await.map_err(Failed::Work)?;
            output::print(&target.only(digest).to_string());
            Ok(())
        })
    }
}

//! `wasmgate catalog create`: servers of any source, gathered into one catalog.

use clap::Args;

use super::super::args::{ConfigFile, block_on};
use super::super::{Failed, output};
use super::{is_file, left_out, reference, write};
use crate::app::{self, Choice};

/// Make a catalog of servers of any source: other catalogs, artifacts, registries, clients' own configuration.
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Where it goes: a file (`.yaml`, `.json`), or a reference like `ghcr.io/acme/tools:1`, which stays in the store of this
    /// machine until it is pushed.
    #[arg(value_name = "FILE|REFERENCE")]
    target: String,
    /// Where servers come from: a catalog file, `oci://`, `https://`, or what a catalog source answers
    /// (`registry://name@version`); may be repeated.
    #[arg(long, value_name = "CATALOG", required = true)]
    from: Vec<String>,
    /// Only these servers, with `*` for any characters; may be repeated.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    server: Vec<String>,
    /// All but these.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    exclude: Vec<String>,
    /// What people call it [default: the target's name].
    #[arg(long)]
    title: Option<String>,
    /// Push it to its registry.
    #[arg(long)]
    push: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl Create {
    pub(super) fn run(self) -> Result<(), Failed> {
        let file = is_file(&self.target);
        if file && self.push {
            return Err(Failed::Usage(format!("{} is a file, which no registry takes", self.target)));
        }
        let target = if file { None } else { Some(reference(&self.target)?) };
        if target.as_ref().is_some_and(|target| target.digest().is_some()) {
            let message = format!("`{}` has a digest, which the catalog decides: name a tag", self.target);
            return Err(Failed::Usage(message));
        }
        let needs = self.config.needs()?;
        let choice = Choice { only: self.server, without: self.exclude };
        let title = self.title.unwrap_or_else(|| self.target.clone());
        let progress = output::progress();
        block_on(async {
            let gathered = app::gather(&needs, &self.from, &choice).await.map_err(Failed::Work)?;
            output::notes("warning", &gathered.warnings);
            let publication = app::publication(&title, &gathered.servers).map_err(Failed::Work)?;
            let artifact = left_out(publication);
            let Some(target) = target else {
                write(&self.target, &artifact)?;
                output::print(&self.target);
                return Ok(());
            };
            if self.push {
                app::push(&needs, &target, &artifact, progress).await.map_err(Failed::Work)?;
            } else {
                app::keep(&needs, &target, &artifact).map_err(Failed::Work)?;
            }
            output::print(&target.pinned(artifact.digest).to_string());
            Ok(())
        })
    }
}

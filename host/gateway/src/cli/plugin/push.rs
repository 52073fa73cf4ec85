//! `wasmgate plugin push`: a component as an artifact of a registry, in the layout that other tools read too. Stdout has the
//! reference with its digest and nothing else.

use clap::Args;

use super::super::args::{ConfigFile, block_on};
use super::super::{Failed, output};
use super::component;
use crate::app;
use crate::oci::Reference;

/// Push a component to a registry (CNCF Wasm OCI Artifact layout).
#[derive(Debug, Args)]
pub(in crate::cli) struct Push {
    /// The component: a file, or `builtin:NAME`.
    #[arg(value_name = "FILE|builtin:NAME")]
    component: String,
    /// Where to, as in `ghcr.io/acme/redact:1.0.0`.
    #[arg(value_name = "REFERENCE")]
    reference: String,
    /// More for its manifest: `licenses`, `source`, `documentation`, or any annotation with a dot in its name.
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    #[command(flatten)]
    config: ConfigFile,
}

impl Push {
    pub(super) fn run(self) -> Result<(), Failed> {
        let reference = reference(&self.reference)?;
        if reference.digest().is_some() {
            let message =
                format!("`{}` has a digest, which the component decides: name a tag", self.reference);
            return Err(Failed::Usage(message));
        }
        let bytes = component::bytes(&self.component, &self.config)?;
        let needs = self.config.needs()?;
        let annotations = self.annotations.into_iter().collect();
        let progress = output::progress();
        let digest = block_on(async {
            let pushed = app::push_component(&needs, bytes, (&reference, annotations), progress).await;
            pushed.map_err(|words| Failed::Work(format!("{}: {words}", self.component)))
        })?;
        output::print(&reference.only(digest).to_string());
        Ok(())
    }
}

/// A reference of the command line.
pub(super) fn reference(written: &str) -> Result<Reference, Failed> {
    Reference::parse(written).map_err(|error| Failed::Usage(error.to_string()))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write `key=value`".to_owned()),
    }
}

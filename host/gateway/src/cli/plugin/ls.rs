//! `wasmgate plugin ls`: the plugins there are on this machine: those that come with the program and those in its store.

use clap::Args;
use serde_json::json;
use wasmgate_wasm::BUILT_IN;

use super::super::args::ConfigFile;
use super::super::{Failed, output};
use crate::app;
use crate::oci::Entry;

/// The media type of a component's configuration, by which it is known without being pulled.
const WASM: &str = "application/vnd.wasm.config.v0+json";

/// List the plugins that come with the program and those that were pulled.
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
        let stored = app::stored(&self.config.needs()?, |kind| kind == WASM).map_err(Failed::Work)?;
        if self.json {
            let bundled = BUILT_IN.iter().map(|plugin| {
                json!({"use": format!("builtin:{}", plugin.name), "digest": null, "size": plugin.bytes.len()})
            });
            let pulled = stored.iter().map(|entry| {
                json!({"use": format!("oci://{}", entry.reference), "digest": entry.digest.to_string(), "size": entry.size})
            });
            output::print_json(&bundled.chain(pulled).collect::<Vec<_>>());
            return Ok(());
        }
        let kib = |bytes: u64| format!("{} KiB", bytes.div_ceil(1024));
        let bundled = BUILT_IN.iter().map(|plugin| {
            let size = u64::try_from(plugin.bytes.len()).unwrap_or(u64::MAX);
            vec![format!("builtin:{}", plugin.name), kib(size), String::new()]
        });
        let pulled = |entry: &Entry| {
            vec![format!("oci://{}", entry.reference), kib(entry.size), entry.digest.to_string()]
        };
        let rows: Vec<_> = bundled.chain(stored.iter().map(pulled)).collect();
        output::print(&output::table(&["USE", "SIZE", "DIGEST"], &rows));
        Ok(())
    }
}

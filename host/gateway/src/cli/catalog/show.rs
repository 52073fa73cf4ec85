//! `wasmgate catalog show`: the servers of a catalog, whatever form it has.

use clap::Args;
use serde_json::{Value, json};

use super::super::args::{ConfigFile, block_on};
use super::super::{Failed, output};
use crate::app::{self, Choice};
use crate::catalog::Listed;

/// Show the servers of a catalog.
#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// A file, `oci://`, `https://`, or what a catalog source answers (`registry://...`).
    #[arg(value_name = "CATALOG")]
    catalog: String,
    #[command(flatten)]
    config: ConfigFile,
    /// Print the whole entries as JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> Result<(), Failed> {
        let needs = self.config.needs()?;
        let from = [self.catalog];
        let gathered =
            block_on(async { app::gather(&needs, &from, &Choice::default()).await.map_err(Failed::Work) })?;
        output::notes("warning", &gathered.warnings);
        if self.json {
            let (good, bad): (Vec<_>, Vec<_>) =
                gathered.servers.iter().partition(|server| server.entry.is_ok());
            let servers = good.iter().map(|server| (server.name.to_string(), (*server.document).clone()));
            let refused = bad.iter().filter_map(|server| {
                Some((server.name.to_string(), json!(server.entry.as_ref().err()?.to_string())))
            });
            output::print_json(&json!({
                "servers": servers.collect::<serde_json::Map<_, _>>(),
                "refused": refused.collect::<serde_json::Map<_, _>>(),
            }));
            return Ok(());
        }
        let row = |server: &Listed| match &server.entry {
            Ok(_) => {
                let (kind, runs) = runs(&server.document);
                let about = server.document.get("description").and_then(Value::as_str).unwrap_or_default();
                vec![server.name.to_string(), kind.to_owned(), runs, short(about)]
            }
            Err(why) => {
                vec![server.name.to_string(), "refused".to_owned(), String::new(), short(&why.to_string())]
            }
        };
        let rows: Vec<_> = gathered.servers.iter().map(row).collect();
        output::print(&output::table(&["SERVER", "KIND", "RUNS", "ABOUT"], &rows));
        Ok(())
    }
}

/// What a server is started from.
fn runs(entry: &Value) -> (&'static str, String) {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let remote = || text("/remote/url").or_else(|| text("/sseEndpoint")).or_else(|| text("/remote/urls/0"));
    if let Some(url) = remote() {
        return ("remote", url);
    }
    if let Some(image) = text("/image") {
        return ("image", image);
    }
    match text("/process/command/0") {
        Some(program) => ("process", program),
        None => ("tools", String::new()),
    }
}

/// The first line, cut where it gets long.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

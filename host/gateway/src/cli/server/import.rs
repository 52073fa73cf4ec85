//! `wasmgate server import`: a server of a registry as an artifact that any gateway runs. Stdout has the reference and
//! nothing else, so that it fits into `$(...)`.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};

use super::super::args::ConfigFile;
use super::super::{Failed, output};
use crate::app::{self, Imported, Target};
use crate::oci::Reference;

/// The largest document that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// Make an OCI artifact of a server of the official registry, or of what else a catalog source of the configuration reads.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// The server: its URL in a registry, `name` or `name@version` in the official one, or a server.json.
    #[arg(value_name = "URL|NAME[@VERSION]|FILE")]
    server: String,
    /// What the artifact is called, as in `ghcr.io/acme/weather:1.2.0` [default: a name in the store of this machine].
    #[arg(value_name = "REFERENCE")]
    target: Option<String>,
    /// Push it to its registry.
    #[arg(long, requires = "target")]
    push: bool,
    #[command(flatten)]
    config: ConfigFile,
    /// Print what was imported as JSON.
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) fn run(self) -> Result<(), Failed> {
        let target = self.target()?;
        let asked = document(&self.server)?.unwrap_or_else(|| self.server.clone());
        let needs = self.config.needs()?;
        let progress = output::progress();
        let done = super::super::args::block_on(async {
            let imported = app::import(&needs, &asked).await.map_err(Failed::Work)?;
            let reference = app::put(&imported, &target, &needs, progress).await.map_err(Failed::Work)?;
            Ok((imported, reference))
        });
        let (imported, reference) = done?;
        if self.json {
            output::print_json(&as_json(&imported, &reference));
        } else {
            for line in about(&imported) {
                output::note(&line);
            }
            output::print(&reference);
        }
        Ok(())
    }

    fn target(&self) -> Result<Target, Failed> {
        let Some(written) = &self.target else { return Ok(Target::Local) };
        let reference = Reference::parse(written).map_err(|error| Failed::Usage(error.to_string()))?;
        if reference.digest().is_some() {
            let message = format!("`{written}` has a digest, which the artifact decides: name a tag");
            return Err(Failed::Usage(message));
        }
        Ok(if self.push { Target::Push(reference) } else { Target::Store(reference) })
    }
}

/// The document in a file, as a reference that holds it; nothing when it is no file.
fn document(named: &str) -> Result<Option<String>, Failed> {
    let path = Path::new(named);
    if !app::is_path(named) {
        return Ok(None);
    }
    let unreadable = |error: std::io::Error| Failed::Usage(format!("{named} cannot be read: {error}"));
    let size = path.metadata().map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(Failed::Usage(format!("{named} has more than {} MiB", LARGEST >> 20)));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    Ok(Some(format!("data:application/json;base64,{}", STANDARD.encode(bytes))))
}

fn as_json(imported: &Imported, reference: &str) -> Value {
    json!({
        "reference": reference,
        "digest": imported.artifact.digest.to_string(),
        "name": imported.name,
        "version": imported.version,
        "provenance": imported.provenance,
        "notes": imported.notes,
        "server": imported.entry,
    })
}

/// What was imported and what it will need, for people.
fn about(imported: &Imported) -> Vec<String> {
    let version = if imported.version.is_empty() { String::new() } else { format!(" {}", imported.version) };
    let from = match imported.provenance.as_str() {
        "" => String::new(),
        provenance => format!(" from {provenance}"),
    };
    let mut lines = vec![format!("{}{version}{from}", imported.name)];
    let text =
        |pointer: &str| Value::Object(imported.entry.clone()).pointer(pointer)?.as_str().map(str::to_owned);
    if let Some(what) = text("/remote/url").map(|url| format!("remote {url}")).or_else(|| text("/image")) {
        lines.push(format!("  runs    {what}"));
    }
    let named = |key: &str| -> Vec<String> {
        let items = imported.entry.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.get("name")?.as_str().map(str::to_owned)).collect()
    };
    let config = imported.entry.get("config").and_then(Value::as_array).into_iter().flatten();
    let required: Vec<String> = config
        .filter_map(|schema| schema.get("required")?.as_array())
        .flatten()
        .filter_map(|key| Some(format!("config.{}.{}", imported.name.canonical(), key.as_str()?)))
        .collect();
    for (what, names) in [("config", required), ("secrets", named("secrets"))] {
        if !names.is_empty() {
            lines.push(format!("  {what:<7} {}", names.join(", ")));
        }
    }
    lines.extend(imported.notes.iter().map(|note| format!("  note    {note}")));
    lines
}

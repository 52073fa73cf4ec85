//! `wasmgate plugin inspect`: what a component is, sees and wants.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use wasmgate_wasm::{Engine, HookLine, Inspection};

use super::super::{Failed, output};
use super::component;

/// Say what a component is, sees and wants. Nothing of it runs but `describe`, without any capability.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The component: a file, or `builtin:NAME`.
    #[arg(value_name = "FILE|builtin:NAME")]
    component: String,
    /// How to print it.
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failed> {
        let seen = component::with_engine(async |engine: Engine| {
            let bytes = component::bytes(&self.component)?;
            wasmgate_wasm::inspect(&engine, bytes).await.map_err(|error| {
                Failed::Work(format!("plugin `{}` {}", self.component, component::chain(&error)))
            })
        })?;
        let seen = Seen::of(&seen);
        match self.format {
            Format::Json => output::print_json(&seen),
            Format::Text => output::print(&seen.text(&self.component)),
        }
        Ok(())
    }
}

/// An inspection, as it is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    name: String,
    version: String,
    description: String,
    digest: String,
    size: usize,
    isolation: String,
    hooks: Vec<Hook>,
    wants: Vec<String>,
    /// As it is written in the configuration.
    grants: Vec<String>,
    config_schema: Option<Value>,
    exports: Vec<String>,
    imports: Imports,
}

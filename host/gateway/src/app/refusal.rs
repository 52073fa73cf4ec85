//! Why a plugin is not loaded, in words for the operator: what is wrong, where the plugin is configured, and what to write
//! there.

use std::fmt::Write as _;

use wasmgate_wasm::{LoadError, Problem, Want};

use crate::config::PluginConfig;
use crate::document::Diagnostic;

/// The diagnostic at the plugin's place in the configuration.
pub(super) fn refusal(plugin: &PluginConfig, error: &LoadError) -> Diagnostic {
    match error {
        LoadError::Held(wants) => {
            plugin.problem("is held: it asks for more than it is granted", grants(plugin, wants))
        }
        LoadError::Configuration(problems) => plugin
            .problem("refuses its configuration", problems.iter().map(line).collect::<Vec<_>>().join("\n  ")),
        LoadError::Isolation { own, .. } => {
            let cure = format!(
                "`isolation` can only be tighter: leave it out, or use what is before {own} in per-call, per-session, pooled"
            );
            plugin.problem(&chain(error), cure)
        }
        LoadError::ForbiddenImport(_) => {
            let cure = "plugins get the interfaces of `wasmgate:plugin` and what language runtimes need of WASI; no files, no sockets, no environment";
            plugin.problem(&chain(error), cure.to_owned())
        }
        other => plugin.problem(&chain(other), String::new()),
    }
}

/// What must be added for the plugin to be loaded, as YAML.
fn grants(plugin: &PluginConfig, wants: &[Want]) -> String {
    let mut yaml = String::new();
    for want in wants.iter().filter(|want| !matches!(want, Want::Http(_) | Want::Secret(_))) {
        let _ = write!(yaml, "\n      {}", want.as_grant());
    }
    let origins: Vec<String> = wants.iter().filter_map(origin).collect();
    if !origins.is_empty() {
        let _ = write!(yaml, "\n      http: [{}]", origins.join(", "));
    }
    let secrets: Vec<&str> = wants.iter().filter_map(secret).collect();
    if !secrets.is_empty() {
        yaml += "\n      secrets:";
    }
    for name in secrets {
        let to =
            if origins.is_empty() { "\"https://where.it.may.go\"".to_owned() } else { origins.join(", ") };
        let _ = write!(yaml, "\n        {name}: [{to}]");
    }
    let name = &plugin.name;
    match plugin.grants {
        None => format!("to let it do that, add to `plugins.{name}`:\n    grants:{yaml}"),
        Some(_) => format!("to let it do that, add to the `grants` of `plugins.{name}`:{yaml}"),
    }
}

fn origin(want: &Want) -> Option<String> {
    match want {
        Want::Http(origin) => Some(format!("\"{origin}\"")),
        _ => None,
    }
}

fn secret(want: &Want) -> Option<&str> {
    match want {
        Want::Secret(name) => Some(name),
        _ => None,
    }
}

/// `/fields/0` is wrong: where that is in the configuration file.
fn line(problem: &Problem) -> String {
    let place = problem.pointer.replace('/', ".");
    format!("`config{place}`: {}", problem.message)
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

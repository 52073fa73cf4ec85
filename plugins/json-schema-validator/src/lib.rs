//! Checks the arguments of tool calls against the tool's `inputSchema`, and structured results against its `outputSchema`.
//!
//! The gateway supplies the schemas as attributes; nothing is fetched. `check.rs` is the validator: written for this
//! purpose because a server's schema is as hostile as the server, so that every step has to be counted.

mod check;
mod config;

use serde_json::Value;
use wasmgate_plugin::{
    Call, Config, Descriptor, Finding, Hook, Interceptor, Isolation, Phase, Problem, Severity, log,
};

use crate::check::Report;
use crate::config::{Action, Settings};

/// The plugin, as configured.
pub struct JsonSchemaValidator(Settings);

impl Interceptor for JsonSchemaValidator {
    fn describe() -> Descriptor {
        Descriptor::new(
            "json-schema-validator",
            env!("CARGO_PKG_VERSION"),
            "Checks arguments and structured results of tools against the tools' own JSON schemas.",
        )
        .hook(Hook::validate(&["tools/call"]).request())
        .hook(Hook::validate(&["tools/call"]).response())
        .config_schema(config::SCHEMA)
        // Nothing of a message stays in its memory, and a fresh instance costs more than most messages do.
        .isolation(Isolation::Pooled)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        config.read().map(Self)
    }

    fn hooks(&self) -> Option<Vec<Hook>> {
        let call = || Hook::validate(&["tools/call"]);
        let request = (self.0.arguments != Action::Off).then(|| call().request());
        let response = (self.0.results != Action::Off).then(|| call().response());
        Some(request.into_iter().chain(response).collect())
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let (found, action) = match call.operation().phase {
            Phase::Request => (self.arguments(call)?, self.0.arguments),
            Phase::Response => (self.results(call)?, self.0.results),
        };
        if found.iter().any(|finding| finding.severity == Severity::Error) {
            log::count("unfit", 1);
        }
        let softened = |finding: Finding| match action {
            Action::Deny => finding,
            Action::Warn | Action::Off => {
                Finding { severity: finding.severity.min(Severity::Warn), ..finding }
            }
        };
        Ok(found.into_iter().map(softened).collect())
    }
}

wasmgate_plugin::export!(JsonSchemaValidator);

impl JsonSchemaValidator {
    fn arguments(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        match call.attr("tool.input-schema") {
            Some(schema) => {
                // Arguments that are left out are none.
                let arguments = call.get("/arguments").unwrap_or_else(|| "{}".into());
                self.fits(&schema, &arguments, "/arguments")
            }
            None if self.0.require_schema => {
                Ok(vec![Finding::error("the tool has no schema of its arguments")])
            }
            None => Ok(Vec::new()),
        }
    }

    fn results(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let is = |value: Option<String>, expected: &str| value.as_deref() == Some(expected);
        if is(call.attr("response.failed"), "true") || is(call.get("/isError"), "true") {
            return Ok(Vec::new());
        }
        let Some(schema) = call.attr("tool.output-schema") else { return Ok(Vec::new()) };
        match call.get("/structuredContent") {
            Some(content) => self.fits(&schema, &content, "/structuredContent"),
            None if is_interim(call) => Ok(Vec::new()),
            // 2025-06-18, server/tools, "Output Schema": servers MUST provide structured results that conform.
            None => Ok(vec![
                Finding::error("has no structured content, which the tool's schema describes").at(""),
            ]),
        }
    }

    fn fits(&self, schema: &str, value: &str, place: &str) -> Result<Vec<Finding>, String> {
        let unread = |what: &str, error: serde_json::Error| format!("{what} cannot be checked: {error}");
        let parsed: Value =
            serde_json::from_str(schema).map_err(|error| unread("the tool's schema", error))?;
        let value: Value = serde_json::from_str(value).map_err(|error| unread(place, error))?;
        let Report { unfit, unchecked } = check::check(&parsed, schema, &value)?;
        let wrong = unfit
            .into_iter()
            .map(|unfit| Finding::error(unfit.message).at(format!("{place}{}", unfit.pointer)));
        let severity = if self.0.strict { Severity::Error } else { Severity::Warn };
        let left = unchecked.into_iter().map(|what| Finding { severity, ..Finding::warn(what).at(place) });
        Ok(wrong.chain(left).collect())
    }
}

/// Whether this is not the result itself but a step on the way to it: a question (2026-07-28) or a task.
fn is_interim(call: &Call<'_>) -> bool {
    let result = call.get_string("/resultType");
    result.is_some_and(|kind| kind != "complete") || call.get("/task").is_some()
}

#[cfg(test)]
mod tests;

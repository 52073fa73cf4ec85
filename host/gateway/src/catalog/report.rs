//! What `wasmgate validate` says: every server with its status and the reason, and every broken file.

use serde::Serialize;

use super::relaxed::relaxations;
use super::{Inputs, Listed, Resolution, resolve};
use crate::document::{Diagnostic, render};

/// The report, in the shape of `--json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Servers, by name.
    pub servers: Vec<Line>,
    /// Files that cannot be used.
    pub errors: Vec<Fault>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// `ok`, `needs-config`, `needs-secret`, `needs-auth`, `needs-grant` or `refused`.
    pub status: &'static str,
    /// What is missing and the key to set; empty when nothing is.
    pub reason: String,
    /// What its entry takes beyond the default isolation of a container.
    pub takes: Vec<String>,
}

/// One broken file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column, from 1, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty when the message says it all.
    pub cure: String,
    /// The same as a terminal shows it, with the line and a caret.
    #[serde(skip)]
    pub shown: String,
}

impl Report {
    /// Resolves every server.
    pub fn new<'a>(
        servers: impl IntoIterator<Item = &'a Listed>,
        inputs: &Inputs<'_>,
        faults: &[Diagnostic],
    ) -> Self {
        let line = |listed: &Listed| Line::new(listed, &resolve(listed, inputs));
        let mut servers: Vec<_> = servers.into_iter().map(line).collect();
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        Self { servers, errors: faults.iter().map(Fault::new).collect() }
    }

    /// The exit code: 0 when nothing is refused and no file is broken, 2 (configuration) otherwise. What merely waits for a
    /// value, a secret, a login or a grant is not an error.
    pub fn exit_code(&self) -> u8 {
        let refused = self.servers.iter().any(|line| line.status == "refused");
        if refused || !self.errors.is_empty() { 2 } else { 0 }
    }
}

impl Line {
    fn new(listed: &Listed, resolution: &Resolution) -> Self {
        let takes = listed.entry.as_ref().map(|entry| relaxations(entry)).unwrap_or_default();
        let (status, reason) = (resolution.status(), resolution.reason());
        Self { name: listed.name.to_string(), status, reason, takes }
    }
}

impl Fault {
    fn new(fault: &Diagnostic) -> Self {
        Self {
            file: fault.file.clone(),
            line: fault.place.as_ref().map(|place| place.line),
            column: fault.place.as_ref().map(|place| place.column),
            message: fault.message.clone(),
            cure: fault.cure.clone(),
            shown: render(fault),
        }
    }
}

//! Takes personal data out of what goes to servers and what comes from them: e-mail addresses, telephone numbers, payment
//! cards, IBANs, US social security numbers, and what the operator adds.
//!
//! Formats with a check digit are checked, others are read conservatively. Not a recogniser of names or addresses.
//! `scan.rs` finds, `redact.rs` replaces.

mod config;
mod custom;
mod fields;
mod numbers;
mod redact;
mod scan;
mod text;
mod words;

use wasmgate_plugin::texts::{CALLS, NEWS, QUESTIONS, Reader};
use wasmgate_plugin::{
    Call, Config, Descriptor, Draft, Edit, Finding, Hook, Interceptor, Isolation, Leaf, Operation, Outcome,
    Problem, log,
};

use crate::config::{Action, Settings};
use crate::redact::Labels;

/// The plugin, as configured.
pub struct PiiRedactor(Settings);

/// Findings of one message; more would not make it more refused.
const MAX_FINDINGS: usize = 16;

impl Interceptor for PiiRedactor {
    fn describe() -> Descriptor {
        let descriptor = Descriptor::new(
            "pii-redactor",
            env!("CARGO_PKG_VERSION"),
            "Redacts e-mail addresses, telephone numbers, payment cards, IBANs and the like in arguments and results.",
        )
        .config_schema(config::SCHEMA)
        // Behind mutators that bring texts in, before what only adds to them.
        .priority(500, 500)
        // Nothing of a message stays in its memory, and a fresh instance costs more than most messages do.
        .isolation(Isolation::Pooled);
        let hooks = [hooks(Action::Redact, Action::Redact), hooks(Action::Deny, Action::Deny)].concat();
        hooks.into_iter().fold(descriptor, Descriptor::hook)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        config::read(config).map(Self)
    }

    fn hooks(&self) -> Option<Vec<Hook>> {
        Some(hooks(self.0.request, self.0.response))
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        if self.action(call.operation()) != Action::Deny {
            return Ok(Vec::new());
        }
        let leaves = call.texts();
        let meant = leaves.iter().filter(|leaf| self.is_meant(&leaf.pointer));
        let findings: Vec<_> = meant.filter_map(|leaf| self.found(leaf)).take(MAX_FINDINGS).collect();
        if !findings.is_empty() {
            log::count("denied", 1);
        }
        Ok(findings)
    }

    fn mutate(&self, draft: &Draft<'_>) -> Result<Outcome, String> {
        if self.action(draft.operation()) != Action::Redact {
            return Ok(Outcome::Unchanged);
        }
        let mut labels = Labels::new(self.0.style);
        let mut edits = Vec::new();
        for leaf in draft.texts().into_iter().filter(|leaf| self.is_meant(&leaf.pointer)) {
            let found = scan::find(&leaf.text, &self.0.kinds, &self.0.patterns);
            if !found.is_empty() {
                edits.push(Edit::SetString(leaf.pointer, labels.put(&leaf.text, &found)));
            }
        }
        if edits.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        draft.apply(&edits)?;
        log::count("redacted", labels.placed());
        Ok(Outcome::Changed)
    }
}

wasmgate_plugin::export!(PiiRedactor);

impl PiiRedactor {
    fn action(&self, operation: &Operation) -> Action {
        match operation.reader() {
            Reader::Server => self.0.request,
            Reader::Client => self.0.response,
        }
    }

    fn is_meant(&self, pointer: &str) -> bool {
        let covered = |patterns: &[String]| patterns.iter().any(|pattern| fields::covers(pattern, pointer));
        (self.0.include.is_empty() || covered(&self.0.include)) && !covered(&self.0.exclude)
    }

    fn found(&self, leaf: &Leaf) -> Option<Finding> {
        let found = |text: &str| scan::find(text, &self.0.kinds, &self.0.patterns);
        let first = found(&leaf.text).into_iter().next()?;
        // A pointer is made of member names, which can be personal data themselves.
        let place = if found(&leaf.pointer).is_empty() { leaf.pointer.as_str() } else { "" };
        Some(Finding::error(format!("the text contains personal data ({})", first.name)).at(place))
    }
}

/// What is wanted, by what happens to messages towards the server and towards the client.
fn hooks(to_server: Action, to_client: Action) -> Vec<Hook> {
    let role = |action: Action| -> Option<fn(&[&str]) -> Hook> {
        match action {
            Action::Redact => Some(Hook::mutate),
            Action::Deny => Some(Hook::validate),
            Action::Off => None,
        }
    };
    let mut hooks = Vec::new();
    if let Some(hook) = role(to_server) {
        hooks.extend([hook(&CALLS).request(), hook(&QUESTIONS).response()]);
    }
    if let Some(hook) = role(to_client) {
        hooks.extend([hook(&CALLS).response(), hook(&QUESTIONS).request(), hook(&NEWS).request()]);
    }
    hooks
}

#[cfg(test)]
mod tests;

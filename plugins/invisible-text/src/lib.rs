//! Neutralises text that people do not see and models do: bidi controls, tag characters, zero-width characters, smuggled
//! variation selectors, control characters; in what servers say of themselves and in what they answer.
//!
//! Not a judge of what visible text says, and no folding of look-alike letters. What counts as hidden is in `chars.rs`,
//! what becomes of it in `clean.rs`.

mod chars;
mod clean;
mod config;
mod raw;

use wasmgate_plugin::texts::{CALLS, GREETINGS, LISTS, NEWS, QUESTIONS};
use wasmgate_plugin::{
    Call, Change, Config, Descriptor, Draft, Edit, Finding, Hook, Interceptor, Isolation, Item, Leaf,
    Operation, Outcome, Phase, Problem, log,
};

use crate::clean::Cure;
use crate::config::{MemberNames, Mode, SCHEMA, Settings};

/// The plugin, as configured.
pub struct InvisibleText(Settings);

/// Findings of one message; more would not make it more refused.
const MAX_FINDINGS: usize = 16;

impl Interceptor for InvisibleText {
    fn describe() -> Descriptor {
        let every = Settings { arguments: true, member_names: MemberNames::Refuse, ..Settings::default() };
        let descriptor = Descriptor::new(
            "invisible-text",
            env!("CARGO_PKG_VERSION"),
            "Neutralises invisible, bidirectional, tag and control characters in descriptions and results.",
        )
        .config_schema(SCHEMA)
        // First, so that other mutators see what people see.
        .priority(-1000, -1000)
        // Nothing of a message stays in its memory, and a fresh instance costs more than most messages do.
        .isolation(Isolation::Pooled);
        hooks(&every).into_iter().fold(descriptor, Descriptor::hook)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        config.read().map(Self)
    }

    fn hooks(&self) -> Option<Vec<Hook>> {
        Some(hooks(&self.0))
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let look = raw::look(&call.text(), self.0.taste());
        let mut findings = Vec::new();
        if look.names && self.0.refuses_names() {
            findings.push(Finding::error("a member name contains characters that are not seen"));
        }
        if look.values && self.0.mode == Mode::Refuse {
            let leaves = call.strings(under(call.operation()), 1);
            findings.extend(leaves.iter().filter_map(|leaf| self.found(leaf)).take(MAX_FINDINGS));
        }
        if !findings.is_empty() {
            log::count("refused", 1);
        }
        Ok(findings)
    }

    fn mutate(&self, draft: &Draft<'_>) -> Result<Outcome, String> {
        let look = raw::look(&draft.text(), self.0.taste());
        if look.names {
            log::warn("a member name contains characters that are not seen", &[]);
            log::count("names", 1);
        }
        if !look.values {
            return Ok(Outcome::Unchanged);
        }
        let operation = draft.operation();
        let leaves = draft.strings(under(operation), 1);
        let edits: Vec<_> = leaves
            .into_iter()
            .filter_map(|leaf| {
                let cured = clean::cured(&leaf.text, self.0.taste(), self.cure())?;
                let fits = !is_name(&operation.event, &leaf.pointer);
                fits.then_some(Edit::SetString(leaf.pointer, cured))
            })
            .collect();
        if edits.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        draft.apply(&edits)?;
        log::count("changed", 1);
        Ok(Outcome::Changed)
    }

    fn filter(&self, operation: &Operation, items: &[Item]) -> Result<Vec<(usize, Change)>, String> {
        let hidden = items.iter().enumerate().filter(|(_, item)| self.hides(operation, item));
        Ok(hidden.map(|(at, _)| (at, Change::Hide)).collect())
    }
}

wasmgate_plugin::export!(InvisibleText);

impl InvisibleText {
    fn cure(&self) -> Cure {
        if self.0.mode == Mode::Escape { Cure::Escape } else { Cure::Remove }
    }

    fn found(&self, leaf: &Leaf) -> Option<Finding> {
        let hidden = clean::first(&leaf.text, self.0.taste())?;
        let what =
            format!("the text contains a character that is not seen (U+{:04X})", u32::from(hidden.first));
        // A pointer is made of member names, and must not carry on what it complains about.
        Some(Finding::error(what).at(clean::visible(&leaf.pointer)))
    }

    /// An item is hidden when what is wrong with it cannot be changed: a client calls by the name it was shown, and names
    /// arguments as the schema does.
    fn hides(&self, operation: &Operation, item: &Item) -> bool {
        let look = raw::look(&item.item, self.0.taste());
        let refused = self.0.mode == Mode::Refuse;
        let hides = clean::first(&item.name, self.0.taste()).is_some()
            || look.names
            || (look.values && refused && self.finds_in(item));
        if hides {
            let (server, name) = (clean::visible(&item.server), clean::visible(&item.name));
            let fields = [("event", operation.event.as_str()), ("server", &server), ("item", &name)];
            log::warn("hidden from clients: contains characters that are not seen", &fields);
            log::count("hidden", 1);
        }
        hides
    }

    fn finds_in(&self, item: &Item) -> bool {
        raw::any(&item.item, |_, text| clean::first(text, self.0.taste()).is_some())
    }
}

/// What is wanted under these settings. Nothing that a list or a greeting says can refuse it, because one server's words
/// would then keep clients from all the others: refused items are hidden, and greetings are cured.
fn hooks(settings: &Settings) -> Vec<Hook> {
    let mut hooks = Vec::new();
    let refuses = settings.mode == Mode::Refuse;
    if settings.descriptions {
        hooks.push(Hook::filter(&LISTS));
        hooks.push(Hook::mutate(&GREETINGS).response());
        if !refuses {
            hooks.push(Hook::mutate(&LISTS).response());
        }
    }
    let mut both = |wanted: bool, hook: fn(&[&str]) -> Hook| {
        if wanted && settings.results {
            hooks.push(hook(&CALLS).response());
            hooks.push(hook(&QUESTIONS).request());
            hooks.push(hook(&NEWS).request());
        }
        if wanted && settings.arguments {
            hooks.push(hook(&CALLS).request());
            hooks.push(hook(&QUESTIONS).response());
        }
    };
    both(!refuses, Hook::mutate);
    both(settings.refuses_names(), Hook::validate);
    hooks
}

/// Where in a payload to look: of a request only what is meant for the server's own use, not what the call goes to.
fn under(operation: &Operation) -> &'static str {
    match (operation.phase, operation.event.as_str()) {
        (Phase::Request, "tools/call" | "prompts/get") => "/arguments",
        (Phase::Request, "completion/complete") => "/argument",
        _ => "",
    }
}

/// Whether this is the name of an item of a list, by which it is called. Where something is hidden in it the item itself
/// has been hidden.
fn is_name(event: &str, pointer: &str) -> bool {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    LISTS.contains(&event)
        && pointer.matches('/').count() == 3
        && matches!(last, "name" | "uri" | "uriTemplate")
}

#[cfg(test)]
mod tests;

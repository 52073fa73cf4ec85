//! What a plugin wants to see, cut down to what the operator lets it see.
//!
//! The pipeline asks twice: [`Interest::hooks`] says cheaply and ahead of time what could matter, [`Interest::sight`]
//! decides for one message. The first may say too much where two patterns overlap in a way that is no pattern itself;
//! the second is exact.

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Hook, Operation, Pattern, Phase};

use crate::bindings::plugin;
use crate::load::When;

/// Which export of a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Validate,
    Mutate,
    Filter,
}

impl Role {
    /// The role a hook is for.
    pub(crate) fn of(hook: &plugin::Hook) -> Self {
        match hook.role {
            plugin::Role::Validate => Self::Validate,
            plugin::Role::Mutate => Self::Mutate,
            plugin::Role::Filter => Self::Filter,
        }
    }

    /// Its name in the WIT files.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Mutate => "mutate",
            Self::Filter => "filter",
        }
    }
}

/// What of a message reaches the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Not even that it exists.
    Nothing,
    /// The operation, without the payload.
    Operation,
    /// Everything.
    Payload,
}

/// The plugin's hooks, narrowed.
pub(crate) struct Interest {
    lines: Vec<Line>,
    /// What the descriptor said, where the configuration narrowed it.
    declared: Option<Vec<Line>>,
}

/// One hook in one phase.
struct Line {
    phase: Phase,
    payload: bool,
    /// What the plugin asked for, and what the operator allows; a message must fit both.
    asked: [Vec<Pattern>; 3],
    allowed: [Vec<Pattern>; 3],
    /// What both may have in common, for the pipeline.
    common: [Vec<String>; 3],
    has: Vec<String>,
}

impl Interest {
    /// Cuts `hooks` down to `when`; `declared` is what the plugin said before it was configured, where `hooks` is what it
    /// wants under its configuration.
    pub(crate) fn new(hooks: &[plugin::Hook], declared: Option<&[plugin::Hook]>, when: &When) -> Self {
        Self { lines: lines(hooks, when), declared: declared.map(|hooks| lines(hooks, when)) }
    }

    /// For the pipeline: nothing outside these is wanted.
    pub(crate) fn hooks(&self) -> Vec<Hook> {
        let hook = |line: &Line| {
            let [events, servers, subjects] = line.common.each_ref().map(|texts| patterns(texts));
            let (request, response) = (line.phase == Phase::Request, line.phase == Phase::Response);
            Hook { events, request, response, servers, subjects }
        };
        self.lines.iter().map(hook).collect()
    }

    /// What of this message is to be shown to the plugin.
    pub(crate) fn sight(&self, operation: &Operation, phase: Phase, payload: &Json) -> Sight {
        let fits = |line: &&Line| line.phase == phase && line.fits(operation, payload);
        let mut seen = Sight::Nothing;
        for line in self.lines.iter().filter(fits) {
            if line.payload {
                seen = Sight::Payload;
                break;
            }
            seen = Sight::Operation;
        }
        match &self.declared {
            Some(declared) if !declared.iter().any(|line| fits(&line)) => Sight::Nothing,
            _ => seen,
        }
    }
}

/// Hooks, cut down to `when`, by phase.
fn lines(hooks: &[plugin::Hook], when: &When) -> Vec<Line> {
    let phases = |hook: &plugin::Hook| {
        let request = hook.request.then_some(Phase::Request);
        request.into_iter().chain(hook.response.then_some(Phase::Response)).collect::<Vec<_>>()
    };
    hooks
        .iter()
        .flat_map(|hook| phases(hook).into_iter().filter_map(|phase| line(hook, when, phase)))
        .collect()
}

impl Line {
    fn fits(&self, operation: &Operation, payload: &Json) -> bool {
        let server = operation.server.as_ref().map(wasmgate_core::name::ServerName::as_str);
        let texts = [Some(&*operation.event), server, operation.subject.as_deref()];
        let fit = |all: &[Vec<Pattern>; 3]| all.iter().zip(texts).all(|(any, text)| matches(any, text));
        fit(&self.asked)
            && fit(&self.allowed)
            && self.has.iter().all(|pointer| payload.pointer(pointer).is_some())
    }
}

/// One hook in one phase; None when nothing of it is left.
fn line(hook: &plugin::Hook, when: &When, phase: Phase) -> Option<Line> {
    let asked = [in_phase(&hook.events, phase), hook.servers.clone(), hook.subjects.clone()];
    let allowed = [in_phase(&when.events, phase), when.servers.clone(), when.subjects.clone()];
    if asked.first().is_some_and(Vec::is_empty)
        || (!when.events.is_empty() && allowed.first().is_some_and(Vec::is_empty))
    {
        return None;
    }
    let [events, servers, subjects] =
        [0, 1, 2].map(|part| Some(common(asked.get(part)?, allowed.get(part)?)));
    let common = [events??, servers??, subjects??];
    let has = hook.has.clone();
    let (asked, allowed) = (asked.each_ref().map(|t| patterns(t)), allowed.each_ref().map(|t| patterns(t)));
    Some(Line { phase, payload: hook.payload, asked, allowed, common, has })
}

/// The events of a hook in one phase: `*/request` and `*/response` are every method in that phase (SEP-2624).
fn in_phase(events: &[String], phase: Phase) -> Vec<String> {
    let (this, other) = match phase {
        Phase::Request => ("*/request", "*/response"),
        Phase::Response => ("*/response", "*/request"),
    };
    let every = |event: &String| if event == this { "*".to_owned() } else { event.clone() };
    events.iter().filter(|event| *event != other).map(every).collect()
}

/// Patterns that cover whatever both sets match; empty stands for everything in and out. None when nothing can match both.
fn common(asked: &[String], allowed: &[String]) -> Option<Vec<String>> {
    match (asked, allowed) {
        ([], only) | (only, []) => return Some(only.to_vec()),
        _ => {}
    }
    let pairs = asked.iter().flat_map(|a| allowed.iter().map(move |b| (a, b)));
    let both: Vec<_> = pairs.filter_map(|(a, b)| narrower(a, b)).cloned().collect();
    (!both.is_empty()).then_some(both)
}

/// The pattern that covers what `a` and `b` both match.
fn narrower<'a>(a: &'a String, b: &'a String) -> Option<&'a String> {
    match (a.contains('*'), b.contains('*')) {
        (false, _) => Pattern::new(b).matches(a).then_some(a),
        (true, false) => Pattern::new(a).matches(b).then_some(b),
        (true, true) if b == "*" => Some(a),
        (true, true) => Some(b),
    }
}

fn matches(any: &[Pattern], text: Option<&str>) -> bool {
    any.is_empty() || text.is_some_and(|text| any.iter().any(|pattern| pattern.matches(text)))
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmgate_core::name::ServerName;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn hook(events: &[&str], servers: &[&str]) -> plugin::Hook {
        plugin::Hook {
            role: plugin::Role::Validate,
            payload: true,
            events: texts(events),
            request: true,
            response: true,
            servers: texts(servers),
            subjects: vec![],
            has: vec![],
        }
    }

    /// What of `event` on server `crm-eu` reaches the plugin, by phase; the pipeline's hooks must never say less.
    #[track_caller]
    fn check(hook: plugin::Hook, when: When, event: &str, expected: &str) {
        let operation = Operation {
            id: "1".into(),
            event: event.into(),
            server: Some(ServerName::new("crm-eu").unwrap()),
            subject: None,
            principal: "p".into(),
            session: None,
            version: "2025-11-25",
            initiator: wasmgate_core::pipeline::Party::Client,
        };
        let payload = Json::parse(r#"{"a":{"b":1}}"#).unwrap();
        let interest = Interest::new(&[hook], None, &when);
        let mut seen = String::new();
        for (phase, name) in [(Phase::Request, "request "), (Phase::Response, "response ")] {
            if interest.sight(&operation, phase, &payload) != Sight::Nothing {
                seen.push_str(name);
                assert!(
                    interest.hooks().iter().any(|hook| hook.wants(&operation, phase)),
                    "{name}is filtered too early"
                );
            }
        }
        assert_eq!(seen.trim_end(), expected);
    }

    #[test]
    fn a_plugin_sees_what_it_asked_for() {
        let all = When::default;
        check(hook(&["*"], &[]), all(), "tools/call", "request response");
        check(hook(&["tools/*"], &[]), all(), "tools/call", "request response");
        check(hook(&["tools/*"], &[]), all(), "prompts/get", "");
        check(hook(&["*/request"], &[]), all(), "tools/call", "request");
        check(hook(&["*/response", "tools/list"], &[]), all(), "tools/call", "response");
        check(hook(&[], &[]), all(), "tools/call", "");
        check(hook(&["*"], &["crm*"]), all(), "tools/call", "request response");
        check(hook(&["*"], &["billing"]), all(), "tools/call", "");
    }

    #[test]
    fn an_operator_only_narrows() {
        let events = |events: &[&str]| When { events: texts(events), ..When::default() };
        let servers = |servers: &[&str]| When { servers: texts(servers), ..When::default() };
        check(hook(&["*"], &[]), events(&["tools/call"]), "tools/call", "request response");
        check(hook(&["*"], &[]), events(&["tools/call"]), "tools/list", "");
        check(hook(&["tools/call"], &[]), events(&["*"]), "tools/list", "");
        check(hook(&["tools/call"], &[]), events(&["prompts/*"]), "tools/call", "");
        check(hook(&["tools/*"], &[]), events(&["*/call"]), "tools/call", "request response");
        check(hook(&["tools/*"], &[]), events(&["*/call"]), "prompts/call", "");
        check(hook(&["tools/*"], &[]), events(&["*/call"]), "tools/list", "");
        check(hook(&["*"], &[]), events(&["*/response"]), "tools/call", "response");
        check(hook(&["*/request"], &[]), events(&["*/response"]), "tools/call", "");
        check(hook(&["*"], &["crm*"]), servers(&["*-eu"]), "tools/call", "request response");
        check(hook(&["*"], &["crm*"]), servers(&["*-us"]), "tools/call", "");
        check(hook(&["*"], &["billing"]), servers(&["*"]), "tools/call", "");
    }

    #[test]
    fn pointers_must_all_exist() {
        let has = |pointers: &[&str]| plugin::Hook { has: texts(pointers), ..hook(&["*"], &[]) };
        check(has(&["/a/b", "/a"]), When::default(), "tools/call", "request response");
        check(has(&["/a/b", "/c"]), When::default(), "tools/call", "");
    }
}

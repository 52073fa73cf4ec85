//! Which messages a remote is shown: what it asks for, cut down to what the operator allows.

use wasmgate_core::pipeline::{Hook, Pattern, Phase};

use super::Remote;
use super::read::Described;

/// Event patterns of one phase; an event must match both sides.
pub(super) struct Wanted {
    asked: Vec<String>,
    /// Empty means every event.
    allowed: Option<Vec<String>>,
}

impl Wanted {
    /// Of one phase.
    pub(super) fn new(described: &Described, remote: &Remote, phase: Phase) -> Self {
        let hooked = match phase {
            Phase::Request => described.request,
            Phase::Response => described.response,
        };
        let asked = if hooked { in_phase(&described.events, phase) } else { Vec::new() };
        let allowed = (!remote.events.is_empty()).then(|| in_phase(&remote.events, phase));
        Self { asked, allowed }
    }

    /// Whether this event is to be shown.
    pub(super) fn matches(&self, event: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| Pattern::new(pattern).matches(event));
        any(&self.asked) && self.allowed.as_ref().is_none_or(|allowed| any(allowed))
    }

    /// For the pipeline: covers whatever [`Wanted::matches`].
    pub(super) fn hook(&self, phase: Phase, remote: &Remote) -> Option<Hook> {
        let covers = |a: &String, b: &String| Pattern::new(a).matches(b).then(|| b.clone());
        let both = |a: &String, b: &String| covers(a, b).or_else(|| covers(b, a)).or_else(|| overlap(a, b));
        let events: Vec<String> = match &self.allowed {
            None => self.asked.clone(),
            Some(allowed) => {
                self.asked.iter().flat_map(|a| allowed.iter().filter_map(move |b| both(a, b))).collect()
            }
        };
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        (!events.is_empty()).then(|| Hook {
            events: patterns(&events),
            request: phase == Phase::Request,
            response: phase == Phase::Response,
            servers: patterns(&remote.servers),
            subjects: patterns(&remote.subjects),
        })
    }
}

/// Two patterns of which neither covers the other may still have texts in common: the first stands for those then.
fn overlap(a: &str, b: &str) -> Option<String> {
    (a.contains('*') && b.contains('*')).then(|| a.to_owned())
}

/// The events of one phase: `*/request` and `*/response` are every method in that phase (SEP-2624, "Wildcards").
fn in_phase(events: &[String], phase: Phase) -> Vec<String> {
    let (this, other) = match phase {
        Phase::Request => ("*/request", "*/response"),
        Phase::Response => ("*/response", "*/request"),
    };
    let every = |event: &String| if event == this { "*".to_owned() } else { event.clone() };
    events.iter().filter(|event| *event != other).map(every).collect()
}

#[cfg(test)]
mod tests {
    use wasmgate_core::json::Json;
    use wasmgate_core::pipeline::Mode;

    use super::*;
    use crate::interceptors::remote::read::described;
    use crate::interceptors::samples::exchange;

    /// Which of two events are shown in which phase; the pipeline's hook must say the same or more.
    #[track_caller]
    fn check(hook: &str, events: &[&str], expected: &str) {
        let text = format!(r#"{{"name":"a","type":"validation","hook":{hook}}}"#);
        let described = described(&Json::parse(text).unwrap()).unwrap();
        let remote = Remote {
            name: "r".into(),
            url: "http://localhost/".parse().unwrap(),
            token: None,
            interceptor: None,
            config: Json::empty_object(),
            mode: Mode::Enforce,
            fail_open: None,
            priority_request: None,
            priority_response: None,
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            servers: Vec::new(),
            subjects: Vec::new(),
            wall: None,
        };
        let mut shown = Vec::new();
        for (phase, mark) in [(Phase::Request, '>'), (Phase::Response, '<')] {
            let wanted = Wanted::new(&described, &remote, phase);
            for event in ["tools/call", "prompts/get"] {
                if wanted.matches(event) {
                    shown.push(format!("{mark}{event}"));
                    let hook = wanted.hook(phase, &remote).unwrap();
                    assert!(hook.wants(&exchange(event).operation, phase), "{event} is filtered too early");
                }
            }
        }
        assert_eq!(shown.join(" "), expected, "{hook} {events:?}");
    }

    #[test]
    fn a_message_must_be_wanted_by_both() {
        let all = r#"{"events":["*"],"phase":"both"}"#;
        check(all, &[], ">tools/call >prompts/get <tools/call <prompts/get");
        check(all, &["tools/call"], ">tools/call <tools/call");
        check(all, &["*/request"], ">tools/call >prompts/get");
        check(r#"{"events":["*/response"],"phase":"both"}"#, &["tools/*"], "<tools/call");
        check(r#"{"events":["*"],"phase":"request"}"#, &["*/response"], "");
        check(r#"{"events":["tools/*"],"phase":"request"}"#, &["*/call"], ">tools/call");
        check(r#"{"events":["tools/*"],"phase":"request"}"#, &["prompts/*"], "");
    }
}

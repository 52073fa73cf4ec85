//! What a stage is, in the words of the standard (SEP-2624, "Interface"): defaults are left out.

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::V2024_11_05;
use wasmgate_core::pipeline::{Compat, Kind, Mode, Pattern, Phase, StageInfo};

/// What of a stage's hooks can be said at the door, where no message has a server and no response a subject.
pub(super) struct Offered {
    /// Event patterns.
    pub(super) events: Vec<String>,
    phases: Phases,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phases {
    Request,
    Response,
    Both,
}

/// None for what cannot be invoked here: list filters, which the standard does not know, and stages that look only at
/// certain servers. Offered, they would call messages valid that they never look at.
///
/// The standard has one list of events for both phases. A stage that hooks different ones is offered with all of them,
/// and has nothing to say about those it does not hook.
pub(super) fn offered(info: &StageInfo) -> Option<Offered> {
    if info.kind == Kind::Filter {
        return None;
    }
    let any = |patterns: &[Pattern]| patterns.is_empty() || patterns.iter().any(|p| p.as_str() == "*");
    let (mut events, mut request, mut response) = (Vec::new(), false, false);
    for hook in info.hooks.iter().filter(|hook| any(&hook.servers)) {
        let answers = hook.response && any(&hook.subjects);
        if !hook.request && !answers {
            continue;
        }
        request |= hook.request;
        response |= answers;
        for event in hook.events.iter().map(Pattern::as_str) {
            if !events.iter().any(|known| known == event) {
                events.push(event.to_owned());
            }
        }
    }
    let phases = match (request, response) {
        (true, true) => Phases::Both,
        (true, false) => Phases::Request,
        (false, true) => Phases::Response,
        (false, false) => return None,
    };
    (!events.is_empty()).then_some(Offered { events, phases })
}

impl Offered {
    /// Whether messages of this event and phase are offered to be looked at.
    pub(super) fn covers(&self, event: &str, phase: Phase) -> bool {
        let phase_fits = match phase {
            Phase::Request => self.phases != Phases::Response,
            Phase::Response => self.phases != Phases::Request,
        };
        phase_fits && self.events.iter().any(|pattern| Pattern::new(pattern).matches(event))
    }

    /// Whether this belongs into a list that was asked for by event.
    pub(super) fn concerns(&self, event: &str) -> bool {
        match event {
            "*" => true,
            "*/request" => self.phases != Phases::Response,
            "*/response" => self.phases != Phases::Request,
            event => {
                self.events.iter().any(|pattern| pattern == event || Pattern::new(pattern).matches(event))
            }
        }
    }

    fn hook(&self) -> Json {
        let phase = match self.phases {
            Phases::Request => "request",
            Phases::Response => "response",
            Phases::Both => "both",
        };
        ObjectWriter::new().member("events", &Json::of(&self.events)).string("phase", phase).finish()
    }
}

/// The descriptor of a stage.
pub(super) fn descriptor(info: &StageInfo, offered: &Offered) -> Json {
    let mut out = ObjectWriter::new().string("name", &info.name);
    if let Some(version) = &info.about.version {
        out = out.string("version", version);
    }
    if let Some(description) = &info.about.description {
        out = out.string("description", description);
    }
    out = out.string("type", kind(info.kind)).member("hook", &offered.hook());
    if info.mode == Mode::Audit {
        out = out.string("mode", "audit");
    }
    if info.fail_open {
        out = out.member("failOpen", &Json::of(&true));
    }
    if let Some(priority) = priority(info) {
        out = out.member("priorityHint", &priority);
    }
    if let Some(compat) = compat(&info.compat) {
        out = out.member("compat", &compat);
    }
    if let Some(schema) = &info.about.config_schema {
        out = out.member("configSchema", schema);
    }
    out.finish()
}

/// The type of a stage, as the standard spells it.
pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Validator => "validation",
        Kind::Mutator | Kind::Filter => "mutation",
    }
}

fn priority(info: &StageInfo) -> Option<Json> {
    let (request, response) = (info.priority_request, info.priority_response);
    match (info.kind, request, response) {
        (Kind::Validator, _, _) | (_, 0, 0) => None,
        _ if request == response => Some(Json::of(&request)),
        _ => {
            let mut out = ObjectWriter::new();
            for (name, priority) in [("request", request), ("response", response)] {
                if priority != 0 {
                    out = out.member(name, &Json::of(&priority));
                }
            }
            Some(out.finish())
        }
    }
}

/// The standard requires the oldest version where it has any.
fn compat(compat: &Compat) -> Option<Json> {
    let oldest = match (&compat.min, &compat.max) {
        (None, None) => return None,
        (min, _) => min.as_deref().unwrap_or(V2024_11_05),
    };
    let out = ObjectWriter::new().string("minProtocol", oldest);
    Some(match &compat.max {
        Some(newest) => out.string("maxProtocol", newest).finish(),
        None => out.finish(),
    })
}

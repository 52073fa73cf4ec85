//! What a remote says, read strictly: descriptors, result objects, errors. What is not exactly right is a failure, and
//! its words are bounded and printable before anybody sees them.

use std::borrow::Cow;

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::pipeline::{About, Compat, Finding, Kind, Mode, Phase, Severity, StageAnswer, StageError};

use super::TIME;
use crate::interceptors::door::{Payload, TIMEOUT};
use crate::interceptors::path::pointer;

/// An interceptor as its remote describes it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) about: About,
    pub(super) events: Vec<String>,
    pub(super) request: bool,
    pub(super) response: bool,
    pub(super) mode: Mode,
    pub(super) fail_open: bool,
    pub(super) priority_request: i32,
    pub(super) priority_response: i32,
    pub(super) compat: Compat,
}

/// Reads a descriptor (SEP-2624, "Interface"), or says what is wrong with it.
pub(super) fn described(from: &Json) -> Result<Described, String> {
    let name = text(from, "name")?.filter(|name| is_name(name));
    let name = name.ok_or_else(|| format!("a `name` is 1 to {MAX_NAME} printable characters"))?;
    let wrong = |what: &str| format!("`{name}`: {what}");
    let kind = match text(from, "type")?.as_deref() {
        Some("validation") => Kind::Validator,
        Some("mutation") => Kind::Mutator,
        _ => return Err(wrong("`type` is neither `validation` nor `mutation`")),
    };
    let hook = from.member("hook").filter(Json::is_object).ok_or_else(|| wrong("no `hook`"))?;
    let events = hook.member("events").and_then(|events| events.deserialize::<Vec<String>>().ok());
    let (request, response) = match text(&hook, "phase")?.as_deref() {
        Some("request") => (true, false),
        Some("response") => (false, true),
        Some("both") => (true, true),
        _ => return Err(wrong("`hook.phase` is none of `request`, `response` and `both`")),
    };
    let mode = match text(from, "mode")?.as_deref() {
        None | Some("enforce") => Mode::Enforce,
        Some("audit") => Mode::Audit,
        Some(_) => return Err(wrong("`mode` is neither `enforce` nor `audit`")),
    };
    let fail_open = from.member("failOpen").map_or(Some(false), |value| value.boolean());
    let (priority_request, priority_response) =
        priority(from).ok_or_else(|| wrong("`priorityHint` is no 32-bit number and no pair of them"))?;
    let compat = from.member("compat").unwrap_or_else(Json::empty_object);
    let version = |name| Ok::<_, String>(text(&compat, name)?.map(String::into_boxed_str));
    Ok(Described {
        kind,
        about: About {
            version: text(from, "version")?.map(|version| plain(&version).into()),
            description: text(from, "description")?.map(|words| plain(&words).into()),
            config_schema: from.member("configSchema").map(|schema| schema.detached()),
        },
        events: events.ok_or_else(|| wrong("`hook.events` is no list of texts"))?,
        request,
        response,
        mode,
        fail_open: fail_open.ok_or_else(|| wrong("`failOpen` is neither true nor false"))?,
        priority_request,
        priority_response,
        compat: Compat { min: version("minProtocol")?, max: version("maxProtocol")? },
        name: name.into(),
    })
}

/// One number for both phases, or one for each (SEP-2624, "Priority Resolution").
fn priority(from: &Json) -> Option<(i32, i32)> {
    let Some(hint) = from.member("priorityHint") else { return Some((0, 0)) };
    if !hint.is_object() {
        let both = hint.deserialize().ok()?;
        return Some((both, both));
    }
    let of = |name: &str| hint.member(name).map_or(Some(0), |priority| priority.deserialize().ok());
    Some((of("request")?, of("response")?))
}

/// What was sent to be looked at.
pub(super) struct Sent {
    event: String,
    pub(super) phase: Phase,
    pub(super) payload: Json,
    under: &'static str,
}

impl Sent {
    /// A request as `{"method", "params"}`, a result bare, an error as `{"error"}`.
    pub(super) fn new(event: &str, phase: Phase, seen: &Json, failed: bool) -> Self {
        let (payload, under) = match phase {
            Phase::Request => {
                (ObjectWriter::new().string("method", event).member("params", seen).finish(), "params")
            }
            Phase::Response if failed => (ObjectWriter::new().member("error", seen).finish(), "error"),
            Phase::Response => (seen.clone(), ""),
        };
        Self { event: event.to_owned(), phase, payload, under }
    }

    /// The part of a new payload that the pipeline knows. It must be of the kind that was sent.
    fn part(&self, payload: Json) -> Result<Json, String> {
        let payload =
            Payload::read(payload, &self.event, self.phase).map_err(|words| format!("its {words}"))?;
        if payload.under != self.under {
            return Err("its payload is of another kind than what it was shown".to_owned());
        }
        Ok(payload.seen)
    }
}

/// Reads a result object (SEP-2624, `ValidationResult` and `MutationResult`).
pub(super) fn settle(result: &Json, name: &str, kind: Kind, sent: &Sent) -> Result<StageAnswer, String> {
    let expected = [
        ("interceptor", name),
        ("type", if kind == Kind::Validator { "validation" } else { "mutation" }),
        ("phase", phase(sent.phase)),
    ];
    for (member, expected) in expected {
        // Examples of the standard leave these out.
        if result.member(member).is_some_and(|said| said.string().as_deref() != Some(expected)) {
            return Err(format!("its result is of another `{member}`"));
        }
    }
    let boolean = |name: &str| {
        let said = result.member(name).and_then(|value| value.boolean());
        said.ok_or_else(|| format!("its result has no `{name}` that is true or false"))
    };
    if kind == Kind::Validator {
        return findings(result, boolean("valid")?, sent.under).map(StageAnswer::Findings);
    }
    if !boolean("modified")? {
        return Ok(StageAnswer::Unchanged);
    }
    let payload = result.member("payload").ok_or("its result has no `payload`")?;
    sent.part(payload).map(StageAnswer::Changed)
}

fn findings(result: &Json, valid: bool, under: &str) -> Result<Vec<Finding>, String> {
    let worst = match result.member("severity") {
        None => None,
        Some(said) => Some(severity(&said).ok_or("its result has a `severity` that is none")?),
    };
    let messages = match result.member("messages") {
        None => Vec::new(),
        Some(list) => list.elements().ok_or("its `messages` are no list")?,
    };
    if messages.len() > MAX_FINDINGS {
        return Err(format!("it found more than {MAX_FINDINGS} things"));
    }
    let suggestions = result.member("suggestions").and_then(|list| list.elements()).unwrap_or_default();
    let suggested = |path: &str| {
        let of = |one: &&Json| one.member("path").is_some_and(|at| at.string().as_deref() == Some(path));
        suggestions.iter().find(of)?.member("value")
    };
    let mut findings = Vec::with_capacity(messages.len() + 1);
    for message in &messages {
        let [words, level, path] = message.pick(["message", "severity", "path"]);
        let words = words.as_ref().and_then(Json::string).ok_or("a message of its has no `message`")?;
        let level = level.as_ref().and_then(severity).ok_or("a message of its has no `severity`")?;
        let path = path.as_ref().and_then(Json::string);
        findings.push(Finding {
            path: path.as_deref().and_then(|path| pointer(path, under)).map(|path| plain(&path)),
            message: plain(&words),
            severity: level,
            suggestion: path.as_deref().and_then(suggested),
        });
    }
    let has_error = findings.iter().any(|finding| finding.severity == Severity::Error);
    if valid && (has_error || worst == Some(Severity::Error)) {
        return Err("it says valid and names an error".to_owned());
    }
    // Without words of severity error the message would pass that it calls invalid.
    if !valid && !has_error && worst.is_none_or(|worst| worst == Severity::Error) {
        let message = "is not valid".to_owned();
        findings.push(Finding { path: None, message, severity: Severity::Error, suggestion: None });
    }
    Ok(findings)
}

/// What an error of the remote means. One that carries the answer a mutator gave in the server's place is that answer:
/// gateways like this one have no other way to say it.
pub(super) fn error(error: &Json, kind: Kind, phase: Phase) -> Result<StageAnswer, StageError> {
    if error.member("code").is_some_and(|code| code == Json::of(&TIMEOUT)) {
        return Err(StageError::Exceeded(TIME));
    }
    let answer = error.member("data").and_then(|data| data.member("answer")).filter(Json::is_object);
    match (answer, kind, phase) {
        (Some(answer), Kind::Mutator, Phase::Request) => Ok(StageAnswer::Answer(answer)),
        _ => Err(StageError::Failed(format!("answered `{}`", words(error)))),
    }
}

/// The words of an error object, with its reason.
pub(super) fn words(error: &Json) -> String {
    let message = error.member("message");
    let reason = error.member("data").and_then(|data| data.member("reason"));
    let said = |value: &Option<Json>| value.as_ref().and_then(Json::string).map(Cow::into_owned);
    match (said(&message), said(&reason)) {
        (Some(message), Some(reason)) => plain(&format!("{message}: {reason}")),
        (Some(words), None) | (None, Some(words)) => plain(&words),
        (None, None) => "an error without words".to_owned(),
    }
}

/// What a stage says that did not look.
pub(super) fn nothing(kind: Kind) -> StageAnswer {
    if kind == Kind::Validator { StageAnswer::Findings(Vec::new()) } else { StageAnswer::Unchanged }
}

/// A phase, as the standard spells it.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Request => "request",
        Phase::Response => "response",
    }
}

fn severity(said: &Json) -> Option<Severity> {
    match said.string()?.as_ref() {
        "info" => Some(Severity::Info),
        "warn" => Some(Severity::Warn),
        "error" => Some(Severity::Error),
        _ => None,
    }
}

/// A text member; an error when it is something else.
fn text(from: &Json, name: &str) -> Result<Option<String>, String> {
    let Some(value) = from.member(name) else { return Ok(None) };
    let text = value.string().map(Cow::into_owned);
    text.map(Some).ok_or_else(|| format!("`{name}` is no text"))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && plain(name) == name
}

/// Words fit for a log and for a client: bounded, and nothing in them that would be obeyed instead of shown.
fn plain(words: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    words.chars().take(MAX_WORDS).map(|c| if obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// Findings of one call.
const MAX_FINDINGS: usize = 256;
/// Characters of one text.
const MAX_WORDS: usize = 1024;
/// Bytes of a name.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests;

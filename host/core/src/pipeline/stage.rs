//! The one trait of the pipeline, and what a stage says about itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::exchange::{Exchange, Operation};
use crate::json::Json;
use crate::name::ServerName;

/// What a stage eventually answers.
pub type StageFuture<'a> = Pin<Box<dyn Future<Output = Result<StageAnswer, StageError>> + Send + 'a>>;

/// What a list filter eventually answers: the changes, by position among the items it was given.
pub type FilterFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<(usize, ItemChange)>, StageError>> + Send + 'a>>;

/// A stage under another configuration, or what is wrong with that configuration.
pub type ReconfigureFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn Stage>, String>> + Send + 'a>>;

/// One interceptor: built in, a WebAssembly component, a program or a remote service.
pub trait Stage: Send + Sync {
    /// What it is and what it wants to see. Read once, when the pipeline is built.
    fn info(&self) -> &StageInfo;

    /// Looks at one message: validators and mutators. `payload` is the request's `params`, the result, or, when the
    /// exchange failed, the error object.
    fn run<'a>(&'a self, exchange: &'a Exchange, phase: Phase, payload: &'a Json) -> StageFuture<'a>;

    /// Looks at all items of a list at once: list filters alone.
    fn filter<'a>(&'a self, exchange: &'a Exchange, items: &'a [ListItem]) -> FilterFuture<'a> {
        let (_, _) = (exchange, items);
        Box::pin(std::future::ready(Err(StageError::Failed("filters no lists".into()))))
    }

    /// The same stage under another configuration, for one invocation through the standard's own methods (SEP-2624,
    /// `interceptor/invoke`, `config`).
    fn reconfigured(&self, config: Json) -> ReconfigureFuture<'_> {
        let _ = config;
        Box::pin(std::future::ready(Err("takes no configuration".to_owned())))
    }
}

/// What a stage is and wants, fixed when it is loaded.
#[derive(Debug, Clone)]
pub struct StageInfo {
    /// Its name, unique in a pipeline.
    pub name: Arc<str>,
    /// Validator, mutator or list filter.
    pub kind: Kind,
    /// What it says about itself, for people and for `interceptors/list`.
    pub about: About,
    /// The protocol versions it can judge. A message of another one counts as a failure of the stage.
    pub compat: Compat,
    /// What it wants to see; nothing else reaches it.
    pub hooks: Vec<Hook>,
    /// Order in the request phase among mutators, low first; names break ties.
    pub priority_request: i32,
    /// Order in the response phase among mutators, low first; names break ties.
    pub priority_response: i32,
    /// Enforce or only report.
    pub mode: Mode,
    /// Whether a failure of the stage itself lets the message pass.
    pub fail_open: bool,
}

/// What a stage says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: Option<Box<str>>,
    /// What it does, in a sentence.
    pub description: Option<Box<str>>,
    /// JSON Schema of its configuration.
    pub config_schema: Option<Json>,
}

/// A range of protocol versions, both ends included; versions are dates and compare as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compat {
    /// The oldest.
    pub min: Option<Box<str>>,
    /// The newest.
    pub max: Option<Box<str>>,
}

impl Compat {
    /// Whether a version is in the range.
    pub fn covers(&self, version: &str) -> bool {
        self.min.as_deref().is_none_or(|min| min <= version)
            && self.max.as_deref().is_none_or(|max| version <= max)
    }
}

/// What a stage may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reports findings; one of severity error refuses the message.
    Validator,
    /// Rewrites the message, or answers it.
    Mutator,
    /// Hides and rewrites items of lists, all of a list at once. What it hides cannot be called either, what it renames
    /// is called by its new name.
    Filter,
}

/// Whether a stage's word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It counts.
    #[default]
    Enforce,
    /// It is recorded and changes nothing.
    Audit,
}

/// Which half of an exchange a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The request, or a notification: from whoever began.
    Request,
    /// Its answer: to whoever began.
    Response,
}

/// Who began an exchange: the client for calls and lists, the server for what it asks of the client (sampling,
/// elicitation, roots) and for its notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Party {
    /// The client.
    #[default]
    Client,
    /// The server.
    Server,
}

/// One line of a stage's interest. Every part must match.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Method patterns; empty means none.
    pub events: Vec<Pattern>,
    /// Sees the request phase.
    pub request: bool,
    /// Sees the response phase.
    pub response: bool,
    /// Server patterns; empty means every server.
    pub servers: Vec<Pattern>,
    /// Subject patterns (tool, prompt, URI); empty means every subject.
    pub subjects: Vec<Pattern>,
}

/// One item of a list, as a list filter sees it.
#[derive(Debug, Clone)]
pub struct ListItem {
    /// Its public name, or its URI.
    pub name: Box<str>,
    /// The server that offers it.
    pub server: ServerName,
    /// The whole item.
    pub item: Json,
}

/// What a list filter does to one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemChange {
    /// The client does not see it.
    Hide,
    /// A JSON merge patch (RFC 7396) of the item.
    Patch(Json),
}

impl Hook {
    /// Whether this hook wants a message.
    pub fn wants(&self, operation: &Operation, phase: Phase) -> bool {
        self.wants_event(&operation.event, phase)
            && fits(&self.servers, operation.server.as_ref().map(ServerName::as_str))
            && fits(&self.subjects, operation.subject.as_deref())
    }

    /// The same of a message about nothing in particular, in either phase.
    pub fn wants_any(&self, event: &str, server: Option<&ServerName>) -> bool {
        (self.wants_event(event, Phase::Request) || self.wants_event(event, Phase::Response))
            && fits(&self.servers, server.map(ServerName::as_str))
            && self.subjects.is_empty()
    }

    /// Whether this hook wants messages of a method in a phase, of some server and subject.
    pub fn wants_event(&self, event: &str, phase: Phase) -> bool {
        let phase_fits = match phase {
            Phase::Request => self.request,
            Phase::Response => self.response,
        };
        phase_fits && self.events.iter().any(|pattern| pattern.matches(event))
    }

    /// Whether this hook wants an item of a list: its server and its name stand for the message's.
    pub fn wants_item(&self, item: &ListItem) -> bool {
        fits(&self.servers, Some(item.server.as_str())) && fits(&self.subjects, Some(&item.name))
    }
}

fn fits(patterns: &[Pattern], text: Option<&str>) -> bool {
    patterns.is_empty() || text.is_some_and(|text| patterns.iter().any(|pattern| pattern.matches(text)))
}

/// A name pattern: `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// What most patterns are is told apart when they are made: every call is matched with every hook.
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `*`.
    Anything,
    /// Without a star.
    Exact,
    /// One star, and where it is.
    Star(usize),
    /// More of them.
    Stars,
}

impl Pattern {
    /// Takes a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        let mut stars = text.match_indices('*').map(|(at, _)| at);
        let shape = match (stars.next(), stars.next()) {
            (None, _) => Shape::Exact,
            (Some(_), None) if text.len() == 1 => Shape::Anything,
            (Some(at), None) => Shape::Star(at),
            (Some(_), Some(_)) => Shape::Stars,
        };
        Self { text: text.into(), shape }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `text` fits, in time linear in both for each `*`.
    pub fn matches(&self, text: &str) -> bool {
        match self.shape {
            Shape::Anything => true,
            Shape::Exact => *self.text == *text,
            Shape::Star(at) => {
                let (pattern, text) = (self.text.as_bytes(), text.as_bytes());
                let (before, after) = (pattern.get(..at), pattern.get(at + 1..));
                let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
                text.strip_prefix(before).is_some_and(|rest| rest.ends_with(after))
            }
            Shape::Stars => self.matches_stars(text),
        }
    }

    fn matches_stars(&self, text: &str) -> bool {
        let mut parts = self.text.split('*');
        let Some(first) = parts.next() else { return text.is_empty() };
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let mut last = None;
        for part in parts {
            if let Some(previous) = last.replace(part) {
                match rest.find(previous) {
                    Some(at) => rest = rest.get(at + str::len(previous)..).unwrap_or_default(),
                    None => return false,
                }
            }
        }
        last.map_or(rest.is_empty(), |last| rest.ends_with(last))
    }
}

/// What a stage made of a message.
#[derive(Debug, Clone)]
pub enum StageAnswer {
    /// A validator's findings; none means valid.
    Findings(Vec<Finding>),
    /// A mutator left it alone.
    Unchanged,
    /// A mutator's whole new payload.
    Changed(Json),
    /// A mutator answers in the server's place with this result (request phase only).
    Answer(Json),
}

/// One observation of a validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// RFC 6901 pointer into the payload.
    pub path: Option<String>,
    /// What was found, in words for the client; never a value from the payload.
    pub message: String,
    /// How bad it is. Only `Error` refuses.
    pub severity: Severity,
    /// What could stand there instead, as a JSON value.
    pub suggestion: Option<Json>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Refuses the message.
    Error,
}

/// The stage itself failed; not a finding.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It trapped, panicked or returned what cannot be right.
    #[error("failed: {0}")]
    Failed(String),
    /// It exceeded a budget of time, memory or output.
    #[error("exceeded its {0}")]
    Exceeded(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let pattern = Pattern::new(pattern);
        for text in yes {
            assert!(pattern.matches(text), "{pattern:?} should match {text:?}");
        }
        for text in no {
            assert!(!pattern.matches(text), "{pattern:?} should not match {text:?}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run() {
        check("*", &["", "tools/call"], &[]);
        check("tools/*", &["tools/call", "tools/"], &["tools", "atools/call"]);
        check("*/list", &["tools/list", "a/b/list"], &["tools/lists", "list"]);
        check("a*b*a", &["aba", "axxbyya"], &["ab", "aa", "abab"]);
        check("ab*ba", &["abba", "abxba"], &["aba"]);
        check("**", &["", "x"], &[]);
        check("", &[""], &["x"]);
        check("ä*ö", &["äö", "äxö"], &["ä", "ö", "aö"]);
        check("exact", &["exact"], &["exact ", "exac", ""]);
    }
}

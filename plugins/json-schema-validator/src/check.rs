//! A JSON Schema validator (2020-12, and draft-07 where a schema says so) that counts its steps.
//!
//! Schemas come from servers, so none is trusted: what it says in a wrong form is ignored, what cannot be checked is
//! reported, and one that would take too long is a failure, never a trap. `format` is an annotation, as in the standard.
//! What is found names places and the schema's words, never a value.

mod arrays;
mod logic;
mod objects;
mod place;
mod refs;
mod scalars;

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_json::{Map, Value};

use place::Place;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Where the value does not fit; at most [`MOST`].
    pub(crate) unfit: Vec<Unfit>,
    /// What of the schema was not checked, in words.
    pub(crate) unchecked: BTreeSet<&'static str>,
}

/// One place where the value does not fit.
#[derive(Debug)]
pub(crate) struct Unfit {
    /// RFC 6901 pointer into the value.
    pub(crate) pointer: String,
    /// What it does not do. Quotes the schema, never the value.
    pub(crate) message: String,
}

/// Findings of one message; more would not make it more refused.
const MOST: usize = 16;
/// Steps for any value, and for each byte of the schema besides.
const STEPS: u64 = 50_000;
const STEPS_PER_BYTE: u64 = 8;
/// How deeply schemas may lie in each other, references counted: two for each level of the deepest message that the
/// gateway takes (64).
const DEEPEST: u32 = 128;

/// Checks `value` against `schema`, whose text is `text`.
///
/// # Errors
/// It would take too many steps, or the schema goes in circles.
pub(crate) fn check(schema: &Value, text: &str, value: &Value) -> Result<Report, String> {
    let dialect = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let bytes = text.len() as u64;
    let mut check = Check {
        root: schema,
        is_draft_7: ["draft-07", "draft-06", "draft-04"].iter().any(|name| dialect.contains(name)),
        is_marking: text.contains("\"unevaluated"),
        steps: STEPS.saturating_add(bytes.saturating_mul(STEPS_PER_BYTE)).saturating_add(refs::size(value)),
        depth: 0,
        quiet: 0,
        patterns: BTreeMap::new(),
        report: Report::default(),
    };
    check.evaluate(schema, value, &Place::Root)?;
    Ok(check.report)
}

/// One value being checked.
struct Check<'s> {
    root: &'s Value,
    /// Whether a reference hides what stands beside it.
    is_draft_7: bool,
    /// Whether it matters what a schema looked at.
    is_marking: bool,
    /// Steps left.
    steps: u64,
    /// Schemas within schemas.
    depth: u32,
    /// More than 0 within alternatives, whose failures are not the value's.
    quiet: u32,
    /// Each pattern is compiled once; None where it cannot be.
    patterns: BTreeMap<&'s str, Option<Regex>>,
    report: Report,
}

/// What a schema says of a value.
#[derive(Debug, Default)]
struct Verdict<'v> {
    unfit: bool,
    /// What was looked at: for `unevaluatedProperties` and `unevaluatedItems`.
    seen: Seen<'v>,
}

/// Members and items of one value that a schema looked at.
#[derive(Debug, Default)]
struct Seen<'v> {
    members: BTreeSet<&'v str>,
    /// So many items from the first.
    items: usize,
    /// Single items besides.
    contained: BTreeSet<usize>,
}

impl<'v> Verdict<'v> {
    fn unfit() -> Self {
        Self { unfit: true, seen: Seen::default() }
    }

    /// Both must hold.
    fn and(&mut self, other: Self) {
        self.unfit |= other.unfit;
        self.saw(other);
    }

    /// What another schema looked at counts when it fits.
    fn saw(&mut self, other: Self) {
        if !other.unfit {
            self.seen.members.extend(other.seen.members);
            self.seen.items = self.seen.items.max(other.seen.items);
            self.seen.contained.extend(other.seen.contained);
        }
    }
}

impl<'s> Check<'s> {
    fn evaluate<'v>(
        &mut self,
        schema: &'s Value,
        value: &'v Value,
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        self.spend(1)?;
        let keywords = match schema {
            Value::Object(keywords) => keywords,
            Value::Bool(true) => return Ok(Verdict::default()),
            Value::Bool(false) => return Ok(self.wrong(at, "is not allowed")),
            _ => {
                self.report.unchecked.insert("the tool's schema contains something that is no schema");
                return Ok(Verdict::default());
            }
        };
        if self.depth >= DEEPEST {
            return Err("the tool's schema is too deep, or goes in circles".into());
        }
        self.depth += 1;
        let verdict = self.keywords(keywords, value, at);
        self.depth -= 1;
        verdict
    }

    fn keywords<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v Value,
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        let mut verdict = Verdict::default();
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(reference) = schema.get(keyword).and_then(Value::as_str)
                && let Some(target) = self.target(reference)?
            {
                verdict.and(self.evaluate(target, value, at)?);
            }
        }
        if self.is_draft_7 && schema.contains_key("$ref") {
            return Ok(verdict);
        }
        verdict.unfit |= self.any(schema, value, at)?;
        match value {
            Value::Number(number) => verdict.unfit |= self.number(schema, number, at),
            Value::String(text) => verdict.unfit |= self.string(schema, text, at)?,
            Value::Array(items) => verdict.and(self.array(schema, items, at)?),
            Value::Object(members) => verdict.and(self.object(schema, members, at)?),
            Value::Null | Value::Bool(_) => {}
        }
        verdict.and(self.logic(schema, value, at)?);
        match value {
            Value::Array(items) => self.other_items(schema, items, at, &mut verdict)?,
            Value::Object(members) => self.other_members(schema, members, at, &mut verdict)?,
            _ => {}
        }
        Ok(verdict)
    }

    /// The same without reporting what does not fit.
    fn quietly<'v>(
        &mut self,
        schema: &'s Value,
        value: &'v Value,
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        self.quiet += 1;
        let verdict = self.evaluate(schema, value, at);
        self.quiet -= 1;
        verdict
    }

    fn wrong<'v>(&mut self, at: &Place<'_>, message: impl Into<String>) -> Verdict<'v> {
        if self.quiet == 0 && self.report.unfit.len() < MOST {
            self.report.unfit.push(Unfit { pointer: at.pointer(), message: message.into() });
        }
        Verdict::unfit()
    }

    fn spend(&mut self, steps: u64) -> Result<(), String> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err("checking against the tool's schema takes too many steps".into()),
        }
    }
}

#[cfg(test)]
mod tests;

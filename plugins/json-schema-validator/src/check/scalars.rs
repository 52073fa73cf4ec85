//! Keywords for any value, for numbers and for strings.

use std::cmp::Ordering;
use std::fmt::Write as _;

use regex_lite::RegexBuilder;
use serde_json::{Map, Number, Value};

use super::{Check, Place};

/// How much of a list of allowed values a finding quotes.
const LONGEST_QUOTE: usize = 200;
/// Bytes that one compiled pattern may take, and how deep its groups may lie.
const PATTERN_BYTES: usize = 64 << 10;
const PATTERN_DEPTH: u32 = 32;

/// Whether a number that compares so with its bound breaks it.
type Breaks = fn(Ordering) -> bool;

impl<'s> Check<'s> {
    /// `type`, `enum`, `const`. Whether one of them does not hold.
    pub(super) fn any(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &Value,
        at: &Place<'_>,
    ) -> Result<bool, String> {
        let mut unfit = false;
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(any)) => any.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|name| is_type(value, name)) {
            unfit |= self.wrong(at, format!("is not of type {}", quote(&types.join(" or ")))).unfit;
        }
        if let Some(Value::Array(allowed)) = schema.get("enum") {
            let mut found = false;
            for one in allowed {
                found = found || self.equal(one, value)?;
            }
            if !found {
                let mut names = String::new();
                for one in allowed {
                    if names.len() > LONGEST_QUOTE {
                        break;
                    }
                    let _ = write!(names, "{}{one}", if names.is_empty() { "" } else { ", " });
                }
                unfit |= self.wrong(at, format!("is none of {}", quote(&names))).unfit;
            }
        }
        if let Some(only) = schema.get("const")
            && !self.equal(only, value)?
        {
            unfit |= self.wrong(at, format!("is not {}", quote(&only.to_string()))).unfit;
        }
        Ok(unfit)
    }

    pub(super) fn number(&mut self, schema: &Map<String, Value>, value: &Number, at: &Place<'_>) -> bool {
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_number);
        let mut unfit = false;
        let rules: [(&str, &str, Breaks); 4] = [
            ("minimum", "is less than", Ordering::is_lt),
            ("exclusiveMinimum", "is not more than", Ordering::is_le),
            ("maximum", "is more than", Ordering::is_gt),
            ("exclusiveMaximum", "is not less than", Ordering::is_ge),
        ];
        for (keyword, words, breaks) in rules {
            if let Some(bound) = bound(keyword)
                && compare(value, bound).is_some_and(breaks)
            {
                unfit |= self.wrong(at, format!("{words} {bound}")).unfit;
            }
        }
        if let Some(step) = bound("multipleOf")
            && !is_multiple(value, step)
        {
            unfit |= self.wrong(at, format!("is not a multiple of {step}")).unfit;
        }
        unfit
    }

    pub(super) fn string(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &str,
        at: &Place<'_>,
    ) -> Result<bool, String> {
        let bound = |keyword: &str| schema.get(keyword).and_then(whole);
        let mut unfit = false;
        let (least, most) = (bound("minLength"), bound("maxLength"));
        if least.is_some() || most.is_some() {
            let length = value.chars().count() as u64;
            if let Some(least) = least.filter(|least| length < *least) {
                unfit |= self.wrong(at, format!("has fewer than {least} characters")).unfit;
            }
            if let Some(most) = most.filter(|most| length > *most) {
                unfit |= self.wrong(at, format!("has more than {most} characters")).unfit;
            }
        }
        if let Some(Value::String(pattern)) = schema.get("pattern")
            && self.matches(pattern, value)? == Some(false)
        {
            unfit |= self.wrong(at, format!("does not match the pattern {}", quote(pattern))).unfit;
        }
        Ok(unfit)
    }

    /// Whether a pattern matches somewhere in `text`; None, and a note, where it cannot be compiled. The engine takes time
    /// in the product of both, and never more.
    pub(super) fn matches(&mut self, pattern: &'s str, text: &str) -> Result<Option<bool>, String> {
        let (length, states) = (text.len() as u64, pattern.len() as u64);
        if !self.patterns.contains_key(pattern) {
            self.spend(states.saturating_mul(4))?;
            let regex =
                RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).nest_limit(PATTERN_DEPTH).build().ok();
            if regex.is_none() {
                self.report.unchecked.insert("the tool's schema has a pattern that cannot be checked");
            }
            self.patterns.insert(pattern, regex);
        }
        self.spend(length.saturating_mul(states) / 16)?;
        Ok(self.patterns.get(pattern).and_then(Option::as_ref).map(|regex| regex.is_match(text)))
    }

    /// Whether two values are one: numbers by value, members in any order.
    pub(super) fn equal(&mut self, a: &Value, b: &Value) -> Result<bool, String> {
        self.spend(1)?;
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => Ok(compare(a, b) == Some(Ordering::Equal)),
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (a, b) in a.iter().zip(b) {
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
                for (name, a) in a {
                    match b.get(name) {
                        Some(b) if self.equal(a, b)? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => Ok(false),
            (Value::String(a), Value::String(b)) => {
                self.spend(if a.len() == b.len() { a.len() as u64 / 16 } else { 0 })?;
                Ok(a == b)
            }
            (a, b) => Ok(a == b),
        }
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match (name, value) {
        ("integer", Value::Number(number)) => is_whole(number),
        ("number", Value::Number(_))
        | ("string", Value::String(_))
        | ("object", Value::Object(_))
        | ("array", Value::Array(_))
        | ("boolean", Value::Bool(_))
        | ("null", Value::Null) => true,
        _ => false,
    }
}

/// `1.0` is an integer (2020-12, section 6.1.1 of the validation vocabulary).
fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// A bound on a count.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and not negative; saturates"
    )]
    value.as_u64().or(Some(number as u64))
}

fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    let integer =
        |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn is_multiple(value: &Number, step: &Number) -> bool {
    if let (Some(value), Some(step)) = (value.as_i64(), step.as_i64()) {
        return step <= 0 || value.checked_rem(step).is_none_or(|rest| rest == 0);
    }
    let (Some(value), Some(step)) = (value.as_f64(), step.as_f64()) else { return true };
    let quotient = value / step;
    // Decimal steps such as 0.01 have no exact form: as near as numbers of this size come.
    step <= 0.0
        || !quotient.is_finite()
        || (quotient - quotient.round()).abs() <= quotient.abs().max(1.0) * 1e-9
}

/// The schema's words, cut to a length that people read, without what does not print.
pub(super) fn quote(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut quoted: String = text.chars().take(LONGEST_QUOTE).map(printable).collect();
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        quoted.push_str("...");
    }
    quoted
}

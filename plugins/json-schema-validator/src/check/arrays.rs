//! Keywords for arrays.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::scalars::whole;
use super::{Check, Place, Verdict, refs};

impl<'s> Check<'s> {
    pub(super) fn array<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v [Value],
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        let mut verdict = Verdict::default();
        let bound = |keyword: &str| schema.get(keyword).and_then(whole);
        let count = value.len() as u64;
        if let Some(least) = bound("minItems").filter(|least| count < *least) {
            verdict.and(self.wrong(at, format!("has fewer than {least} items")));
        }
        if let Some(most) = bound("maxItems").filter(|most| count > *most) {
            verdict.and(self.wrong(at, format!("has more than {most} items")));
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) && self.repeats(value)? {
            verdict.and(self.wrong(at, "has the same item twice"));
        }
        verdict.and(self.items(schema, value, at)?);
        verdict.and(self.contains(schema, value, at)?);
        Ok(verdict)
    }

    /// `prefixItems` and `items`; in draft-07 a list in `items`, and `additionalItems`. Servers often leave out which
    /// dialect they mean, so both forms are read in both.
    fn items<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v [Value],
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        let mut verdict = Verdict::default();
        let (first, rest): (&'s [Value], _) = match (schema.get("prefixItems"), schema.get("items")) {
            (_, Some(Value::Array(list))) => (list, schema.get("additionalItems")),
            (Some(Value::Array(list)), rest) => (list, rest),
            (_, rest) => (&[], rest),
        };
        for (index, item) in value.iter().enumerate() {
            let Some(schema) = first.get(index).or(rest) else { break };
            verdict.unfit |= self.evaluate(schema, item, &Place::Item(at, index))?.unfit;
        }
        verdict.seen.items = if rest.is_some() { value.len() } else { first.len() };
        Ok(verdict)
    }

    fn contains<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v [Value],
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        let mut verdict = Verdict::default();
        let Some(wanted) = schema.get("contains") else { return Ok(verdict) };
        for (index, item) in value.iter().enumerate() {
            if !self.quietly(wanted, item, &Place::Item(at, index))?.unfit {
                verdict.seen.contained.insert(index);
            }
        }
        let count = verdict.seen.contained.len() as u64;
        let bound = |keyword: &str| schema.get(keyword).and_then(whole);
        let least = bound("minContains").unwrap_or(1);
        if count < least {
            verdict.and(self.wrong(at, format!("has fewer than {least} of the items it has to contain")));
        }
        if let Some(most) = bound("maxContains").filter(|most| count > *most) {
            verdict.and(self.wrong(at, format!("has more than {most} of the items it has to contain")));
        }
        Ok(verdict)
    }

    /// Whether an item is there twice, by a spelling that equal values share.
    fn repeats(&mut self, value: &[Value]) -> Result<bool, String> {
        self.spend(value.iter().map(refs::size).sum::<u64>() / 8)?;
        let mut seen = BTreeSet::new();
        Ok(!value.iter().all(|item| seen.insert(spelling(item))))
    }

    /// `unevaluatedItems`, after everything else.
    pub(super) fn other_items<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v [Value],
        at: &Place<'_>,
        verdict: &mut Verdict<'v>,
    ) -> Result<(), String> {
        let Some(others) = schema.get("unevaluatedItems") else { return Ok(()) };
        for (index, item) in value.iter().enumerate().skip(verdict.seen.items) {
            if !verdict.seen.contained.contains(&index) {
                verdict.unfit |= self.evaluate(others, item, &Place::Item(at, index))?.unfit;
            }
        }
        verdict.seen.items = value.len();
        Ok(())
    }
}

fn spelling(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(spelling).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let spell = |(name, member): (&String, &Value)| format!("{name:?}:{}", spelling(member));
            let mut members: Vec<_> = members.iter().map(spell).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

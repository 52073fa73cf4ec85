//! Keywords for objects.

use serde_json::{Map, Value};

use super::scalars::{quote, whole};
use super::{Check, Place, Verdict};

impl<'s> Check<'s> {
    pub(super) fn object<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v Map<String, Value>,
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        let mut verdict = Verdict { unfit: self.count(schema, value.len(), at), ..Verdict::default() };
        verdict.unfit |= self.required(schema.get("required"), value, at)?;
        for (name, member) in value {
            let place = Place::Member(at, name);
            verdict.and(self.member(schema, name, member, &place)?);
            if let Some(names) = schema.get("propertyNames") {
                let named = Value::String(name.clone());
                if self.quietly(names, &named, &place)?.unfit {
                    verdict.and(self.wrong(&place, "has a name that is not allowed"));
                }
            }
        }
        Ok(verdict)
    }

    /// One member against `properties`, `patternProperties` and `additionalProperties`.
    fn member<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        name: &'v str,
        member: &'v Value,
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        let (mut unfit, mut seen) = (false, false);
        if let Some(property) = schema.get("properties").and_then(|properties| properties.get(name)) {
            unfit |= self.evaluate(property, member, at)?.unfit;
            seen = true;
        }
        if let Some(Value::Object(patterns)) = schema.get("patternProperties") {
            for (pattern, property) in patterns {
                // A pattern that cannot be checked may mean this member: then it is not an additional one.
                match self.matches(pattern, name)? {
                    Some(true) => unfit |= self.evaluate(property, member, at)?.unfit,
                    Some(false) => continue,
                    None => {}
                }
                seen = true;
            }
        }
        if !seen && let Some(others) = schema.get("additionalProperties") {
            unfit |= self.evaluate(others, member, at)?.unfit;
            seen = true;
        }
        let mut verdict = Verdict { unfit, ..Verdict::default() };
        if seen && self.is_marking {
            verdict.seen.members.insert(name);
        }
        Ok(verdict)
    }

    fn count(&mut self, schema: &Map<String, Value>, count: usize, at: &Place<'_>) -> bool {
        let mut unfit = false;
        let bound = |keyword: &str| schema.get(keyword).and_then(whole);
        if let Some(least) = bound("minProperties").filter(|least| (count as u64) < *least) {
            unfit |= self.wrong(at, format!("has fewer than {least} members")).unfit;
        }
        if let Some(most) = bound("maxProperties").filter(|most| count as u64 > *most) {
            unfit |= self.wrong(at, format!("has more than {most} members")).unfit;
        }
        unfit
    }

    /// Whether a member that a list of names requires is missing.
    pub(super) fn required(
        &mut self,
        names: Option<&Value>,
        value: &Map<String, Value>,
        at: &Place<'_>,
    ) -> Result<bool, String> {
        let mut unfit = false;
        for name in names.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            self.spend(1)?;
            if !value.contains_key(name) {
                unfit |= self.wrong(at, format!("lacks the member {}", quote(name))).unfit;
            }
        }
        Ok(unfit)
    }

    /// `unevaluatedProperties`, after everything else.
    pub(super) fn other_members<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v Map<String, Value>,
        at: &Place<'_>,
        verdict: &mut Verdict<'v>,
    ) -> Result<(), String> {
        let Some(others) = schema.get("unevaluatedProperties") else { return Ok(()) };
        for (name, member) in value {
            if !verdict.seen.members.contains(name.as_str()) {
                let fits = self.evaluate(others, member, &Place::Member(at, name))?;
                verdict.unfit |= fits.unfit;
                verdict.seen.members.insert(name);
            }
        }
        Ok(())
    }
}

//! Keywords that put schemas together.

use serde_json::{Map, Value};

use super::{Check, Place, Verdict};

impl<'s> Check<'s> {
    pub(super) fn logic<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v Value,
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        let mut verdict = Verdict::default();
        if let Some(Value::Array(all)) = schema.get("allOf") {
            for one in all {
                verdict.and(self.evaluate(one, value, at)?);
            }
        }
        if let Some(Value::Array(any)) = schema.get("anyOf")
            && self.fitting(any, value, at, &mut verdict)? == 0
        {
            verdict.and(self.wrong(at, "fits none of the alternatives"));
        }
        if let Some(Value::Array(one)) = schema.get("oneOf") {
            match self.fitting(one, value, at, &mut verdict)? {
                0 => verdict.and(self.wrong(at, "fits none of the alternatives")),
                1 => {}
                _ => verdict.and(self.wrong(at, "fits more than one of the alternatives")),
            }
        }
        if let Some(not) = schema.get("not")
            && !self.quietly(not, value, at)?.unfit
        {
            verdict.and(self.wrong(at, "fits what it must not fit"));
        }
        if let Some(condition) = schema.get("if") {
            let condition = self.quietly(condition, value, at)?;
            let consequence = schema.get(if condition.unfit { "else" } else { "then" });
            verdict.saw(condition);
            if let Some(consequence) = consequence {
                verdict.and(self.evaluate(consequence, value, at)?);
            }
        }
        verdict.and(self.dependencies(schema, value, at)?);
        Ok(verdict)
    }

    /// `dependentRequired`, `dependentSchemas`, and `dependencies` of draft-07, which is either.
    fn dependencies<'v>(
        &mut self,
        schema: &'s Map<String, Value>,
        value: &'v Value,
        at: &Place<'_>,
    ) -> Result<Verdict<'v>, String> {
        let mut verdict = Verdict::default();
        let Value::Object(members) = value else { return Ok(verdict) };
        let keywords = ["dependentRequired", "dependentSchemas", "dependencies"];
        let all = keywords.into_iter().filter_map(|keyword| schema.get(keyword)?.as_object()).flatten();
        for (_, needs) in all.filter(|(name, _)| members.contains_key(name.as_str())) {
            if needs.is_array() {
                verdict.unfit |= self.required(Some(needs), members, at)?;
            } else {
                verdict.and(self.evaluate(needs, value, at)?);
            }
        }
        Ok(verdict)
    }

    /// How many alternatives fit; a list without any is no list of alternatives, and holds. All are tried, because each that fits counts for `unevaluatedProperties`.
    fn fitting<'v>(
        &mut self,
        alternatives: &'s [Value],
        value: &'v Value,
        at: &Place<'_>,
        verdict: &mut Verdict<'v>,
    ) -> Result<usize, String> {
        let mut count = usize::from(alternatives.is_empty());
        for alternative in alternatives {
            let tried = self.quietly(alternative, value, at)?;
            count += usize::from(!tried.unfit);
            verdict.saw(tried);
        }
        Ok(count)
    }
}

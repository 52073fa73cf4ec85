//! JSON merge patches (RFC 7396): how a list filter rewrites an item.

use super::Json;

impl Json {
    /// This value after a merge patch (RFC 7396, section 2): members of an object patch replace, add or (as `null`) remove
    /// members; any other patch is the new value.
    #[must_use]
    pub fn merged(&self, patch: &Self) -> Self {
        let Some(changes) = patch.members() else { return patch.clone() };
        let target = if self.is_object() { self.clone() } else { Self::empty_object() };
        let merged: Vec<(String, Option<Self>)> = changes
            .into_iter()
            .map(|(name, change)| {
                let next = (!change.is_null()).then(|| match target.member(&name) {
                    Some(now) => now.merged(&change),
                    None => Self::null().merged(&change),
                });
                (name, next)
            })
            .collect();
        let changes: Vec<_> = merged.iter().map(|(name, next)| (name.as_str(), next.as_ref())).collect();
        target.with_members(&changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn patches_merge_as_the_standard_says() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let [target, patch] = [target, patch].map(|text| Json::parse(text).unwrap());
            assert_eq!(target.merged(&patch).as_str(), expected, "{target:?} with {patch:?}");
        }
    }
}

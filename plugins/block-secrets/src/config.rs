//! The configuration: `{"allow": ["jwt"]}` turns rules off by name.

use wasmgate_plugin::Problem;

use crate::rules::RULES;

/// Rules that are turned off, as bits in the order of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Allowed(pub(crate) u64);

/// JSON Schema of the configuration.
pub(crate) fn schema() -> String {
    let names: Vec<_> = RULES.iter().map(|rule| format!("\"{}\"", rule.name)).collect();
    let items = format!(r#"{{"enum":[{}]}}"#, names.join(","));
    format!(
        r#"{{"type":"object","additionalProperties":false,"properties":{{"allow":{{"type":"array","items":{items}}}}}}}"#
    )
}

/// Reads the configuration. It is so small that a JSON library would be most of this component.
pub(crate) fn parse(config: &str) -> Result<Allowed, Vec<Problem>> {
    let shape = || vec![Problem::new("", "is not of the form {\"allow\": [\"rule\", ...]}")];
    let inside = |text: &str, open, close| {
        Some(text.trim().strip_prefix(open)?.strip_suffix(close)?.trim().to_owned())
    };
    if config.trim() == "null" {
        return Ok(Allowed::default());
    }
    let members = inside(config, '{', '}').ok_or_else(shape)?;
    if members.is_empty() {
        return Ok(Allowed::default());
    }
    let value =
        members.strip_prefix("\"allow\"").and_then(|rest| rest.trim().strip_prefix(':')).ok_or_else(shape)?;
    let items = inside(value, '[', ']').ok_or_else(shape)?;
    let mut allowed = Allowed::default();
    let mut problems = Vec::new();
    for (at, item) in items.split(',').enumerate().filter(|_| !items.is_empty()) {
        let name = inside(item, '"', '"').ok_or_else(shape)?;
        match RULES.iter().position(|rule| rule.name == name) {
            Some(index) => allowed.0 |= 1 << index,
            None => problems.push(Problem::new(&format!("/allow/{at}"), "is not the name of a rule")),
        }
    }
    if problems.is_empty() { Ok(allowed) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_turned_off_by_name() {
        let bits = |config: &str| {
            parse(config).map(|allowed| allowed.0.count_ones()).map_err(|p| p[0].pointer.clone())
        };
        for (config, expected) in [
            ("{}", Ok(0)),
            ("null", Ok(0)),
            (r#"{"allow":[]}"#, Ok(0)),
            (r#" { "allow" : [ "jwt" , "npm-token" ] } "#, Ok(2)),
            (r#"{"allow":["jwt","nonsense"]}"#, Err("/allow/1".to_owned())),
            (r#"{"allow":"jwt"}"#, Err(String::new())),
            (r#"{"deny":[]}"#, Err(String::new())),
            ("[]", Err(String::new())),
        ] {
            assert_eq!(bits(config), expected, "{config}");
        }
    }

    #[test]
    fn the_table_fits_into_a_word_and_its_names_are_unique() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
        assert!(RULES.len() <= 64);
    }

    #[test]
    fn the_schema_is_json_and_knows_the_rules() {
        assert!(schema().contains("\"jwt\""));
        assert_eq!(schema().matches('{').count(), schema().matches('}').count());
    }
}

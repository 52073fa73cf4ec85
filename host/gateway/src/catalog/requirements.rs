//! Which configuration values an entry needs, and whether it has them: the small part of JSON Schema that catalogs use
//! (`properties`, `required`, `default`, `type`, `enum`, `anyOf`/`oneOf` over `required`).

use serde_json::{Map, Value as Json};

/// What stands between an entry and its configuration being complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lack {
    /// A required value is not set.
    Missing(String),
    /// None of several sets of values is set whole.
    Choice(Vec<Vec<String>>),
    /// A value has the wrong type; the text says which is wanted.
    Wrong(String, String),
}

/// Fills `default`s into `values` (the entry's own values) and lists what is lacking, in the schema's order. Keys are dotted
/// paths below the server.
pub(super) fn complete(schemas: &[Json], values: &mut Map<String, Json>) -> Vec<Lack> {
    let mut lacks = Vec::new();
    for schema in schemas {
        fill(schema, values);
        inspect(schema, values, "", &mut lacks);
    }
    lacks
}

fn properties(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema.get("properties").and_then(Json::as_object).into_iter().flatten()
}

fn fill(schema: &Json, values: &mut Map<String, Json>) {
    for (key, property) in properties(schema) {
        let unset = find(values, key).is_none_or(Json::is_null);
        match property.get("default") {
            Some(default) if unset && !default.is_null() => {
                values.insert(key.clone(), default.clone());
            }
            _ => {}
        }
        if let Some(inner) = values.get_mut(key).and_then(Json::as_object_mut) {
            fill(property, inner);
        } else if unset && properties(property).any(|(_, inner)| inner.get("default").is_some()) {
            let mut inner = Map::new();
            fill(property, &mut inner);
            values.entry(key.clone()).or_insert(Json::Object(inner));
        }
    }
}

fn inspect(schema: &Json, values: &Map<String, Json>, at: &str, lacks: &mut Vec<Lack>) {
    let path = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    for key in required(schema) {
        if !is_set(values, key) {
            lacks.push(Lack::Missing(path(key)));
        }
    }
    for choice in ["anyOf", "oneOf"] {
        let branches = schema.get(choice).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let sets: Vec<Vec<&str>> = branches.iter().map(|branch| required(branch).collect()).collect();
        let met = |set: &Vec<&str>| set.iter().all(|key| is_set(values, key));
        if !sets.is_empty() && !sets.iter().any(met) {
            lacks.push(Lack::Choice(
                sets.iter().map(|set| set.iter().map(|key| path(key)).collect()).collect(),
            ));
        }
    }
    for (key, property) in properties(schema) {
        let Some(value) = find(values, key).filter(|value| !value.is_null()) else { continue };
        if let Some(wanted) = mismatch(property, value) {
            lacks.push(Lack::Wrong(path(key), wanted));
        } else if let Some(inner) = value.as_object() {
            inspect(property, inner, &path(key), lacks);
        }
    }
}

fn required(schema: &Json) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

/// A value by its key, which may be a dotted path to a nested value.
fn find<'v>(values: &'v Map<String, Json>, key: &str) -> Option<&'v Json> {
    let nested = || {
        let (first, rest) = key.split_once('.')?;
        rest.split('.').try_fold(values.get(first)?, |at, step| at.get(step))
    };
    values.get(key).or_else(nested)
}

/// A value that is null or an empty text is not set: Docker leaves both out.
fn is_set(values: &Map<String, Json>, key: &str) -> bool {
    find(values, key).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
}

/// What is wanted, when `value` is not it. A number or boolean is fine where a text is wanted, and text that spells one
/// where a number or boolean is wanted: a template makes text of all of them.
fn mismatch(property: &Json, value: &Json) -> Option<String> {
    let scalar = matches!(value, Json::String(_) | Json::Number(_) | Json::Bool(_));
    let text = value.as_str().unwrap_or_default();
    let (fits, wanted) = match property.get("type").and_then(Json::as_str) {
        Some("string") => (scalar, "a text"),
        Some("integer") => {
            (value.is_i64() || value.is_u64() || text.parse::<i64>().is_ok(), "a whole number")
        }
        Some("number") => (value.is_number() || text.parse::<f64>().is_ok(), "a number"),
        Some("boolean") => (value.is_boolean() || matches!(text, "true" | "false"), "true or false"),
        Some("array") => return array_mismatch(property, value),
        Some("object") => (value.is_object(), "a map"),
        _ => (true, ""),
    };
    if !fits {
        return Some(wanted.to_owned());
    }
    let choices = property.get("enum").and_then(Json::as_array)?;
    let words: Vec<String> = choices.iter().map(plain).collect();
    (!words.contains(&plain(value))).then(|| format!("one of {}", words.join(", ")))
}

/// A single scalar is taken as a list of one, as `into` does.
fn array_mismatch(property: &Json, value: &Json) -> Option<String> {
    let item = property.get("items").cloned().unwrap_or_default();
    match value {
        Json::Array(items) => {
            let wrong = items.iter().find_map(|each| mismatch(&item, each))?;
            Some(format!("a list in which every item is {wrong}"))
        }
        Json::Object(_) => Some("a list".to_owned()),
        one => mismatch(&item, one).map(|_| "a list".to_owned()),
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(schema: Json, values: Json, after: Json, lacks: &[&str]) {
        let mut values = values.as_object().cloned().unwrap_or_default();
        let shown: Vec<String> = complete(&[schema], &mut values)
            .into_iter()
            .map(|lack| match lack {
                Lack::Missing(key) => format!("missing {key}"),
                Lack::Choice(sets) => format!("choice {sets:?}"),
                Lack::Wrong(key, wanted) => format!("wrong {key}: {wanted}"),
            })
            .collect();
        assert_eq!(Json::Object(values), after);
        assert_eq!(shown, lacks);
    }

    #[test]
    fn required_and_defaults() {
        let schema =
            json!({"properties": {"a": {"type": "string"}, "b": {"default": 5}}, "required": ["a", "b"]});
        check(schema.clone(), json!({}), json!({"b": 5}), &["missing a"]);
        check(schema.clone(), json!({"a": ""}), json!({"a": "", "b": 5}), &["missing a"]);
        check(schema, json!({"a": "x", "b": 6}), json!({"a": "x", "b": 6}), &[]);
    }

    #[test]
    fn nested_values() {
        let schema = json!({"properties": {"jira": {"type": "object", "required": ["url"],
            "properties": {"url": {"type": "string"}, "port": {"type": "integer", "default": 80}}}}});
        check(schema.clone(), json!({}), json!({"jira": {"port": 80}}), &["missing jira.url"]);
        check(schema, json!({"jira": {"url": "u"}}), json!({"jira": {"url": "u", "port": 80}}), &[]);
    }

    #[test]
    fn dotted_keys_are_paths_or_keys() {
        let schema = json!({"properties": {"jira.url": {"type": "string"}}, "required": ["jira.url"]});
        check(schema.clone(), json!({"jira": {"url": "u"}}), json!({"jira": {"url": "u"}}), &[]);
        check(schema.clone(), json!({"jira.url": "u"}), json!({"jira.url": "u"}), &[]);
        check(schema, json!({"jira": "u"}), json!({"jira": "u"}), &["missing jira.url"]);
    }

    #[test]
    fn one_of_several() {
        let schema = json!({"anyOf": [{"required": ["token"]}, {"required": ["user", "password"]}]});
        check(
            schema.clone(),
            json!({"user": "u"}),
            json!({"user": "u"}),
            &[r#"choice [["token"], ["user", "password"]]"#],
        );
        check(schema, json!({"token": "t"}), json!({"token": "t"}), &[]);
    }

    #[test]
    fn types() {
        let schema = json!({"properties": {
            "s": {"type": "string"}, "i": {"type": "integer"}, "b": {"type": "boolean"},
            "l": {"type": "array", "items": {"type": "string"}}, "e": {"type": "string", "enum": ["x", "y"]}}});
        let good = json!({"s": 5, "i": "7", "b": true, "l": "one", "e": "x"});
        check(schema.clone(), good.clone(), good, &[]);
        let bad = json!({"s": [1], "i": 1.5, "b": "yes", "l": {"a": 1}, "e": "z"});
        let expected = [
            "wrong s: a text",
            "wrong i: a whole number",
            "wrong b: true or false",
            "wrong l: a list",
            "wrong e: one of x, y",
        ];
        check(schema, bad.clone(), bad, &expected);
    }
}

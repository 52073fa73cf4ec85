//! Holds a plugin's configuration against the plugin's own JSON Schema (2020-12) before the plugin sees it: what is wrong is
//! said with pointers, all of it at once, and without the values, which may be secret.
//!
//! A schema comes from an untrusted program. It cannot refer to anything outside itself, its patterns run in linear time,
//! and what it costs is bounded by time.

use std::time::Duration;

use jsonschema::{Draft, PatternOptions};
use serde_json::Value;
use wasmgate_core::json::Json;

use crate::error::{LoadError, Problem};
use crate::text::printable;

/// Bytes of the largest schema.
const MAX_BYTES: usize = 256 << 10;

/// Problems that are listed.
const MAX_PROBLEMS: usize = 32;

/// Bytes of a pointer and of a problem's description.
const MAX_POINTER: usize = 128;
const MAX_WORDS: usize = 300;

/// For compiling a schema and checking a configuration; ordinary ones take microseconds.
const TIME: Duration = Duration::from_secs(5);

/// Checks `config`.
///
/// # Errors
/// The schema is none, takes too long, or the configuration does not fit.
pub(crate) async fn check(schema: &Json, config: &Json) -> Result<(), LoadError> {
    let wrong = |what: &str| LoadError::Descriptor(format!("`config-schema` {what}"));
    if schema.bytes().len() > MAX_BYTES {
        return Err(wrong("is too large"));
    }
    let not_json = |_| wrong("has numbers that cannot be compared");
    let schema: Value = schema.deserialize().map_err(not_json)?;
    let config: Value = config.deserialize().map_err(not_json)?;
    // On a thread of its own: a schema that takes for ever must not take a worker with it.
    let (answer, answered) = tokio::sync::oneshot::channel();
    let work = move || drop(answer.send(problems(&schema, &config)));
    std::thread::Builder::new()
        .name("config-schema".into())
        .stack_size(8 << 20)
        .spawn(work)
        .map_err(|_| wrong("could not be read: no thread"))?;
    let Ok(Ok(answer)) = tokio::time::timeout(TIME, answered).await else {
        return Err(wrong("takes too long to check"));
    };
    match answer {
        Ok(none) if none.is_empty() => Ok(()),
        Ok(problems) => Err(LoadError::Configuration(problems)),
        Err(words) => Err(wrong(&format!("is not a JSON Schema that can be checked: {words}"))),
    }
}

/// What is wrong with `config`, or with the schema itself.
fn problems(schema: &Value, config: &Value) -> Result<Vec<Problem>, String> {
    let validator = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| printable(&error.to_string(), MAX_WORDS))?;
    let problem = |error: jsonschema::ValidationError<'_>| Problem {
        pointer: printable(error.instance_path().as_str(), MAX_POINTER),
        message: printable(&error.masked().to_string(), MAX_WORDS),
    };
    Ok(validator.iter_errors(config).take(MAX_PROBLEMS).map(problem).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(schema: &str, config: &str, expected: Expect) {
        let json = |text: &str| Json::parse(text.to_owned()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let checked = runtime.block_on(super::check(&json(schema), &json(config)));
        expected.assert_eq(&checked.map_or_else(|error| error.to_string(), |()| "fits".into()));
    }

    const SCHEMA: &str = r#"{
        "type": "object",
        "properties": {
            "mode": {"enum": ["deny", "redact"]},
            "limits": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
            "names": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}}
        },
        "required": ["mode"],
        "additionalProperties": false
    }"#;

    #[test]
    fn every_problem_is_listed_with_its_place_and_without_its_value() {
        check(SCHEMA, r#"{"mode":"deny","limits":{"a/b":1},"names":["x"]}"#, expect!["fits"]);
        check(SCHEMA, "{}", expect![[r#"refuses its configuration: "mode" is a required property"#]]);
        check(
            SCHEMA,
            r#"{"mode":"hunter2","limits":{"a/b":0,"c":"hunter2"},"names":["hunter2"],"extra":"hunter2"}"#,
            expect![[
                r#"refuses its configuration: `/mode` value is not one of "deny" or "redact"; `/limits/a~1b` value is less than the minimum of 1; `/limits/c` value is not of type "integer"; `/names/0` value does not match "^[a-z]+$"; Additional properties are not allowed ('extra' was unexpected)"#
            ]],
        );
    }

    #[test]
    fn a_schema_that_is_none_is_said() {
        check(
            r#"{"type":"objekt"}"#,
            "{}",
            expect![[
                r#"describes itself wrongly: `config-schema` is not a JSON Schema that can be checked: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword"#
            ]],
        );
        check(
            r#"{"properties":[]}"#,
            "{}",
            expect![[
                r#"describes itself wrongly: `config-schema` is not a JSON Schema that can be checked: [] is not of type "object""#
            ]],
        );
        check(
            "7",
            "{}",
            expect![[
                r#"describes itself wrongly: `config-schema` is not a JSON Schema that can be checked: 7 is not of types "boolean", "object""#
            ]],
        );
        check(
            r#"{"pattern":"(?=look)ahead"}"#,
            r#""x""#,
            expect![[
                r#"describes itself wrongly: `config-schema` is not a JSON Schema that can be checked: "(?=look)ahead" is not a "regex""#
            ]],
        );
        check(
            r##"{"$ref":"#/nowhere"}"##,
            "{}",
            expect![
                "describes itself wrongly: `config-schema` is not a JSON Schema that can be checked: Pointer '/nowhere' does not exist"
            ],
        );
        check(
            r#"{"$ref":"https://example.com/schema"}"#,
            "{}",
            expect![
                "describes itself wrongly: `config-schema` is not a JSON Schema that can be checked: Resource 'https://example.com/schema' is not present in a registry and retrieving it failed: `resolve-http` feature or a custom resolver is required to resolve external schemas via HTTP"
            ],
        );
        check(
            r#"{"$ref":"file:///etc/passwd"}"#,
            "{}",
            expect![
                "describes itself wrongly: `config-schema` is not a JSON Schema that can be checked: Resource 'file:///etc/passwd' is not present in a registry and retrieving it failed: `resolve-file` feature or a custom resolver is required to resolve external schemas via files"
            ],
        );
        check(r#"{"$schema":"https://example.com/meta"}"#, "{}", expect!["fits"]);
    }

    #[test]
    fn a_schema_that_goes_in_circles_ends() {
        check(r##"{"$ref":"#"}"##, "{}", expect!["fits"]);
        check(
            r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"anyOf":[{"$ref":"#"},{"$ref":"#/$defs/a"}]}}}"##,
            "{}",
            expect!["fits"],
        );
        check(
            r##"{"type":"object","additionalProperties":{"$ref":"#"}}"##,
            r#"{"a":{"b":{"c":1}}}"#,
            expect![[r#"refuses its configuration: `/a/b/c` value is not of type "object""#]],
        );
    }
}

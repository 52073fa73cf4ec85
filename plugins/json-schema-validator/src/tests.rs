//! The plugin on whole messages: arguments and results against the schemas of their tool.

use wasmgate_plugin::harness::Exchange;

use super::*;

const INPUT: &str = r#"{"type":"object","required":["q"],"properties":{"q":{"type":"string"}}}"#;
const OUTPUT: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#;

fn exchange() -> Exchange {
    Exchange::new("tools/call").attribute("tool.input-schema", INPUT).attribute("tool.output-schema", OUTPUT)
}

/// What is found, as `severity pointer message`.
#[track_caller]
fn check(config: &str, exchange: &Exchange, phase: Phase, payload: &str, expected: &[&str]) {
    let plugin = JsonSchemaValidator::configure(Config::new(config)).unwrap();
    let found = exchange.validate(&plugin, phase, payload).unwrap();
    let lines: Vec<_> = found
        .into_iter()
        .map(|f| format!("{:?} {} {}", f.severity, f.path.unwrap_or_default(), f.message))
        .collect();
    assert_eq!(lines, expected, "{config} {payload}");
}

#[test]
fn arguments_are_checked() {
    use Phase::Request;
    check("{}", &exchange(), Request, r#"{"name":"a","arguments":{"q":"x"}}"#, &[]);
    let wrong = "Error /arguments/q is not of type string";
    check("{}", &exchange(), Request, r#"{"arguments":{"q":5}}"#, &[wrong]);
    check("{}", &exchange(), Request, r#"{"name":"a"}"#, &["Error /arguments lacks the member q"]);
    check(
        r#"{"arguments":"warn"}"#,
        &exchange(),
        Request,
        r#"{"arguments":{"q":5}}"#,
        &["Warn /arguments/q is not of type string"],
    );
}

#[test]
fn structured_results_are_checked() {
    use Phase::Response;
    check("{}", &exchange(), Response, r#"{"content":[],"structuredContent":{"n":1}}"#, &[]);
    let wrong = "Error /structuredContent/n is not of type integer";
    check("{}", &exchange(), Response, r#"{"content":[],"structuredContent":{"n":"1"}}"#, &[wrong]);
    let missing = "Error  has no structured content, which the tool's schema describes";
    check("{}", &exchange(), Response, r#"{"content":[]}"#, &[missing]);
    for interim in [
        r#"{"content":[],"isError":true}"#,
        r#"{"resultType":"input_required","inputRequests":{}}"#,
        r#"{"task":{"taskId":"a"}}"#,
    ] {
        check("{}", &exchange(), Response, interim, &[]);
    }
    let failed = exchange().attribute("response.failed", "true");
    check("{}", &failed, Response, r#"{"code":-32000,"message":"no"}"#, &[]);
}

#[test]
fn a_tool_without_a_schema_passes_unless_one_is_required() {
    let none = Exchange::new("tools/call");
    check("{}", &none, Phase::Request, r#"{"arguments":{"q":5}}"#, &[]);
    check("{}", &none, Phase::Response, r#"{"structuredContent":5}"#, &[]);
    let required = r#"{"requireSchema":true}"#;
    check(required, &none, Phase::Request, "{}", &["Error  the tool has no schema of its arguments"]);
    check(required, &none, Phase::Response, r#"{"structuredContent":5}"#, &[]);
}

#[test]
fn what_cannot_be_checked_is_said() {
    let other =
        Exchange::new("tools/call").attribute("tool.input-schema", r#"{"$ref":"https://example.org/s"}"#);
    let what = "/arguments the tool's schema refers to another document, which is never fetched";
    check("{}", &other, Phase::Request, "{}", &[&format!("Warn {what}")]);
    check(r#"{"strict":true}"#, &other, Phase::Request, "{}", &[&format!("Error {what}")]);
}

#[test]
fn a_schema_that_takes_too_long_is_a_failure_of_the_plugin() {
    let circle = Exchange::new("tools/call").attribute("tool.input-schema", r##"{"$ref":"#"}"##);
    let plugin = JsonSchemaValidator::configure(Config::new("{}")).unwrap();
    assert!(circle.validate(&plugin, Phase::Request, "{}").unwrap_err().contains("goes in circles"));
}

#[test]
fn only_what_is_configured_is_wanted() {
    let count =
        |config: &str| JsonSchemaValidator::configure(Config::new(config)).unwrap().hooks().unwrap().len();
    assert_eq!(
        [count("{}"), count(r#"{"results":"off"}"#), count(r#"{"arguments":"off","results":"off"}"#)],
        [2, 1, 0]
    );
}

#[test]
fn the_schema_is_json_and_names_every_setting() {
    let schema: Value = serde_json::from_str(config::SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults: serde_json::Map<_, _> =
        properties.iter().map(|(name, property)| (name.clone(), property["default"].clone())).collect();
    assert_eq!(serde_json::from_value::<Settings>(defaults.into()).unwrap(), Settings::default());
}

//! Keywords of JSON Schema one by one, and what hostile schemas cost.

use super::*;

fn found(schema: &str, value: &str) -> Vec<String> {
    let parsed = serde_json::from_str(schema).unwrap();
    let report = check(&parsed, schema, &serde_json::from_str(value).unwrap()).unwrap();
    let unchecked = report.unchecked.into_iter().map(|what| format!("? {what}"));
    report
        .unfit
        .into_iter()
        .map(|unfit| format!("{} {}", unfit.pointer, unfit.message))
        .chain(unchecked)
        .collect()
}

/// A schema, what fits it, and what does not.
#[track_caller]
fn check_fit(schema: &str, fit: &[&str], unfit: &[&str]) {
    for value in fit {
        assert_eq!(found(schema, value), [""; 0], "{schema} {value}");
    }
    for value in unfit {
        assert_eq!(found(schema, value).len(), 1, "{schema} {value} {:?}", found(schema, value));
    }
}

#[test]
fn any_value() {
    check_fit("true", &["1"], &[]);
    check_fit("false", &[], &["1"]);
    check_fit("{}", &["1", "null"], &[]);
    check_fit(
        r#"{"type":"integer"}"#,
        &["1", "1.0", "-3", "12345678901234567890"],
        &["1.5", "\"1\"", "null", "true"],
    );
    check_fit(r#"{"type":["string","null"]}"#, &["\"a\"", "null"], &["1", "{}"]);
    check_fit(
        r#"{"enum":[1,"a",{"b":[1]},null]}"#,
        &["1.0", "\"a\"", r#"{"b":[1]}"#, "null"],
        &["2", "\"b\"", "{}"],
    );
    check_fit(r#"{"const":{"a":1,"b":2}}"#, &[r#"{"b":2,"a":1.0}"#], &[r#"{"a":1}"#]);
}

#[test]
fn numbers() {
    check_fit(r#"{"minimum":1,"maximum":3}"#, &["1", "3.0", "\"x\""], &["0.99", "4"]);
    check_fit(r#"{"exclusiveMinimum":1,"exclusiveMaximum":3}"#, &["2"], &["1", "3"]);
    check_fit(r#"{"maximum":9007199254740993}"#, &["9007199254740993"], &["9007199254740994"]);
    check_fit(r#"{"multipleOf":3}"#, &["9", "0"], &["10", "1.5"]);
    check_fit(r#"{"multipleOf":0.01}"#, &["4.35", "19.99", "1"], &["0.005"]);
    check_fit(r#"{"multipleOf":0}"#, &["7"], &[]);
}

#[test]
fn strings() {
    check_fit(
        r#"{"minLength":2,"maxLength":3}"#,
        &["\"äö\"", "\"\u{1f600}\u{1f600}\u{1f600}\"", "1"],
        &["\"a\"", "\"abcd\""],
    );
    check_fit(r#"{"pattern":"^[a-z]+\\d{2}$"}"#, &["\"ab12\"", "5"], &["\"AB12\"", "\"ab1\""]);
    check_fit(r#"{"format":"email"}"#, &["\"no\""], &[]);
}

#[test]
fn arrays() {
    check_fit(r#"{"minItems":1,"maxItems":2}"#, &["[1]"], &["[]", "[1,2,3]"]);
    check_fit(
        r#"{"uniqueItems":true}"#,
        &["[1,2,\"1\"]", r#"[{"a":1},{"a":2}]"#],
        &["[1,1.0]", r#"[{"a":1,"b":2},{"b":2,"a":1}]"#],
    );
    check_fit(r#"{"items":{"type":"string"}}"#, &["[]", "[\"a\"]"], &["[\"a\",1]"]);
    check_fit(
        r#"{"prefixItems":[{"type":"string"}],"items":false}"#,
        &["[\"a\"]", "[]"],
        &["[1]", "[\"a\",1]"],
    );
    check_fit(
        r#"{"items":[{"type":"string"}],"additionalItems":{"type":"null"}}"#,
        &["[\"a\",null]"],
        &["[\"a\",1]"],
    );
    check_fit(r#"{"contains":{"const":1},"maxContains":2}"#, &["[1,2]", "[1,1]"], &["[]", "[2]", "[1,1,1]"]);
    check_fit(r#"{"contains":{"const":1},"minContains":0}"#, &["[]"], &[]);
    check_fit(
        r#"{"prefixItems":[true],"contains":{"const":1},"unevaluatedItems":false}"#,
        &["[2,1]"],
        &["[2,1,3]"],
    );
}

#[test]
fn objects() {
    check_fit(
        r#"{"required":["a"],"properties":{"a":{"type":"integer"}}}"#,
        &[r#"{"a":1,"b":2}"#],
        &["{}", r#"{"a":""}"#],
    );
    check_fit(
        r#"{"properties":{"a":true},"additionalProperties":false}"#,
        &[r#"{"a":1}"#],
        &[r#"{"a":1,"b":2}"#],
    );
    check_fit(r#"{"additionalProperties":{"type":"string"}}"#, &[r#"{"a":"b"}"#], &[r#"{"a":1}"#]);
    check_fit(
        r#"{"patternProperties":{"^x-":{"type":"string"}},"additionalProperties":false}"#,
        &[r#"{"x-a":"b"}"#],
        &[r#"{"x-a":1}"#, r#"{"y":"b"}"#],
    );
    check_fit(r#"{"propertyNames":{"maxLength":1}}"#, &[r#"{"a":1}"#], &[r#"{"ab":1}"#]);
    check_fit(r#"{"minProperties":1,"maxProperties":1}"#, &[r#"{"a":1}"#], &["{}", r#"{"a":1,"b":1}"#]);
    check_fit(r#"{"dependentRequired":{"a":["b"]}}"#, &["{}", r#"{"a":1,"b":1}"#], &[r#"{"a":1}"#]);
    check_fit(
        r#"{"dependencies":{"a":["b"],"c":{"required":["d"]}}}"#,
        &[r#"{"c":1,"d":1}"#],
        &[r#"{"a":1}"#, r#"{"c":1}"#],
    );
    check_fit(
        r#"{"allOf":[{"properties":{"a":true}}],"anyOf":[{"properties":{"b":{"type":"string"}},"required":["b"]},true],"unevaluatedProperties":false}"#,
        &[r#"{"a":1}"#, r#"{"a":1,"b":""}"#],
        &[r#"{"c":1}"#, r#"{"b":1}"#],
    );
}

#[test]
fn schemas_put_together() {
    check_fit(r#"{"allOf":[{"minimum":1},{"maximum":3}]}"#, &["2"], &["0", "4"]);
    check_fit(r#"{"anyOf":[{"type":"string"},{"minimum":1}]}"#, &["\"a\"", "1"], &["0"]);
    check_fit(r#"{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}"#, &["2", "3"], &["5", "6"]);
    check_fit(r#"{"not":{"type":"string"}}"#, &["1"], &["\"a\""]);
    check_fit(
        r#"{"if":{"minimum":10},"then":{"multipleOf":10},"else":{"multipleOf":2}}"#,
        &["20", "4"],
        &["15", "5"],
    );
}

#[test]
fn references_stay_in_the_document() {
    check_fit(
        r##"{"$defs":{"a/b":{"type":"string"}},"items":{"$ref":"#/$defs/a~1b"}}"##,
        &["[\"a\"]"],
        &["[1]"],
    );
    check_fit(
        r##"{"definitions":{"ü":{"type":"string"}},"$ref":"#/definitions/%C3%BC"}"##,
        &["\"a\""],
        &["1"],
    );
    check_fit(r##"{"$defs":{"x":{"$anchor":"here","type":"string"}},"$ref":"#here"}"##, &["\"a\""], &["1"]);
    check_fit(r##"{"$defs":{"x":{"$id":"urn:x","type":"string"}},"$ref":"urn:x"}"##, &["\"a\""], &["1"]);
    check_fit(
        r##"{"type":"object","properties":{"next":{"$ref":"#"}},"additionalProperties":false}"##,
        &[r#"{"next":{"next":{}}}"#],
        &[r#"{"next":{"next":{"x":1}}}"#],
    );
    let other = "? the tool's schema refers to another document, which is never fetched";
    assert_eq!(found(r#"{"$ref":"https://example.org/s.json#/a"}"#, "1"), [other]);
    let part = "? the tool's schema refers to a part of itself that is not there";
    assert_eq!(found(r##"{"$ref":"#/$defs/none"}"##, "1"), [part]);
}

#[test]
fn draft_7_hides_what_stands_beside_a_reference() {
    let schema = r##"{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"a":true},"properties":{"x":{"$ref":"#/definitions/a","type":"string"}}}"##;
    check_fit(schema, &[r#"{"x":1}"#], &[]);
    check_fit(&schema.replace("draft-07/schema#", "2020-12/schema"), &[], &[r#"{"x":1}"#]);
}

#[test]
fn findings_name_the_place_and_the_schema_and_never_the_value() {
    let schema = r#"{"required":["q"],"properties":{"n":{"type":"integer","maximum":5},"e":{"enum":["a","b"]},"l":{"items":{"pattern":"^x"}}},"additionalProperties":false}"#;
    let value = r#"{"n":"hunter2","e":"hunter2","l":["x","hunter2"],"a/b":"hunter2"}"#;
    assert_eq!(
        found(schema, value),
        [
            " lacks the member q",
            "/n is not of type integer",
            "/e is none of \"a\", \"b\"",
            "/l/1 does not match the pattern ^x",
            "/a~1b is not allowed"
        ]
    );
    let many = format!("[{}]", vec!["1"; 100].join(","));
    assert_eq!(found(r#"{"items":false}"#, &many).len(), MOST);
}

#[test]
fn a_schema_in_a_wrong_form_is_read_as_far_as_it_goes() {
    for schema in [
        r#"{"type":5,"required":"a","properties":[],"items":3,"enum":"x","minimum":"1","anyOf":{},"oneOf":[],"$ref":7}"#,
        r#"{"maxLength":-1,"minItems":1.5,"pattern":5,"patternProperties":[],"dependencies":{"a":5},"if":null}"#,
        r#""text""#,
        "[]",
        "null",
    ] {
        for value in ["1", "\"a\"", "[1]", r#"{"a":1}"#, "null"] {
            assert!(found(schema, value).iter().all(|line| line.starts_with("? ")), "{schema} {value}");
        }
    }
    let pattern = "? the tool's schema has a pattern that cannot be checked";
    for schema in [r#"{"pattern":"(?=a)"}"#, r#"{"pattern":"("}"#, r#"{"pattern":"(a{1000}){1000}"}"#] {
        assert_eq!(found(schema, "\"a\""), [pattern], "{schema}");
    }
}

/// What a hostile schema ends with, in bounded time.
#[track_caller]
fn check_hostile(schema: &str, value: &str) {
    let parsed = serde_json::from_str(schema).unwrap();
    let error = check(&parsed, schema, &serde_json::from_str(value).unwrap()).unwrap_err();
    assert!(error.contains("too many steps") || error.contains("goes in circles"), "{error}");
}

#[test]
fn hostile_schemas_end() {
    check_hostile(r##"{"$ref":"#"}"##, "1");
    check_hostile(
        r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"}"##,
        "1",
    );
    // Doubles with each definition.
    let doubling: Vec<_> = (0..60)
        .map(|n| {
            format!(
                r##""d{n}":{{"anyOf":[{{"$ref":"#/$defs/d{m}"}},{{"$ref":"#/$defs/d{m}"}}]}}"##,
                m = n + 1
            )
        })
        .collect();
    check_hostile(
        &format!(r##"{{"$defs":{{{},"d60":{{"type":"null"}}}},"$ref":"#/$defs/d0"}}"##, doubling.join(",")),
        "1",
    );
    let deep = format!(
        "{}{}",
        r#"{"not":"#.repeat(60) + r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
        "}".repeat(60)
    );
    check_hostile(&deep, "1");
    let long = format!("{:?}", "a".repeat(1 << 20));
    let pattern = format!(r#"{{"pattern":"{}b$"}}"#, "(a|a)*".repeat(200));
    check_hostile(&pattern, &long);
}

#[test]
fn large_values_are_not_hostile() {
    let value = format!("[{}]", vec![r#"{"id":1,"name":"x","tags":["a","b"]}"#; 8_000].join(","));
    let schema = r##"{"items":{"$ref":"#/$defs/row"},"$defs":{"row":{"type":"object","required":["id","name"],
        "properties":{"id":{"type":"integer"},"name":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}}},"additionalProperties":false}}}"##;
    check_fit(schema, &[&value], &[]);
}

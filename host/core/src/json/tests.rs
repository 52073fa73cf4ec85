//! What `json` accepts, cuts and splices, rule by rule.

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

#[test]
fn members_are_spliced_in_place() {
    let check = |text: &str, changes: &[(&str, Option<&Json>)], expected: &str| {
        assert_eq!(json(text).with_members(changes).as_str(), expected, "{text}");
    };
    let (one, text) = (json("1"), json(r#""x""#));
    check("{}", &[("a", Some(&one))], r#"{"a":1}"#);
    check("{ }", &[("a", Some(&one))], r#"{"a":1 }"#);
    check(r#"{ "a" : 0 , "b":2 }"#, &[("a", Some(&one))], r#"{ "a" : 1 , "b":2 }"#);
    check(r#"{ "a" : 0 , "b":2 }"#, &[("a", None)], r#"{ "b":2 }"#);
    check(r#"{ "a" : 0 , "b":2 }"#, &[("b", None)], r#"{ "a" : 0 }"#);
    check(r#"{"a":0,"b":2,"c":3}"#, &[("b", None)], r#"{"a":0,"c":3}"#);
    check(r#"{"a":0,"b":2}"#, &[("b", None), ("a", None)], "{}");
    check(r#"{"a":0,"b":2}"#, &[("b", None), ("a", None), ("c", Some(&one))], r#"{"c":1}"#);
    check(r#"{"\u0061":0}"#, &[("a", Some(&one))], r#"{"\u0061":1}"#);
    check(r#"{"a":0}"#, &[("z", Some(&one)), ("a", Some(&text)), ("z", Some(&text))], r#"{"a":"x","z":"x"}"#);
    check(r#"{"a":0}"#, &[("a", Some(&one)), ("a", None)], "{}");
    check(r#"{"a":0}"#, &[("q", Some(&one)), ("q", None)], r#"{"a":0}"#);
    check(r#"{"a":0}"#, &[("\"\n", Some(&one))], r#"{"a":0,"\"\n":1}"#);
    check("[1]", &[("a", Some(&one))], "[1]");
}

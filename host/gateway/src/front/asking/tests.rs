//! Rounds read from results, and questions as each version knows them.

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

#[test]
fn a_question_is_worded_as_the_version_knows_it() {
    let check = |version, asked, params: &str, expected: &str| {
        let worded = as_known_to(version, asked, Some(&json(params))).unwrap();
        assert_eq!(worded.as_str(), expected, "{version} {asked}");
    };
    let form = r#"{"mode":"form","message":"m","requestedSchema":{}}"#;
    check("2025-11-25", method::ELICIT, form, form);
    check("2025-06-18", method::ELICIT, form, r#"{"message":"m","requestedSchema":{}}"#);
    let named = r#"{"mode":"url","elicitationId":"theirs","url":"https://x"}"#;
    check("2025-11-25", method::ELICIT, named, named);
    let sampling = r#"{"mode":"form","messages":[],"maxTokens":1.0}"#;
    check("2025-06-18", method::SAMPLE, sampling, sampling);
    let url = json(r#"{"mode":"url","url":"https://x"}"#);
    let minted = |()| {
        let worded = as_known_to("2025-11-25", method::ELICIT, Some(&url)).unwrap();
        worded.member("elicitationId").unwrap().string().unwrap().into_owned()
    };
    let (one, other) = (minted(()), minted(()));
    assert!(!one.is_empty() && one != other, "{one} {other}");
}

#[test]
fn a_round_is_what_asks_for_input() {
    for plain in [r#"{"content":[]}"#, r#"{"resultType":"complete","inputRequests":{}}"#, "[]"] {
        assert!(Round::of(&json(plain)).unwrap().is_none(), "{plain}");
    }
    let asks = |requests: &str| {
        Round::of(&json(&format!(r#"{{"resultType":"input_required","inputRequests":{requests}}}"#)))
    };
    let round = asks(r#"{"b":{"method":"roots/list"},"a":{"method":"elicitation/create","params":{}}}"#);
    let round = round.unwrap().unwrap();
    let keys: Vec<&str> = round.questions.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["b", "a"]);
    assert!(matches!(asks(r#"{"a":{"method":"tools/call"}}"#), Err(CallError::NotAsked(_))));
    let many: Vec<String> =
        (0..=MAX_QUESTIONS).map(|n| format!(r#""{n}":{{"method":"roots/list"}}"#)).collect();
    assert!(matches!(asks(&format!("{{{}}}", many.join(","))), Err(CallError::Limit(_))));
    let waits = Round::of(&json(r#"{"resultType":"input_required","requestState":"s"}"#)).unwrap().unwrap();
    assert!(waits.questions.is_empty() && waits.state.is_some());
}

//! Descriptors and results, right and wrong.

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

#[test]
fn descriptors_are_read_with_the_defaults_of_the_standard() {
    let plain =
        described(&json(r#"{"name":"a","type":"validation","hook":{"events":["*"],"phase":"both"}}"#))
            .unwrap();
    assert_eq!(
        (plain.mode, plain.fail_open, plain.priority_request, plain.priority_response),
        (Mode::Enforce, false, 0, 0)
    );
    assert!(plain.request && plain.response);
    let full = r#"{"name":"b","version":"1","description":"d\u0007","type":"mutation","hook":{"events":["tools/call"],"phase":"response"},
        "mode":"audit","failOpen":true,"priorityHint":{"response":1000},"compat":{"minProtocol":"2024-11-05"}}"#;
    let full = described(&json(full)).unwrap();
    assert_eq!((full.kind, full.mode, full.fail_open), (Kind::Mutator, Mode::Audit, true));
    assert_eq!((full.priority_request, full.priority_response), (0, 1000));
    assert_eq!((full.request, full.response), (false, true));
    assert_eq!(full.about.description.as_deref(), Some("d\u{fffd}"));
    assert_eq!(full.compat.min.as_deref(), Some("2024-11-05"));
    let both = r#"{"name":"c","type":"mutation","hook":{"events":[],"phase":"request"},"priorityHint":-5}"#;
    let both = described(&json(both)).unwrap();
    assert_eq!((both.priority_request, both.priority_response), (-5, -5));
}

#[test]
fn a_descriptor_that_is_wrong_is_no_descriptor() {
    for (change, words) in [
        (r#""name":"""#, "name"),
        (r#""name":7"#, "name"),
        (r#""name":"a\u0007""#, "name"),
        (r#""type":"filter""#, "type"),
        (r#""hook":{"events":["*"]}"#, "phase"),
        (r#""hook":{"events":"*","phase":"both"}"#, "events"),
        (r#""hook":[]"#, "hook"),
        (r#""mode":"off""#, "mode"),
        (r#""failOpen":"yes""#, "failOpen"),
        (r#""priorityHint":3000000000"#, "priorityHint"),
        (r#""priorityHint":{"request":1.5}"#, "priorityHint"),
        (r#""compat":{"minProtocol":1}"#, "minProtocol"),
    ] {
        let good = json(r#"{"name":"a","type":"validation","hook":{"events":["*"],"phase":"both"}}"#);
        let refused = described(&good.merged(&json(&format!("{{{change}}}"))));
        // A merge patch keeps what it does not name: a hook loses its phase only by being replaced.
        let refused = if change.contains("\"hook\":{\"events\":[\"*\"]}") {
            described(&good.with_member("hook", &json(r#"{"events":["*"]}"#)))
        } else {
            refused
        };
        let error = refused.expect_err(change);
        assert!(error.contains(words), "{change}: {error}");
    }
}

#[track_caller]
fn check(kind: Kind, phase: Phase, result: &str, expected: &str) {
    let sent = Sent::new("tools/call", phase, &json(r#"{"name":"t"}"#), false);
    let shown = match settle(&json(result), "theirs", kind, &sent) {
        Ok(StageAnswer::Findings(findings)) => {
            let shown = findings
                .iter()
                .map(|f| format!("{:?} {} {}", f.severity, f.path.as_deref().unwrap_or("-"), f.message));
            shown.collect::<Vec<_>>().join("; ")
        }
        Ok(StageAnswer::Changed(payload)) => payload.as_str().to_owned(),
        Ok(answer) => format!("{answer:?}"),
        Err(words) => format!("failed: {words}"),
    };
    assert_eq!(shown, expected, "{result}");
}

#[test]
fn only_errors_block_and_an_invalid_message_never_passes_for_want_of_words() {
    let check = |result, expected| check(Kind::Validator, Phase::Request, result, expected);
    check(r#"{"valid":true}"#, "");
    check(r#"{"valid":false}"#, "Error - is not valid");
    check(r#"{"valid":false,"severity":"error"}"#, "Error - is not valid");
    check(r#"{"valid":false,"severity":"warn"}"#, "");
    check(
        r#"{"interceptor":"theirs","type":"validation","phase":"request","durationMs":3,"valid":false,"severity":"error",
            "messages":[{"path":"params.arguments.a","message":"is\n odd","severity":"error"}]}"#,
        "Error /arguments/a is\u{fffd} odd",
    );
    check(
        r#"{"valid":true,"messages":[{"message":"hm","severity":"info"},{"message":"oh","severity":"warn"}]}"#,
        "Info - hm; Warn - oh",
    );
    check(
        r#"{"valid":false,"messages":[{"message":"oh","severity":"warn"}]}"#,
        "Warn - oh; Error - is not valid",
    );
}

#[test]
fn a_result_that_is_not_exactly_right_is_a_failure() {
    let check = |result, expected| check(Kind::Validator, Phase::Request, result, expected);
    check("{}", "failed: its result has no `valid` that is true or false");
    check(r#"{"valid":"yes"}"#, "failed: its result has no `valid` that is true or false");
    check(r#"{"valid":true,"severity":"error"}"#, "failed: it says valid and names an error");
    check(
        r#"{"valid":true,"messages":[{"message":"x","severity":"error"}]}"#,
        "failed: it says valid and names an error",
    );
    check(r#"{"valid":true,"severity":"bad"}"#, "failed: its result has a `severity` that is none");
    check(r#"{"valid":true,"messages":{}}"#, "failed: its `messages` are no list");
    check(r#"{"valid":true,"messages":[{"severity":"info"}]}"#, "failed: a message of its has no `message`");
    check(r#"{"valid":true,"messages":[{"message":"x"}]}"#, "failed: a message of its has no `severity`");
    check(r#"{"valid":true,"interceptor":"other"}"#, "failed: its result is of another `interceptor`");
    check(r#"{"valid":true,"type":"mutation"}"#, "failed: its result is of another `type`");
    check(r#"{"valid":true,"phase":"response"}"#, "failed: its result is of another `phase`");
}

#[test]
fn mutations_come_back_as_they_were_sent() {
    let request = |result, expected| check(Kind::Mutator, Phase::Request, result, expected);
    request(r#"{"modified":false,"payload":{}}"#, "Unchanged");
    request(r#"{"modified":false}"#, "Unchanged");
    request(
        r#"{"modified":true,"payload":{"method":"tools/call","params":{"name":"t","a":1}}}"#,
        r#"{"name":"t","a":1}"#,
    );
    request(r#"{"modified":true}"#, "failed: its result has no `payload`");
    request(
        r#"{"modified":true,"payload":{"name":"t"}}"#,
        "failed: its payload is of another kind than what it was shown",
    );
    request(
        r#"{"modified":true,"payload":{"method":"tools/list","params":{}}}"#,
        "failed: its payload.method: is not `tools/call`, the event",
    );
    request(r#"{"modified":1}"#, "failed: its result has no `modified` that is true or false");
    let response = |result, expected| check(Kind::Mutator, Phase::Response, result, expected);
    response(r#"{"modified":true,"payload":{"content":[]}}"#, r#"{"content":[]}"#);
    response(r#"{"modified":true,"payload":[]}"#, "failed: its payload: must be an object");
}

#[test]
fn errors_are_failures_but_for_an_answer_in_the_server_s_place() {
    let answer = json(r#"{"code":-32603,"message":"m","data":{"reason":"r","answer":{"content":[]}}}"#);
    let said = |kind, phase| error(&answer, kind, phase);
    assert!(matches!(said(Kind::Mutator, Phase::Request), Ok(StageAnswer::Answer(_))));
    assert_eq!(said(Kind::Validator, Phase::Request).unwrap_err().to_string(), "failed: answered `m: r`");
    assert!(said(Kind::Mutator, Phase::Response).is_err());
    let late = json(r#"{"code":-32000,"message":"m"}"#);
    assert!(matches!(error(&late, Kind::Mutator, Phase::Request), Err(StageError::Exceeded(_))));
}

//! The plugin on whole messages: what is redacted where, by direction and configuration.

use wasmgate_plugin::{Phase, harness};

use super::*;

fn plugin(config: &str) -> PiiRedactor {
    PiiRedactor::configure(Config::new(config)).unwrap()
}

#[track_caller]
fn check(config: &str, event: &str, phase: Phase, payload: &str, expected: &str) {
    let (_, after) = harness::mutate(&plugin(config), event, phase, payload).unwrap();
    assert_eq!(after, expected, "{config}");
}

#[test]
fn personal_data_is_replaced_in_both_directions() {
    check(
        "{}",
        "tools/call",
        Phase::Request,
        r#"{"name":"jan@example.org","arguments":{"to":["jan@example.org"],"n":4111111111111111}}"#,
        r#"{"name":"jan@example.org","arguments":{"to":["[email]"],"n":4111111111111111}}"#,
    );
    check(
        "{}",
        "tools/call",
        Phase::Response,
        r#"{"content":[{"type":"text","text":"Card 4111 1111 1111 1111, call +49 30 1234567"}],"structuredContent":{"iban":"DE89370400440532013000","ip":"192.0.2.1"}}"#,
        r#"{"content":[{"type":"text","text":"Card [card], call [phone]"}],"structuredContent":{"iban":"[iban]","ip":"192.0.2.1"}}"#,
    );
    check(
        "{}",
        "tools/call",
        Phase::Response,
        r#"{"code":1,"message":"no user a@example.org"}"#,
        r#"{"code":1,"message":"no user [email]"}"#,
    );
    check(
        "{}",
        "sampling/createMessage",
        Phase::Request,
        r#"{"messages":[{"role":"user","content":{"type":"text","text":"a@example.org"}}]}"#,
        r#"{"messages":[{"role":"user","content":{"type":"text","text":"[email]"}}]}"#,
    );
}

#[test]
fn a_pseudonym_is_the_same_for_the_same_value() {
    check(
        r#"{"style":"pseudonym"}"#,
        "tools/call",
        Phase::Response,
        r#"{"content":[{"text":"a@example.org b@example.org A@EXAMPLE.ORG"},{"text":"b@example.org 415-555-0123 415.555.0123"}]}"#,
        r#"{"content":[{"text":"[email-1] [email-2] [email-1]"},{"text":"[email-2] [phone-1] [phone-1]"}]}"#,
    );
}

#[test]
fn each_direction_has_its_own_action() {
    let wanted = |config: &str| -> Vec<String> {
        let hooks = plugin(config).hooks().unwrap();
        let phase = |hook: &Hook| if hook.request { "request" } else { "response" };
        hooks.iter().map(|hook| format!("{:?} {} {}", hook.role, hook.events[0], phase(hook))).collect()
    };
    assert_eq!(
        wanted(r#"{"request":"deny","response":"off"}"#),
        ["Validate tools/call request", "Validate sampling/createMessage response"]
    );
    let declared = PiiRedactor::describe().hooks;
    for config in ["{}", r#"{"request":"deny"}"#, r#"{"response":"deny"}"#] {
        assert!(plugin(config).hooks().unwrap().iter().all(|hook| declared.contains(hook)), "{config}");
    }
    let payload = r#"{"arguments":{"q":"a@example.org"}}"#;
    check(r#"{"request":"off"}"#, "tools/call", Phase::Request, payload, payload);
}

#[test]
fn a_denial_says_where_and_not_what() {
    let plugin = plugin(r#"{"request":"deny"}"#);
    let found = |payload: &str| -> Vec<String> {
        let found = harness::validate(&plugin, "tools/call", Phase::Request, payload).unwrap();
        found.into_iter().map(|f| format!("{} {}", f.path.unwrap_or_default(), f.message)).collect()
    };
    assert_eq!(
        found(r#"{"arguments":{"a":"ok","b":["x a@example.org"],"c@example.org":"123-45-6789"}}"#),
        ["/arguments/b/0 the text contains personal data (email)", " the text contains personal data (ssn)"]
    );
    assert_eq!(found(r#"{"arguments":{"a":"ok"}}"#), [""; 0]);
    let many = vec![r#""a@example.org""#; 100].join(",");
    assert_eq!(found(&format!(r#"{{"arguments":[{many}]}}"#)).len(), MAX_FINDINGS);
}

#[test]
fn fields_are_chosen_by_pointer() {
    let payload = r#"{"structuredContent":{"to":"a@example.org","rows":[{"mail":"b@example.org"}]}}"#;
    check(
        r#"{"include":["/structuredContent/rows/*/mail"]}"#,
        "tools/call",
        Phase::Response,
        payload,
        r#"{"structuredContent":{"to":"a@example.org","rows":[{"mail":"[email]"}]}}"#,
    );
    check(
        r#"{"exclude":["/**/mail"]}"#,
        "tools/call",
        Phase::Response,
        payload,
        r#"{"structuredContent":{"to":"[email]","rows":[{"mail":"b@example.org"}]}}"#,
    );
}

#[test]
fn operators_add_patterns_and_choose_kinds() {
    check(
        r#"{"detect":["ip"],"custom":[{"name":"badge","pattern":"B-####"},{"name":"project","literal":"Falcon"}]}"#,
        "tools/call",
        Phase::Response,
        r#"{"content":[{"text":"b-1234 of falcon at 192.0.2.1, a@example.org"}]}"#,
        r#"{"content":[{"text":"[badge] of [project] at [ip], a@example.org"}]}"#,
    );
}

#[test]
fn what_was_redacted_is_not_redacted_again() {
    let payload = r#"{"content":[{"text":"a@example.org +49 30 1234567 123-45-6789"}]}"#;
    let (_, once) = harness::mutate(&plugin("{}"), "tools/call", Phase::Response, payload).unwrap();
    let (outcome, _) = harness::mutate(&plugin("{}"), "tools/call", Phase::Response, &once).unwrap();
    assert_eq!(outcome, Outcome::Unchanged);
}

#[test]
fn addresses_and_binary_data_are_left() {
    let payload = r#"{"contents":[{"uri":"mail:a@example.org","blob":"a@example.org"}]}"#;
    check("{}", "resources/read", Phase::Response, payload, payload);
}

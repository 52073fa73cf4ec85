//! The plugin on whole messages: where it looks, and what each mode makes of what it finds.

use wasmgate_plugin::harness::{self, Exchange};

use super::*;

fn plugin(config: &str) -> InvisibleText {
    InvisibleText::configure(Config::new(config)).unwrap()
}

/// What becomes of a message: the payload as it goes on.
#[track_caller]
fn check(event: &str, phase: Phase, payload: &str, expected: &str) {
    let (outcome, after) = harness::mutate(&plugin("{}"), event, phase, payload).unwrap();
    assert_eq!(after, expected, "{event}");
    assert_eq!(outcome == Outcome::Changed, payload != expected, "{event}");
}

#[test]
fn descriptions_and_results_lose_what_is_hidden() {
    use Phase::{Request, Response};
    for (event, phase, payload) in [
        (
            "tools/list",
            Response,
            r#"{"tools":[{"name":"a","description":"Adds@.","inputSchema":{"properties":{"x":{"title":"@X","enum":["@"]}}}}]}"#,
        ),
        ("prompts/list", Response, r#"{"prompts":[{"name":"a","arguments":[{"description":"@"}]}]}"#),
        ("initialize", Response, r#"{"instructions":"Use@","serverInfo":{"title":"T@"}}"#),
        ("server/discover", Response, r#"{"instructions":"@"}"#),
        (
            "tools/call",
            Response,
            r#"{"content":[{"type":"text","text":"@ok"}],"structuredContent":{"rows":[["@"]]}}"#,
        ),
        ("tools/call", Response, r#"{"code":-32000,"message":"failed@","data":{"why":"@"}}"#),
        ("resources/read", Response, r#"{"contents":[{"uri":"a:b","text":"@"}]}"#),
        (
            "sampling/createMessage",
            Request,
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"@"}}]}"#,
        ),
        ("notifications/message", Request, r#"{"level":"info","data":"@"}"#),
        ("tools/call", Request, r#"{"name":"a","arguments":{"q":"@"}}"#),
    ] {
        let hidden = payload.replace('@', "\u{e0069}\u{e0067}\u{202e}\u{200b}");
        check(event, phase, &hidden, &payload.replace('@', ""));
        let escaped = payload.replace('@', r"\udb40\udc69\u202e");
        check(event, phase, &escaped, &payload.replace('@', ""));
    }
}

#[test]
fn what_is_called_by_keeps_its_name() {
    for (event, payload) in [
        ("tools/list", "{\"tools\":[{\"name\":\"a\u{200b}\"}]}"),
        ("resources/list", "{\"resources\":[{\"uri\":\"a:\u{200b}\"}]}"),
        ("tools/call", "{\"content\":[{\"text\":\"\u{1f468}\u{200d}\u{1f469} \u{e4}\"}]}"),
        ("tools/call", "{\"content\":[],\"a\u{200b}\":1}"),
    ] {
        check(event, Phase::Response, payload, payload);
    }
    check(
        "tools/call",
        Phase::Request,
        "{\"name\":\"\u{200b}\",\"arguments\":{}}",
        "{\"name\":\"\u{200b}\",\"arguments\":{}}",
    );
}

#[test]
fn hidden_characters_can_be_made_visible() {
    let payload = "{\"content\":[{\"text\":\"a\u{202e}b\"}]}";
    let (_, after) =
        harness::mutate(&plugin(r#"{"mode":"escape"}"#), "tools/call", Phase::Response, payload).unwrap();
    assert_eq!(after, r#"{"content":[{"text":"a\\u{202e}b"}]}"#);
}

#[test]
fn hidden_characters_can_be_refused() {
    let found = |config: &str, payload: &str| -> Vec<String> {
        let found = harness::validate(&plugin(config), "tools/call", Phase::Response, payload).unwrap();
        found.into_iter().map(|f| format!("{} {}", f.path.unwrap_or_default(), f.message)).collect()
    };
    let refuse = r#"{"mode":"refuse"}"#;
    let payload = "{\"content\":[{\"text\":\"a\u{202e}b\"},{\"text\":\"fine \u{2764}\u{fe0f}\"}]}";
    assert_eq!(
        found(refuse, payload),
        ["/content/0/text the text contains a character that is not seen (U+202E)"]
    );
    let named = "{\"structuredContent\":{\"a\u{200b}\":\"\u{202e}\"}}";
    assert_eq!(
        found(refuse, named),
        [
            " a member name contains characters that are not seen",
            "/structuredContent/a\\u{200b} the text contains a character that is not seen (U+202E)"
        ]
    );
    assert_eq!(found(r#"{"memberNames":"refuse"}"#, named).len(), 1);
    assert_eq!(found(r#"{"memberNames":"refuse"}"#, payload), [""; 0]);
    let many = format!("[{}]", vec!["\"\u{202e}\""; 100].join(","));
    assert_eq!(found(refuse, &many).len(), MAX_FINDINGS);
}

#[test]
fn items_that_cannot_be_cured_are_hidden() {
    let items = [
        ("s", r#"{"name":"fine","description":"a description\u200b"}"#),
        ("s", "{\"name\":\"re\u{200b}ad\"}"),
        ("s", r#"{"name":"c","inputSchema":{"properties":{"x\u2063":{}}}}"#),
        ("s", "{\"name\":\"d\",\"description\":\"\u{e4}\"}"),
    ];
    let hidden = |config: &str| -> Vec<usize> {
        let changes = harness::filter(&plugin(config), "tools/list", &items).unwrap();
        changes.into_iter().map(|(at, _)| at).collect()
    };
    assert_eq!(hidden("{}"), [1, 2]);
    assert_eq!(hidden(r#"{"mode":"refuse"}"#), [0, 1, 2]);
    let logged = harness::take_log();
    assert!(logged.iter().any(|(_, _, fields)| fields.iter().any(|(_, value)| value == "re\\u{200b}ad")));
}

#[test]
fn a_member_name_is_flagged_and_not_repeated() {
    let exchange = Exchange::new("tools/call");
    exchange.mutate(&plugin("{}"), Phase::Response, "{\"secret\u{200b}\":1}").unwrap();
    let logged = harness::take_log();
    assert_eq!(logged.len(), 1);
    assert!(!format!("{logged:?}").contains("secret"));
}

#[test]
fn it_wants_to_see_only_what_it_is_configured_for() {
    let wanted = |config: &str| -> Vec<String> {
        let hooks = plugin(config).hooks().unwrap();
        let phase = |hook: &Hook| if hook.request { "request" } else { "response" };
        hooks.iter().map(|hook| format!("{:?} {} {}", hook.role, hook.events[0], phase(hook))).collect()
    };
    assert_eq!(
        wanted("{}"),
        [
            "Filter tools/list response",
            "Mutate initialize response",
            "Mutate tools/list response",
            "Mutate tools/call response",
            "Mutate sampling/createMessage request",
            "Mutate notifications/message request"
        ]
    );
    assert_eq!(
        wanted(r#"{"mode":"refuse","descriptions":false,"arguments":true}"#),
        [
            "Validate tools/call response",
            "Validate sampling/createMessage request",
            "Validate notifications/message request",
            "Validate tools/call request",
            "Validate sampling/createMessage response"
        ]
    );
    assert_eq!(wanted(r#"{"descriptions":false,"results":false}"#), [""; 0]);
}

#[test]
fn the_descriptor_asks_for_all_that_any_configuration_does() {
    let declared = InvisibleText::describe().hooks;
    for mode in ["remove", "escape", "refuse"] {
        let config = format!(r#"{{"mode":"{mode}","arguments":true,"memberNames":"refuse"}}"#);
        assert!(plugin(&config).hooks().unwrap().iter().all(|hook| declared.contains(hook)), "{mode}");
    }
}

#[test]
fn the_schema_is_json_and_names_every_setting() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let defaults: serde_json::Map<_, _> = schema["properties"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, property)| (name.clone(), property["default"].clone()))
        .collect();
    let spelt_out: Settings = serde_json::from_value(defaults.into()).unwrap();
    assert_eq!(spelt_out, Settings::default());
    assert!(InvisibleText::configure(Config::new(r#"{"mode":"hide"}"#)).is_err());
    assert!(InvisibleText::configure(Config::new(r#"{"modes":"remove"}"#)).is_err());
}

#[test]
fn an_endless_sequence_is_read_once() {
    // Quadratic would be minutes.
    let text = "\u{1b}]x\u{202e}\u{200d}\u{fe0f}".repeat(20_000);
    let payload = serde_json::json!({"content": [{"text": text}]}).to_string();
    let (outcome, _) = harness::mutate(&plugin("{}"), "tools/call", Phase::Response, &payload).unwrap();
    assert_eq!(outcome, Outcome::Changed);
}

//! Results that flow against the same results whole.

use super::*;
use crate::front::{legacy, modern};
use crate::gateway::HELD;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

/// A result as it comes from its server.
fn pieces(result: &Json) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (name, value) in result.members().unwrap() {
        let head = Bytes::from(format!("\"{name}\":"));
        match HELD.into_iter().find(|held| *held == name) {
            Some(name) => pieces.push(Piece::Held { head, value, tail: Bytes::new(), name }),
            None => {
                let first = value.bytes()[0];
                pieces.push(Piece::Begins { name: name.into(), head, first });
                pieces.extend(value.bytes().chunks(3).map(|part| Piece::More(Bytes::copy_from_slice(part))));
            }
        }
    }
    pieces
}

/// The message that a client gets, whose server is of the present version or not.
fn worded(wire: Wire, method: &str, result: &Json, is_known_complete: bool) -> Result<Json, CallError> {
    let mut wording = Wording::new(wire, method.into(), is_known_complete);
    let mut out = VecDeque::from([envelope(&Id::number(7))]);
    for piece in pieces(result) {
        wording.word(piece, &mut out)?;
    }
    wording.end(&mut out);
    Ok(Json::parse(out.into_iter().collect::<Vec<_>>().concat()).expect("a message"))
}

/// Members in an order that is always the same.
fn sorted(message: &Json) -> Vec<(String, Json)> {
    assert_eq!(message.member("id"), Some(json("7")), "{message:?}");
    let mut members = message.member("result").and_then(|result| result.members()).unwrap();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    members
}

const RESULTS: [&str; 12] = [
    "{}",
    r#"{"content":[]}"#,
    r#"{"resultType":"complete","content":[]}"#,
    r#"{"content":[{"type":"text","text":"x"}],"resultType":"complete"}"#,
    r#"{"ttlMs":5,"content":[],"cacheScope":"private","resultType":"complete"}"#,
    r#"{"resultType":"complete","ttlMs":5,"cacheScope":"public","content":[],"x":null}"#,
    r#"{"content":[],"_meta":{"a":1},"isError":true,"resultType":"complete"}"#,
    r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"}},"contents":[{}]}"#,
    r#"{"_meta":7,"isError":false,"contents":[{}]}"#,
    r#"{"resultType":"complete","structuredContent":[1,2],"content":[],"y":1}"#,
    r#"{"resultType":"complete","content":[],"structuredContent":{"a":1}}"#,
    r#"{"resultType":"complete","structuredContent":"text"}"#,
];

#[test]
fn modern_clients_get_what_they_would_have_got() {
    for result in RESULTS {
        for method in ["tools/call", "resources/read", "prompts/get"] {
            let result = json(result);
            let whole = modern::write_result(&Id::number(7), method, &result);
            for is_known in [true, false] {
                let flowed = worded(Wire::Modern, method, &result, is_known).unwrap();
                assert_eq!(sorted(&flowed), sorted(&Json::parse(whole.clone()).unwrap()), "{result:?}");
            }
        }
    }
}

#[test]
fn legacy_clients_get_what_they_would_have_got() {
    for text in RESULTS {
        let result = json(text);
        let whole = write_result(&Id::number(7), &legacy::result("tools/call", &result));
        let whole = sorted(&Json::parse(whole).unwrap());
        assert_eq!(sorted(&worded(Wire::Legacy, "tools/call", &result, false).unwrap()), whole, "{text}");
        // Servers that say what their results are: those here that do.
        if text.contains("resultType") {
            assert_eq!(sorted(&worded(Wire::Legacy, "tools/call", &result, true).unwrap()), whole, "{text}");
        }
    }
}

#[test]
fn hints_without_a_type_mean_something_else_and_stay() {
    let result = json(r#"{"ttlMs":5,"content":[],"cacheScope":"x","structuredContent":[1]}"#);
    let flowed = worded(Wire::Legacy, "tools/call", &result, false).unwrap();
    let whole = write_result(&Id::number(7), &legacy::result("tools/call", &result));
    assert_eq!(sorted(&flowed), sorted(&Json::parse(whole).unwrap()));
}

#[test]
fn nobody_is_asked_in_the_middle_of_a_result() {
    let asks = json(r#"{"content":[],"resultType":"input_required"}"#);
    assert!(matches!(worded(Wire::Legacy, "tools/call", &asks, false), Err(CallError::NotAsked(_))));
}

#[test]
fn what_is_not_changed_keeps_every_byte() {
    let result = json(r#"{"content":[1.0,"\u00e4"],"isError":false,"x":{"y" : 1}}"#);
    let flowed = worded(Wire::Legacy, "tools/call", &result, false).unwrap();
    assert_eq!(flowed.bytes(), &Bytes::from(write_result(&Id::number(7), &result)));
}

#[test]
fn a_message_is_one_line() {
    let check = |text: &'static str, expected: &str| {
        assert_eq!(on_one_line(Bytes::from_static(text.as_bytes())), expected);
    };
    check("[1,\r\n 2]\n", "[1,   2] ");
    check(r#""a\n""#, r#""a\n""#);
}

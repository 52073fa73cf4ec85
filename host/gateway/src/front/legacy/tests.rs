//! Version negotiation, and what legacy clients are spared.

use super::super::session::tests::session;
use super::*;
use crate::gateway::Revisions;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

#[test]
fn the_version_is_the_clients_when_we_know_it_and_our_newest_otherwise() {
    for (wanted, expected) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("", "2025-11-25"),
    ] {
        let params = json(&format!(r#"{{"protocolVersion":"{wanted}"}}"#));
        assert_eq!(agree(Some(&params)).unwrap().version, expected, "{wanted}");
    }
    for bad in [None, Some(json("{}")), Some(json(r#"{"protocolVersion":1}"#))] {
        assert!(matches!(agree(bad.as_ref()), Err(Refusal::Params(_))), "{bad:?}");
    }
}

#[test]
fn servers_are_promised_what_the_client_can_be_asked_where_it_can() {
    let params = json(
        r#"{"protocolVersion":"2025-11-25","clientInfo":{"name":"c","version":"1"},"capabilities":{"roots":{"listChanged":true},"sampling":{"tools":{}},"elicitation":{},"tasks":{},"experimental":{"x":1}}}"#,
    );
    let agreed = agree(Some(&params)).unwrap();
    assert_eq!(
        agreed.client.capabilities.as_str(),
        r#"{"roots":{},"sampling":{"tools":{}},"elicitation":{},"experimental":{"x":1}}"#
    );
    assert_eq!(agreed.client.info.as_ref().unwrap().as_str(), r#"{"name":"c","version":"1"}"#);
    let silent = silent(agreed.client);
    assert_eq!(silent.capabilities.as_str(), r#"{"experimental":{"x":1}}"#);
    assert!(silent.info.is_some());
}

#[test]
fn a_client_that_says_much_of_itself_is_kept_in_short() {
    let much = "x".repeat(MAX_SELF);
    let params = json(&format!(
        r#"{{"protocolVersion":"2025-11-25","clientInfo":{{"name":"c","version":"1","icons":"{much}"}},"capabilities":{{"sampling":{{}},"experimental":{{"x":"{much}"}}}}}}"#
    ));
    let client = agree(Some(&params)).unwrap().client;
    assert_eq!(client.capabilities.as_str(), r#"{"sampling":{}}"#);
    assert_eq!(client.info.as_ref().unwrap().as_str(), r#"{"name":"c","version":"1"}"#);
    let named = json(&format!(r#"{{"protocolVersion":"2025-11-25","clientInfo":{{"name":"{much}"}}}}"#));
    assert!(agree(Some(&named)).unwrap().client.info.is_none());
}

#[test]
fn results_lose_what_2026_added_and_nothing_else() {
    let result = |theirs: &str| result(method::TOOLS_CALL, &json(theirs)).as_str().to_owned();
    let stays = |theirs: &str| assert_eq!(result(theirs), theirs);
    stays(r#"{"content":[ 1.0 ]}"#);
    stays(r#"{"a":{"resultType":"complete"}}"#);
    // A server of an older version wrote these, and means something else by them.
    stays(r#"{"contents":[],"ttlMs":5,"cacheScope":"x"}"#);
    stays(r#"{"resultType":"table","ttlMs":5}"#);
    let modern = r#"{"resultType":"complete","content":[],"ttlMs":0,"cacheScope":"public","_meta":{"x":1}}"#;
    assert_eq!(result(modern), r#"{"content":[],"_meta":{"x":1}}"#);
}

#[test]
fn what_is_no_object_is_not_structured_to_older_clients() {
    let content = |structured: &str, kind: &str| {
        let theirs = format!(r#"{{{kind}"content":[],"structuredContent":{structured}}}"#);
        result(method::TOOLS_CALL, &json(&theirs)).member("structuredContent").is_some()
    };
    let modern = r#""resultType":"complete","#;
    assert!(content(r#"{"x":1}"#, modern));
    for other in ["[1]", "null", "3", r#""x""#] {
        assert!(!content(other, modern), "{other}");
        assert!(content(other, ""), "an older server's own doing: {other}");
    }
    let tools = |schema: &str| {
        let list = format!(
            r#"{{"tools":[{{"name":"a", "outputSchema":{schema}}},{{"name":"b"}}],"nextCursor":"c"}}"#
        );
        result(method::TOOLS_LIST, &json(&list)).as_str().to_owned()
    };
    let without = r#"{"tools":[{"name":"a"},{"name":"b"}],"nextCursor":"c"}"#;
    for other in [r#"{"type":"array"}"#, r##"{"$ref":"#/$defs/x"}"##, r#"{"type":["object","null"]}"#, "true"]
    {
        assert_eq!(tools(other), without, "{other}");
    }
    assert!(tools(r#"{"type":"object"}"#).contains(r#""name":"a", "outputSchema":{"type":"object"}"#));
}

#[test]
fn levels_are_the_eight_words() {
    for word in LOG_LEVELS {
        assert_eq!(level(Some(&json(&format!(r#"{{"level":"{word}"}}"#)))).unwrap(), word);
    }
    for bad in [r#"{"level":"loud"}"#, r#"{"level":3}"#, "{}", r#"{"level":"INFO"}"#] {
        assert!(level(Some(&json(bad))).is_err(), "{bad}");
    }
    assert!(level(None).is_err());
}

#[test]
fn a_cancellation_names_a_request_by_its_id() {
    let session = session();
    let agreed = agree(Some(&json(r#"{"protocolVersion":"2025-11-25"}"#))).unwrap();
    session.agree(agreed, Revisions::default()).unwrap();
    let id = Id::of(&json(r#""call""#)).unwrap();
    let (_, mut in_flight) = session.begin(&id, 9).unwrap();
    let is_cancelled =
        |in_flight: &mut InFlight| futures_util::FutureExt::now_or_never(in_flight.cancelled()).is_some();
    for other in [None, Some("{}"), Some(r#"{"requestId":"other"}"#), Some(r#"{"requestId":null}"#)] {
        cancel(&session, other.map(json).as_ref());
    }
    assert!(!is_cancelled(&mut in_flight));
    cancel(&session, Some(&json(r#"{"requestId":"call","reason":"tired"}"#)));
    assert!(is_cancelled(&mut in_flight));
}

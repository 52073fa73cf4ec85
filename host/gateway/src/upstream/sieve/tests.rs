//! Responses that come in pieces: what of them comes out, and which are none.

use proptest::prelude::*;

use super::*;
use crate::upstream::Whole;

const LIMITS: (usize, usize) = (1 << 10, 1 << 20);

/// The result of a response that begins with `start` and goes on with `rest`, in pieces of `size` bytes.
fn passed(start: &str, rest: &[u8], size: usize) -> Result<String, String> {
    let start = Bytes::copy_from_slice(start.as_bytes());
    let mut sieve = Sieve::begin(&start, 7, LIMITS).ok_or("held")?;
    let mut whole = Whole::default();
    for piece in rest.chunks(size) {
        sieve.push(&Bytes::copy_from_slice(piece)).map_err(|fault| fault.to_string())?;
        while let Some(piece) = sieve.next() {
            assert!(whole.push(piece, usize::MAX));
        }
    }
    while let Some(piece) = sieve.next() {
        assert!(whole.push(piece, usize::MAX));
    }
    sieve.finish().map_err(|fault| fault.to_string())?;
    Ok(whole.finish().ok_or("no object")?.as_str().to_owned())
}

/// The start of every response here: its result has begun.
const START: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"#;

#[track_caller]
fn check(result: &str) {
    let rest = format!("{}}}", &result[1..]);
    for size in 1..=rest.len() {
        assert_eq!(passed(START, rest.as_bytes(), size).as_deref(), Ok(result), "pieces of {size} bytes");
    }
}

#[test]
fn a_result_comes_out_as_it_was_written() {
    check("{}");
    check("{ \n }");
    check(r#"{"content":[{"type":"text","text":"a \"b\" \u00e4 ä"}]}"#);
    check(r#"{ "a" : 1.0 , "b":{"c":[1,{"resultType":7}]} , "d" : null }"#);
    check(r#"{"resultType":"complete","content":[],"_meta":{"a":[1]} ,"isError" : true }"#);
    check(r#"{"cacheScope":"private","ttlMs":5,"content":[] }"#);
    check(r#"{"\u0072esultType":"complete","x":{}}"#);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_result_comes_out_as_it_was_written(
        names in prop::collection::btree_set("[a-z]{1,3}|resultType|_meta|isError", 0..6),
        value in prop_oneof![Just("1"), Just("\"x\""), Just("{\"y\":[{}]}"), Just("[ ]"), Just("\"complete\"")],
        space in prop_oneof![Just(""), Just(" "), Just("\n\t")],
        size in 1..40_usize,
    ) {
        let members: Vec<_> = names.iter().map(|name| format!("{space}\"{name}\":{space}{value}{space}")).collect();
        let result = format!("{{{}}}", members.join(","));
        let rest = format!("{}{space}}}{space}", &result[1..]);
        prop_assert_eq!(passed(START, rest.as_bytes(), size), Ok(result));
    }
}

#[test]
fn the_envelope_may_come_in_any_order() {
    let rest = br#""a":1} , "other":{"b":[2]} , "id": 7 , "jsonrpc":"2.0" } "#;
    for size in 1..rest.len() {
        assert_eq!(passed(r#" { "x":{"y":1} ,"result":{"#, rest, size).as_deref(), Ok(r#"{"a":1}"#));
    }
}

#[test]
fn what_is_no_certain_result_is_held() {
    for start in [
        "",
        "[",
        r#"{"jsonrpc":"2.0","id":7,"#,
        r#"{"jsonrpc":"2.0","id":8,"result":{"#,
        r#"{"jsonrpc":"2.0","id":"7","result":{"#,
        r#"{"jsonrpc":"1.0","id":7,"result":{"#,
        r#"{"jsonrpc":"2.0","id":7,"result":["#,
        r#"{"jsonrpc":"2.0","id":7,"result":"x"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"a":1,"a":2"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{a"#,
    ] {
        assert_eq!(passed(start, b"", 1).unwrap_err(), "held", "{start}");
    }
    assert_eq!(passed(&format!("\u{feff}{START}"), b"}}", 1).as_deref(), Ok("{}"));
}

#[test]
fn what_turns_out_to_be_no_result_is_refused() {
    let check = |rest: &str, expected: &str| {
        for size in [1, 7, rest.len()] {
            let refused = passed(START, rest.as_bytes(), size).unwrap_err();
            assert!(refused.contains(expected), "{rest}: {refused}");
        }
    };
    check(r#""a":1"#, "unexpected end");
    check(r#""a":1}"#, "unexpected end");
    check(r#""a":1,}}"#, "expected a member name");
    check(r#""a":1}},"#, "text after the value");
    check(r#""a":1},"error":{}}"#, "more than one of");
    check(r#""a":1},"method":"x"}"#, "more than one of");
    check(r#""a":1},"id":8}"#, "duplicate member");
    check(r#""a":1},"result":{}}"#, "duplicate member");
    check(r#""a":1,"a":1}}"#, "duplicate member");
    check(r#""a":"\ud800"}}"#, "lone surrogate");
    let late = |rest: &str| passed(r#"{"result":{"#, rest.as_bytes(), 3).unwrap_err();
    assert!(late(r#"},"jsonrpc":"2.0"}"#).contains("`id`"));
    assert!(late(r#"},"id":7}"#).contains("`jsonrpc`"));
    assert!(late(r#"},"id":8,"jsonrpc":"2.0"}"#).contains("another request"));
    assert!(late(r#"},"id":7,"jsonrpc":"2"}"#).contains("`jsonrpc`"));
}

#[test]
fn what_is_held_and_what_flows_have_their_limits() {
    let flows = format!(r#""a":"{}"}}}}"#, "x".repeat(LIMITS.0 * 3));
    assert!(passed(START, flows.as_bytes(), 100).is_ok());
    let held = format!(r#""_meta":{{"a":"{}"}}}}}}"#, "x".repeat(LIMITS.0));
    assert!(passed(START, held.as_bytes(), 100).unwrap_err().contains("larger than 1024 bytes"));
    let long = format!(r#""a":"{}"}}}}"#, "x".repeat(LIMITS.1));
    assert!(passed(START, long.as_bytes(), 1000).unwrap_err().contains("larger than 1048576 bytes"));
    let space = " ".repeat(SHORT + 1);
    assert!(passed(START, space.as_bytes(), 1000).unwrap_err().contains("larger than"));
}

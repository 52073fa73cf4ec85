//! What `jsonrpc` accepts and refuses, rule by rule.

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(summary(&read(text.as_bytes().to_vec().into())), expected, "{text}");
}

fn summary(read: &Result<Message, ReadError>) -> String {
    let text = |id: &Option<Id>| id.as_ref().map_or("-".to_owned(), Id::to_string);
    let json =
        |value: &Option<Json>| value.as_ref().map_or("-".to_owned(), |value| value.as_str().to_owned());
    match read {
        Ok(Message::Request { id, method, params }) => format!("request {id} {method} {}", json(params)),
        Ok(Message::Notification { method, params }) => format!("notification {method} {}", json(params)),
        Ok(Message::Response { id, outcome: Ok(result) }) => {
            format!("result {} {}", text(id), result.as_str())
        }
        Ok(Message::Response { id, outcome: Err(error) }) => format!("error {} {}", text(id), error.as_str()),
        Err(error) => format!("{} {} {}", error.code, text(&error.id), error.detail),
    }
}

#[test]
fn messages_are_told_apart() {
    check(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1 ping -");
    check(
        r#"{"method":"a\/b","params":{ },"id":"x\u0041","jsonrpc":"\u0032.0"}"#,
        r#"request "x\u0041" a/b { }"#,
    );
    check(r#"{"\u006aso\u006erpc":"2.0","\u0069d":-3,"method":"m"}"#, "request -3 m -");
    check(r#"{"jsonrpc":"2.0","method":"m","params":{"id":1}}"#, r#"notification m {"id":1}"#);
    check(r#"{"jsonrpc":"2.0","id":7,"result":{"result":1}}"#, r#"result 7 {"result":1}"#);
    check(r#"{"jsonrpc":"2.0","id":7,"result":null}"#, "result 7 null");
    check(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1}}"#, r#"error 7 {"code":-1}"#);
    check(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, "error - {}");
    check(r#"{"jsonrpc":"2.0","error":{}}"#, "error - {}");
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","extra":[1],"Method":2,"ID":3}"#, "request 1 m -");
}

#[test]
fn ids_are_strings_or_integers_of_64_bits() {
    let with = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
    for fine in ["0", "-0", "9223372036854775807", "-9223372036854775808", r#""""#, r#""1.5""#] {
        check(&with(fine), &format!("request {fine} m -"));
    }
    let wrong = "-32600 - `id` must be a string or an integer of 64 bits";
    for id in ["1.0", "1e3", "9223372036854775808", "-9223372036854775809", "{}", "[]", "true", "1E0", "-1.5"]
    {
        check(&with(id), wrong);
        check(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#), wrong);
        check(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{}}}}"#), wrong);
    }
    check(&with("null"), "-32600 - `id` must not be null");
}

#[test]
fn what_is_not_json_is_a_parse_error_without_id() {
    for text in [
        "",
        "{",
        "nope",
        r#"{"jsonrpc":"2.0","id":1,"method":"m"}}"#,
        "\u{feff}{}",
        r#"{"id":1,}"#,
        "{'id':1}",
    ] {
        let error = read(text.as_bytes().to_vec().into()).unwrap_err();
        assert_eq!((error.code, error.id), (PARSE_ERROR, None), "{text}");
    }
    let error = read(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".as_slice().into()).unwrap_err();
    assert_eq!((error.code, error.detail.as_str()), (PARSE_ERROR, "invalid UTF-8 at byte 34"));
}

#[test]
fn what_is_json_but_no_message_is_an_invalid_request() {
    check("7", "-32600 - a message is an object");
    check("[]", "-32600 - a batch is not allowed here: send one message");
    check(
        r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#,
        "-32600 - a batch is not allowed here: send one message",
    );
    check(r#"{"id":1,"method":"m"}"#, "-32600 1 `jsonrpc` must be \"2.0\"");
    check(r#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, "-32600 1 `jsonrpc` must be \"2.0\"");
    check(r#"{"jsonrpc":"1.0","id":"a","method":"m"}"#, "-32600 \"a\" `jsonrpc` must be \"2.0\"");
    check(r#"{"jsonrpc":"2.0","id":1,"method":5}"#, "-32600 1 `method` must be a string");
    for params in ["[]", "null", "1", "\"a\""] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
        check(&text, "-32600 1 `params` must be an object");
    }
    check("{}", "-32600 - `jsonrpc` must be \"2.0\"");
    check(r#"{"jsonrpc":"2.0","id":1}"#, "-32600 1 none of `method`, `result` and `error`");
    let two = "-32600 1 more than one of `method`, `result` and `error`";
    check(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, two);
    check(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#, two);
    check(r#"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#, two);
    check(r#"{"jsonrpc":"2.0","id":1,"error":"boom"}"#, "-32600 1 `error` must be an object");
    check(r#"{"jsonrpc":"2.0","result":{}}"#, "-32600 - a result needs the `id` of its request");
    check(r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, "-32600 - a result needs the `id` of its request");
}

#[test]
fn stricter_rules_are_invalid_requests_with_the_id() {
    check(
        r#"{"jsonrpc":"2.0","method":"m","params":{"a":{"b":1,"b":2}},"id":5}"#,
        "-32600 5 duplicate member at byte 51",
    );
    check(
        r#"{"jsonrpc":"2.0","id":5,"method":"m","\u006dethod":"n"}"#,
        "-32600 5 duplicate member at byte 37",
    );
    check(r#"{"jsonrpc":"2.0","id":5,"method":"m","id":6}"#, "-32600 - duplicate member at byte 37");
    check(
        r#"{"jsonrpc":"2.0","id":5,"method":"m","params":{"a":"\udead"}}"#,
        "-32600 5 lone surrogate at byte 52",
    );
    // The message itself is the first of the 64.
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let text = |depth| format!(r#"{{"jsonrpc":"2.0","id":5,"result":{}}}"#, deep(depth));
    check(&text(63), &format!("result 5 {}", deep(63)));
    check(&text(64), "-32600 5 nested too deeply at byte 96");
    check(&text(100_000), "-32600 5 nested too deeply at byte 96");
}

#[test]
fn batches_are_read_message_by_message() {
    let check = |text: &str, expected: &[&str]| {
        let found = match read_batch(text.as_bytes().to_vec().into()) {
            Ok(messages) => messages.iter().map(summary).collect(),
            Err(error) => vec!["refused".to_owned(), summary(&Err(error))],
        };
        assert_eq!(found, expected, "{text}");
    };
    let ping = |id: usize| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    check(&ping(1), &["request 1 ping -"]);
    check(
        &format!(" [ {} ,1, [{}] ] ", ping(1), ping(2)),
        &[
            "request 1 ping -",
            "-32600 - a message is an object",
            "-32600 - a batch is not allowed here: send one message",
        ],
    );
    check("[]", &["refused", "-32600 - an empty batch"]);
    check("[1", &["refused", "-32700 - unexpected end at byte 2"]);
    check(r#"[{"a":1,"a":2}]"#, &["refused", "-32600 - duplicate member at byte 8"]);
    let many = |count| format!("[{}]", (0..count).map(ping).collect::<Vec<_>>().join(","));
    assert_eq!(read_batch(many(MAX_BATCH).into()).unwrap().len(), MAX_BATCH);
    check(&many(MAX_BATCH + 1), &["refused", "-32600 - too many messages in one batch"]);
}

#[test]
fn the_id_of_a_cut_off_message_is_found() {
    let check = |prefix: &[u8], expected: Option<&str>| {
        assert_eq!(peek_id(prefix).map(|id| id.to_string()).as_deref(), expected);
    };
    check(br#"{"jsonrpc":"2.0","id":12,"result":{"content":"aaaa"#, Some("12"));
    check(br#"  {"result":{"id":3,"x":"}\""},"id":"a,b" , "tail":["#, Some("\"a,b\""));
    check(br#"{"\u0069d":1,"#, Some("1"));
    check(b"{\"id\":7,\"result\":{\"a\":\"\xff\xfe", Some("7"));
    for none in [
        "",
        "[",
        "null",
        "{",
        r#"{"id""#,
        r#"{"id":"#,
        r#"{"id":12"#,
        r#"{"id":null,"#,
        r#"{"id":1.5,"#,
        r#"{"id":{},"#,
        r#"{"id":"ab"#,
        r#"{"result":{"id":1},"#,
        r#"[{"id":1}]"#,
        r#"{"id":1,"id":2,"#,
        r#"{"id":,"#,
        r#"{"id" 1,"#,
    ] {
        check(none.as_bytes(), None);
    }
}

#[test]
fn messages_are_written_on_one_line() {
    let check = |message: Vec<u8>, expected: &str| assert_eq!(String::from_utf8(message).unwrap(), expected);
    let json = |text: &str| Json::parse(text.to_owned()).unwrap();
    let smuggled = json("{\"a\":\r\n{\"jsonrpc\":\"2.0\"}\n,\"b\":\"\\n\"}");
    check(
        write_request(&Id::number(7), "a\"b\n", Some(&smuggled)),
        r#"{"jsonrpc":"2.0","id":7,"method":"a\"b\n","params":{"a":  {"jsonrpc":"2.0"} ,"b":"\n"}}"#,
    );
    check(write_request(&Id::number(7), "ping", None), r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
    check(write_notification("n", None), r#"{"jsonrpc":"2.0","method":"n"}"#);
    check(
        write_notification("n", Some(&Json::empty_object())),
        r#"{"jsonrpc":"2.0","method":"n","params":{}}"#,
    );
    let id = Id::of(&json("\"x\"")).unwrap();
    check(write_result(&id, &json("[\n]")), r#"{"jsonrpc":"2.0","id":"x","result":[ ]}"#);
    let error = error_object(-32602, "unknown tool: \"x\"", Some(&json("[1]")));
    check(
        write_error(Some(&id), &error),
        r#"{"jsonrpc":"2.0","id":"x","error":{"code":-32602,"message":"unknown tool: \"x\"","data":[1]}}"#,
    );
    check(
        write_error(None, &error_object(PARSE_ERROR, "no", None)),
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#,
    );
    let longest = write_request(&Id::number(u64::MAX), "m", Some(&Json::empty_object()));
    assert!(longest.capacity() >= longest.len() && longest.capacity() < longest.len() + 40);
}

#[test]
fn an_id_is_what_was_written() {
    let id = |text: &str| Id::of(&Json::parse(text.to_owned()).unwrap());
    assert_eq!(Id::number(u64::MAX).as_u64(), Some(u64::MAX));
    assert_eq!(id("42").unwrap(), Id::number(42));
    assert_ne!(id(r#""a""#), id(r#""\u0061""#));
    assert_ne!(id("0"), id("-0"));
    assert_eq!(id(r#""42""#).unwrap().as_u64(), None);
    assert_eq!(id("-1").unwrap().as_u64(), None);
    assert_eq!(id(r#""42""#).unwrap().to_json().as_str(), r#""42""#);
    assert_eq!(id("null"), None);
}

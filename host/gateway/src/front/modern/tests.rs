//! What 2026-07-28 adds to results and takes from params.

use expect_test::{Expect, expect};
use wasmgate_core::mcp::V2026_07_28;
use wasmgate_core::name::ServerName;

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

#[track_caller]
fn check_result(method: &str, result: &str, expected: Expect) {
    let message = String::from_utf8(write_result(&Id::number(7), method, &json(result))).unwrap();
    assert!(Json::parse(message.clone()).is_ok(), "{message}");
    expected.assert_eq(&message.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn results_get_what_the_server_left_out() {
    check_result(
        "tools/call",
        r#"{"content":[],"x":1.0}"#,
        expect![[
            r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"wasmgate","version":"VERSION"}},"content":[],"x":1.0}}"#
        ]],
    );
    check_result(
        "completion/complete",
        "{ }",
        expect![[
            r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"wasmgate","version":"VERSION"}} }}"#
        ]],
    );
    check_result(
        "tools/list",
        r#"{"tools":[]}"#,
        expect![[
            r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"wasmgate","version":"VERSION"}},"tools":[]}}"#
        ]],
    );
}

#[test]
fn what_the_server_said_stays() {
    check_result(
        "resources/read",
        r#"{"contents":[],"ttlMs":5000,"cacheScope":"public","resultType":"complete","_meta":{"a":1}}"#,
        expect![[
            r#"{"jsonrpc":"2.0","id":7,"result":{"contents":[],"ttlMs":5000,"cacheScope":"public","resultType":"complete","_meta":{"a":1,"io.modelcontextprotocol/serverInfo":{"name":"wasmgate","version":"VERSION"}}}}"#
        ]],
    );
    let theirs = r#"{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"}}}"#;
    check_result(
        "tools/call",
        theirs,
        expect![[
            r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"}}}}"#
        ]],
    );
    check_result(
        "resources/read",
        r#"{"resultType":"input_required","requestState":"s","_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#,
        expect![[
            r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","requestState":"s","_meta":{"io.modelcontextprotocol/serverInfo":{}}}}"#
        ]],
    );
}

#[track_caller]
fn check_params(params: &str, expected: &str) {
    let params = json(params);
    let protocol = Protocol::of(Some(&params));
    assert_eq!(own_params(params, &protocol).as_str(), expected);
}

#[test]
fn params_lose_what_describes_the_request_and_nothing_else() {
    let protocol = concat!(
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{},"#,
        r#""io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/logLevel":"info""#
    );
    check_params(
        &format!(r#"{{"name":"t","_meta":{{{protocol},"progressToken":1.0,"x":[ 1 ]}},"arguments":{{}}}}"#),
        r#"{"name":"t","_meta":{"progressToken":1.0,"x":[ 1 ]},"arguments":{}}"#,
    );
    check_params(&format!(r#"{{"name":"t","_meta":{{{protocol}}}}}"#), r#"{"name":"t"}"#);
    check_params(&format!(r#"{{"_meta":{{{protocol}}}}}"#), "{}");
    check_params(r#"{"name":"t"}"#, r#"{"name":"t"}"#);
}

#[test]
fn a_client_is_what_it_says_in_the_request() {
    let params = json(
        r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{}}},"io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/logLevel":"info"}}"#,
    );
    let client = facts(Protocol::of(Some(&params)), &View::All, V2026_07_28);
    assert_eq!(
        client.capabilities.as_str(),
        r#"{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#
    );
    assert_eq!(client.info.unwrap().as_str(), r#"{"name":"c"}"#);
    assert_eq!(client.log_level.as_deref(), Some("info"));
    let alone = View::One(ServerName::new("a").unwrap());
    let client = facts(Protocol::of(Some(&params)), &alone, V2026_07_28);
    assert!(client.capabilities.as_str().contains("x/y"));
}

#[test]
fn notifications_go_to_requests_that_want_them() {
    let wanted = |meta: &str| wants(&Protocol::of(Some(&json(&format!(r#"{{"_meta":{{{meta}}}}}"#)))));
    assert!(matches!(wanted(""), Wants::Nothing));
    assert!(matches!(wanted(r#""progressToken":0"#), Wants::Progress));
    let level = wanted(r#""io.modelcontextprotocol/logLevel":"error""#);
    assert!(matches!(level, Wants::Logs(Some(level)) if &*level == "error"));
}

//! Every failure, on both wires, as text.

use std::sync::Arc;

use expect_test::{Expect, expect};
use wasmgate_core::name::ServerName;

use super::*;
use crate::gateway::UpstreamError;

/// The failure on both wires, one a line; one line when they agree.
#[track_caller]
fn check(failed: &CallError, expected: Expect) {
    expected.assert_eq(&both(|wire| failure(wire, failed, "r-1")));
}

#[track_caller]
fn check_refusal(refused: &Refusal, expected: Expect) {
    expected.assert_eq(&both(|wire| refusal(wire, refused)));
}

fn both(word: impl Fn(Wire) -> Worded) -> String {
    let line = |wire| {
        let worded = word(wire);
        format!("{} {}", worded.status, worded.error.as_str())
    };
    let (modern, legacy) = (line(Wire::Modern), line(Wire::Legacy));
    if modern == legacy { modern } else { format!("modern {modern}\nlegacy {legacy}") }
}

fn upstream(fault: Fault) -> CallError {
    CallError::Upstream(UpstreamError { server: ServerName::new("files").unwrap(), fault })
}

fn answered(error: &str) -> CallError {
    CallError::Answered(Json::parse(error.to_owned()).unwrap())
}

#[test]
fn failures_of_names_and_params() {
    check(
        &CallError::UnknownMethod("x/y".into()),
        expect![[r#"
            modern 404 {"code":-32601,"message":"Method not found"}
            legacy 200 {"code":-32601,"message":"Method not found"}"#]],
    );
    check(
        &CallError::Unknown { kind: "tool", name: "a \"b\"".into() },
        expect![[
            r#"200 {"code":-32602,"message":"Unknown tool: a \"b\"","data":{"code":"unknown_tool","requestId":"r-1"}}"#
        ]],
    );
    check(
        &CallError::Unknown { kind: "prompt", name: "p".into() },
        expect![[
            r#"200 {"code":-32602,"message":"Unknown prompt: p","data":{"code":"unknown_prompt","requestId":"r-1"}}"#
        ]],
    );
    check(
        &CallError::Unknown { kind: "resource", name: "a://b".into() },
        expect![[r#"
            modern 200 {"code":-32602,"message":"Resource not found","data":{"code":"unknown_resource","requestId":"r-1","uri":"a://b"}}
            legacy 200 {"code":-32002,"message":"Resource not found","data":{"code":"unknown_resource","requestId":"r-1","uri":"a://b"}}"#]],
    );
    check(
        &CallError::InvalidParams("name: a text is required".into()),
        expect![[
            r#"200 {"code":-32602,"message":"name: a text is required","data":{"code":"invalid_params","requestId":"r-1"}}"#
        ]],
    );
    check(
        &CallError::NotServing("still loading its configuration"),
        expect![[
            r#"503 {"code":-32603,"message":"the gateway is still loading its configuration","data":{"code":"not_serving","requestId":"r-1"}}"#
        ]],
    );
}

#[test]
fn failures_of_servers_name_the_server() {
    check(
        &upstream(Fault::Crashed(String::new())),
        expect![[
            r#"200 {"code":-32603,"message":"server `files` ended during the call","data":{"code":"upstream_crashed","server":"files","requestId":"r-1"}}"#
        ]],
    );
    for (fault, word) in [
        (Fault::Unavailable("x".into()), "upstream_unavailable"),
        (Fault::Timeout(60), "upstream_timeout"),
        (Fault::Misbehaved("x".into()), "upstream_misbehaved"),
        (Fault::TooLarge(1), "limit_exceeded"),
        (Fault::Unauthorized(401.into()), "upstream_unauthorized"),
        (Fault::OutOfMemory, "upstream_crashed"),
    ] {
        for wire in [Wire::Modern, Wire::Legacy] {
            let worded = failure(wire, &upstream(fault.clone()), "r-1");
            let data = worded.error.member("data").unwrap();
            assert_eq!(data.member("code").unwrap().string().as_deref(), Some(word));
            assert_eq!((worded.status, number(&worded.error)), (200, Some(code::INTERNAL)));
        }
    }
}

#[test]
fn a_busy_server_is_not_its_clients_fault() {
    check(
        &upstream(Fault::Busy("other calls keep it busy".into())),
        expect![[
            r#"503 {"code":1003,"message":"server `files` is busy: other calls keep it busy","data":{"code":"limit_exceeded","server":"files","requestId":"r-1"}}"#
        ]],
    );
}

#[test]
fn what_a_server_answered_passes_through() {
    check(
        &answered(r#"{ "code": -32000, "message":"\u00e4", "data": {"n": 1.0e2} }"#),
        expect![[r#"200 { "code": -32000, "message":"\u00e4", "data": {"n": 1.0e2} }"#]],
    );
    check(
        &answered(r#"{"code":-32601,"message":"no"}"#),
        expect![[r#"
            modern 404 {"code":-32601,"message":"no"}
            legacy 200 {"code":-32601,"message":"no"}"#]],
    );
    check(
        &answered(r#"{"code":-32021,"message":"needs","data":{"requiredCapabilities":{"sampling":{}}}}"#),
        expect![[r#"
            modern 400 {"code":-32021,"message":"needs","data":{"requiredCapabilities":{"sampling":{}}}}
            legacy 200 {"code":-32603,"message":"needs","data":{"requiredCapabilities":{"sampling":{}}}}"#]],
    );
    check(
        &answered(r#"{"code":-32002,"message":"gone"}"#),
        expect![[r#"
            modern 200 {"code":-32602,"message":"gone"}
            legacy 200 {"code":-32002,"message":"gone"}"#]],
    );
    check(
        &answered(r#"{"code":-32042,"message":"visit"}"#),
        expect![[r#"
            modern 200 {"code":-32603,"message":"visit"}
            legacy 200 {"code":-32042,"message":"visit"}"#]],
    );
}

#[test]
fn headers_and_versions_are_between_the_server_and_us() {
    for code in [-32020, -32022] {
        let worded =
            both(|wire| failure(wire, &answered(&format!(r#"{{"code":{code},"message":"m"}}"#)), "r"));
        assert_eq!(worded, r#"200 {"code":-32603,"message":"m"}"#);
    }
}

#[test]
fn a_resource_that_is_not_there_has_the_code_of_the_clients_era() {
    let check = |wire, asked, error: &str, expected: i64| {
        let failed = known_to(wire, asked, answered(error));
        assert_eq!(number(&failure(wire, &failed, "r").error), Some(expected), "{wire:?} {asked} {error}");
    };
    let gone = r#"{"code":-32602,"message":"m","data":{"uri":"x:a"}}"#;
    check(Wire::Legacy, method::RESOURCES_READ, gone, -32002);
    check(Wire::Modern, method::RESOURCES_READ, gone, -32602);
    check(Wire::Legacy, method::TOOLS_CALL, gone, -32602);
    check(Wire::Legacy, method::RESOURCES_READ, r#"{"code":-32602,"message":"uri?"}"#, -32602);
    check(Wire::Legacy, method::RESOURCES_READ, r#"{"code":-32002,"message":"m"}"#, -32002);
}

#[test]
fn what_the_client_cannot_be_asked() {
    let required = Json::parse(r#"{"elicitation":{"url":{}}}"#).unwrap();
    check(
        &CallError::MissingCapability(required),
        expect![[r#"
            modern 400 {"code":-32021,"message":"the server needs capabilities that the client did not declare","data":{"requiredCapabilities":{"elicitation":{"url":{}}}}}
            legacy 200 {"code":-32603,"message":"the server needs capabilities that the client did not declare","data":{"requiredCapabilities":{"elicitation":{"url":{}}}}}"#]],
    );
    check(
        &CallError::NotAsked("the client did not answer in time"),
        expect![[
            r#"200 {"code":-32603,"message":"the server asks for input: the client did not answer in time","data":{"code":"input_required","requestId":"r-1"}}"#
        ]],
    );
    check(
        &CallError::Limit("questions at once"),
        expect![[
            r#"429 {"code":1003,"message":"too many questions at once: try again later","data":{"code":"limit_exceeded","requestId":"r-1"}}"#
        ]],
    );
}

#[test]
fn interceptors_refuse_with_what_they_found() {
    let finding = |message: &str, severity| Finding {
        path: Some("/arguments/key".into()),
        message: message.into(),
        severity,
        suggestion: None,
    };
    let found = vec![
        (Arc::from("shape"), Finding { path: None, ..finding("looks odd", Severity::Warn) }),
        (Arc::from("block-secrets"), finding("looks like a key", Severity::Error)),
    ];
    check(
        &CallError::Blocked(Blocked::Invalid(found)),
        expect![[
            r#"200 {"code":1001,"message":"refused by `block-secrets`: looks like a key","data":{"code":"refused","requestId":"r-1","findings":[{"interceptor":"shape","message":"looks odd","severity":"warn"},{"interceptor":"block-secrets","path":"/arguments/key","message":"looks like a key","severity":"error"}]}}"#
        ]],
    );
    let failed = |error| CallError::Blocked(Blocked::StageFailed { stage: "redact".into(), error });
    check(
        &failed(StageError::Failed("wasm trap at 0x1234: internal".into())),
        expect![[
            r#"200 {"code":1002,"message":"interceptor `redact` failed","data":{"code":"plugin_failed","requestId":"r-1","plugin":"redact"}}"#
        ]],
    );
    check(
        &failed(StageError::Exceeded("memory limit")),
        expect![[
            r#"200 {"code":1002,"message":"interceptor `redact` exceeded its memory limit","data":{"code":"plugin_failed","requestId":"r-1","plugin":"redact"}}"#
        ]],
    );
}

#[test]
fn refusals_of_the_front() {
    let unreadable = ReadError { code: code::PARSE, id: None, detail: "not JSON".into() };
    check_refusal(&Refusal::Unreadable(unreadable), expect![[r#"400 {"code":-32700,"message":"not JSON"}"#]]);
    check_refusal(
        &Refusal::Misfit(Misfit::Header("Mcp-Name".into())),
        expect![[
            r#"400 {"code":-32020,"message":"the header Mcp-Name must say, once, what the body says"}"#
        ]],
    );
    check_refusal(
        &Refusal::Misfit(Misfit::Version("2099-01-01".into())),
        expect![[
            r#"400 {"code":-32022,"message":"this protocol version is not served in this way","data":{"supported":["2026-07-28"],"requested":"2099-01-01"}}"#
        ]],
    );
    check_refusal(
        &Refusal::Misfit(Misfit::NoMeta),
        expect![[
            r#"400 {"code":-32602,"message":"params._meta must carry io.modelcontextprotocol/protocolVersion"}"#
        ]],
    );
    check_refusal(
        &Refusal::Misfit(Misfit::NoCapabilities),
        expect![[
            r#"400 {"code":-32602,"message":"params._meta must carry io.modelcontextprotocol/clientCapabilities"}"#
        ]],
    );
    check_refusal(
        &Refusal::Misfit(Misfit::Removed),
        expect![[r#"
            modern 404 {"code":-32601,"message":"Method not found"}
            legacy 200 {"code":-32601,"message":"Method not found"}"#]],
    );
    for (refused, status, code) in [
        (Refusal::Params("level: x"), 200, code::INVALID_PARAMS),
        (Refusal::NoSession, 400, code::INVALID_REQUEST),
        (Refusal::UnknownSession, 404, code::INVALID_REQUEST),
        (Refusal::UnknownEvent, 400, code::INVALID_REQUEST),
        (Refusal::Uninitialized, 200, code::INVALID_REQUEST),
        (Refusal::Initialized, 400, code::INVALID_REQUEST),
        (Refusal::IdInUse, 400, code::INVALID_REQUEST),
        (Refusal::Limit("sessions"), 429, LIMIT_EXCEEDED),
        (Refusal::UnknownServer, 404, code::INVALID_REQUEST),
    ] {
        let worded = refusal(Wire::Legacy, &refused);
        assert_eq!((worded.status, number(&worded.error)), (status, Some(code)), "{refused:?}");
    }
}

#[test]
fn people_get_the_sentence() {
    assert_eq!(
        in_words(&upstream(Fault::Unavailable("no such image".into()))),
        "server `files` is not available: no such image"
    );
}

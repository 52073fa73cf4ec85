//! The door over stages made for it: golden descriptors, golden results, every refusal.

use std::time::Duration;

use expect_test::{Expect, expect};
use futures_util::FutureExt as _;
use wasmgate_core::pipeline::{
    About, Compat, Exchange, Finding, Kind, Mode, Pattern, Phase, ReconfigureFuture, Severity, Stage,
    StageAnswer, StageError, StageFuture, StageInfo,
};

use super::*;
use crate::interceptors::samples::{hook, info};

/// A stage that does what it is told to.
struct Told(StageInfo, Does);

#[derive(Clone, Copy)]
enum Does {
    Nothing,
    Find,
    Warn,
    Change,
    Answer,
    Fail,
    Hang,
    /// Says what it knows of the message.
    Tell,
}

impl Stage for Told {
    fn info(&self) -> &StageInfo {
        &self.0
    }

    fn run<'a>(&'a self, exchange: &'a Exchange, _: Phase, payload: &'a Json) -> StageFuture<'a> {
        let operation = &exchange.operation;
        let finding = |severity| Finding {
            path: Some("/arguments/a".to_owned()),
            message: "is odd".to_owned(),
            severity,
            suggestion: Some(Json::of("even")),
        };
        let answer = match self.1 {
            Does::Nothing if self.0.kind == Kind::Validator => Ok(StageAnswer::Findings(Vec::new())),
            Does::Nothing => Ok(StageAnswer::Unchanged),
            Does::Find => Ok(StageAnswer::Findings(vec![finding(Severity::Warn), finding(Severity::Error)])),
            Does::Warn => Ok(StageAnswer::Findings(vec![finding(Severity::Warn)])),
            Does::Change => Ok(StageAnswer::Changed(payload.with_member("changed", &Json::of(&true)))),
            Does::Answer => Ok(StageAnswer::Answer(Json::parse(r#"{"content":[]}"#).unwrap())),
            Does::Fail => Err(StageError::Failed("no idea".to_owned())),
            Does::Hang => return Box::pin(std::future::pending()),
            Does::Tell => Ok(StageAnswer::Findings(vec![Finding {
                path: None,
                message: format!(
                    "{} {:?} {} {:?} {} {:?} {}",
                    operation.event,
                    operation.subject,
                    operation.principal,
                    operation.session,
                    operation.version,
                    exchange.attribute("trace.id").map(|id| id.as_str().to_owned()),
                    exchange.failed,
                ),
                severity: Severity::Info,
                suggestion: None,
            }])),
        };
        Box::pin(std::future::ready(answer))
    }

    fn reconfigured(&self, config: Json) -> ReconfigureFuture<'_> {
        let does = match config.member("does").and_then(|does| does.string().map(|does| does.into_owned())) {
            Some(does) if does == "find" => Does::Find,
            Some(does) if does == "nothing" => Does::Nothing,
            _ => return Box::pin(std::future::ready(Err("does: is required".to_owned()))),
        };
        Box::pin(std::future::ready(Ok(Arc::new(Self(self.0.clone(), does)) as Arc<dyn Stage>)))
    }
}

fn pipeline() -> Pipeline {
    let stage = |name: &str, kind, does, change: fn(&mut StageInfo)| {
        let mut info = info(name, kind);
        change(&mut info);
        Arc::new(Told(info, does)) as Arc<dyn Stage>
    };
    let stages = vec![
        stage("zebra", Kind::Validator, Does::Find, |info| {
            info.hooks = vec![hook(&["tools/call", "tools/list"], true, false)];
        }),
        stage("changes", Kind::Mutator, Does::Change, |info| {
            info.priority_request = -5;
            info.about = About {
                version: Some("1.2.0".into()),
                description: Some("Changes.".into()),
                config_schema: Some(Json::parse(r#"{"type":"object"}"#).unwrap()),
            };
        }),
        stage("filter", Kind::Filter, Does::Nothing, |_| {}),
        stage("audits", Kind::Validator, Does::Warn, |info| {
            info.mode = Mode::Audit;
            info.fail_open = true;
            info.priority_request = 7;
            info.compat = Compat { min: None, max: Some("2025-11-25".into()) };
        }),
        stage("both", Kind::Mutator, Does::Nothing, |info| {
            (info.priority_request, info.priority_response) = (3, 3);
            info.hooks = vec![hook(&["tools/*"], true, false), hook(&["prompts/get"], false, true)];
        }),
        stage("crm", Kind::Validator, Does::Nothing, |info| {
            info.hooks.iter_mut().for_each(|hook| hook.servers = vec![Pattern::new("crm*")]);
        }),
        stage("answers", Kind::Mutator, Does::Answer, |_| {}),
        stage("fails", Kind::Validator, Does::Fail, |_| {}),
        stage("hangs", Kind::Validator, Does::Hang, |_| {}),
        stage("tells", Kind::Validator, Does::Tell, |_| {}),
        stage("old", Kind::Validator, Does::Nothing, |info| {
            info.compat = Compat { min: None, max: Some("2024-11-05".into()) };
        }),
    ];
    Pipeline::new(stages, |_, _| {})
}

async fn ask(method: &str, params: &str) -> String {
    let params = Json::parse(params.to_owned()).unwrap();
    let visit = Visit {
        id: "1".into(),
        method: method.into(),
        params: Some(params),
        principal: "bearer".into(),
        version: V2025_11_25,
    };
    let shown = match answer(&pipeline(), visit).await {
        Ok(result) => result.as_str().to_owned(),
        Err(error) => format!("error {}", error.as_str()),
    };
    // The one number that differs from run to run.
    let Some((before, after)) = shown.split_once("\"durationMs\":") else { return shown };
    format!("{before}\"durationMs\":_{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[track_caller]
fn check(method: &str, params: &str, expected: Expect) {
    expected.assert_eq(&ask(method, params).now_or_never().unwrap());
}

#[track_caller]
fn check_invoke(params: &str, expected: Expect) {
    check(INVOKE, params, expected);
}

#[test]
fn descriptors_leave_defaults_out_and_keep_the_order() {
    check(
        LIST,
        "{}",
        expect![[
            r#"{"interceptors":[{"name":"zebra","type":"validation","hook":{"events":["tools/call","tools/list"],"phase":"request"}},{"name":"changes","version":"1.2.0","description":"Changes.","type":"mutation","hook":{"events":["*"],"phase":"both"},"priorityHint":{"request":-5},"configSchema":{"type":"object"}},{"name":"audits","type":"validation","hook":{"events":["*"],"phase":"both"},"mode":"audit","failOpen":true,"compat":{"minProtocol":"2024-11-05","maxProtocol":"2025-11-25"}},{"name":"both","type":"mutation","hook":{"events":["tools/*","prompts/get"],"phase":"both"},"priorityHint":3},{"name":"answers","type":"mutation","hook":{"events":["*"],"phase":"both"}},{"name":"fails","type":"validation","hook":{"events":["*"],"phase":"both"}},{"name":"hangs","type":"validation","hook":{"events":["*"],"phase":"both"}},{"name":"tells","type":"validation","hook":{"events":["*"],"phase":"both"}},{"name":"old","type":"validation","hook":{"events":["*"],"phase":"both"},"compat":{"minProtocol":"2024-11-05","maxProtocol":"2024-11-05"}}]}"#
        ]],
    );
    check(
        LIST,
        r#"{"event":"prompts/get"}"#,
        expect![[
            r#"{"interceptors":[{"name":"changes","version":"1.2.0","description":"Changes.","type":"mutation","hook":{"events":["*"],"phase":"both"},"priorityHint":{"request":-5},"configSchema":{"type":"object"}},{"name":"audits","type":"validation","hook":{"events":["*"],"phase":"both"},"mode":"audit","failOpen":true,"compat":{"minProtocol":"2024-11-05","maxProtocol":"2025-11-25"}},{"name":"both","type":"mutation","hook":{"events":["tools/*","prompts/get"],"phase":"both"},"priorityHint":3},{"name":"answers","type":"mutation","hook":{"events":["*"],"phase":"both"}},{"name":"fails","type":"validation","hook":{"events":["*"],"phase":"both"}},{"name":"hangs","type":"validation","hook":{"events":["*"],"phase":"both"}},{"name":"tells","type":"validation","hook":{"events":["*"],"phase":"both"}},{"name":"old","type":"validation","hook":{"events":["*"],"phase":"both"},"compat":{"minProtocol":"2024-11-05","maxProtocol":"2024-11-05"}}]}"#
        ]],
    );
    check(LIST, r#"{"event":3}"#, expect![[r#"error {"code":-32602,"message":"event: must be a text"}"#]]);
    for (event, listed) in [
        ("tools/list", true),
        ("tools/call", true),
        ("prompts/list", false),
        ("*", true),
        ("*/response", false),
    ] {
        let names = ask(LIST, &format!(r#"{{"event":"{event}"}}"#)).now_or_never().unwrap();
        assert_eq!(names.contains("zebra"), listed, "{event}");
    }
}

#[test]
fn the_door_says_what_it_is() {
    check(
        "initialize",
        r#"{"protocolVersion":"2025-06-18"}"#,
        expect![[
            r#"{"protocolVersion":"2025-06-18","capabilities":{"interceptor":{"supportedEvents":["tools/call","tools/list","*","tools/*","prompts/get"]}},"serverInfo":{"name":"wasmgate","version":"0.1.0"}}"#
        ]],
    );
    check(
        "initialize",
        "{}",
        expect![[r#"error {"code":-32602,"message":"protocolVersion: a text is required"}"#]],
    );
    check(
        "server/discover",
        "{}",
        expect![[
            r#"{"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"interceptor":{"supportedEvents":["tools/call","tools/list","*","tools/*","prompts/get"]}}}"#
        ]],
    );
    check("ping", "{}", expect!["{}"]);
    check("tools/list", "{}", expect![[r#"error {"code":-32601,"message":"Method not found"}"#]]);
}

#[test]
fn results_have_the_exact_shape() {
    let request =
        r#""event":"tools/call","phase":"request","payload":{"method":"tools/call","params":{"name":"t"}}"#;
    check_invoke(
        &format!(r#"{{"name":"zebra",{request}}}"#),
        expect![[
            r#"{"interceptor":"zebra","type":"validation","phase":"request","durationMs":_,"valid":false,"severity":"error","messages":[{"path":"params.arguments.a","message":"is odd","severity":"warn"},{"path":"params.arguments.a","message":"is odd","severity":"error"}],"suggestions":[{"path":"params.arguments.a","value":"even"},{"path":"params.arguments.a","value":"even"}]}"#
        ]],
    );
    check_invoke(
        &format!(r#"{{"name":"audits",{request}}}"#),
        expect![[
            r#"{"interceptor":"audits","type":"validation","phase":"request","durationMs":_,"valid":true,"severity":"warn","messages":[{"path":"params.arguments.a","message":"is odd","severity":"warn"}],"suggestions":[{"path":"params.arguments.a","value":"even"}]}"#
        ]],
    );
    check_invoke(
        &format!(r#"{{"name":"changes",{request}}}"#),
        expect![[
            r#"{"interceptor":"changes","type":"mutation","phase":"request","durationMs":_,"modified":true,"payload":{"method":"tools/call","params":{"name":"t","changed":true}}}"#
        ]],
    );
    check_invoke(
        &format!(r#"{{"name":"both",{request}}}"#),
        expect![[
            r#"{"interceptor":"both","type":"mutation","phase":"request","durationMs":_,"modified":false,"payload":{"method":"tools/call","params":{"name":"t"}}}"#
        ]],
    );
    check_invoke(
        r#"{"name":"changes","event":"tools/call","phase":"response","payload":{"content":[]}}"#,
        expect![[
            r#"{"interceptor":"changes","type":"mutation","phase":"response","durationMs":_,"modified":true,"payload":{"content":[],"changed":true}}"#
        ]],
    );
    check_invoke(
        r#"{"name":"both","event":"prompts/get","phase":"request","payload":{"name":"p"}}"#,
        expect![[
            r#"{"interceptor":"both","type":"mutation","phase":"request","durationMs":_,"modified":false,"payload":{"name":"p"}}"#
        ]],
    );
    check_invoke(
        &format!(r#"{{"name":"zebra",{request},"config":{{"does":"nothing"}}}}"#),
        expect![[
            r#"{"interceptor":"zebra","type":"validation","phase":"request","durationMs":_,"valid":true}"#
        ]],
    );
}

#[test]
fn failures_say_whose_and_why() {
    let request = r#""event":"tools/call","phase":"request","payload":{"name":"t"}"#;
    check_invoke(
        &format!(r#"{{"name":"fails",{request}}}"#),
        expect![[
            r#"error {"code":-32603,"message":"Interceptor execution failed","data":{"interceptor":"fails","reason":"no idea"}}"#
        ]],
    );
    check_invoke(
        &format!(r#"{{"name":"answers",{request}}}"#),
        expect![[
            r#"error {"code":-32603,"message":"Interceptor execution failed","data":{"interceptor":"answers","reason":"answered in the server's place","answer":{"content":[]}}}"#
        ]],
    );
    check_invoke(
        &format!(r#"{{"name":"old",{request}}}"#),
        expect![[
            r#"error {"code":-32603,"message":"Interceptor execution failed","data":{"interceptor":"old","reason":"is not made for protocol version 2025-11-25"}}"#
        ]],
    );
    check_invoke(
        &format!(r#"{{"name":"zebra",{request},"config":{{}}}}"#),
        expect![[
            r#"error {"code":-32603,"message":"Interceptor execution failed","data":{"interceptor":"zebra","reason":"Configuration invalid: does: is required"}}"#
        ]],
    );
}

#[test]
fn what_cannot_be_invoked_is_refused_in_words() {
    let request = r#""event":"tools/call","phase":"request","payload":{"name":"t"}"#;
    check_invoke("{}", expect![[r#"error {"code":-32602,"message":"phase: a text is required"}"#]]);
    check_invoke(
        r#"{"name":"zebra","event":"tools/call","phase":"request"}"#,
        expect![[r#"error {"code":-32602,"message":"payload: is required"}"#]],
    );
    check_invoke(
        r#"{"name":"zebra","event":"tools/call","phase":"both","payload":{}}"#,
        expect![[r#"error {"code":-32602,"message":"phase: must be `request` or `response`"}"#]],
    );
    check_invoke(
        &format!(r#"{{"name":"nobody",{request}}}"#),
        expect![[r#"error {"code":-32602,"message":"no interceptor is called `nobody`"}"#]],
    );
    check_invoke(
        &format!(r#"{{"name":"filter",{request}}}"#),
        expect![[r#"error {"code":-32602,"message":"`filter` filters lists and cannot be invoked"}"#]],
    );
    check_invoke(
        &format!(r#"{{"name":"crm",{request}}}"#),
        expect![[
            r#"error {"code":-32602,"message":"`crm` looks only at messages of certain servers or subjects and cannot be invoked"}"#
        ]],
    );
    check_invoke(
        r#"{"name":"zebra","event":"tools/call","phase":"response","payload":{}}"#,
        expect![[
            r#"error {"code":-32602,"message":"`zebra` does not hook `tools/call` in the response phase"}"#
        ]],
    );
    check_invoke(
        r#"{"name":"zebra","event":"prompts/get","phase":"request","payload":{}}"#,
        expect![[
            r#"error {"code":-32602,"message":"`zebra` does not hook `prompts/get` in the request phase"}"#
        ]],
    );
    check_invoke(
        &format!(r#"{{"name":"zebra",{request},"timeoutMs":"soon"}}"#),
        expect![[r#"error {"code":-32602,"message":"timeoutMs: must be a number of milliseconds"}"#]],
    );
    check_invoke(
        &format!(r#"{{"name":"zebra",{request},"config":[]}}"#),
        expect![[r#"error {"code":-32602,"message":"config: must be an object"}"#]],
    );
}

#[test]
fn the_context_reaches_the_stage() {
    check_invoke(
        r#"{"name":"tells","event":"tools/call","phase":"request","payload":{"name":"t"},
           "context":{"principal":{"type":"user","id":"ann"},"sessionId":"s1","traceId":"t1"}}"#,
        expect![[
            r#"{"interceptor":"tells","type":"validation","phase":"request","durationMs":_,"valid":true,"severity":"info","messages":[{"message":"tools/call Some(\"t\") ann Some(\"s1\") 2025-11-25 Some(\"\\\"t1\\\"\") false","severity":"info"}]}"#
        ]],
    );
    check_invoke(
        r#"{"name":"tells","event":"tools/call","phase":"response","payload":{"error":{"code":1}}}"#,
        expect![[
            r#"{"interceptor":"tells","type":"validation","phase":"response","durationMs":_,"valid":true,"severity":"info","messages":[{"message":"tools/call None bearer None 2025-11-25 None true","severity":"info"}]}"#
        ]],
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_when_its_time_is_over() {
    let asked =
        r#"{"name":"hangs","event":"tools/call","phase":"request","payload":{"name":"t"},"timeoutMs":50}"#;
    let said = tokio::time::timeout(Duration::from_secs(1), ask(INVOKE, asked)).await.unwrap();
    expect![[r#"error {"code":-32000,"message":"Interceptor execution timeout","data":{"interceptor":"hangs","timeoutMs":50,"phase":"request"}}"#]].assert_eq(&said);
}

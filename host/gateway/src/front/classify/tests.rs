//! The classifier, one row each: headers, body, era.

use super::*;

/// One row: headers as `version | method | name` (`-` is absent, `!` unusable), the body, and what comes of it.
#[track_caller]
fn check(headers: &str, body: &str, expected: Result<Era, Misfit>) {
    let body = Json::parse(body.to_owned()).unwrap();
    let [method, id, params, result] = body.pick(["method", "id", "params", "result"]);
    let shape = match (id.is_some(), result.is_some()) {
        (true, false) => Shape::Request,
        (_, true) => Shape::Response,
        (false, false) => Shape::Notification,
    };
    let method = method.map_or_else(String::new, |method| method.string().unwrap().into_owned());
    let protocol = Protocol::of(params.as_ref());
    let mut fields = headers.split(" | ").map(|text| match text {
        "-" => Field::Absent,
        "!" => Field::Unusable,
        text => Field::One(text),
    });
    let mut next = || fields.next().unwrap_or(Field::Absent);
    let headers = (headers != "stdio").then(|| McpHeaders { version: next(), method: next(), name: next() });
    let seen = Seen { shape, method: &method, protocol: &protocol, headers };
    assert_eq!(classify(&seen), expected, "{headers:?} {body:?}");
}

/// A modern body: method, more params.
fn modern(method: &str, more: &str) -> String {
    versioned("2026-07-28", method, more)
}

fn versioned(version: &str, method: &str, more: &str) -> String {
    format!(
        r#"{{"id":1,"method":"{method}","params":{{{more}"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
}

const MODERN_ERA: Result<Era, Misfit> = Ok(Era::Modern("2026-07-28"));

#[test]
fn a_request_that_describes_itself_is_modern() {
    check("2026-07-28 | server/discover", &modern("server/discover", ""), MODERN_ERA);
    check("2026-07-28 | tools/list", &modern("tools/list", ""), MODERN_ERA);
    check("2026-07-28 | tools/call | echo", &modern("tools/call", r#""name":"echo","#), MODERN_ERA);
    check("2026-07-28 | resources/read | a://b", &modern("resources/read", r#""uri":"a://b","#), MODERN_ERA);
    check("2026-07-28 | prompts/get | =?base64?w6Q=?=", &modern("prompts/get", r#""name":"ä","#), MODERN_ERA);
    check("stdio", &modern("tools/call", r#""name":"echo","#), MODERN_ERA);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        check(&format!("2026-07-28 | {method} | t-1"), &modern(method, r#""taskId":"t-1","#), MODERN_ERA);
        check("stdio", &modern(method, r#""taskId":"t-1","#), MODERN_ERA);
    }
}

#[test]
fn headers_must_say_what_the_body_says() {
    let version = || Err(Misfit::Header("MCP-Protocol-Version".into()));
    let method = || Err(Misfit::Header("Mcp-Method".into()));
    let name = || Err(Misfit::Header("Mcp-Name".into()));
    let call = modern("tools/call", r#""name":"danger","#);
    check("- | tools/call | danger", &call, version());
    check("! | tools/call | danger", &call, version());
    check("2025-11-25 | tools/call | danger", &call, version());
    check("2026-07-28 | - | danger", &call, method());
    check("2026-07-28 | ! | danger", &call, method());
    check("2026-07-28 | TOOLS/CALL | danger", &call, method());
    check("2026-07-28 | tools/list | danger", &call, method());
    check("2026-07-28 | tools/call | -", &call, name());
    check("2026-07-28 | tools/call | !", &call, name());
    check("2026-07-28 | tools/call | safe", &call, name());
    check("2026-07-28 | tools/call | Danger", &call, name());
    check("2026-07-28 | tools/call | =?base64?*?=", &call, name());
    check("2026-07-28 | tools/call | safe", &modern("tools/call", ""), name());
    check("2026-07-28 | tools/call", &modern("tools/call", ""), MODERN_ERA);
    check("2026-07-28 | tools/list | !", &modern("tools/list", ""), name());
    check("2026-07-28 | resources/read | x", &modern("resources/read", r#""uri":"y","#), name());
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let body = modern(method, r#""taskId":"t-1","name":"t-2","#);
        check(&format!("2026-07-28 | {method} | -"), &body, name());
        check(&format!("2026-07-28 | {method} | t-2"), &body, name());
        check(&format!("2026-07-28 | {method} | T-1"), &body, name());
    }
}

#[test]
fn versions_that_are_not_served_in_that_way_are_named() {
    let row = |version: &str| {
        check(
            &format!("{version} | tools/list"),
            &versioned(version, "tools/list", ""),
            Err(Misfit::Version(version.to_owned())),
        );
    };
    row("2099-01-01");
    row("2025-11-25");
    row("nonsense");
    check("2099-01-01", r#"{"id":1,"method":"tools/list"}"#, Err(Misfit::NoMeta));
    check("2024-01-01", r#"{"id":1,"method":"tools/list"}"#, Err(Misfit::Version("2024-01-01".into())));
    check("!", r#"{"id":1,"method":"tools/list"}"#, Err(Misfit::Header("MCP-Protocol-Version".into())));
}

#[test]
fn a_modern_request_says_what_its_client_can() {
    let body = |capabilities: &str| {
        format!(
            r#"{{"id":1,"method":"tools/list","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"{capabilities}}}}}}}"#
        )
    };
    check("2026-07-28 | tools/list", &body(""), Err(Misfit::NoCapabilities));
    let null = body(r#","io.modelcontextprotocol/clientCapabilities":null"#);
    check("2026-07-28 | tools/list", &null, Err(Misfit::NoCapabilities));
    check("2026-07-28 | tools/list", r#"{"id":1,"method":"tools/list"}"#, Err(Misfit::NoMeta));
    check("2026-07-28", r#"{"id":1,"method":"tools/list","params":{"_meta":{}}}"#, Err(Misfit::NoMeta));
}

#[test]
fn removed_methods_are_unknown_to_modern_requests() {
    for method in REMOVED {
        check(&format!("2026-07-28 | {method}"), &modern(method, ""), Err(Misfit::Removed));
    }
}

#[test]
fn everything_else_is_legacy() {
    let initialize = r#"{"id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    for version in ["-", "2025-11-25", "2026-07-28", "2099-01-01", "nonsense"] {
        check(version, initialize, Ok(Era::Initialize));
    }
    check("stdio", initialize, Ok(Era::Initialize));
    for version in ["-", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        check(version, r#"{"id":1,"method":"tools/list"}"#, Ok(Era::Legacy));
        check(version, r#"{"method":"notifications/initialized"}"#, Ok(Era::Legacy));
        check(version, r#"{"id":1,"result":{}}"#, Ok(Era::Legacy));
    }
    check("stdio", r#"{"id":1,"method":"tools/list"}"#, Ok(Era::Legacy));
    check("2025-11-25", r#"{"id":1,"method":"tools/call","params":{"_meta":3}}"#, Ok(Era::Legacy));
}

#[test]
fn modern_remarks_and_answers_are_ignored() {
    check("2026-07-28", r#"{"method":"notifications/cancelled"}"#, Ok(Era::Ignored));
    check("2026-07-28", r#"{"id":1,"result":{}}"#, Ok(Era::Ignored));
}

//! Which era a server is of (2026-07-28 basic "Versioning", stdio and streamable HTTP "Backward Compatibility").
//!
//! A server is asked `server/discover` first. One of 2026-07-28 answers it, or refuses it with an error that only such
//! servers know; whatever else comes back, or nothing, makes it an older one. What says nothing about the server itself
//! (a broken connection, a busy or failing site) decides nothing that would be remembered.

use wasmgate_core::json::Json;
use wasmgate_core::mcp::code;

use super::{Answer, Fault, legacy, modern};

/// What an answer to `server/discover` says of a server.
#[derive(Debug)]
pub(super) enum Sign {
    /// It is of 2026-07-28: what it said of itself.
    Modern(Json),
    /// It is, but wants to be asked again: it serves our version although it refused it.
    Again(Json),
    /// It is, and this is why it does not talk to us.
    Refused(Json),
    /// It is older, or can be spoken to like an older one.
    Legacy,
    /// It serves none of our versions; those it serves.
    Stranger(String),
    /// Nothing: it may be of any era.
    Nothing,
    /// No other question would be answered either.
    Hopeless(Fault),
}

/// Over what a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// A pair of pipes, with nobody in between.
    Pipes,
    /// HTTP, where much can come from in between.
    Http,
}

/// Reads the answer to `server/discover`.
pub(super) fn sign(answer: Result<Answer, Fault>, over: Over) -> Sign {
    match answer {
        Ok(Answer::Result(result)) => match result.member("supportedVersions") {
            Some(_) if modern::speaks_ours(&result) => Sign::Modern(result),
            Some(versions) => common(&versions),
            None => Sign::Legacy,
        },
        Ok(Answer::Error(error)) => refusal(error),
        // Nobody asks anything before the first answer.
        Ok(Answer::Asks(_) | Answer::Flow(_)) => Sign::Legacy,
        Err(fault @ Fault::Unauthorized(_)) => Sign::Hopeless(fault),
        // Such as an old server at the sight of a request before `initialize`: it has to be started again.
        Err(fault @ (Fault::Crashed(_) | Fault::OutOfMemory)) if over == Over::Pipes => Sign::Hopeless(fault),
        Err(Fault::Misbehaved(_)) => Sign::Legacy,
        Err(Fault::Timeout(_)) if over == Over::Pipes => Sign::Legacy,
        Err(
            Fault::Timeout(_)
            | Fault::Busy(_)
            | Fault::Unavailable(_)
            | Fault::Declined(_)
            | Fault::Crashed(_)
            | Fault::OutOfMemory
            | Fault::TooLarge(_),
        ) => Sign::Nothing,
    }
}

fn refusal(error: Json) -> Sign {
    let code = error.member("code").and_then(|code| code.as_str().parse().ok());
    match code {
        Some(code::UNSUPPORTED_VERSION) => match supported(&error) {
            Some(versions) if names(&versions, modern::VERSION) => Sign::Again(error),
            Some(versions) => common(&versions),
            None => Sign::Stranger(String::new()),
        },
        Some(code::HEADER_MISMATCH | code::MISSING_CLIENT_CAPABILITY) => Sign::Refused(error),
        _ => Sign::Legacy,
    }
}

/// A server that does not serve 2026-07-28 but names what it serves.
fn common(versions: &Json) -> Sign {
    match legacy::VERSIONS.into_iter().any(|ours| names(versions, ours)) {
        true => Sign::Legacy,
        false => Sign::Stranger(listed(versions)),
    }
}

/// The versions that the refusal of a version names.
pub(super) fn supported(error: &Json) -> Option<Json> {
    error.member("data")?.member("supported").filter(Json::is_array)
}

/// Whether a list of versions has this one.
pub(super) fn names(versions: &Json, version: &str) -> bool {
    versions.elements().unwrap_or_default().iter().any(|named| named.string().as_deref() == Some(version))
}

fn listed(versions: &Json) -> String {
    let named = versions.elements().unwrap_or_default();
    let named: Vec<_> = named.iter().take(10).filter_map(Json::string).collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(sign: &Sign) -> String {
        match sign {
            Sign::Modern(_) => "modern".into(),
            Sign::Again(_) => "again".into(),
            Sign::Refused(_) => "refused".into(),
            Sign::Legacy => "legacy".into(),
            Sign::Stranger(named) => format!("stranger: {named}"),
            Sign::Nothing => "nothing".into(),
            Sign::Hopeless(_) => "hopeless".into(),
        }
    }

    #[track_caller]
    fn check(answer: Result<Answer, Fault>, pipes: &str, http: &str) {
        let copy = match &answer {
            Ok(Answer::Result(json)) => Ok(Answer::Result(json.clone())),
            Ok(Answer::Error(json)) => Ok(Answer::Error(json.clone())),
            Ok(Answer::Asks(_) | Answer::Flow(_)) => unreachable!("not asked here"),
            Err(fault) => Err(fault.clone()),
        };
        let said = (word(&sign(answer, Over::Pipes)), word(&sign(copy, Over::Http)));
        assert_eq!(said, (pipes.to_owned(), http.to_owned()));
    }

    #[track_caller]
    fn result(json: &str, expected: &str) {
        check(Ok(Answer::Result(Json::parse(json.to_owned()).unwrap())), expected, expected);
    }

    #[track_caller]
    fn error(json: &str, expected: &str) {
        check(Ok(Answer::Error(Json::parse(json.to_owned()).unwrap())), expected, expected);
    }

    #[test]
    fn results_say_which_versions_are_served() {
        result(r#"{"supportedVersions":["2026-07-28"]}"#, "modern");
        result(r#"{"supportedVersions":["2099-01-01","2026-07-28","2025-11-25"]}"#, "modern");
        result(r#"{"supportedVersions":["2099-01-01","2025-06-18"]}"#, "legacy");
        result(r#"{"supportedVersions":["2099-01-01","2100-01-01"]}"#, "stranger: 2099-01-01, 2100-01-01");
        result(r#"{"supportedVersions":[]}"#, "stranger: ");
        result("{}", "legacy");
        result("[]", "legacy");
    }

    #[test]
    fn only_errors_of_its_own_make_a_server_modern() {
        error(r#"{"code":-32022,"data":{"supported":["2026-07-28"],"requested":"2026-07-28"}}"#, "again");
        error(r#"{"code":-32022,"data":{"supported":["2025-11-25"]}}"#, "legacy");
        error(r#"{"code":-32022,"data":{"supported":["2099-01-01"]}}"#, "stranger: 2099-01-01");
        error(r#"{"code":-32022}"#, "stranger: ");
        error(r#"{"code":-32020}"#, "refused");
        error(r#"{"code":-32021,"data":{"requiredCapabilities":{}}}"#, "refused");
        for other in ["-32601", "-32600", "-32602", "-32603", "-32000", "-32700", "0", "1e3", "\"x\""] {
            error(&format!(r#"{{"code":{other}}}"#), "legacy");
        }
        error("{}", "legacy");
    }

    #[test]
    fn what_comes_from_in_between_decides_nothing() {
        check(Err(Fault::Unauthorized(401.into())), "hopeless", "hopeless");
        check(Err(Fault::Declined("it answered HTTP 429".into())), "nothing", "nothing");
        check(Err(Fault::Crashed(": reset".into())), "hopeless", "nothing");
        check(Err(Fault::Timeout(3)), "legacy", "nothing");
        check(Err(Fault::Misbehaved("HTTP 404 without an answer".into())), "legacy", "legacy");
        check(Err(Fault::TooLarge(1)), "nothing", "nothing");
    }
}

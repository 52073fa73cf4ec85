//! What is particular to servers of 2025-11-25 and earlier: the handshake, and requests without protocol fields.

use wasmgate_core::json::{Json, ObjectWriter};

use super::Identity;
use super::declared::{Declared, with_pages};
use super::era::META;

/// The versions spoken, newest first. The first one is offered.
pub(super) const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Our name for a version a server named; None when we do not speak it.
pub(super) fn version(named: &str) -> Option<&'static str> {
    VERSIONS.into_iter().find(|known| *known == named)
}

/// The params of `initialize`.
pub(super) fn initialize(identity: &Identity, declared: Declared) -> Json {
    ObjectWriter::new()
        .member("protocolVersion", &Json::of(VERSIONS[0]))
        .member("capabilities", &with_pages(&declared.to_json()))
        .member("clientInfo", &identity.to_json())
        .finish()
}

/// The params of a request as they go out, and the progress token its client knows. Ours is the request's id: tokens must
/// be unique among all requests in flight on a connection (2025-11-25, basic/utilities/progress).
pub(super) fn dress(params: Option<&Json>, id: u64) -> (Option<Json>, Option<Json>) {
    let Some(params) = params else { return (None, None) };
    let Some(meta) = META.of(params) else { return (Some(params.clone()), None) };
    let Some(token) = meta.member("progressToken") else { return (Some(params.clone()), None) };
    let meta = meta.with_member("progressToken", &Json::of(&id));
    (Some(params.with_member("_meta", &meta)), Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(params: &str, sent: &str, token: Option<&str>) {
        let (dressed, known) = dress(Some(&Json::parse(params.to_owned()).unwrap()), 42);
        assert_eq!(dressed.unwrap().as_str(), sent);
        assert_eq!(known.as_ref().map(Json::as_str), token);
    }

    #[test]
    fn only_the_progress_token_changes() {
        check(r#"{"name":"a","arguments":{"n":1e9}}"#, r#"{"name":"a","arguments":{"n":1e9}}"#, None);
        check(r#"{"_meta":{"x":1}}"#, r#"{"_meta":{"x":1}}"#, None);
        check(
            r#"{ "name":"a", "_meta":{"x":1, "progressToken":"t"}, "z":0 }"#,
            r#"{ "name":"a", "_meta":{"x":1, "progressToken":42}, "z":0 }"#,
            Some("\"t\""),
        );
        assert_eq!(dress(None, 1), (None, None));
    }

    #[test]
    fn known_versions_are_known() {
        assert_eq!(version("2025-06-18"), Some("2025-06-18"));
        assert_eq!(version("2026-07-28"), None);
        assert_eq!(version(""), None);
    }
}

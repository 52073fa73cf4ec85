//! What clients are told about the gateway itself: who it is, what it offers, in which versions.

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::{LEGACY, MODERN};

use crate::gateway::extensions::told_to_legacy;
use crate::gateway::{Offering, SERVER_INFO};

/// The result of `initialize` in `version`.
pub(super) fn initialized(version: &str, offering: &Offering) -> Json {
    let result = ObjectWriter::new()
        .string("protocolVersion", version)
        .member("capabilities", &told_to_legacy(&offering.capabilities))
        .member("serverInfo", &SERVER_INFO);
    match &offering.instructions {
        Some(instructions) => result.string("instructions", instructions).finish(),
        None => result.finish(),
    }
}

/// The result of `server/discover`, without what every modern result gets.
pub(super) fn discovered(offering: &Offering) -> Json {
    let versions: Vec<&str> = MODERN.iter().chain(&LEGACY).copied().collect();
    let result = ObjectWriter::new()
        .member("supportedVersions", &Json::of(&versions))
        .member("capabilities", &offering.capabilities);
    match &offering.instructions {
        Some(instructions) => result.string("instructions", instructions).finish(),
        None => result.finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering() -> Offering {
        let capabilities = r#"{"tools":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"logging":{}}"#;
        Offering {
            capabilities: Json::parse(capabilities).unwrap(),
            instructions: Some("be \"kind\"".into()),
        }
    }

    #[test]
    fn both_eras_are_told_what_they_can_use() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            initialized("2025-06-18", &offering()).as_str(),
            format!(
                r#"{{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{{"name":"wasmgate","version":"{version}"}},"instructions":"be \"kind\""}}"#,
                offering().capabilities.as_str()
            )
        );
        expect_test::expect![[r#"{"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"tools":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"logging":{}},"instructions":"be \"kind\""}"#]]
            .assert_eq(discovered(&offering()).as_str());
    }
}

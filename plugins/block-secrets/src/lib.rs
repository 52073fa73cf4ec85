//! Refuses messages that carry a credential: in the arguments of a request, and in every text of a result or an error,
//! however deeply nested.
//!
//! Formats are a table (`rules.rs`), found in one pass over each string (`scan.rs`). A finding names the rule and the
//! place, never the value. Strings arrive unescaped, so a value cut up by `\u` escapes is still found; a value cut into
//! two strings is not.

mod checks;
mod config;
mod rules;
mod scan;

use wasmgate_plugin::{Call, Config, Descriptor, Finding, Hook, Interceptor, Leaf, Problem, log};

use crate::config::Allowed;
use crate::rules::Rule;

/// The plugin, with the rules that the operator turned off.
pub struct BlockSecrets(Allowed);

/// Where arguments, results and messages of people and models travel.
const EVENTS: [&str; 6] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "completion/complete",
    "sampling/createMessage",
    "elicitation/create",
];

/// Findings of one message; more would not make it more refused.
const MAX_FINDINGS: usize = 16;

impl Interceptor for BlockSecrets {
    fn describe() -> Descriptor {
        Descriptor::new(
            "block-secrets",
            env!("CARGO_PKG_VERSION"),
            "Refuses messages that carry credentials: API keys, tokens, private keys, passwords in URLs.",
        )
        .hook(Hook::validate(&EVENTS).request().response())
        .config_schema(&config::schema())
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        config::parse(config.text()).map(Self)
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let mut findings = Vec::new();
        for leaf in call.strings("", 0) {
            self.look_at(&leaf, &mut findings);
            if findings.len() >= MAX_FINDINGS {
                break;
            }
        }
        if !findings.is_empty() {
            log::count("blocked", 1);
        }
        Ok(findings)
    }
}

wasmgate_plugin::export!(BlockSecrets);

impl BlockSecrets {
    fn look_at(&self, leaf: &Leaf, findings: &mut Vec<Finding>) {
        // Member names are texts of the message too, and this one is about to be repeated in a finding.
        let in_names = scan::find(&leaf.pointer, self.0);
        let place = if in_names.is_empty() { leaf.pointer.as_str() } else { "" };
        findings.extend(in_names.into_iter().map(|rule| found(rule, "a member name").at("")));
        let mut in_text = scan::find(&leaf.text, self.0);
        let name = leaf.pointer.rsplit('/').next().unwrap_or_default();
        if let Some(rule) = scan::find_named(name, &leaf.text, self.0) {
            in_text.retain(|other| other.name != rule.name);
            in_text.push(rule);
        }
        findings.extend(in_text.into_iter().map(|rule| found(rule, "the text").at(place)));
    }
}

fn found(rule: &Rule, place: &str) -> Finding {
    Finding::error(format!("{place} contains what looks like {} ({})", rule.what, rule.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmgate_plugin::{Phase, harness};

    fn found_in(phase: Phase, payload: &str) -> Vec<String> {
        let plugin = BlockSecrets::configure(Config::new("{}")).unwrap();
        let findings = harness::validate(&plugin, "tools/call", phase, payload).unwrap();
        findings.into_iter().map(|f| format!("{} {}", f.path.unwrap_or_default(), f.message)).collect()
    }

    const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn every_field_is_looked_at() {
        for (payload, path) in [
            (r#"{"name":"x","arguments":{"a":{"b":["c","TOKEN"]}}}"#, "/arguments/a/b/1"),
            (r#"{"content":[{"type":"text","text":"here: TOKEN."}]}"#, "/content/0/text"),
            (r#"{"structuredContent":{"rows":[{"k":"TOKEN"}]}}"#, "/structuredContent/rows/0/k"),
            (
                r#"{"content":[{"type":"resource","resource":{"uri":"a","text":"TOKEN"}}]}"#,
                "/content/0/resource/text",
            ),
            (r#"{"contents":[{"uri":"file:///TOKEN"}]}"#, "/contents/0/uri"),
            (
                r#"{"messages":[{"role":"user","content":{"type":"text","text":"TOKEN"}}]}"#,
                "/messages/0/content/text",
            ),
            (r#"{"code":-32000,"message":"cannot use TOKEN","data":null}"#, "/message"),
            (r#"{"code":-32000,"message":"failed","data":{"env":"A=TOKEN"}}"#, "/data/env"),
            (r#"{"_meta":{"x":"TOKEN"}}"#, "/_meta/x"),
        ] {
            for phase in [Phase::Request, Phase::Response] {
                let expected =
                    format!("{path} the text contains what looks like a GitHub token (github-token)");
                assert_eq!(found_in(phase, &payload.replace("TOKEN", TOKEN)), [expected], "{payload}");
            }
        }
    }

    #[test]
    fn escapes_hide_nothing() {
        let escaped: String = TOKEN.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        assert_eq!(found_in(Phase::Request, &format!("{{\"arguments\":\"{escaped}\"}}")).len(), 1);
    }

    #[test]
    fn a_finding_never_repeats_the_value() {
        for payload in [format!("{{\"{TOKEN}\":\"short text\"}}"), format!("{{\"{TOKEN}\":\"{TOKEN}\"}}")] {
            let found = found_in(Phase::Response, &payload);
            assert!(!found.is_empty(), "{payload}");
            assert!(!found.iter().any(|text| text.contains("ghp_")), "{found:?}");
        }
    }

    #[test]
    fn a_member_can_say_what_its_value_is() {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        for name in ["aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "secretAccessKey"] {
            assert_eq!(found_in(Phase::Response, &format!("{{\"{name}\":\"{key}\"}}")).len(), 1, "{name}");
        }
        assert_eq!(found_in(Phase::Response, &format!("{{\"digest\":\"{key}\"}}")).len(), 0);
    }

    #[test]
    fn an_ordinary_message_is_left_alone() {
        let payload = r#"{"name":"search","arguments":{"query":"how do I rotate a token?","limit":10}}"#;
        assert_eq!(found_in(Phase::Request, payload), Vec::<String>::new());
    }

    #[test]
    fn a_rule_can_be_turned_off() {
        let plugin = BlockSecrets::configure(Config::new(r#"{"allow": ["github-token"]}"#)).unwrap();
        let findings =
            harness::validate(&plugin, "tools/call", Phase::Request, &format!("[\"{TOKEN}\"]")).unwrap();
        assert_eq!(findings, []);
    }

    #[test]
    fn findings_are_bounded() {
        let many = vec![format!("\"{TOKEN}\""); 100].join(",");
        assert_eq!(found_in(Phase::Request, &format!("[{many}]")).len(), MAX_FINDINGS);
    }
}

//! Refuses messages that carry a credential, or takes it out: in the arguments of a request, and in every text of a result
//! or an error, however deeply nested, member names included.
//!
//! First the values that the gateway itself keeps secret, where it is granted to find them; then formats, which are a table
//! (`plugins/lib/secret-scan`), as they stand and under one layer of base64 or percent-encoding. A finding names the rule
//! and the place, never the value. Strings are read unescaped, so a value cut up by `\u` escapes is still found; a value
//! cut into two strings is not.

mod config;
mod redact;

use std::ops::ControlFlow;

use secret_scan::{json, look, shown};
use wasmgate_plugin::secrets::Sighting;
use wasmgate_plugin::{
    Call, Config, Descriptor, Draft, Finding, Hook, Interceptor, Isolation, Outcome, Phase, Problem, Refusal,
    log,
};

use crate::config::{Action, KNOWN, Settings};
use crate::redact::Redacted;

/// The plugin, as configured.
pub struct BlockSecrets(Settings);

/// Where arguments, results and messages of people and models travel.
const EVENTS: [&str; 7] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "completion/complete",
    "sampling/createMessage",
    "elicitation/create",
    "tasks/*",
];

/// Findings of one message; more would not make it more refused.
const MAX_FINDINGS: usize = 16;

/// No value has a credential that is shorter: `a://b:cde@f`.
const SHORTEST: usize = 11;

impl Interceptor for BlockSecrets {
    fn describe() -> Descriptor {
        Descriptor::new(
            "block-secrets",
            env!("CARGO_PKG_VERSION"),
            "Refuses or redacts credentials in messages: API keys, tokens, private keys, passwords in URLs.",
        )
        .hook(Hook::validate(&EVENTS).request().response())
        .hook(Hook::mutate(&EVENTS).request().response())
        .config_schema(&config::schema())
        // After the other mutators: what they put in is looked at too.
        .priority(1000, 1000)
        // Nothing of a message stays in its memory, and a fresh instance costs more than most messages do.
        .isolation(Isolation::Pooled)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        Settings::read(config).map(Self)
    }

    fn hooks(&self) -> Option<Vec<Hook>> {
        let hook = |action: Action, base: Hook| {
            let acts = |phase| self.0.action(phase) == action;
            Hook { request: acts(Phase::Request), response: acts(Phase::Response), ..base }
        };
        let hooks =
            [hook(Action::Deny, Hook::validate(&EVENTS)), hook(Action::Redact, Hook::mutate(&EVENTS))];
        Some(hooks.into_iter().filter(|hook| hook.request || hook.response).collect())
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let mut findings = known(self.0, call.known_secrets(""))?;
        let json = call.text();
        json::strings(&json, SHORTEST, &mut |text| {
            self.look_at(text, &mut findings);
            if findings.len() < MAX_FINDINGS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        findings.truncate(MAX_FINDINGS);
        if !findings.is_empty() {
            log::count("blocked", 1);
        }
        Ok(findings)
    }

    fn mutate(&self, draft: &Draft<'_>) -> Result<Outcome, String> {
        let known = sightings(self.0, draft.known_secrets(""))?;
        let Some(redacted) = redact::payload(&draft.text(), self.0.allowed, &known) else {
            return Ok(Outcome::Unchanged);
        };
        match redacted {
            Redacted::Edits(edits) => draft.apply(&edits)?,
            Redacted::Whole(payload) => draft.replace(&payload)?,
        }
        log::count("redacted", 1);
        Ok(Outcome::Changed)
    }
}

wasmgate_plugin::export!(BlockSecrets);

impl BlockSecrets {
    fn look_at(&self, text: &json::Text<'_>, findings: &mut Vec<Finding>) {
        let mut rules = Vec::new();
        look(&text.text, text.name().as_deref(), self.0.allowed, &mut |found| {
            if !rules.iter().any(|known: &&secret_scan::Rule| known.name == found.rule.name) {
                rules.push(found.rule);
            }
        });
        let place = if text.is_name { "a member name" } else { "the text" };
        findings.extend(rules.into_iter().map(|rule| {
            let message = format!("{place} contains what looks like {} ({})", rule.what, rule.name);
            Finding::error(message).at(shown(text.pointer()))
        }));
    }
}

fn known(settings: Settings, found: Result<Vec<Sighting>, Refusal>) -> Result<Vec<Finding>, String> {
    let mut sightings = sightings(settings, found)?;
    sightings.dedup_by(|one, other| one.pointer == other.pointer);
    let finding = |sighting: Sighting| {
        let message = format!("the text contains a value that the gateway keeps secret ({KNOWN})");
        Finding::error(message).at(shown(sighting.pointer))
    };
    Ok(sightings.into_iter().take(MAX_FINDINGS).map(finding).collect())
}

/// Where the gateway's own secrets stand. Without the grant only the formats are looked for.
fn sightings(settings: Settings, found: Result<Vec<Sighting>, Refusal>) -> Result<Vec<Sighting>, String> {
    match found {
        Ok(_) if settings.known_allowed => Ok(Vec::new()),
        Ok(sightings) => Ok(sightings),
        Err(Refusal::Denied(_)) => Ok(Vec::new()),
        Err(other) => Err(other.into()),
    }
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

    #[test]
    fn names_of_every_member_are_looked_at() {
        for (payload, place) in [
            (format!(r#"{{"{TOKEN}":1}}"#), ""),
            (format!(r#"{{"a":[{{"{TOKEN}":null}}]}}"#), "/a/0"),
            (format!(r#"{{"a":{{"{TOKEN}":{{}}}}}}"#), "/a"),
        ] {
            let expected =
                format!("{place} a member name contains what looks like a GitHub token (github-token)");
            assert_eq!(found_in(Phase::Response, &payload), [expected], "{payload}");
        }
    }

    #[test]
    fn one_layer_of_encoding_hides_nothing() {
        let base64 = "a2V5PWdocF8wMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoK";
        for text in [TOKEN.replace('_', "%5f"), format!("Basic {base64}")] {
            assert_eq!(found_in(Phase::Request, &format!(r#"["{text}"]"#)).len(), 1, "{text}");
        }
    }

    fn redacted(config: &str, phase: Phase, payload: &str) -> String {
        let plugin = BlockSecrets::configure(Config::new(config)).unwrap();
        let (outcome, after) = harness::mutate(&plugin, "tools/call", phase, payload).unwrap();
        assert_eq!(outcome == Outcome::Unchanged, after == payload, "{after}");
        after
    }

    #[test]
    fn what_is_redacted_is_gone_and_the_rest_is_there() {
        let base64 = "a2V5PWdocF8wMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoK";
        let encoded = TOKEN.replace('_', "%5f");
        let token = "[redacted: github-token]";
        for (payload, expected) in [
            (r#"{"a":["nothing",1.50]}"#.to_owned(), r#"{"a":["nothing",1.50]}"#.to_owned()),
            (format!(r#"["x {TOKEN}, {TOKEN}\n"]"#), format!(r#"["x {token}, {token}\n"]"#)),
            (format!(r#"["q={encoded}&Basic {base64}=="]"#), format!(r#"["q={token}&Basic {token}"]"#)),
            (
                r#"["postgres://me:s3cr3t@db/ä"]"#.to_owned(),
                r#"["postgres://me:[redacted: password-in-url]@db/ä"]"#.to_owned(),
            ),
            (
                format!(r#"{{"{TOKEN}":1,"b":{{"x{TOKEN}":2,"y {TOKEN}":3}},"z {TOKEN}":4}}"#),
                format!(r#"{{"{token}":1,"b":{{"x{TOKEN}":2,"y {token} (2)":3}},"z {token} (3)":4}}"#),
            ),
            (
                r#"{"secretAccessKey":"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}"#.to_owned(),
                r#"{"secretAccessKey":"[redacted: aws-secret-key]"}"#.to_owned(),
            ),
        ] {
            assert_eq!(
                redacted(r#"{"response":"redact"}"#, Phase::Response, &payload),
                expected,
                "{payload}"
            );
        }
    }

    #[test]
    fn many_are_redacted_like_few() {
        for count in [1, 64, 65, 1000] {
            let payload = |text: &str| format!("[{}]", vec![format!("\"{text}\""); count].join(","));
            let after = redacted(r#"{"request":"redact"}"#, Phase::Request, &payload(TOKEN));
            assert_eq!(after, payload("[redacted: github-token]"));
        }
    }

    #[test]
    fn what_the_gateway_keeps_secret_is_found_whatever_it_looks_like() {
        wasmgate_plugin::secrets::know("db.password", "tulip-fields");
        let payload = r#"{"content":[{"text":"it is tulip-fields."}]}"#;
        let expected =
            "/content/0/text the text contains a value that the gateway keeps secret (known-secret)";
        assert_eq!(found_in(Phase::Response, payload), [expected]);
        let after = redacted(r#"{"response":"redact"}"#, Phase::Response, payload);
        assert_eq!(after, r#"{"content":[{"text":"it is [redacted: known-secret]."}]}"#);
        let allowing = r#"{"response":"redact","allow":["known-secret"]}"#;
        assert_eq!(redacted(allowing, Phase::Response, payload), payload);
    }

    #[test]
    fn each_direction_has_the_role_it_needs() {
        for (config, expected) in [
            ("{}", "Validate request response"),
            (r#"{"request":"off","response":"off"}"#, ""),
            (r#"{"response":"redact"}"#, "Validate request; Mutate response"),
            (r#"{"request":"redact","response":"redact"}"#, "Mutate request response"),
            (r#"{"request":"redact","response":"off"}"#, "Mutate request"),
        ] {
            let hooks = BlockSecrets::configure(Config::new(config)).unwrap().hooks().unwrap();
            let words = hooks.iter().map(|hook| {
                let request = if hook.request { " request" } else { "" };
                let response = if hook.response { " response" } else { "" };
                format!("{:?}{request}{response}", hook.role)
            });
            assert_eq!(words.collect::<Vec<_>>().join("; "), expected, "{config}");
        }
    }

    #[test]
    fn what_is_redacted_is_found_no_more() {
        for text in [
            TOKEN.to_owned(),
            "postgres://me:s3cr3t@db".to_owned(),
            format!("-----BEGIN PRIVATE KEY-----\\n{}", "a1B2".repeat(20)),
            "%70ostgres:%2F%2Fme:s3cr3t%40db".to_owned(),
        ] {
            let after = redacted(r#"{"request":"redact"}"#, Phase::Request, &format!("[\"{text}\"]"));
            assert!(after.contains("[redacted: "), "{after}");
            assert_eq!(found_in(Phase::Request, &after), Vec::<String>::new(), "{after}");
        }
    }
}

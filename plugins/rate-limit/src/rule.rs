//! The configuration: rules, each with what it counts, what it counts by, and how fast.

use std::hash::{DefaultHasher, Hash, Hasher};

use name_pattern::{Case, matches};
use serde::Deserialize;
use wasmgate_plugin::{Config, Hook, Operation, Problem};

use crate::bucket::Rate;

/// JSON Schema of the configuration.
pub(crate) const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "required": ["rules"],
  "properties": {
    "rules": {
      "type": "array",
      "minItems": 1,
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["rate"],
        "properties": {
          "rate": {"type": "string", "pattern": "^[1-9][0-9]{0,5}/[smh]$"},
          "burst": {"type": "integer", "minimum": 1, "maximum": 1000000},
          "per": {
            "type": "array",
            "uniqueItems": true,
            "items": {"enum": ["principal", "server", "tool"]}
          },
          "match": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
              "events": {"$ref": "#/$defs/patterns"},
              "servers": {"$ref": "#/$defs/patterns"},
              "tools": {"$ref": "#/$defs/patterns"}
            }
          }
        }
      }
    }
  },
  "$defs": {"patterns": {"type": "array", "items": {"type": "string", "minLength": 1}}}
}"##;

/// Most calls in a unit of time, and most at once.
const MOST: u32 = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rules: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    rate: String,
    burst: Option<u32>,
    #[serde(default = "by_principal")]
    per: Vec<Dimension>,
    #[serde(default, rename = "match")]
    matching: Match,
}

/// What a rule counts. An empty list does not narrow, but for events, of which calls of tools are the default.
#[derive(Debug, Default, Deserialize, Hash)]
#[serde(default, deny_unknown_fields)]
struct Match {
    events: Vec<String>,
    servers: Vec<String>,
    tools: Vec<String>,
}

/// What has a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dimension {
    Principal,
    Server,
    Tool,
}

fn by_principal() -> Vec<Dimension> {
    vec![Dimension::Principal]
}

/// One limit.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) rate: Rate,
    per: Vec<Dimension>,
    matching: Match,
}

/// Reads the rules.
pub(crate) fn rules(config: Config<'_>) -> Result<Vec<Rule>, Vec<Problem>> {
    let written: Written = config.read()?;
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    if written.rules.is_empty() {
        problems.push(Problem::new("/rules", "has no rule: write one, or leave rate-limit out"));
    }
    for (index, rule) in written.rules.into_iter().enumerate() {
        match read(rule) {
            Ok(rule) => rules.push(rule),
            Err((place, message)) => problems.push(Problem::new(&format!("/rules/{index}/{place}"), message)),
        }
    }
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

fn read(written: WrittenRule) -> Result<Rule, (&'static str, String)> {
    let wrong = || format!("`{}` is no rate: write 1 to {MOST}, `/` and `s`, `m` or `h`", written.rate);
    let (count, period_ms) = parse(&written.rate).ok_or_else(|| ("rate", wrong()))?;
    let burst = written.burst.unwrap_or(count);
    if !(1..=MOST).contains(&burst) {
        return Err(("burst", format!("is not between 1 and {MOST}")));
    }
    let mut matching = written.matching;
    if matching.events.is_empty() {
        matching.events.push("tools/call".to_owned());
    }
    Ok(Rule { rate: Rate { count, period_ms, burst }, per: written.per, matching })
}

/// `10/s` as a count and milliseconds.
fn parse(rate: &str) -> Option<(u32, u32)> {
    let (count, unit) = rate.split_once('/')?;
    let count = count.parse().ok().filter(|count| (1..=MOST).contains(count) && !rate.starts_with('+'))?;
    let period_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some((count, period_ms))
}

impl Rule {
    /// What it wants to see.
    pub(crate) fn hook(&self) -> Hook {
        let texts = |patterns: &[String]| -> Vec<String> { patterns.to_vec() };
        Hook {
            servers: texts(&self.matching.servers),
            subjects: texts(&self.matching.tools),
            events: texts(&self.matching.events),
            ..Hook::validate(&[]).request().without_payload()
        }
    }

    /// Whether it counts this message.
    pub(crate) fn counts(&self, operation: &Operation) -> bool {
        let fits = |patterns: &[String], text: Option<&str>| {
            patterns.is_empty()
                || text.is_some_and(|text| patterns.iter().any(|p| matches(p, text, Case::Same)))
        };
        fits(&self.matching.events, Some(&operation.event))
            && fits(&self.matching.servers, operation.server.as_deref())
            && fits(&self.matching.tools, operation.subject.as_deref())
    }

    /// Where its bucket for this message is kept: the same length whatever the names. The rule is part of it, so that a
    /// rule that is changed starts afresh and one that only moves does not.
    pub(crate) fn key(&self, operation: &Operation) -> String {
        let half = |salt: u8| {
            let mut hash = DefaultHasher::new();
            (salt, &self.rate, &self.per, &self.matching).hash(&mut hash);
            for dimension in &self.per {
                match dimension {
                    Dimension::Principal => operation.principal.hash(&mut hash),
                    Dimension::Server => operation.server.hash(&mut hash),
                    Dimension::Tool => operation.subject.hash(&mut hash),
                }
            }
            hash.finish()
        };
        format!("{:016x}{:016x}", half(0), half(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        for (config, expected) in [
            (r#"{"rules":[{"rate":"10/s"}]}"#, ""),
            (r#"{"rules":[{"rate":"1000000/h","burst":1,"per":[]}]}"#, ""),
            (r#"{"rules":[]}"#, "/rules"),
            (r#"{"rules":[{"rate":"1/s"},{"rate":"0/s"}]}"#, "/rules/1/rate"),
            (r#"{"rules":[{"rate":"10"}]}"#, "/rules/0/rate"),
            (r#"{"rules":[{"rate":"10/d"}]}"#, "/rules/0/rate"),
            (r#"{"rules":[{"rate":"-1/s"}]}"#, "/rules/0/rate"),
            (r#"{"rules":[{"rate":"+1/s"}]}"#, "/rules/0/rate"),
            (r#"{"rules":[{"rate":"1000001/s"}]}"#, "/rules/0/rate"),
            (r#"{"rules":[{"rate":"99999999999999999999/s"}]}"#, "/rules/0/rate"),
            (r#"{"rules":[{"rate":"1/s","burst":0}]}"#, "/rules/0/burst"),
        ] {
            let places: Vec<_> =
                rules(Config::new(config)).err().into_iter().flatten().map(|p| p.pointer).collect();
            assert_eq!(places.join(" "), expected, "{config}");
        }
        for unreadable in ["{}", r#"{"rules":[{}]}"#, r#"{"rules":[{"rate":"1/s","per":["day"]}]}"#] {
            assert!(rules(Config::new(unreadable)).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn the_schema_is_json() {
        serde_json::from_str::<serde_json::Value>(SCHEMA).unwrap();
    }
}

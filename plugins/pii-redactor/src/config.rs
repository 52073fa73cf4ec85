//! The configuration: as it is written, and ready to use.

use serde::Deserialize;
use wasmgate_plugin::{Config, Problem};

use crate::custom::{MOST, Pattern};
use crate::scan::Kind;

/// The configuration, ready to use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Towards the server.
    pub(crate) request: Action,
    /// Towards the client.
    pub(crate) response: Action,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) style: Style,
    /// Fields; none means all.
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
}

/// What happens to a message with personal data in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Redact,
    Deny,
    Off,
}

/// What stands where personal data was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Style {
    /// `[email]`
    Label,
    /// `[email-1]`, the same number for the same value.
    Pseudonym,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    request: Action,
    response: Action,
    detect: Vec<Kind>,
    custom: Vec<Custom>,
    style: Style,
    include: Vec<String>,
    exclude: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom {
    name: String,
    pattern: Option<String>,
    literal: Option<String>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            request: Action::Redact,
            response: Action::Redact,
            detect: vec![Kind::Email, Kind::Phone, Kind::Card, Kind::Iban, Kind::Ssn],
            custom: Vec::new(),
            style: Style::Label,
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }
}

/// Reads the configuration.
pub(crate) fn read(config: Config<'_>) -> Result<Settings, Vec<Problem>> {
    let written: Written = config.read()?;
    let mut problems = Vec::new();
    let mut patterns = Vec::new();
    for (at, custom) in written.custom.iter().enumerate() {
        match pattern(custom) {
            Ok(pattern) => patterns.push(pattern),
            Err(message) => problems.push(Problem::new(&format!("/custom/{at}"), message)),
        }
    }
    if patterns.len() > MOST {
        problems.push(Problem::new("/custom", format!("has more than {MOST} patterns")));
    }
    for (name, pointers) in [("include", &written.include), ("exclude", &written.exclude)] {
        let wrong = |pointer: &&String| !pointer.is_empty() && !pointer.starts_with('/');
        if let Some(at) = pointers.iter().position(|pointer| wrong(&pointer)) {
            let message = "is no JSON pointer; it begins with `/`, for example `/arguments/*/email`";
            problems.push(Problem::new(&format!("/{name}/{at}"), message));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let Written { request, response, detect, style, include, exclude, .. } = written;
    Ok(Settings { request, response, kinds: detect, patterns, style, include, exclude })
}

fn pattern(custom: &Custom) -> Result<Pattern, String> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=32).contains(&custom.name.len()) || !custom.name.bytes().all(is_name) {
        return Err("the name is not made of 1 to 32 lower-case letters, digits and `-`".into());
    }
    match (&custom.pattern, &custom.literal) {
        (Some(pattern), None) => {
            Pattern::new(&custom.name, pattern).map_err(|what| format!("the pattern {what}"))
        }
        (None, Some(text)) => {
            Pattern::literal(&custom.name, text).map_err(|what| format!("the literal {what}"))
        }
        _ => Err("has to have either `pattern` or `literal`".into()),
    }
}

/// JSON Schema of the configuration.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "request": {"enum": ["redact", "deny", "off"], "default": "redact"},
    "response": {"enum": ["redact", "deny", "off"], "default": "redact"},
    "detect": {"type": "array", "items": {"enum": ["email", "phone", "card", "iban", "ssn", "ip"]}},
    "custom": {
      "type": "array",
      "maxItems": 32,
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
          "name": {"type": "string", "pattern": "^[a-z0-9-]{1,32}$"},
          "pattern": {"type": "string"},
          "literal": {"type": "string"}
        }
      }
    },
    "style": {"enum": ["label", "pseudonym"], "default": "label"},
    "include": {"type": "array", "items": {"type": "string", "pattern": "^(/.*)?$"}},
    "exclude": {"type": "array", "items": {"type": "string", "pattern": "^(/.*)?$"}}
  }
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let problems = |config: &str| -> Vec<String> {
            let problems = read(Config::new(config)).map(|_| ()).unwrap_err();
            problems.into_iter().map(|problem| problem.pointer).collect()
        };
        assert_eq!(problems(r#"{"request":"hide"}"#), [""]);
        assert_eq!(
            problems(
                r#"{"custom":[{"name":"A","literal":"abc"},{"name":"a"},{"name":"b","pattern":"?"}],"include":["/a","b"]}"#
            ),
            ["/custom/0", "/custom/1", "/custom/2", "/include/1"]
        );
        assert!(read(Config::new("{}")).is_ok());
    }

    #[test]
    fn the_schema_is_json_and_names_every_setting() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let mut names: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["custom", "detect", "exclude", "include", "request", "response", "style"]);
    }
}

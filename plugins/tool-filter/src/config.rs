//! The configuration, and everything that can be wrong with it.

use std::collections::BTreeMap;

use name_pattern::{Case, matches};
use serde::Deserialize;
use wasmgate_plugin::{Config, Hook, Problem};

/// JSON Schema of the configuration.
pub(crate) const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "allow": {"$ref": "#/$defs/patterns"},
    "deny": {"$ref": "#/$defs/patterns"},
    "rename": {
      "type": "object",
      "additionalProperties": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"}
    },
    "describe": {"type": "object", "additionalProperties": {"type": "string"}},
    "kinds": {
      "type": "array",
      "minItems": 1,
      "items": {"enum": ["tools", "prompts", "resources"]}
    },
    "servers": {
      "type": "object",
      "additionalProperties": {
        "type": "object",
        "additionalProperties": false,
        "properties": {"allow": {"$ref": "#/$defs/patterns"}, "deny": {"$ref": "#/$defs/patterns"}}
      }
    }
  },
  "$defs": {"patterns": {"type": "array", "items": {"type": "string", "minLength": 1}}}
}"##;

/// Longest name a tool is given: what every client takes.
const LONGEST_NAME: usize = 64;

/// What the operator wrote.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Written {
    allow: Vec<String>,
    deny: Vec<String>,
    /// New names by public name.
    pub(crate) rename: BTreeMap<String, String>,
    /// New descriptions by public name.
    pub(crate) describe: BTreeMap<String, String>,
    kinds: Option<Vec<Kind>>,
    /// What holds for some servers besides, by server pattern.
    servers: BTreeMap<String, Patterns>,
}

/// Patterns of names that are shown and of names that are not.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Patterns {
    /// Only these; nothing written is everything.
    allow: Vec<String>,
    /// None of these.
    deny: Vec<String>,
}

/// Whose lists are filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Tools,
    Prompts,
    Resources,
}

impl Written {
    /// Reads the configuration.
    pub(crate) fn read(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        let written: Self = config.read()?;
        let problems = written.problems();
        if problems.is_empty() { Ok(written) } else { Err(problems) }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut taken = BTreeMap::new();
        for (from, to) in &self.rename {
            let at = format!("/rename/{}", from.replace('~', "~0").replace('/', "~1"));
            if !is_name(to) {
                let message = format!(
                    "`{to}` cannot name a tool: use 1 to {LONGEST_NAME} letters, digits, `_`, `-` or `.`"
                );
                problems.push(Problem::new(&at, message));
            } else if let Some(other) = taken.insert(to, from) {
                problems.push(Problem::new(&at, format!("`{other}` is renamed to `{to}` already")));
            }
        }
        if self.kinds.as_ref().is_some_and(Vec::is_empty) {
            problems.push(Problem::new("/kinds", "name a kind, or leave it out for tools"));
        }
        problems
    }

    /// The lists it has something to do with; none when nothing is written.
    pub(crate) fn hooks(&self) -> Vec<Hook> {
        let idle = self.rename.is_empty() && self.describe.is_empty() && self.all_patterns().next().is_none();
        let kinds = self.kinds.as_deref().unwrap_or(&[Kind::Tools]);
        let events = kinds.iter().flat_map(|kind| match kind {
            Kind::Tools => &["tools/list"] as &[&str],
            Kind::Prompts => &["prompts/list"],
            Kind::Resources => &["resources/list", "resources/templates/list"],
        });
        let events: Vec<_> = events.copied().filter(|_| !idle).collect();
        if events.is_empty() { Vec::new() } else { vec![Hook::filter(&events)] }
    }

    fn all_patterns(&self) -> impl Iterator<Item = &String> {
        let servers = self.servers.values().flat_map(|of| of.allow.iter().chain(&of.deny));
        self.allow.iter().chain(&self.deny).chain(servers)
    }

    /// Whether an item is shown. To deny wins, takes every name of it and does not care for upper and lower case; to allow
    /// does, so that a tool that only looks like an allowed one is not let in.
    pub(crate) fn shows(&self, server: &str, names: &Names<'_>) -> bool {
        let of_server = self.servers.iter().filter(|(pattern, _)| matches(pattern, server, Case::Same));
        let allowed =
            |allow: &[String]| allow.is_empty() || names.keys().any(|name| any(allow, name, Case::Same));
        let denied = |deny: &[String]| {
            any(deny, names.bare, Case::Any) || names.keys().any(|name| any(deny, name, Case::Any))
        };
        allowed(&self.allow)
            && !denied(&self.deny)
            && of_server.into_iter().all(|(_, own)| allowed(&own.allow) && !denied(&own.deny))
    }
}

/// What an item is called. Public names carry the server's (`fs__read`) where a client sees several servers, and not where it
/// sees one; what is written for one form must hold for the other, or a second way to the same tool would be open.
pub(crate) struct Names<'a> {
    public: &'a str,
    /// With the server's name.
    long: String,
    /// Without.
    bare: &'a str,
}

impl<'a> Names<'a> {
    /// The names of a tool or prompt.
    pub(crate) fn of(server: &str, public: &'a str) -> Self {
        // Dots of a server's name are underscores in public names.
        let prefix = format!("{}__", server.replace('.', "_"));
        match public.strip_prefix(&prefix) {
            Some(bare) => Self { public, long: public.to_owned(), bare },
            None => Self { public, long: prefix + public, bare: public },
        }
    }

    /// The only name of a resource.
    pub(crate) fn of_uri(uri: &'a str) -> Self {
        Self { public: uri, long: uri.to_owned(), bare: uri }
    }

    /// The names that an operator writes, the public one first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        [self.public, &self.long].into_iter()
    }
}

fn any(patterns: &[String], name: &str, case: Case) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name, case))
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let long = format!(r#"{{"rename":{{"a":"{}"}}}}"#, "x".repeat(65));
        for (config, expected) in [
            ("{}", Ok(())),
            (r#"{"rename":{"a":"b.c-D_1"}}"#, Ok(())),
            (r#"{"rename":{"a/b":"no space"}}"#, Err("/rename/a~1b")),
            (r#"{"rename":{"a":""}}"#, Err("/rename/a")),
            (&long, Err("/rename/a")),
            (r#"{"rename":{"a":"c","b":"c"}}"#, Err("/rename/b")),
            (r#"{"kinds":[]}"#, Err("/kinds")),
            (r#"{"kinds":["tasks"]}"#, Err("")),
            (r#"{"denied":[]}"#, Err("")),
            (r#"{"servers":{"a":{"rename":{}}}}"#, Err("")),
        ] {
            let read = Written::read(Config::new(config)).map(|_| ()).map_err(|p| p[0].pointer.clone());
            assert_eq!(read, expected.map_err(str::to_owned), "{config}");
        }
    }

    #[test]
    fn lists_that_nothing_is_written_for_are_not_filtered() {
        for (config, expected) in [
            ("{}", ""),
            (r#"{"kinds":["prompts"]}"#, ""),
            (r#"{"servers":{"a":{}}}"#, ""),
            (r#"{"deny":["a"]}"#, "tools/list"),
            (r#"{"describe":{"a":"b"}}"#, "tools/list"),
            (r#"{"servers":{"a":{"deny":["b"]}},"kinds":["prompts"]}"#, "prompts/list"),
            (
                r#"{"allow":["a"],"kinds":["tools","resources"]}"#,
                "tools/list resources/list resources/templates/list",
            ),
        ] {
            let hooks = Written::read(Config::new(config)).unwrap().hooks();
            let events: Vec<_> = hooks.into_iter().flat_map(|hook| hook.events).collect();
            assert_eq!(events.join(" "), expected, "{config}");
        }
    }

    #[test]
    fn to_deny_wins() {
        for (config, shown) in [
            ("{}", "github__get github__Delete_it fs__get"),
            (r#"{"allow":["github__*"]}"#, "github__get github__Delete_it"),
            (r#"{"allow":["GitHub__*"]}"#, ""),
            (r#"{"deny":["*delete*"]}"#, "github__get fs__get"),
            (r#"{"allow":["github__*"],"deny":["*delete*"]}"#, "github__get"),
            (r#"{"allow":["fs__*","github__Delete_it"],"deny":["*_IT"]}"#, "fs__get"),
            (r#"{"servers":{"f*":{"deny":["*"]}}}"#, "github__get github__Delete_it"),
            (r#"{"deny":["get"]}"#, "github__Delete_it"),
            (r#"{"allow":["get"]}"#, ""),
            (r#"{"servers":{"github":{"allow":["*get"]}}}"#, "github__get fs__get"),
            (r#"{"allow":["*get"],"servers":{"github":{"allow":["*it"]}}}"#, "fs__get"),
            (r#"{"servers":{"*":{"allow":["*get"]},"fs":{"deny":["*get"]}}}"#, "github__get"),
        ] {
            let written = Written::read(Config::new(config)).unwrap();
            let items = [("github", "github__get"), ("github", "github__Delete_it"), ("fs", "fs__get")];
            let left =
                items.into_iter().filter(|(server, name)| written.shows(server, &Names::of(server, name)));
            assert_eq!(left.map(|(_, name)| name).collect::<Vec<_>>().join(" "), shown, "{config}");
        }
    }
}

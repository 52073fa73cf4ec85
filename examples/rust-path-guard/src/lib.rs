//! Refuses tool calls with paths outside the directories that are allowed, however they are spelt: absolute, with `..`, as
//! `file:` URLs, percent-encoded there.
//!
//! It reads text and no file system: a symbolic link that the server follows is the server's business.

use serde::Deserialize;
use wasmgate_plugin::{Call, Config, Descriptor, Finding, Hook, Interceptor, Problem};

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "allow": { "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "^/" } },
    "members": { "type": "array", "items": { "type": "string" } }
  },
  "required": ["allow"],
  "additionalProperties": false
}"#;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathGuard {
    /// Directories; everything below them is allowed.
    allow: Vec<String>,
    /// Arguments that are paths, whatever they look like.
    #[serde(default = "usual_members")]
    members: Vec<String>,
}

fn usual_members() -> Vec<String> {
    ["path", "paths", "file", "filename", "directory", "dir", "source", "destination"]
        .map(str::to_owned)
        .into()
}

impl Interceptor for PathGuard {
    fn describe() -> Descriptor {
        let about = "Refuses tool calls with paths outside the directories that are allowed.";
        Descriptor::new("path-guard", env!("CARGO_PKG_VERSION"), about)
            .hook(Hook::validate(&["tools/call"]).request())
            .config_schema(SCHEMA)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        let guard: Self = config.read()?;
        let relative = guard.allow.iter().enumerate().filter(|(_, root)| !root.starts_with('/'));
        let problems: Vec<_> = relative
            .map(|(index, _)| Problem::new(&format!("/allow/{index}"), "must begin with `/`"))
            .collect();
        if problems.is_empty() { Ok(guard) } else { Err(problems) }
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let outside = |leaf: &wasmgate_plugin::Leaf| {
            let path = match leaf.text.strip_prefix("file://") {
                Some(rest) => decoded(rest.strip_prefix("localhost").unwrap_or(rest)),
                None => leaf.text.clone(),
            };
            let is_path =
                path.starts_with('/') || leaf.text.starts_with("file:") || self.is_member(&leaf.pointer);
            is_path && !self.allows(&path)
        };
        let leaves = call.strings("/arguments", 1);
        let found = leaves.into_iter().filter(outside);
        Ok(found
            .map(|leaf| Finding::error("is a path outside the allowed directories").at(leaf.pointer))
            .collect())
    }
}

wasmgate_plugin::export!(PathGuard);

impl PathGuard {
    /// Whether the argument at this pointer is one of those that are paths, or an element of one.
    fn is_member(&self, pointer: &str) -> bool {
        let name = pointer.rsplit('/').find(|name| name.parse::<usize>().is_err());
        name.is_some_and(|name| self.members.iter().any(|member| member == name))
    }

    /// Whether a path leads into an allowed directory. A relative one starts in a directory of the server's choice and may
    /// not climb out of it.
    fn allows(&self, path: &str) -> bool {
        let Some(normal) = normal(path) else { return false };
        if !path.starts_with('/') {
            return true;
        }
        self.allow.iter().filter_map(|root| self::normal(root)).any(|root| normal.starts_with(&root))
    }
}

/// The names on the way, without `.` and `..`; None when it climbs above where it starts, or holds a NUL.
fn normal(path: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for name in path.split(['/', '\\']) {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name if name.contains('\0') => return None,
            name => names.push(name),
        }
    }
    Some(names)
}

/// Percent-decoded, bytes that are no UTF-8 replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match hex {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use wasmgate_plugin::{Phase, harness};

    use super::*;

    #[track_caller]
    fn check(arguments: &str, refused: &[&str]) {
        let guard = PathGuard::configure(Config::new(r#"{"allow":["/srv/docs/","/tmp"]}"#)).unwrap();
        let payload = format!(r#"{{"name":"read","arguments":{arguments}}}"#);
        let findings = harness::validate(&guard, "tools/call", Phase::Request, &payload).unwrap();
        let paths: Vec<_> = findings.iter().filter_map(|finding| finding.path.as_deref()).collect();
        assert_eq!(paths, refused, "{arguments}");
    }

    #[test]
    fn what_is_inside_passes() {
        check(r#"{"path":"/srv/docs/a.md"}"#, &[]);
        check(r#"{"path":"/srv/docs/x/../a.md","paths":["/tmp","notes/today.md"]}"#, &[]);
        check(r#"{"uri":"file:///tmp/a%20b"}"#, &[]);
        check(r#"{"text":"either/or, not a path"}"#, &[]);
    }

    #[test]
    fn what_is_outside_is_refused_however_it_is_spelt() {
        check(r#"{"path":"/etc/passwd"}"#, &["/arguments/path"]);
        check(r#"{"path":"/srv/docs/../../etc/passwd"}"#, &["/arguments/path"]);
        check(r#"{"path":"/srv/docs-private/a"}"#, &["/arguments/path"]);
        check(r#"{"paths":["a","../../etc"]}"#, &["/arguments/paths/1"]);
        check(r#"{"anything":"/root/.ssh/id_ed25519"}"#, &["/arguments/anything"]);
        check(r#"{"uri":"file:///srv/docs/%2e%2e/%2E%2e/etc/passwd"}"#, &["/arguments/uri"]);
        check(r#"{"path":"..\\..\\windows"}"#, &["/arguments/path"]);
    }

    #[test]
    fn a_relative_root_is_refused() {
        let problems = PathGuard::configure(Config::new(r#"{"allow":["docs"]}"#)).unwrap_err();
        assert_eq!(problems[0].pointer, "/allow/0");
    }
}

//! `--profile`: a set of servers and tools that goes by a name. One of the file's own `profiles`, or one of Docker's, which
//! is a catalog whose servers are all enabled.

use std::collections::BTreeMap;

use super::raw::RawProfile;
use super::sources::is_file;
use crate::document::{Diagnostic, Spanned, closest};

/// What `--profile` names.
#[derive(Debug, Default)]
pub(super) enum Profile {
    /// Nothing was asked for.
    #[default]
    None,
    /// One of the file's.
    Own {
        /// The servers to run: these and no others.
        servers: Vec<Spanned<String>>,
        /// The tools that may be seen, as `--tools` has them; all when absent.
        tools: Option<Vec<String>>,
    },
    /// A catalog to read: a file of Docker's, or an artifact.
    Catalog(String),
}

/// Finds the profile of a name.
///
/// # Errors
/// When it is neither one of the file's, nor a file, nor a reference.
pub(super) fn find(
    asked: Option<&str>,
    own: &mut BTreeMap<String, Spanned<RawProfile>>,
    exists: impl FnOnce(&str) -> bool,
) -> Result<Profile, Diagnostic> {
    let Some(name) = asked else { return Ok(Profile::None) };
    if let Some(found) = own.remove(name) {
        let RawProfile { servers, tools } = found.value;
        let tools = tools.map(|tools| tools.iter().map(|tool| pattern(tool)).collect());
        return Ok(Profile::Own { servers, tools });
    }
    if !is_file(name) || exists(name) {
        return Ok(Profile::Catalog(name.to_owned()));
    }
    let cure = match closest(name, own.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if own.is_empty() => {
            "add it to `profiles` in wasmgate.yaml, or name a profile's file or an `oci://` reference"
                .to_owned()
        }
        None => format!("there are: {}", own.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    Err(Diagnostic::new("--profile", format!("no profile is called `{name}`"), cure))
}

/// Public names (`docs__search`, `docs__*`) as the patterns of `--tools`.
fn pattern(tool: &str) -> String {
    match tool.split_once("__") {
        Some((server, tool_of_it)) if !tool.contains(':') => format!("{server}:{tool_of_it}"),
        _ => tool.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        let mut own = BTreeMap::new();
        let text = "research: {servers: [time, docs], tools: ['docs__*', 'time:now', now]}";
        let read: BTreeMap<String, Spanned<RawProfile>> =
            crate::document::Source { file: "f", text }.parse().unwrap();
        own.extend(read);
        let shown = match find(Some(name), &mut own, |file| file == "there.yaml") {
            Ok(Profile::None) => "none".to_owned(),
            Ok(Profile::Own { servers, tools }) => {
                let servers: Vec<_> = servers.iter().map(|server| server.value.as_str()).collect();
                format!("{servers:?} {:?}", tools.unwrap_or_default())
            }
            Ok(Profile::Catalog(reference)) => format!("catalog {reference}"),
            Err(problem) => format!("{}: {}", problem.message, problem.cure),
        };
        assert_eq!(shown, expected, "{name}");
    }

    #[test]
    fn a_profile_is_the_file_s_own_or_a_catalog() {
        check("research", r#"["time", "docs"] ["docs:*", "time:now", "now"]"#);
        check("there.yaml", "catalog there.yaml");
        check("oci://ghcr.io/acme/set:1", "catalog oci://ghcr.io/acme/set:1");
        check("reserch", "no profile is called `reserch`: did you mean `research`?");
        check("x", "no profile is called `x`: there are: research");
    }
}

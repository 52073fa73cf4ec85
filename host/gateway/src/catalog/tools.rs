//! `--tools` as Docker reads it: `*`, `tool`, `server:tool`, `server:*`, `image:tool`, `image:*`, in any case. Once given,
//! it takes the place of every `tools.yaml`.

use std::collections::BTreeSet;

use wasmgate_core::catalog::ToolFilter;

/// The patterns of one `--tools`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Patterns as given; each may hold several, separated by commas. Blank ones are dropped.
    pub fn new<'a>(given: impl IntoIterator<Item = &'a str>) -> Self {
        let each = given.into_iter().flat_map(|text| text.split(',')).map(str::trim);
        Self(each.filter(|text| !text.is_empty()).map(str::to_lowercase).collect())
    }

    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the patterns let through of a server; `image` is its image, if it has one.
    pub fn filter(&self, server: &str, image: Option<&str>) -> ToolFilter {
        let owners: Vec<String> =
            [Some(server), image].into_iter().flatten().map(str::to_lowercase).collect();
        let mut names = BTreeSet::new();
        for pattern in &self.0 {
            let of_this =
                owners.iter().find_map(|owner| pattern.strip_prefix(owner.as_str())?.strip_prefix(':'));
            match (pattern.as_str(), of_this) {
                ("*", _) | (_, Some("*")) => return ToolFilter::All,
                (_, Some(tool)) => names.extend([tool.to_owned(), pattern.clone()]),
                (tool, None) => names.extend([tool.to_owned()]),
            }
        }
        ToolFilter::OnlyIgnoringCase(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &[&str], tool: &str, allowed: bool) {
        let filter = Patterns::new(patterns.iter().copied()).filter("Files", Some("mcp/files:1"));
        assert_eq!(filter.allows(tool), allowed, "{patterns:?} {tool}");
    }

    #[test]
    fn patterns_are_docker_s() {
        check(&["*"], "read", true);
        check(&["READ"], "read", true);
        check(&["files:Read"], "read", true);
        check(&["files:read"], "write", false);
        check(&["FILES:*"], "anything", true);
        check(&["other:*"], "read", false);
        check(&["mcp/files:1:read"], "read", true);
        check(&["mcp/files:1:*"], "write", true);
        check(&["a,read"], "read", true);
        check(&["other:read"], "other:read", true);
    }
}

//! A checked image reference: what may be asked of the engine, and in which parts it wants a pull.

/// An image reference whose characters are harmless in a URL path of the engine's API.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    text: String,
    repository: String,
    version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Version {
    Tag(String),
    Digest(String),
}

impl Reference {
    /// Checks and splits a reference as Docker spells it; `None` when it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b);
        let path = text.split('/').all(|part| part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()));
        if text.len() > LONGEST || !text.bytes().all(allowed) || !path {
            return None;
        }
        let (named, digest) =
            text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
        let name_start = named.rfind('/').map_or(0, |slash| slash + 1);
        let colon = named.get(name_start..)?.find(':').map(|at| name_start + at);
        let (repository, tag) = colon
            .and_then(|at| named.split_at_checked(at))
            .map_or((named, None), |(name, tag)| (name, tag.get(1..)));
        let version = match (digest, tag) {
            (Some(digest), _) if is_digest(digest) => Version::Digest(digest.to_owned()),
            (None, Some(tag)) if is_tag(tag) => Version::Tag(tag.to_owned()),
            (None, None) => Version::Tag("latest".to_owned()),
            _ => return None,
        };
        Some(Self { text: text.to_owned(), repository: repository.to_owned(), version })
    }

    /// As written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names its content, so that what is there need not be asked for again.
    pub(super) fn is_pinned(&self) -> bool {
        matches!(self.version, Version::Digest(_))
    }

    /// Repository and tag or digest, as the engine's pull wants them. Never without the latter: that pulls all tags.
    pub(super) fn pull_parts(&self) -> (&str, &str) {
        let (Version::Tag(version) | Version::Digest(version)) = &self.version;
        (&self.repository, version)
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(word)
}

/// Repository 255, tag 128, digest 71, and the marks between.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let parsed = Reference::parse(text);
        assert_eq!(parsed.as_ref().map(Reference::pull_parts), expected, "{text}");
    }

    #[test]
    fn references_are_split_as_docker_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        check("mcp/time", Some(("mcp/time", "latest")));
        check("mcp/time:1.0", Some(("mcp/time", "1.0")));
        check("localhost:5000/a/b", Some(("localhost:5000/a/b", "latest")));
        check("localhost:5000/a/b:c", Some(("localhost:5000/a/b", "c")));
        check(&format!("mcp/time@{digest}"), Some(("mcp/time", &digest)));
        check(&format!("r:5/mcp/time:1@{digest}"), Some(("r:5/mcp/time", &digest)));
        for bad in [
            "",
            "/",
            "a/../b",
            "a//b",
            "../x",
            "a b",
            "a?b",
            "a#b",
            "a%2f",
            "-a",
            "a:",
            "a@",
            "a@sha256:12",
            "a:b:c",
            "a\n",
        ] {
            check(bad, None);
        }
        check(&"a".repeat(513), None);
    }
}

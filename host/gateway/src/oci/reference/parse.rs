//! From text to a [`Reference`]. Pure.

use std::net::Ipv6Addr;

use super::{HUB, Reference};
use crate::oci::digest::{Digest, NotADigest};

/// Text that is no reference, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a reference: {why}")]
pub struct NotAReference {
    /// As written, shortened.
    pub text: String,
    /// Which part is wrong and what belongs there.
    pub why: String,
}

/// Reads a reference and completes it.
pub(super) fn parse(text: &str) -> Result<Reference, NotAReference> {
    split(text).map_err(|why| NotAReference { text: text.chars().take(200).collect(), why })
}

fn split(text: &str) -> Result<Reference, String> {
    let text = text.strip_prefix("oci://").unwrap_or(text);
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!(
            "it is `host/repository:tag`, optionally after `oci://`, and has no `{scheme}://`"
        ));
    }
    let (named, digest) = match text.split_once('@') {
        Some((named, digest)) => {
            let digest: Result<Digest, NotADigest> = digest.parse();
            (named, Some(digest.map_err(|error| error.to_string())?))
        }
        None => (text, None),
    };
    let name_start = named.rfind('/').map_or(0, |slash| slash + 1);
    let colon = named.get(name_start..).and_then(|last| last.find(':')).map(|at| name_start + at);
    let (name, tag) = match colon.and_then(|at| named.split_at_checked(at)) {
        Some((name, tag)) => (name, Some(tag.trim_start_matches(':'))),
        None => (named, None),
    };
    let (registry, repository) = complete(name)?;
    check_registry(&registry)?;
    check_repository(&repository)?;
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let latest = (tag.is_none() && digest.is_none()).then_some("latest");
    Ok(Reference { registry, repository, tag: tag.or(latest).map(str::to_owned), digest })
}

/// Host and repository, as Docker completes them.
fn complete(name: &str) -> Result<(String, String), String> {
    if name.is_empty() {
        return Err("there is no name".to_owned());
    }
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first.to_ascii_lowercase(), rest),
        _ => (HUB.to_owned(), name),
    };
    let registry = if HUB_NAMES.contains(&registry.as_str()) { HUB.to_owned() } else { registry };
    let repository = if registry == HUB && !repository.contains('/') {
        format!("library/{repository}")
    } else {
        repository.to_owned()
    };
    Ok((registry, repository))
}

/// Whether the first part of a name is a host: repositories cannot have these marks.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':', '[']) || first.eq_ignore_ascii_case("localhost")
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().map_err(|_| format!("`{address}` is not an IPv6 address"))?;
            (None, port.strip_prefix(':'))
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    if let Some(port) = port
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        return Err(format!("`{port}` is not a port"));
    }
    let label = |part: &str| {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !part.is_empty() && part.bytes().all(word) && !part.starts_with('-') && !part.ends_with('-')
    };
    match host {
        Some(host) if host.is_empty() || host.len() > 253 || !host.split('.').all(label) => {
            Err(format!("`{host}` is not a host name"))
        }
        _ => Ok(()),
    }
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.len() > LONGEST_REPOSITORY {
        return Err(format!("its repository is longer than {LONGEST_REPOSITORY} characters"));
    }
    let Some(wrong) = repository.split('/').find(|part| !is_component(part)) else { return Ok(()) };
    Err(if wrong.is_empty() {
        "its repository has an empty part".to_owned()
    } else if wrong.bytes().any(|b| b.is_ascii_uppercase()) {
        format!("repositories are lower-case, and `{wrong}` is not")
    } else {
        format!(
            "`{wrong}` cannot be part of a repository: lower-case letters and digits, separated by `.`, `_`, `__` or `-`"
        )
    })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = part.bytes().next().is_some_and(word) && part.bytes().next_back().is_some_and(word);
    let mut separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends && separators.all(|mark| matches!(mark, "" | "." | "_" | "__") || mark.bytes().all(|b| b == b'-'))
}

/// `[\w][\w.-]{0,127}`
fn check_tag(tag: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let first = tag.bytes().next().is_some_and(word);
    if first && tag.len() <= LONGEST_TAG && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
        return Ok(());
    }
    Err(format!(
        "`{tag}` is not a tag: up to {LONGEST_TAG} letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`"
    ))
}

/// The nearest repository to any name.
pub(super) fn as_repository(name: &str) -> String {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        let mut spelled = String::new();
        for c in part.to_lowercase().chars().map(|c| if word(c) || ".-_".contains(c) { c } else { '-' }) {
            // One mark between words: of several, the last.
            if !word(c) && spelled.ends_with(|last| !word(last)) {
                spelled.pop();
            }
            spelled.push(c);
        }
        spelled.trim_matches(|c| !word(c)).to_owned()
    };
    let parts: Vec<String> = name.split('/').map(part).filter(|part| !part.is_empty()).collect();
    let repository = parts.join("/");
    let most = repository.get(..LONGEST_REPOSITORY).unwrap_or(&repository);
    let repository = most.trim_end_matches(|c| !word(c)).to_owned();
    if repository.is_empty() { "artifact".to_owned() } else { repository }
}

/// The nearest tag to any version.
pub(super) fn as_tag(version: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let tag: String =
        version.chars().map(|c| if word(c) { c } else { '_' }).skip_while(|c| ".-".contains(*c)).collect();
    let tag = tag.get(..LONGEST_TAG).unwrap_or(&tag);
    if tag.is_empty() { "latest".to_owned() } else { tag.to_owned() }
}

/// What people call Docker Hub.
const HUB_NAMES: [&str; 3] = [HUB, "index.docker.io", "registry-1.docker.io"];
const LONGEST_REPOSITORY: usize = 255;
const LONGEST_TAG: usize = 128;

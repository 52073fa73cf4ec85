//! Which artifacts need whose signature, and what happens without.

use std::fmt;

use super::{Evidence, Glob, Signer, Subject, TrustRoot, Unverified, Verified, verify};

/// The rules, in order; the first whose pattern fits decides. What none fits needs no signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The repositories it is about.
    pub pattern: Pattern,
    /// What they need.
    pub demand: Demand,
    /// The repository that their signatures are in, when it is another (cosign's `COSIGN_REPOSITORY`), as in
    /// `docker.io/mcp/signatures`.
    pub signatures: Option<String>,
}

/// What a rule wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Off,
    /// This one's signature; without, people are told.
    Warn(Signer),
    /// This one's signature; without, nothing is loaded.
    Require(Signer),
}

/// A pattern over `registry/repository`, without tag and digest: a tag must not decide what is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Glob);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Empty, or with a space.
    #[error(
        "is not a pattern: write `registry/repository`, with `*` for any characters, as in `ghcr.io/acme/*`"
    )]
    Empty,
    /// A tag or a digest.
    #[error("has a tag or a digest: a rule is about repositories, whatever their tags")]
    Tagged,
    /// `acme/x`, which could be Docker Hub's or a host.
    #[error("names no registry: write `docker.io/{0}`")]
    NoRegistry(String),
}

/// That the policy was asked about one digest and has nothing against it. Only [`Policy::clear`] makes one: what loads an
/// artifact asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    digest: String,
    outcome: Outcome,
}

/// What the policy found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No rule asks for a signature.
    NotAsked,
    /// Signed by whom the rule wants.
    Verified(Verified),
    /// Not signed by whom the rule wants, which it only wants to be told.
    Warned(Unverified),
}

/// A signature is required, and there is none that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{repository}` must be signed by {wanted}: {unverified}")]
pub struct Unsigned {
    /// The repository.
    pub repository: String,
    /// Who should have signed.
    pub wanted: String,
    /// Why nothing counts.
    #[source]
    pub unverified: Unverified,
}

impl Policy {
    /// A policy of these rules, in this order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The rule that decides about `registry/repository`, written in full (`docker.io/library/...`).
    pub fn rule(&self, repository: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.pattern.matches(repository))
    }

    /// The rule that wants a signature for `registry/repository`; `None` when evidence need not be fetched.
    pub fn asks(&self, repository: &str) -> Option<&Rule> {
        self.rule(repository).filter(|rule| rule.demand != Demand::Off)
    }

    /// Asks the policy about what is going to be pulled.
    ///
    /// # Errors
    /// [`Unsigned`] when a signature is required and none counts.
    pub fn clear(
        &self,
        repository: &str,
        subject: &Subject,
        evidence: &[Evidence],
        root: &TrustRoot,
    ) -> Result<Clearance, Unsigned> {
        let outcome = match self.rule(repository).map(|rule| &rule.demand) {
            None | Some(Demand::Off) => Outcome::NotAsked,
            Some(Demand::Warn(signer)) => {
                verify(subject, evidence, signer, root).map_or_else(Outcome::Warned, Outcome::Verified)
            }
            Some(Demand::Require(signer)) => {
                let refused = |unverified| Unsigned {
                    repository: repository.to_owned(),
                    wanted: signer.to_string(),
                    unverified,
                };
                Outcome::Verified(verify(subject, evidence, signer, root).map_err(refused)?)
            }
        };
        let (algorithm, hex) = subject.named();
        Ok(Clearance { digest: format!("{algorithm}:{hex}"), outcome })
    }
}

impl Clearance {
    /// What it is good for: `sha256:...`. Anything else that is loaded was not asked about.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What was found.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

impl Pattern {
    /// Reads a pattern; `oci://` may stand before it.
    ///
    /// # Errors
    /// [`PatternError`] for what would never fit, or would fit by its tag.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_prefix("oci://").unwrap_or(text).to_ascii_lowercase();
        if text.is_empty() || text.contains(char::is_whitespace) || text.starts_with('/') {
            return Err(PatternError::Empty);
        }
        let (first, rest) = text.split_once('/').unwrap_or((&text, ""));
        if text.contains('@') || rest.contains(':') {
            return Err(PatternError::Tagged);
        }
        let is_registry = first == "localhost" || first.contains(['.', ':', '*']);
        if !is_registry {
            return Err(PatternError::NoRegistry(text));
        }
        if rest.is_empty() && !first.contains('*') {
            return Err(PatternError::Empty);
        }
        Ok(Self(Glob::new(text)))
    }

    /// Whether `registry/repository` fits.
    pub fn matches(&self, repository: &str) -> bool {
        self.0.matches(repository)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { key, logged: false } => write!(f, "the key {}", key.id()),
            Self::Key { key, logged: true } => write!(f, "the key {}, in a log", key.id()),
            Self::Identity { identity, issuer } => write!(f, "{identity} ({issuer})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_about_repositories_of_a_registry() {
        use PatternError::{Empty, NoRegistry, Tagged};
        for (text, expected) in [
            ("ghcr.io/acme/*", Ok("ghcr.io/acme/*")),
            ("oci://GHCR.io/acme/x", Ok("ghcr.io/acme/x")),
            ("localhost/x", Ok("localhost/x")),
            ("127.0.0.1:5000/*", Ok("127.0.0.1:5000/*")),
            ("*", Ok("*")),
            ("*.example.com/*", Ok("*.example.com/*")),
            ("", Err(Empty)),
            ("ghcr.io", Err(Empty)),
            ("a b", Err(Empty)),
            ("/x", Err(Empty)),
            ("ghcr.io/acme/x:1", Err(Tagged)),
            ("ghcr.io/acme/x@sha256:00", Err(Tagged)),
            ("mcp/*", Err(NoRegistry("mcp/*".to_owned()))),
        ] {
            let read = Pattern::parse(text).map(|pattern| pattern.to_string());
            assert_eq!(read, expected.map(ToOwned::to_owned), "{text}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |pattern: &str, repository: Option<&str>| Rule {
            pattern: Pattern::parse(pattern).expect("a pattern"),
            demand: Demand::Off,
            signatures: repository.map(ToOwned::to_owned),
        };
        let policy = Policy::new(vec![
            rule("ghcr.io/acme/tools/*", Some("1")),
            rule("ghcr.io/acme/*", Some("2")),
            rule("*/acme/*", Some("3")),
        ]);
        for (repository, expected) in [
            ("ghcr.io/acme/tools/x", Some("1")),
            ("ghcr.io/acme/x", Some("2")),
            ("docker.io/acme/x", Some("3")),
            ("docker.io/library/x", None),
        ] {
            let found = policy.rule(repository).and_then(|rule| rule.signatures.as_deref());
            assert_eq!(found, expected, "{repository}");
            assert_eq!(policy.asks(repository), None, "{repository}: off asks nothing");
        }
    }
}

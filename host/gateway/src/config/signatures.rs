//! `signatures:` of wasmgate.yaml: as written, and as a [`Policy`] with its trust root.

use serde::Deserialize;

use crate::document::{Diagnostic, Source, Spanned};
use crate::oci::Reference;
use crate::oci::trust::{Demand, Glob, Pattern, Policy, PublicKey, Rule, Signer, TrustRoot};

/// `signatures:` as written. May be wrong; [`Signatures`] cannot.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RawSignatures {
    /// A path to a `trusted_root.json`, or [`PUBLIC`], which is the default.
    trust_root: Option<Spanned<String>>,
    /// In order; the first that fits counts.
    rules: Vec<Spanned<RawRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawRule {
    /// Repositories, with `*`.
    #[serde(rename = "match")]
    pattern: Spanned<String>,
    #[serde(default)]
    policy: RawDemand,
    /// A path to a public key in PEM.
    key: Option<Spanned<String>>,
    /// Whether a key's signature has to be in a log of the trust root.
    #[serde(default)]
    transparency_log: bool,
    /// Of the certificate, with `*`.
    identity: Option<Spanned<String>>,
    /// Who vouched for it.
    issuer: Option<Spanned<String>>,
    /// The repository that has the signatures, when it is another.
    signatures: Option<Spanned<String>>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDemand {
    #[default]
    Require,
    Warn,
    Off,
}

/// Which artifacts need whose signature, and whom to believe about certificates.
#[derive(Debug, Clone)]
pub struct Signatures {
    /// The rules.
    pub policy: Policy,
    /// The trust root.
    pub root: TrustRoot,
}

/// The public instance of Sigstore, as `trustRoot`.
pub const PUBLIC: &str = "builtin:sigstore";

impl RawSignatures {
    /// Reads the rules; `files` has the text of a file by its path as written, or nothing after telling why. What is wrong
    /// goes to `problems`, and then there is nothing.
    pub fn read(
        self,
        source: &Source<'_>,
        files: &mut dyn FnMut(&str) -> Option<String>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Signatures> {
        let before = problems.len();
        let mut reader = Reader { source, files, problems };
        let root = reader.root(self.trust_root);
        let rules: Vec<Option<Rule>> = self.rules.into_iter().map(|rule| reader.rule(rule)).collect();
        let rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
        // A file that could not be read is told by who reads files.
        (problems.len() == before).then_some(Signatures { policy: Policy::new(rules), root: root? })
    }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    files: &'a mut dyn FnMut(&str) -> Option<String>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn wrong<T>(&mut self, spot: &Spanned<T>, word: &str, message: String, cure: &str) {
        self.problems.push(self.source.at(&spot.referenced, word, message, cure.to_owned()));
    }

    fn root(&mut self, written: Option<Spanned<String>>) -> Option<TrustRoot> {
        let read = match &written {
            Some(path) if path.value != PUBLIC => TrustRoot::parse(&(self.files)(&path.value)?),
            _ => TrustRoot::public_good(),
        };
        let cure = "name a `trusted_root.json`, or leave it out for the public instance of Sigstore";
        match (read, &written) {
            (Ok(root), _) => Some(root),
            (Err(error), Some(path)) => {
                self.wrong(path, &path.value, format!("`{}` {error}", path.value), cure);
                None
            }
            (Err(error), None) => {
                self.problems.push(Diagnostic::new(PUBLIC, error.to_string(), cure));
                None
            }
        }
    }

    fn rule(&mut self, raw: Spanned<RawRule>) -> Option<Rule> {
        let spot = &raw.value.pattern;
        let pattern = Pattern::parse(&spot.value)
            .map_err(|error| self.wrong(spot, &spot.value, format!("`{}` {error}", spot.value), ""))
            .ok();
        let demand = match raw.value.policy {
            RawDemand::Off => Some(Demand::Off),
            RawDemand::Warn => self.signer(&raw).map(Demand::Warn),
            RawDemand::Require => self.signer(&raw).map(Demand::Require),
        };
        let signatures = match &raw.value.signatures {
            None => None,
            Some(elsewhere) => Some(self.repository(elsewhere)?),
        };
        Some(Rule { pattern: pattern?, demand: demand?, signatures })
    }

    fn repository(&mut self, written: &Spanned<String>) -> Option<String> {
        match Reference::parse(&written.value) {
            Ok(named) => Some(format!("{}/{}", named.registry(), named.repository())),
            Err(error) => {
                self.wrong(written, &written.value, error.to_string(), "");
                None
            }
        }
    }

    fn signer(&mut self, raw: &Spanned<RawRule>) -> Option<Signer> {
        let RawRule { pattern, key, identity, issuer, transparency_log, .. } = &raw.value;
        let (name, cure) = (&pattern.value, "add `key: ./cosign.pub`, or `identity:` and `issuer:`");
        match (key, identity, issuer) {
            (Some(key), None, None) => self.key(key, *transparency_log),
            (None, Some(identity), Some(issuer)) => self.identity(identity, issuer),
            (None, Some(spot), None) => {
                let cure =
                    "add `issuer:`, who vouches for it, as in `https://token.actions.githubusercontent.com`";
                self.wrong(
                    spot,
                    &spot.value,
                    format!("the rule for `{name}` names an identity and no issuer"),
                    cure,
                );
                None
            }
            (None, None, Some(spot)) => {
                let message = format!("the rule for `{name}` names an issuer and no identity");
                self.wrong(spot, &spot.value, message, "add `identity:`, whom it vouches for");
                None
            }
            (None, None, None) => {
                self.wrong(
                    pattern,
                    name,
                    format!("the rule for `{name}` does not say whose signature"),
                    cure,
                );
                None
            }
            (Some(_), _, _) => {
                let message = format!("the rule for `{name}` names a key and an identity");
                self.wrong(pattern, name, message, "keep one: a key's signature has no identity");
                None
            }
        }
    }

    fn key(&mut self, path: &Spanned<String>, logged: bool) -> Option<Signer> {
        let text = (self.files)(&path.value)?;
        match PublicKey::parse(&text) {
            Ok(key) => Some(Signer::Key { key, logged }),
            Err(error) => {
                self.wrong(path, &path.value, format!("`{}` {error}", path.value), "");
                None
            }
        }
    }

    fn identity(&mut self, identity: &Spanned<String>, issuer: &Spanned<String>) -> Option<Signer> {
        if identity.value.trim_matches('*').is_empty() {
            let message = "this identity is anybody the issuer knows".to_owned();
            let cure = "name at least an organisation, as in `https://github.com/acme/*`";
            self.wrong(identity, &identity.value, message, cure);
            return None;
        }
        if issuer.value.contains('*') || issuer.value.is_empty() {
            self.wrong(issuer, &issuer.value, "an issuer is written in full".to_owned(), "");
            return None;
        }
        Some(Signer::Identity { identity: Glob::new(&identity.value), issuer: issuer.value.clone() })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::document::render;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETcvGv5qypnoxKkFIQOdXZ+2H6JN8
8kmAQrMkTb6SmJ7BY59OJIOpTwdjD5joLot6zFs1Q7HHDmkF5HOaC8zSnA==
-----END PUBLIC KEY-----";

    fn read(text: &str) -> Result<Signatures, String> {
        let source = Source { file: "wasmgate.yaml", text };
        let raw: RawSignatures = source.parse().map_err(|problem| render(&problem))?;
        let mut files = |path: &str| Some(if path.ends_with(".pub") { KEY } else { "{}" }.to_owned());
        let mut problems = Vec::new();
        let read = raw.read(&source, &mut files, &mut problems);
        read.ok_or_else(|| problems.iter().map(render).collect())
    }

    #[test]
    fn rules_become_a_policy() {
        let signatures = read(
            "rules:\n\
             - {match: docker.io/mcp/*, key: ./docker.pub, transparencyLog: true, signatures: mcp/signatures}\n\
             - {match: ghcr.io/x/*, policy: warn, identity: 'https://github.com/x/y/*', issuer: 'https://token.actions.githubusercontent.com'}\n\
             - {match: '*', policy: off}\n",
        );
        let policy = signatures.expect("a policy").policy;
        let rule = policy.asks("docker.io/mcp/fetch").expect("a rule");
        assert!(matches!(&rule.demand, Demand::Require(Signer::Key { logged: true, .. })));
        assert_eq!(rule.signatures.as_deref(), Some("docker.io/mcp/signatures"));
        let warned = policy.asks("ghcr.io/x/tool").map(|rule| &rule.demand);
        assert!(matches!(warned, Some(Demand::Warn(Signer::Identity { .. }))));
        assert_eq!(policy.asks("quay.io/x/y"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_a_cure() {
        let mut said = String::new();
        for text in [
            "rules: [{match: mcp/*, key: a.pub}]",
            "rules: [{match: ghcr.io/a/*}]",
            "rules: [{match: ghcr.io/a/*, identity: x}]",
            "rules: [{match: ghcr.io/a/*, issuer: x}]",
            "rules: [{match: ghcr.io/a/*, key: a.pub, identity: x}]",
            "rules: [{match: ghcr.io/a/*, identity: '*', issuer: x}]",
            "rules: [{match: ghcr.io/a/*, identity: x, issuer: '*'}]",
            "rules: [{match: ghcr.io/a/*, key: a.txt}]",
            "rules: [{match: ghcr.io/a/*, policy: always}]",
            "trustRoot: root.json",
            "trustroot: root.json",
        ] {
            said += &read(text).expect_err("it is wrong");
        }
        expect![[r#"
            wasmgate.yaml:1:17: `mcp/*` names no registry: write `docker.io/mcp/*`
              |
            1 | rules: [{match: mcp/*, key: a.pub}]
              |                 ^^^^^
            wasmgate.yaml:1:17: the rule for `ghcr.io/a/*` does not say whose signature
              |
            1 | rules: [{match: ghcr.io/a/*}]
              |                 ^^^^^^^^^^^
              add `key: ./cosign.pub`, or `identity:` and `issuer:`
            wasmgate.yaml:1:40: the rule for `ghcr.io/a/*` names an identity and no issuer
              |
            1 | rules: [{match: ghcr.io/a/*, identity: x}]
              |                                        ^
              add `issuer:`, who vouches for it, as in `https://token.actions.githubusercontent.com`
            wasmgate.yaml:1:38: the rule for `ghcr.io/a/*` names an issuer and no identity
              |
            1 | rules: [{match: ghcr.io/a/*, issuer: x}]
              |                                      ^
              add `identity:`, whom it vouches for
            wasmgate.yaml:1:17: the rule for `ghcr.io/a/*` names a key and an identity
              |
            1 | rules: [{match: ghcr.io/a/*, key: a.pub, identity: x}]
              |                 ^^^^^^^^^^^
              keep one: a key's signature has no identity
            wasmgate.yaml:1:40: this identity is anybody the issuer knows
              |
            1 | rules: [{match: ghcr.io/a/*, identity: '*', issuer: x}]
              |                                        ^^^
              name at least an organisation, as in `https://github.com/acme/*`
            wasmgate.yaml:1:51: an issuer is written in full
              |
            1 | rules: [{match: ghcr.io/a/*, identity: x, issuer: '*'}]
              |                                                   ^^^
            wasmgate.yaml:1:35: `a.txt` is not a public key in PEM form (`-----BEGIN PUBLIC KEY-----`)
              |
            1 | rules: [{match: ghcr.io/a/*, key: a.txt}]
              |                                   ^^^^^
            wasmgate.yaml:1:38: `always` is not a choice here
              |
            1 | rules: [{match: ghcr.io/a/*, policy: always}]
              |                                      ^^^^^^
              known here: `require`, `warn`, `off`
            wasmgate.yaml:1:12: `root.json` is not a Sigstore trusted root: failed to parse JSON: missing field `mediaType` at line 1 column 2
              |
            1 | trustRoot: root.json
              |            ^^^^^^^^^
              name a `trusted_root.json`, or leave it out for the public instance of Sigstore
            wasmgate.yaml:1:1: unknown key `trustroot`
              |
            1 | trustroot: root.json
              | ^^^^^^^^^
              did you mean `trustRoot`?
        "#]].assert_eq(&said);
    }
}

//! Images, as the rest of the program looks at them: the signature policy, and Docker's logins.
//!
//! What is verified is a digest, and that digest is what is pulled and run. Which digest an image stands for is a matter of its
//! pull policy, as without signatures: what is on this machine, or what the registry says.

use wasmgate_core::catalog::Pull;

use super::artifacts::{Artifacts, missing};
use crate::config::Distribution;
use crate::launch::{Account, Admission, Admitted, Candidate, Finding, ImageGuard, ImageLogin, ImageLogins};
use crate::oci::{Credentials, Digest, Freshness, Login, Reference};

/// Lets in what the policy of one configuration has nothing against.
pub(super) struct SignedImages {
    pub(super) artifacts: Artifacts,
    pub(super) distribution: Distribution,
}

impl ImageGuard for SignedImages {
    fn admit<'a>(&'a self, candidate: Candidate<'a>) -> Admission<'a> {
        Box::pin(self.ask(candidate))
    }
}

impl SignedImages {
    async fn ask(&self, candidate: Candidate<'_>) -> Result<Admitted, String> {
        let Some(signatures) = &self.distribution.signatures else { return Ok(Admitted::AsNamed) };
        let reference =
            Reference::parse(candidate.image).map_err(|error| format!("cannot be had: {error}"))?;
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        if signatures.policy.asks(&repository).is_none() {
            return Ok(Admitted::AsNamed);
        }
        let mut refused = None;
        let known = reference.digest().map_or_else(|| digests(&reference, candidate.here), |it| vec![it]);
        for digest in &known {
            match self.cleared(&reference, *digest).await {
                Ok(admitted) => return Ok(admitted),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        // The registry may have one that is signed by now.
        match refused {
            Some(why) if candidate.pull == Pull::Never || reference.digest().is_some() => Err(why),
            None if candidate.pull == Pull::Never => Err(UNNAMED.to_owned()),
            refused => self.of_registry(&reference, &known).await.map_err(|why| refused.unwrap_or(why)),
        }
    }

    /// What the registry says the tag is, unless that was refused before.
    async fn of_registry(&self, reference: &Reference, known: &[Digest]) -> Result<Admitted, String> {
        let registry = self.artifacts.registry(&self.distribution).map_err(|missing| missing.words())?;
        let resolved = registry.resolve(reference, Freshness::Check).await;
        let digest = resolved.map_err(|error| missing(&error).words())?.digest;
        if known.contains(&digest) {
            return Err("is what was refused".to_owned());
        }
        self.cleared(reference, digest).await
    }

    async fn cleared(&self, reference: &Reference, digest: Digest) -> Result<Admitted, String> {
        let cleared = self.artifacts.clear(reference, digest, &self.distribution).await;
        cleared.map_err(|missing| missing.words())?;
        Ok(Admitted::Pinned(reference.only(digest).to_string()))
    }
}

/// The digests that the engine has of the repository: an image may have come from several.
fn digests(reference: &Reference, here: &[String]) -> Vec<Digest> {
    let of_it = |other: &Reference| {
        (other.registry(), other.repository()) == (reference.registry(), reference.repository())
    };
    let known = here.iter().filter_map(|text| Reference::parse(text).ok()).filter(of_it);
    known.filter_map(|known| known.digest()).collect()
}

/// Of an image that may not be pulled, and was not.
const UNNAMED: &str = "must not be used: it needs a signature, and what is on this machine was not pulled from its registry, so it \
                       has no digest that could be signed (pull it, or let the policy be `off` for it)";

/// The logins that Docker has on this machine.
#[derive(Debug)]
pub(super) struct DockerLogins(pub(super) Credentials);

impl ImageLogins for DockerLogins {
    fn of<'a>(&'a self, image: &'a str) -> Finding<'a> {
        Box::pin(async move {
            let Ok(reference) = Reference::parse(image) else {
                return ImageLogin { registry: String::new(), account: Account::Nobody(None) };
            };
            let registry = reference.registry().to_owned();
            let account = match self.0.of(&registry).await {
                Login::Missing(why) => Account::Nobody(why),
                Login::Password(name, password) => Account::Password(name, password),
                Login::Identity(token) => Account::Identity(token),
            };
            ImageLogin { registry, account }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_of_an_image_are_those_of_its_repository() {
        let one = format!("sha256:{}", "1".repeat(64));
        let two = format!("sha256:{}", "2".repeat(64));
        let check = |image: &str, here: &[String], expected: &[&String]| {
            let found = digests(&Reference::parse(image).unwrap(), here);
            let found: Vec<String> = found.iter().map(Digest::to_string).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{image}");
        };
        let here = [format!("mcp/time@{one}"), format!("ghcr.io/mcp/time@{two}"), "<none>@<none>".to_owned()];
        check("mcp/time:1", &here, &[&one]);
        check("docker.io/mcp/time", &here, &[&one]);
        check("ghcr.io/mcp/time", &here, &[&two]);
        check("time", &here, &[]);
        check("alpine", &[format!("alpine@{one}")], &[&one]);
    }
}

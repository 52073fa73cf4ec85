//! The signature policy towards images: what is verified is a digest, and that digest is what is pulled and run.

use crate::config::Distribution;
use crate::launch::{Admission, Admitted, ImageGuard};
use crate::oci::{Freshness, Reference};

use super::artifacts::{Artifacts, missing};

/// Lets in what the policy of one configuration has nothing against.
pub(super) struct SignedImages {
    pub(super) artifacts: Artifacts,
    pub(super) distribution: Distribution,
}

impl ImageGuard for SignedImages {
    fn admit<'a>(&'a self, image: &'a str) -> Admission<'a> {
        Box::pin(self.ask(image))
    }
}

impl SignedImages {
    async fn ask(&self, image: &str) -> Result<Admitted, String> {
        let Some(signatures) = &self.distribution.signatures else { return Ok(Admitted::AsNamed) };
        let reference = Reference::parse(image).map_err(|error| error.to_string())?;
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        if signatures.policy.asks(&repository).is_none() {
            return Ok(Admitted::AsNamed);
        }
        let registry = self.artifacts.registry(&self.distribution).map_err(|missing| missing.words())?;
        let resolved = registry.resolve(&reference, Freshness::Check).await;
        let digest = resolved.map_err(|error| missing(&error).words())?.digest;
        let cleared = self.artifacts.clear(&reference, digest, &self.distribution).await;
        cleared.map_err(|missing| missing.words())?;
        Ok(Admitted::Pinned(reference.only(digest).to_string()))
    }
}

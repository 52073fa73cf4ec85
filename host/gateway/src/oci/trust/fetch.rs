//! Evidence from registries, and from the store when there is no network: what was fetched once is kept like any artifact.

use super::evidence::{Gathered, Layer, Referrer, Repository, gather};
use super::{MOST_EVIDENCE, Rule, Subject};
use crate::oci::{Digest, Freshness, Most, OciError, Reference, Registry};

/// The signatures of the manifest `digest` of `reference`, from where `rule` says they are. That there is none is no failure.
pub async fn fetch(
    registry: &Registry,
    reference: &Reference,
    digest: Digest,
    rule: &Rule,
    freshness: Freshness,
) -> Gathered<OciError> {
    let named = match rule.signatures.as_deref().map(Reference::parse).transpose() {
        Ok(elsewhere) => elsewhere.unwrap_or_else(|| reference.clone()),
        Err(error) => return Gathered { evidence: Vec::new(), failure: Some(error.into()) },
    };
    gather(&Subject::from(digest), &Place { registry, named, freshness }).await
}

/// One repository of a registry.
struct Place<'a> {
    registry: &'a Registry,
    named: Reference,
    freshness: Freshness,
}

impl Repository for Place<'_> {
    type Error = OciError;

    async fn referrers(&self, digest: &str) -> Result<Vec<Referrer>, OciError> {
        let Ok(to) = digest.parse::<Digest>() else { return Ok(Vec::new()) };
        let listed = self.registry.referrers(&self.named, to, None, self.freshness).await?;
        let read = listed.into_iter().map(|one| Referrer {
            digest: one.digest.to_string(),
            artifact_type: one.artifact_type.unwrap_or_default(),
            annotations: one.annotations,
        });
        Ok(read.collect())
    }

    async fn layers(&self, version: &str, most: usize) -> Result<Option<Vec<Layer>>, OciError> {
        let reference = match version.parse::<Digest>() {
            Ok(digest) => self.named.only(digest),
            Err(_) => self.named.tagged(version),
        };
        let most = Most { bytes: most as u64, layers: MOST_EVIDENCE };
        let artifact = match self.registry.pull(&reference, self.freshness, most).await {
            Ok(pulled) => pulled.artifact,
            Err(error) if error.is_not_found() => return Ok(None),
            // Not a signature anybody could check: it does not stand in the way of one that is.
            Err(error @ (OciError::TooLarge { .. } | OciError::Manifest { .. })) => {
                tracing::debug!(%reference, %error, "this is left out of the signatures");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let layers = artifact.manifest.layers.into_iter().zip(artifact.layers);
        let read = layers.map(|(described, content)| Layer {
            media_type: described.media_type,
            annotations: described.annotations,
            content,
        });
        Ok(Some(read.collect()))
    }
}

//! Fetches what a registry has in the way of signatures of one manifest, for [`super::verify`] to judge.
//!
//! Two places: the list of what refers to the manifest (bundles, and cosign's layers where it was told to use the list), and
//! cosign's tag `sha256-<hex>.sig` beside it. How many are fetched and how large they are is bounded; what is too many or too
//! large is left, and does not count.

use std::collections::BTreeMap;
use std::future::Future;

use bytes::Bytes;

use super::{Evidence, MOST_BYTES, MOST_EVIDENCE, SimpleSigning, Subject, statement};

/// What signatures are fetched from: one repository of a registry.
pub trait Repository {
    /// Why it cannot be asked.
    type Error;

    /// What refers to `digest`; none is no error.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn referrers(&self, digest: &str) -> impl Future<Output = Result<Vec<Referrer>, Self::Error>> + Send;

    /// The layers of the manifest at a tag or a digest, when it is there and has at most `most` bytes; `None` otherwise.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn layers(
        &self,
        version: &str,
        most: usize,
    ) -> impl Future<Output = Result<Option<Vec<Layer>>, Self::Error>> + Send;
}

/// An entry of the list.
#[derive(Debug, Clone, Default)]
pub struct Referrer {
    /// Of the manifest that refers.
    pub digest: String,
    /// What kind it is.
    pub artifact_type: String,
    /// What its publisher says about it.
    pub annotations: BTreeMap<String, String>,
}

/// A layer with its content.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Of the content.
    pub media_type: String,
    /// What its publisher says about it.
    pub annotations: BTreeMap<String, String>,
    /// The content; its digest was checked.
    pub content: Bytes,
}

/// What could be had. A signature that counts needs no other: what could not be had matters only when none counts.
#[derive(Debug, Clone)]
pub struct Gathered<E> {
    /// In the order it was found.
    pub evidence: Vec<Evidence>,
    /// Why there may be more.
    pub failure: Option<E>,
}

/// The signatures of `subject` in `repository`, those of the list first.
pub async fn gather<R: Repository + Sync>(subject: &Subject, repository: &R) -> Gathered<R::Error> {
    let (algorithm, hex) = subject.named();
    let mut failures = Vec::new();
    let listed = repository.referrers(&format!("{algorithm}:{hex}")).await;
    let listed = listed.unwrap_or_else(|failure| {
        failures.push(failure);
        Vec::new()
    });
    let listed = listed.into_iter().filter(Referrer::may_be_a_signature).map(|referrer| referrer.digest);
    let mut versions: Vec<String> = listed.take(MOST_EVIDENCE).collect();
    versions.push(format!("{algorithm}-{hex}.sig"));
    let (mut found, mut left) = (Vec::new(), MOST_IN_ALL);
    for version in versions {
        let layers = match repository.layers(&version, left.min(MOST_BYTES)).await {
            Ok(layers) => layers.unwrap_or_default(),
            Err(failure) => {
                failures.push(failure);
                if failures.len() >= MOST_FAILURES {
                    break;
                }
                continue;
            }
        };
        for layer in layers.into_iter().take(MOST_EVIDENCE) {
            left = left.saturating_sub(layer.content.len());
            found.extend(layer.evidence());
        }
    }
    found.truncate(MOST_EVIDENCE);
    Gathered { evidence: found, failure: failures.into_iter().next() }
}

impl Referrer {
    /// Lists of parts and scans are bundles too; those that say so are not fetched.
    fn may_be_a_signature(&self) -> bool {
        let is_of_a_kind = self.artifact_type.starts_with(BUNDLE) || self.artifact_type == COSIGN;
        is_of_a_kind && self.annotations.get(PREDICATE).is_none_or(|kind| statement::is_consenting(kind))
    }
}

impl Layer {
    fn evidence(self) -> Option<Evidence> {
        if self.media_type.starts_with(BUNDLE) {
            return Some(Evidence::Bundle(self.content));
        }
        let layer = SimpleSigning::from_layer(self.content, &self.annotations);
        layer.filter(|_| self.media_type == SimpleSigning::MEDIA_TYPE).map(Evidence::Simple)
    }
}

/// Bundles of every version: `.v0.3+json`, `+json;version=0.2`.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// cosign's layers, where they are in the list.
const COSIGN: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// Where bundles in the list say what they state.
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
/// After so many failures the repository is left alone: each may have cost all of its patience.
const MOST_FAILURES: usize = 2;
/// Most bytes fetched for one subject.
const MOST_IN_ALL: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A repository in memory that remembers what it was asked.
    #[derive(Default)]
    struct Shelf {
        referrers: Vec<Referrer>,
        layers: BTreeMap<String, Vec<Layer>>,
        /// What cannot be had.
        broken: Vec<String>,
        asked: Mutex<Vec<String>>,
    }

    impl Repository for Shelf {
        type Error = String;
        async fn referrers(&self, digest: &str) -> Result<Vec<Referrer>, String> {
            self.asked.lock().expect("a lock").push(format!("to {digest}"));
            Ok(self.referrers.clone())
        }
        async fn layers(&self, version: &str, most: usize) -> Result<Option<Vec<Layer>>, String> {
            self.asked.lock().expect("a lock").push(version.to_owned());
            if self.broken.iter().any(|broken| broken == version) {
                return Err(format!("{version} is broken"));
            }
            let fits = |layers: &&Vec<Layer>| layers.iter().all(|layer| layer.content.len() <= most);
            Ok(self.layers.get(version).filter(fits).cloned())
        }
    }

    fn referrer(digest: &str, kind: &str, predicate: Option<&str>) -> Referrer {
        let annotations = predicate.map(|kind| (PREDICATE.to_owned(), kind.to_owned())).into_iter().collect();
        Referrer { digest: digest.to_owned(), artifact_type: kind.to_owned(), annotations }
    }

    fn layer(kind: &str, content: Vec<u8>, signature: Option<&str>) -> Layer {
        let name = "dev.cosignproject.cosign/signature".to_owned();
        let annotations = signature.map(|text| (name, text.to_owned())).into_iter().collect();
        Layer { media_type: kind.to_owned(), annotations, content: content.into() }
    }

    fn subject() -> Subject {
        Subject::new(&format!("sha256:{}", "0".repeat(64))).expect("a digest")
    }

    const V3: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

    #[tokio::test]
    async fn bundles_of_the_list_and_layers_of_the_tag_are_fetched() {
        let tag = format!("sha256-{}.sig", "0".repeat(64));
        let shelf = Shelf {
            referrers: vec![
                referrer("sha256:1", V3, None),
                referrer("sha256:2", V3, Some("https://spdx.dev/Document")),
                referrer("sha256:3", V3, Some("https://sigstore.dev/cosign/sign/v1")),
                referrer("sha256:4", "application/vnd.example", None),
                referrer("sha256:5", V3, None),
            ],
            layers: BTreeMap::from([
                ("sha256:1".to_owned(), vec![layer(V3, b"one".to_vec(), None)]),
                ("sha256:3".to_owned(), vec![layer(V3, b"three".to_vec(), None)]),
                ("sha256:5".to_owned(), vec![layer(V3, vec![0; MOST_BYTES + 1], None)]),
                (
                    tag.clone(),
                    vec![
                        layer(SimpleSigning::MEDIA_TYPE, b"{}".to_vec(), Some("MEU=")),
                        layer(SimpleSigning::MEDIA_TYPE, b"{}".to_vec(), None),
                        layer("text/plain", b"{}".to_vec(), Some("MEU=")),
                    ],
                ),
            ]),
            ..Shelf::default()
        };
        let found = gather(&subject(), &shelf).await.evidence;
        let found: Vec<String> = found
            .iter()
            .map(|piece| match piece {
                Evidence::Bundle(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Evidence::Simple(layer) => format!("simple {}", layer.signature),
            })
            .collect();
        assert_eq!(found, ["one", "three", "simple MEU="]);
        let asked = shelf.asked.into_inner().expect("a lock");
        assert_eq!(asked[1..], ["sha256:1", "sha256:3", "sha256:5", &tag].map(str::to_owned));
    }

    #[tokio::test]
    async fn a_flood_is_not_fetched() {
        let shelf = Shelf {
            referrers: (0..1000).map(|n| referrer(&format!("sha256:{n}"), V3, None)).collect(),
            ..Shelf::default()
        };
        let found = gather(&subject(), &shelf).await.evidence;
        assert!(found.is_empty());
        assert_eq!(shelf.asked.into_inner().expect("a lock").len(), 1 + MOST_EVIDENCE + 1);
    }

    #[tokio::test]
    async fn what_cannot_be_had_does_not_hide_what_can() {
        let tag = format!("sha256-{}.sig", "0".repeat(64));
        let shelf = Shelf {
            referrers: ["sha256:1", "sha256:2"].map(|digest| referrer(digest, V3, None)).into(),
            layers: BTreeMap::from([("sha256:1".to_owned(), vec![layer(V3, b"one".to_vec(), None)])]),
            broken: vec![tag.clone()],
            ..Shelf::default()
        };
        let gathered = gather(&subject(), &shelf).await;
        assert_eq!(gathered.evidence.len(), 1);
        assert_eq!(gathered.failure, Some(format!("{tag} is broken")));
        let digests = ["sha256:1", "sha256:2", "sha256:3"];
        let shelf = Shelf {
            referrers: digests.map(|digest| referrer(digest, V3, None)).into(),
            broken: digests.map(str::to_owned).into(),
            ..Shelf::default()
        };
        assert_eq!(gather(&subject(), &shelf).await.failure.as_deref(), Some("sha256:1 is broken"));
        assert_eq!(shelf.asked.into_inner().expect("a lock").len(), 3, "the list and two of it");
    }
}

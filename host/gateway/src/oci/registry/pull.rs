//! From a registry into the store.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};

use super::{
    DIGEST_HEADER, Fetched, Freshness, LARGEST_MANIFEST, Most, Pulled, Registry, Resolved, header, refusal,
    scope,
};
use crate::oci::artifact::Artifact;
use crate::oci::auth::Action;
use crate::oci::digest::Digest;
use crate::oci::error::OciError;
use crate::oci::manifest::{
    DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Manifest, ManifestError, OCI_INDEX, OCI_MANIFEST,
};
use crate::oci::reference::Reference;
use crate::oci::store::{Entry, Store};
use crate::oci::transport::{Answer, Attempts, Message, Wanted};

impl Registry {
    /// What a reference leads to. A digest leads to itself. What the registry says is noted in the store, so that it counts
    /// the next time the registry cannot be asked.
    ///
    /// # Errors
    /// [`OciError`]; with [`Freshness::Offline`], [`OciError::NotStored`] for a tag that was never resolved.
    pub async fn resolve(&self, reference: &Reference, freshness: Freshness) -> Result<Resolved, OciError> {
        self.within(reference, self.settle(reference, freshness)).await
    }

    /// The artifact that a reference leads to, from the store or the registry; what came from the registry is in the store
    /// afterwards.
    ///
    /// # Errors
    /// [`OciError`]; nothing of an artifact is returned or kept unless all of it is good.
    pub async fn pull(
        &self,
        reference: &Reference,
        freshness: Freshness,
        most: Most,
    ) -> Result<Pulled, OciError> {
        let work = async {
            let _alone = self.flight(reference).await;
            let (resolved, stored) = self.settle_and_look(reference, freshness).await?;
            let Resolved { digest, stale } = resolved;
            let is_here = stored.is_some();
            let artifact = match stored {
                Some(artifact) => artifact,
                None if reference.is_local() => return Err(OciError::NotImported(reference.to_string())),
                None if freshness == Freshness::Offline => {
                    return Err(OciError::NotStored(reference.to_string()));
                }
                None => self.download(&reference.pinned(digest), digest, most).await?,
            };
            check(reference, &artifact.manifest, most)?;
            let (named, kept) = (reference.clone(), artifact.clone());
            let keep = move |store: &Store| {
                if is_here { store.name(&named, &kept) } else { store.keep(&named, &kept).map(drop) }
            };
            if !reference.is_local() {
                self.keep_if_possible(keep).await;
            }
            Ok(Pulled { digest, artifact, stale })
        };
        self.within(reference, work).await
    }

    /// What it leads to, and that if it is in the store. An old answer to which the artifact is gone is no answer.
    async fn settle_and_look(
        &self,
        reference: &Reference,
        freshness: Freshness,
    ) -> Result<(Resolved, Option<Artifact>), OciError> {
        let resolved = self.settle(reference, freshness).await?;
        let look = |digest| self.in_store(move |store| store.artifact(digest));
        let stored = look(resolved.digest).await?;
        let again = freshness == Freshness::Cached && reference.digest().is_none() && !reference.is_local();
        if stored.is_some() || !again {
            return Ok((resolved, stored));
        }
        let resolved = self.settle(reference, Freshness::Check).await?;
        Ok((resolved, look(resolved.digest).await?))
    }

    /// A manifest or index as its registry serves it; its digest is checked, or computed when a tag is asked for. Not from
    /// the store and not into it.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, OciError> {
        self.within(reference, self.fetch_manifest(reference, Attempts::Several)).await
    }

    async fn settle(&self, reference: &Reference, freshness: Freshness) -> Result<Resolved, OciError> {
        if let Some(digest) = reference.digest() {
            return Ok(Resolved { digest, stale: false });
        }
        let asked = reference.clone();
        let known = self.in_store(move |store| store.resolution(&asked)).await?;
        let fresh = |entry: &Entry| Resolved { digest: entry.digest, stale: false };
        match (freshness, &known) {
            _ if reference.is_local() => {
                known.as_ref().map(fresh).ok_or_else(|| OciError::NotImported(reference.to_string()))
            }
            (Freshness::Cached | Freshness::Offline, Some(entry)) => Ok(fresh(entry)),
            (Freshness::Offline, None) => Err(OciError::NotStored(reference.to_string())),
            _ => self.ask_digest(reference, known).await,
        }
    }

    async fn ask_digest(&self, reference: &Reference, known: Option<Entry>) -> Result<Resolved, OciError> {
        // Who has an answer already does not wait long for a better one.
        let attempts = if known.is_some() { Attempts::One } else { Attempts::Several };
        match (self.look_up(reference, attempts).await, known) {
            (Ok(digest), _) => {
                let named = reference.clone();
                self.keep_if_possible(move |store| store.note(&named, digest)).await;
                Ok(Resolved { digest, stale: false })
            }
            (Err(error), Some(entry)) if error.is_unreachable() => {
                tracing::warn!(%reference, digest = %entry.digest, %error, "what its registry said last is used");
                Ok(Resolved { digest: entry.digest, stale: true })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Asks for the head only; a registry that does not say the digest there is asked for the manifest.
    async fn look_up(&self, reference: &Reference, attempts: Attempts) -> Result<Digest, OciError> {
        let what = reference.to_string();
        let answer = self.ask_manifest(Method::HEAD, reference, attempts).await?;
        if answer.status == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(self.fetch_manifest(reference, attempts).await?.digest);
        }
        if answer.status != StatusCode::OK {
            return Err(refusal(&scope(reference, Action::Read), &what, &answer));
        }
        match header(&answer, DIGEST_HEADER).and_then(|digest| digest.parse().ok()) {
            Some(digest) => Ok(digest),
            None => Ok(self.fetch_manifest(reference, attempts).await?.digest),
        }
    }

    async fn ask_manifest(
        &self,
        method: Method,
        reference: &Reference,
        attempts: Attempts,
    ) -> Result<Answer, OciError> {
        let path = format!("{}/manifests/{}", reference.repository(), reference.version());
        let mut message = Message::new(method, self.transport.url(reference.registry(), &path)?);
        let accept = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX];
        for media_type in accept {
            message.headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        let what = format!("the manifest of `{reference}`");
        let wanted = Wanted::at_most(&what, LARGEST_MANIFEST);
        self.transport.ask(&scope(reference, Action::Read), &message, wanted, attempts).await
    }

    pub(super) async fn fetch_manifest(
        &self,
        reference: &Reference,
        attempts: Attempts,
    ) -> Result<Fetched, OciError> {
        let answer = self.ask_manifest(Method::GET, reference, attempts).await?;
        if answer.status != StatusCode::OK {
            return Err(refusal(&scope(reference, Action::Read), &reference.to_string(), &answer));
        }
        let found = Digest::of(&answer.body);
        if let Some(expected) = reference.digest()
            && expected != found
        {
            let what = format!("the manifest of `{reference}`");
            return Err(OciError::WrongDigest { what, expected, found });
        }
        let media_type = header(&answer, CONTENT_TYPE.as_str());
        let media_type = media_type.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_owned());
        Ok(Fetched { digest: found, media_type, bytes: answer.body })
    }

    async fn download(
        &self,
        reference: &Reference,
        digest: Digest,
        most: Most,
    ) -> Result<Artifact, OciError> {
        let fetched = self.fetch_manifest(reference, Attempts::Several).await?;
        let manifest = Manifest::read(&fetched.bytes, fetched.media_type.as_deref())
            .map_err(|why| OciError::Manifest { reference: reference.to_string(), why })?;
        check(reference, &manifest, most)?;
        let config = self.blob(reference, &manifest.config).await?;
        let mut layers = Vec::with_capacity(manifest.layers.len());
        for layer in &manifest.layers {
            layers.push(self.blob(reference, layer).await?);
        }
        Ok(Artifact { digest, bytes: fetched.bytes, manifest, config, layers })
    }

    /// The bytes a manifest describes, from the store or the registry.
    async fn blob(&self, reference: &Reference, blob: &Descriptor) -> Result<Bytes, OciError> {
        let Descriptor { digest, size, .. } = *blob;
        if let Some(bytes) = self.in_store(move |store| store.blob(digest)).await?
            && bytes.len() as u64 == size
        {
            return Ok(bytes);
        }
        let path = format!("{}/blobs/{digest}", reference.repository());
        let message = Message::new(Method::GET, self.transport.url(reference.registry(), &path)?);
        let what = format!("the blob {digest} of `{reference}`");
        let progress = |done| self.tell(reference, digest, done, size);
        let wanted = Wanted { what: &what, most: size, said: Some(size), progress: Some(&progress) };
        let scope = scope(reference, Action::Read);
        let answer = self.transport.ask(&scope, &message, wanted, Attempts::Several).await?;
        if answer.status != StatusCode::OK {
            return Err(refusal(&scope, &what, &answer));
        }
        let found = Digest::of(&answer.body);
        if found != digest {
            return Err(OciError::WrongDigest { what, expected: digest, found });
        }
        Ok(answer.body)
    }
}

/// What a manifest says is held against what the caller expects, before anything is fetched.
fn check(reference: &Reference, manifest: &Manifest, most: Most) -> Result<(), OciError> {
    let found = manifest.layers.len();
    if found > most.layers {
        let why = ManifestError::Layers { found, most: most.layers };
        return Err(OciError::Manifest { reference: reference.to_string(), why });
    }
    if manifest.size() > most.bytes {
        let what = format!("`{reference}`");
        return Err(OciError::TooLarge { what, size: manifest.size(), most: most.bytes });
    }
    Ok(())
}

//! From here to a registry: blobs first, then the manifest, then its place in the list of its subject's referrers.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use super::{DIGEST_HEADER, Registry, header, refusal, scope};
use crate::oci::artifact::Artifact;
use crate::oci::auth::Action;
use crate::oci::digest::Digest;
use crate::oci::error::OciError;
use crate::oci::manifest::{Descriptor, Index, OCI_INDEX};
use crate::oci::reference::Reference;
use crate::oci::transport::{Answer, Attempts, Message, Wanted};

impl Registry {
    /// Publishes an artifact under the tag of the reference, or under its own digest when the reference has that and no
    /// tag; it is in the store afterwards. Publishing the same twice is no error and moves nothing twice.
    ///
    /// # Errors
    /// [`OciError`]; [`OciError::NotATarget`] when the reference is of the local namespace or pinned to something else.
    pub async fn push(&self, reference: &Reference, artifact: &Artifact) -> Result<Digest, OciError> {
        check(reference, artifact)?;
        let work = async {
            let _alone = self.flight(reference).await;
            let bodies = std::iter::once(&artifact.config).chain(&artifact.layers);
            for (blob, body) in artifact.manifest.blobs().zip(bodies) {
                self.push_blob(reference, blob, body).await?;
            }
            let version = reference.tag().map_or_else(|| artifact.digest.to_string(), str::to_owned);
            let media_type = artifact.manifest.media_type();
            let answer = self.push_manifest(reference, &version, media_type, &artifact.bytes).await?;
            if let Some(subject) = &artifact.manifest.subject
                && header(&answer, SUBJECT_HEADER).is_none()
            {
                self.list_referrer(reference, subject, artifact).await?;
            }
            let (named, kept) = (reference.clone(), artifact.clone());
            self.keep_if_possible(move |store| store.keep(&named, &kept).map(drop)).await;
            Ok(artifact.digest)
        };
        self.within(reference, work).await
    }

    async fn push_blob(&self, to: &Reference, blob: &Descriptor, body: &Bytes) -> Result<(), OciError> {
        let scope = scope(to, Action::Write);
        let path = format!("{}/blobs/{}", to.repository(), blob.digest);
        let message = Message::new(Method::HEAD, self.transport.url(to.registry(), &path)?);
        let what = format!("the blob {} of `{to}`", blob.digest);
        let wanted = Wanted::at_most(&what, 0);
        let answer = self.transport.ask(&scope, &message, wanted, Attempts::Several).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                self.tell(to, blob.digest, 0, blob.size);
                // An upload that broke is begun anew: what the registry has of it is forgotten.
                let upload = || self.upload(to, blob, body);
                let answer = self.transport.repeated(&scope, Attempts::Several, upload).await?;
                if answer.status != StatusCode::CREATED {
                    return Err(refusal(&scope, &what, &answer));
                }
                stored(to, &answer, blob.digest)?;
            }
            _ => return Err(refusal(&scope, &what, &answer)),
        }
        self.tell(to, blob.digest, blob.size, blob.size);
        Ok(())
    }

    /// POST for a place, PUT of everything there (OCI distribution spec, "Pushing a blob monolithically").
    async fn upload(&self, to: &Reference, blob: &Descriptor, body: &Bytes) -> Result<Answer, OciError> {
        let scope = scope(to, Action::Write);
        let begin = self.transport.url(to.registry(), &format!("{}/blobs/uploads/", to.repository()))?;
        let mut message = Message::new(Method::POST, begin);
        message.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let wanted = Wanted::at_most("the answer", SMALL_ANSWER);
        let answer = self.transport.attempt(&scope, &message, wanted).await?;
        if answer.status != StatusCode::ACCEPTED {
            return Ok(answer);
        }
        let nowhere = || OciError::Odd {
            registry: scope.registry.clone(),
            what: "without a place for the upload".into(),
        };
        let location = header(&answer, LOCATION.as_str()).ok_or_else(nowhere)?;
        let mut place = self.transport.target(&scope.registry, &answer.url, location)?;
        place.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let mut message = Message::new(Method::PUT, place);
        message.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        message.body = body.clone();
        self.transport.attempt(&scope, &message, wanted).await
    }

    async fn push_manifest(
        &self,
        to: &Reference,
        version: &str,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<Answer, OciError> {
        let scope = scope(to, Action::Write);
        let path = format!("{}/manifests/{version}", to.repository());
        let mut message = Message::new(Method::PUT, self.transport.url(to.registry(), &path)?);
        let media_type = HeaderValue::from_str(media_type);
        let media_type = media_type.unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
        message.headers.insert(CONTENT_TYPE, media_type);
        message.body = bytes.clone();
        let what = format!("the manifest of `{to}`");
        let wanted = Wanted::at_most(&what, SMALL_ANSWER);
        // Putting the same manifest in the same place twice is putting it there once.
        let answer = self.transport.ask(&scope, &message, wanted, Attempts::Several).await?;
        if answer.status != StatusCode::CREATED && answer.status != StatusCode::OK {
            return Err(refusal(&scope, &what, &answer));
        }
        stored(to, &answer, Digest::of(bytes))?;
        Ok(answer)
    }

    /// Where registries do not list referrers themselves, whoever pushes one does, under a tag made of the subject's digest
    /// (OCI distribution spec, "Pushing Manifests with Subject"). Two that push at once can lose one of the two entries:
    /// the specification has no way to prevent it.
    async fn list_referrer(
        &self,
        to: &Reference,
        subject: &Descriptor,
        artifact: &Artifact,
    ) -> Result<(), OciError> {
        let tag = super::referrers::fallback_tag(subject.digest);
        let list = to.tagged(&tag);
        let listed = self.fetch_list(&list).await?;
        let longer = Index::with(&listed, &artifact.descriptor())
            .map_err(|why| OciError::Manifest { reference: list.to_string(), why })?;
        let Some(bytes) = longer.map(Bytes::from) else { return Ok(()) };
        self.push_manifest(&list, &tag, OCI_INDEX, &bytes).await?;
        Ok(())
    }
}

fn check(reference: &Reference, artifact: &Artifact) -> Result<(), OciError> {
    let not = |why| Err(OciError::NotATarget(reference.to_string(), why));
    if reference.is_local() {
        return not("it is the name of what is only on this machine; name a registry");
    }
    match reference.digest() {
        Some(digest) if digest != artifact.digest => not("the artifact has another digest; leave it out"),
        _ => Ok(()),
    }
}

/// Some registries say what they stored.
fn stored(to: &Reference, answer: &Answer, expected: Digest) -> Result<(), OciError> {
    match header(answer, DIGEST_HEADER) {
        Some(found) if found != expected.to_string() => Err(OciError::StoredOther {
            registry: to.registry().to_owned(),
            found: found.chars().take(100).collect(),
            expected,
        }),
        _ => Ok(()),
    }
}

/// Says that the registry lists referrers itself.
const SUBJECT_HEADER: &str = "oci-subject";
/// Answers to uploads have no body worth mentioning.
const SMALL_ANSWER: u64 = 64 << 10;

//! What refers to a manifest: signatures, attestations and the like (OCI distribution spec 1.1, "Listing Referrers").

use bytes::Bytes;
use http::header::{ACCEPT, LINK};
use http::{HeaderValue, Method, StatusCode};

use super::{Freshness, LARGEST_MANIFEST, Registry, header, refusal, scope};
use crate::oci::auth::Action;
use crate::oci::digest::Digest;
use crate::oci::error::OciError;
use crate::oci::manifest::{Descriptor, Index, OCI_INDEX};
use crate::oci::reference::Reference;
use crate::oci::transport::{Attempts, Message, Wanted, origin};

impl Registry {
    /// What refers to a manifest of the reference's repository, of one type or of all; none is no error. From the registry's
    /// own list, or from the tag that stands for it where there is none. The whole list is kept in the store; without the
    /// network, or with [`Freshness::Cached`], that one counts.
    ///
    /// # Errors
    /// [`OciError`].
    pub async fn referrers(
        &self,
        reference: &Reference,
        to: Digest,
        artifact_type: Option<&str>,
        freshness: Freshness,
    ) -> Result<Vec<Descriptor>, OciError> {
        let list = reference.tagged(&fallback_tag(to));
        let mut found = self.within(reference, self.all_referrers(&list, to, freshness)).await?;
        found.retain(|one| artifact_type.is_none_or(|kind| one.artifact_type.as_deref() == Some(kind)));
        Ok(found)
    }

    async fn all_referrers(
        &self,
        list: &Reference,
        to: Digest,
        freshness: Freshness,
    ) -> Result<Vec<Descriptor>, OciError> {
        let named = list.clone();
        let known = self.in_store(move |store| {
            let entry = store.resolution(&named)?;
            Index::read(&store.blob(entry.digest)?).ok()
        });
        let known = known.await?.map(|index| index.manifests);
        if list.is_local() || freshness == Freshness::Offline {
            return Ok(known.unwrap_or_default());
        }
        if let (Freshness::Cached, Some(known)) = (freshness, &known) {
            return Ok(known.clone());
        }
        let asked = match self.ask_list(list, to).await {
            Ok(Some(index)) => Ok(index),
            Ok(None) => self.fetch_list(list).await.and_then(|bytes| read(list, &bytes)),
            Err(error) => Err(error),
        };
        match (asked, known) {
            (Ok(index), _) => {
                let (named, bytes) = (list.clone(), index.write());
                self.keep_if_possible(move |store| store.keep_blob(&named, &bytes)).await;
                Ok(index.manifests)
            }
            (Err(error), Some(known)) if error.is_unreachable() => {
                tracing::warn!(reference = %list, %error, "what its registry listed last is used");
                Ok(known)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The registry's own list, page by page; nothing when it has none.
    async fn ask_list(&self, list: &Reference, to: Digest) -> Result<Option<Index>, OciError> {
        let scope = scope(list, Action::Read);
        let path = format!("{}/referrers/{to}", list.repository());
        let mut url = self.transport.url(list.registry(), &path)?;
        let what = format!("the referrers of {to}");
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut message = Message::new(Method::GET, url);
            message.headers.insert(ACCEPT, HeaderValue::from_static(OCI_INDEX));
            let wanted = Wanted::at_most(&what, LARGEST_MANIFEST);
            let answer = self.transport.ask(&scope, &message, wanted, Attempts::Several).await?;
            match answer.status {
                StatusCode::OK => {}
                // Registries from before the list answer so, as does one that has no such repository.
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if found.is_empty() => {
                    return Ok(None);
                }
                _ => return Err(refusal(&scope, &what, &answer)),
            }
            let page = Index::read(&answer.body);
            let page = page.map_err(|why| OciError::Manifest { reference: what.clone(), why })?;
            found.extend(page.manifests);
            let Some(next) = header(&answer, LINK.as_str()).and_then(next) else {
                return Ok(Some(Index::new(found)));
            };
            url = self.transport.target(list.registry(), &answer.url, next)?;
            if origin(&url) != origin(&answer.url) {
                break;
            }
        }
        Err(OciError::Odd {
            registry: list.registry().to_owned(),
            what: "a list of referrers without an end".to_owned(),
        })
    }

    /// The bytes of the list under its tag; of an empty one when there is none.
    pub(super) async fn fetch_list(&self, list: &Reference) -> Result<Bytes, OciError> {
        match self.fetch_manifest(list, Attempts::Several).await {
            Ok(fetched) => Ok(fetched.bytes),
            Err(OciError::NotFound(_)) => Ok(Bytes::from(Index::new(Vec::new()).write())),
            Err(error) => Err(error),
        }
    }
}

fn read(list: &Reference, bytes: &[u8]) -> Result<Index, OciError> {
    Index::read(bytes).map_err(|why| OciError::Manifest { reference: list.to_string(), why })
}

/// The tag that stands for the list (OCI distribution spec, "Referrers Tag Schema").
pub(super) fn fallback_tag(to: Digest) -> String {
    to.to_string().replace(':', "-")
}

/// The address of the next page (RFC 8288).
fn next(link: &str) -> Option<&str> {
    let (address, relation) = link.split_once('>')?;
    relation.contains("rel=\"next\"").then(|| address.trim_start().trim_start_matches('<'))
}

const MOST_PAGES: usize = 50;

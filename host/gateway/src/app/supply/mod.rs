//! Fetching what a configuration names and cannot read itself: catalogs from registries, from catalog sources and over
//! https. What was fetched before serves where the network does not, and at a start until it has answered; nothing here
//! decides what runs.

mod kept;
mod source;
mod web;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;

use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, OnceCell, Semaphore};
use tokio::time::timeout;
use wasmgate_wasm::{CatalogSource, SourcePage};

use self::kept::{Answer, Kept, Question};
use super::StartError;
use super::artifacts::Artifacts;
use super::lock::Lock;
use super::plugins::Plugins;
use crate::config::{Distribution, Fetched, Lasts, Missing, Needs, Request, Supply, Wanted};
use crate::egress::Egress;
use crate::oci::artifact::DockerKind;

/// How long a source may take where an earlier answer would do.
const PATIENCE: Duration = Duration::from_secs(20);
/// Catalogs that are fetched at once: a source answers a few at a time anyway.
const AT_ONCE: usize = 4;

/// Whether what is already here is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It is: only what is missing is fetched.
    Missing,
    /// So is the last good answer of an earlier run: only what was never answered is fetched.
    Kept,
    /// It is asked for again; where that fails, it stays.
    All,
}

/// How new what was supplied is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supplied {
    /// Whoever has it was asked just now, or it cannot change.
    Asked,
    /// Some of it is an answer to an earlier run ([`Renewal::Kept`]): it has to be asked for again.
    Kept,
}

/// A catalog source of this configuration.
#[derive(Clone)]
pub(crate) struct Source {
    /// Of the component and its configuration: whose answers these are.
    pub(crate) digest: [u8; 32],
    pub(crate) source: Arc<CatalogSource>,
}

/// Makes a request complete: afterwards it can be read.
///
/// # Errors
/// [`StartError`] when a catalog source that is needed cannot run. What cannot be fetched is reported by the request.
pub(crate) async fn supply(
    request: &mut Request,
    plugins: &mut Plugins,
    renewal: Renewal,
) -> Result<Supplied, StartError> {
    let before = request.fetched().clone();
    let mut whole = request.clone();
    whole.supply(Fetched::default());
    let read = tokio::task::spawn_blocking(move || whole.needs()).await;
    // What is wrong with the files is told by whoever reads them next; nothing is fetched meanwhile.
    let Ok(needs) = read.map_err(|error| StartError::System(error.to_string()))? else {
        return Ok(Supplied::Asked);
    };
    let basis = basis(&needs);
    let mut fetched = BTreeMap::new();
    let mut supplied = Supplied::Asked;
    if renewal != Renewal::All && before.is_on(&basis) {
        let here =
            |wanted: &Wanted| Some((wanted.reference.clone(), Ok(before.good(&wanted.reference)?.clone())));
        fetched.extend(needs.catalogs.iter().filter_map(here));
    }
    if needs.catalogs.iter().any(|wanted| !fetched.contains_key(&wanted.reference)) {
        let supplier = Supplier { unasked: renewal == Renewal::Kept, ..Supplier::new(&needs, plugins) };
        let mut missing = needs.catalogs.clone();
        missing.retain(|wanted| !fetched.contains_key(&wanted.reference));
        for (reference, supply) in supplier.all(&missing).await {
            // What was fetched under other rules was not held against these.
            let supply = if before.is_on(&basis) { or_before(supply, &before, &reference) } else { supply };
            fetched.insert(reference, supply);
        }
        supplied = supplier.supplied()?;
    }
    // The lock file may say more by now.
    let mut here = Fetched::on(self::basis(&needs));
    fetched.into_iter().for_each(|(reference, supply)| here.put(&reference, supply));
    request.supply(here);
    Ok(supplied)
}

/// Under which rules, and by which sources, catalogs are fetched.
fn basis(needs: &Needs) -> Vec<u8> {
    let Distribution { lock, frozen, insecure, signatures, exceptions, documents } = &needs.distribution;
    let lock = Lock::read(lock.as_deref()).unwrap_or_default();
    let digest = |wanted: &Wanted| lock.of(&wanted.reference).map(|locked| locked.digest.clone());
    let locked: Vec<Option<String>> = needs.catalogs.iter().map(digest).collect();
    let rules = signatures.as_ref().map(|signatures| format!("{:?}", signatures.policy));
    let plugins: Vec<String> = needs
        .plugins
        .iter()
        .map(|plugin| {
            format!(
                "{} {:?} {} {:?} {:?}",
                plugin.name, plugin.from, plugin.config, plugin.mode, plugin.grants
            )
        })
        .collect();
    let rules =
        format!("{frozen} {insecure:?} {rules:?} {locked:?} {plugins:?} {exceptions:?} {documents:?}");
    Sha256::digest(rules).to_vec()
}

/// What nobody can be asked for stays as it was; a "no" is believed.
fn or_before(supply: Result<Supply, Missing>, before: &Fetched, reference: &str) -> Result<Supply, Missing> {
    match (supply, before.good(reference)) {
        (Err(missing), Some(before)) if missing.lasts == Lasts::ForNow => {
            tracing::warn!(
                reference = shown(reference),
                error = missing.message,
                "what was fetched before is used"
            );
            Ok(before.clone())
        }
        (supply, _) => supply,
    }
}

/// One configuration's ways to get catalogs.
pub(crate) struct Supplier<'a> {
    egress: Egress,
    artifacts: Artifacts,
    needs: &'a Needs,
    plugins: Mutex<&'a mut Plugins>,
    /// Loaded when the first reference comes that one of them may answer: files and most artifacts need none.
    sources: OnceCell<Vec<Source>>,
    /// Why they could not be loaded.
    broken: OnceLock<StartError>,
    kept: Kept,
    /// What is kept does without asking.
    unasked: bool,
    /// Something was taken without asking.
    taken: AtomicBool,
}

impl<'a> Supplier<'a> {
    pub(crate) fn new(needs: &'a Needs, plugins: &'a mut Plugins) -> Self {
        Self {
            egress: plugins.egress(),
            artifacts: plugins.artifacts(),
            needs,
            plugins: Mutex::new(plugins),
            sources: OnceCell::new(),
            broken: OnceLock::new(),
            kept: Kept::new(needs.environment.data.as_deref()),
            unasked: false,
            taken: AtomicBool::new(false),
        }
    }

    fn supplied(self) -> Result<Supplied, StartError> {
        match self.broken.into_inner() {
            Some(error) => Err(error),
            None if self.taken.load(Ordering::Relaxed) => Ok(Supplied::Kept),
            None => Ok(Supplied::Asked),
        }
    }

    /// The catalog sources of the configuration.
    async fn sources(&self) -> Result<&[Source], Missing> {
        let missing = |error: &StartError| Missing::for_good(format!("cannot be read: {error}"), "");
        let load = async || {
            let mut plugins = self.plugins.lock().await;
            if let Some(error) = self.broken.get() {
                return Err(missing(error));
            }
            plugins.sources(self.needs).await.map_err(|error| missing(self.broken.get_or_init(|| error)))
        };
        self.sources.get_or_try_init(load).await.map(Vec::as_slice)
    }

    /// All of them, a few at a time.
    async fn all(&self, wanted: &[Wanted]) -> Vec<(String, Result<Supply, Missing>)> {
        let turns = Semaphore::new(AT_ONCE);
        let each = wanted.iter().map(async |wanted| {
            let _turn = turns.acquire().await;
            (wanted.reference.clone(), self.one(wanted).await)
        });
        each.collect::<FuturesOrdered<_>>().collect().await
    }

    /// One catalog.
    pub(crate) async fn one(&self, wanted: &Wanted) -> Result<Supply, Missing> {
        let reference = &*wanted.reference;
        if reference.starts_with("oci://") {
            return self.artifact(wanted).await;
        }
        if let Some(source) = self.claiming(reference).await? {
            return self
                .remembered(reference, &source.digest, async |before| {
                    source::fetch(&source.source, (reference, self.most()), before).await
                })
                .await;
        }
        if reference.starts_with("http://") && !self.may_be_plain(reference) {
            return Err(Missing::for_good(
                "is plain http, where anybody on the way can change it",
                "write https, or add its host to `registries.insecure`",
            ));
        }
        if reference.starts_with("https://") || reference.starts_with("http://") {
            return self
                .remembered(reference, b"web", async |before| {
                    web::fetch(&self.egress, (reference, self.most()), before).await
                })
                .await;
        }
        Err(self.unclaimed(reference))
    }

    /// Whether a catalog may come over plain http: from this machine, or from where the operator says so.
    fn may_be_plain(&self, reference: &str) -> bool {
        let Ok(url) = url::Url::parse(reference) else { return false };
        let Some(host) = url.host_str() else { return false };
        let authority = url.port().map(|port| format!("{host}:{port}"));
        let named = |known: &String| *known == host || authority.as_ref() == Some(known);
        let own = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        own || self.needs.distribution.insecure.iter().any(named)
    }

    /// The source that answers a reference: the first in the order of the configuration.
    ///
    /// # Errors
    /// [`Missing`] when a component that could be a source cannot be read or run.
    pub(crate) async fn claiming(&self, reference: &str) -> Result<Option<&Source>, Missing> {
        let sources = self.sources().await?;
        Ok(sources.iter().find(|source| source.source.claims_reference(reference)))
    }

    pub(crate) fn unclaimed(&self, reference: &str) -> Missing {
        let claims =
            self.sources.get().into_iter().flatten().flat_map(|source| source.source.claims()).take(20);
        let known = claims.map(String::as_str).chain(["oci://*", "https://*"]).collect::<Vec<_>>().join(", ");
        let message = "is nothing that a catalog source of this configuration answers".to_owned();
        let scheme = reference.split_once(':').map_or(reference, |(scheme, _)| scheme);
        let cure = format!("`{scheme}` is not among {known}; add a plugin that answers it");
        Missing::for_good(message, cure)
    }

    /// The answer of now, laid over the last good one; or the last good one.
    async fn remembered(
        &self,
        reference: &str,
        answerer: &[u8],
        fetch: impl AsyncFnOnce(Option<&Answer>) -> Result<Answer, Missing>,
    ) -> Result<Supply, Missing> {
        let question = Question { reference, answerer };
        let before = self.kept.find(question);
        let good = before.as_ref().filter(|before| self.unasked && !before.denied);
        if let Some(known) = good.map(Answer::supply)
            && known.catalog(reference).is_ok()
        {
            self.taken.store(true, Ordering::Relaxed);
            return Ok(known);
        }
        // An error page with status 200 must not take the place of what was good.
        let usable = |answer: Answer| match answer.supply().catalog(reference) {
            Ok(_) => Ok(answer),
            Err(problem) => Err(Missing::for_now(format!("makes no sense: {}", problem.message), "")),
        };
        // Who has an answer already does not wait long for a better one.
        let patience = if before.is_some() { PATIENCE } else { Duration::MAX };
        let fetched = timeout(patience, fetch(before.as_ref())).await.unwrap_or_else(|_| {
            let message = format!("has not answered within {} s", PATIENCE.as_secs());
            Err(Missing::for_now(message, "try again later"))
        });
        match fetched.and_then(usable) {
            Ok(answer) => {
                let answer = Answer { denied: false, ..answer };
                if before.as_ref() != Some(&answer) {
                    self.kept.keep(question, &answer);
                }
                Ok(answer.supply())
            }
            Err(missing) => match before {
                Some(before) if missing.lasts == Lasts::ForNow => {
                    let asked = if before.asked.is_empty() { "earlier" } else { &before.asked };
                    let reference = shown(reference);
                    tracing::warn!(reference, error = missing.message, %asked, "what was fetched before is used");
                    Ok(before.supply())
                }
                _ => {
                    // A "no" is believed at the next start, too, which would begin with what is kept.
                    if missing.lasts == Lasts::ForGood {
                        self.kept.deny(question);
                    }
                    Err(missing)
                }
            },
        }
    }

    /// A catalog or profile is read as it is; a server in the registry's own format is a catalog source's to read.
    async fn artifact(&self, wanted: &Wanted) -> Result<Supply, Missing> {
        let (kind, document) = self.artifacts.document(wanted, &self.needs.distribution).await?;
        if kind != DockerKind::Server {
            let text = String::from_utf8(document.into());
            let text = text.map_err(|_| Missing::for_good("holds a document that is not text", ""))?;
            return Ok(Supply { text, ..Supply::default() });
        }
        let inline = inline(&document);
        let source = self.claiming(&inline).await?.ok_or_else(|| self.unclaimed("data:application/json"))?;
        Ok(source::fetch(&source.source, (&inline, self.most()), None).await?.supply())
    }

    /// The largest catalog that is read, in bytes.
    fn most(&self) -> usize {
        usize::try_from(self.needs.distribution.documents.catalog).unwrap_or(usize::MAX)
    }
}

/// The first page of a reference, as one command wants it.
pub(crate) async fn first_page(source: &CatalogSource, reference: &str) -> Result<SourcePage, Missing> {
    source::first_page(source, reference).await
}

/// A document as a reference that holds it.
pub(crate) fn inline(document: &[u8]) -> String {
    format!("data:application/json;base64,{}", STANDARD.encode(document))
}

/// A reference as it may stand in logs: without a user, a password and a query, and a document as such.
pub(crate) fn shown(reference: &str) -> String {
    if reference.starts_with("data:") {
        return "the document".to_owned();
    }
    let Ok(mut url) = url::Url::parse(reference) else { return reference.to_owned() };
    let secret = url.password().is_some() || !url.username().is_empty() || url.query().is_some();
    if !secret || url.cannot_be_a_base() {
        return reference.to_owned();
    }
    let _no_user = url.set_username("");
    let _no_password = url.set_password(None);
    if url.query().is_some() {
        url.set_query(Some("..."));
    }
    url.to_string()
}

//! Catalog sources: plugins that turn what an operator wrote into servers, a page at a time.
//!
//! Each fetch is a call like an interceptor's, in a fresh instance that is configured, called and dropped; only that there
//! is no message and no session, and more time. Whatever goes wrong in there is a [`SourceFailure`] of this fetch.

use std::sync::Arc;

use bytes::Bytes;
use wasmgate_core::pipeline::{Pattern, StageError};

use crate::bindings::sources::SourcesIndices;
use crate::call::{Entered, configure, contained, enter};
use crate::engine::Engine;
use crate::error::LoadError;
use crate::grants::HttpGrant;
use crate::guest::{Guest, Identity};
use crate::inspect::Claims;
use crate::limits::MAX_PAGE_BYTES;
use crate::link::no_source;
use crate::load::{self, Descriptor, Made, Settings};
use crate::page::{self, SourceFailure, SourcePage, SourceRequest};
use crate::text::printable;

/// Claims of one source, and bytes of one.
const MAX_CLAIMS: usize = 64;
const MAX_CLAIM: usize = 1 << 10;

/// A catalog source that can be asked.
pub struct CatalogSource {
    descriptor: Descriptor,
    claims: Vec<String>,
    runs: Runs,
}

impl std::fmt::Debug for CatalogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogSource")
            .field("descriptor", &self.descriptor)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

impl CatalogSource {
    /// Makes a source of a component. `name` is the configured one: in logs, and of what the source keeps between fetches.
    ///
    /// Of the settings only `config`, `limits` and `grants` concern a source. The limits are for one fetch; where the operator
    /// has written none they should be [`Limits::of_sources`](crate::Limits::of_sources), not the default, which is an interceptor's.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with the component, or with its configuration; [`LoadError::WrongWorld`] also when
    /// it is an interceptor and no source.
    pub async fn load(
        engine: &Engine,
        name: &str,
        bytes: impl Into<Bytes>,
        settings: Settings,
    ) -> Result<Self, LoadError> {
        if let Some((what, max)) = settings.limits.impossible(MAX_PAGE_BYTES) {
            return Err(LoadError::Limit { what, max });
        }
        let (made, descriptor) = load::made(engine, name, bytes.into(), settings).await?;
        if made.linked.sources.is_none() {
            return Err(no_source(engine, &made.compiled.component));
        }
        let (runs, claims) = Runs::configured(engine, made).await?;
        Ok(Self { descriptor, claims, runs })
    }

    /// What it says about itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Which references it answers, `*` standing for any run of characters.
    pub fn claims(&self) -> &[String] {
        &self.claims
    }

    /// Whether it answers `reference`.
    pub fn claims_reference(&self, reference: &str) -> bool {
        self.claims.iter().any(|claim| Pattern::new(claim).matches(reference))
    }

    /// One page. `besides` are origins that it may reach in this fetch, besides those of its grants: that of the reference.
    ///
    /// # Errors
    /// [`SourceFailure`]: what the source answers instead of a page, or what became of it.
    pub async fn fetch(
        &self,
        request: SourceRequest,
        besides: &[HttpGrant],
    ) -> Result<SourcePage, SourceFailure> {
        let raw = request.raw();
        let answer = self.runs.call(besides, async |entered| {
            let Entered { store, instance, .. } = entered;
            let exports = self.runs.indices()?.load(&mut *store, instance)?;
            let answer = exports.wasmgate_plugin_source().call_fetch(&mut *store, &raw).await?;
            store.data_mut().usage.output(page::bytes(&answer))?;
            Ok(page::checked(answer, &request))
        });
        answer.await.unwrap_or_else(|error| Err(failed(error)))
    }
}

fn failed(error: StageError) -> SourceFailure {
    SourceFailure::Failed(match error {
        StageError::Failed(words) => words,
        exceeded @ StageError::Exceeded(_) => exceeded.to_string(),
    })
}

/// What every call of a source needs.
struct Runs {
    engine: Engine,
    identity: Arc<Identity>,
    made: Made,
}

impl Runs {
    /// Has the configuration accepted, and asks what is claimed under it.
    async fn configured(engine: &Engine, made: Made) -> Result<(Self, Vec<String>), LoadError> {
        let (identity, _hooks) = load::accepted(engine, &made).await?;
        let runs = Self { engine: engine.clone(), identity, made };
        let work = async |entered: &mut Entered| {
            let Entered { store, instance, .. } = entered;
            let exports = runs.indices()?.load(&mut *store, instance)?;
            exports.wasmgate_plugin_source().call_claims(store).await
        };
        let claims = runs.call(&[], work).await.map_err(LoadError::Claims)?;
        check_claims(&claims)?;
        Ok((runs, claims))
    }

    /// One call of one export, in a fresh instance that is configured.
    async fn call<T>(
        &self,
        besides: &[HttpGrant],
        work: impl AsyncFnOnce(&mut Entered) -> wasmtime::Result<T>,
    ) -> Result<T, StageError> {
        let Self { engine, identity, made } = self;
        let limits = &made.settings.limits;
        let mut guest = Guest::new(engine, identity, limits);
        guest.besides = besides.to_vec();
        let output = guest.stdio.clone();
        let work = async {
            let mut entered = enter(engine, &made.linked, guest).await?;
            configure(&mut entered, &made.linked, identity).await?;
            work(&mut entered).await
        };
        let said = contained(engine, identity, limits, work).await;
        output.log(&identity.name, "");
        said
    }

    /// Those of a component that has no `source` are not asked for.
    fn indices(&self) -> wasmtime::Result<&SourcesIndices> {
        let indices = self.made.linked.sources.as_ref();
        indices.ok_or_else(|| wasmtime::format_err!("does not export what was to be called"))
    }
}

/// What a component claims, if it is a source, as it would be without a configuration and without a grant.
pub(crate) async fn claims(engine: &Engine, made: Made) -> Result<Option<Claims>, LoadError> {
    if made.linked.sources.is_none() {
        return Ok(None);
    }
    match Runs::configured(engine, made).await {
        Ok((_, claims)) => Ok(Some(Claims::Always(claims))),
        Err(LoadError::Configuration(_) | LoadError::Configure(_)) => Ok(Some(Claims::Configured)),
        Err(error) => Err(error),
    }
}

/// Claims are data from an untrusted program too.
fn check_claims(claims: &[String]) -> Result<(), LoadError> {
    let wrong = |what: String| Err(LoadError::Descriptor(what));
    if claims.len() > MAX_CLAIMS {
        return wrong(format!(
            "it claims {} patterns of references, at most {MAX_CLAIMS} are read",
            claims.len()
        ));
    }
    if let Some(claim) =
        claims.iter().find(|claim| claim.is_empty() || printable(claim, MAX_CLAIM) != **claim)
    {
        let shown = printable(claim, 64);
        return wrong(format!(
            "it claims `{shown}`, which is no pattern of 1 to {MAX_CLAIM} plain characters"
        ));
    }
    Ok(())
}

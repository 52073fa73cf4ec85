//! The four lists, served from the snapshot's index: no server is asked.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmgate_core::index::{Kind, List};
use wasmgate_core::json::Json;
use wasmgate_core::mcp::{MODERN, meta};
use wasmgate_core::pipeline::Exchange;
use wasmgate_core::seal::{Purpose, Scope};

use super::offering::shows;
use super::phases::{Sent, towards_client, towards_server};
use super::snapshot::Snapshot;
use super::{CallError, Gateway, Request, SERVER_INFO, View};
use crate::upstream::{Keeping, Offer};

/// A list asked for this soon after the start waits for servers in their first start, because a client that does not
/// listen for changes would otherwise never see them. Calls, `initialize` and `discover` never wait.
const FIRST_START: Duration = Duration::from_secs(1);
/// How long a cursor is good for.
const CURSOR_LIFE: Duration = Duration::from_secs(3600);

impl Gateway {
    /// One page of a list: the whole list through the list filters, then the page through the interceptors that want to
    /// see it.
    pub(super) async fn list(&self, mut request: Request, kind: Kind) -> Result<Json, CallError> {
        let young = FIRST_START.saturating_sub(self.started.elapsed());
        if !young.is_zero() && tokio::time::timeout(young, self.until_listed()).await.is_err() {
            tracing::debug!("listing without the servers that are still starting");
        }
        if !self.offers(&request.view, kind) {
            return Err(CallError::UnknownMethod(request.method));
        }
        let now = self.current.load_full();
        let params = request.params.take();
        let pipeline = &now.generation.pipeline;
        let operation = request.operation(None, None);
        if !pipeline.interested(&operation) {
            return self.page(&now, &request, kind, params.as_ref()).await;
        }
        let mut exchange = Exchange::new(operation);
        exchange.client.clone_from(&request.client.info);
        let params = params.unwrap_or_else(Json::empty_object);
        let outcome = match towards_server(pipeline, &mut exchange, params).await? {
            Sent::Answered(answer) => Ok(answer),
            Sent::Params(params) => self.page(&now, &request, kind, Some(&params)).await,
        };
        towards_client(pipeline, &mut exchange, outcome).await
    }

    async fn page(
        &self,
        now: &Snapshot,
        request: &Request,
        kind: Kind,
        params: Option<&Json>,
    ) -> Result<Json, CallError> {
        let index = now.index(&request.view).ok_or(CallError::NotServing("not serving that server"))?;
        let shown = self.shown(now, request, kind).await?;
        let list = shown.as_deref().unwrap_or_else(|| index.list(kind));
        let page = self.page_asked_for(request, kind, list, params)?;
        let mut members = hints(now, request, kind);
        if page + 1 < list.pages() {
            let cursor = format!("{} {}", place(request, kind, list), page + 1);
            members.push(("nextCursor", Json::of(&self.cursor(&request.principal, &cursor)?)));
        }
        let members: Vec<_> = members.iter().map(|(name, value)| (*name, value)).collect();
        let page = list.page(page, &members);
        page.ok_or_else(|| CallError::InvalidParams("cursor: no longer valid".into()))
    }

    /// Waits until the newest configuration is in force, its servers have settled and the snapshot shows it.
    async fn until_listed(&self) {
        let mut refreshed = self.refreshed.subscribe();
        while self.newer.load(Ordering::Relaxed) || !(self.settled() && self.is_fresh()) {
            if refreshed.changed().await.is_err() {
                return;
            }
        }
    }

    fn page_asked_for(
        &self,
        request: &Request,
        kind: Kind,
        list: &List,
        params: Option<&Json>,
    ) -> Result<usize, CallError> {
        let Some(cursor) = params.and_then(|params| params.member("cursor")) else {
            return Ok(0);
        };
        let bad = || CallError::InvalidParams("cursor: not one of ours, or too old".into());
        let token = cursor.string().ok_or_else(bad)?;
        let opened =
            self.sealer.open(cursor_of(&request.principal), seconds_now(), &token).map_err(|_| bad())?;
        let text = String::from_utf8(opened).map_err(|_| bad())?;
        let (listed, page) = text.rsplit_once(' ').ok_or_else(bad)?;
        if listed != place(request, kind, list) {
            return Err(CallError::InvalidParams("cursor: no longer valid: the list has changed".into()));
        }
        page.parse().map_err(|_| bad())
    }

    fn cursor(&self, principal: &str, payload: &str) -> Result<String, CallError> {
        let expires = seconds_now() + CURSOR_LIFE.as_secs();
        let sealed = self.sealer.seal(cursor_of(principal), expires, payload.as_bytes(), nonce()?);
        sealed.map_err(|_| CallError::NotServing("out of randomness"))
    }
}

/// What every page of a list says before its items: what modern results carry, and how long it may be kept (2026-07-28
/// server/utilities/caching). Older clients know no such thing. It stands first, so that nobody looks for it behind the
/// items. What list filters or interceptors make of a list may be another thing for every client.
fn hints(now: &Snapshot, request: &Request, kind: Kind) -> Vec<(&'static str, Json)> {
    if !MODERN.contains(&request.version) {
        return Vec::new();
    }
    let visible = now.servers.iter().filter(|status| shows(&request.view, status));
    // A server that has not come up will change the list.
    let keepings = visible
        .map(|status| status.offer.as_deref().map_or(Some(Keeping::default()), |offer| keeping(offer, kind)));
    let all = keepings.flatten().reduce(Keeping::and).unwrap_or_default();
    let is_public = all.is_public && !now.generation.changes(kind);
    vec![
        ("resultType", Json::of("complete")),
        ("ttlMs", Json::of(&all.ttl)),
        ("cacheScope", Json::of(if is_public { "public" } else { "private" })),
        ("_meta", Json::empty_object().with_member(meta::SERVER_INFO, &SERVER_INFO)),
    ]
}

/// How long a server lets its list be kept; None when it has none.
fn keeping(offer: &Offer, kind: Kind) -> Option<Keeping> {
    let (capability, keeping) = match kind {
        Kind::Tools => ("tools", offer.keepings.tools),
        Kind::Prompts => ("prompts", offer.keepings.prompts),
        Kind::Resources => ("resources", offer.keepings.resources),
        Kind::Templates => ("resources", offer.keepings.templates),
    };
    offer.capabilities.member(capability).map(|_| keeping)
}

/// What a cursor belongs to: a list of a view, as it is now.
fn place(request: &Request, kind: Kind, list: &List) -> String {
    let view = match &request.view {
        View::All => "*",
        View::One(server) => server.as_str(),
    };
    format!("{} {view} {:x}", kind.member(), list.revision())
}

/// Fresh random bytes for one token.
pub(super) fn nonce() -> Result<[u8; 24], CallError> {
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).map_err(|_| CallError::NotServing("out of randomness"))?;
    Ok(nonce)
}

/// Since the epoch.
pub fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn cursor_of(principal: &str) -> Scope<'_> {
    Scope { purpose: Purpose::Cursor, principal }
}

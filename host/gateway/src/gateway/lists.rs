//! The four lists, served from the snapshot's index: no server is asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmgate_core::index::Kind;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Exchange, Operation, Party};
use wasmgate_core::seal::{Purpose, Scope};

use super::{CallError, Gateway, Request};

/// A list asked for this soon after the start waits for servers in their first start, because a client that does not
/// listen for changes would otherwise never see them. Calls, `initialize` and `discover` never wait.
const FIRST_START: Duration = Duration::from_secs(1);
/// How long a cursor is good for.
const CURSOR_LIFE: Duration = Duration::from_secs(3600);

impl Gateway {
    /// One page of a list, through the interceptors that want to see it.
    pub(super) async fn list(&self, request: Request, kind: Kind) -> Result<Json, CallError> {
        let young = FIRST_START.saturating_sub(self.started.elapsed());
        if !young.is_zero() && tokio::time::timeout(young, self.until_listed()).await.is_err() {
            tracing::debug!("listing without the servers that are still starting");
        }
        let page = self.page_asked_for(&request, kind)?;
        let now = self.current.load_full();
        let unknown = || CallError::NotServing("not serving that server");
        let list = now.index(&request.view).ok_or_else(unknown)?.list(kind);
        let (result, more) =
            list.page(page).ok_or_else(|| CallError::InvalidParams("cursor: no longer valid".into()))?;
        let result = if more {
            let cursor = self.cursor(&request.principal, kind, page + 1)?;
            result.with_member("nextCursor", &Json::of(&cursor))
        } else {
            result.clone()
        };
        let operation = Operation {
            id: request.id,
            event: request.method,
            server: None,
            subject: None,
            principal: request.principal,
            session: request.session,
            version: request.version,
            initiator: Party::Client,
        };
        let pipeline = &now.generation.pipeline;
        if !pipeline.interested(&operation) {
            return Ok(result);
        }
        let mut exchange = Exchange::new(operation);
        let params = request.params.unwrap_or_else(Json::empty_object);
        match super::call::towards_server(pipeline, &mut exchange, params).await? {
            super::call::Sent::Answered(answer) => Ok(answer),
            super::call::Sent::Params(_) => {
                pipeline.response(&exchange, result).await.map_err(CallError::Blocked)
            }
        }
    }

    /// Waits until the servers have settled and the snapshot shows it.
    async fn until_listed(&self) {
        let mut refreshed = self.refreshed.subscribe();
        while !(self.settled() && self.is_fresh()) {
            if refreshed.changed().await.is_err() {
                return;
            }
        }
    }

    fn page_asked_for(&self, request: &Request, kind: Kind) -> Result<usize, CallError> {
        let Some(cursor) = request.params.as_ref().and_then(|params| params.member("cursor")) else {
            return Ok(0);
        };
        let bad = || CallError::InvalidParams("cursor: not one of ours, or too old".into());
        let token = cursor.string().ok_or_else(bad)?;
        let opened =
            self.sealer.open(cursor_of(&request.principal), seconds_now(), &token).map_err(|_| bad())?;
        let text = String::from_utf8(opened).map_err(|_| bad())?;
        let (listed, page) = text.split_once(' ').ok_or_else(bad)?;
        if listed != kind.member() {
            return Err(bad());
        }
        page.parse().map_err(|_| bad())
    }

    fn cursor(&self, principal: &str, kind: Kind, page: usize) -> Result<String, CallError> {
        let mut nonce = [0; 24];
        let failed = || CallError::NotServing("out of randomness");
        getrandom::fill(&mut nonce).map_err(|_| failed())?;
        let expires = seconds_now() + CURSOR_LIFE.as_secs();
        let payload = format!("{} {page}", kind.member());
        self.sealer.seal(cursor_of(principal), expires, payload.as_bytes(), nonce).map_err(|_| failed())
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn cursor_of(principal: &str) -> Scope<'_> {
    Scope { purpose: Purpose::Cursor, principal }
}

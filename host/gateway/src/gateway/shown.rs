//! Lists as the list filters leave them. Every list costs the filters one run for each principal and revision; what they
//! hide is not there for calls either, and what they rename is called by its new name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use wasmgate_core::index::{Entry, Kind, List};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Exchange, Kept, ListItem, Operation};

use super::snapshot::{Snapshot, method_of};
use super::{CallError, Gateway, Request, View};

/// The filtered lists of one snapshot.
#[derive(Default)]
pub(super) struct ShownLists(Mutex<HashMap<Viewer, Arc<OnceCell<Arc<List>>>>>);

/// What a filtered list depends on, besides its snapshot.
#[derive(PartialEq, Eq, Hash)]
struct Viewer {
    kind: Kind,
    /// None is the merged view.
    server: Option<ServerName>,
    principal: Arc<str>,
    version: &'static str,
}

impl ShownLists {
    fn cell(&self, kind: Kind, request: &Request) -> Arc<OnceCell<Arc<List>>> {
        let server = match &request.view {
            View::All => None,
            View::One(server) => Some(server.clone()),
        };
        let principal = Arc::clone(&request.principal);
        let viewer = Viewer { kind, server, principal, version: request.version };
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= MOST && !lists.contains_key(&viewer) {
            lists.clear();
        }
        Arc::clone(lists.entry(viewer).or_default())
    }
}

impl Gateway {
    /// A list as this client sees it; None when no filter wants to see it, and it is shown as it is.
    pub(super) async fn shown(
        &self,
        now: &Snapshot,
        request: &Request,
        kind: Kind,
    ) -> Result<Option<Arc<List>>, CallError> {
        if !now.is_filtered(kind) {
            return Ok(None);
        }
        let index = now.index(&request.view).ok_or(CallError::NotServing("not serving that server"))?;
        let cell = now.shown.cell(kind, request);
        let list = cell.get_or_try_init(|| async {
            let entries = index.list(kind).entries();
            let kept = filter(now, request, kind, entries.iter().map(item)).await?;
            Ok::<_, CallError>(Arc::new(left(kind, entries, kept, now.generation.page)))
        });
        Ok(Some(Arc::clone(list.await?)))
    }

    /// Whether the filters show a resource that no list has.
    pub(super) async fn shows_unlisted(
        &self,
        now: &Snapshot,
        request: &Request,
        server: &ServerName,
        uri: &str,
    ) -> Result<bool, CallError> {
        let item = Json::empty_object().with_member("uri", &Json::of(uri));
        let item = ListItem { name: uri.into(), server: server.clone(), item };
        let kept = filter(now, request, Kind::Resources, std::iter::once(item)).await?;
        let name = kept.first().and_then(|kept| kept.item.member("uri"));
        Ok(name.is_some_and(|name| name.string().as_deref() == Some(uri)))
    }
}

async fn filter(
    now: &Snapshot,
    request: &Request,
    kind: Kind,
    items: impl Iterator<Item = ListItem>,
) -> Result<Vec<Kept>, CallError> {
    let server = match &request.view {
        View::All => None,
        View::One(server) => Some(server.clone()),
    };
    let operation = Operation { event: method_of(kind).into(), ..request.operation(server, None) };
    let exchange = Exchange::new(operation);
    now.generation.pipeline.filter(&exchange, items.collect()).await.map_err(CallError::Blocked)
}

fn item(entry: &Entry) -> ListItem {
    ListItem { name: (*entry.public).into(), server: entry.server.clone(), item: entry.item() }
}

/// The list of what is left. A name that two items have after it belongs to the first.
fn left(kind: Kind, entries: &[Entry], kept: Vec<Kept>, page: usize) -> List {
    let shown = kept.into_iter().filter_map(|Kept { index, item }| {
        let entry = entries.get(index)?;
        let key = item.member(kind.key());
        let public = key.as_ref().and_then(Json::string).unwrap_or_default().as_ref().into();
        Some(Entry::shown(public, entry.server.clone(), Arc::clone(&entry.own), item))
    });
    let (list, left_out) = List::of(kind, shown.collect(), page);
    for entry in left_out {
        tracing::warn!(
            server = %entry.server, list = kind.member(), own = %entry.own, name = %entry.public,
            "hidden: a list filter gave it a name that is taken, or none"
        );
    }
    list
}

/// So many filtered lists are kept of one snapshot.
const MOST: usize = 4096;

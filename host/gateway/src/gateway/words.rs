//! What servers say, in the words their clients know: ids of tasks, and URIs of resources where several servers are shown
//! as one or list filters give other names. What needs no change keeps its bytes.

use std::collections::HashMap;
use std::sync::Arc;

use wasmgate_core::index::{Entry, Kind, List, Subject, links};
use wasmgate_core::json::{Edit, Json};
use wasmgate_core::mcp::method;
use wasmgate_core::name::ServerName;

use super::asked::Asked;
use super::snapshot::Snapshot;
use super::tasks::TaskSeen;
use super::{CallError, Gateway, Request, View};
use crate::upstream::Offer;

impl Gateway {
    /// A result as its client must see it. `otherwise` is what [`Snapshot::says_otherwise`] said of the request.
    ///
    /// # Errors
    /// [`CallError`] for a task that the client cannot be told of, and for what an interceptor stops.
    pub(super) async fn in_public_words(
        &self,
        now: &Snapshot,
        (request, asked): (&Request, &Asked),
        result: Json,
        otherwise: bool,
    ) -> Result<Json, CallError> {
        let Some(tool) = &asked.tool else {
            let result = self.task_begun(request, asked, result)?;
            return Ok(match otherwise {
                true => self.with_public_uris(now, request, asked, result).await,
                false => result,
            });
        };
        if &*request.method != method::TASKS_GET {
            return Ok(result);
        }
        let server = Some(asked.target.server.clone());
        let operation = request.operation(server, asked.target.subject.name().cloned());
        let client = request.client.info.as_ref();
        let seen = TaskSeen { now, view: &request.view, operation: &operation, tool, client };
        let state = self.task_state(&seen, result).await?;
        // The very id it was asked for by: clients compare.
        let state = match state.member("taskId") {
            Some(_) => state.with_member("taskId", &Json::of(&asked.public())),
            None => state,
        };
        Ok(match otherwise {
            true => self.with_public_uris(now, request, asked, state).await,
            false => state,
        })
    }

    async fn with_public_uris(&self, now: &Snapshot, request: &Request, asked: &Asked, said: Json) -> Json {
        let found = links(&request.method, &said);
        if found.is_empty() {
            return said;
        }
        let (server, asked_for) = (&asked.target.server, asked_for(asked));
        let is_filtered = now.is_filtered(Kind::Resources);
        // Without its filter a list is as the index has it: what a filter that fails hides cannot be read either.
        let shown =
            if is_filtered { self.shown(now, request, Kind::Resources).await.ok().flatten() } else { None };
        let mut names = shown.as_deref().map_or_else(HashMap::new, |list| shown_names(list, server));
        names.extend(asked_for.as_ref().map(|(own, public)| (&**own, &**public)));
        let edits = found.into_iter().filter_map(|link| {
            let public = match names.get(&*link.uri) {
                Some(public) => (**public != *link.uri).then(|| (*public).to_owned()),
                None => now.public_uri(&request.view, server, &link.uri),
            };
            Some(Edit::SetString(link.place, public?))
        });
        changed(said, edits.collect())
    }
}

/// The resource that is asked for, by the server's name and by the one that its client knows, when these differ.
fn asked_for(asked: &Asked) -> Option<(Arc<str>, Arc<str>)> {
    match &asked.target.subject {
        Subject::Resource(own) if **own != *asked.public() => Some((Arc::clone(own), asked.public())),
        _ => None,
    }
}

impl Snapshot {
    /// Whether clients of this view may know something in the results of a server by another name than it does.
    pub(super) fn says_otherwise(&self, request: &Request, asked: &Asked) -> bool {
        let serves_none = || self.offer(&asked.target.server).is_some_and(serves_no_resources);
        self.is_filtered(Kind::Resources)
            || asked_for(asked).is_some()
            || (self.merges(&request.view) && !serves_none())
    }

    /// Whether a view shows several servers as one.
    fn merges(&self, view: &View) -> bool {
        matches!(view, View::All) && !self.all.is_alone()
    }

    /// What clients of this view call a URI of this server's, when it is something else. One that serves no resources
    /// names what is elsewhere.
    fn public_uri(&self, view: &View, server: &ServerName, own: &str) -> Option<String> {
        if !self.merges(view) || self.offer(server).is_some_and(serves_no_resources) {
            return None;
        }
        self.index(view)?.public_uri(server, own)
    }

    /// What a notification says, with URIs as clients of this view know them.
    pub(super) fn notification_in_public_words(
        &self,
        view: &View,
        server: &ServerName,
        event: &str,
        params: Json,
    ) -> Json {
        if !self.merges(view) {
            return params;
        }
        let edits = links(event, &params)
            .into_iter()
            .filter_map(|link| Some(Edit::SetString(link.place, self.public_uri(view, server, &link.uri)?)));
        changed(params, edits.collect())
    }
}

fn serves_no_resources(offer: &Arc<Offer>) -> bool {
    offer.capabilities.member("resources").is_none()
}

/// The names of a server's resources in a filtered list, by its own.
fn shown_names<'a>(list: &'a List, server: &ServerName) -> HashMap<&'a str, &'a str> {
    let is_its = |entry: &&Entry| entry.server == *server;
    list.entries().iter().filter(is_its).map(|entry| (&*entry.own, &*entry.public)).collect()
}

fn changed(said: Json, edits: Vec<Edit>) -> Json {
    if edits.is_empty() {
        return said;
    }
    said.apply(&edits).unwrap_or_else(|error| {
        // Only for want of memory: every place was found in this very value.
        tracing::warn!(%error, "links could not be rewritten");
        said
    })
}

//! What a request asks for: the server behind a public name, and the words on both sides of it.

use std::sync::Arc;
use std::time::Duration;

use wasmgate_core::index::{Entry, Index, Kind, List, Subject, Target};
use wasmgate_core::json::Json;
use wasmgate_core::mcp::{MODERN, method};
use wasmgate_core::name::ServerName;

use super::offering::shows;
use super::snapshot::Snapshot;
use super::tasks::{self, Task};
use super::{CallError, Gateway, Request, View};
use crate::upstream::Status;

/// What a request asks for.
pub(super) struct Asked {
    pub(super) target: Target,
    kind: &'static str,
    /// As the client wrote it.
    public: String,
    /// The same as it stands in the params; None where nothing stands.
    written: Option<Json>,
    place: Place,
    /// The server's own name for the tool that runs the task that is asked for.
    pub(super) tool: Option<Arc<str>>,
}

/// A name as the client wrote it.
struct Named {
    kind: &'static str,
    public: String,
    /// The same as it stands in the params.
    written: Json,
    place: Place,
}

/// Where the name stands in the params.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Member(&'static str),
    /// `ref.<member>` of a completion.
    Ref(&'static str),
    /// It has none: the server as a whole is meant, by a method the gateway does not know.
    Nowhere,
}

impl Gateway {
    /// Finds what a request asks for. What nobody is known to have may be one of a server that has not come up yet: such a
    /// server is waited for, as it is when the name says that it is meant.
    pub(super) async fn asked(&self, request: &Request) -> Result<(Arc<Snapshot>, Asked), CallError> {
        match self.asked_now(request).await {
            Err(CallError::Unknown { .. }) if self.is_coming_up(&request.view) => {
                self.until_all_up(&request.view).await;
                self.asked_now(request).await
            }
            asked => asked,
        }
    }

    /// Finds it among what is known now. Where list filters are, only what they show can be asked for.
    async fn asked_now(&self, request: &Request) -> Result<(Arc<Snapshot>, Asked), CallError> {
        let now = self.current.load_full(); // one generation, to the end of this call
        let Some(named) = Named::of(request)? else {
            return Ok((now, Asked::of_unknown_method(request)?));
        };
        let index = now.index(&request.view).ok_or(CallError::NotServing("not serving that server"))?;
        if named.kind == "task" {
            let task = self.task(&now, request, &named.public)?;
            let asked = named.meaning(task.as_ref().map(Task::target))?;
            return Ok((now, Asked { tool: task.map(|task| task.tool), ..asked }));
        }
        if named.lists().iter().any(|kind| now.is_filtered(*kind)) {
            return self.shown_target(request, named).await;
        }
        let listed = match named.kind {
            "tool" => index.tool(&named.public),
            "prompt" => index.prompt(&named.public),
            _ => resource(index, &named),
        };
        let target = listed.or_else(|| unlisted(&now, index, &request.view, &named));
        let asked = named.meaning(target)?;
        Ok((now, asked))
    }

    /// Finds it among what the list filters show this client. A server that has not come up yet has nothing the filters
    /// could have judged: it is waited for.
    async fn shown_target(
        &self,
        request: &Request,
        named: Named,
    ) -> Result<(Arc<Snapshot>, Asked), CallError> {
        let mut now = self.current.load_full();
        if let Some(server) = not_up(&now, &request.view, &named) {
            self.until_up(&server).await;
            now = self.current.load_full();
        }
        let target = match named.kind {
            "tool" => found(self.shown(&now, request, Kind::Tools).await?, &named, Subject::Tool),
            "prompt" => found(self.shown(&now, request, Kind::Prompts).await?, &named, Subject::Prompt),
            _ => self.shown_resource(&now, request, &named).await?,
        };
        let asked = named.meaning(target)?;
        Ok((now, asked))
    }

    /// A resource is also what no list has: a URI that fits a template or that only one server can know.
    async fn shown_resource(
        &self,
        now: &Snapshot,
        request: &Request,
        named: &Named,
    ) -> Result<Option<Target>, CallError> {
        let Some(index) = now.index(&request.view) else { return Ok(None) };
        let templates = self.shown(now, request, Kind::Templates).await?;
        let resources = self.shown(now, request, Kind::Resources).await?;
        let by_template = || found(templates.clone(), named, Subject::Resource);
        if named.place == Place::Ref("uri")
            && let Some(target) = by_template()
        {
            return Ok(Some(target));
        }
        if let Some(target) = found(resources.clone(), named, Subject::Resource) {
            return Ok(Some(target));
        }
        let target = resource(index, named).or_else(|| unlisted(now, index, &request.view, named));
        let Some(Target { server, subject: Subject::Resource(own) }) = &target else { return Ok(None) };
        let is = |entry: &Entry| entry.server == *server && entry.own == *own;
        if resources.is_some() && index.list(Kind::Resources).entries().iter().any(is) {
            // Listed, and not shown under this name: hidden, renamed, or asked for in a way round its name.
            return Ok(None);
        }
        if let (Some(templates), Some(entry)) = (&templates, index.template_of(server, own)) {
            let is = |shown: &Entry| shown.server == entry.server && shown.own == entry.own;
            if !templates.entries().iter().any(is) {
                return Ok(None);
            }
        }
        if resources.is_some() && !self.shows_unlisted(now, request, server, own).await? {
            return Ok(None);
        }
        Ok(target)
    }

    /// Waits until the snapshot shows what a server offers, or the server has failed, or its start takes too long.
    pub(super) async fn until_up(&self, server: &ServerName) {
        let status = || self.pool.status().into_iter().find(|status| status.server.name == *server);
        let Some(limit) = status().map(|status| status.server.deadlines.initialize) else { return };
        let mut refreshed = self.refreshed.subscribe();
        let waiting = async {
            loop {
                let is_up = self.current.load().status(server).is_none_or(|status| status.offer.is_some());
                let has_failed = status().is_none_or(|status| status.state.has_failed());
                if is_up || has_failed || refreshed.changed().await.is_err() {
                    return;
                }
            }
        };
        // A server that takes longer offers nothing.
        let _ = tokio::time::timeout(limit, waiting).await;
    }
}

impl Gateway {
    /// Whether a server that a view shows is in its first start.
    fn is_coming_up(&self, view: &View) -> bool {
        let now = self.current.load();
        let is_starting = |status: &Status| {
            now.status(&status.server.name).is_none_or(|shown| shown.offer.is_none())
                && !status.state.has_failed()
        };
        self.pool.status().iter().any(|status| shows(view, status) && is_starting(status))
    }

    /// Waits until no such server is left, but not for long: most names that nobody has are slips.
    async fn until_all_up(&self, view: &View) {
        let mut refreshed = self.refreshed.subscribe();
        let waiting = async { while self.is_coming_up(view) && refreshed.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(FIRST_START, waiting).await;
    }
}

impl Named {
    /// The name in a request; None for a method the gateway does not know.
    fn of(request: &Request) -> Result<Option<Self>, CallError> {
        let (kind, place) = match &*request.method {
            method::TOOLS_CALL => ("tool", Place::Member("name")),
            method::PROMPTS_GET => ("prompt", Place::Member("name")),
            method::RESOURCES_READ | method::RESOURCES_SUBSCRIBE | method::RESOURCES_UNSUBSCRIBE => {
                ("resource", Place::Member("uri"))
            }
            method::COMPLETE => completion_place(request)?,
            method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL
                if MODERN.contains(&request.version) =>
            {
                ("task", Place::Member("taskId"))
            }
            // Those of 2025-11-25 are other ones, and would be seen by whoever asks.
            reserved if tasks::is_reserved(reserved) => {
                return Err(CallError::UnknownMethod(Arc::clone(&request.method)));
            }
            _ => return Ok(None),
        };
        let (public, written) = text_at(request.params.as_ref(), place)?;
        Ok(Some(Self { kind, public, written, place }))
    }

    /// The lists that decide about it.
    fn lists(&self) -> &'static [Kind] {
        match self.kind {
            "tool" => &[Kind::Tools],
            "prompt" => &[Kind::Prompts],
            _ => &[Kind::Resources, Kind::Templates],
        }
    }

    fn meaning(self, target: Option<Target>) -> Result<Asked, CallError> {
        let Self { kind, public, written, place } = self;
        match target {
            Some(target) => Ok(Asked { target, kind, public, written: Some(written), place, tool: None }),
            None => Err(CallError::Unknown { kind, name: public }),
        }
    }
}

impl Asked {
    /// A method the gateway does not know goes to a server that is alone; with several nobody can say which is meant.
    fn of_unknown_method(request: &Request) -> Result<Self, CallError> {
        match &request.view {
            View::One(server) if &*request.method != method::LISTEN => {
                let target = Target { server: server.clone(), subject: Subject::Server };
                let public = (*request.method).to_owned();
                Ok(Self { target, kind: "method", public, written: None, place: Place::Nowhere, tool: None })
            }
            _ => Err(CallError::UnknownMethod(Arc::clone(&request.method))),
        }
    }

    /// The tool that is called, as the server lists it.
    pub(super) fn tool_said(&self, now: &Snapshot, view: &View) -> Option<Json> {
        match &self.target.subject {
            Subject::Tool(own) => tool_said(now, view, (&self.target.server, own), &self.public),
            _ => None,
        }
    }

    pub(super) fn unknown(&self) -> CallError {
        CallError::Unknown { kind: self.kind, name: self.public.clone() }
    }

    /// The name as the client wrote it.
    pub(super) fn public(&self) -> Arc<str> {
        self.public.as_str().into()
    }

    /// The client's params as the server must see them: see [`Self::in_own_words`].
    pub(super) fn clients_in_own_words(&self, params: Option<Json>) -> Option<Json> {
        match (params, self.place, &self.written, self.target.subject.name()) {
            // The public name was just read there.
            (Some(params), Place::Member(_), Some(_), Some(own)) if **own == *self.public => Some(params),
            (Some(params), Place::Member(member), Some(written), Some(own)) => {
                Some(params.with_picked(member, written, &Json::of(&**own)))
            }
            (params, ..) => self.in_own_words(params),
        }
    }

    /// The params as the server must see them: its own name in place of the public one, every other byte as it was.
    pub(super) fn in_own_words(&self, params: Option<Json>) -> Option<Json> {
        let (params, own) = match (params, self.target.subject.name()) {
            (Some(params), Some(own)) => (params, own),
            (params, _) => return params,
        };
        let member = match self.place {
            Place::Member(member) => {
                let same = params.member(member).is_some_and(|now| now.string().as_deref() == Some(own));
                return Some(if same { params } else { params.with_member(member, &Json::of(&**own)) });
            }
            Place::Ref(member) => member,
            Place::Nowhere => return Some(params),
        };
        let reference =
            params.member("ref").unwrap_or_else(Json::empty_object).with_member(member, &Json::of(&**own));
        Some(params.with_member("ref", &reference))
    }
}

/// A tool as its server lists it, `public` being what it is probably called in this view.
pub(super) fn tool_said(
    now: &Snapshot,
    view: &View,
    (server, own): (&ServerName, &str),
    public: &str,
) -> Option<Json> {
    let is = |entry: &&Entry| entry.server == *server && *entry.own == *own;
    let tools = now.index(view)?.list(Kind::Tools);
    let entry = tools.find(public).filter(is).or_else(|| tools.entries().iter().find(is))?;
    Some(entry.said().clone())
}

/// The entry of this name in a filtered list.
fn found(list: Option<Arc<List>>, named: &Named, subject: fn(Arc<str>) -> Subject) -> Option<Target> {
    let list = list?;
    let entry = list.find(&named.public)?;
    Some(Target { server: entry.server.clone(), subject: subject(Arc::clone(&entry.own)) })
}

fn resource(index: &Index, named: &Named) -> Option<Target> {
    let template = || index.template(&named.public);
    let template = if named.place == Place::Ref("uri") { template() } else { None };
    template.or_else(|| index.resource(&named.public))
}

/// The server a name can mean that has not come up yet.
fn not_up(now: &Snapshot, view: &View, named: &Named) -> Option<ServerName> {
    let server = match view {
        View::One(server) => server,
        View::All => now.index(view)?.by_prefix(&named.public)?.0,
    };
    now.status(server).filter(|status| status.offer.is_none()).map(|_| server.clone())
}

/// A name that no list has: still a target on a server alone (servers may serve what they do not list), and where its
/// prefix names a server that has not come up yet.
fn unlisted(now: &Snapshot, index: &Index, view: &View, named: &Named) -> Option<Target> {
    let subject = |own: &str| match named.kind {
        "tool" => Subject::Tool(own.into()),
        "prompt" => Subject::Prompt(own.into()),
        _ => Subject::Resource(own.into()),
    };
    if let View::One(server) = view {
        return Some(Target { server: server.clone(), subject: subject(&named.public) });
    }
    if named.kind == "resource" {
        return None;
    }
    let (server, own) = index.by_prefix(&named.public)?;
    let not_up = now.status(server).is_some_and(|status| status.offer.is_none());
    not_up.then(|| Target { server: server.clone(), subject: subject(own) })
}

fn completion_place(request: &Request) -> Result<(&'static str, Place), CallError> {
    let reference = request.params.as_ref().and_then(|params| params.member("ref"));
    let kind = reference.as_ref().and_then(|reference| reference.member("type"));
    match kind.as_ref().and_then(Json::string).as_deref() {
        Some("ref/prompt") => Ok(("prompt", Place::Ref("name"))),
        Some("ref/resource") => Ok(("resource", Place::Ref("uri"))),
        _ => Err(CallError::InvalidParams("ref.type: must be `ref/prompt` or `ref/resource`".into())),
    }
}

/// What stands there: as a text, and as it is written.
fn text_at(params: Option<&Json>, place: Place) -> Result<(String, Json), CallError> {
    let (value, at) = match place {
        Place::Member(member) => (params.and_then(|params| params.member(member)), member.to_owned()),
        Place::Ref(member) => {
            (params.and_then(|params| params.member("ref")?.member(member)), format!("ref.{member}"))
        }
        Place::Nowhere => (None, String::new()),
    };
    let read = |value: Json| Some((value.string()?.into_owned(), value));
    value.and_then(read).ok_or_else(|| CallError::InvalidParams(format!("{at}: a text is required")))
}

/// How long a name that nobody has waits for servers that may have it.
const FIRST_START: Duration = Duration::from_secs(10);

//! One generation of configuration and what its servers offer at one moment. Never changed after it is built.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use wasmgate_core::catalog::{Server, ToolFilter};
use wasmgate_core::index::{Index, Kind, Naming, Source};
use wasmgate_core::mcp::{V2025_11_25, method};
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Hook, Kind as StageKind, Pipeline};
use wasmgate_core::policy::Policy;

use super::shown::ShownLists;
use super::{Offering, View, extensions};
use crate::upstream::{Offer, Status};

/// One generation of configuration, complete and validated.
pub struct Generation {
    /// The servers, in configuration order.
    pub servers: Vec<Arc<Server>>,
    /// Enabled servers that cannot be started, with what they need.
    pub unavailable: Vec<Unavailable>,
    /// How public names are made.
    pub naming: Naming,
    /// The most items a page of a list holds.
    pub page: usize,
    /// The interceptors.
    pub pipeline: Pipeline,
}

impl Generation {
    /// Whether a list filter or a mutator may change what clients see of a list.
    pub(super) fn changes(&self, kind: Kind) -> bool {
        self.has_stage(kind, |stage| stage != StageKind::Validator)
    }

    fn has_filter(&self, kind: Kind) -> bool {
        self.has_stage(kind, |stage| stage == StageKind::Filter)
    }

    fn has_stage(&self, kind: Kind, is: impl Fn(StageKind) -> bool) -> bool {
        let wants =
            |hook: &Hook| hook.response && hook.events.iter().any(|event| event.matches(method_of(kind)));
        let mut stages = self.pipeline.stages().iter().map(|stage| stage.info());
        stages.any(|info| is(info.kind) && info.hooks.iter().any(wants))
    }
}

/// The method that asks for a list.
pub(super) const fn method_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Tools => method::TOOLS_LIST,
        Kind::Prompts => method::PROMPTS_LIST,
        Kind::Resources => method::RESOURCES_LIST,
        Kind::Templates => method::TEMPLATES_LIST,
    }
}

/// An enabled server that cannot be started.
#[derive(Debug, Clone)]
pub struct Unavailable {
    /// Its name.
    pub name: ServerName,
    /// `needs-config`, `needs-secret`, `needs-auth`, `needs-grant` or `refused`.
    pub state: &'static str,
    /// What to do about it.
    pub reason: String,
}

pub(super) struct Snapshot {
    pub(super) generation: Arc<Generation>,
    pub(super) policy: Arc<Policy>,
    pub(super) servers: Vec<Status>,
    pub(super) all: Index,
    single: HashMap<ServerName, Alone>,
    /// What all of them offer together, once somebody has asked.
    offering: OnceLock<Arc<Offering>>,
    /// The lists a filter wants to see.
    filtered: Vec<Kind>,
    pub(super) shown: ShownLists,
}

/// A server alone.
struct Alone {
    /// Its place among the servers.
    at: usize,
    offer: Option<Arc<Offer>>,
    /// What is made of the offer, shared with the snapshots that have the same.
    made: Arc<Made>,
}

/// What is made of one server's offer when somebody asks for that server alone.
#[derive(Default)]
struct Made {
    /// Its own lists, unprefixed.
    index: OnceLock<Index>,
    offering: OnceLock<Arc<Offering>>,
}

impl Snapshot {
    /// Builds the next snapshot; what did not change since `previous` is shared with it.
    pub(super) fn build(generation: Arc<Generation>, servers: Vec<Status>, previous: Option<&Self>) -> Self {
        // Servers that lack a value or a secret take part with empty lists: supplying it must not rename the others' tools.
        let lacking = generation.unavailable.iter().map(|unavailable| nothing(&unavailable.name));
        let sources: Vec<Source<'_>> = servers.iter().map(source).chain(lacking).collect();
        let all = Index::build(&sources, generation.naming, generation.page);
        drop(sources);
        let same = previous.filter(|previous| same_servers(&previous.servers, &servers));
        let made = |status: &Status| {
            let alone = same?.single.get(&status.server.name)?;
            same_offer(&alone.offer, &status.offer).then(|| Arc::clone(&alone.made))
        };
        let alone = |(at, status): (usize, &Status)| {
            let (offer, made) = (status.offer.clone(), made(status).unwrap_or_default());
            (status.server.name.clone(), Alone { at, offer, made })
        };
        let single = servers.iter().enumerate().map(alone).collect();
        let rules = || servers.iter().map(|status| (status.server.name.clone(), status.server.tools.clone()));
        let policy = same.map_or_else(|| Arc::new(Policy::new(rules())), |same| Arc::clone(&same.policy));
        let filtered = Kind::ALL.into_iter().filter(|kind| generation.has_filter(*kind)).collect();
        let (offering, shown) = (OnceLock::new(), ShownLists::default());
        Self { generation, policy, servers, all, single, offering, filtered, shown }
    }

    /// The lists a view shows; `None` when it names no configured server.
    pub(super) fn index(&self, view: &View) -> Option<&Index> {
        match view {
            View::All => Some(&self.all),
            View::One(name) => {
                let alone = self.single.get(name)?;
                let status = self.servers.get(alone.at)?;
                let build = || Index::build(&[source(status)], Naming::Plain, self.generation.page);
                Some(alone.made.index.get_or_init(build))
            }
        }
    }

    /// What a view offers, for whoever is first to find out; `None` when it names no configured server.
    pub(super) fn offering(&self, view: &View) -> Option<&OnceLock<Arc<Offering>>> {
        match view {
            View::All => Some(&self.offering),
            View::One(name) => self.single.get(name).map(|alone| &alone.made.offering),
        }
    }

    /// Whether list filters decide what clients see of a list.
    pub(super) fn is_filtered(&self, kind: Kind) -> bool {
        self.filtered.contains(&kind)
    }

    /// Whether a view shows a server.
    pub(super) fn shows(&self, view: &View, server: &ServerName) -> bool {
        matches!(view, View::All) || matches!(view, View::One(one) if one == server)
    }

    /// Whether a server of a view offers an extension.
    pub(super) fn offers(&self, view: &View, extension: &str) -> bool {
        let mut visible = self.servers.iter().filter(|status| self.shows(view, &status.server.name));
        visible.any(|status| status.offer.as_ref().is_some_and(|offer| extensions::offers(offer, extension)))
    }

    /// What a server offers, once that is known.
    pub(super) fn offer(&self, server: &ServerName) -> Option<&Arc<Offer>> {
        self.single.get(server)?.offer.as_ref()
    }

    /// One server's status.
    pub(super) fn status(&self, name: &ServerName) -> Option<&Status> {
        self.servers.get(self.single.get(name)?.at)
    }
}

/// Whether these are the same servers, set up in the same way.
pub(super) fn same_servers(a: &[Status], b: &[Status]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(&a.server, &b.server))
}

/// Whether two statuses come from one and the same listing.
pub(super) fn same_offer(a: &Option<Arc<Offer>>, b: &Option<Arc<Offer>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn nothing(server: &ServerName) -> Source<'_> {
    Source {
        server,
        prefix: None,
        filter: &ToolFilter::All,
        tools: &[],
        prompts: &[],
        resources: &[],
        templates: &[],
        has_old_tasks: false,
    }
}

fn source(status: &Status) -> Source<'_> {
    let offer = status.offer.as_deref();
    Source {
        server: &status.server.name,
        prefix: status.server.prefix.as_deref(),
        filter: &status.server.tools,
        tools: offer.map_or(&[], |offer| &offer.tools),
        prompts: offer.map_or(&[], |offer| &offer.prompts),
        resources: offer.map_or(&[], |offer| &offer.resources),
        templates: offer.map_or(&[], |offer| &offer.templates),
        has_old_tasks: offer.is_some_and(|offer| &*offer.version == V2025_11_25),
    }
}

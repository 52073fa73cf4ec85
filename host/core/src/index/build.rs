//! Merges what servers offer into an [`Index`].

use std::collections::HashMap;
use std::sync::Arc;

use super::{Entry, Index, Kind, List, names, uris};
use crate::catalog::ToolFilter;
use crate::json::Json;
use crate::name::ServerName;

/// What one server offers, ready or not: a server that is not up takes part with empty lists, so that the names of
/// the others do not change when it comes.
pub struct Source<'a> {
    /// The server.
    pub server: &'a ServerName,
    /// The prefix its catalog fixes, when it does.
    pub prefix: Option<&'a str>,
    /// Which of its tools may be listed.
    pub filter: &'a ToolFilter,
    /// Its lists as it gave them.
    pub tools: &'a [Json],
    /// See `tools`.
    pub prompts: &'a [Json],
    /// See `tools`.
    pub resources: &'a [Json],
    /// See `tools`.
    pub templates: &'a [Json],
}

/// How public names of tools and prompts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// `<server>__<name>` when there is more than one server; a catalog's own prefix always.
    #[default]
    Prefixed,
    /// As the servers give them.
    Plain,
}

/// Something that is not listed, or not as the server named it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Another server, or the same one, has that name already: the newcomer is left out.
    #[error("{server}: {kind:?} `{name}` is left out: that name is taken")]
    Taken {
        /// The newcomer.
        server: ServerName,
        /// Which list.
        kind: Kind,
        /// The public name.
        name: String,
    },
    /// An item has no usable name or URI: it is left out.
    #[error("{server}: an item of {kind:?} is left out: it has no `{}` text", kind.key())]
    Nameless {
        /// Its server.
        server: ServerName,
        /// Which list.
        kind: Kind,
    },
    /// The public name would be too long for clients and is cut.
    #[error("{server}: `{own}` is listed as `{public}`: the full name is longer than 64 characters")]
    Shortened {
        /// Its server.
        server: ServerName,
        /// The server's name for it.
        own: String,
        /// The name clients see.
        public: String,
    },
}

pub(super) fn build(sources: &[Source<'_>], naming: Naming, page: usize) -> Index {
    let prefixes: Vec<String> = sources.iter().map(|source| prefix(source, naming, sources.len())).collect();
    let mut warnings = Vec::new();
    let mut merge = |kind: Kind| {
        let mut merging = Merging { kind, list: List::default(), warnings: &mut warnings };
        for (source, prefix) in sources.iter().zip(&prefixes) {
            for item in items(source, kind) {
                merging.add(source, prefix, item);
            }
        }
        let mut list = merging.list;
        list.pages = pages(kind, &list.entries, page.max(1));
        list
    };
    let (tools, prompts) = (merge(Kind::Tools), merge(Kind::Prompts));
    let (resources, templates) = (merge(Kind::Resources), merge(Kind::Templates));
    let mut prefixes: Vec<_> =
        prefixes.into_iter().zip(sources.iter().map(|source| source.server.clone())).collect();
    prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    Index { tools, prompts, resources, templates, prefixes, warnings }
}

fn prefix(source: &Source<'_>, naming: Naming, servers: usize) -> String {
    match (source.prefix, naming) {
        (Some(prefix), Naming::Prefixed) => format!("{prefix}{}", names::SEPARATOR),
        (None, Naming::Prefixed) if servers > 1 => {
            format!("{}{}", source.server.canonical(), names::SEPARATOR)
        }
        _ => String::new(),
    }
}

fn items<'a>(source: &Source<'a>, kind: Kind) -> &'a [Json] {
    match kind {
        Kind::Tools => source.tools,
        Kind::Prompts => source.prompts,
        Kind::Resources => source.resources,
        Kind::Templates => source.templates,
    }
}

/// One list on its way.
struct Merging<'w> {
    kind: Kind,
    list: List,
    warnings: &'w mut Vec<Warning>,
}

impl Merging<'_> {
    fn add(&mut self, source: &Source<'_>, prefix: &str, item: &Json) {
        let (kind, server) = (self.kind, source.server);
        let key = item.member(kind.key());
        let Some(own) = key.as_ref().and_then(Json::string).filter(|own| !own.is_empty()) else {
            return self.warnings.push(Warning::Nameless { server: server.clone(), kind });
        };
        if kind == Kind::Tools && !source.filter.allows(&own) {
            return;
        }
        let public = self.public_name(server, prefix, &own);
        let Some(public) = public else {
            let name = own.into_owned();
            return self.warnings.push(Warning::Taken { server: server.clone(), kind, name });
        };
        let item =
            if public == own { item.clone() } else { item.with_member(kind.key(), &Json::of(&public)) };
        let public: Arc<str> = public.into();
        self.list.by_public.insert(Arc::clone(&public), self.list.entries.len());
        self.list.entries.push(Entry { public, server: server.clone(), own: own.as_ref().into(), item });
    }

    /// The name clients will use; `None` when it is taken.
    fn public_name(&mut self, server: &ServerName, prefix: &str, own: &str) -> Option<String> {
        let taken = |list: &List, name: &str| list.by_public.contains_key(name);
        let public = match self.kind {
            Kind::Tools | Kind::Prompts => {
                let public = names::join(prefix, own);
                if !public.ends_with(own) {
                    let (own, public) = (own.to_owned(), public.clone());
                    self.warnings.push(Warning::Shortened { server: server.clone(), own, public });
                }
                public
            }
            Kind::Resources if taken(&self.list, own) => uris::make_unique(server, own),
            Kind::Resources | Kind::Templates => own.to_owned(),
        };
        (!taken(&self.list, &public)).then_some(public)
    }
}

/// The list results, `page` items each; at least one page.
fn pages(kind: Kind, entries: &[Entry], page: usize) -> Vec<Json> {
    let result = |entries: &[Entry]| {
        let items: Vec<&Json> = entries.iter().map(|entry| &entry.item).collect();
        Json::of(&HashMap::from([(kind.member(), items)]))
    };
    if entries.is_empty() { vec![result(&[])] } else { entries.chunks(page).map(result).collect() }
}

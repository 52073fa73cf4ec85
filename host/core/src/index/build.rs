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
pub(super) fn pages(kind: Kind, entries: &[Entry], page: usize) -> Vec<Json> {
    let result = |entries: &[Entry]| {
        let items: Vec<&Json> = entries.iter().map(|entry| &entry.item).collect();
        Json::of(&HashMap::from([(kind.member(), items)]))
    };
    if entries.is_empty() { vec![result(&[])] } else { entries.chunks(page).map(result).collect() }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// A server and its tools, `name` or `name=json-members`.
    struct Fake {
        name: ServerName,
        prefix: Option<&'static str>,
        filter: ToolFilter,
        tools: Vec<Json>,
        resources: Vec<Json>,
    }

    fn fake(name: &str, tools: &[&str]) -> Fake {
        let item = |text: &&str| Json::parse((*text).to_owned()).unwrap();
        Fake {
            name: ServerName::new(name).unwrap(),
            prefix: None,
            filter: ToolFilter::All,
            tools: tools.iter().map(item).collect(),
            resources: Vec::new(),
        }
    }

    fn merge(servers: &[Fake], naming: Naming, page: usize) -> Index {
        let sources: Vec<Source<'_>> = servers
            .iter()
            .map(|fake| Source {
                server: &fake.name,
                prefix: fake.prefix,
                filter: &fake.filter,
                tools: &fake.tools,
                prompts: &[],
                resources: &fake.resources,
                templates: &[],
            })
            .collect();
        Index::build(&sources, naming, page)
    }

    fn check(index: &Index, kind: Kind, expected: &Expect) {
        let mut text = String::new();
        for page in 0.. {
            let Some((result, more)) = index.list(kind).page(page) else { break };
            text += &format!("{}{}\n", result.as_str(), if more { " ..." } else { "" });
        }
        for warning in &index.warnings {
            text += &format!("{warning}\n");
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn names_get_prefixes_and_every_other_byte_stays() {
        let servers = [
            fake("b.two", &[r#"{"x":1e3, "name":"now","inputSchema":{"b":1,"a":2}}"#]),
            fake("a", &[r#"{"name":"now"}"#, r#"{"name":"w\u0061it"}"#]),
        ];
        check(
            &merge(&servers, Naming::Prefixed, 2),
            Kind::Tools,
            &expect![[r#"
                {"tools":[{"x":1e3, "name":"b_two__now","inputSchema":{"b":1,"a":2}},{"name":"a__now"}]} ...
                {"tools":[{"name":"a__wait"}]}
            "#]],
        );
    }

    #[test]
    fn a_server_alone_and_plain_naming_keep_names() {
        let mut alone = fake("a", &[r#"{"name":"now"}"#]);
        check(
            &merge(&[alone], Naming::Prefixed, 9),
            Kind::Tools,
            &expect![[r#"
            {"tools":[{"name":"now"}]}
        "#]],
        );
        alone = fake("a", &[r#"{"name":"now"}"#]);
        alone.prefix = Some("own");
        check(
            &merge(&[alone], Naming::Prefixed, 9),
            Kind::Tools,
            &expect![[r#"
            {"tools":[{"name":"own__now"}]}
        "#]],
        );
        let two = [fake("a", &[r#"{"name":"x"}"#]), fake("b", &[r#"{"name":"x"}"#, r#"{"name":"y"}"#])];
        check(
            &merge(&two, Naming::Plain, 9),
            Kind::Tools,
            &expect![[r#"
            {"tools":[{"name":"x"},{"name":"y"}]}
            b: Tools `x` is left out: that name is taken
        "#]],
        );
    }

    #[test]
    fn names_do_not_depend_on_which_servers_are_up() {
        let up = [fake("a", &[r#"{"name":"x"}"#]), fake("b", &[r#"{"name":"x"}"#])];
        let half = [fake("a", &[r#"{"name":"x"}"#]), fake("b", &[])];
        let name = |index: &Index| index.list(Kind::Tools).entries()[0].public.clone();
        assert_eq!(name(&merge(&up, Naming::Prefixed, 9)), name(&merge(&half, Naming::Prefixed, 9)));
        let index = merge(&half, Naming::Prefixed, 9);
        assert_eq!(index.tool("b__x"), None);
        let (server, own) = index.by_prefix("b__x").unwrap();
        assert_eq!((server.as_str(), own), ("b", "x"));
    }

    #[test]
    fn filtered_and_nameless_tools_are_not_listed() {
        let mut server =
            fake("a", &[r#"{"name":"read"}"#, r#"{"name":"rm"}"#, r#"{"title":"?"}"#, r#"{"name":7}"#]);
        server.filter = ToolFilter::Only(["read".to_owned()].into());
        check(
            &merge(&[server], Naming::Prefixed, 9),
            Kind::Tools,
            &expect![[r#"
            {"tools":[{"name":"read"}]}
            a: an item of Tools is left out: it has no `name` text
            a: an item of Tools is left out: it has no `name` text
        "#]],
        );
    }

    #[test]
    fn a_uri_of_two_servers_leads_to_both() {
        let mut servers = [fake("a", &[]), fake("b", &[])];
        for server in &mut servers {
            server.resources = vec![Json::parse(r#"{"uri":"file:///x"}"#.to_owned()).unwrap()];
        }
        let index = merge(&servers, Naming::Prefixed, 9);
        check(
            &index,
            Kind::Resources,
            &expect![[r#"
            {"resources":[{"uri":"file:///x"},{"uri":"wasmgate://b/file:%2F%2F%2Fx"}]}
        "#]],
        );
        assert_eq!(index.resource("file:///x").unwrap().server.as_str(), "a");
        let second = index.resource("wasmgate://b/file:%2F%2F%2Fx").unwrap();
        assert_eq!((second.server.as_str(), &**second.subject.name().unwrap()), ("b", "file:///x"));
        assert_eq!(index.resource("other:y"), None);
    }
}

//! Merges what servers offer into an [`Index`].

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memmem::find;

use super::uris::Users;
use super::{Entry, Index, Kind, names, uris};
use crate::catalog::ToolFilter;
use crate::json::{Edit, Json};
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
    /// Whether it speaks 2025-11-25, whose experimental tasks nobody is offered here: see [`Warning::NeedsTasks`].
    pub has_old_tasks: bool,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
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
    /// The tool can only be called as a task of 2025-11-25, which the gateway does not carry: it is left out.
    #[error("{server}: tool `{own}` is left out: it can only run as a task of protocol version 2025-11-25")]
    NeedsTasks {
        /// Its server.
        server: ServerName,
        /// The server's name for it.
        own: String,
    },
}

pub(super) fn build(sources: &[Source<'_>], naming: Naming, page: usize) -> Index {
    let prefixes: Vec<String> = sources.iter().map(|source| prefix(source, naming, sources.len())).collect();
    let servers = sources.iter().map(|source| source.server.clone()).collect();
    let mut merging = Merging { index: Index::empty(servers, page) };
    // Names of resources first: tools name some. A server's resources and templates after those of the servers before it.
    for source in sources {
        for kind in [Kind::Templates, Kind::Resources] {
            items(source, kind).iter().for_each(|item| merging.add(source, "", kind, item));
        }
    }
    for kind in [Kind::Tools, Kind::Prompts] {
        for (source, prefix) in sources.iter().zip(&prefixes) {
            items(source, kind).iter().for_each(|item| merging.add(source, prefix, kind, item));
        }
    }
    let mut index = merging.index;
    Kind::ALL.into_iter().for_each(|kind| index.list_mut(kind).trim());
    index.prefixes = prefixes.into_iter().zip(sources.iter().map(|source| source.server.clone())).collect();
    index.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    index
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

/// An index on its way.
struct Merging {
    index: Index,
}

impl Merging {
    fn add(&mut self, source: &Source<'_>, prefix: &str, kind: Kind, item: &Json) {
        let server = source.server;
        let place = item.place(kind.key());
        let key = place.clone().map(|place| item.cut(place));
        let (Some(place), Some(own)) =
            (place, key.as_ref().and_then(Json::string).filter(|own| !own.is_empty()))
        else {
            return self.warn(Warning::Nameless { server: server.clone(), kind });
        };
        let said = match kind {
            Kind::Tools if !source.filter.allows(&own) => return,
            Kind::Tools => match self.tool(source, item) {
                Some(Cow::Borrowed(item)) => (item.clone(), place),
                Some(Cow::Owned(item)) => {
                    let place = item.place(kind.key()).unwrap_or(place);
                    (item, place)
                }
                None => {
                    return self.warn(Warning::NeedsTasks { server: server.clone(), own: own.into_owned() });
                }
            },
            _ => (item.clone(), place),
        };
        let public = match kind {
            Kind::Tools | Kind::Prompts => self.name(server, prefix, &own),
            Kind::Resources | Kind::Templates => self.uri(server, kind, &own),
        };
        if self.index.list(kind).has(&public) {
            return self.warn(Warning::Taken { server: server.clone(), kind, name: own.into_owned() });
        }
        let own: Arc<str> = own.as_ref().into();
        let public = if *public == *own { Arc::clone(&own) } else { public.into() };
        let at = self.index.list_mut(kind).push(Entry::renamed(public, server.clone(), own, said));
        if matches!(kind, Kind::Resources | Kind::Templates) {
            self.claim(kind, at);
        }
    }

    fn warn(&mut self, warning: Warning) {
        self.index.warnings.push(warning);
    }

    fn name(&mut self, server: &ServerName, prefix: &str, own: &str) -> String {
        let public = names::join(prefix, own);
        if !public.ends_with(own) {
            let (own, public) = (own.to_owned(), public.clone());
            self.warn(Warning::Shortened { server: server.clone(), own, public });
        }
        public
    }

    /// A resource keeps its URI unless a server before this one lists it or has a template for it; a template keeps its own
    /// unless a server before this one uses its scheme: nobody could tell what it is expanded to from theirs.
    fn uri(&self, server: &ServerName, kind: Kind, own: &str) -> String {
        let index = &self.index;
        let users = uris::scheme(own).and_then(|scheme| index.schemes.get(scheme));
        let others = users.filter(|users| users.shared || users.first != *server);
        let is_taken = || match kind {
            Kind::Templates => others.is_some() || uris::scheme(own).is_none(),
            _ => {
                let listed = index.resources.find(own).is_some_and(|entry| entry.server != *server);
                let fits = |users: &Users| users.first_has_template_for(own, &index.templates);
                listed || others.filter(|users| users.first != *server).is_some_and(fits)
            }
        };
        let is_unique = index.alone().is_some() || !(uris::is_ours(own) || is_taken());
        if is_unique { own.to_owned() } else { uris::make_unique(server, own) }
    }

    /// Notes who uses a scheme.
    fn claim(&mut self, kind: Kind, at: usize) {
        let index = &mut self.index;
        let list = if kind == Kind::Templates { &index.templates } else { &index.resources };
        let Some(entry) = list.entries().get(at) else { return };
        let Some(scheme) = uris::scheme(&entry.own) else { return };
        let users = index.schemes.entry(scheme.to_owned()).or_insert_with(|| Users {
            first: entry.server.clone(),
            shared: false,
            templates: Vec::new(),
        });
        users.shared |= users.first != entry.server;
        if kind == Kind::Templates && entry.public == entry.own {
            users.templates.push(at);
        }
    }

    /// A tool as clients may see it: without the tasks of 2025-11-25, and the page it names (MCP Apps) under the URI they
    /// know it by. None when it can only run as such a task.
    fn tool<'j>(&self, source: &Source<'_>, item: &'j Json) -> Option<Cow<'j, Json>> {
        let mut item = Cow::Borrowed(item);
        if source.has_old_tasks
            && let Some(execution) = item.member("execution")
            && let Some(support) = execution.member("taskSupport")
        {
            if support.string().as_deref() == Some("required") {
                return None;
            }
            let rest = execution.without_member("taskSupport");
            let is_empty = rest.members().is_some_and(|members| members.is_empty());
            item = Cow::Owned(item.with_members(&[("execution", (!is_empty).then_some(&rest))]));
        }
        if find(item.bytes(), b"resourceUri").is_none() {
            return Some(item);
        }
        let public = |place: &&str| {
            let uri = item.pointer(place)?;
            let public = self.index.public_uri(source.server, &uri.string()?)?;
            Some(Edit::SetString((*place).to_owned(), public))
        };
        let edits: Vec<Edit> = PAGES.iter().filter_map(public).collect();
        if edits.is_empty() {
            return Some(item);
        }
        Some(item.apply(&edits).map_or(item, Cow::Owned))
    }
}

/// Where a tool names the page that shows it (MCP Apps), the older way among them.
const PAGES: [&str; 2] = ["/_meta/ui/resourceUri", "/_meta/ui~1resourceUri"];

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use expect_test::{Expect, expect};

    use super::super::{Subject, Target};
    use super::*;

    /// A server and its tools, `name` or `name=json-members`.
    struct Fake {
        name: ServerName,
        prefix: Option<&'static str>,
        filter: ToolFilter,
        tools: Vec<Json>,
        resources: Vec<Json>,
        templates: Vec<Json>,
        has_old_tasks: bool,
    }

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    fn fake(name: &str, tools: &[&str]) -> Fake {
        let item = |text: &&str| Json::parse((*text).to_owned()).unwrap();
        Fake {
            name: ServerName::new(name).unwrap(),
            prefix: None,
            filter: ToolFilter::All,
            tools: tools.iter().map(item).collect(),
            resources: Vec::new(),
            templates: Vec::new(),
            has_old_tasks: false,
        }
    }

    /// A server of these resources and templates, which are those with an expression in them.
    fn offering(name: &str, uris: &[&str]) -> Fake {
        let mut fake = fake(name, &[]);
        for uri in uris {
            let (list, key) = match uri.contains('{') {
                true => (&mut fake.templates, "uriTemplate"),
                false => (&mut fake.resources, "uri"),
            };
            list.push(Json::empty_object().with_member(key, &Json::of(*uri)));
        }
        fake
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
                templates: &fake.templates,
                has_old_tasks: fake.has_old_tasks,
            })
            .collect();
        Index::build(&sources, naming, page)
    }

    fn check(index: &Index, kind: Kind, expected: &Expect) {
        let mut text = String::new();
        let pages = index.list(kind).pages();
        for page in 0..pages {
            let result = index.list(kind).page(page, &[]).unwrap();
            text += &format!("{}{}\n", result.as_str(), if page + 1 < pages { " ..." } else { "" });
        }
        assert!(index.list(kind).page(pages, &[]).is_none());
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
    fn an_item_is_kept_once() {
        let text = r#"{"inputSchema":{"name":"not this"},"name" : "now","title":"\"name\""}"#;
        let servers = [fake("a", &[text]), fake("b", &[text])];
        let index = merge(&servers, Naming::Prefixed, 9);
        let list = index.list(Kind::Tools);
        for (entry, server) in list.entries().iter().zip(&servers) {
            assert_eq!(
                entry.said().bytes().as_ptr(),
                server.tools[0].bytes().as_ptr(),
                "the server's own memory"
            );
            let public = text.replace(r#""now""#, &format!("\"{}__now\"", server.name));
            assert_eq!(entry.item().as_str(), public);
        }
        let before = [("x", &Json::of(&1)), ("y", &Json::null())];
        let page = list.page(0, &before).unwrap();
        let items = list.entries().iter().map(|entry| entry.item().as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(page.as_str(), format!(r#"{{"x":1,"y":null,"tools":[{}]}}"#, items.join(",")));
        let again = merge(&servers, Naming::Prefixed, 9);
        assert_eq!(again.list(Kind::Tools).revision(), list.revision());
        assert_ne!(merge(&servers, Naming::Plain, 9).list(Kind::Tools).revision(), list.revision());
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

    /// The public names of resources and templates, in their order.
    fn uris(index: &Index) -> String {
        let all = [Kind::Resources, Kind::Templates].map(|kind| index.list(kind).entries());
        all.concat().iter().map(|entry| &*entry.public).collect::<Vec<_>>().join(" ")
    }

    fn leads_to(index: &Index, uri: &str) -> String {
        let target = index.resource(uri);
        target.map_or("-".into(), |target| format!("{} {}", target.server, target.subject.name().unwrap()))
    }

    #[test]
    fn a_uri_of_two_servers_leads_to_both() {
        let servers = [offering("a", &["file:///x"]), offering("b", &["file:///x", "file:///y"])];
        let index = merge(&servers, Naming::Prefixed, 9);
        assert_eq!(uris(&index), "file:///x wasmgate://b/file:///x file:///y");
        for (uri, target) in [
            ("file:///x", "a file:///x"),
            ("wasmgate://b/file:///x", "b file:///x"),
            ("wasmgate://a/file:///x", "a file:///x"),
            ("file:///y", "b file:///y"),
            ("wasmgate://b/file:///unlisted", "b file:///unlisted"),
            ("file:///unlisted", "-"),
            ("wasmgate://c/file:///x", "-"),
            ("other:y", "-"),
        ] {
            assert_eq!(leads_to(&index, uri), target, "{uri}");
        }
    }

    #[test]
    fn a_template_of_a_scheme_that_others_use_is_made_unique_with_what_it_expands_to() {
        let servers = [
            offering("a", &["x:one", "x:{id}"]),
            offering("b", &["x:two", "x:{id}", "y:{id}", "ui:{page}", "{any}"]),
            offering("c", &["ui://c/page"]),
        ];
        let index = merge(&servers, Naming::Prefixed, 9);
        let expected = "x:one wasmgate://b/x:two ui://wasmgate/c/ui://c/page \
            x:{id} wasmgate://b/x:{id} y:{id} ui:{page} wasmgate://b/{any}";
        assert_eq!(uris(&index), expected);
        for (uri, target) in [
            ("x:two", "a x:two"),
            ("wasmgate://b/x:1%2F2/3?q=4#5", "b x:1%2F2/3?q=4#5"),
            ("y:1", "b y:1"),
            ("wasmgate://b/z://1", "b z://1"),
        ] {
            assert_eq!(leads_to(&index, uri), target, "{uri}");
        }
        assert_eq!(index.template("wasmgate://b/x:{id}").unwrap().subject.name().unwrap().as_ref(), "x:{id}");
    }

    #[test]
    fn links_that_no_list_has_lead_back_to_their_server() {
        let servers =
            [offering("a", &["x:{id}", "wasmgate://b/x:1"]), offering("b", &["y:1"]), offering("c", &[])];
        let index = merge(&servers, Naming::Prefixed, 9);
        assert_eq!(uris(&index), "wasmgate://a/wasmgate://b/x:1 y:1 x:{id}");
        let public = |server: &str, own| index.public_uri(&ServerName::new(server).unwrap(), own);
        for (server, own, expected) in [
            ("a", "x:7", None),
            ("b", "x:7", Some("wasmgate://b/x:7")),
            ("b", "y:2", None),
            ("a", "y:1", Some("wasmgate://a/y:1")),
            ("c", "z:1", Some("wasmgate://c/z:1")),
            ("c", "ui://z", Some("ui://wasmgate/c/ui://z")),
            ("a", "wasmgate://b/x:1", Some("wasmgate://a/wasmgate://b/x:1")),
            ("c", "https://example.com", None),
        ] {
            assert_eq!(public(server, own).as_deref(), expected, "{server} {own}");
        }
    }

    #[test]
    fn a_server_alone_keeps_its_uris() {
        let index = merge(&[offering("a", &["x:1", "{any}", "wasmgate://b/y:1"])], Naming::Prefixed, 9);
        assert_eq!(uris(&index), "x:1 wasmgate://b/y:1 {any}");
        for uri in ["x:1", "wasmgate://b/y:1", "wasmgate://b/y:2", "nothing"] {
            assert_eq!(leads_to(&index, uri), format!("a {uri}"));
            assert_eq!(index.public_uri(&ServerName::new("a").unwrap(), uri), None);
        }
    }

    #[test]
    fn pages_of_tools_follow_their_servers_uris() {
        let tool =
            r#"{"name":"t","_meta":{"ui":{"resourceUri":"ui://p","csp":1},"ui/resourceUri":"ui://p"}}"#;
        let mut servers =
            [fake("a", &[tool]), fake("b", &[tool]), fake("c", &[r#"{"name":"t","title":"resourceUri"}"#])];
        servers[0].resources = vec![json(r#"{"uri":"ui://p"}"#)];
        check(
            &merge(&servers, Naming::Prefixed, 9),
            Kind::Tools,
            &expect![[r#"
                {"tools":[{"name":"a__t","_meta":{"ui":{"resourceUri":"ui://p","csp":1},"ui/resourceUri":"ui://p"}},{"name":"b__t","_meta":{"ui":{"resourceUri":"ui://wasmgate/b/ui://p","csp":1},"ui/resourceUri":"ui://wasmgate/b/ui://p"}},{"name":"c__t","title":"resourceUri"}]}
            "#]],
        );
    }

    #[test]
    fn tasks_of_2025_11_25_are_not_spoken_of() {
        let mut old = fake(
            "a",
            &[
                r#"{"name":"may","execution":{"taskSupport":"optional"}, "x":1}"#,
                r#"{"name":"must","execution":{"taskSupport":"required"}}"#,
                r#"{"name":"more","execution":{"taskSupport":"forbidden","y":2}}"#,
            ],
        );
        let kept = merge(
            &[fake("b", &[r#"{"name":"t","execution":{"taskSupport":"required"}}"#])],
            Naming::Prefixed,
            9,
        );
        assert_eq!(
            kept.list(Kind::Tools).entries()[0].item().as_str(),
            r#"{"name":"t","execution":{"taskSupport":"required"}}"#
        );
        old.has_old_tasks = true;
        check(
            &merge(&[old], Naming::Prefixed, 9),
            Kind::Tools,
            &expect![[r#"
                {"tools":[{"name":"may", "x":1},{"name":"more","execution":{"y":2}}]}
                a: tool `must` is left out: it can only run as a task of protocol version 2025-11-25
            "#]],
        );
    }

    use proptest::prelude::*;

    fn some_uris() -> impl Strategy<Value = Vec<String>> {
        let uri = "(x|y|ui|https|wasmgate)?(:|://|://wasmgate/)[abc]?/?[xy]?:?[abc]?(\\{id\\})?";
        prop::collection::vec(uri, 0..5)
    }

    proptest! {
        #![proptest_config(crate::json::arbitrary::cases(256))]

        #[test]
        fn public_uris_lead_back_and_never_meet(
            offered in prop::collection::vec(some_uris(), 1..4),
            linked in some_uris(),
        ) {
            let servers: Vec<Fake> = offered
                .iter()
                .zip(["a", "b", "c"])
                .map(|(uris, name)| offering(name, &uris.iter().map(String::as_str).collect::<Vec<_>>()))
                .collect();
            let index = merge(&servers, Naming::Prefixed, 9);
            let mut met = HashMap::new();
            for server in &servers {
                for own in offered.iter().flatten().chain(&linked).filter(|uri| !uri.contains('{') && !uri.is_empty()) {
                    let public = index.public_uri(&server.name, own).unwrap_or_else(|| own.clone());
                    let target = index.resource(&public);
                    if own.starts_with("https:") && target.is_none() {
                        continue; // fetched from the web
                    }
                    let target = target.unwrap();
                    prop_assert_eq!((&target.server, &**target.subject.name().unwrap()), (&server.name, own.as_str()));
                    let before = met.insert(public.clone(), (server.name.clone(), own.clone()));
                    prop_assert!(before.is_none_or(|before| before == (server.name.clone(), own.clone())), "{}", public);
                }
            }
            for entry in index.list(Kind::Resources).entries() {
                let public = index.public_uri(&entry.server, &entry.own);
                prop_assert_eq!(&*entry.public, public.as_deref().unwrap_or(&entry.own));
            }
            for entry in index.list(Kind::Templates).entries() {
                for value in ["", "a", "b/x:1", "{"] {
                    let target = index.resource(&entry.public.replace("{id}", value));
                    let own: Arc<str> = entry.own.replace("{id}", value).into();
                    let meant = Target { server: entry.server.clone(), subject: Subject::Resource(own) };
                    prop_assert_eq!(target, Some(meant));
                }
            }
        }
    }
}

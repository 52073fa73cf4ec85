//! Everything a server lists, all pages, kept as it came.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;
use wasmgate_core::catalog::Server;
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::param_headers;

use super::correlator::Patience;
use super::era::Era;
use super::handshake::Greeting;
use super::incoming::Kinds;
use super::link::{Link, Question};
use super::questions::METHOD_NOT_FOUND;
use super::{Answer, Fault, Keeping, Keepings, LeftOut, Offer};

/// Reads the lists of one server.
pub(super) struct Lists<'a> {
    /// The connection.
    pub(super) link: &'a Link,
    /// Its era.
    pub(super) era: &'a Era,
    /// The server, for its name and deadlines.
    pub(super) server: &'a Server,
}

impl Lists<'_> {
    /// All lists its capabilities speak of. One that fails is empty, with a warning. `known` is what has been left out
    /// before and need not be said again.
    pub(super) async fn all(&self, greeting: Greeting, known: Vec<LeftOut>) -> Offer {
        let empty = Offer {
            version: self.era.version().into(),
            capabilities: greeting.capabilities,
            info: greeting.info,
            instructions: greeting.instructions,
            tools: Vec::new(),
            left_out: known,
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            keepings: Keepings::default(),
        };
        self.again(&empty, Kinds::ALL).await
    }

    /// The same offer with these lists read anew. One that fails stays as it was, with a warning.
    pub(super) async fn again(&self, old: &Offer, kinds: Kinds) -> Offer {
        let wanted = |kind, capability| kinds.has(kind) && old.capabilities.member(capability).is_some();
        let (tools, prompts) = (wanted(Kinds::TOOLS, "tools"), wanted(Kinds::PROMPTS, "prompts"));
        let resources = wanted(Kinds::RESOURCES, "resources");
        let (tools, prompts, resources, templates) = tokio::join!(
            self.read(TOOLS, tools, (&old.tools, old.keepings.tools)),
            self.read(PROMPTS, prompts, (&old.prompts, old.keepings.prompts)),
            self.read(RESOURCES, resources, (&old.resources, old.keepings.resources)),
            self.read(TEMPLATES, resources, (&old.templates, old.keepings.templates)),
        );
        let keepings =
            Keepings { tools: tools.1, prompts: prompts.1, resources: resources.1, templates: templates.1 };
        let (prompts, resources, templates) = (prompts.0, resources.0, templates.0);
        let (tools, left_out) = self.sieve(tools.0, &old.left_out);
        Offer { tools, left_out, prompts, resources, templates, keepings, ..old.clone() }
    }

    /// Without the tools that clients of 2026-07-28 would not take: a bad annotation of one must not be the end of the
    /// others (streamable HTTP, "Custom Headers from Tool Parameters"). In older versions it means nothing.
    fn sieve(&self, tools: Vec<Json>, known: &[LeftOut]) -> (Vec<Json>, Vec<LeftOut>) {
        if matches!(self.era, Era::Legacy(_)) {
            return (tools, Vec::new());
        }
        let mut left_out = Vec::new();
        let mut kept = tools;
        kept.retain(|tool| match LeftOut::of(tool) {
            None => true,
            Some(out) => {
                left_out.push(out);
                false
            }
        });
        for LeftOut { tool, reason } in left_out.iter().filter(|out| !known.contains(out)) {
            tracing::warn!(server = %self.server.name, tool, %reason, "tool left out: clients could not call it");
        }
        (kept, left_out)
    }

    async fn read(&self, list: List, is_wanted: bool, old: (&[Json], Keeping)) -> (Vec<Json>, Keeping) {
        let old = || (old.0.to_vec(), old.1);
        if !is_wanted {
            return old();
        }
        match self.pages(list).await {
            Ok(items) => items,
            Err(trouble) => {
                tracing::warn!(server = %self.server.name, list = list.method, %trouble, "list could not be read");
                old()
            }
        }
    }

    async fn pages(&self, list: List) -> Result<(Vec<Json>, Keeping), Trouble> {
        let patience = Patience::of(self.server.deadlines.idle, Instant::now().into_std());
        Pages { link: self.link, era: self.era, patience }.read(list).await
    }
}

/// The tools of a server, all pages, as they come.
///
/// # Errors
/// [`Trouble`] when they cannot be read.
pub(super) async fn tools(link: &Link, era: &Era, patience: Patience) -> Result<Vec<Json>, Trouble> {
    Ok(Pages { link, era, patience }.read(TOOLS).await?.0)
}

/// Reads all pages of a list.
struct Pages<'a> {
    link: &'a Link,
    era: &'a Era,
    /// For all of them together.
    patience: Patience,
}

impl Pages<'_> {
    async fn read(&self, list: List) -> Result<(Vec<Json>, Keeping), Trouble> {
        let (mut items, mut seen, mut cursor) = (Vec::new(), HashSet::new(), None::<Json>);
        let mut keeping = None::<Keeping>;
        for _ in 0..MAX_PAGES {
            let page = self.page(list, cursor.as_ref()).await?;
            let Some(page) = page else { return Ok((items, keeping.unwrap_or_default())) };
            keeping = Some(keeping.map_or(keeping_of(&page), |so_far| so_far.and(keeping_of(&page))));
            let elements =
                page.member(list.key).and_then(|value| value.elements()).ok_or(Trouble::NoList(list.key))?;
            items.extend(Json::gathered(elements.iter().filter(|item| item.is_object())));
            if items.len() > MAX_ITEMS {
                return Err(Trouble::Endless);
            }
            match page.member("nextCursor").filter(|next| !next.is_null()) {
                None => return Ok((items, keeping.unwrap_or_default())),
                Some(next) if seen.insert(next.clone()) => cursor = Some(next),
                Some(_) => return Err(Trouble::Loop),
            }
        }
        Err(Trouble::Endless)
    }

    /// One page; None when the server does not know this list although it offers its siblings.
    async fn page(&self, list: List, cursor: Option<&Json>) -> Result<Option<Json>, Trouble> {
        let params = cursor.map(|cursor| ObjectWriter::new().member("cursor", cursor).finish());
        let (params, patience) = (params.as_ref(), self.patience);
        let question = Question { method: list.method, params, client: None, events: None, patience };
        match self.link.ask(self.era, question).await? {
            Answer::Result(page) => Ok(Some(page)),
            Answer::Error(error) => {
                let code = error.member("code").and_then(|code| code.as_str().parse().ok()).unwrap_or(0);
                if code == METHOD_NOT_FOUND { Ok(None) } else { Err(Trouble::Refused(code)) }
            }
            Answer::Asks(_) | Answer::Flow(_) => {
                Err(Fault::Misbehaved("a question in place of a list".into()).into())
            }
        }
    }
}

impl LeftOut {
    /// Why clients would not take this tool; None when they would.
    fn of(tool: &Json) -> Option<Self> {
        let reason = param_headers(&tool.member("inputSchema")?).err()?.to_string();
        // The server's own words, cut short and without anything a terminal would obey.
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
        let name = tool.member("name");
        let name = name.as_ref().and_then(Json::string).unwrap_or_default();
        Some(Self { tool: plain(&name), reason: plain(&reason) })
    }
}

/// What a page says of itself; what says nothing is not to be kept.
fn keeping_of(page: &Json) -> Keeping {
    let [ttl, scope] = page.pick(["ttlMs", "cacheScope"]);
    let is_public = scope.as_ref().and_then(Json::string).as_deref() == Some("public");
    Keeping { ttl: ttl.and_then(|ttl| ttl.as_str().parse().ok()).unwrap_or_default(), is_public }
}

/// Whether two offers are the same to whoever lists them.
pub(super) fn is_same(a: &Arc<Offer>, b: &Offer) -> bool {
    a.tools == b.tools
        && a.left_out == b.left_out
        && a.prompts == b.prompts
        && a.resources == b.resources
        && a.templates == b.templates
        && a.keepings == b.keepings
}

/// Why a list could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No answer of its own.
    #[error("the server {0}")]
    Fault(#[from] Fault),
    /// An error in place of a page: its code.
    #[error("the server answered with error {0}")]
    Refused(i64),
    /// No list in the result.
    #[error("the result has no array `{0}`")]
    NoList(&'static str),
    /// It would go round and round.
    #[error("a cursor came twice")]
    Loop,
    /// Too much.
    #[error("more than {MAX_PAGES} pages or {MAX_ITEMS} items")]
    Endless,
}

#[derive(Clone, Copy)]
struct List {
    method: &'static str,
    key: &'static str,
}

const TOOLS: List = List { method: "tools/list", key: "tools" };
const PROMPTS: List = List { method: "prompts/list", key: "prompts" };
const RESOURCES: List = List { method: "resources/list", key: "resources" };
const TEMPLATES: List = List { method: "resources/templates/list", key: "resourceTemplates" };

const MAX_PAGES: usize = 1000;
const MAX_ITEMS: usize = 20_000;

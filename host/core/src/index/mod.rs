//! The merged lists: what clients see of all servers together, and which server a name means.
//!
//! An [`Index`] is built from what servers offer, in configuration order, and never changed. The same servers offering
//! the same things give the same index, byte for byte, whichever was ready first. Names do not depend on which servers
//! happen to be up. Nothing here asks a server anything.

mod build;
mod links; // where URIs stand in what servers say
mod list; // one merged list
mod names;
mod uris;

use std::collections::HashMap;
use std::sync::Arc;

use crate::name::ServerName;

pub use build::{Naming, Source, Warning};
pub use links::{Link, links};
pub use list::{Entry, List};
use uris::Users;

/// What a request is about, at the server it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A tool, by the server's own name.
    Tool(Arc<str>),
    /// A prompt, by the server's own name.
    Prompt(Arc<str>),
    /// A resource, by the server's own URI.
    Resource(Arc<str>),
    /// A task, by the server's own id.
    Task(Arc<str>),
    /// The server as a whole: a method the gateway does not know.
    Server,
}

impl Subject {
    /// The name, URI or id, when there is one.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Tool(name) | Self::Prompt(name) | Self::Resource(name) | Self::Task(name) => Some(name),
            Self::Server => None,
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub server: ServerName,
    /// What is meant there.
    pub subject: Subject,
}

/// The four lists of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}

impl Kind {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The member of the list result that holds the items.
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an item that identifies it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }
}

/// The merged lists of one moment.
#[derive(Debug)]
pub struct Index {
    /// Every server that takes part, up or not.
    servers: Vec<ServerName>,
    tools: List,
    prompts: List,
    resources: List,
    templates: List,
    /// Which servers use a scheme, in resources and templates.
    schemes: HashMap<String, Users>,
    /// Prefixes of public names, longest first.
    prefixes: Vec<(String, ServerName)>,
    /// What could not be listed as the server gave it.
    pub warnings: Vec<Warning>,
}

impl Index {
    /// Nothing yet, of these servers.
    fn empty(servers: Vec<ServerName>, page: usize) -> Self {
        let list = |kind| List::empty(kind, page);
        Self {
            servers,
            tools: list(Kind::Tools),
            prompts: list(Kind::Prompts),
            resources: list(Kind::Resources),
            templates: list(Kind::Templates),
            schemes: HashMap::new(),
            prefixes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Merges what the servers offer, in the order given. `page` is the most items a page holds.
    pub fn build(sources: &[Source<'_>], naming: Naming, page: usize) -> Self {
        build::build(sources, naming, page)
    }

    /// One of the lists.
    pub fn list(&self, kind: Kind) -> &List {
        match kind {
            Kind::Tools => &self.tools,
            Kind::Prompts => &self.prompts,
            Kind::Resources => &self.resources,
            Kind::Templates => &self.templates,
        }
    }

    fn list_mut(&mut self, kind: Kind) -> &mut List {
        match kind {
            Kind::Tools => &mut self.tools,
            Kind::Prompts => &mut self.prompts,
            Kind::Resources => &mut self.resources,
            Kind::Templates => &mut self.templates,
        }
    }

    /// The listed tool of this public name.
    pub fn tool(&self, public: &str) -> Option<Target> {
        let entry = self.tools.find(public)?;
        Some(Target { server: entry.server.clone(), subject: Subject::Tool(Arc::clone(&entry.own)) })
    }

    /// The listed prompt of this public name.
    pub fn prompt(&self, public: &str) -> Option<Target> {
        let entry = self.prompts.find(public)?;
        Some(Target { server: entry.server.clone(), subject: Subject::Prompt(Arc::clone(&entry.own)) })
    }

    /// The server a URI belongs to: a listed resource, one made unique, a template that fits, or the only server that
    /// uses the scheme. A server alone has every URI.
    pub fn resource(&self, uri: &str) -> Option<Target> {
        let target = |server: &ServerName, own: Arc<str>| Target {
            server: server.clone(),
            subject: Subject::Resource(own),
        };
        if let Some(entry) = self.resources.find(uri) {
            return Some(target(&entry.server, Arc::clone(&entry.own)));
        }
        if let Some(server) = self.alone() {
            return Some(target(server, uri.into()));
        }
        if uris::is_ours(uri) {
            let (server, own) = uris::take_apart(uri)?;
            let server = self.servers.iter().find(|known| known.as_str() == server)?;
            return Some(target(server, own.into()));
        }
        let users = self.schemes.get(uris::scheme(uri)?)?;
        let by_template = users.first_has_template_for(uri, &self.templates);
        let owner = if by_template || !users.shared { &users.first } else { return None };
        Some(target(owner, uri.into()))
    }

    /// What clients have to call a URI of this server's, listed or not, so that [`Index::resource`] leads back to it; None
    /// when they can call it what the server does.
    pub fn public_uri(&self, server: &ServerName, own: &str) -> Option<String> {
        if self.alone().is_some() {
            return None;
        }
        let is_its_own = match self.resource(own) {
            Some(target) => {
                target.server == *server && target.subject.name().is_some_and(|uri| **uri == *own)
            }
            // What is on the web is the same whoever names it, and clients may fetch it there (2026-07-28 server/resources,
            // "Common URI Schemes").
            None => matches!(uris::scheme(own), Some("https" | "http")),
        };
        (!is_its_own).then(|| uris::make_unique(server, own))
    }

    /// Whether one server takes part alone.
    pub fn is_alone(&self) -> bool {
        self.servers.len() == 1
    }

    /// The only server, when there is one alone.
    fn alone(&self) -> Option<&ServerName> {
        if let [alone] = self.servers.as_slice() { Some(alone) } else { None }
    }

    /// The first listed template of a server that one of its own URIs can be an expansion of, scheme included.
    pub fn template_of(&self, server: &ServerName, own: &str) -> Option<&Entry> {
        // A template must name the scheme itself: one that fits everything must not catch what is meant for others.
        let fits = |template: &str| uris::scheme(template) == uris::scheme(own) && uris::fits(template, own);
        self.templates.entries().iter().find(|entry| entry.server == *server && fits(&entry.own))
    }

    /// The template's server, for completions.
    pub fn template(&self, template: &str) -> Option<Target> {
        let entry = self.templates.find(template)?;
        Some(Target { server: entry.server.clone(), subject: Subject::Resource(Arc::clone(&entry.own)) })
    }

    /// The server whose prefix a public name has, and the rest of the name: for names that are not listed (yet).
    pub fn by_prefix<'n>(&self, public: &'n str) -> Option<(&ServerName, &'n str)> {
        self.prefixes
            .iter()
            .find_map(|(prefix, server)| Some((server, public.strip_prefix(prefix.as_str())?)))
    }
}

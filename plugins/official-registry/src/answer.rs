//! What registries answer: one server or many, and the ways in which they say no.

use serde_json::Value as Json;
use server_json::{Node, Settings};
use wasmgate_plugin::http::Response;
use wasmgate_plugin::source::{Failure, Page, Refused, Server};

use crate::reference::Registry;

/// The JSON of an answer.
///
/// # Errors
/// What the registry says instead, in words.
pub(crate) fn json(response: &Response, what: &str) -> Result<Json, Failure> {
    if let Some(failure) = Failure::of(response) {
        return Err(with_words(failure, response, what));
    }
    serde_json::from_slice(&response.body).map_err(|error| {
        let kind = header(response, "content-type").unwrap_or("no content type");
        Failure::Invalid(format!("{what} is no JSON ({kind}): {error}; is this the address of a registry?"))
    })
}

/// The answer's entity tag.
pub(crate) fn validator(response: &Response) -> Option<String> {
    header(response, "etag").map(str::to_owned)
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// What the registry itself says: `{"error": ...}` by its description, `{"title", "detail"}` (RFC 7807) by its framework.
fn with_words(failure: Failure, response: &Response, what: &str) -> Failure {
    let body: Json = serde_json::from_slice(&response.body).unwrap_or_default();
    let said = Node::root(&body).any(&["detail", "error", "message", "title"]).text();
    let more = said.map(|said| format!(" ({said})")).unwrap_or_default();
    match failure {
        Failure::NotFound(words) => Failure::NotFound(format!("{what}: {words}{more}")),
        Failure::Unauthorized(words) => Failure::Unauthorized(format!(
            "{what}: {words}{more}; for a registry that needs a token, set `token` of this plugin"
        )),
        Failure::Failed(words) => Failure::Failed(format!("{what}: {words}{more}")),
        other => other,
    }
}

/// Which servers are wanted of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing<'a> {
    pub(crate) settings: &'a Settings,
    /// Where the servers are from; none for a document that was handed in.
    pub(crate) registry: Option<&'a Registry>,
    /// Whether what is deleted is news: in an answer to what has changed.
    pub(crate) changes: bool,
}

impl Listing<'_> {
    /// A page of servers out of one document: a list, one server, or what Docker's gateway packed.
    ///
    /// # Errors
    /// When it is none of these.
    pub(crate) fn page(&self, json: &Json) -> Result<Page, Failure> {
        let node = Node::root(json);
        let lists = ["servers", "registry"].map(|name| json.get(name).and_then(Json::as_array));
        let mut page = Page::default();
        if let Some(list) = lists.into_iter().flatten().next() {
            list.iter().for_each(|item| self.add(&mut page, item));
            let next = node.member("metadata").any(&["nextCursor"]).text();
            return Ok(Page { next, ..page });
        }
        if !node.member("name").is_there() && !node.member("server").is_there() {
            return Err(Failure::Invalid("it holds neither a server nor a list of servers".to_owned()));
        }
        self.add(&mut page, json);
        Ok(page)
    }

    fn add(&self, page: &mut Page, item: &Json) {
        match server_json::import(item, self.settings) {
            Ok(imported) => {
                let url =
                    self.registry.map(|registry| registry.server(&imported.registry_name, &imported.version));
                let mut server =
                    Server::new(imported.name, imported.document.to_string()).version(imported.version);
                server.provenance = url.unwrap_or_default();
                server.notes = imported.notes;
                page.servers.push(server);
            }
            Err(refused) => {
                let plain = catalog_entry::server_name(&refused.name).ok();
                match plain.filter(|_| self.changes && refused.deleted) {
                    Some(name) => page.removed.push(name),
                    None => page.refused.push(Refused {
                        name: refused.name,
                        version: refused.version,
                        reason: refused.reason,
                    }),
                }
            }
        }
    }
}

//! Reads servers from registries of ToolHive: one JSON file, in ToolHive's own form or in the newer one that lists server.json.
//!
//! Both end as server.json, which the crate `server-json` maps: [`native`] turns ToolHive's own form into it, and
//! [`extension`] adds what ToolHive says beside it, permissions above all.

mod extension;
mod native;
mod reference;

use serde::Deserialize;
use serde_json::Value as Json;
use server_json::{Node, Settings};
use wasmgate_plugin::http;
use wasmgate_plugin::source::{Failure, Page, Refused, Request, Server};
use wasmgate_plugin::{Config, Descriptor, Problem, Source};

use reference::{Place, Reference};

/// The plugin: the address of the file that `toolhive://` means.
pub struct ToolhiveRegistry(String);

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    url: String,
}

impl Default for Written {
    fn default() -> Self {
        Self { url: CATALOG.to_owned() }
    }
}

impl Source for ToolhiveRegistry {
    fn describe() -> Descriptor {
        Descriptor::new(
            "toolhive-registry",
            env!("CARGO_PKG_VERSION"),
            "Reads servers from registries of ToolHive.",
        )
        .wants(&["http:https://raw.githubusercontent.com"])
        .config_schema(SCHEMA)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        let written: Written = config.read()?;
        match reference::address(&written.url) {
            Some(url) => Ok(Self(url)),
            None => Err(vec![Problem::new("/url", "is not an https address")]),
        }
    }

    fn claims(&self) -> Vec<String> {
        let always = [
            "toolhive://*",
            "http*://*/registry.json*",
            "http*://*/registry-upstream.json*",
            "data:application/vnd.toolhive*",
        ];
        let own = format!("{}*", self.0);
        always.iter().map(|claim| (*claim).to_owned()).chain([own]).collect()
    }

    fn fetch(&self, request: &Request) -> Result<Page, Failure> {
        let Reference { place, name } = Reference::read(&request.reference, &self.0)?;
        let (json, validator) = match &place {
            Place::Document(bytes) => (parsed(bytes)?, None),
            Place::Url(url) => get(url, request)?,
        };
        let wanted = |server: &Json| {
            let own = Node::root(server).member("name").text().unwrap_or_default();
            name.as_ref().is_none_or(|name| {
                own == *name
                    || own.rsplit('/').next() == Some(name)
                    || catalog_entry::server_name(&own).as_ref() == Ok(name)
            })
        };
        let servers: Vec<Json> = native::servers(&json)?.into_iter().filter(wanted).collect();
        if let Some(name) = name.filter(|_| servers.is_empty()) {
            return Err(Failure::NotFound(format!("the registry has no server `{name}`")));
        }
        let url = if let Place::Url(url) = &place { url.as_str() } else { "" };
        Ok(Page { validator, ..page(&servers, url, request)? })
    }
}

wasmgate_plugin::export_source!(ToolhiveRegistry);

fn get(url: &str, request: &Request) -> Result<(Json, Option<String>), Failure> {
    let mut get = http::Request::new("GET", url).header("accept", "application/json");
    if let Some(validator) = &request.validator {
        get = get.header("if-none-match", validator);
    }
    let response = get.send()?;
    match Failure::of(&response) {
        Some(Failure::NotFound(words)) => {
            Err(Failure::NotFound(format!("there is no registry at {url}: {words}")))
        }
        Some(failure) => Err(failure),
        None => {
            let tag = response.headers.iter().find(|(name, _)| name == "etag");
            Ok((parsed(&response.body)?, tag.map(|(_, value)| value.clone())))
        }
    }
}

fn parsed(bytes: &[u8]) -> Result<Json, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::Invalid(format!("the registry is no JSON: {error}")))
}

/// The servers from where the last page ended. The file is one, so the cursor is a number.
fn page(servers: &[Json], url: &str, request: &Request) -> Result<Page, Failure> {
    let from = request.cursor.as_deref().map_or(Ok(0), str::parse::<usize>);
    let from = from.map_err(|_| Failure::Invalid("the cursor is none of this source's".to_owned()))?;
    let most = usize::try_from(request.limit).unwrap_or(usize::MAX).max(1);
    let mut page = Page::default();
    for server in servers.iter().skip(from).take(most) {
        add(&mut page, server, url);
    }
    let next = from.saturating_add(most);
    Ok(Page { next: (next < servers.len()).then(|| next.to_string()), ..page })
}

fn add(page: &mut Page, server: &Json, url: &str) {
    let (server, notes) = match extension::applied(server) {
        Ok(applied) => applied,
        Err(reason) => {
            let text = |key: &str| Node::root(server).member(key).text().unwrap_or_default();
            page.refused.push(Refused { name: text("name"), version: text("version"), reason });
            return;
        }
    };
    match server_json::import(&server, &Settings::default()) {
        Ok(imported) => {
            let mut one = Server::new(imported.name, imported.document.to_string()).version(imported.version);
            if !url.is_empty() {
                one.provenance = format!("{url}#{}", imported.registry_name);
            }
            one.notes = imported.notes.into_iter().chain(notes).collect();
            page.servers.push(one);
        }
        Err(refused) => {
            page.refused.push(Refused {
                name: refused.name,
                version: refused.version,
                reason: refused.reason,
            });
        }
    }
}

/// ToolHive's own catalog.
const CATALOG: &str = "https://raw.githubusercontent.com/stacklok/toolhive-catalog/main/pkg/catalog/toolhive/data/registry-upstream.json";
/// JSON Schema of the configuration.
const SCHEMA: &str = include_str!("config.schema.json");

#[cfg(test)]
mod tests;

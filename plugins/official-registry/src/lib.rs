//! Reads servers from the official MCP registry, and from registries that speak like it.
//!
//! What server.json means is the crate `server-json`. Here [`mod@reference`] reads what people write, and [`answer`] what
//! registries say.

mod answer;
mod config;
mod reference;

use wasmgate_plugin::http::{self, Response};
use wasmgate_plugin::source::{Failure, Page, Request};
use wasmgate_plugin::{Config, Descriptor, Problem, Source};

use answer::Listing;
use config::Written;
use reference::{LATEST, Reference, Registry, encoded};

/// The plugin, as configured.
pub struct OfficialRegistry(Written);

impl Source for OfficialRegistry {
    fn describe() -> Descriptor {
        Descriptor::new(
            "official-registry",
            env!("CARGO_PKG_VERSION"),
            "Reads servers from the official MCP registry, and from registries that speak like it.",
        )
        .wants(&["http:https://registry.modelcontextprotocol.io"])
        .config_schema(config::SCHEMA)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        Written::read(config).map(Self)
    }

    fn claims(&self) -> Vec<String> {
        let always = [
            "registry://*",
            "https://registry.modelcontextprotocol.io*",
            "http://registry.modelcontextprotocol.io*",
            "http*://*/v0.1/servers*",
            "http*://*/v0/servers*",
            "data:application/json*",
        ];
        let own = format!("{}*", self.0.home.base());
        let mut claims: Vec<String> = always.iter().map(|claim| (*claim).to_owned()).collect();
        if !claims.contains(&own) {
            claims.push(own);
        }
        claims
    }

    fn fetch(&self, request: &Request) -> Result<Page, Failure> {
        match Reference::read(&request.reference, &self.0.home)? {
            Reference::Document(bytes) => {
                let json = serde_json::from_slice(&bytes)
                    .map_err(|error| Failure::Invalid(format!("the document is no JSON: {error}")))?;
                self.listing(None).page(&json)
            }
            Reference::One { registry, name, version } => self.one(request, &registry, &name, &version),
            Reference::All { registry, search, version } => {
                let mut url = format!(
                    "{}?limit={}&version={}",
                    registry.list(),
                    request.limit.clamp(1, MOST),
                    encoded(&version)
                );
                let more =
                    [("search", &search), ("cursor", &request.cursor), ("updated_since", &request.since)];
                for (key, value) in more {
                    if let Some(value) = value {
                        url.push_str(&format!("&{key}={}", encoded(value)));
                    }
                }
                let response = self.get(&registry, &url, request)?;
                let json = answer::json(&response, "the list of servers")?;
                let listing = Listing { changes: request.since.is_some(), ..self.listing(Some(&registry)) };
                let partial = request.since.is_some();
                Ok(Page { validator: answer::validator(&response), partial, ..listing.page(&json)? })
            }
        }
    }
}

wasmgate_plugin::export_source!(OfficialRegistry);

impl OfficialRegistry {
    fn listing<'a>(&'a self, registry: Option<&'a Registry>) -> Listing<'a> {
        Listing { settings: &self.0.settings, registry, changes: false }
    }

    fn get(&self, registry: &Registry, url: &str, request: &Request) -> Result<Response, Failure> {
        let mut get = http::Request::new("GET", url).header("accept", "application/json");
        if let Some(validator) = &request.validator {
            get = get.header("if-none-match", validator);
        }
        if let Some(token) = self.0.token.as_ref().filter(|_| registry.base() == self.0.home.base()) {
            get = get.bearer(token);
        }
        Ok(get.send()?)
    }

    /// One version of one server, held against what was asked for.
    fn one(
        &self,
        request: &Request,
        registry: &Registry,
        name: &str,
        version: &str,
    ) -> Result<Page, Failure> {
        let response = self.get(registry, &registry.server(name, version), request)?;
        let what = format!("`{name}` in version `{version}`");
        let json = answer::json(&response, &what).map_err(|failure| match failure {
            Failure::NotFound(words) => Failure::NotFound(format!(
                "{words}; look for it with registry://?search={}",
                encoded(name.rsplit('/').next().unwrap_or(name))
            )),
            other => other,
        })?;
        let page = self.listing(Some(registry)).page(&json)?;
        let (answered, versions): (Vec<_>, Vec<_>) = match (page.servers.as_slice(), page.refused.as_slice())
        {
            ([one], []) => (vec![one.name.clone()], vec![one.version.clone()]),
            ([], [one]) => {
                (vec![catalog_entry::server_name(&one.name).unwrap_or_default()], vec![one.version.clone()])
            }
            _ => {
                return Err(Failure::Invalid(format!(
                    "asked for {what}, the registry answered several servers"
                )));
            }
        };
        let same_name = catalog_entry::server_name(name).is_ok_and(|name| answered.contains(&name));
        if !same_name || (version != LATEST && !versions.iter().any(|answered| answered == version)) {
            return Err(Failure::Invalid(format!(
                "asked for {what}, the registry answered another server or version"
            )));
        }
        Ok(Page { validator: answer::validator(&response), next: None, ..page })
    }
}

/// Servers that a registry lists in one answer.
const MOST: u32 = 100;

#[cfg(test)]
mod tests;

//! Reads servers from a JSON document on the web.
//!
//! ```json
//! { "servers": [{ "name": "acme/weather", "version": "1.2.0", "about": "Forecasts.", "image": "acme/weather@sha256:..." }] }
//! ```
//!
//! A server with an `image` becomes a container, one with a `url` a remote; one with neither is refused, and says so.

use serde::{Deserialize, Serialize};
use wasmgate_plugin::http;
use wasmgate_plugin::source::{Failure, Page, Refused, Request, Server};
use wasmgate_plugin::{Config, Descriptor, Problem, Source};

/// The configuration, and all that the source needs to know.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Document {
    /// How the addresses of such documents look; `*` stands for any run of characters.
    claims: Vec<String>,
}

impl Default for Document {
    fn default() -> Self {
        Self { claims: vec!["https://*/servers.json".to_owned()] }
    }
}

/// The document, as far as it matters here.
#[derive(Deserialize)]
struct Listed {
    servers: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    version: String,
    about: Option<String>,
    image: Option<String>,
    url: Option<String>,
}

/// An entry of a catalog.
#[derive(Serialize)]
#[serde(untagged)]
enum Mapped<'a> {
    Image { title: &'a str, description: &'a str, image: String },
    Remote { title: &'a str, description: &'a str, remote: Remote },
}

#[derive(Serialize)]
struct Remote {
    url: String,
    transport_type: &'static str,
}

impl Source for Document {
    fn describe() -> Descriptor {
        Descriptor::new("@NAME@", env!("CARGO_PKG_VERSION"), "Reads servers from a JSON document on the web.")
            .config_schema(
                r#"{
                    "type": "object",
                    "properties": { "claims": { "type": "array", "items": { "type": "string", "minLength": 1 } } },
                    "additionalProperties": false
                }"#,
            )
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        config.read()
    }

    fn claims(&self) -> Vec<String> {
        self.claims.clone()
    }

    fn fetch(&self, request: &Request) -> Result<Page, Failure> {
        let mut get = http::Request::new("GET", &request.reference);
        if let Some(validator) = &request.validator {
            get = get.header("if-none-match", validator);
        }
        let response = get.send()?;
        if let Some(failure) = Failure::of(&response) {
            return Err(failure);
        }
        let listed: Listed =
            serde_json::from_slice(&response.body).map_err(|error| Failure::Invalid(error.to_string()))?;
        let mut page = Page { validator: response.header("etag").map(str::to_owned), ..Page::default() };
        for entry in listed.servers {
            match server(&entry, &request.reference) {
                Ok(server) => page.servers.push(server),
                Err(reason) => page.refused.push(Refused::new(&entry.name, reason)),
            }
        }
        Ok(page)
    }
}

wasmgate_plugin::export_source!(Document);

/// One server, or why it cannot be one.
fn server(entry: &Entry, from: &str) -> Result<Server, String> {
    let (title, description) = (entry.name.as_str(), entry.about.as_deref().unwrap_or_default());
    let mapped = match (entry.image.clone(), entry.url.clone()) {
        (Some(image), _) => Mapped::Image { title, description, image },
        (None, Some(url)) => {
            Mapped::Remote { title, description, remote: Remote { url, transport_type: "streamable-http" } }
        }
        (None, None) => return Err("it has neither `image` nor `url`".to_owned()),
    };
    let document = serde_json::to_string(&mapped).map_err(|error| error.to_string())?;
    // Names of servers have letters, digits, `.`, `_` and `-`.
    let name = entry.name.replace(['/', '.'], "-");
    Ok(Server::new(name, document).version(&entry.version).provenance(from))
}

#[cfg(test)]
mod tests {
    use wasmgate_plugin::harness;

    use super::*;

    #[test]
    fn images_and_remotes_are_mapped_and_the_rest_is_refused() {
        let url = "https://acme.example/servers.json";
        let document = r#"{"servers":[
            {"name":"acme/weather","version":"1.2.0","about":"Forecasts.","image":"acme/weather:1.2.0"},
            {"name":"acme.search","url":"https://search.acme.example/mcp"},
            {"name":"acme/nothing"}
        ]}"#;
        harness::web(&[(url, document)]);
        let page = harness::fetch(&Document::default(), url).unwrap();
        assert_eq!(
            page.servers[0].document,
            r#"{"title":"acme/weather","description":"Forecasts.","image":"acme/weather:1.2.0"}"#
        );
        assert_eq!((page.servers[0].name.as_str(), page.servers[0].version.as_str()), ("acme-weather", "1.2.0"));
        assert!(page.servers[1].document.contains(r#""url":"https://search.acme.example/mcp""#));
        assert_eq!(page.refused, [Refused::new("acme/nothing", "it has neither `image` nor `url`")]);
    }
}

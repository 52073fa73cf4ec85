//! The configuration an operator writes.

use serde::Deserialize;
use server_json::{Preference, Settings};
use wasmgate_plugin::{Config, Problem};

use crate::reference::Registry;

/// JSON Schema of the configuration.
pub(crate) const SCHEMA: &str = include_str!("config.schema.json");

/// The configuration, ready to use.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// What `registry://` means.
    pub(crate) home: Registry,
    /// The gateway's secret that is sent there, by its name.
    pub(crate) token: Option<String>,
    /// How servers are mapped.
    pub(crate) settings: Settings,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Raw {
    base_url: String,
    token: Option<String>,
    prefer: Vec<String>,
    images: Images,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Images {
    npm: String,
    pypi: String,
}

impl Default for Raw {
    fn default() -> Self {
        let prefer = Preference::ALL.iter().map(|kind| kind.word().to_owned()).collect();
        Self { base_url: OFFICIAL.to_owned(), token: None, prefer, images: Images::default() }
    }
}

impl Default for Images {
    fn default() -> Self {
        let settings = Settings::default();
        Self { npm: settings.npm_image, pypi: settings.pypi_image }
    }
}

impl Written {
    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn read(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        let raw: Raw = config.read()?;
        let mut problems = Vec::new();
        let home = Registry::configured(&raw.base_url);
        if home.is_none() {
            problems.push(Problem::new(
                "/baseUrl",
                "is not the address of a registry, such as https://registry.example.com",
            ));
        }
        let mut prefer = Vec::new();
        for (at, word) in raw.prefer.iter().enumerate() {
            match Preference::ALL.into_iter().find(|kind| kind.word() == word) {
                Some(kind) => prefer.push(kind),
                None => {
                    problems.push(Problem::new(&format!("/prefer/{at}"), "is none of oci, remote, pypi, npm"))
                }
            }
        }
        for (place, image) in [("/images/npm", &raw.images.npm), ("/images/pypi", &raw.images.pypi)] {
            if catalog_entry::Image::read(image).is_none() {
                problems.push(Problem::new(place, "is not the reference of an image"));
            }
        }
        match home {
            Some(home) if problems.is_empty() => {
                let settings = Settings { prefer, npm_image: raw.images.npm, pypi_image: raw.images.pypi };
                Ok(Self { home, token: raw.token, settings })
            }
            _ => Err(problems),
        }
    }
}

/// The official registry.
pub(crate) const OFFICIAL: &str = "https://registry.modelcontextprotocol.io";

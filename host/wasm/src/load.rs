//! From a component's bytes and an operator's settings to an [`Interceptor`]: compile, link, ask it what it is, try its
//! configuration. Whatever is wrong is found here and not in the first call.

use std::sync::Arc;

use bytes::Bytes;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{About, Compat, Kind, Mode, StageInfo};

use crate::bindings::plugin;
use crate::call::{contained, enter};
use crate::compile::{compile, hex};
use crate::engine::Engine;
use crate::error::{LoadError, Problem};
use crate::guest::{Guest, Identity};
use crate::hooks::Interest;
use crate::interceptor::Interceptor;
use crate::limits::{Limits, MAX_MEMORY_BYTES};
use crate::link::{Linked, Role, link};
use crate::text::printable;

/// What an operator says about one plugin. The default is to take the plugin's own word. Not `Debug`: the configuration
/// may hold secrets.
#[derive(Clone)]
pub struct Settings {
    /// Handed to the plugin's `configure`.
    pub config: Json,
    /// Whether its word counts.
    pub mode: Mode,
    /// Whether a message passes when the plugin fails; the plugin's own word when absent.
    pub fail_open: Option<bool>,
    /// Order among mutators in the request phase; the plugin's own when absent.
    pub priority_request: Option<i32>,
    /// Order among mutators in the response phase; the plugin's own when absent.
    pub priority_response: Option<i32>,
    /// What it may see of what it wants to see.
    pub when: When,
    /// The budget of one call.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: Json::of(&serde_json::Map::new()),
            mode: Mode::default(),
            fail_open: None,
            priority_request: None,
            priority_response: None,
            when: When::default(),
            limits: Limits::default(),
        }
    }
}

/// Narrows what a plugin sees; never widens it. An empty list leaves its part alone. `*` stands for any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// MCP methods, `*/request`, `*/response`.
    pub events: Vec<String>,
    /// Server names.
    pub servers: Vec<String>,
    /// Tool or prompt names or URIs.
    pub subjects: Vec<String>,
}

/// What a plugin says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its own name, which need not be the configured one.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its configuration.
    pub config_schema: Option<Json>,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
}

/// Where interceptors come from.
pub struct Plugin;

impl Plugin {
    /// Makes an interceptor of a component. `name` is the configured one: in logs, in findings, unique in a pipeline.
    ///
    /// Compiling may take seconds; it happens on a blocking thread of the runtime, one component at a time.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with the component, or with its configuration.
    pub async fn load(
        engine: &Engine,
        name: &str,
        bytes: impl Into<Bytes>,
        settings: Settings,
    ) -> Result<Interceptor, LoadError> {
        if settings.limits.memory > MAX_MEMORY_BYTES {
            return Err(LoadError::Limit { what: "memory", max: MAX_MEMORY_BYTES });
        }
        let compiled = compile(engine, bytes.into()).await?;
        let linked = link(engine, &compiled.component)?;
        let identity = Arc::new(Identity::new(name));
        let raw = describe(engine, &linked, &identity, &settings.limits).await?;
        let descriptor = check(&raw, hex(&compiled.digest))?;
        let config = settings.config.as_str().to_owned();
        configure(engine, &linked, &identity, (&config, &settings.limits)).await?;
        let interest = Interest::new(&raw.hooks, &settings.when);
        let info = info(&identity, &raw, &linked.role, &interest, &settings);
        let limits = settings.limits;
        Ok(Interceptor {
            info,
            descriptor,
            engine: engine.clone(),
            identity,
            compiled,
            linked,
            interest,
            config,
            limits,
        })
    }
}

async fn describe(
    engine: &Engine,
    linked: &Linked,
    identity: &Arc<Identity>,
    limits: &Limits,
) -> Result<plugin::Descriptor, LoadError> {
    let work = async {
        let mut entered = enter(engine, linked, Guest::new(identity, limits)).await?;
        let exports = linked.describes.load(&mut entered.store, &entered.instance)?;
        exports.wasmgate_plugin_plugin().call_describe(&mut entered.store).await
    };
    contained(engine, identity, limits, work).await.map_err(LoadError::Describe)
}

/// Tries the configuration on an instance of its own, so that a wrong one is refused here.
async fn configure(
    engine: &Engine,
    linked: &Linked,
    identity: &Arc<Identity>,
    (config, limits): (&String, &Limits),
) -> Result<(), LoadError> {
    let work = async {
        let mut entered = enter(engine, linked, Guest::new(identity, limits)).await?;
        let exports = linked.describes.load(&mut entered.store, &entered.instance)?;
        exports.wasmgate_plugin_plugin().call_configure(&mut entered.store, config).await
    };
    let answer = contained(engine, identity, limits, work).await.map_err(LoadError::Configure)?;
    let problem = |problem: plugin::Problem| Problem {
        pointer: printable(&problem.pointer, MAX_NAME),
        message: printable(&problem.message, MAX_TEXT),
    };
    answer.map_err(|problems| {
        LoadError::Configuration(problems.into_iter().take(MAX_PROBLEMS).map(problem).collect())
    })
}

const MAX_NAME: usize = 128;
const MAX_TEXT: usize = 1 << 10;
const MAX_PROBLEMS: usize = 32;
const MAX_HOOKS: usize = 64;
const MAX_PATTERNS: usize = 64;

/// A descriptor is data from an untrusted program: bounded, printable, and JSON where it says JSON.
fn check(raw: &plugin::Descriptor, digest: String) -> Result<Descriptor, LoadError> {
    let wrong = |what: &str| Err(LoadError::Descriptor(what.to_owned()));
    if raw.name.is_empty() || raw.name.len() > MAX_NAME || raw.version.len() > MAX_NAME {
        return wrong("its name is empty, or name or version are too long");
    }
    if raw.hooks.len() > MAX_HOOKS {
        return wrong("too many hooks");
    }
    for hook in &raw.hooks {
        let lists = [&hook.events, &hook.servers, &hook.subjects, &hook.has];
        if lists.iter().any(|list| list.len() > MAX_PATTERNS || list.iter().any(|text| text.len() > MAX_TEXT))
        {
            return wrong("a hook with too many or too long patterns");
        }
    }
    if !Json::parse(raw.extra.clone()).is_ok_and(|extra| extra.is_object()) {
        return wrong("`extra` is not a JSON object");
    }
    let config_schema = match raw.config_schema.clone().map(Json::parse) {
        Some(Err(_)) => return wrong("`config-schema` is not JSON"),
        Some(Ok(schema)) => Some(schema),
        None => None,
    };
    if !raw.wants_http.is_empty() {
        let origins = printable(&raw.wants_http.join(", "), MAX_TEXT);
        return Err(LoadError::NotGranted(format!("HTTP to {origins}")));
    }
    Ok(Descriptor {
        name: printable(&raw.name, MAX_NAME),
        version: printable(&raw.version, MAX_NAME),
        description: printable(&raw.description, MAX_TEXT),
        config_schema,
        digest,
    })
}

fn info(
    identity: &Identity,
    raw: &plugin::Descriptor,
    role: &Role,
    interest: &Interest,
    settings: &Settings,
) -> StageInfo {
    StageInfo {
        name: Arc::clone(&identity.name),
        kind: match role {
            Role::Validator(_) => Kind::Validator,
            Role::Mutator(_) => Kind::Mutator,
        },
        about: About {
            version: Some(raw.version.as_str().into()),
            description: Some(raw.description.as_str().into()),
            config_schema: raw.config_schema.clone().and_then(|schema| Json::parse(schema).ok()),
        },
        compat: Compat::default(),
        hooks: interest.hooks(),
        priority_request: settings.priority_request.unwrap_or(raw.priority_request),
        priority_response: settings.priority_response.unwrap_or(raw.priority_response),
        mode: settings.mode,
        fail_open: settings.fail_open.unwrap_or(raw.fail_open),
    }
}

//! From a component's bytes and an operator's settings to [`Interceptor`]s: compile, link, ask it what it is, try its
//! configuration. Whatever is wrong is found here and not in the first call.

use std::sync::Arc;

use bytes::Bytes;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{About, Compat, Kind, Mode, StageInfo};

use crate::bindings::plugin;
use crate::body::{Body, Pace};
use crate::call::{contained, enter};
use crate::compile::{Compiled, compile, hex};
use crate::engine::Engine;
use crate::error::{LoadError, Problem};
use crate::grants::{Grants, Want};
use crate::guest::{Guest, Identity};
use crate::hooks::{Interest, Role};
use crate::interceptor::Interceptor;
use crate::limits::{Limits, MAX_OUTPUT_BYTES};
use crate::link::{Linked, link};
use crate::preset::preset;
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
    /// How instances may be shared, if tighter than the plugin says.
    pub isolation: Option<Isolation>,
    /// What it may use.
    pub grants: Grants,
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
            isolation: None,
            grants: Grants::default(),
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
    /// What it needs to be granted.
    pub wants: Vec<Want>,
    /// What it wants to see, before it is configured.
    pub hooks: Vec<HookLine>,
    /// The protocol versions it understands.
    pub compat: Compat,
    /// Order among mutators in the request phase, low first.
    pub priority_request: i32,
    /// Order among mutators in the response phase, low first.
    pub priority_response: i32,
    /// Whether a message passes when the plugin fails, by its own word.
    pub fail_open: bool,
    /// How its instances may be shared.
    pub isolation: Isolation,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
}

/// One line of a plugin's interest, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookLine {
    /// `validate`, `mutate` or `filter`.
    pub role: &'static str,
    /// Methods with `*`.
    pub events: Vec<String>,
    /// Sees requests.
    pub request: bool,
    /// Sees answers.
    pub response: bool,
    /// Server patterns; empty means every server.
    pub servers: Vec<String>,
    /// Subject patterns; empty means every subject.
    pub subjects: Vec<String>,
    /// Pointers that must exist in the payload.
    pub has: Vec<String>,
    /// Whether it reads the payload.
    pub payload: bool,
}

impl HookLine {
    fn of(hook: &plugin::Hook) -> Self {
        let printable = |texts: &[String]| texts.iter().map(|text| printable(text, MAX_NAME)).collect();
        Self {
            role: Role::of(hook).word(),
            events: printable(&hook.events),
            request: hook.request,
            response: hook.response,
            servers: printable(&hook.servers),
            subjects: printable(&hook.subjects),
            has: printable(&hook.has),
            payload: hook.payload,
        }
    }
}

/// How much of one call's memory a later one may find; from the tightest to the loosest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Fresh memory for each call.
    PerCall,
    /// Never shared between sessions.
    PerSession,
    /// Reused across calls.
    Pooled,
}

impl std::fmt::Display for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PerCall => "per-call",
            Self::PerSession => "per-session",
            Self::Pooled => "pooled",
        })
    }
}

/// A plugin that can run: one interceptor for each of its roles.
pub struct Loaded {
    /// What it says about itself.
    pub descriptor: Descriptor,
    /// What runs. The first has the configured name, the others have it with `.mutate` or `.filter` behind.
    pub interceptors: Vec<Arc<Interceptor>>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

/// Where interceptors come from.
pub struct Plugin;

impl Plugin {
    /// Makes interceptors of a component. `name` is the configured one: in logs, in findings, unique in a pipeline.
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
    ) -> Result<Loaded, LoadError> {
        if let Some((what, max)) = settings.limits.impossible(MAX_OUTPUT_BYTES) {
            return Err(LoadError::Limit { what, max });
        }
        let bytes = bytes.into();
        let (made, descriptor) = made(engine, name, bytes.clone(), settings).await?;
        let isolation = made.settings.isolation.unwrap_or(descriptor.isolation);
        if isolation > descriptor.isolation {
            return Err(LoadError::Isolation { asked: isolation, own: descriptor.isolation });
        }
        let interceptors = configured(engine, Arc::new(made), isolation, Some(bytes)).await?;
        Ok(Loaded { descriptor, interceptors })
    }
}

/// Everything before its configuration: a component that fits, has said what it is, and is granted what it wants.
pub(crate) async fn made(
    engine: &Engine,
    name: &str,
    bytes: Bytes,
    settings: Settings,
) -> Result<(Made, Descriptor), LoadError> {
    let (made, descriptor) = described(engine, name, bytes, settings).await?;
    let missing = made.settings.grants.missing(&descriptor.wants);
    if !missing.is_empty() {
        return Err(LoadError::Held(missing));
    }
    Ok((made, descriptor))
}

/// The same, whatever it is granted.
pub(crate) async fn described(
    engine: &Engine,
    name: &str,
    bytes: Bytes,
    settings: Settings,
) -> Result<(Made, Descriptor), LoadError> {
    let compiled = compile(engine, bytes).await?;
    let linked = Arc::new(link(engine, &compiled.component)?);
    let raw = describe(engine, &linked, &settings.limits).await?;
    let descriptor = check(&raw, hex(&compiled.digest))?;
    Ok((Made { name: name.into(), compiled, linked, raw, settings }, descriptor))
}

/// What a loaded plugin was made of.
pub(crate) struct Made {
    pub(crate) name: Arc<str>,
    /// Keeps the compiled code findable for the next plugin of the same bytes.
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) linked: Arc<Linked>,
    raw: plugin::Descriptor,
    pub(crate) settings: Settings,
}

/// The same plugin with the same grants and limits under another configuration, in instances of its own.
pub(crate) async fn reconfigured(body: &Body, config: Json) -> Result<Vec<Arc<Interceptor>>, LoadError> {
    let Made { name, compiled, linked, raw, settings } = &*body.made;
    let made = Made {
        name: Arc::clone(name),
        compiled: Arc::clone(compiled),
        linked: Arc::clone(linked),
        raw: raw.clone(),
        settings: Settings { config, ..settings.clone() },
    };
    configured(&body.engine, Arc::new(made), Isolation::PerCall, None).await
}

/// Checks the configuration and makes one interceptor for each role it leaves. With the component's `bytes`, what runs in
/// fresh memory for each call is configured once for all of them.
async fn configured(
    engine: &Engine,
    made: Arc<Made>,
    isolation: Isolation,
    bytes: Option<Bytes>,
) -> Result<Vec<Arc<Interceptor>>, LoadError> {
    let settings = &made.settings;
    let (identity, narrowed) = accepted(engine, &made).await?;
    if let Some(hooks) = &narrowed {
        check_hooks(hooks)?;
    }
    let preset = match bytes {
        Some(bytes) if isolation == Isolation::PerCall => {
            preset(engine, &identity, &settings.limits, bytes).await
        }
        _ => None,
    };
    let body = Body {
        engine: engine.clone(),
        identity,
        is_preset: preset.is_some(),
        linked: preset.unwrap_or_else(|| Arc::clone(&made.linked)),
        shelf: engine.inner.shelves.shelf(isolation),
        limits: settings.limits,
        made: Arc::clone(&made),
        pace: Pace::default(),
    };
    interceptors(body, &made.raw, narrowed.as_deref(), settings)
}

/// Holds the configuration against the schema, and has it accepted; with the hooks that are left under it.
pub(crate) async fn accepted(
    engine: &Engine,
    made: &Made,
) -> Result<(Arc<Identity>, Option<Vec<plugin::Hook>>), LoadError> {
    let settings = &made.settings;
    let schema = made.raw.config_schema.clone().and_then(|schema| Json::parse(schema).ok());
    if let Some(schema) = &schema {
        crate::schema::check(schema, &settings.config).await?;
    }
    let identity = Arc::new(Identity::new(engine, &made.name, settings));
    let narrowed = configure(engine, &made.linked, &identity, &settings.limits).await?;
    Ok((identity, narrowed))
}

/// One interceptor for each role that has a hook.
fn interceptors(
    body: Body,
    raw: &plugin::Descriptor,
    narrowed: Option<&[plugin::Hook]>,
    settings: &Settings,
) -> Result<Vec<Arc<Interceptor>>, LoadError> {
    let of = |hooks: &[plugin::Hook], role: Role| -> Vec<plugin::Hook> {
        hooks.iter().filter(|hook| Role::of(hook) == role).cloned().collect()
    };
    let body = Arc::new(body);
    let mut interceptors: Vec<Arc<Interceptor>> = Vec::new();
    for role in [Role::Validate, Role::Mutate, Role::Filter] {
        let declared = of(&raw.hooks, role);
        if declared.is_empty() {
            continue;
        }
        if !body.linked.has(role) {
            let message = format!("it has hooks for `{}` and does not export it", role.word());
            return Err(LoadError::Descriptor(message));
        }
        // What the configuration leaves nothing to do is no interceptor.
        if narrowed.is_some_and(|hooks| of(hooks, role).is_empty()) {
            continue;
        }
        let interest = match narrowed {
            Some(hooks) => Interest::new(&of(hooks, role), Some(&declared), &settings.when),
            None => Interest::new(&declared, None, &settings.when),
        };
        let name = match interceptors.is_empty() {
            true => Arc::clone(&body.identity.name),
            false => format!("{}.{}", body.identity.name, role.word()).into(),
        };
        let info = info(name, raw, role, &interest, settings);
        interceptors.push(Arc::new(Interceptor { info, role, interest, body: Arc::clone(&body) }));
    }
    Ok(interceptors)
}

async fn describe(
    engine: &Engine,
    linked: &Linked,
    limits: &Limits,
) -> Result<plugin::Descriptor, LoadError> {
    let nothing = Grants { log: false, ..Grants::default() };
    let settings = Settings { grants: nothing, limits: *limits, ..Settings::default() };
    let identity = Arc::new(Identity::new(engine, "", &settings));
    let work = async {
        let mut entered = enter(engine, linked, Guest::new(engine, &identity, limits)).await?;
        let exports = linked.describes.load(&mut entered.store, &entered.instance)?;
        exports.wasmgate_plugin_plugin().call_describe(&mut entered.store).await
    };
    contained(engine, &identity, limits, work).await.map_err(LoadError::Describe)
}

/// Tries the configuration on an instance of its own, so that a wrong one is refused here.
async fn configure(
    engine: &Engine,
    linked: &Linked,
    identity: &Arc<Identity>,
    limits: &Limits,
) -> Result<Option<Vec<plugin::Hook>>, LoadError> {
    let work = async {
        let mut entered = enter(engine, linked, Guest::new(engine, identity, limits)).await?;
        let exports = linked.describes.load(&mut entered.store, &entered.instance)?;
        let config = &identity.config_text;
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
const MAX_WANTS: usize = 64;

/// A descriptor is data from an untrusted program: bounded, printable, and JSON where it says JSON.
fn check(raw: &plugin::Descriptor, digest: String) -> Result<Descriptor, LoadError> {
    let wrong = |what: &str| Err(LoadError::Descriptor(what.to_owned()));
    if raw.name.is_empty() || raw.name.len() > MAX_NAME || raw.version.len() > MAX_NAME {
        return wrong("its name is empty, or name or version are too long");
    }
    check_hooks(&raw.hooks)?;
    if !Json::parse(raw.extra.clone()).is_ok_and(|extra| extra.is_object()) {
        return wrong("`extra` is not a JSON object");
    }
    let config_schema = match raw.config_schema.clone().map(Json::parse) {
        Some(Err(_)) => return wrong("`config-schema` is not JSON"),
        Some(Ok(schema)) => Some(schema),
        None => None,
    };
    for version in raw.min_protocol.iter().chain(&raw.max_protocol) {
        let fits =
            |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
        if version.len() != 10 || !version.bytes().enumerate().all(fits) {
            return wrong("a protocol version is not a date like 2025-06-18");
        }
    }
    let wants = raw.wants.iter().take(MAX_WANTS + 1).map(|want| {
        Want::parse(want).ok_or_else(|| {
            LoadError::Descriptor(format!(
                "it wants `{}`, which is nothing to grant",
                printable(want, MAX_NAME)
            ))
        })
    });
    let wants = wants.collect::<Result<Vec<_>, _>>()?;
    if wants.len() > MAX_WANTS {
        return wrong("it wants too much");
    }
    Ok(Descriptor {
        name: printable(&raw.name, MAX_NAME),
        version: printable(&raw.version, MAX_NAME),
        description: printable(&raw.description, MAX_TEXT),
        config_schema,
        wants,
        hooks: raw.hooks.iter().map(HookLine::of).collect(),
        compat: compat(raw),
        priority_request: raw.priority_request,
        priority_response: raw.priority_response,
        fail_open: raw.fail_open,
        isolation: isolation(raw.isolation),
        digest,
    })
}

fn compat(raw: &plugin::Descriptor) -> Compat {
    Compat {
        min: raw.min_protocol.as_deref().map(Into::into),
        max: raw.max_protocol.as_deref().map(Into::into),
    }
}

fn isolation(raw: plugin::Isolation) -> Isolation {
    match raw {
        plugin::Isolation::PerCall => Isolation::PerCall,
        plugin::Isolation::PerSession => Isolation::PerSession,
        plugin::Isolation::Pooled => Isolation::Pooled,
    }
}

fn check_hooks(hooks: &[plugin::Hook]) -> Result<(), LoadError> {
    let wrong = |what: &str| Err(LoadError::Descriptor(what.to_owned()));
    if hooks.len() > MAX_HOOKS {
        return wrong("too many hooks");
    }
    for hook in hooks {
        let lists = [&hook.events, &hook.servers, &hook.subjects, &hook.has];
        if lists.iter().any(|list| list.len() > MAX_PATTERNS || list.iter().any(|text| text.len() > MAX_TEXT))
        {
            return wrong("a hook with too many or too long patterns");
        }
    }
    Ok(())
}

fn info(
    name: Arc<str>,
    raw: &plugin::Descriptor,
    role: Role,
    interest: &Interest,
    settings: &Settings,
) -> StageInfo {
    StageInfo {
        name,
        kind: match role {
            Role::Validate => Kind::Validator,
            Role::Mutate => Kind::Mutator,
            Role::Filter => Kind::Filter,
        },
        about: About {
            version: Some(printable(&raw.version, MAX_NAME).into()),
            description: Some(printable(&raw.description, MAX_TEXT).into()),
            config_schema: raw.config_schema.clone().and_then(|schema| Json::parse(schema).ok()),
        },
        compat: compat(raw),
        hooks: interest.hooks(),
        priority_request: settings.priority_request.unwrap_or(raw.priority_request),
        priority_response: settings.priority_response.unwrap_or(raw.priority_response),
        mode: settings.mode,
        fail_open: settings.fail_open.unwrap_or(raw.fail_open),
    }
}

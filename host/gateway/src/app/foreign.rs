//! The interceptors of the command line (`--interceptor when:type:argument`) as stages and plugins, remote interceptor servers, and the standard's door to all interceptors.

use std::sync::Arc;

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Mode, Stage};

use super::StartError;
use super::plugins::chain;
use crate::config::{Config, PluginConfig, PluginLimits, PluginMode, PluginSource, Priority, When, Written};
use crate::front::{Door, Knock};
use crate::interceptors::{self, Foreign, Remote, SpecError, Visit, What, World};

/// Takes an `--interceptor` that is written as it must be, for the command line.
///
/// # Errors
/// [`SpecError`], with the cure in its words.
pub fn checked_interceptor(text: &str) -> Result<String, SpecError> {
    interceptors::parse(text).map(|_| text.to_owned())
}

/// Those that run outside the sandbox, as stages, in their order. Each is announced: nothing holds it back.
pub(super) fn stages(config: &Config, world: &World) -> Result<Vec<Arc<dyn Stage>>, StartError> {
    let mut stages = Vec::new();
    for (number, foreign) in all(config)? {
        let made = interceptors::stage(&foreign, number, world)
            .map_err(|cause| refused(&foreign.name(number), &cause))?;
        if let Some(stage) = made {
            let (interceptor, kind) = (&*stage.info().name, foreign.what.kind());
            tracing::warn!(interceptor, kind, "this interceptor runs unsandboxed and sees every tool call");
            stages.push(stage);
        }
    }
    Ok(stages)
}

/// Those that are components, as plugins with nothing said about them but the phase.
pub(super) fn plugins(config: &Config) -> Result<Vec<PluginConfig>, StartError> {
    let plugin = |(number, foreign): (usize, Foreign)| {
        let What::Wasm(path) = &foreign.what else { return None };
        let phase = match foreign.when {
            interceptors::When::Before => "*/request",
            interceptors::When::After => "*/response",
        };
        Some(PluginConfig {
            name: foreign.name(number),
            from: PluginSource::File(config.environment.directory.join(path)),
            config: serde_json::Value::Object(serde_json::Map::new()),
            mode: PluginMode::Enforce,
            fail_open: None,
            priority: Priority::default(),
            when: When { events: vec![phase.to_owned()], ..When::default() },
            limits: PluginLimits::default(),
            isolation: None,
            grants: None,
            written: Written::default(),
        })
    };
    Ok(all(config)?.into_iter().filter_map(plugin).collect())
}

/// The interceptors of a remote server.
pub(super) async fn remote(
    plugin: &PluginConfig,
    config: &Config,
    world: &World,
) -> Result<Vec<Arc<dyn Stage>>, String> {
    let PluginSource::Remote { url, interceptor, .. } = &plugin.from else { return Ok(Vec::new()) };
    let remote = Remote {
        name: plugin.name.clone(),
        url: url.clone(),
        token: config.tokens.get(&plugin.name).cloned(),
        interceptor: interceptor.clone(),
        config: Json::of(&plugin.config),
        mode: if plugin.mode == PluginMode::Audit { Mode::Audit } else { Mode::Enforce },
        fail_open: plugin.fail_open,
        priority_request: plugin.priority.request,
        priority_response: plugin.priority.response,
        events: plugin.when.events.clone(),
        servers: plugin.when.servers.clone(),
        subjects: plugin.when.subjects.clone(),
        wall: plugin.limits.wall,
    };
    let connected = interceptors::connect(world, remote).await;
    connected.map_err(|error| chain(&error))
}

/// The standard's door to the interceptors of the generation in force.
pub(super) fn door() -> Door {
    Arc::new(|knock: Knock| {
        Box::pin(async move {
            let Knock { gateway, id, principal, method, params, version } = knock;
            let visit = Visit { id, method, params, principal, version };
            interceptors::answer(&gateway.generation().pipeline, visit).await
        })
    })
}

/// Whether any of them runs in containers.
pub(super) fn containers(config: &Config) -> bool {
    all(config).is_ok_and(|all| all.iter().any(|(_, foreign)| matches!(foreign.what, What::Docker { .. })))
}

/// All of them with their numbers, counted from 1.
fn all(config: &Config) -> Result<Vec<(usize, Foreign)>, StartError> {
    let parsed = config.interceptors.iter().enumerate().map(|(index, text)| {
        let foreign =
            interceptors::parse(text).map_err(|cause| refused(&format!("number {}", index + 1), &cause))?;
        Ok((index + 1, foreign))
    });
    parsed.collect()
}

fn refused(name: &str, cause: &SpecError) -> StartError {
    StartError::Plugin { name: name.to_owned(), cause: cause.to_string() }
}

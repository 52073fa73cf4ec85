//! The configured plugins as the pipeline of one generation: bytes from the program or a file, compiled, in order.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Mode, Operation, Pipeline, Remark, Stage};
use wasmgate_wasm::{
    Engine, EngineSettings, Grants, Limits, MAX_COMPONENT_BYTES, Plugin, Settings, When, builtin,
};

use super::{StartError, foreign};
use crate::config::{Config, PluginConfig, PluginMode, PluginSource};
use crate::interceptors::{Guarded, World};

/// Loads every plugin that is not off. One that cannot run fails the start: a guard that is missing guards nothing.
pub(super) async fn pipeline(config: &Config, world: &World) -> Result<Pipeline, StartError> {
    let mut all = foreign::stages(config, world)?;
    let named = foreign::plugins(config)?;
    let wanted = config.plugins.iter().chain(&named).filter(|plugin| plugin.mode != PluginMode::Off);
    let (remotes, wanted): (Vec<_>, Vec<_>) =
        wanted.partition(|plugin| matches!(plugin.from, PluginSource::Remote { .. }));
    if !wanted.is_empty() {
        all.extend(components(config, wanted).await?);
    }
    for plugin in remotes {
        all.extend(foreign::remote(plugin, config, world).await?);
    }
    let guarded = all.into_iter().map(|stage| Arc::new(Guarded::new(stage)) as Arc<dyn Stage>);
    Ok(Pipeline::new(guarded.collect(), record))
}

/// The components, compiled, in the order of their plugins.
async fn components(config: &Config, wanted: Vec<&PluginConfig>) -> Result<Vec<Arc<dyn Stage>>, StartError> {
    let engine = Engine::new(EngineSettings { cache: config.environment.cache.clone(), outbound: None })
        .map_err(|error| StartError::System(chain(&error)))?;
    let mut stages: Vec<Arc<dyn Stage>> = Vec::new();
    for plugin in wanted {
        let failed = |cause: String| StartError::Plugin { name: plugin.name.clone(), cause };
        let bytes = bytes(&plugin.from).await.map_err(failed)?;
        let loaded = Plugin::load(&engine, &plugin.name, bytes, settings(plugin)).await;
        let loaded = loaded.map_err(|error| failed(chain(&error)))?;
        stages.extend(loaded.interceptors.into_iter().map(|stage| stage as Arc<dyn Stage>));
    }
    Ok(stages)
}

async fn bytes(from: &PluginSource) -> Result<Bytes, String> {
    match from {
        PluginSource::Builtin(name) => builtin(name)
            .map(Bytes::from_static)
            .ok_or_else(|| format!("is not bundled: there is no `{name}`")),
        PluginSource::File(path) => read(path).await,
        PluginSource::Remote { .. } => Err("is no component".to_owned()),
    }
}

async fn read(path: &Path) -> Result<Bytes, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read from {}: {error}", path.display());
    let size = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
    if size > MAX_COMPONENT_BYTES as u64 {
        return Err(format!(
            "is too large: {} has {size} bytes, the most is {MAX_COMPONENT_BYTES}",
            path.display()
        ));
    }
    Ok(tokio::fs::read(path).await.map_err(unreadable)?.into())
}

fn settings(plugin: &PluginConfig) -> Settings {
    let defaults = Limits::default();
    let memory = plugin.limits.memory.and_then(|memory| usize::try_from(memory).ok());
    Settings {
        config: Json::of(&plugin.config),
        mode: if plugin.mode == PluginMode::Audit { Mode::Audit } else { Mode::Enforce },
        fail_open: plugin.fail_open,
        priority_request: plugin.priority.request,
        priority_response: plugin.priority.response,
        when: When {
            events: plugin.when.events.clone(),
            servers: plugin.when.servers.clone(),
            subjects: plugin.when.subjects.clone(),
        },
        limits: Limits {
            memory: memory.unwrap_or(defaults.memory),
            cpu: plugin.limits.cpu.unwrap_or(defaults.cpu),
            wall: plugin.limits.wall.unwrap_or(defaults.wall),
        },
        isolation: None,
        grants: Grants { clock: matches!(plugin.from, PluginSource::Builtin(_)), ..Grants::default() },
    }
}

/// What interceptors noticed without changing anything for the client.
fn record(operation: &Operation, remark: Remark) {
    let (request, event) = (&*operation.id, &*operation.event);
    match remark {
        Remark::Found(plugin, finding) => {
            let (path, message) = (finding.path.as_deref(), finding.message);
            tracing::info!(request, event, %plugin, path, severity = ?finding.severity, message, "finding");
        }
        Remark::LetPass { stage, error, fail_open: true } => {
            tracing::warn!(request, event, plugin = %stage, %error, "plugin failed and let a message pass");
        }
        Remark::LetPass { stage, error, fail_open: false } => {
            tracing::error!(request, event, plugin = %stage, %error, "plugin failed in audit mode");
        }
        Remark::WouldChange(plugin, differences) => {
            let diff = differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            tracing::info!(request, event, %plugin, diff, "plugin would have changed a message");
        }
        Remark::WouldAnswer(plugin) => {
            tracing::info!(request, event, %plugin, "plugin would have answered in the server's place");
        }
        Remark::WouldFilter(plugin, items) => {
            tracing::info!(request, event, %plugin, items, "plugin would have changed a list");
        }
    }
}

/// An error with all its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}

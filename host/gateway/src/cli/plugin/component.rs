//! What the commands share: a component's bytes, and an engine to look at it with.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use wasmgate_wasm::{BUILT_IN, Engine, EngineSettings, MAX_COMPONENT_BYTES, Outbound, builtin};

use super::super::Failed;
use super::super::args::ConfigFile;
use crate::app;
use crate::config::Environment;
use crate::telemetry;

/// The bytes of a file, of a plugin that comes with the program, or of one in a registry, by the rules of a configuration.
pub(super) fn bytes(from: &str, config: &ConfigFile) -> Result<Bytes, Failed> {
    if let Some(name) = from.strip_prefix("builtin:") {
        let names = || BUILT_IN.iter().map(|plugin| plugin.name).collect::<Vec<_>>().join(", ");
        return builtin(name).map(Bytes::from_static).ok_or_else(|| {
            Failed::Usage(format!("no plugin `{name}` is bundled; bundled are: {}", names()))
        });
    }
    if from.starts_with("oci://") {
        let reference = super::push::reference(from)?;
        let needs = config.needs()?;
        let pulled = async { app::pull_component(&needs, &reference, None).await };
        let pulled =
            block_on(async { pulled.await.map_err(|words| Failed::Work(format!("{from}: {words}"))) })?;
        return Ok(pulled.bytes);
    }
    let unreadable = |error: std::io::Error| Failed::Usage(format!("{from} cannot be read: {error}"));
    let size = std::fs::metadata(Path::new(from)).map_err(unreadable)?.len();
    if size > MAX_COMPONENT_BYTES as u64 {
        return Err(Failed::Work(format!(
            "{from} is too large: {size} bytes, the most is {MAX_COMPONENT_BYTES}"
        )));
    }
    Ok(std::fs::read(from).map_err(unreadable)?.into())
}

/// An engine like the gateway's. Compiled components are kept where the gateway keeps them.
pub(super) fn engine(outbound: Option<Arc<dyn Outbound>>) -> Result<Engine, Failed> {
    let cache = Environment::read().cache;
    Engine::new(EngineSettings { cache, outbound, later: None }).map_err(|error| Failed::Work(chain(&error)))
}

/// Runs `work` on a runtime. Plugins' own log lines go to stderr from `warn` on.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    telemetry::start(Some(Environment::read().log.as_deref().unwrap_or("warn")));
    app::block_on(work).map_err(|error| Failed::Work(format!("no runtime: {error}")))?
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

//! What a plugin is loaded with: its settings from the configuration, and what it may use.

use bytes::Bytes;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::Mode;
use wasmgate_wasm::{Engine, Grants, HttpGrant, KvGrant, Limits, SecretGrant, Settings, Want, When, inspect};

use crate::config::{PluginConfig, PluginMode, PluginSecret, PluginSource, SOURCES};

/// Whether it is one of the bundled catalog sources.
pub(super) fn is_source(plugin: &PluginConfig) -> bool {
    matches!(&plugin.from, PluginSource::Builtin(name) if SOURCES.contains(&name.as_str()))
}

/// What comes with the program may have what it asks for, besides what is written.
pub(super) async fn grant_wants(engine: &Engine, bytes: &Bytes, grants: &mut Grants) {
    let Ok(seen) = inspect(engine, bytes.clone()).await else { return };
    for want in seen.descriptor.wants {
        match want {
            Want::Http(origin) => grants.http.push(HttpGrant { origin, private: false }),
            Want::Kv => grants.kv = grants.kv.or(Some(KvGrant::default())),
            Want::Clock => grants.clock = true,
            Want::Random | Want::Labels | Want::FindSecrets | Want::Secret(_) => {}
        }
    }
}

/// The settings of a plugin; `defaults` are the limits where none are written.
pub(super) fn settings(plugin: &PluginConfig, defaults: Limits) -> Settings {
    let size = |written: Option<u64>, default| match written {
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        None => default,
    };
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
            memory: size(plugin.limits.memory, defaults.memory),
            cpu: plugin.limits.cpu.unwrap_or(defaults.cpu),
            wall: plugin.limits.wall.unwrap_or(defaults.wall),
            output: size(plugin.limits.output, defaults.output),
            http_calls: plugin.limits.http_calls.unwrap_or(defaults.http_calls),
            http_response: size(plugin.limits.http_response, defaults.http_response),
            in_flight: plugin.limits.in_flight.unwrap_or(defaults.in_flight),
            log_rate: plugin.limits.log_rate.unwrap_or(defaults.log_rate),
        },
        isolation: plugin.isolation,
        grants: grants(plugin),
    }
}

/// Whether it is told where the gateway's own secrets stand: as written; else the plugins that come with it are.
pub(super) fn finds_secrets(plugin: &PluginConfig) -> bool {
    match &plugin.grants {
        Some(written) => written.find_secrets,
        None => matches!(plugin.from, PluginSource::Builtin(_)),
    }
}

/// What is written; else the log, and everything within the gateway for the plugins that come with it.
fn grants(plugin: &PluginConfig) -> Grants {
    let Some(written) = &plugin.grants else {
        let bundled = matches!(plugin.from, PluginSource::Builtin(_));
        return Grants {
            clock: bundled,
            random: bundled,
            labels: bundled,
            kv: bundled.then(KvGrant::default),
            ..Grants::default()
        };
    };
    let secret = |secret: &PluginSecret| SecretGrant {
        name: secret.name.clone(),
        value: secret.value.clone(),
        origins: secret.origins.clone(),
    };
    Grants {
        log: written.log,
        clock: written.clock,
        random: written.random,
        labels: written.labels,
        kv: written.kv,
        http: written.http.clone(),
        secrets: written.secrets.iter().map(secret).collect(),
        find_secrets: None,
    }
}

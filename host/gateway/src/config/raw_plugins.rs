//! `plugins:` of wasmgate.yaml as written. May be wrong; [`super::PluginConfig`] cannot.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value as Json;

use crate::document::Spanned;
use crate::document::units::{Memory, Span};

/// `plugins:`, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct RawPlugins(pub(super) Vec<(String, Spanned<RawPlugin>)>);

/// One of `plugins:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawPlugin {
    /// `builtin`, `builtin:name`, a path to a component, or `mcp+https://...`, a remote interceptor server.
    #[serde(rename = "use", default)]
    pub(super) from: Option<Spanned<String>>,
    /// The one interceptor of a remote that is wanted; all of them when absent.
    #[serde(default)]
    pub(super) interceptor: Option<Spanned<String>>,
    /// The name of the secret that a remote is shown as a bearer token; none when absent.
    #[serde(default)]
    pub(super) token: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) config: Option<Json>,
    #[serde(default)]
    pub(super) mode: RawMode,
    #[serde(default)]
    pub(super) fail_open: Option<bool>,
    #[serde(default)]
    pub(super) priority: RawPriority,
    #[serde(default)]
    pub(super) when: RawWhen,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) isolation: Option<RawIsolation>,
    #[serde(default)]
    pub(super) grants: Option<RawGrants>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawMode {
    #[default]
    Enforce,
    Audit,
    Off,
}

/// `priority:`, a number for both phases or one for each.
#[derive(Debug, Default)]
pub(super) struct RawPriority {
    pub(super) request: Option<i32>,
    pub(super) response: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawWhen {
    pub(super) events: Vec<String>,
    pub(super) servers: Vec<String>,
    pub(super) subjects: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawLimits {
    pub(super) memory: Option<Memory>,
    pub(super) cpu: Option<Span>,
    pub(super) wall: Option<Span>,
    pub(super) output: Option<Memory>,
    pub(super) http_calls: Option<u32>,
    pub(super) http_response: Option<Memory>,
    pub(super) in_flight: Option<usize>,
    pub(super) log_rate: Option<u32>,
}

impl RawLimits {
    /// Whether one is named that only a component can be held to.
    pub(super) fn of_components(&self) -> bool {
        let bytes = self.memory.or(self.output).or(self.http_response).is_some();
        let numbers = self.http_calls.or(self.log_rate).is_some() || self.in_flight.is_some();
        bytes || numbers || self.cpu.is_some()
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawIsolation {
    PerCall,
    PerSession,
    Pooled,
}

/// `grants:`; what is not written is not granted, the log aside.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawGrants {
    pub(super) log: bool,
    pub(super) clock: bool,
    pub(super) random: bool,
    pub(super) labels: bool,
    pub(super) kv: RawKv,
    pub(super) http: Vec<Spanned<RawHttp>>,
    /// Where each secret may be sent.
    pub(super) secrets: BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
    pub(super) find_secrets: bool,
}

impl Default for RawGrants {
    fn default() -> Self {
        Self {
            log: true,
            clock: false,
            random: false,
            labels: false,
            kv: RawKv::default(),
            http: Vec::new(),
            secrets: BTreeMap::new(),
            find_secrets: false,
        }
    }
}

/// `kv:`, `true` or with a quota.
#[derive(Debug, Default)]
pub(super) struct RawKv {
    pub(super) granted: bool,
    pub(super) quota: Option<Spanned<Memory>>,
}

/// One of `http:`, an origin or `{origin, private}`.
#[derive(Debug)]
pub(super) struct RawHttp {
    pub(super) origin: String,
    pub(super) private: bool,
}

impl<'de> Deserialize<'de> for RawPlugins {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = RawPlugins;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("plugins by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawPlugins, A::Error> {
                let mut plugins = Vec::new();
                while let Some(plugin) = map.next_entry()? {
                    plugins.push(plugin);
                }
                Ok(RawPlugins(plugins))
            }
        }
        from.deserialize_map(InOrder)
    }
}

impl<'de> Deserialize<'de> for RawPriority {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Full {
            request: Option<i32>,
            response: Option<i32>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawPriority;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or `{request: ..., response: ...}`")
            }
            fn visit_i64<E: de::Error>(self, both: i64) -> Result<RawPriority, E> {
                let both = i32::try_from(both).map_err(|_| {
                    E::custom(format!("{both} is not a priority: use -2147483648 to 2147483647"))
                })?;
                Ok(RawPriority { request: Some(both), response: Some(both) })
            }
            fn visit_u64<E: de::Error>(self, both: u64) -> Result<RawPriority, E> {
                self.visit_i64(i64::try_from(both).unwrap_or(i64::MAX))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawPriority, A::Error> {
                let Full { request, response } =
                    Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RawPriority { request, response })
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for RawKv {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Full {
            quota: Option<Spanned<Memory>>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawKv;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true` or `{quota: 1MiB}`")
            }
            fn visit_bool<E: de::Error>(self, granted: bool) -> Result<RawKv, E> {
                Ok(RawKv { granted, quota: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawKv, A::Error> {
                let Full { quota } = Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RawKv { granted: true, quota })
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for RawHttp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            origin: String,
            #[serde(default)]
            private: bool,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawHttp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an origin or `{origin: ..., private: true}`")
            }
            fn visit_str<E: de::Error>(self, origin: &str) -> Result<RawHttp, E> {
                Ok(RawHttp { origin: origin.to_owned(), private: false })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawHttp, A::Error> {
                let Full { origin, private } = Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RawHttp { origin, private })
            }
        }
        from.deserialize_any(Either)
    }
}

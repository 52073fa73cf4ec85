//! What clients are told about the servers: capabilities and instructions at the start, states for people.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value, json};
use wasmgate_core::index::Kind;
use wasmgate_core::json::{Json, ObjectWriter};

use super::{Gateway, State, View, extensions};
use crate::upstream::Status;

/// Who we are: `serverInfo`.
pub static SERVER_INFO: LazyLock<Json> = LazyLock::new(|| {
    let writer = ObjectWriter::new().string("name", env!("CARGO_PKG_NAME"));
    writer.string("version", env!("CARGO_PKG_VERSION")).finish()
});

/// What the visible servers offer together, for `initialize` and `server/discover`.
#[derive(Debug, Clone)]
pub struct Offering {
    /// Capabilities object: the union of what visible servers offer. While one of them has not come up (a failed one is
    /// tried again) it names all we could come to serve, because a legacy client never asks twice.
    pub capabilities: Json,
    /// Instructions under server names.
    pub instructions: Option<String>,
}

/// One line of `/ready`.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ServerState {
    /// The server.
    pub name: String,
    /// `pending`, `pulling`, `starting`, `ready`, `degraded`, `quarantined`, `needs-config`, `needs-secret`, `needs-auth`, `needs-grant`,
    /// `refused` or `failed`.
    pub state: Cow<'static, str>,
    /// What is wrong or going on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many tools it offers.
    pub tools: usize,
    /// Whether the gateway counts as not ready without it.
    pub required: bool,
}

impl Gateway {
    /// What a client is told at the start. `None` when the view names no configured server.
    pub fn offering(&self, view: &View) -> Option<Arc<Offering>> {
        let now = self.current.load();
        let known = now.offering(view)?;
        if self.is_fresh() {
            return Some(Arc::clone(known.get_or_init(|| Arc::new(offering(view, &now.servers)))));
        }
        Some(Arc::new(offering(view, &self.pool.status())))
    }

    /// Whether lists of this kind are served in a view: what [`Gateway::offering`] does not name is an unknown method
    /// (2026-07-28 server/discover).
    pub(super) fn offers(&self, view: &View, kind: Kind) -> bool {
        let capability = match kind {
            Kind::Tools => "tools",
            Kind::Prompts => "prompts",
            Kind::Resources | Kind::Templates => "resources",
        };
        self.offering(view).is_none_or(|offering| offering.capabilities.member(capability).is_some())
    }

    /// Every enabled server with its state, in configuration order, those that cannot be started last.
    pub fn states(&self) -> Vec<ServerState> {
        let running = self.pool.status().into_iter().map(|status| {
            let (state, reason) = words(&status.state);
            ServerState {
                name: status.server.name.to_string(),
                state: state.into(),
                reason,
                tools: status.offer.as_ref().map_or(0, |offer| offer.tools.len()),
                required: status.server.required,
            }
        });
        let now = self.current.load();
        let unavailable = now.generation.unavailable.iter().map(|unavailable| ServerState {
            name: unavailable.name.to_string(),
            state: unavailable.state.into(),
            reason: Some(unavailable.reason.clone()),
            tools: 0,
            required: false,
        });
        running.chain(unavailable).collect()
    }

    /// Waits for the required servers to come up. The first that fails before it was ever ready, and why; none when all
    /// have been ready.
    pub async fn required_failure(&self) -> Option<(String, String)> {
        let mut changed = self.pool.changed();
        let mut up = HashSet::new();
        loop {
            let servers = self.pool.status();
            let mut missing = false;
            for status in servers.iter().filter(|status| status.server.required) {
                let name = status.server.name.as_str();
                if matches!(status.state, State::Ready | State::Degraded { .. }) {
                    up.insert(name.to_owned());
                }
                if up.contains(name) {
                    continue;
                }
                if let Some(reason) = status.state.reason() {
                    return Some((name.to_owned(), reason.to_owned()));
                }
                missing = true;
            }
            if !missing || changed.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Whether every server has either become ready or failed at least once.
    pub fn settled(&self) -> bool {
        self.pool.status().iter().all(|status| status.state.is_settled())
    }

    /// Resolves when [`Gateway::settled`] holds.
    pub async fn until_settled(&self) {
        let mut changed = self.pool.changed();
        while !self.settled() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// What these servers offer together in a view.
fn offering(view: &View, servers: &[Status]) -> Offering {
    let visible: Vec<&Status> = servers.iter().filter(|status| shows(view, status)).collect();
    let has = |name: &str| has(&visible, name);
    let mut capabilities = Map::new();
    for list in ["tools", "prompts", "resources"] {
        if has(list) {
            // What cannot be taken back is only said when it is known.
            let takes = |status: &&Status| status.offer.as_ref().is_some_and(|o| o.takes_subscriptions());
            let offer = match list == "resources" && visible.iter().any(takes) {
                true => json!({ "listChanged": true, "subscribe": true }),
                false => json!({ "listChanged": true }),
            };
            capabilities.insert(list.into(), offer);
        }
    }
    for plain in ["completions", "logging"] {
        if has(plain) {
            capabilities.insert(plain.into(), json!({}));
        }
    }
    // What cannot be taken back, here too: an extension is named once a server has said it.
    let known = visible.iter().filter_map(|status| status.offer.as_deref());
    let [extensions, experimental] = extensions::offered(view, known);
    let capabilities = Json::of(&Value::Object(capabilities))
        .with_members(&[("extensions", extensions.as_ref()), ("experimental", experimental.as_ref())]);
    Offering { capabilities, instructions: instructions(view, &visible) }
}

/// Whether the visible servers offer something, or may once they have come up. Where there is none yet, any may come.
fn has(visible: &[&Status], capability: &str) -> bool {
    let offers = |status: &&Status| {
        status.offer.as_ref().is_none_or(|offer| offer.capabilities.member(capability).is_some())
    };
    visible.is_empty() || visible.iter().any(offers)
}

pub(super) fn shows(view: &View, status: &Status) -> bool {
    match view {
        View::All => true,
        View::One(name) => status.server.name == *name,
    }
}

/// A server alone keeps its instructions as they are; several stand under their names.
fn instructions(view: &View, visible: &[&Status]) -> Option<String> {
    let given =
        visible.iter().filter_map(|status| Some((status, status.offer.as_ref()?.instructions.as_ref()?)));
    let texts: Vec<String> = match view {
        View::One(_) => given.map(|(_, text)| text.clone()).collect(),
        View::All => given.map(|(status, text)| format!("## {}\n\n{text}", status.server.name)).collect(),
    };
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// A state's word and what to say beside it.
fn words(state: &State) -> (&'static str, Option<String>) {
    match state {
        State::Pending => ("pending", None),
        State::Pulling(None) => ("pulling", None),
        State::Pulling(Some(percent)) => ("pulling", Some(format!("{percent} %"))),
        State::Starting => ("starting", None),
        State::Ready => ("ready", None),
        State::Degraded { reason } => ("degraded", Some(reason.clone())),
        State::Quarantined { reason } => ("quarantined", Some(reason.clone())),
        State::Failed { code, reason, stderr } => {
            let tail = stderr.as_deref().map(str::trim).filter(|tail| !tail.is_empty());
            let last = tail.map(|tail| format!("; it last wrote: {tail}")).unwrap_or_default();
            ("failed", Some(format!("{code}: {reason}{last}")))
        }
    }
}

//! Keeps secrets apart: what a session has read from one server must not go to another. Writing it back to where it came
//! from is fine.
//!
//! Secrets are remembered as fingerprints under a random key, in the gateway's memory, for the session (where there is none,
//! for the principal). A finding names the two servers and the place, never the value.

mod candidates;
mod config;
mod memory;

use std::collections::{BTreeSet, HashSet};

use wasmgate_plugin::{Call, Config, Descriptor, Finding, Hook, Interceptor, Operation, Phase, Problem, log};

use crate::candidates::Place;
use crate::config::Settings;
use crate::memory::{Fingerprint, Memory, Prints};

/// The plugin, as configured.
pub struct CrossServerGuard(Settings);

/// What the client asks: requests go to the server, results come from it.
const ASKED_OF_SERVERS: [&str; 5] =
    ["tools/call", "prompts/get", "resources/read", "completion/complete", "tasks/*"];

/// What a server asks: the other way round.
const ASKED_OF_CLIENTS: [&str; 2] = ["sampling/createMessage", "elicitation/create"];

/// Findings of one message; more would not make it more refused.
const MAX_FINDINGS: usize = 16;

impl Interceptor for CrossServerGuard {
    fn describe() -> Descriptor {
        Descriptor::new(
            "cross-server-guard",
            env!("CARGO_PKG_VERSION"),
            "Refuses to send a secret that was read from one server to another.",
        )
        .hook(Hook::validate(&ASKED_OF_SERVERS).request().response())
        .hook(Hook::validate(&ASKED_OF_CLIENTS).request().response())
        .config_schema(config::SCHEMA)
        .wants(&["kv", "random"])
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        Settings::read(config).map(Self)
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let Some(server) = &call.operation().server else { return Ok(Vec::new()) };
        if goes_to_server(call.operation()) {
            return self.check(call, server);
        }
        self.remember(call, server)?;
        Ok(Vec::new())
    }
}

wasmgate_plugin::export!(CrossServerGuard);

fn goes_to_server(operation: &Operation) -> bool {
    let server_asks = ASKED_OF_CLIENTS.contains(&operation.event.as_str());
    (operation.phase == Phase::Request) != server_asks
}

impl CrossServerGuard {
    fn check(&self, call: &Call<'_>, server: &str) -> Result<Vec<Finding>, String> {
        // Most sessions have read no secret, and their messages are not looked at.
        let Some(memory) = Memory::load()? else { return Ok(Vec::new()) };
        let prints = Prints::load()?;
        let followed: HashSet<Fingerprint> = memory.secrets().collect();
        let mut hits: Vec<(String, Place)> = Vec::new();
        let mut hit = |secret, place: &dyn Fn() -> Place| {
            if hits.len() < MAX_FINDINGS && followed.contains(&secret) {
                let origins = memory.origins(secret);
                if let Some(origin) = self.refused(&origins, server) {
                    hits.push((origin.to_owned(), place()));
                }
            }
        };
        for known in candidates::sightings(&**call)? {
            let place = || Place::At(secret_scan::shown(known.pointer.clone()));
            hit(prints.of(&candidates::named(&known)), &place);
        }
        candidates::carried(&call.text(), prints, &self.0, &mut hit);
        if let Some((origin, _)) = hits.first() {
            log::count("blocked", 1);
            log::warn("a secret was on its way to another server", &[("from", origin), ("to", server)]);
        }
        Ok(findings(hits, server))
    }

    /// The origin that a secret may not leave for `server`. Every origin must let it go, unless `server` is one itself.
    fn refused<'a>(&self, origins: &[&'a str], server: &str) -> Option<&'a str> {
        let closed = origins.iter().find(|origin| !self.0.opens(origin, server)).copied();
        closed.filter(|_| !origins.contains(&server))
    }

    fn remember(&self, call: &Call<'_>, server: &str) -> Result<(), String> {
        let prints = Prints::load()?;
        let mut secrets = candidates::brought(&**call, prints, &self.0)?;
        // What the client has just said itself was not read here.
        if let Some(said) = call.attr("request.params").filter(|_| !secrets.is_empty()) {
            let mut known = HashSet::new();
            candidates::carried(&said, prints, &self.0, &mut |secret, _| {
                known.insert(secret);
            });
            secrets.retain(|secret| !known.contains(secret));
        }
        if secrets.is_empty() { Ok(()) } else { Memory::add(server, &secrets) }
    }
}

fn findings(hits: Vec<(String, Place)>, server: &str) -> Vec<Finding> {
    // A pointer below a name that is a secret would repeat it.
    let hidden = hits.iter().any(|(_, place)| *place == Place::Name);
    let shown = hits.into_iter().map(|(origin, place)| match place {
        Place::At(pointer) if !hidden => (pointer, origin),
        _ => (String::new(), origin),
    });
    // The same secret is found as a format, as a word and as a whole string.
    let shown: BTreeSet<_> = shown.collect();
    let finding = |(pointer, origin): (String, String)| {
        let message =
            format!("carries a secret that was read from `{origin}`, which must not go to `{server}`");
        Finding::error(message).at(pointer)
    };
    shown.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests;

//! The `requestState` of the gateway: what a client keeps for us between a result that asks for input and the request
//! that answers it.
//!
//! Sealed, for one principal and for a while; how often it is good for something is not decided here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmgate_core::json::{Json, Rare};
use wasmgate_core::pipeline::Operation;
use wasmgate_core::seal::{Purpose, Scope, Sealer};

use super::CallError;
use super::lists::{nonce, seconds_now};

/// What the client keeps for us.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Kept {
    /// The server's own state, when it gave one.
    pub(super) state: Option<String>,
    /// The method asked, by key.
    pub(super) asked: BTreeMap<String, String>,
    /// What has become of the call, at a server of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) call: Option<Called>,
}

/// A call of a server of an older version.
#[derive(Serialize, Deserialize)]
pub(super) struct Called {
    /// Of what was asked: see [`digest`].
    pub(super) digest: String,
    /// Where it is parked; none when it is over and to be made anew.
    pub(super) parked: Option<String>,
}

/// A `requestState` of a client.
pub(super) enum State {
    /// Ours, for this principal and still good.
    Ours(Kept),
    /// The server's own.
    Theirs,
    /// It looks like ours, and is not.
    Bad,
}

impl State {
    /// Reads what a client sent.
    pub(super) fn read(sealer: &Sealer, principal: &str, state: &str) -> Self {
        let Some(sealed) = state.strip_prefix(OURS) else { return Self::Theirs };
        let opened = sealer.open(scope(principal), seconds_now(), sealed).ok();
        let kept = opened.and_then(|opened| Json::parse(opened).ok()?.deserialize().ok());
        kept.map_or(Self::Bad, Self::Ours)
    }

    /// Whether a server's own state would be taken for ours: that server is such a gateway itself.
    pub(super) fn looks_ours(result: &Json) -> bool {
        let state = REQUEST_STATE.of(result);
        state.as_ref().and_then(Json::string).is_some_and(|state| state.starts_with(OURS))
    }

    /// The id of the parked call it leads to.
    pub(super) fn parked(self) -> Option<String> {
        match self {
            Self::Ours(kept) => kept.call?.parked,
            Self::Theirs | Self::Bad => None,
        }
    }
}

impl Kept {
    /// The text for the client, good for `life` seconds.
    pub(super) fn seal(&self, sealer: &Sealer, principal: &str, life: u64) -> Result<String, CallError> {
        let payload = Json::of(self);
        let sealed = sealer.seal(scope(principal), seconds_now() + life, payload.bytes(), nonce()?);
        let sealed = sealed.map_err(|_| CallError::NotServing("out of randomness"))?;
        Ok(format!("{OURS}{sealed}"))
    }
}

/// What an operation asks for, as its client may spell it again: without regard to spaces and the order of members.
/// `said` are the params.
pub(super) fn digest(operation: &Operation, said: Option<&Json>) -> String {
    let [name, uri, arguments] = said.map(|said| said.pick(["name", "uri", "arguments"])).unwrap_or_default();
    let server = operation.server.as_ref().map(|server| Json::of(server.as_str()));
    let event = Json::of(&*operation.event);
    let parts = [Some(event), server, name, uri, arguments].map(|part| part.unwrap_or_else(Json::null));
    let whole = Json::array(&parts);
    let value = whole.deserialize::<serde_json::Value>().ok();
    let canonical = value.and_then(|value| serde_json_canonicalizer::to_vec(&value).ok());
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.unwrap_or_else(|| whole.bytes().to_vec())))
}

/// Deliberately one answer, whatever is wrong with it.
pub(super) fn bad_state() -> CallError {
    CallError::InvalidParams("requestState: not one of ours, used before, or too old".into())
}

/// An id that nobody can guess.
pub(super) fn fresh_id() -> Result<String, CallError> {
    Ok(URL_SAFE_NO_PAD.encode(nonce()?))
}

const fn scope(principal: &str) -> Scope<'_> {
    Scope { purpose: Purpose::RequestState, principal }
}

/// How a state of ours begins.
const OURS: &str = "wasmgate.";

static REQUEST_STATE: LazyLock<Rare> = LazyLock::new(|| Rare::new("requestState"));

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmgate_core::name::ServerName;
    use wasmgate_core::pipeline::Party;

    use super::*;

    fn operation(event: &str) -> Operation {
        Operation {
            id: "r".into(),
            event: event.into(),
            server: Some(ServerName::new("s").unwrap()),
            subject: None,
            principal: Arc::from("alice"),
            session: None,
            version: "2026-07-28",
            initiator: Party::Client,
        }
    }

    fn of(event: &str, said: &str) -> String {
        digest(&operation(event), Some(&Json::parse(said.to_owned()).unwrap()))
    }

    #[test]
    fn a_request_spelt_anew_is_the_same_and_another_is_another() {
        let first = of("tools/call", r#"{"name":"a","arguments":{"x":1.0,"y":"\u00e4"},"_meta":{"t":1}}"#);
        let again =
            of("tools/call", r#"{ "arguments": {"y":"ä", "x":1}, "name":"a","inputResponses":{"k":{}} }"#);
        assert_eq!(first, again);
        for (event, other) in [
            ("tools/call", r#"{"name":"b","arguments":{"x":1,"y":"ä"}}"#),
            ("tools/call", r#"{"name":"a","arguments":{"x":2,"y":"ä"}}"#),
            ("tools/call", r#"{"name":"a"}"#),
            ("prompts/get", r#"{"name":"a","arguments":{"x":1,"y":"ä"}}"#),
        ] {
            assert_ne!(of(event, other), first, "{event} {other}");
        }
    }

    #[test]
    fn a_state_is_for_its_principal_and_unchanged() {
        let sealer = Sealer::new([7; 32]);
        let call = Some(Called { digest: "d".into(), parked: Some("id".into()) });
        let kept = Kept { state: None, asked: BTreeMap::new(), call };
        let state = kept.seal(&sealer, "alice", 60).unwrap();
        let parked = |principal, state: &str| State::read(&sealer, principal, state).parked();
        assert_eq!(parked("alice", &state).as_deref(), Some("id"));
        assert!(matches!(State::read(&sealer, "bob", &state), State::Bad));
        assert!(matches!(State::read(&sealer, "alice", &format!("{state}x")), State::Bad));
        assert!(matches!(State::read(&sealer, "alice", "of the server"), State::Theirs));
    }
}

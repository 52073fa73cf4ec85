//! `/health`: the process lives. `/ready`: it can serve, and which servers are in which state.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::Slot;
use crate::gateway::{ConfigState, ServerState};

/// What `/health` says.
pub(super) const HEALTH: &str = r#"{"status":"ok"}"#;

/// What `/ready` says.
#[derive(Serialize)]
struct Ready {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Arc<ConfigState>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<Vec<ServerState>>,
    /// How many tasks run: what grows without an end has leaked.
    tasks: usize,
}

/// Whether the gateway can serve: it is loaded, and every required server is ready.
pub(super) fn ready(slot: &Slot, tasks: usize) -> (StatusCode, Vec<u8>) {
    let gateway = slot.borrow().clone();
    let draining = gateway.as_ref().is_some_and(|it| it.is_draining());
    let (states, config) = (gateway.as_ref().map(|it| it.states()), gateway.map(|it| it.config()));
    readiness(states, config, (draining, tasks))
}

fn readiness(
    states: Option<Vec<ServerState>>,
    config: Option<Arc<ConfigState>>,
    (draining, tasks): (bool, usize),
) -> (StatusCode, Vec<u8>) {
    let reason = match &states {
        _ if draining => Some("draining"),
        None => Some("the configuration is loading"),
        Some(states)
            if states
                .iter()
                .any(|state| state.required && !["ready", "degraded"].contains(&&*state.state)) =>
        {
            Some("a required server is not ready")
        }
        Some(_) => None,
    };
    let ready = Ready { ready: reason.is_none(), reason, config, servers: states, tasks };
    let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Plain data of our own always serialises.
    (status, serde_json::to_vec(&ready).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn server(name: &str, state: &'static str, required: bool) -> ServerState {
        ServerState { name: name.into(), state: state.into(), reason: None, tools: 2, required }
    }

    #[track_caller]
    fn check(states: Option<Vec<ServerState>>, expected: Expect) {
        let (status, body) = readiness(states, None, (false, 7));
        expected.assert_eq(&format!("{} {}", status.as_u16(), String::from_utf8(body).unwrap()));
    }

    #[test]
    fn a_rejected_configuration_is_told_and_does_not_make_the_gateway_unready() {
        let config = ConfigState {
            state: "rejected",
            error: Some("wasmgate.yaml:1:1: unknown key `x`".into()),
            since: "2026-11-21T12:00:00Z".into(),
        };
        let (status, body) = readiness(Some(vec![]), Some(Arc::new(config)), (false, 7));
        expect![[
            r#"200 {"ready":true,"config":{"state":"rejected","error":"wasmgate.yaml:1:1: unknown key `x`","since":"2026-11-21T12:00:00Z"},"servers":[],"tasks":7}"#
        ]]
        .assert_eq(&format!("{} {}", status.as_u16(), String::from_utf8(body).unwrap()));
    }

    #[test]
    fn a_gateway_that_stops_is_not_ready() {
        let (status, body) = readiness(Some(vec![]), None, (true, 7));
        expect![[r#"503 {"ready":false,"reason":"draining","servers":[],"tasks":7}"#]].assert_eq(&format!(
            "{} {}",
            status.as_u16(),
            String::from_utf8(body).unwrap()
        ));
    }

    #[test]
    fn ready_means_loaded_and_no_required_server_missing() {
        check(None, expect![[r#"503 {"ready":false,"reason":"the configuration is loading","tasks":7}"#]]);
        check(Some(vec![]), expect![[r#"200 {"ready":true,"servers":[],"tasks":7}"#]]);
        check(
            Some(vec![server("a", "failed", false), server("b", "ready", true)]),
            expect![[
                r#"200 {"ready":true,"servers":[{"name":"a","state":"failed","tools":2,"required":false},{"name":"b","state":"ready","tools":2,"required":true}],"tasks":7}"#
            ]],
        );
        check(
            Some(vec![server("b", "starting", true)]),
            expect![[
                r#"503 {"ready":false,"reason":"a required server is not ready","servers":[{"name":"b","state":"starting","tools":2,"required":true}],"tasks":7}"#
            ]],
        );
    }
}

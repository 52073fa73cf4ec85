//! What the unit tests of this module share: a stage's description and an exchange.

use wasmgate_core::pipeline::{
    About, Compat, Exchange, Hook, Kind, Mode, Operation, Party, Pattern, StageInfo,
};

/// A stage that wants everything.
pub(super) fn info(name: &str, kind: Kind) -> StageInfo {
    StageInfo {
        name: name.into(),
        kind,
        about: About::default(),
        compat: Compat::default(),
        hooks: vec![hook(&["*"], true, true)],
        priority_request: 0,
        priority_response: 0,
        mode: Mode::Enforce,
        fail_open: false,
    }
}

/// A hook on every server and subject.
pub(super) fn hook(events: &[&str], request: bool, response: bool) -> Hook {
    let events = events.iter().map(|event| Pattern::new(event)).collect();
    Hook { events, request, response, servers: vec![], subjects: vec![] }
}

/// An exchange of a client.
pub(super) fn exchange(event: &str) -> Exchange {
    Exchange::new(Operation {
        id: "1".into(),
        event: event.into(),
        server: None,
        subject: None,
        principal: "bearer".into(),
        session: None,
        version: "2025-11-25",
        initiator: Party::Client,
    })
}

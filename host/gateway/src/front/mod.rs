//! Faces clients: HTTP and stdio, sessions, protocol eras, and the words of every refusal.
//!
//! A message comes in through a transport (`http` and what it routes to, or `stdio`), is freed of its era (`modern`,
//! `legacy`: the only two places that know one) and becomes a [`crate::gateway::Request`]. The way back is a
//! `calling::Calling`: the notifications of one call as they come, then its reply. `render` words every failure.
//!
//! [`bind`] reserves the port before slow work, [`Bound::serve`] answers `/health` at once and lets MCP requests wait
//! until the [`Slot`] holds a gateway. Nothing here knows servers, plugins or catalogs.

mod accept; // what the client can read
mod asking; // what servers ask of legacy clients
mod auth; // who asks
mod batch; // JSON-RPC batches of 2025-03-26
mod body; // bytes of HTTP messages
mod calling; // one call: its events, then its reply
mod classify; // which era a message belongs to
mod connections; // how many, and who makes room
mod door; // the endpoint beside MCP
mod duplex; // many calls on one stream
mod endpoint; // streamable HTTP
mod flowing; // long results, as they come
mod framing; // requests that say two lengths
mod headers; // Mcp-* headers
mod http; // accept, connections, paths
mod legacy; // 2024-11-05 to 2025-11-25
mod legacy_http; // their sessions on streamable HTTP
mod lines; // newline-delimited messages
mod listen; // subscriptions/listen
mod modern; // 2026-07-28
mod offer; // what clients are told about the gateway
mod old_sse; // HTTP+SSE of 2024-11-05
mod origin; // which sites may talk to us
mod params; // Mcp-Param-* headers
mod preflight; // CORS for configured origins
mod render; // failures in words
mod replay; // streams that can be resumed
mod respond; // HTTP responses
mod resuming; // streams of legacy sessions, live and again
mod session; // one legacy client
mod sessions; // all of them
mod settings;
mod silence; // how long a call says nothing
mod sse; // server-sent events
mod stall; // peers that stop reading
mod status; // /health, /ready
pub mod stdio;
mod token; // what the id of a session says

use std::sync::Arc;

use tokio::sync::watch;

use crate::gateway::{CallError, Gateway};

pub use door::{Door, Knock};
pub use http::{BindError, Bound, Closing, bind};
pub use render::in_words;
pub use settings::{Limits, Settings};

/// Where the gateway will be once configuration and plugins are loaded. Fronts are up before it is filled.
pub type Slot = watch::Receiver<Option<Arc<Gateway>>>;

/// The gateway in the slot; a request that comes before it waits for it, within `patience`.
async fn gateway(slot: &Slot, patience: std::time::Duration) -> Result<Arc<Gateway>, CallError> {
    if let Some(gateway) = &*slot.borrow() {
        return Ok(Arc::clone(gateway));
    }
    let mut slot = slot.clone();
    let filled = tokio::time::timeout(patience, slot.wait_for(Option::is_some)).await;
    let gateway = filled.ok().and_then(Result::ok).and_then(|gateway| gateway.clone());
    gateway.ok_or(CallError::NotServing("still loading its configuration"))
}

#[cfg(test)]
mod tests;

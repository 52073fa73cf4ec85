//! What a request looks like on the wire, by the era of the server it goes to.

use std::sync::LazyLock;

use wasmgate_core::json::{Json, Rare};

use super::{ClientFacts, legacy, modern};

/// The era of one server, and the version agreed on.
#[derive(Debug, Clone)]
pub(super) enum Era {
    /// 2025-11-25 or earlier, after `initialize`. Before it the version is the one we offer.
    Legacy(&'static str),
    /// 2026-07-28: every request says who asks; where its client does not, this is the `clientInfo`.
    Modern(Json),
}

/// A request's params as they go out.
#[derive(Debug)]
pub(super) struct Dressed {
    /// The params.
    pub(super) params: Option<Json>,
    /// The progress token the client knows; on the wire it is the request's id.
    pub(super) token: Option<Json>,
}

/// What most params have not: of what clients of 2026-07-28 say there the front has taken out what is about the request.
pub(super) static META: LazyLock<Rare> = LazyLock::new(|| Rare::new("_meta"));

impl Era {
    /// The protocol version, as headers carry it.
    pub(super) const fn version(&self) -> &'static str {
        match self {
            Self::Legacy(version) => version,
            Self::Modern(_) => modern::VERSION,
        }
    }

    /// Makes a client's params fit this server.
    pub(super) fn dress(&self, params: Option<&Json>, id: u64, client: Option<&ClientFacts>) -> Dressed {
        let (params, token) = match self {
            Self::Legacy(_) => legacy::dress(params, id),
            Self::Modern(ourselves) => modern::dress(params, id, client, ourselves),
        };
        Dressed { params, token }
    }
}

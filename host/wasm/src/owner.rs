//! Whom something that outlives a call belongs to: a key of [`crate::entries`] and [`crate::marks`].

use std::sync::Arc;

use wasmgate_core::pipeline::Operation;

/// Who shares what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// One session.
    Session(Arc<str>),
    /// What would be a session's, of a principal whose protocol has none (MCP 2026-07-28).
    Sessionless(Arc<str>),
    /// One principal.
    Principal(Arc<str>),
    /// Everybody.
    All,
}

impl Owner {
    /// The session of an operation; where there is none, its principal.
    pub(crate) fn session(operation: &Operation) -> Self {
        match &operation.session {
            Some(session) => Self::Session(Arc::clone(session)),
            None => Self::Sessionless(Arc::clone(&operation.principal)),
        }
    }

    /// The principal of an operation.
    pub(crate) fn principal(operation: &Operation) -> Self {
        Self::Principal(Arc::clone(&operation.principal))
    }

    /// Bytes of its name.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Session(name) | Self::Sessionless(name) | Self::Principal(name) => name.len(),
            Self::All => 0,
        }
    }
}

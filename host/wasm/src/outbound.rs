//! HTTP on behalf of plugins, as this crate needs it: whoever runs the engine provides it, with its own rules for where a
//! connection may go.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use url::Url;

/// One request of a plugin, already checked against its grants.
pub struct OutboundRequest {
    /// The method.
    pub method: String,
    /// Absolute, `http` or `https`, without user and password.
    pub url: Url,
    /// Headers, secrets filled in. None of those that the sender of a request makes itself (`host`, `content-length`,
    /// `connection`, ...).
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Bytes,
    /// For the whole exchange.
    pub timeout: Duration,
    /// Whether the host's name may lead to a private address.
    pub private: bool,
    /// Bytes of the response's body that are accepted.
    pub max_response: usize,
}

/// The whole response.
#[derive(Debug)]
pub struct OutboundResponse {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address may not be dialled.
    #[error("may not go there: {0}")]
    Forbidden(String),
    /// The time is up.
    #[error("no answer in time")]
    Timeout,
    /// The body is larger than accepted.
    #[error("the response is larger than {0} bytes")]
    TooLarge(usize),
    /// Anything else, in words without secrets.
    #[error("{0}")]
    Failed(String),
}

/// What eventually comes back.
pub type OutboundFuture<'a> =
    Pin<Box<dyn Future<Output = Result<OutboundResponse, OutboundError>> + Send + 'a>>;

/// Sends requests of plugins. Redirects are answered, not followed; the address that is dialled is checked.
pub trait Outbound: Send + Sync {
    /// Sends one request.
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_>;
}

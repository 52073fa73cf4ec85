//! What the proxy says when it does not do what it was asked for: one sentence for whoever reads the server's log.

use std::fmt;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};

use crate::egress::EgressError;

/// The body of an answer: somebody else's, or a sentence.
pub(super) type Answer = BoxBody<Bytes, hyper::Error>;

/// Why a request is not passed on.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    said: String,
}

impl Refusal {
    /// No rule names it, or the rule does not allow this.
    pub(super) fn forbidden(said: String) -> Self {
        Self { status: StatusCode::FORBIDDEN, said }
    }

    /// It makes no sense.
    pub(super) fn bad(said: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, said: said.to_owned() }
    }

    /// The other side does not answer as it should.
    pub(super) fn unreachable(said: String) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, said }
    }

    pub(super) fn of_dial(host: &str, port: u16, error: &EgressError) -> Self {
        match error {
            EgressError::Refused(refused) => Self::forbidden(refused.to_string()),
            other => Self::unreachable(format!("{host}:{port}: {other}")),
        }
    }

    /// Whether it is of the policy's making.
    pub(super) fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    pub(super) fn response(&self) -> Response<Answer> {
        let mut response = Response::new(whole(format!("wasmgate: {}\n", self.said)));
        *response.status_mut() = self.status;
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The other side chose some of the words.
        f.write_str(&self.said.escape_debug().take(200).collect::<String>())
    }
}

/// A body that is there already.
pub(super) fn whole(text: impl Into<Bytes>) -> Answer {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

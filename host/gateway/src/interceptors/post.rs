//! A request for each call: the payload as its body, what is said as the answer's.
//!
//! The address is one that the operator named, so it may be private; redirects are not followed.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tokio::time::timeout;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::StageError;

use super::outside::{DEADLINE, OUTPUT, TIME, TOO_MUCH};
use crate::egress::{Egress, Reach};

/// Where the payload is sent.
pub(super) struct Post {
    uri: Uri,
    egress: Egress,
}

impl Post {
    /// None when the address cannot be sent to.
    pub(super) fn new(url: &url::Url, egress: &Egress) -> Option<Self> {
        Some(Self { uri: url.as_str().parse().ok()?, egress: egress.clone() })
    }

    /// Sends it and reads the answer.
    pub(super) async fn run(&self, shown: &Json) -> Result<Bytes, StageError> {
        timeout(DEADLINE, self.ask(shown)).await.map_err(|_| StageError::Exceeded(TIME))?
    }

    async fn ask(&self, shown: &Json) -> Result<Bytes, StageError> {
        let failed = |error: &dyn std::fmt::Display| StageError::Failed(error.to_string());
        let request = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(Full::new(shown.bytes().clone()))
            .map_err(|error| failed(&error))?;
        let response = self.egress.send(Reach::Named, request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(failed(&format!("answered HTTP {}: redirects are not followed", status.as_u16())));
        }
        if !status.is_success() {
            return Err(failed(&format!("answered HTTP {}", status.as_u16())));
        }
        match Limited::new(response.into_body(), OUTPUT).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(StageError::Exceeded(TOO_MUCH)),
            Err(_) => Err(failed(&"its answer broke off")),
        }
    }
}

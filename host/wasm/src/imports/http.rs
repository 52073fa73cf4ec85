//! HTTP for plugins: what [`crate::fetch`] lets pass goes out, within what is left of the call's time.

use std::time::{Duration, Instant};

use crate::bindings::http::{Host, Request, Response};
use crate::bindings::types::Refusal;
use crate::fetch::{Checked, checked, is_kept};
use crate::guest::Guest;
use crate::outbound::{Outbound, OutboundError, OutboundRequest, OutboundResponse};
use crate::text::printable;

/// Headers of a response, and their bytes together.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;

/// Bytes of a failure's description.
const MAX_WORDS: usize = 200;

impl Host for Guest {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Result<Response, Refusal>> {
        self.usage.host_work(request.url.len() + request.body.as_ref().map_or(0, Vec::len))?;
        let asked = request.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let checked = match checked(request, &self.identity.grants, &self.besides) {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(most) = self.usage.http_call() {
            return Ok(Err(Refusal::Exceeded(format!("{most} requests in one call (`limits.httpCalls`)"))));
        }
        let Some(outbound) = self.engine.inner.outbound.clone() else {
            return Ok(Err(Refusal::Failed("nothing is reached from here".into())));
        };
        let request = outgoing(self, checked, asked);
        let response = send(&*outbound, request).await;
        self.usage.host_work(response.as_ref().map_or(0, |response| response.body.len()))?;
        Ok(response)
    }
}

/// The request with what is left of the call. A tenth of the time stays with the plugin, to say that there was no answer.
fn outgoing(guest: &Guest, checked: Checked, asked: Option<Duration>) -> OutboundRequest {
    let left = guest.usage.ends().saturating_duration_since(Instant::now()) / 10 * 9;
    let timeout = asked.unwrap_or(left).min(left);
    let Checked { method, url, headers, body, private } = checked;
    OutboundRequest {
        method,
        url,
        headers,
        body,
        timeout,
        private,
        max_response: guest.usage.http_response(),
    }
}

async fn send(outbound: &dyn Outbound, request: OutboundRequest) -> Result<Response, Refusal> {
    let max_response = request.max_response;
    let sent = tokio::time::timeout(request.timeout, outbound.send(request)).await;
    let response = sent.unwrap_or(Err(OutboundError::Timeout)).map_err(|error| refusal(&error))?;
    if response.body.len() > max_response {
        return Err(refusal(&OutboundError::TooLarge(max_response)));
    }
    received(response)
}

fn received(response: OutboundResponse) -> Result<Response, Refusal> {
    let headers: Vec<_> = response.headers.into_iter().filter(|(name, _)| is_kept(name)).collect();
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let bound = format!("{MAX_HEADERS} headers and {MAX_HEADER_BYTES} bytes of them in a response");
        return Err(Refusal::Exceeded(bound));
    }
    Ok(Response { status: response.status, headers, body: response.body.into() })
}

fn refusal(error: &OutboundError) -> Refusal {
    let words = printable(&error.to_string(), MAX_WORDS);
    match error {
        OutboundError::Forbidden(_) => Refusal::Denied(words),
        OutboundError::Timeout | OutboundError::TooLarge(_) => Refusal::Exceeded(words),
        OutboundError::Failed(_) => Refusal::Failed(words),
    }
}

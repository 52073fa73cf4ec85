//! A catalog that a web server hands out: one text over https.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH, USER_AGENT};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use jiff::Timestamp;
use tokio::time::timeout;

use super::kept::Answer;
use crate::config::{Lasts, Missing};
use crate::egress::{Egress, EgressError, Reach};

/// For the whole exchange.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fetches a catalog of at most so many bytes, or finds that `before` is still right.
pub(super) async fn fetch(
    egress: &Egress,
    wanted: (&str, usize),
    before: Option<&Answer>,
) -> Result<Answer, Missing> {
    match timeout(PATIENCE, exchange(egress, wanted, before)).await {
        Ok(done) => done,
        Err(_) => Err(Missing::for_now(
            format!("has not answered within {} s", PATIENCE.as_secs()),
            "try again later",
        )),
    }
}

async fn exchange(
    egress: &Egress,
    (url, most): (&str, usize),
    before: Option<&Answer>,
) -> Result<Answer, Missing> {
    let mut request = Request::get(url)
        .header(ACCEPT, "application/yaml, application/json, text/yaml, text/plain")
        .header(USER_AGENT, concat!("wasmgate/", env!("CARGO_PKG_VERSION")));
    if let Some(validator) = before.and_then(|before| before.validator.as_deref()) {
        request = request.header(IF_NONE_MATCH, validator);
    }
    let request = request.body(Full::<Bytes>::default());
    let request = request.map_err(|_| Missing::for_good("is not an address", "write `https://host/path`"))?;
    // The operator wrote the address: it may be a private one.
    let response = egress.send(Reach::Named, request).await;
    let response = response.map_err(|error| match error {
        EgressError::Refused(refused) => Missing::for_good(format!("cannot be fetched: {refused}"), ""),
        other => Missing::for_now(format!("cannot be fetched: {other}"), "check the address"),
    })?;
    let status = response.status();
    if let (304, Some(before)) = (status.as_u16(), before) {
        return Ok(before.clone());
    }
    if status.is_redirection() {
        let to = response.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
        return Err(Missing::for_good(
            format!("redirects to {}", printable(to)),
            "write that address, if you trust it",
        ));
    }
    if !status.is_success() {
        let message = format!("answers with status {status}");
        let passing = status.is_server_error() || status.as_u16() == 429;
        let lasts = if passing { Lasts::ForNow } else { Lasts::ForGood };
        return Err(Missing { message, cure: "check the address".to_owned(), lasts });
    }
    let validator = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let body = match Limited::new(response.into_body(), most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Missing::for_good(
                format!("has more than {most} bytes"),
                "if that is a catalog, raise `limits.documents.catalog`",
            ));
        }
        Err(_) => return Err(Missing::for_now("broke off", "try again")),
    };
    let text =
        String::from_utf8(body.into()).map_err(|_| Missing::for_good("is not text", "check the address"))?;
    let asked = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Ok(Answer { text: Some(text), validator, asked, ..Answer::default() })
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

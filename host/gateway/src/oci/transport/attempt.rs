//! One attempt at an exchange: the login, once renewed when it is not accepted, and redirects of what only reads.

use http::header::{AUTHORIZATION, LOCATION, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use std::time::Duration;
use url::Url;

use super::{Answer, Message, Transport, Wanted, body, origin};
use crate::egress::{Body, EgressError};
use crate::oci::auth::Scope;
use crate::oci::error::OciError;

impl Transport {
    /// With the login that was accepted before, else with the one that the answer asks for.
    pub(in crate::oci) async fn attempt(
        &self,
        scope: &Scope,
        message: &Message,
        wanted: Wanted<'_>,
    ) -> Result<Answer, OciError> {
        let sent = self.accepted().header(scope);
        let answer = self.follow(scope, message, sent.as_ref(), wanted).await?;
        let registry = self.url(&scope.registry, "")?;
        if answer.status != StatusCode::UNAUTHORIZED || origin(&answer.url) != origin(&registry) {
            return Ok(answer);
        }
        self.accepted().forget(scope);
        let granted = self.answer(scope, &answer.headers).await?;
        let answer = self.follow(scope, message, Some(&granted.header), wanted).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.accepted().forget(scope);
        Err(granted.not_accepted(scope))
    }

    /// Sends it, and again wherever the answer says, if it only reads.
    async fn follow(
        &self,
        scope: &Scope,
        message: &Message,
        login: Option<&HeaderValue>,
        wanted: Wanted<'_>,
    ) -> Result<Answer, OciError> {
        let registry = origin(&self.url(&scope.registry, "")?);
        let mut message = message.clone();
        for _ in 0..=MOST_REDIRECTS {
            message.headers.remove(AUTHORIZATION);
            if let Some(login) = login.filter(|_| origin(&message.url) == registry) {
                message.headers.insert(AUTHORIZATION, login.clone());
            }
            let response = self.once(&scope.registry, &message).await?;
            let target = redirect(&response).filter(|_| message.only_reads());
            let Some(target) = target else {
                return self.read(&scope.registry, message, response, wanted).await;
            };
            message.url = self.target(&scope.registry, &message.url, &target)?;
        }
        Err(OciError::Odd {
            registry: scope.registry.clone(),
            what: format!("with more than {MOST_REDIRECTS} redirects"),
        })
    }

    /// Where a `Location` leads, if we go there.
    pub(in crate::oci) fn target(&self, registry: &str, from: &Url, location: &str) -> Result<Url, OciError> {
        let bad = |target: String, why: &str| OciError::BadTarget {
            registry: registry.to_owned(),
            target,
            why: why.to_owned(),
        };
        let url = from.join(location).map_err(|_| bad("another address".to_owned(), "it is not a URL"))?;
        let safe = url.scheme() == "https" || (url.scheme() == "http" && self.may_be_plain(registry, &url));
        if !safe || (from.scheme() == "https" && url.scheme() != "https") {
            return Err(bad(origin(&url), "only https is followed from a registry to elsewhere"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad(origin(&url), "an address with a login in it is not followed"));
        }
        Ok(url)
    }

    /// One request and its whole answer, as it is: no login, no redirects, no second attempt.
    pub(in crate::oci) async fn once_whole(
        &self,
        registry: &str,
        message: &Message,
        most: u64,
    ) -> Result<Answer, OciError> {
        let response = self.once(registry, message).await?;
        self.read(registry, message.clone(), response, Wanted::at_most("the answer", most)).await
    }

    async fn read(
        &self,
        registry: &str,
        message: Message,
        response: Response<Body>,
        wanted: Wanted<'_>,
    ) -> Result<Answer, OciError> {
        let (head, incoming) = response.into_parts();
        let reading = body::Reading { registry, idle: self.inner.patience.idle, wanted };
        let body = if message.method == http::Method::HEAD {
            bytes::Bytes::new()
        } else if head.status.is_success() {
            reading.whole(incoming).await?
        } else {
            // What is said of a failure is not used: it is the registry's text. Read, it frees the connection.
            reading.discarded(incoming).await
        };
        Ok(Answer { status: head.status, headers: head.headers, body, url: message.url })
    }

    async fn once(&self, registry: &str, message: &Message) -> Result<Response<Body>, OciError> {
        let mut request = Request::new(Full::new(message.body.clone()));
        let uri = message.url.as_str().parse();
        *request.uri_mut() = uri.map_err(|_| OciError::Odd {
            registry: registry.to_owned(),
            what: "an address that cannot be asked".to_owned(),
        })?;
        request.method_mut().clone_from(&message.method);
        request.headers_mut().clone_from(&message.headers);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let pieces = u32::try_from(message.body.len() / SLOWEST).unwrap_or(u32::MAX);
        let patience = self.inner.patience.head + Duration::from_secs(pieces.into());
        let sent = self.inner.egress.send(self.reach(registry, &message.url), request);
        match tokio::time::timeout(patience, sent).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.failure(registry, message, &error)),
            Err(_) => Err(OciError::TooSlow {
                registry: registry.to_owned(),
                what: "answer",
                seconds: patience.as_secs(),
            }),
        }
    }

    fn failure(&self, registry: &str, message: &Message, error: &EgressError) -> OciError {
        let registry = registry.to_owned();
        match error {
            EgressError::Refused(why) => {
                OciError::BadTarget { registry, target: origin(&message.url), why: why.to_string() }
            }
            EgressError::NotConnected(why) => OciError::Unreachable { registry, why: why.clone() },
            EgressError::Broken(_) => {
                OciError::Unreachable { registry, why: "the connection broke".to_owned() }
            }
        }
    }
}

/// Where a redirect leads.
fn redirect(response: &Response<Body>) -> Option<String> {
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    [301, 302, 303, 307, 308].contains(&status).then(|| location.to_owned())
}

const MOST_REDIRECTS: usize = 5;
/// Bytes a second below which an upload is not waited for.
const SLOWEST: usize = 64 << 10;
const AGENT: &str = concat!("wasmgate/", env!("CARGO_PKG_VERSION"));

//! One exchange with a registry: where it may go, how long it may take, and when it is tried again.
//!
//! A request that only reads follows redirects, at most five, each checked again; the login goes to the registry's own
//! origin and to no other, and https never becomes http. Bodies are read to the end or to a limit, never beyond. What can
//! be repeated without harm is, after a pause, when the registry is overloaded or the connection breaks.

mod attempt; // redirects and logins: one attempt
mod body; // reading with limits

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::auth::{Accepted, Scope};
use super::credentials::Credentials;
use super::error::OciError;
use crate::egress::{Egress, Reach};

/// How long registries are waited for.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For the head of an answer. A request with a body has a second more for every 64 KiB.
    pub head: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// For a whole pull, push or look-up.
    pub operation: Duration,
    /// Before each further attempt; their number is the number of further attempts. Up to a half is taken off at random.
    pub pauses: Vec<Duration>,
    /// The longest that a registry's `Retry-After` is obeyed.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(15),
            idle: Duration::from_secs(15),
            operation: Duration::from_secs(600),
            pauses: vec![Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)],
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// Exchanges messages with registries. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    egress: Egress,
    patience: Patience,
    insecure: Vec<String>,
    named: Vec<String>,
    credentials: Credentials,
    accepted: Accepted,
    largest_token: u64,
}

/// What is needed to make a [`Transport`].
pub(super) struct Routes {
    /// Spoken plain http with.
    pub(super) insecure: Vec<String>,
    /// Further hosts that may be at private addresses.
    pub(super) named: Vec<String>,
    pub(super) credentials: Credentials,
    /// The largest answer of a token service that is read, in bytes.
    pub(super) largest_token: u64,
}

/// A request without what the transport adds. Not to be printed: its body may be a login.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Message {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Whether it changes nothing, so that it may be redirected and repeated.
    fn only_reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

/// How much of a body is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// What it is, for errors.
    pub(super) what: &'a str,
    /// At most so many bytes.
    pub(super) most: u64,
    /// Exactly so many, when a manifest says so.
    pub(super) said: Option<u64>,
    /// Told how many bytes there are so far.
    pub(super) progress: Option<&'a (dyn Fn(u64) + Send + Sync)>,
}

impl<'a> Wanted<'a> {
    /// A body that is not known yet.
    pub(super) fn at_most(what: &'a str, most: u64) -> Self {
        Self { what, most, said: None, progress: None }
    }
}

/// Whether a failed request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempts {
    /// As often as the patience says.
    Several,
    /// Not.
    One,
}

/// An answer with its body. Not to be printed: it may be a token.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What answered, after redirects.
    pub(super) url: Url,
}

impl Transport {
    pub(super) fn new(egress: Egress, patience: Patience, routes: Routes) -> Self {
        let Routes { insecure, named, credentials, largest_token } = routes;
        let accepted = Accepted::default();
        let inner = Inner { egress, patience, insecure, named, credentials, accepted, largest_token };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.inner.patience
    }

    pub(super) fn largest_token(&self) -> u64 {
        self.inner.largest_token
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.inner.credentials
    }

    pub(super) fn accepted(&self) -> &Accepted {
        &self.inner.accepted
    }

    /// A URL of the registry's API.
    pub(super) fn url(&self, registry: &str, path: &str) -> Result<Url, OciError> {
        let host = if registry == super::reference::HUB { HUB_API } else { registry };
        let scheme = if self.is_plain(registry) { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{host}/v2/{path}")).map_err(|error| OciError::Odd {
            registry: registry.to_owned(),
            what: format!("nothing: its address is no URL ({error})"),
        })
    }

    /// Whether the registry is spoken plain http with: on this machine, or because the operator says so.
    fn is_plain(&self, registry: &str) -> bool {
        lists(&self.inner.insecure, registry) || is_loopback(host(registry))
    }

    /// Whether something that belongs to the registry may be plain http: on this machine when the registry is too, or
    /// because the operator says so.
    pub(super) fn may_be_plain(&self, registry: &str, url: &Url) -> bool {
        let there = url.host_str().unwrap_or_default();
        let here = is_loopback(host(registry)) && is_loopback(there);
        here || lists(&self.inner.insecure, &authority(url))
    }

    /// What the operator named may be anywhere; what a registry names is somebody else's word.
    pub(super) fn reach(&self, registry: &str, url: &Url) -> Reach {
        let there = authority(url);
        let same = url.host_str().is_some_and(|there| there == host(registry));
        let named = same || lists(&self.inner.insecure, &there) || lists(&self.inner.named, &there);
        if named { Reach::Named } else { Reach::Public }
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn ask(
        &self,
        scope: &Scope,
        message: &Message,
        wanted: Wanted<'_>,
        attempts: Attempts,
    ) -> Result<Answer, OciError> {
        self.repeated(scope, attempts, || self.attempt(scope, message, wanted)).await
    }

    /// Does again what may be done again, while the registry is overloaded or out of reach.
    pub(super) async fn repeated<F>(
        &self,
        scope: &Scope,
        attempts: Attempts,
        once: impl Fn() -> F + Send,
    ) -> Result<Answer, OciError>
    where
        F: Future<Output = Result<Answer, OciError>> + Send,
    {
        let pauses: &[Duration] = match attempts {
            Attempts::Several => &self.inner.patience.pauses,
            Attempts::One => &[],
        };
        for pause in pauses {
            let outcome = once().await;
            let asked = match &outcome {
                Ok(answer) if is_overloaded(answer.status) => retry_after(&answer.headers),
                Err(error) if error.is_unreachable() => None,
                _ => return outcome,
            };
            if asked.is_some_and(|asked| asked > self.inner.patience.longest_pause) {
                return outcome;
            }
            tracing::debug!(registry = scope.registry, "trying again");
            tokio::time::sleep(asked.unwrap_or_else(|| jittered(*pause))).await;
        }
        once().await
    }
}

/// 429 and what servers say when they or what is behind them fails.
fn is_overloaded(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// RFC 9110, 10.2.3; only the form in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Between a half and the whole of it, so that many clients do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let share = getrandom::u32().map_or(0, |random| random % 512);
    pause * (1024 - share) / 1024
}

/// Scheme, host and port: what may see a login of the same.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Host, and port where it is not the scheme's.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether a list of `host` and `host:port` has this one.
fn lists(list: &[String], authority: &str) -> bool {
    list.iter().any(|one| one == authority || one == host(authority))
}

/// A registry or authority without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// By name or address. `localhost` is this machine by RFC 6761; egress looks at where it leads all the same.
fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// Where the API of Docker Hub is.
const HUB_API: &str = "registry-1.docker.io";

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(insecure: &[&str], named: &[&str]) -> Transport {
        let routes = Routes {
            insecure: insecure.iter().map(ToString::to_string).collect(),
            named: named.iter().map(ToString::to_string).collect(),
            credentials: Credentials::new(None),
            largest_token: 1 << 10,
        };
        Transport::new(Egress::new(), Patience::default(), routes)
    }

    #[test]
    fn https_but_for_this_machine_and_what_the_operator_says() {
        let check = |registry: &str, expected: &str| {
            let url = transport(&["plain.example", "ported.example:5000"], &[]).url(registry, "a");
            assert_eq!(url.unwrap().as_str(), expected);
        };
        check("docker.io", "https://registry-1.docker.io/v2/a");
        check("ghcr.io", "https://ghcr.io/v2/a");
        check("localhost:5000", "http://localhost:5000/v2/a");
        check("127.3.2.1", "http://127.3.2.1/v2/a");
        check("[::1]:5000", "http://[::1]:5000/v2/a");
        check("localhost.example", "https://localhost.example/v2/a");
        check("10.0.0.1:5000", "https://10.0.0.1:5000/v2/a");
        check("plain.example:81", "http://plain.example:81/v2/a");
        check("ported.example:5000", "http://ported.example:5000/v2/a");
        check("ported.example:5001", "https://ported.example:5001/v2/a");
    }

    #[test]
    fn only_what_the_operator_named_may_be_private() {
        let transport = transport(&["plain.example"], &["login.example"]);
        let check = |registry: &str, url: &str, expected: Reach| {
            assert_eq!(transport.reach(registry, &Url::parse(url).unwrap()), expected, "{registry} {url}");
        };
        check("r.example:5000", "https://r.example:5000/v2/", Reach::Named);
        check("r.example:5000", "https://r.example/token", Reach::Named);
        check("r.example", "https://blobs.r.example/", Reach::Public);
        check("r.example", "https://login.example/token", Reach::Named);
        check("r.example", "http://plain.example:90/", Reach::Named);
        check("docker.io", "https://registry-1.docker.io/v2/", Reach::Public);
        check("[::1]:5000", "http://[::1]:5001/", Reach::Named);
    }

    #[test]
    fn a_pause_is_between_half_and_whole() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_millis(1000));
            assert!((500..=1000).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}

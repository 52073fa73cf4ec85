//! What a catalog source is asked and what it answers. See [`Source`](crate::Source).

use crate::Refusal;
use crate::http::Response;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What the operator wrote, unchanged. `data:application/json;base64,...` is a document that the gateway already has.
    pub reference: String,
    /// [`Page::next`] of the page before; none for the first.
    pub cursor: Option<String>,
    /// Only what changed since this moment (RFC 3339), where the source can tell.
    pub since: Option<String>,
    /// [`Page::validator`] of an earlier answer to the same question; [`Failure::NotModified`] may be the answer to it.
    pub validator: Option<String>,
    /// Servers wanted in this page at most.
    pub limit: u32,
}

impl Request {
    /// The first page of a reference.
    pub fn new(reference: &str) -> Self {
        Self { reference: reference.to_owned(), limit: 100, ..Self::default() }
    }
}

/// Some servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What can be imported; 1000 at most.
    pub servers: Vec<Server>,
    /// What cannot.
    pub refused: Vec<Refused>,
    /// Names of servers that are no longer there.
    pub removed: Vec<String>,
    /// Whether this is only what changed since [`Request::since`]; otherwise it is everything.
    pub partial: bool,
    /// What to ask the next page with; none at the end.
    pub next: Option<String>,
    /// For [`Request::validator`].
    pub validator: Option<String>,
}

/// One server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// 1 to 128 letters, digits, `.`, `_` or `-`, a letter or digit first.
    pub name: String,
    /// Its version; else empty.
    pub version: String,
    /// The server as an entry of a catalog: JSON text, an object. It says nothing that changes while the server does not.
    pub document: String,
    /// Where it comes from, for people: a URL.
    pub provenance: String,
    /// What people should know.
    pub notes: Vec<String>,
}

impl Server {
    /// A server without a version.
    pub fn new(name: impl Into<String>, document: impl Into<String>) -> Self {
        Self { name: name.into(), document: document.into(), ..Self::default() }
    }

    /// Says which version this is.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Says where it comes from.
    #[must_use]
    pub fn provenance(mut self, url: impl Into<String>) -> Self {
        self.provenance = url.into();
        self
    }

    /// Adds what people should know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// One server that cannot be imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Its name, as the source spells it.
    pub name: String,
    /// Its version; else empty.
    pub version: String,
    /// Why, in a sentence that a person understands.
    pub reason: String,
}

impl Refused {
    /// A refusal of a server without a version.
    pub fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), version: String::new(), reason: reason.into() }
    }
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// What [`Request::validator`] stands for is still right.
    NotModified,
    /// There is nothing of this name; what may help.
    NotFound(String),
    /// The reference is not of a form that this source understands; what it should be.
    Unsupported(String),
    /// Credentials are missing or wrong.
    Unauthorized(String),
    /// Too busy; milliseconds to wait.
    RetryAfterMs(u64),
    /// What came back makes no sense.
    Invalid(String),
    /// Anything else.
    Failed(String),
}

impl Failure {
    /// What an answer over HTTP means that is no success: `404`, `401`, `429` with its `retry-after`, ... None for a success.
    pub fn of(response: &Response) -> Option<Self> {
        let status = response.status;
        Some(match status {
            200..=299 => return None,
            304 => Self::NotModified,
            401 | 403 => Self::Unauthorized(format!("the server answered {status}")),
            404 | 410 => Self::NotFound(format!("the server answered {status}")),
            429 | 503 => {
                match response.header("retry-after").and_then(|seconds| seconds.trim().parse::<u64>().ok()) {
                    Some(seconds) => Self::RetryAfterMs(seconds.saturating_mul(1000)),
                    None => Self::RetryAfterMs(BUSY_MS),
                }
            }
            301 | 302 | 303 | 307 | 308 => {
                let to = response.header("location").unwrap_or("nowhere");
                Self::Failed(format!("the server answered {status} and points to {to}: write that instead"))
            }
            _ => Self::Failed(format!("the server answered {status}")),
        })
    }
}

/// How long to wait for a server that does not say.
const BUSY_MS: u64 = 5_000;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotModified => f.write_str("nothing has changed"),
            Self::NotFound(words) => write!(f, "not found: {words}"),
            Self::Unsupported(words) => write!(f, "not a reference that this source understands: {words}"),
            Self::Unauthorized(words) => write!(f, "not authorized: {words}"),
            Self::RetryAfterMs(ms) => write!(f, "too busy, wait for {ms} ms"),
            Self::Invalid(words) => write!(f, "what came back makes no sense: {words}"),
            Self::Failed(words) => write!(f, "failed: {words}"),
        }
    }
}

impl std::error::Error for Failure {}

/// So that `request.send()?` says what is missing.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.to_string())
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, headers: &[(&str, &str)], expected: Option<Failure>) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(Failure::of(&Response { status, headers, body: Vec::new() }), expected, "{status}");
    }

    #[test]
    fn a_status_says_what_went_wrong() {
        check(200, &[], None);
        check(304, &[], Some(Failure::NotModified));
        check(404, &[], Some(Failure::NotFound("the server answered 404".into())));
        check(401, &[], Some(Failure::Unauthorized("the server answered 401".into())));
        check(429, &[("retry-after", "7")], Some(Failure::RetryAfterMs(7_000)));
        check(503, &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")], Some(Failure::RetryAfterMs(BUSY_MS)));
        check(
            301,
            &[("location", "https://new.example/x")],
            Some(Failure::Failed(
                "the server answered 301 and points to https://new.example/x: write that instead".into(),
            )),
        );
        check(500, &[], Some(Failure::Failed("the server answered 500".into())));
    }
}

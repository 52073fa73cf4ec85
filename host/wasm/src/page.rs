//! What a catalog source is asked and what it answers, in the gateway's types. What comes back is data from an untrusted
//! program that read untrusted documents: counted, bounded, fit to be printed, and JSON where it says JSON. What is wrong
//! with one server refuses that one; what is wrong with the page fails the fetch.
//!
//! Not here: what a server's document means. That is checked like any other entry of a catalog.

use std::time::Duration;

use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

use crate::bindings::source;
use crate::text::printable;

/// The most servers one page can have; as many refused ones and removed names.
pub const MAX_PAGE_SERVERS: usize = 1000;

/// Notes on one server.
const MAX_NOTES: usize = 32;

/// Bytes of a note, a reason, an address and the words of a failure.
const MAX_WORDS: usize = 1 << 10;

/// Bytes of a version, and of a name as the source spells it.
const MAX_NAME: usize = 255;

/// Bytes of one server's document.
const MAX_DOCUMENT: usize = 1 << 20;

/// Bytes of what a source hands out to be handed back.
const MAX_TOKEN: usize = 4 << 10;

/// What is asked of a catalog source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceRequest {
    /// What the operator wrote, unchanged; or `data:application/json;base64,...`, a document that is already there.
    pub reference: String,
    /// [`SourcePage::next`] of the page before; none for the first.
    pub cursor: Option<String>,
    /// Only what changed since this moment (RFC 3339), where the source can tell.
    pub since: Option<String>,
    /// [`SourcePage::validator`] of an earlier answer to the same question.
    pub validator: Option<String>,
    /// Servers wanted in this page, [`MAX_PAGE_SERVERS`] at most. A source may answer more than are wanted.
    pub limit: u32,
}

impl SourceRequest {
    /// The first page of a reference.
    pub fn new(reference: impl Into<String>) -> Self {
        Self { reference: reference.into(), limit: 100, ..Self::default() }
    }

    /// As the guest is told.
    pub(crate) fn raw(&self) -> source::Request {
        let most = u32::try_from(MAX_PAGE_SERVERS).unwrap_or(u32::MAX);
        source::Request {
            reference: self.reference.clone(),
            cursor: self.cursor.clone(),
            since: self.since.clone(),
            validator: self.validator.clone(),
            limit: self.limit.clamp(1, most),
        }
    }
}

/// Some servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourcePage {
    /// In the source's order. One name may occur several times, with several versions.
    pub servers: Vec<SourceServer>,
    /// What cannot be imported: by the source's own word, and servers that it described in a way that cannot be right.
    pub refused: Vec<SourceRefused>,
    /// Names of servers that are no longer there.
    pub removed: Vec<ServerName>,
    /// Whether this is only what changed since [`SourceRequest::since`].
    pub partial: bool,
    /// What to ask the next page with; none at the end.
    pub next: Option<String>,
    /// For [`SourceRequest::validator`]; none when the source has nothing of that kind.
    pub validator: Option<String>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceServer {
    /// Its name.
    pub name: ServerName,
    /// Its version; empty where it has none.
    pub version: String,
    /// The server as an entry of a catalog: an object, not checked any further.
    pub document: Json,
    /// Where it comes from, for people.
    pub provenance: String,
    /// What people should know.
    pub notes: Vec<String>,
}

/// One server that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRefused {
    /// Its name, as the source spells it.
    pub name: String,
    /// Its version; else empty.
    pub version: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// Why there is no page. The words are the source's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceFailure {
    /// What [`SourceRequest::validator`] stands for is still right.
    #[error("nothing has changed")]
    NotModified,
    /// There is nothing of this name.
    #[error("not found: {0}")]
    NotFound(String),
    /// The reference is not of a form that this source understands.
    #[error("not a reference that this source understands: {0}")]
    Unsupported(String),
    /// Credentials are missing or wrong.
    #[error("not authorized: {0}")]
    Unauthorized(String),
    /// Too busy for so long.
    #[error("too busy, wait for {} ms", .0.as_millis())]
    RetryAfter(Duration),
    /// What came back to the source makes no sense.
    #[error("what came back makes no sense: {0}")]
    Invalid(String),
    /// Anything else: it trapped, took too long, answered nonsense.
    #[error("failed: {0}")]
    Failed(String),
}

/// What a guest answered to `request`, checked.
pub(crate) fn checked(
    answer: Result<source::Page, source::Failure>,
    request: &SourceRequest,
) -> Result<SourcePage, SourceFailure> {
    let raw = answer.map_err(|raw| failure(raw, request))?;
    for (what, count) in
        [("servers", raw.servers.len()), ("refused", raw.refused.len()), ("removed", raw.removed.len())]
    {
        if count > MAX_PAGE_SERVERS {
            return Err(SourceFailure::Failed(format!(
                "`{what}` has {count} entries, at most {MAX_PAGE_SERVERS} are read"
            )));
        }
    }
    if raw.next.is_some() && raw.next == request.cursor {
        return Err(SourceFailure::Failed("`next` is the page that it was asked for".to_owned()));
    }
    let mut page = SourcePage {
        next: token("next", raw.next)?,
        validator: token("validator", raw.validator)?,
        refused: raw.refused.into_iter().map(refused).collect(),
        partial: raw.partial && request.since.is_some(),
        removed: raw.removed.iter().filter_map(|name| ServerName::new(name).ok()).collect(),
        ..SourcePage::default()
    };
    for raw in raw.servers {
        match server(raw) {
            Ok(server) => page.servers.push(server),
            Err(refused) => page.refused.push(refused),
        }
    }
    Ok(page)
}

/// Bytes of an answer.
pub(crate) fn bytes(answer: &Result<source::Page, source::Failure>) -> usize {
    use source::Failure as F;
    let page = match answer {
        Ok(page) => page,
        Err(F::NotModified | F::RetryAfterMs(_)) => return 0,
        Err(
            F::NotFound(words)
            | F::Unsupported(words)
            | F::Unauthorized(words)
            | F::Invalid(words)
            | F::Failed(words),
        ) => return words.len(),
    };
    let server = |s: &source::Server| {
        let notes = s.notes.iter().map(String::len).sum::<usize>();
        s.name.len() + s.version.len() + s.document.len() + s.provenance.len() + notes
    };
    let refused = |r: &source::Refused| r.name.len() + r.version.len() + r.reason.len();
    let tokens = page.next.iter().chain(&page.validator).map(String::len);
    page.servers.iter().map(server).sum::<usize>()
        + page.refused.iter().map(refused).sum::<usize>()
        + page.removed.iter().map(String::len).chain(tokens).sum::<usize>()
}

/// One server, or why it is none.
fn server(raw: source::Server) -> Result<SourceServer, SourceRefused> {
    let source::Server { name, version, document, provenance, notes } = raw;
    let because =
        |reason: String| refused(source::Refused { name: name.clone(), version: version.clone(), reason });
    let checked = ServerName::new(&name).map_err(|_| because(bad_name()))?;
    if version.len() > MAX_NAME || printable(&version, MAX_NAME) != version {
        return Err(because(format!("its version is longer than {MAX_NAME} bytes or not plain text")));
    }
    if document.len() > MAX_DOCUMENT {
        return Err(because(format!(
            "its document has {} bytes, at most {MAX_DOCUMENT} are read",
            document.len()
        )));
    }
    let document =
        Json::parse(document).map_err(|error| because(format!("its document is not JSON: {error}")))?;
    if !document.is_object() {
        return Err(because("its document is not a JSON object".to_owned()));
    }
    Ok(SourceServer {
        name: checked,
        version,
        document,
        provenance: printable(&provenance, MAX_WORDS),
        notes: noted(&notes),
    })
}

fn bad_name() -> String {
    format!(
        "its name is none for a server: 1 to {} letters, digits, `.`, `_` or `-`, a letter or digit first",
        ServerName::MAX
    )
}

/// The notes; where there are too many, the first ones and how many more there were.
fn noted(notes: &[String]) -> Vec<String> {
    let shown = if notes.len() > MAX_NOTES { MAX_NOTES - 1 } else { notes.len() };
    let mut kept: Vec<_> = notes.iter().take(shown).map(|note| printable(note, MAX_WORDS)).collect();
    if notes.len() > shown {
        kept.push(format!("and {} more notes", notes.len() - shown));
    }
    kept
}

fn refused(raw: source::Refused) -> SourceRefused {
    let reason = if raw.reason.trim().is_empty() { "no reason is given" } else { &raw.reason };
    SourceRefused {
        name: printable(&raw.name, MAX_NAME),
        version: printable(&raw.version, MAX_NAME),
        reason: printable(reason, MAX_WORDS),
    }
}

/// What is handed back later, as it is.
fn token(what: &str, token: Option<String>) -> Result<Option<String>, SourceFailure> {
    match token {
        Some(token) if token.len() > MAX_TOKEN => Err(SourceFailure::Failed(format!(
            "`{what}` has {} bytes, at most {MAX_TOKEN} are kept",
            token.len()
        ))),
        token => Ok(token),
    }
}

fn failure(raw: source::Failure, request: &SourceRequest) -> SourceFailure {
    use source::Failure as F;
    let words = |words: &str| printable(words, MAX_WORDS);
    match raw {
        F::NotModified if request.validator.is_none() => SourceFailure::Failed(
            "it says that nothing changed, and there is nothing that could have".to_owned(),
        ),
        F::NotModified => SourceFailure::NotModified,
        F::NotFound(what) => SourceFailure::NotFound(words(&what)),
        F::Unsupported(what) => SourceFailure::Unsupported(words(&what)),
        F::Unauthorized(what) => SourceFailure::Unauthorized(words(&what)),
        F::RetryAfterMs(ms) => SourceFailure::RetryAfter(Duration::from_millis(ms)),
        F::Invalid(what) => SourceFailure::Invalid(words(&what)),
        F::Failed(what) => SourceFailure::Failed(words(&what)),
    }
}

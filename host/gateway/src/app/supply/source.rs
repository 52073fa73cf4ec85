//! Asking a catalog source: every page of a reference, with an end to patience, and an update laid over what was there.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};
use wasmgate_wasm::{CatalogSource, HttpGrant, Origin, SourceFailure, SourcePage, SourceRequest};

use super::kept::{Answer, Held};
use crate::catalog::plain_name;
use crate::config::Missing;

/// Pages and servers of one reference: the whole official registry has some ten thousand.
const MOST_PAGES: usize = 1000;
const MOST_SERVERS: usize = 50_000;
/// Servers that a page is asked for.
const PAGE: u32 = 100;
/// For all pages of a reference.
const PATIENCE: Duration = Duration::from_secs(600);
/// How old the last whole answer may be for a source to be asked only what changed since, in seconds.
const MEMORY: i64 = 24 * 3600;
/// How far back changes are asked for beyond the last answer, in seconds.
const OVERLAP: i64 = 3600;
/// How often and how long a source may say that it is too busy.
const MOST_WAITS: u32 = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Everything a reference stands for, of at most so many bytes. A source that can tell what changed since the answer
/// `before` says only that, and it is laid over that answer; once a day everything is asked for, because nothing is gone
/// without a trace for longer.
pub(super) async fn fetch(
    source: &CatalogSource,
    (reference, most): (&str, usize),
    before: Option<&Answer>,
) -> Result<Answer, Missing> {
    let now = Timestamp::now();
    let grants = origins(reference);
    // Who has an answer already does not wait until a busy source has a better one.
    let waits = if before.is_some() { MOST_WAITS } else { 0 };
    let mut asking = Asking { source, grants: &grants, deadline: Instant::now() + PATIENCE, waits };
    let mut request = SourceRequest { limit: PAGE, ..SourceRequest::new(reference) };
    match before.and_then(|before| before.validator.clone()) {
        Some(validator) => request.validator = Some(validator),
        None => request.since = before.and_then(|before| since(before, now)),
    }
    let mut page = match (asking.page(&request).await, before) {
        (Err(SourceFailure::NotModified), Some(before)) => return Ok(before.clone()),
        (page, _) => page.map_err(words)?,
    };
    request.validator = None;
    let mut answer = match before {
        Some(before) if page.partial => before.clone(),
        _ => Answer { full: written(now), ..Answer::default() },
    };
    answer.asked = written(now);
    // What stands for the first of several pages does not stand for the others.
    answer.validator = page.validator.take().filter(|_| page.next.is_none() && !page.partial);
    let mut bytes = 0;
    for _ in 0..MOST_PAGES {
        let next = page.next.take();
        bytes += add(&mut answer, page);
        if bytes > most || answer.entries.len() > MOST_SERVERS {
            return Err(too_much(most));
        }
        if next.is_none() {
            return Ok(answer);
        }
        request.cursor = next;
        page = asking.page(&request).await.map_err(words)?;
    }
    Err(too_much(most))
}

/// From when on changes are asked for: an hour before the last answer, because clocks differ; not at all when everything was
/// last asked for too long ago.
fn since(before: &Answer, now: Timestamp) -> Option<String> {
    let (asked, full) = (before.asked.parse::<Timestamp>().ok()?, before.full.parse::<Timestamp>().ok()?);
    let age = now.as_second() - full.as_second();
    let from = Timestamp::from_second(asked.as_second() - OVERLAP).ok()?;
    (0..MEMORY).contains(&age).then(|| written(from))
}

fn written(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The first page alone.
pub(super) async fn first_page(source: &CatalogSource, reference: &str) -> Result<SourcePage, Missing> {
    let grants = origins(reference);
    let mut asking = Asking { source, grants: &grants, deadline: Instant::now() + PATIENCE, waits: 0 };
    asking.page(&SourceRequest { limit: PAGE, ..SourceRequest::new(reference) }).await.map_err(words)
}

/// Puts a page into an answer and says how many bytes it came to. What is said last of a server counts.
fn add(answer: &mut Answer, page: SourcePage) -> usize {
    let mut bytes = 0;
    for refused in page.refused {
        bytes += refused.reason.len();
        let name = plain_name(&refused.name);
        answer.entries.remove(&name);
        answer.refused.insert(name, refused.reason);
    }
    for server in page.servers {
        let held = Held { document: server.document.as_str().to_owned(), notes: server.notes };
        bytes += held.document.len() + held.notes.iter().map(String::len).sum::<usize>();
        answer.refused.remove(server.name.as_str());
        answer.entries.insert(server.name.as_str().to_owned(), held);
    }
    for name in page.removed {
        answer.entries.remove(name.as_str());
        answer.refused.remove(name.as_str());
    }
    bytes
}

/// Pages of one source, one after the other.
struct Asking<'a> {
    source: &'a CatalogSource,
    grants: &'a [HttpGrant],
    deadline: Instant,
    waits: u32,
}

impl Asking<'_> {
    /// One page; a source that is too busy is asked again.
    async fn page(&mut self, request: &SourceRequest) -> Result<SourcePage, SourceFailure> {
        loop {
            let asked = timeout_at(self.deadline, self.source.fetch(request.clone(), self.grants)).await;
            let asked =
                asked.map_err(|_| SourceFailure::Failed("took too long for all its pages".to_owned()))?;
            match asked {
                Err(SourceFailure::RetryAfter(wait)) if self.waits < MOST_WAITS && wait <= LONGEST_WAIT => {
                    self.waits += 1;
                    sleep(wait).await;
                }
                other => return other,
            }
        }
    }
}

/// What the operator's own words open: the origin of the reference, and its https twin.
fn origins(reference: &str) -> Vec<HttpGrant> {
    let Ok(url) = url::Url::parse(reference) else { return Vec::new() };
    let mut secure = url.clone();
    let twin = secure.set_scheme("https").is_ok().then(|| Origin::of(&secure)).flatten();
    let grant = |origin| HttpGrant { origin, private: true };
    let own = Origin::of(&url);
    let twin = twin.filter(|twin| Some(twin) != own.as_ref());
    own.into_iter().chain(twin).map(grant).collect()
}

/// A failure in words for whoever wrote the reference.
fn words(failure: SourceFailure) -> Missing {
    match failure {
        SourceFailure::NotFound(words) => Missing::for_good(format!("is not there: {words}"), ""),
        SourceFailure::Unsupported(words) => Missing::for_good(format!("cannot be read: {words}"), ""),
        SourceFailure::Unauthorized(words) => {
            let cure = "let the source send a secret: `plugins.<name>.grants.secrets`";
            Missing::for_good(format!("asks for a login: {words}"), cure)
        }
        SourceFailure::RetryAfter(wait) => {
            let message = format!("is too busy for {} s", wait.as_secs().max(1));
            Missing::for_now(message, "try again later")
        }
        SourceFailure::Invalid(words) => Missing::for_now(format!("makes no sense: {words}"), ""),
        SourceFailure::Failed(words) => Missing::for_now(format!("could not be fetched: {words}"), ""),
        SourceFailure::NotModified => Missing::for_now("says that nothing has changed, and is new", ""),
    }
}

fn too_much(most: usize) -> Missing {
    let message =
        format!("is too much: more than {MOST_PAGES} pages, {MOST_SERVERS} servers or {most} bytes");
    Missing::for_good(message, "name a part of it, or raise `limits.documents.catalog`")
}

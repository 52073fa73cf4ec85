//! A catalog source that does what the reference says: `test://pages`, `test://http/URL`, and worse. Only for tests.

use std::sync::atomic::{AtomicU32, Ordering};

use wasmgate_plugin::http::Request as Get;
use wasmgate_plugin::kv::{self, Scope};
use wasmgate_plugin::source::{Failure, Page, Refused, Request, Server};
use wasmgate_plugin::{Config, Descriptor, Problem, Source, log};

/// What to do while it is asked for its claims, from the configuration.
pub struct Fixture(String);

impl Source for Fixture {
    fn describe() -> Descriptor {
        Descriptor::new("source", "1.0.0", "Serves what the reference says.").config_schema(
            r#"{"type":"object","properties":{"claims":{"type":"string"}},"additionalProperties":false}"#,
        )
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        match config.text().split('"').nth(3).unwrap_or_default() {
            "refuse" => Err(vec![Problem::new("/claims", "is refused")]),
            what => Ok(Self(what.to_owned())),
        }
    }

    fn claims(&self) -> Vec<String> {
        match &*self.0 {
            "spin" => spin(),
            "trap" => overrun(),
            "many" => vec!["x".to_owned(); 65],
            "long" => vec!["x".repeat(1025)],
            "escape" => vec!["test://\u{1b}[2J".to_owned()],
            "none" => Vec::new(),
            _ => vec!["test://*".to_owned(), "https://*.example/servers".to_owned()],
        }
    }

    fn fetch(&self, request: &Request) -> Result<Page, Failure> {
        let what = request.reference.trim_start_matches("test://");
        let (what, rest) = what.split_once('/').unwrap_or((what, ""));
        match what {
            "pages" => Ok(numbered(request)),
            "http" => http(rest),
            "kv" => counted(),
            "scopes" => scopes(),
            "asked" => Ok(one(&format!("{request:?}"))),
            "memory" => Ok(one(&format!("call {} of this memory", count()))),
            "config" => Ok(one(&self.0)),
            "log" => {
                log::info("fetched", &[("from", rest)]);
                Ok(Page::default())
            }
            "failure" => Err(failure(rest)),
            _ => misbehave(what, request),
        }
    }
}

wasmgate_plugin::export_source!(Fixture);

/// Two pages of two servers, a refusal and a name that is gone.
fn numbered(request: &Request) -> Page {
    let second = request.cursor.as_deref() == Some("2");
    let numbers = if second { 3..=4 } else { 1..=2 };
    let server = |number: i32| {
        Server::new(format!("server-{number}"), format!(r#"{{"image":"acme/{number}"}}"#))
            .version("1.0")
            .provenance(format!("https://acme.example/{number}"))
            .note("tested")
    };
    Page {
        partial: request.since.is_some(),
        servers: numbers.map(server).collect(),
        refused: vec![Refused::new("other/thing", "it has no package")],
        removed: vec!["gone".to_owned()],
        next: (!second).then(|| "2".to_owned()),
        validator: Some("v1".to_owned()),
    }
}

/// A page with one server, which says `what`.
fn one(what: &str) -> Page {
    let escaped = what.replace('\\', r"\\").replace('"', "\\\"");
    page(vec![Server::new("one", format!(r#"{{"description":"{escaped}"}}"#))])
}

fn page(servers: Vec<Server>) -> Page {
    Page { servers, ..Page::default() }
}

fn http(url: &str) -> Result<Page, Failure> {
    let response = Get::new("GET", url).send()?;
    match Failure::of(&response) {
        Some(failure) => Err(failure),
        None => Ok(one(&String::from_utf8_lossy(&response.body))),
    }
}

fn counted() -> Result<Page, Failure> {
    Ok(one(&kv::add(Scope::Global, "fetches", 1, None)?.to_string()))
}

fn scopes() -> Result<Page, Failure> {
    let said = [Scope::Session, Scope::Principal].map(|scope| match kv::get(scope, "k") {
        Ok(_) => "there".to_owned(),
        Err(refusal) => refusal.to_string(),
    });
    Ok(one(&said.join("; ")))
}

fn failure(which: &str) -> Failure {
    let words = || "in its own words\u{1b}[2J".to_owned();
    match which {
        "not-modified" => Failure::NotModified,
        "not-found" => Failure::NotFound(words()),
        "unsupported" => Failure::Unsupported(words()),
        "unauthorized" => Failure::Unauthorized(words()),
        "retry" => Failure::RetryAfterMs(1_500),
        "invalid" => Failure::Invalid(words()),
        _ => Failure::Failed(words()),
    }
}

/// What no source should do.
fn misbehave(what: &str, request: &Request) -> Result<Page, Failure> {
    let plain = || Server::new("plain", "{}");
    Ok(match what {
        "spin" => spin(),
        "trap" => overrun(),
        "grow" => grow(),
        "doze" => {
            std::thread::sleep(std::time::Duration::from_secs(3600));
            Page::default()
        }
        "message" => message(),
        "million" => page(vec![Server::new("a", "{}"); 1_000_000]),
        "thousand-and-one" => page(vec![plain(); 1_001]),
        "removed-flood" => Page { removed: vec!["a".to_owned(); 1_001], ..Page::default() },
        "huge" => page(vec![Server::new("a", "x".repeat(40 << 20))]),
        "heavy" => page(vec![plain().note("x".repeat(900 << 10)); 20]),
        "roomy" => page(vec![Server::new("a", format!(r#"{{"a":"{}"}}"#, "x".repeat(900 << 10))); 12]),
        "same-page" => Page { next: request.cursor.clone(), ..Page::default() },
        "long-next" => Page { next: Some("x".repeat(4097)), ..Page::default() },
        "wrong" => wrong(),
        _ => return Err(Failure::Unsupported(format!("nothing is known of {what}"))),
    })
}

/// Servers that are none, among one that is.
fn wrong() -> Page {
    let noisy = |server: Server| server.note("two\nlines").provenance("https://a.example/\u{202e}x");
    let mut notes = noisy(Server::new("noisy", "{}"));
    notes.notes.extend((0..100).map(|number| format!("note {number} {}", "x".repeat(2000))));
    let servers = vec![
        Server::new("not-json", "{"),
        Server::new("no-object", "[1]"),
        Server::new("twice", r#"{"a":1,"a":2}"#),
        Server::new("large", format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20))),
        Server::new("a/b\u{7}", "{}"),
        Server::new("versioned", "{}").version("1\n2"),
        notes,
    ];
    let refused = vec![Refused::new("r".repeat(300), ""), Refused::new("\u{1b}[2J", "be\u{7}cause")];
    Page { servers, refused, removed: vec!["no name".to_owned(), "gone".to_owned()], ..Page::default() }
}

fn count() -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn grow() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

#[expect(clippy::indexing_slicing, reason = "the panic is the point")]
fn overrun() -> ! {
    let empty: Vec<u8> = std::hint::black_box(Vec::new());
    std::process::exit(empty[1].into());
}

/// Reads a message where there is none.
fn message() -> Page {
    #[cfg(target_arch = "wasm32")]
    wasmgate_plugin::guest::imports::wasmgate::plugin::messages::size(1);
    Page::default()
}

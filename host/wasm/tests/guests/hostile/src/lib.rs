//! A validator that misbehaves the way its configuration says: `{"do": "loop"}`. Only for tests.

use std::sync::atomic::{AtomicU32, Ordering};

use wasmgate_plugin::{Call, Config, Descriptor, Finding, Hook, Interceptor, Isolation, Problem, log};

/// What to do, from the configuration.
pub struct Hostile(String);

impl Interceptor for Hostile {
    fn describe() -> Descriptor {
        Descriptor::new("hostile", "1.0.0", "Misbehaves on demand.")
            .isolation(Isolation::Pooled)
            .hook(Hook::validate(&["tools/call"]).request().response())
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        CONFIGURED.fetch_add(1, Ordering::Relaxed);
        match config.text().split('"').nth(3).unwrap_or("pass") {
            "refuse" => Err(vec![Problem::new("/do", "is refused")]),
            "spin-in-configure" => spin(),
            what => Ok(Self(what.to_owned())),
        }
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        match call.get_string("/do").as_deref().unwrap_or(&self.0) {
            "find" => return Ok(vec![Finding::error("bad\nword \u{202e}").at("/arguments/q")]),
            "count" => return Ok(vec![Finding::info(count())]),
            "count-and-fail" => return Err(count()),
            "count-configured" => {
                let times = CONFIGURED.load(Ordering::Relaxed);
                return Ok(vec![Finding::info(format!("configured {times} times"))]);
            }
            "fail" => return Err("broken\u{1b}[31m".into()),
            "keep-memory" => std::mem::forget(std::hint::black_box(vec![1_u8; 1 << 20])),
            "note" => return Ok(vec![Finding::info(note(call))]),
            "attributes" => return Ok(vec![Finding::info(attributes(call))]),
            "spin" => spin(),
            "spin-in-host" => spin_in_host(call),
            "grow" => grow(),
            "recurse" => drop(recurse(1)),
            "overrun" => overrun(),
            "exit" => std::process::exit(3),
            "doze" => std::thread::sleep(std::time::Duration::from_secs(3600)),
            "flood-log" => (0..1_000).for_each(|_| log::info("again and again", &[("and", "again")])),
            "flood-log-million" => {
                (0..1_000_000).for_each(|_| log::info("again and again", &[("and", "again")]));
            }
            "flood-output" => (0..500).for_each(|_| flood()),
            "flood-findings" => return Ok(vec![Finding::info("x".repeat(3000)); 400]),
            "huge-text" => return Err("x".repeat(30 << 20)),
            "stale" => stale(),
            "note-of" => call.put_note(&call.get("/note").unwrap_or_default()),
            "bad-note" => call.put_note("{"),
            "huge-note" => call.put_note(&format!("\"{}\"", "x".repeat(2 << 20))),
            "files" => return Ok(vec![Finding::info(files())]),
            _ => {}
        }
        Ok(Vec::new())
    }
}

wasmgate_plugin::export!(Hostile);

static CONFIGURED: AtomicU32 = AtomicU32::new(0);

/// How often this memory was used.
fn count() -> String {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    format!("call {} of this memory", CALLS.fetch_add(1, Ordering::Relaxed) + 1)
}

fn note(call: &Call<'_>) -> String {
    let before = call.note().unwrap_or_default();
    call.put_note("\"from before\"");
    before
}

fn attributes(call: &Call<'_>) -> String {
    let shown = |name| call.attr(name).unwrap_or_else(|| "nothing".to_owned());
    format!("{} {} {}", shown("client.name"), shown("request.arguments"), shown("unheard.of"))
}

fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn spin_in_host(call: &Call<'_>) {
    loop {
        std::hint::black_box(call.strings("", 1_000_000));
    }
}

fn grow() {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

fn recurse(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 64]);
    if n == 0 { 0 } else { recurse(n + 1) + frame.iter().sum::<u64>() }
}

#[expect(clippy::indexing_slicing, reason = "the panic is the point")]
fn overrun() {
    let empty: Vec<u8> = std::hint::black_box(Vec::new());
    std::hint::black_box(empty[1]);
}

#[expect(clippy::print_stderr, clippy::print_stdout, reason = "the output is the point")]
fn flood() {
    println!("to standard output, again and again");
    eprintln!("to standard error, again and again");
}

fn stale() {
    #[cfg(target_arch = "wasm32")]
    wasmgate_plugin::guest::imports::wasmgate::plugin::messages::size(0);
}

/// What of the outside can be reached.
#[expect(clippy::disallowed_methods, reason = "to see that there is nothing")]
fn files() -> String {
    let file = std::fs::read("/etc/passwd").is_ok();
    let dir = std::fs::read_dir("/").is_ok();
    let variables = std::env::vars().count();
    let arguments = std::env::args().count();
    format!("{file} {dir} {variables} {arguments}")
}

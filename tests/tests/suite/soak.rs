//! Everything at once for a while, with one request in a hundred made to fail: those fail, in the way they were made to, no
//! other does, and what the gateway holds does not grow.
//!
//! Fifteen seconds on every run of the suite; `WASMGATE_SOAK=1800 cargo test --test suite soak` for half an hour, which is
//! when the slope of the memory means something.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture};
use wasmgate_tests::{Legacy, Modern, Running, docker, gateway, process, remote, soon};

/// Callers at once.
const CALLERS: u64 = 8;
/// One request in so many is made to fail.
const ONE_IN: u64 = 100;
/// From here on a run says something about memory.
const LONG: Duration = Duration::from_secs(600);
/// Longer than a server that keeps crashing is left alone (60 s) and takes to start: a call meanwhile fails in another way.
const BETWEEN_CRASHES: Duration = Duration::from_secs(90);

/// What was done and what became of it.
#[derive(Default)]
struct Tally {
    done: u64,
    injected: u64,
    failed: u64,
    /// What failed though it should not have, or the other way round.
    odd: Vec<String>,
    by_kind: BTreeMap<&'static str, u64>,
}

/// One who calls.
struct Caller {
    number: u64,
    legacy: Legacy,
    modern: Modern,
    random: u64,
    good: Vec<&'static str>,
    crashed: Option<Instant>,
    tally: Arc<Mutex<Tally>>,
}

/// What a gateway holds at a moment.
#[derive(Debug, Clone, Copy)]
struct Held {
    resident: u64,
    files: usize,
    tasks: u64,
}

impl Held {
    async fn by(gw: &Running) -> Self {
        let files = std::fs::read_dir(format!("/proc/{}/fd", gw.pid)).map_or(0, Iterator::count);
        let tasks = gw.states().await["tasks"].as_u64().expect("the number of tasks");
        Self { resident: process::resident(gw.pid), files, tasks }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_in_a_hundred_fails_alone_and_nothing_grows() {
    let length = std::env::var("WASMGATE_SOAK").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(length.unwrap_or(15));
    let far = remote::fixture(&["server", "--http"]).await;
    // The only one whose silence is short: on a busy machine others may take a while.
    let mut mute = fixture(&["raw", "--stdio"]);
    mute["deadlines"] = json!({"initialize": "20s", "idle": "1s", "total": "20s"});
    let mut catalog = Catalog::new()
        .fixture("near", &["server", "--stdio"])
        .remote("far", &far.url("/mcp"), "streamable-http")
        .entry("mute", mute)
        .fixture("odd", &["raw", "--stdio"])
        .fixture("brief", &["raw", "--stdio"]);
    let mut good = vec!["near", "far"];
    if let Ok(image) = docker::scratch().await {
        catalog = catalog.container("boxed", image, &["server", "--stdio"]);
        good.push("boxed");
    }
    let mut gw = gateway().catalog(catalog).start().await;
    for name in good.iter().chain(&["odd", "mute", "brief"]) {
        gw.ready([name]).await;
    }
    if good.contains(&"boxed") {
        gw = gw.with_container("boxed");
    }
    // What is made once is made before it is measured.
    load(&gw, &good, length / 4).await;
    let before = settled(&gw, None).await;
    let middle = load(&gw, &good, length / 2).await;
    let between = settled(&gw, Some(before)).await;
    let last = load(&gw, &good, length / 4).await;
    let after = settled(&gw, Some(before)).await;
    for tally in [&middle, &last] {
        assert!(
            tally.odd.is_empty(),
            "{} of {} went another way: {:#?}",
            tally.odd.len(),
            tally.done,
            tally.odd
        );
        assert_eq!(tally.failed, tally.injected, "as many fail as were made to: {:?}", tally.by_kind);
    }
    let (done, injected) = (middle.done + last.done, middle.injected + last.injected);
    eprintln!(
        "soak: {done} requests, {injected} made to fail ({:?}); {before:?} {between:?} {after:?}",
        middle.by_kind
    );
    assert!(injected > 0 && done / injected < 3 * ONE_IN, "{injected} of {done} were made to fail");
    // What an allocator keeps varies by some megabytes; in a long run that is all there may be.
    let allowed = if length >= LONG { 6 << 20 } else { 12 << 20 };
    assert!(after.resident <= before.resident + allowed, "memory grew: {before:?} {between:?} {after:?}");
    gw.stop().await;
}

/// All callers at once, for a while.
async fn load(gw: &Running, good: &[&'static str], length: Duration) -> Tally {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let until = Instant::now() + length;
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        let caller = Caller {
            number,
            legacy: gw.legacy().await,
            modern: gw.modern(),
            random: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1),
            good: good.to_vec(),
            crashed: None,
            tally: Arc::clone(&tally),
        };
        callers.push(tokio::spawn(caller.run(until)));
    }
    for caller in callers {
        let ended = tokio::time::timeout(length + Duration::from_secs(60), caller).await;
        ended.expect("a caller's end in time").expect("no panic");
    }
    std::mem::take(&mut *tally.lock().expect("no panic"))
}

/// What it holds once nobody calls any more; no more files and tasks than before, give or take what is kept for the next call.
async fn settled(gw: &Running, before: Option<Held>) -> Held {
    soon("files and tasks as before", async {
        loop {
            let held = Held::by(gw).await;
            let is_settled = before.is_none_or(|before| {
                held.files <= before.files + SPARE && held.tasks <= before.tasks + SPARE as u64
            });
            if is_settled {
                return held;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

impl Caller {
    async fn run(mut self, until: Instant) {
        while Instant::now() < until {
            let (kind, failed, odd) =
                if self.draw(ONE_IN) == 0 { self.fault().await } else { self.good().await };
            let mut tally = self.tally.lock().expect("no panic");
            tally.done += 1;
            tally.injected += u64::from(kind.starts_with("fault"));
            tally.failed += u64::from(failed);
            *tally.by_kind.entry(kind).or_default() += 1;
            tally.odd.extend(odd.map(|odd| format!("{kind}: {odd}")));
        }
        let ended = self.legacy.dress(self.legacy.door.ask("DELETE")).send().await;
        assert!(ended.status.is_success(), "{}", ended.text());
    }

    /// A number below `limit` (splitmix64).
    fn draw(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Something that must work: what it was, whether it failed, what was odd.
    async fn good(&mut self) -> (&'static str, bool, Option<String>) {
        let servers = self.good.len() as u64;
        let at = usize::try_from(self.draw(servers)).expect("small");
        let server = self.good[at];
        let nonce = self.draw(u64::MAX);
        let mine = format!("caller {} says {nonce}", self.number);
        let echo = json!({"name": format!("{server}__echo"), "arguments": {"said": mine}});
        let (kind, answer, expected) = match self.draw(8) {
            0 => ("list", self.legacy.request("tools/list", json!({})).await, "echo"),
            1 => {
                let params = json!({"uri": self.uri(server).await});
                ("read", self.legacy.request("resources/read", params).await, "contents of text")
            }
            2 => ("session", self.session(server).await, "fine"),
            3 | 4 => ("modern", self.modern.request("tools/call", echo).await, mine.as_str()),
            _ => ("call", self.legacy.request("tools/call", echo).await, mine.as_str()),
        };
        let text = answer.to_string();
        let others = (0..CALLERS).filter(|number| *number != self.number);
        let is_mixed_up = others.into_iter().any(|number| text.contains(&format!("caller {number} says")));
        let is_failed = answer.get("result").is_none();
        let is_odd = is_failed || is_mixed_up || !text.contains(expected);
        (kind, is_failed, is_odd.then(|| format!("{server}: {}", text.chars().take(300).collect::<String>())))
    }

    /// The public URI of a server's first resource.
    async fn uri(&self, server: &str) -> String {
        let (resources, _) = self.legacy.list("resources/list", "resources").await;
        let uris = resources.iter().filter_map(|resource| resource["uri"].as_str());
        let mut of_text = uris.filter(|uri| uri.contains("text"));
        let found = of_text.clone().find(|uri| uri.contains(server)).or_else(|| of_text.next());
        found.expect("a resource").to_owned()
    }

    /// A session that is opened, used and ended.
    async fn session(&self, server: &str) -> Value {
        let other = Legacy::connect(self.legacy.door.clone(), "2025-06-18").await;
        let call = json!({"name": format!("{server}__text"), "arguments": {"text": "fine"}});
        let answer = other.request("tools/call", call).await;
        other.dress(other.door.ask("DELETE")).send().await;
        answer
    }

    /// Something that must fail, in one way: what it was, whether it failed, what was odd.
    async fn fault(&mut self) -> (&'static str, bool, Option<String>) {
        let may_crash = self.number == 0 && self.crashed.is_none_or(|at| at.elapsed() > BETWEEN_CRASHES);
        if may_crash {
            self.crashed = Some(Instant::now());
            return self.fails("fault: crash", "brief__crash", json!({}), "upstream_crashed").await;
        }
        match self.draw(5) {
            0 => self.fails("fault: hang", "mute__hang", json!({}), "upstream_timeout").await,
            1 => self.fails("fault: own error", "odd__own_error", json!({}), "my own code").await,
            2 => self.fails("fault: unknown", "odd__nothing", json!({}), "unknown_tool").await,
            3 => self.fails("fault: nonsense", "odd__duplicate_member", json!({}), "upstream_").await,
            _ => {
                let secret = json!({"text": "AKIAIOSFODNN7EXAMPL9"});
                self.fails("fault: refused", "near__text", secret, "refused").await
            }
        }
    }

    async fn fails(
        &self,
        kind: &'static str,
        tool: &str,
        arguments: Value,
        code: &str,
    ) -> (&'static str, bool, Option<String>) {
        let answer = self.legacy.request("tools/call", json!({"name": tool, "arguments": arguments})).await;
        let has_failed = answer.get("error").is_some();
        let is_odd = !has_failed || !answer["error"].to_string().contains(code);
        (kind, has_failed, is_odd.then(|| answer.to_string()))
    }
}

/// Connections kept open for the next call, towards clients and servers.
const SPARE: usize = 8;

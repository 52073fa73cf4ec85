//! What interceptors cost, as tables in Markdown: microseconds a call by chain, size, guest and isolation, and by what the
//! processor did since the last one; instantiations a second; memory of a kept instance; loading. Medians; figures of a busy
//! machine say little.
//!
//! `cargo bench -p wasmgate-wasm`. Components of other languages are measured when they lie in the directory that
//! `WASMGATE_BENCH_COMPONENTS` names: their own hooks on `tools/call`.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a report for people")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Exchange, Operation, Party, Pipeline, Stage, Verdict};
use wasmgate_wasm::{
    BUILT_IN, Engine, EngineSettings, Grants, Isolation, Later, LaterFuture, Limits, LoadError, Loaded,
    Plugin, Settings,
};

#[path = "../guests.rs"]
mod guests;

const SIZES: [usize; 3] = [200, 4 << 10, 64 << 10];
const CHAINS: [usize; 4] = [0, 1, 3, 10];

/// What is measured of a guest: words for the table, and the operation it is asked about.
type Kind = (&'static str, &'static str);
const KINDS: [Kind; 3] =
    [("no payload", "prompts/get"), ("one look", "tools/call"), ("every string", "resources/read")];

struct Component {
    name: String,
    bytes: Bytes,
}

fn main() {
    let threads = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    threads().expect("runtime").block_on(async {
        let engine = Engine::new(EngineSettings::default()).expect("engine");
        let rust = Component { name: "Rust".into(), bytes: fixture() };
        let others = components();
        println!("| guest | instances | looks at | bytes | 0 | 1 | 3 | 10 |\n|---|---|---|---:|---:|---:|---:|---:|");
        chains(&engine, &rust, &KINDS).await;
        for other in &others {
            chains(&engine, other, &[("its own", "tools/call")]).await;
        }
        after(&engine, &rust).await;
        bundled(&engine).await;
        instantiations(&engine, &rust).await;
        memory(&engine, std::iter::once(&rust).chain(&others)).await;
        loading(std::iter::once(&rust).chain(&others)).await;
    });
}

/// Microseconds a call in the request phase, by length of the chain.
async fn chains(engine: &Engine, component: &Component, kinds: &[Kind]) {
    for isolation in [Isolation::PerCall, Isolation::PerSession, Isolation::Pooled] {
        let mut stages = Vec::new();
        for number in 0..10 {
            match load(engine, component, &format!("bench-{number}"), isolation).await {
                Ok(loaded) => {
                    stages.extend(loaded.interceptors.first().cloned().map(|stage| stage as Arc<dyn Stage>))
                }
                Err(error) => return println!("| {} | {isolation} | {error} | | | | | |", component.name),
            }
        }
        for (kind, event) in kinds {
            for bytes in SIZES {
                let mut row = format!("| {} | {isolation} | {kind} | {bytes} |", component.name);
                for length in CHAINS {
                    let chain = stages.iter().take(length).cloned().collect();
                    let pipeline = Pipeline::new(chain, |_, _| ());
                    row.push_str(&format!(" {:.1} |", median(&pipeline, event, &payload(bytes)).await));
                }
                println!("{row}");
            }
        }
    }
}

/// The same call when its code and its memory are not in the processor's nearest caches any more, as they are not in a
/// gateway that did other things since: after a walk through memory, after a rest, after both.
///
/// A gateway makes the instances for single calls between them, unless they come too fast for that, as they do here without
/// a rest; what it takes is not part of the time.
async fn after(engine: &Engine, component: &Component) {
    const OTHER: usize = 1 << 20;
    const REST: Duration = Duration::from_micros(300);
    println!(
        "\n| instances | at once | after 1 MiB of other memory | after 300 us of rest | after both |\n|---|---:|---:|---:|---:|"
    );
    let between = Between::default();
    let later: Option<Arc<dyn Later>> = Some(Arc::new(between.clone()));
    let ahead = Engine::new(EngineSettings { later, ..EngineSettings::default() }).expect("engine");
    for (engine, isolation, how) in [
        (engine, Isolation::PerCall, ""),
        (&ahead, Isolation::PerCall, ", made between calls"),
        (engine, Isolation::Pooled, ""),
    ] {
        let loaded = load(engine, component, "bench", isolation).await.expect("loads");
        let stages = loaded.interceptors.into_iter().map(|stage| stage as Arc<dyn Stage>).collect();
        let pipeline = Pipeline::new(stages, |_, _| ());
        let payload = payload(200);
        let mut row = format!("| {isolation}{how} |");
        for (walks, rests) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut other = vec![0_u8; if walks { OTHER } else { 0 }];
            let mut times = Vec::new();
            for _ in 0..2_000 {
                other.iter_mut().step_by(64).for_each(|line| *line = line.wrapping_add(1));
                std::hint::black_box(&mut other);
                if rests {
                    std::thread::sleep(REST);
                }
                let before = Instant::now();
                once(&pipeline, "tools/call", &payload, None).await;
                times.push(before.elapsed());
                between.done().await;
            }
            row.push_str(&format!(" {:.1} |", middle(&mut times)));
        }
        println!("{row}");
    }
}

/// Does what is to be done after calls when it is told to.
#[derive(Clone, Default)]
struct Between(Arc<Mutex<Vec<LaterFuture>>>);

impl Later for Between {
    fn run(&self, work: LaterFuture) {
        self.0.lock().expect("nobody fails").push(work);
    }
}

impl Between {
    async fn done(&self) {
        let all = std::mem::take(&mut *self.0.lock().expect("nobody fails"));
        for work in all {
            work.await;
        }
    }
}

/// The plugins that come with the gateway, alone, with everything they ask for: as they are, and in fresh memory for each call.
async fn bundled(engine: &Engine) {
    println!("\n| bundled | bytes | p50 us | in fresh memory |\n|---|---:|---:|---:|");
    for plugin in BUILT_IN {
        let component = Component { name: plugin.name.into(), bytes: Bytes::from_static(plugin.bytes) };
        let fresh = load(engine, &component, plugin.name, Isolation::PerCall).await;
        let (Ok(loaded), Ok(fresh)) = (load_as_is(engine, &component).await, fresh) else { continue };
        let [as_is, fresh] = [loaded, fresh].map(|loaded| {
            let stages = loaded.interceptors.into_iter().map(|stage| stage as Arc<dyn Stage>).collect();
            Pipeline::new(stages, |_, _| ())
        });
        for bytes in SIZES {
            let us = median(&as_is, "tools/call", &payload(bytes)).await;
            let us_fresh = median(&fresh, "tools/call", &payload(bytes)).await;
            println!("| {} | {bytes} | {us:.1} | {us_fresh:.1} |", plugin.name);
        }
    }
}

async fn instantiations(engine: &Engine, component: &Component) {
    const COUNT: usize = 100_000;
    let loaded = load(engine, component, "bench", Isolation::PerCall).await.expect("loads");
    let stages = loaded.interceptors.into_iter().map(|stage| stage as Arc<dyn Stage>).collect();
    let pipeline = Arc::new(Pipeline::new(stages, |_, _| ()));
    println!(
        "\n| threads | instantiations | a second | resident KiB before | after |\n|---:|---:|---:|---:|---:|"
    );
    for threads in [1, 2] {
        // The first ones touch the pool.
        many(&pipeline, threads, 2_000).await;
        let (resident, before) = (resident_kib(), Instant::now());
        many(&pipeline, threads, COUNT).await;
        let a_second = COUNT as f64 / before.elapsed().as_secs_f64();
        println!("| {threads} | {COUNT} | {a_second:.0} | {resident} | {} |", resident_kib());
    }
}

async fn many(pipeline: &Arc<Pipeline>, threads: usize, count: usize) {
    let mut running = JoinSet::new();
    for _ in 0..threads {
        let pipeline = Arc::clone(pipeline);
        running.spawn(async move {
            let payload = payload(200);
            for _ in 0..count / threads {
                once(&pipeline, "prompts/get", &payload, None).await;
            }
        });
    }
    running.join_all().await;
}

/// What a kept instance holds after a call of 4 KiB: two hundred sessions with one each.
async fn memory(engine: &Engine, components: impl Iterator<Item = &Component>) {
    const SESSIONS: usize = 200;
    println!("\n| guest | KiB of a kept instance |\n|---|---:|");
    for component in components {
        let Ok(loaded) = load(engine, component, "bench", Isolation::PerSession).await else { continue };
        let stages = loaded.interceptors.into_iter().map(|stage| stage as Arc<dyn Stage>).collect();
        let pipeline = Pipeline::new(stages, |_, _| ());
        let payload = payload(4 << 10);
        once(&pipeline, "tools/call", &payload, Some("warm")).await;
        let before = resident_kib();
        for session in 0..SESSIONS {
            once(&pipeline, "tools/call", &payload, Some(&session.to_string())).await;
        }
        let each = resident_kib().saturating_sub(before) / SESSIONS;
        println!("| {} | {each} |", component.name);
    }
}

async fn loading(components: impl Iterator<Item = &Component>) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-cache-{}", std::process::id()));
    println!("\n| guest | KiB | compiled and loaded, ms | loaded from the cache, ms |\n|---|---:|---:|---:|");
    for component in components {
        let mut row = format!("| {} | {} |", component.name, component.bytes.len() / 1024);
        for _ in 0..2 {
            let settings = EngineSettings { cache: Some(dir.clone()), ..EngineSettings::default() };
            let engine = Engine::new(settings).expect("engine");
            let before = Instant::now();
            if load_as_is(&engine, component).await.is_ok() {
                row.push_str(&format!(" {:.1} |", before.elapsed().as_secs_f64() * 1e3));
            }
        }
        println!("{row}");
    }
    let _ = std::fs::remove_dir_all(dir);
}

/// Half of the calls take no longer, in microseconds.
async fn median(pipeline: &Pipeline, event: &str, payload: &Json) -> f64 {
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3_000 && (times.len() < 50 || started.elapsed() < Duration::from_secs(2)) {
        let before = Instant::now();
        once(pipeline, event, payload, None).await;
        times.push(before.elapsed());
    }
    middle(&mut times)
}

/// The median, in microseconds.
fn middle(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

async fn once(pipeline: &Pipeline, event: &str, payload: &Json, session: Option<&str>) {
    let exchange = Exchange::new(Operation {
        id: "r1".into(),
        event: event.into(),
        server: None,
        subject: Some("read".into()),
        principal: "alice".into(),
        session: session.map(Into::into),
        version: "2025-11-25",
        initiator: Party::Client,
    });
    let verdict = pipeline.request(&exchange, payload.clone()).await;
    assert!(!matches!(verdict, Verdict::Refuse(_)), "{event} was blocked");
}

async fn load(
    engine: &Engine,
    component: &Component,
    name: &str,
    isolation: Isolation,
) -> Result<Loaded, LoadError> {
    Plugin::load(engine, name, component.bytes.clone(), settings(Some(isolation))).await
}

async fn load_as_is(engine: &Engine, component: &Component) -> Result<Loaded, LoadError> {
    Plugin::load(engine, &component.name, component.bytes.clone(), settings(None)).await
}

/// Limits that a busy machine keeps to.
fn settings(isolation: Option<Isolation>) -> Settings {
    let grants = Grants {
        clock: true,
        random: true,
        labels: true,
        kv: Some(wasmgate_wasm::KvGrant::default()),
        ..Grants::default()
    };
    let limits = Limits { cpu: Duration::from_secs(2), wall: Duration::from_secs(20), ..Limits::default() };
    Settings { grants, limits, isolation, ..Settings::default() }
}

/// A call with about this many bytes of ordinary arguments.
fn payload(bytes: usize) -> Json {
    let member = r#""a_name_%":"a value of some length, as arguments have","another":[1,2.5,true,"x"]"#;
    let members: Vec<_> =
        (0..bytes.div_ceil(member.len())).map(|n| format!("\"{n}\":{{{member}}}")).collect();
    let text = format!(r#"{{"name":"read","arguments":{{{}}}}}"#, members.join(","));
    Json::parse(text).expect("JSON")
}

fn fixture() -> Bytes {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace");
    let built =
        guests::build(root, Path::new(env!("CARGO_TARGET_TMPDIR")), &["guest-bench"]).expect("a guest");
    std::fs::read(built.join(guests::file_name("guest-bench"))).expect("a component").into()
}

/// Everything in the directory that the environment names.
fn components() -> Vec<Component> {
    let Some(dir) = std::env::var_os("WASMGATE_BENCH_COMPONENTS") else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    files.sort();
    let component = |file: PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Component { name, bytes: std::fs::read(file).expect("a component").into() }
    };
    files.into_iter().map(component).collect()
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

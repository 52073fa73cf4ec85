//! What one call of a plugin costs: a fresh instance, `configure`, the hook, and the end of it. Medians in microseconds.
//!
//! `cargo bench -p wasmgate-wasm`. Figures of a busy machine say little: run it twice.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a report for people")]

use std::sync::Arc;
use std::time::Instant;

use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Exchange, Operation, Phase, Stage as _};
use wasmgate_wasm::{BUILT_IN, Engine, EngineSettings, Grants, Interceptor, Plugin, Settings};

const ROUNDS: usize = 2_000;

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let engine = Engine::new(EngineSettings::default()).expect("engine");
        for plugin in BUILT_IN {
            let before = Instant::now();
            let grants = Grants { clock: true, ..Grants::default() };
            let settings = Settings { grants, ..Settings::default() };
            let loaded = Plugin::load(&engine, plugin.name, plugin.bytes, settings).await.expect("loads");
            let stage = loaded.interceptors.into_iter().next().expect("a role");
            let kib = plugin.bytes.len() / 1024;
            println!("{}: {kib} KiB, compiled and loaded in {:.1} ms", plugin.name, ms(before));
            report(stage).await;
        }
    });
}

async fn report(stage: Arc<Interceptor>) {
    for bytes in [200, 4 << 10, 64 << 10, 1 << 20] {
        let rounds = (ROUNDS * 200 / bytes).clamp(50, ROUNDS);
        let payload = payload(bytes);
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let before = Instant::now();
            once(&stage, &payload).await;
            times.push(before.elapsed());
        }
        times.sort_unstable();
        let at =
            |part: usize| times.get(times.len() * part / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        println!("  {bytes:>8} bytes: p50 {:8.1} us, p99 {:8.1} us", at(50), at(99));
    }
    let one = Json::of(&serde_json::json!({ "arguments": { "data": "iVBORw0KGgo".repeat(100_000) } }));
    let before = Instant::now();
    once(&stage, &one).await;
    println!("  one string of {} KiB: {:.1} ms", one.bytes().len() / 1024, ms(before));
    let payload = Arc::new(payload(200));
    for tasks in [1, 2, 16] {
        let before = Instant::now();
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            let (stage, payload) = (Arc::clone(&stage), Arc::clone(&payload));
            running.spawn(async move {
                for _ in 0..ROUNDS {
                    once(&stage, &payload).await;
                }
            });
        }
        running.join_all().await;
        println!(
            "  {tasks:>2} tasks: {:.0} calls a second",
            (tasks * ROUNDS) as f64 / before.elapsed().as_secs_f64()
        );
    }
}

async fn once(stage: &Interceptor, payload: &Json) {
    let exchange = Exchange::new(Operation {
        id: "r1".into(),
        event: "tools/call".into(),
        server: None,
        subject: Some("read".into()),
        principal: "alice".into(),
        session: None,
        version: "2025-11-25",
        initiator: wasmgate_core::pipeline::Party::Client,
    });
    stage.run(&exchange, Phase::Request, payload).await.expect("passes");
}

/// A call with about this many bytes of ordinary arguments.
fn payload(bytes: usize) -> Json {
    let member = r#""a_name_%":"a value of some length, as arguments have","another":[1,2.5,true,"x"]"#;
    let members: Vec<_> =
        (0..bytes.div_ceil(member.len())).map(|n| format!("\"{n}\":{{{member}}}")).collect();
    let text = format!(r#"{{"name":"read","arguments":{{{}}}}}"#, members.join(","));
    Json::parse(text).expect("JSON")
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

//! Plugins that get fresh memory for each call are configured once for all of them, where nothing of that can be seen.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::raw::Raw;
use crate::support::{engine, guest, run, settings, words};
use wasmgate_core::json::Json;
use wasmgate_wasm::{
    Engine, EngineSettings, Grants, Interceptor, Isolation, KvGrant, Later, LaterFuture, Plugin, Settings,
};

/// The guest `capable`, which does `lines` when it is configured and answers each call with what came of them.
async fn configured(name: &str, lines: &str, grants: Grants) -> Arc<Interceptor> {
    let config = Json::of(&serde_json::json!({ "do": lines }));
    let settings = Settings { grants, config, ..settings("{}") };
    let loaded = Plugin::load(engine(), name, guest("capable"), settings).await.unwrap();
    loaded.interceptors.into_iter().next().unwrap()
}

/// How often it was configured, by its own count.
fn times(stage: &Interceptor) -> u64 {
    stage
        .counters()
        .into_iter()
        .find_map(|(name, count)| (name == "done").then_some(count))
        .unwrap_or_default()
}

/// How often it was configured for three calls, and what they answered.
async fn for_three_calls(stage: &Arc<Interceptor>) -> (u64, String) {
    let before = times(stage);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(words(&run(stage, "{}").await).trim_start_matches("Info at None: ").to_owned());
    }
    answers.dedup();
    (times(stage) - before, answers.join(" | "))
}

#[tokio::test]
async fn what_is_always_the_same_is_done_once() {
    for lines in ["count", "count\nclock", "count\nseed"] {
        let stage = configured("preset", lines, Grants::default()).await;
        let (times, answers) = for_three_calls(&stage).await;
        assert_eq!(times, 0, "{lines}");
        assert!(answers.starts_with("counted") && !answers.contains('|'), "{lines}: {answers}");
    }
}

#[tokio::test]
async fn what_may_be_different_is_done_for_every_call() {
    let granted = || Grants {
        clock: true,
        random: true,
        labels: true,
        kv: Some(KvGrant::default()),
        ..Grants::default()
    };
    for lines in [
        "count\nclock",
        "count\nrandom 8",
        "count\nseed",
        "count\nkv get global k",
        "count\nlabels",
        "count\nnames",
        "count\nget https://example.com",
        "count\nsockets 127.0.0.1:1",
        "count\nprint",
    ] {
        let stage = configured("not-preset", lines, granted()).await;
        let (times, answers) = for_three_calls(&stage).await;
        assert_eq!(times, 3, "{lines}: {answers}");
        assert!(answers.starts_with("counted; "), "{lines}: {answers}");
    }
}

/// What one call leaves in memory that was configured once is as little there for the next one as in any other memory.
#[tokio::test]
async fn a_call_finds_what_was_configured_and_nothing_of_another() {
    let settings = settings(r#"{"do":"count"}"#);
    let loaded = Plugin::load(engine(), "hostile", guest("hostile"), settings).await.unwrap();
    let stage = loaded.interceptors.into_iter().next().unwrap();
    for (asked, answer) in [
        ("{}", "call 1 of this memory"),
        (r#"{"do":"keep-memory"}"#, ""),
        ("{}", "call 1 of this memory"),
        (r#"{"do":"count-configured"}"#, "configured 1 times"),
        ("{}", "call 1 of this memory"),
    ] {
        assert_eq!(words(&run(&stage, asked).await).trim_start_matches("Info at None: "), answer);
    }
}

/// Does at once, or not at all, what is to be done after calls, and counts.
struct AfterCalls {
    asked: Arc<AtomicUsize>,
    idle: bool,
}

impl Later for AfterCalls {
    fn run(&self, work: LaterFuture) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.idle {
            #[expect(clippy::disallowed_methods, reason = "there is no drain here")]
            tokio::spawn(work);
        }
    }
}

/// Instances are made ahead where that runs nothing of the guest, and each of them serves one call however it ends.
#[tokio::test]
async fn an_instance_that_was_made_ahead_serves_one_call() {
    for idle in [false, true] {
        let asked = Arc::new(AtomicUsize::new(0));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-guests");
        let later: Arc<dyn Later> = Arc::new(AfterCalls { asked: Arc::clone(&asked), idle });
        let settings = EngineSettings { cache: Some(cache), later: Some(later), ..EngineSettings::default() };
        let engine = Engine::new(settings).unwrap();
        for (isolation, config, ahead) in [
            (Isolation::PerCall, r#"{"do":"count"}"#, true),
            (Isolation::Pooled, r#"{"do":"keep-memory"}"#, false),
        ] {
            let before = asked.load(Ordering::SeqCst);
            let settings = Settings { isolation: Some(isolation), ..crate::support::settings(config) };
            let loaded = Plugin::load(&engine, "hostile", guest("hostile"), settings).await.unwrap();
            let stage = loaded.interceptors.into_iter().next().unwrap();
            for round in 0..4 {
                for (payload, answer) in [
                    ("{}", if ahead { "call 1 of this memory" } else { "" }),
                    (r#"{"do":"note"}"#, ""),
                    (r#"{"do":"overrun"}"#, "failed: wasm trap: wasm `unreachable` instruction executed"),
                    (r#"{"do":"keep-memory"}"#, ""),
                ] {
                    let answered = words(&run(&stage, payload).await);
                    assert_eq!(answered.trim_start_matches("Info at None: "), answer, "{isolation} {round}");
                    // What is to be done after the call is done, and the next call comes to somebody idle.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            let asked = asked.load(Ordering::SeqCst) - before;
            assert_eq!(asked, if ahead { 12 } else { 0 }, "{isolation}: once for each call that ended well");
        }
    }
}

/// What a component is made of does not decide whether it runs, only whether it is configured once.
#[tokio::test]
async fn odd_components_run_all_the_same() {
    let all_set =
        "(global.set $a (i32.const -7)) (global.set $b (i64.const -7)) (global.set $c (f32.const 1.5))
        (global.set $d (f64.const -1.5)) (i32.store8 (i32.const 700000) (i32.const 7))";
    let are_set = "(if (i32.ne (global.get $a) (i32.const -7)) (then unreachable))
        (if (i64.ne (global.get $b) (i64.const -7)) (then unreachable))
        (if (f32.ne (global.get $c) (f32.const 1.5)) (then unreachable))
        (if (f64.ne (global.get $d) (f64.const -1.5)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 700000)) (i32.const 7)) (then unreachable))";
    let globals = "(global $a (mut i32) (i32.const 0)) (global $b (mut i64) (i64.const 0))
        (global $c (mut f32) (f32.const 0)) (global $d (mut f64) (f64.const 0))";
    let scattered = "(local.set $n (i32.const 1048576)) (drop (memory.grow (i32.const 90)))
        (loop $on (i32.store8 (local.get $n) (i32.const 1)) (local.set $n (i32.add (local.get $n) (i32.const 6)))
        (br_if $on (i32.lt_u (local.get $n) (i32.const 6900000))))";
    let scattered = scattered.replace("$n", "0");
    let started = "(global $s (mut i32) (i32.const 0))
        (func $begin (global.set $s (i32.add (global.get $s) (i32.const 1)))) (start $begin)";
    let once = "(if (i32.ne (global.get $s) (i32.const 1)) (then unreachable))";
    let none = Raw::HARMLESS;
    for (what, raw) in [
        ("globals of every type", Raw { fields: globals, configure: all_set, validate: are_set, ..none }),
        ("a start function", Raw { fields: started, validate: once, ..none }),
        ("a vector", Raw { fields: "(global (mut v128) (v128.const i64x2 0 0))", ..none }),
        ("a reference", Raw { fields: "(global (mut funcref) (ref.null func))", ..none }),
        (
            "a table that changes",
            Raw {
                fields: "(table $t 2 funcref) (func $f) (elem declare func $f)",
                configure: "(table.set $t (i32.const 0) (ref.func $f))",
                validate: "(call_indirect $t (i32.const 0))",
                ..none
            },
        ),
        ("a memory that cannot grow", Raw { fields: "(memory $full 1 1)", ..none }),
        ("a second memory", Raw { fields: "(memory $second 1)", ..none }),
        ("six megabytes of scattered bytes", Raw { configure: &scattered, ..none }),
        ("more memory than is kept", Raw { configure: "(drop (memory.grow (i32.const 200)))", ..none }),
    ] {
        let loaded = Plugin::load(engine(), "raw", raw.component(), settings("{}")).await;
        let loaded = loaded.unwrap_or_else(|error| panic!("{what}: {error}"));
        let stage = loaded.interceptors.into_iter().next().unwrap();
        for _ in 0..2 {
            assert_eq!(words(&run(&stage, "{}").await), "", "{what}");
        }
    }
}

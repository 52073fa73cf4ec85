//! What only hand-written guests can do, in every place where guest code runs: each ends in the right failure, within its
//! budget, and the next call is right.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::plugins::Panics;
use crate::raw::{ANSWER, Raw};
use crate::support::{engine, exchange, run, settings, told, words};
use expect_test::{Expect, expect};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Kind, ListItem, Phase, Stage as _, StageError};
use wasmgate_wasm::{Grants, Interceptor, Isolation, Limits, LoadError, Loaded, Plugin, Settings};

const LOOP: &str = "(loop $again (br $again))";

async fn load(raw: &Raw<'_>, isolation: Isolation) -> Result<Loaded, LoadError> {
    let settings = Settings { isolation: Some(isolation), ..settings("{}") };
    Plugin::load(engine(), "raw", raw.component(), settings).await
}

/// The role of this kind.
async fn stage(raw: &Raw<'_>, kind: Kind, isolation: Isolation) -> Arc<Interceptor> {
    let loaded = load(raw, isolation).await.unwrap();
    loaded.interceptors.into_iter().find(|stage| stage.info().kind == kind).unwrap()
}

/// A call of the validator fails in these words, twice: the first time leaves nothing behind.
async fn fails(raw: Raw<'_>, expected: Expect) {
    let mut said = Vec::new();
    for isolation in [Isolation::PerCall, Isolation::Pooled] {
        let stage = stage(&raw, Kind::Validator, isolation).await;
        for _ in 0..2 {
            let answer = run(&stage, "{}").await;
            assert!(answer.is_err(), "{}", words(&answer));
            said.push(words(&answer));
        }
    }
    said.dedup();
    expected.assert_eq(&said.join("\n"));
}

/// Loading it fails in these words.
async fn refused(raw: Raw<'_>, expected: Expect) {
    let error = load(&raw, Isolation::PerCall).await.unwrap_err();
    let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
    expected.assert_eq(&format!("{error}{source}"));
}

#[tokio::test]
async fn a_harmless_one_passes() {
    for kind in [Kind::Validator, Kind::Mutator] {
        let answer = run(&stage(&Raw::default(), kind, Isolation::PerCall).await, "{}").await;
        assert!(["", "unchanged"].contains(&words(&answer).as_str()), "{}", words(&answer));
    }
}

#[tokio::test]
async fn a_loop_before_everything_else() {
    let fields = &format!("(func $start {LOOP}) (start $start)");
    refused(Raw { fields, ..Raw::default() }, expect!["could not describe itself: exceeded its CPU budget"])
        .await;
}

#[tokio::test]
async fn a_loop_while_it_is_loaded() {
    refused(
        Raw { describe: LOOP, ..Raw::default() },
        expect!["could not describe itself: exceeded its CPU budget"],
    )
    .await;
    refused(
        Raw { post_describe: LOOP, ..Raw::default() },
        expect!["could not describe itself: exceeded its CPU budget"],
    )
    .await;
    refused(
        Raw { configure: LOOP, ..Raw::default() },
        expect!["could not be configured: exceeded its CPU budget"],
    )
    .await;
    refused(
        Raw { realloc: LOOP, ..Raw::default() },
        expect!["could not be configured: exceeded its CPU budget"],
    )
    .await;
}

#[tokio::test]
async fn a_loop_in_the_allocator() {
    // The first string is the configuration's.
    let realloc = &format!(
        "(global.set $strings (i32.add (global.get $strings) (i32.const 1)))
         (if (i32.gt_u (global.get $strings) (i32.const 1)) (then {LOOP}))"
    );
    let fields = "(global $strings (mut i32) (i32.const 0))";
    fails(Raw { realloc, fields, ..Raw::default() }, expect!["exceeded its CPU budget"]).await;
}

#[tokio::test]
async fn a_loop_after_the_answer() {
    fails(Raw { post_validate: LOOP, ..Raw::default() }, expect!["exceeded its CPU budget"]).await;
}

#[tokio::test]
async fn endless_recursion() {
    let fields = "(func $deeper (call $deeper) (call $deeper))";
    fails(
        Raw { fields, validate: "(call $deeper)", ..Raw::default() },
        expect!["failed: wasm trap: call stack exhausted"],
    )
    .await;
}

#[tokio::test]
async fn memories_that_grow_together() {
    let fields = "(memory $b 1) (memory $c 1) (memory $d 1)";
    let validate = "(loop $again
        (drop (memory.grow $b (i32.const 16))) (drop (memory.grow $c (i32.const 16)))
        (drop (memory.grow $d (i32.const 16))) (br $again))";
    fails(Raw { fields, validate, ..Raw::default() }, expect!["exceeded its memory limit"]).await;
}

#[tokio::test]
async fn more_parts_than_are_given() {
    let memories = "(memory 1)".repeat(20);
    refused(
        Raw { fields: &memories, ..Raw::default() },
        expect!["could not be compiled: module memory does not fit in pooling allocator requirements"],
    )
    .await;
    let tables = "(table 1 funcref)".repeat(60);
    refused(
        Raw { fields: &tables, ..Raw::default() },
        expect!["could not be compiled: module table does not fit in pooling allocator requirements"],
    )
    .await;
    refused(
        Raw { fields: "(memory 32768)", ..Raw::default() },
        expect!["could not be compiled: module memory does not fit in pooling allocator requirements"],
    )
    .await;
    refused(
        Raw { fields: "(memory 1600)", ..Raw::default() },
        expect!["could not describe itself: exceeded its memory limit"],
    )
    .await;
    refused(
        Raw { fields: "(table 10000000 funcref)", ..Raw::default() },
        expect!["could not be compiled: module table does not fit in pooling allocator requirements"],
    )
    .await;
}

/// Makes a table larger for as long as it can.
const TABLE_BOMB: Raw<'_> = Raw {
    fields: "(table $t 1 funcref)",
    validate: "(loop $again (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $again))",
    ..Raw::HARMLESS
};

#[tokio::test]
async fn a_table_that_grows() {
    fails(TABLE_BOMB, expect!["exceeded its table limit"]).await;
}

/// What `validate` answers instead of nothing.
fn answering(is_error: bool, at: u32, length: u32) -> String {
    format!(
        "(i32.store8 (i32.const {ANSWER}) (i32.const {}))
         (i32.store offset=4 (i32.const {ANSWER}) (i32.const {at}))
         (i32.store offset=8 (i32.const {ANSWER}) (i32.const {length}))",
        u8::from(is_error)
    )
}

/// Makes room for sixty MiB of zeros behind the sixteenth page.
const ROOM: &str = "(drop (memory.grow (i32.const 940)))";

#[tokio::test]
async fn a_string_of_a_gibibyte() {
    let validate = &answering(true, 0, 1 << 30);
    fails(
        Raw { validate, ..Raw::default() },
        expect!["failed: string pointer/length out of bounds of memory"],
    )
    .await;
    let validate = &format!("{ROOM}{}", answering(true, 1 << 20, 50 << 20));
    fails(Raw { validate, ..Raw::default() }, expect!["failed: too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted"]).await;
    let imports = r#"(import "wasmgate:plugin/log@0.1.0" "count" (func $count (param i32 i32 i64)))"#;
    let validate = "(call $count (i32.const 0) (i32.const 1073741824) (i64.const 1))";
    fails(
        Raw { imports, validate, ..Raw::default() },
        expect!["failed: string pointer/length out of bounds of memory"],
    )
    .await;
    let validate = &format!("{ROOM}(call $count (i32.const 1048576) (i32.const 52428800) (i64.const 1))");
    fails(Raw { imports, validate, ..Raw::default() }, expect!["failed: too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted"]).await;
}

#[tokio::test]
async fn a_list_without_end() {
    let validate = &answering(false, 0, u32::MAX);
    fails(Raw { validate, ..Raw::default() }, expect!["failed: list pointer/length out of bounds of memory"])
        .await;
    let validate = &format!("{ROOM}{}", answering(false, 1 << 20, 1_000_000));
    fails(Raw { validate, ..Raw::default() }, expect!["failed: too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted"]).await;
    let validate = &format!("{ROOM}{}", answering(false, 1 << 20, 1000));
    fails(Raw { validate, ..Raw::default() }, expect!["exceeded its output limit"]).await;
}

#[tokio::test]
async fn an_answer_that_fits_no_type() {
    let validate = &format!("(i32.store8 (i32.const {ANSWER}) (i32.const 7))");
    fails(Raw { validate, ..Raw::default() }, expect!["failed: invalid expected discriminant"]).await;
    // One finding of severity 119.
    let validate = &format!("(i32.store8 (i32.const 4116) (i32.const 119)){}", answering(false, 4096, 1));
    fails(Raw { validate, ..Raw::default() }, expect!["failed: unexpected discriminant: 119"]).await;
    // Its address is odd.
    let validate = &answering(false, 4097, 1);
    fails(Raw { validate, ..Raw::default() }, expect!["failed: list pointer is not aligned"]).await;
    let validate = &format!("(i32.store8 (i32.const 4096) (i32.const 255)){}", answering(true, 4096, 1));
    fails(
        Raw { validate, ..Raw::default() },
        expect!["failed: invalid utf-8 sequence of 1 bytes from index 0"],
    )
    .await;
    let validate = "(return (i32.const -1))";
    fails(Raw { validate, ..Raw::default() }, expect!["failed: return pointer not aligned"]).await;
}

#[tokio::test]
async fn an_allocator_that_answers_nonsense() {
    let fields = "(global $strings (mut i32) (i32.const 0))";
    let second = |what: &str| {
        format!(
            "(global.set $strings (i32.add (global.get $strings) (i32.const 1)))
             (if (i32.gt_u (global.get $strings) (i32.const 1)) (then {what}))"
        )
    };
    let realloc = &second("(return (i32.const -16))");
    fails(Raw { realloc, fields, ..Raw::default() }, expect!["failed: realloc return: beyond end of memory"])
        .await;
    let realloc = &second("(return (i32.const 1))");
    fails(Raw { realloc, fields, ..Raw::default() }, expect!["failed: realloc return: result not aligned"])
        .await;
}

/// Where the component model forbids to call the host.
#[tokio::test]
async fn calling_the_host_at_the_wrong_time() {
    let imports = r#"(import "wasmgate:plugin/log@0.1.0" "count" (func $count (param i32 i32 i64)))"#;
    let call = "(call $count (i32.const 2048) (i32.const 3) (i64.const 1))";
    fails(
        Raw { imports, post_validate: call, ..Raw::default() },
        expect!["failed: wasm trap: cannot leave component instance"],
    )
    .await;
    refused(
        Raw { imports, realloc: call, ..Raw::default() },
        expect!["could not be configured: failed: wasm trap: cannot leave component instance"],
    )
    .await;
}

#[tokio::test]
async fn a_trap_in_every_export() {
    let trap = "(unreachable)";
    refused(
        Raw { describe: trap, ..Raw::default() },
        expect!["could not describe itself: failed: wasm trap: wasm `unreachable` instruction executed"],
    )
    .await;
    refused(
        Raw { configure: trap, ..Raw::default() },
        expect!["could not be configured: failed: wasm trap: wasm `unreachable` instruction executed"],
    )
    .await;
    fails(
        Raw { validate: trap, ..Raw::default() },
        expect!["failed: wasm trap: wasm `unreachable` instruction executed"],
    )
    .await;
    let mutator = stage(&Raw { mutate: trap, ..Raw::default() }, Kind::Mutator, Isolation::Pooled).await;
    expect!["failed: wasm trap: wasm `unreachable` instruction executed"]
        .assert_eq(&words(&run(&mutator, "{}").await));
    let filter = stage(&Raw { filter: trap, ..Raw::default() }, Kind::Filter, Isolation::Pooled).await;
    let failed = filter.filter(&exchange(), &[item()]).await.unwrap_err();
    expect!["failed: wasm trap: wasm `unreachable` instruction executed"].assert_eq(&failed.to_string());
}

fn item() -> ListItem {
    ListItem {
        name: "read".into(),
        server: ServerName::new("files").unwrap(),
        item: Json::parse(r#"{"name":"read"}"#).unwrap(),
    }
}

const CLOCK: &str = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;

/// Takes handles and gives none back.
const HANDLE_LEAK: Raw<'_> = Raw {
    imports: CLOCK,
    validate: "(loop $again (drop (call $after (i64.const 1))) (br $again))",
    ..Raw::HARMLESS
};

#[tokio::test]
async fn handles_that_are_never_given_back() {
    fails(HANDLE_LEAK, expect!["failed: resource table has no free keys"]).await;
}

/// The integration suite runs these two, too, and has no tools to make them: `UPDATE_EXPECT=1` writes them anew.
#[test]
fn the_components_that_are_kept_are_these() {
    for (name, raw) in [("table-bomb", TABLE_BOMB), ("handle-leak", HANDLE_LEAK)] {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/components");
        let (path, made) = (kept.join(name).with_extension("wasm"), raw.component());
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(&kept).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let is_same = std::fs::read(&path).is_ok_and(|kept| kept == made);
        assert!(is_same, "{} is another one: UPDATE_EXPECT=1 writes it anew", path.display());
    }
}

/// One handle stays behind with each call: the instance is given up long before it runs out of them.
#[tokio::test]
async fn handles_that_leak_slowly() {
    let calls = |leak: &str| {
        format!(
            "{leak} (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
             (if (i32.gt_u (global.get $calls) (i32.const 20)) (then (unreachable)))"
        )
    };
    let fields = "(global $calls (mut i32) (i32.const 0))";
    for (leak, all_pass) in [("", false), ("(drop (call $after (i64.const 1)))", true)] {
        let validate = &calls(leak);
        let raw = Raw { imports: CLOCK, fields, validate, ..Raw::default() };
        let stage = stage(&raw, Kind::Validator, Isolation::Pooled).await;
        let mut passed = true;
        for _ in 0..60 {
            passed &= run(&stage, "{}").await.is_ok();
        }
        assert_eq!(passed, all_pass, "{leak}");
    }
}

#[tokio::test]
async fn a_sleep_without_end() {
    let validate = "(call $block (call $after (i64.const 1000000000000)))";
    let raw = Raw { imports: CLOCK, validate, ..Raw::default() };
    let mut settings = settings("{}");
    settings.limits.wall = Duration::from_millis(50);
    let loaded = Plugin::load(engine(), "raw", raw.component(), settings).await.unwrap();
    let answer = run(loaded.interceptors.first().unwrap(), "{}").await;
    assert_eq!(words(&answer), "exceeded its time limit");
}

/// A clock stands still without the grant; with it, it never shows more than milliseconds.
#[tokio::test]
async fn probing_the_clock() {
    let spin = "(local.set $n (i32.const 3000000))
        (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";
    let validate = &format!(
        "(local $n i32) (local $a i64) (local.set $a (call $now)) {spin}
         (if (i64.ne (local.get $a) (call $now)) (then (unreachable)))"
    );
    let raw = Raw { imports: CLOCK, validate, ..Raw::default() };
    let still = stage(&raw, Kind::Validator, Isolation::PerCall).await;
    assert_eq!(words(&run(&still, "{}").await), "");
    let validate =
        "(if (i64.ne (i64.rem_u (call $now) (i64.const 1000000)) (i64.const 0)) (then (unreachable)))
         (if (i64.eqz (call $now)) (then (call $block (call $after (i64.const 2000000)))))
         (if (i64.eqz (call $now)) (then (unreachable)))";
    let raw = Raw { imports: CLOCK, validate, ..Raw::default() };
    let granted = Settings { grants: Grants { clock: true, ..Grants::default() }, ..settings("{}") };
    let loaded = Plugin::load(engine(), "raw", raw.component(), granted).await.unwrap();
    for _ in 0..10 {
        assert_eq!(words(&run(loaded.interceptors.first().unwrap(), "{}").await), "");
    }
}

/// Every call looks through all of its memory for what an earlier one wrote, then fills it with a secret. The same guest
/// does find it when its instances are shared, so that it would.
#[tokio::test]
async fn a_secret_of_one_call_is_not_there_in_the_next() {
    let fields =
        "(global $used (mut i32) (i32.const 0)) (table $t 8 funcref) (func $f) (elem declare func $f)
        (memory $more 8)";
    let validate = "(local $at i32)
        (if (global.get $used) (then (unreachable)))
        (if (i32.eqz (ref.is_null (table.get $t (i32.const 3)))) (then (unreachable)))
        (drop (memory.grow (i32.const 16)))
        (local.set $at (i32.const 1000000))
        (loop $again
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (unreachable)))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $again (i32.lt_u (local.get $at) (i32.const 2097144))))
        (local.set $at (i32.const 0))
        (loop $again
            (if (i64.ne (i64.load $more (local.get $at)) (i64.const 0)) (then (unreachable)))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $again (i32.lt_u (local.get $at) (i32.const 524280))))
        (global.set $used (i32.const 1))
        (table.set $t (i32.const 3) (ref.func $f))
        (memory.fill (i32.const 1000000) (i32.const 0x5e) (i32.const 1097144))
        (memory.fill $more (i32.const 0) (i32.const 0x5e) (i32.const 524288))";
    let raw = Raw { fields, validate, ..Raw::default() };
    let alone = stage(&raw, Kind::Validator, Isolation::PerCall).await;
    for _ in 0..100 {
        assert_eq!(words(&run(&alone, "{}").await), "");
    }
    let shared = stage(&raw, Kind::Validator, Isolation::Pooled).await;
    assert_eq!(words(&run(&shared, "{}").await), "");
    assert!(run(&shared, "{}").await.is_err());
    // It was shared memory that failed, so it is gone.
    assert_eq!(words(&run(&shared, "{}").await), "");
}

/// Dropped at any of its awaits, in the guest and in the host, a call takes its instance with it.
#[tokio::test]
async fn calls_dropped_anywhere_leave_nothing_behind() {
    let looping = format!("(call $block (call $after (i64.const 100000))) {LOOP}");
    let sleeping = "(loop $again (call $block (call $after (i64.const 100000))) (br $again))";
    for validate in [looping.as_str(), sleeping, ""] {
        let raw = Raw { imports: CLOCK, validate, ..Raw::default() };
        for isolation in [Isolation::PerCall, Isolation::Pooled] {
            let stage = stage(&raw, Kind::Validator, isolation).await;
            for polls in 0..12 {
                dropped_after(&stage, polls).await;
            }
        }
    }
    let harmless = stage(&Raw::default(), Kind::Validator, Isolation::Pooled).await;
    assert_eq!(words(&run(&harmless, "{}").await), "");
}

/// Four plugins that loop, hoard, recurse and answer nonsense, over and over; whoever runs beside them gets what it asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_are_served() {
    let hoard = "(loop $again (drop (memory.grow (i32.const 16))) (br $again))";
    let nonsense = answering(false, 0, u32::MAX);
    let fields = "(func $deeper (call $deeper) (call $deeper))";
    let mut hostile = Vec::new();
    for validate in [LOOP, hoard, "(call $deeper)", &nonsense] {
        let raw = Raw { fields, validate, ..Raw::default() };
        let limits = Limits { cpu: Duration::from_millis(5), ..settings("{}").limits };
        let settings = Settings { limits, ..settings("{}") };
        let loaded = Plugin::load(engine(), "raw", raw.component(), settings).await.unwrap();
        hostile.push(Arc::clone(loaded.interceptors.first().unwrap()));
    }
    let neighbour = told("hostile", "count").await;
    let misbehaving = futures_util::future::join_all(hostile.iter().map(|stage| async move {
        for _ in 0..20 {
            assert!(run(stage, "{}").await.is_err());
        }
    }));
    let behaving = futures_util::future::join_all((0..8).map(|_| async {
        for _ in 0..20 {
            assert_eq!(words(&run(&neighbour, "{}").await), "Info at None: call 1 of this memory");
        }
    }));
    futures_util::future::join(misbehaving, behaving).await;
}

/// More failures of the host than there are places in the pool: every one gives its place back.
#[tokio::test]
async fn panics_of_the_host_give_their_places_back() {
    let imports = r#"(import "wasmgate:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#;
    let validate = "(call $log (i32.const 4) (i32.const 2048) (i32.const 3) (i32.const 0) (i32.const 0))";
    let raw = Raw { imports, validate, ..Raw::default() };
    for isolation in [Isolation::PerCall, Isolation::Pooled] {
        let stage = stage(&raw, Kind::Validator, isolation).await;
        {
            let _panicking = tracing::subscriber::set_default(Panics);
            std::panic::set_hook(Box::new(|_| ()));
            for _ in 0..900 {
                let failed = run(&stage, "{}").await;
                assert_eq!(words(&failed), "failed: the host failed while it served the plugin");
            }
            let _ = std::panic::take_hook();
        }
        assert_eq!(words(&run(&stage, "{}").await), "");
    }
}

/// Drops a call after so many polls, each when the call asks for it.
async fn dropped_after(stage: &Arc<Interceptor>, polls: usize) {
    let exchange = exchange();
    let payload = Json::empty_object();
    let mut call = std::pin::pin!(stage.run(&exchange, Phase::Request, &payload));
    let mut polled = 0;
    let limited = std::future::poll_fn(|context| {
        if polled == polls {
            return std::task::Poll::Ready(None);
        }
        polled += 1;
        call.as_mut().poll(context).map(Some)
    });
    match limited.await {
        None | Some(Ok(_)) => {}
        Some(Err(error)) => assert!(matches!(error, StageError::Exceeded("CPU budget")), "{error}"),
    }
}

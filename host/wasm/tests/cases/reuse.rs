//! Who finds what of an earlier call in memory: nobody by default, the same session or any call of the same plugin where the
//! plugin says so, and nobody at all after anything went wrong.

use std::sync::Arc;

use crate::support::{load, operation, run, run_in, settings, words};
use futures_util::future::join_all;
use wasmgate_core::pipeline::{Exchange, Operation, Phase};
use wasmgate_wasm::{Interceptor, Isolation, Limits};

const COUNT: &str = r#"{"do":"count"}"#;

/// The fixture guest, its instances shared this widely.
async fn shared(isolation: Isolation) -> Arc<Interceptor> {
    let settings = settings(r#"{"do":"count"}"#);
    load("hostile", wasmgate_wasm::Settings { isolation: Some(isolation), ..settings }).await.unwrap()
}

/// How many calls the memory says that it has served, this one included.
async fn count(stage: &Arc<Interceptor>, operation: Operation) -> u32 {
    let answer = run_in(stage, &Exchange::new(operation), Phase::Request, COUNT).await;
    let words = words(&answer);
    let number =
        words.strip_prefix("Info at None: call ").and_then(|rest| rest.strip_suffix(" of this memory"));
    number.unwrap_or_else(|| panic!("{words}")).parse().unwrap()
}

fn of(session: Option<&str>, principal: &str) -> Operation {
    Operation { session: session.map(Into::into), principal: principal.into(), ..operation() }
}

#[tokio::test]
async fn a_call_finds_nothing_of_another() {
    let stage = shared(Isolation::PerCall).await;
    for _ in 0..3 {
        assert_eq!(count(&stage, of(Some("s"), "alice")).await, 1);
    }
}

#[tokio::test]
async fn a_pooled_instance_goes_on_where_it_was() {
    let stage = shared(Isolation::Pooled).await;
    assert_eq!(count(&stage, of(Some("s"), "alice")).await, 1);
    assert_eq!(count(&stage, of(None, "bob")).await, 2);
    assert_eq!(words(&run(&stage, r#"{"do":"count-configured"}"#).await), "Info at None: configured 1 times");
}

#[tokio::test]
async fn a_session_never_meets_another() {
    let stage = shared(Isolation::PerSession).await;
    for round in 1..4 {
        for (session, principal) in
            [(Some("a"), "alice"), (Some("b"), "alice"), (Some("a"), "bob"), (None, "alice"), (None, "bob")]
        {
            assert_eq!(count(&stage, of(session, principal)).await, round, "{session:?} of {principal}");
        }
    }
}

#[tokio::test]
async fn calls_at_the_same_time_never_share_memory() {
    let stage = shared(Isolation::Pooled).await;
    let mut counts: Vec<_> = join_all((0..40).map(|_| count(&stage, operation()))).await;
    counts.sort_unstable();
    // However many ran at once, each memory counted its own calls without a gap.
    let starts = counts.iter().filter(|count| **count == 1).count();
    assert!(starts >= 1 && counts.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{counts:?}");
}

/// After a call that fails, in whatever way, the next one finds fresh memory.
#[tokio::test]
async fn what_fails_is_not_used_again() {
    for what in [
        "overrun",
        "recurse",
        "exit",
        "grow",
        "fail",
        "count-and-fail",
        "spin",
        "stale",
        "bad-note",
        "huge-note",
        "flood-findings",
        "huge-text",
    ] {
        let stage = shared(Isolation::Pooled).await;
        assert_eq!((count(&stage, operation()).await, count(&stage, operation()).await), (1, 2));
        let failed = run(&stage, &format!("{{\"do\":\"{what}\"}}")).await;
        assert!(failed.is_err(), "{what}: {}", words(&failed));
        assert_eq!(count(&stage, operation()).await, 1, "after {what}");
    }
}

#[tokio::test]
async fn what_was_dropped_is_not_used_again() {
    let stage = shared(Isolation::Pooled).await;
    assert_eq!(count(&stage, operation()).await, 1);
    let exchange = Exchange::new(operation());
    let mut call = Box::pin(run_in(&stage, &exchange, Phase::Request, r#"{"do":"spin"}"#));
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    assert_eq!(count(&stage, operation()).await, 1);
}

#[tokio::test]
async fn an_instance_serves_a_thousand_calls() {
    let stage = shared(Isolation::Pooled).await;
    for expected in 1..=1000 {
        assert_eq!(count(&stage, operation()).await, expected);
    }
    assert_eq!(count(&stage, operation()).await, 1);
}

#[tokio::test]
async fn an_instance_whose_memory_is_nearly_used_up_is_given_up() {
    let mut settings = settings("{}");
    settings.limits = Limits { memory: 8 << 20, ..settings.limits };
    settings.isolation = Some(Isolation::Pooled);
    let stage = load("hostile", settings).await.unwrap();
    let mut before = 0;
    // One MiB stays with each call: within six of them, the instance is given up, and never does it run out of memory.
    for _ in 0..30 {
        assert_eq!(words(&run(&stage, r#"{"do":"keep-memory"}"#).await), "");
        let now = count(&stage, operation()).await;
        assert!(now == before + 1 && now < 6 || now == 1, "{before}, {now}");
        before = now;
    }
}

/// There is memory left, but it would lie there for as long as the instance waits.
#[tokio::test]
async fn an_instance_that_grew_a_lot_is_given_up() {
    let stage = shared(Isolation::Pooled).await;
    let mut most = 0;
    for _ in 0..30 {
        assert_eq!(words(&run(&stage, r#"{"do":"keep-memory"}"#).await), "");
        most = most.max(count(&stage, operation()).await);
    }
    assert!((1..=3).contains(&most), "with a MiB more in each call an instance served {most}");
}

/// Budgets are of a call and not of an instance.
#[tokio::test]
async fn every_call_has_its_whole_budget() {
    let mut settings = settings("{}");
    settings.isolation = Some(Isolation::Pooled);
    settings.limits = Limits { output: 100 << 10, ..settings.limits };
    let stage = load("hostile", settings).await.unwrap();
    let note = format!(r#"{{"do":"note-of","note":"{}"}}"#, "x".repeat(70 << 10));
    for expected in 1..4 {
        assert_eq!(words(&run(&stage, &note).await), "");
        assert_eq!(count(&stage, operation()).await, expected);
    }
}

/// Two generations of one plugin do not find each other's memory.
#[tokio::test]
async fn a_plugin_that_is_loaded_again_begins_anew() {
    let first = shared(Isolation::Pooled).await;
    assert_eq!((count(&first, operation()).await, count(&first, operation()).await), (1, 2));
    let second = shared(Isolation::Pooled).await;
    assert_eq!(count(&second, operation()).await, 1);
}

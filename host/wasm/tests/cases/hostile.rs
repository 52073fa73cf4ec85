//! Guests that misbehave: each hurts its own call, in the way the pipeline is told about, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{exchange, load, run, run_in, settings, told, words};
use wasmgate_core::pipeline::{Phase, StageError};
use wasmgate_wasm::{Limits, LoadError};

const PAYLOAD: &str = r#"{"name":"read","arguments":{"q":"x"}}"#;

/// Tells the guest to do `what`, expects the failure to say `expected`, and the same interceptor to work afterwards.
#[track_caller]
fn check(what: &str, expected: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stage = told("hostile", "pass").await;
        let answer = run(&stage, &format!("{{\"do\":\"{what}\",\"arguments\":{{\"q\":\"x\"}}}}")).await;
        assert!(answer.is_err(), "{what}: {}", words(&answer));
        assert_eq!(words(&answer), expected, "{what}");
        assert_eq!(words(&run(&stage, PAYLOAD).await), "", "the call after {what}");
    });
}

#[test]
fn a_loop_exceeds_the_cpu_budget() {
    check("spin", "exceeded its CPU budget");
}

#[test]
fn a_loop_of_host_calls_exceeds_the_cpu_budget() {
    check("spin-in-host", "exceeded its CPU budget");
}

#[test]
fn a_memory_bomb_exceeds_the_memory_limit() {
    check("grow", "exceeded its memory limit");
}

#[test]
fn endless_recursion_is_a_trap() {
    check("recurse", "failed: wasm trap: call stack exhausted");
}

#[test]
fn a_panic_is_a_trap() {
    check("overrun", "failed: wasm trap: wasm `unreachable` instruction executed");
}

#[test]
fn leaving_is_a_failure() {
    check("exit", "failed: Exited with i32 exit status 1");
}

#[test]
fn an_error_of_the_plugin_is_printable() {
    check("fail", "failed: broken\\u{1b}[31m");
}

#[test]
fn too_many_findings_exceed_the_output_limit() {
    check("flood-findings", "exceeded its output limit");
}

#[test]
fn a_huge_text_is_not_copied() {
    check(
        "huge-text",
        "failed: too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted",
    );
}

#[test]
fn a_message_of_another_call_is_refused() {
    check("stale", "failed: used a message that it was not given in this call");
}

#[test]
fn a_note_must_be_json_and_of_reasonable_size() {
    check("bad-note", "failed: put a note that is not JSON: unexpected end at byte 1");
    check("huge-note", "exceeded its output limit");
}

#[tokio::test]
async fn sleeping_exceeds_the_time_limit() {
    let mut settings = settings(r#"{"do":"doze"}"#);
    settings.limits = Limits { wall: Duration::from_millis(50), ..settings.limits };
    let stage = load("hostile", settings).await.unwrap();
    assert_eq!(words(&run(&stage, PAYLOAD).await), "exceeded its time limit");
    assert_eq!(words(&run(&stage, r#"{"do":"pass"}"#).await), "");
}

#[tokio::test]
async fn a_flood_of_lines_and_output_is_swallowed() {
    for what in ["flood-log", "flood-output"] {
        assert_eq!(words(&run(&told("hostile", what).await, PAYLOAD).await), "", "{what}");
    }
}

#[tokio::test]
async fn nothing_of_the_outside_is_there() {
    assert_eq!(words(&run(&told("hostile", "files").await, PAYLOAD).await), "Info at None: false false 0 0");
}

#[tokio::test]
async fn nothing_of_one_call_is_left_for_the_next() {
    let stage = told("hostile", "count").await;
    for _ in 0..3 {
        assert_eq!(words(&run(&stage, PAYLOAD).await), "Info at None: call 1 of this memory");
    }
}

#[tokio::test]
async fn findings_are_printable() {
    let found = run(&told("hostile", "find").await, PAYLOAD).await;
    assert_eq!(words(&found), r#"Error at Some("/arguments/q"): bad\nword \u{202e}"#);
}

#[tokio::test]
async fn a_note_lasts_for_its_exchange_and_its_plugin() {
    let stage = told("hostile", "note").await;
    let exchange = exchange();
    assert_eq!(words(&run_in(&stage, &exchange, Phase::Request, PAYLOAD).await), "Info at None: ");
    assert_eq!(
        words(&run_in(&stage, &exchange, Phase::Response, "{}").await),
        "Info at None: \"from before\""
    );
    assert!(exchange.note("another").is_none());
    assert_eq!(words(&run(&stage, PAYLOAD).await), "Info at None: ");
}

#[tokio::test]
async fn a_note_of_a_failed_call_does_not_count() {
    let stage = told("hostile", "pass").await;
    let exchange = exchange();
    assert!(run_in(&stage, &exchange, Phase::Request, r#"{"do":"huge-note"}"#).await.is_err());
    assert!(exchange.note("hostile").is_none());
}

#[tokio::test]
async fn context_is_read_by_name() {
    use wasmgate_core::json::Json;
    let stage = told("hostile", "attributes").await;
    let mut exchange = exchange();
    exchange.attributes.push(("client.name", Json::parse("\"inspector\"").unwrap()));
    exchange.sent = Some(Json::parse(PAYLOAD).unwrap());
    let answer = run_in(&stage, &exchange, Phase::Response, "{}").await;
    assert_eq!(words(&answer), r#"Info at None: "inspector" {"q":"x"} nothing"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_of_misbehaving_calls_get_their_answers() {
    let stage = Arc::new(told("hostile", "pass").await);
    let call = |number: usize| {
        let stage = stage.clone();
        let what = ["spin", "grow", "count", "overrun", "count", "recurse"][number % 6];
        async move { (what, run(&stage, &format!("{{\"do\":\"{what}\"}}")).await) }
    };
    let answers = futures_util::future::join_all((0..24).map(call)).await;
    for (what, answer) in answers {
        match what {
            "count" => assert_eq!(words(&answer), "Info at None: call 1 of this memory"),
            _ => assert!(answer.is_err(), "{what}"),
        }
    }
}

/// Dropping a call at every point where it can be dropped leaves a plugin that works.
#[tokio::test]
async fn a_call_can_be_dropped_at_any_point() {
    let stage = told("hostile", "pass").await;
    for what in ["spin", "doze", "grow", "flood-output"] {
        for polls in 0..8 {
            let exchange = exchange();
            let payload = format!("{{\"do\":\"{what}\"}}");
            let mut call = Box::pin(run_in(&stage, &exchange, Phase::Request, &payload));
            for _ in 0..polls {
                if futures_util::poll!(&mut call).is_ready() {
                    break;
                }
            }
            drop(call);
        }
        assert_eq!(words(&run(&stage, PAYLOAD).await), "", "after dropping {what}");
    }
}

#[tokio::test]
async fn a_configuration_is_tried_when_the_plugin_is_loaded() {
    let refused = load("hostile", settings(r#"{"do":"refuse"}"#)).await.unwrap_err();
    assert_eq!(refused.to_string(), "refuses its configuration: `/do` is refused");
    let spins = load("hostile", settings(r#"{"do":"spin-in-configure"}"#)).await.unwrap_err();
    assert!(matches!(spins, LoadError::Configure(StageError::Exceeded("CPU budget"))), "{spins:?}");
}

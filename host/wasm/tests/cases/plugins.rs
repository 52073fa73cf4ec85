//! Well-behaved plugins: what mutators and the bundled validators make of messages, through real components.

use std::sync::{Arc, Mutex};

use crate::support::{self, exchange, run, run_in, settings, told, words};
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Phase, Stage as _, StageAnswer};
use wasmgate_wasm::{Interceptor, Settings};

const PAYLOAD: &str = r#"{"name":"read","arguments":{"q":"old","n":1.0,"gone":[1,2],"kept":1e2}}"#;

/// What the editor, told to do `what`, makes of the payload.
async fn check(what: &str, expected: &str) {
    assert_eq!(words(&run(&told("editor", what).await, PAYLOAD).await), expected, "{what}");
}

#[tokio::test]
async fn a_mutator_changes_only_what_it_edits() {
    check("nothing", "unchanged").await;
    check("set", r#"changed to {"name":"read","arguments":{"q":"a \"new\" one","n":1.50,"kept":1e2}}"#).await;
    check("replace", r#"changed to {"arguments":{}}"#).await;
}

#[tokio::test]
async fn what_a_mutator_did_and_did_not_mean_is_forgotten() {
    check("forget", "unchanged").await;
}

#[tokio::test]
async fn edits_are_all_or_nothing() {
    let half = r#"Err(\"there is no `/arguments/missing`\") then \"old\""#;
    let expected = format!(
        r#"changed to {{"name":"read","arguments":{{"q":"old","n":1.0,"gone":[1,2],"kept":1e2,"half":"{half}"}}}}"#
    );
    check("half", &expected).await;
}

#[tokio::test]
async fn what_is_not_json_fails_the_mutation() {
    check("replace-with-text", "failed: expected a value at byte 0").await;
    check("answer-with-text", "failed: answered with what is not JSON: expected a value at byte 0").await;
}

#[tokio::test]
async fn a_flood_of_edits_exceeds_the_output_limit() {
    check("flood", "exceeded its output limit").await;
}

#[tokio::test]
async fn an_answer_is_for_requests() {
    check("answer", r#"answers {"content":[]}"#).await;
    let stage = told("editor", "answer").await;
    let answer = run_in(&stage, &exchange(), Phase::Response, PAYLOAD).await;
    assert_eq!(words(&answer), "failed: answered in the response phase");
}

#[tokio::test]
async fn a_hook_that_wants_a_member_is_not_run_without_it() {
    let stage = told("editor", "replace").await;
    assert_eq!(words(&run(&stage, r#"{"name":"read"}"#).await), "unchanged");
}

async fn bundled(name: &str) -> Arc<Interceptor> {
    support::bundled(name, settings("{}")).await
}

async fn bundled_as_shipped(name: &str) -> Arc<Interceptor> {
    support::bundled(name, Settings::default()).await
}

#[tokio::test]
async fn block_secrets_refuses_in_both_phases() {
    let stage = bundled("block-secrets").await;
    assert_eq!(words(&run(&stage, PAYLOAD).await), "");
    let secret = r#"{"content":[{"type":"text","text":"x \u0067hp_0123456789abcdefghijklmnopqrstuvwxyz"}]}"#;
    let expected = r#"Error at Some("/content/0/text"): the text contains what looks like a GitHub token (github-token)"#;
    for phase in [Phase::Request, Phase::Response] {
        assert_eq!(words(&run_in(&stage, &exchange(), phase, secret).await), expected);
    }
    assert_eq!(stage.counters(), [("blocked".to_owned(), 2)]);
}

#[tokio::test]
async fn block_secrets_is_configured() {
    let load = |config| support::try_bundled("block-secrets", settings(config));
    let allowing = load(r#"{"allow":["github-token"]}"#).await.unwrap();
    assert_eq!(words(&run(&allowing, r#"["ghp_0123456789abcdefghijklmnopqrstuvwxyz"]"#).await), "");
    let refused = load(r#"{"allow":["nonsense"]}"#).await.unwrap_err();
    let refused = refused.to_string();
    assert!(refused.starts_with("refuses its configuration: `/allow/0` "), "{refused}");
}

#[tokio::test]
async fn block_secrets_copes_with_large_results() {
    let stage = bundled("block-secrets").await;
    let payload = format!(r#"{{"content":[{{"type":"image","data":"{}"}}]}}"#, "iVBORw0KGgo".repeat(100_000));
    assert_eq!(words(&run_in(&stage, &exchange(), Phase::Response, &payload).await), "");
    // Nearly as large as a server may answer, with the budget that everybody gets, and looked at to its last string.
    let stage = bundled_as_shipped("block-secrets").await;
    let rows = format!(r#""{}","#, "a row of text ".repeat(292)).repeat((12 << 20) / (4 << 10));
    let clean = format!("[{rows}\"end\"]");
    assert_eq!(words(&run_in(&stage, &exchange(), Phase::Response, &clean).await), "");
    let leaking = format!(r#"[{rows}"ghp_0123456789abcdefghijklmnopqrstuvwxyz"]"#);
    let found = words(&run_in(&stage, &exchange(), Phase::Response, &leaking).await);
    assert!(found.contains("(github-token)"), "{found}");
}

#[tokio::test]
async fn many_tiny_strings_below_long_names_are_looked_at() {
    let stage = bundled_as_shipped("block-secrets").await;
    let payload = format!(r#"{{"{}":[{}""]}}"#, "k".repeat(200_000), r#""","#.repeat(100_000));
    assert_eq!(words(&run(&stage, &payload).await), "");
}

#[tokio::test]
async fn log_calls_writes_two_lines_without_values() {
    let lines = Lines::default();
    let stage = bundled("log-calls").await;
    let _capturing = tracing::subscriber::set_default(lines.clone());
    let mut exchange = exchange();
    let passed = run_in(&stage, &exchange, Phase::Request, PAYLOAD).await;
    assert!(matches!(passed, Ok(StageAnswer::Findings(none)) if none.is_empty()));
    run_in(&stage, &exchange, Phase::Response, r#"{"isError":true,"content":[]}"#).await.unwrap();
    exchange.failed = true;
    run_in(&stage, &exchange, Phase::Response, r#"{"code":-32603,"message":"m"}"#).await.unwrap();
    let lines = lines.0.lock().unwrap().join("\n");
    let ms = |line: &str| line.split(" ms=").next().unwrap().to_owned();
    let shown: Vec<_> = lines.lines().map(ms).collect();
    assert_eq!(
        shown,
        [
            "INFO log-calls r1 call event=tools/call server=files subject=read arguments=4 kinds=string,number,array,number bytes=71",
            "INFO log-calls r1 done event=tools/call server=files subject=read outcome=tool-error bytes=29",
            "INFO log-calls r1 done event=tools/call server=files subject=read outcome=error bytes=29",
        ]
    );
    assert_eq!(stage.counters(), [("calls".to_owned(), 2)]);
}

/// A host function that panics hurts one call: here the log, which the subscriber makes panic.
#[tokio::test]
async fn a_panic_of_the_host_stays_in_its_call() {
    let stage = bundled("log-calls").await;
    {
        let _panicking = tracing::subscriber::set_default(Panics);
        let failed = run(&stage, PAYLOAD).await;
        assert_eq!(words(&failed), "failed: the host failed while it served the plugin");
    }
    assert_eq!(words(&run(&stage, PAYLOAD).await), "");
}

/// Keeps what plugins log: `LEVEL plugin request line`.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

/// Whatever a plugin logs, the host fails over it.
pub(crate) struct Panics;

macro_rules! subscriber {
    ($type:ty, |$self:ident, $event:ident| $body:expr) => {
        impl tracing::Subscriber for $type {
            fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
                metadata.target() == "wasmgate::plugin"
            }

            fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
                tracing::span::Id::from_u64(1)
            }

            fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

            fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

            fn event(&$self, $event: &tracing::Event<'_>) {
                $body
            }

            fn enter(&self, _span: &tracing::span::Id) {}

            fn exit(&self, _span: &tracing::span::Id) {}
        }
    };
}

subscriber!(Lines, |self, event| {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let line =
        format!("{} {} {} {}", event.metadata().level(), fields.plugin, fields.request, fields.message);
    self.0.lock().unwrap().push(line);
});

subscriber!(Panics, |self, _event| panic!("made to"));

#[derive(Default)]
struct Fields {
    plugin: String,
    request: String,
    message: String,
}

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let value = format!("{value:?}").trim_matches('"').to_owned();
        match field.name() {
            "plugin" => self.plugin = value,
            "request" => self.request = value,
            _ => self.message = value,
        }
    }
}

#[tokio::test]
async fn a_plugin_runs_under_another_configuration_for_one_caller() {
    let stage = told("editor", "nothing").await;
    let other = Json::parse(r#"{"do":"replace"}"#).unwrap();
    let replacing = stage.reconfigured(other).await.unwrap();
    let payload = Json::parse(PAYLOAD).unwrap();
    let answer = replacing.run(&exchange(), Phase::Request, &payload).await;
    assert_eq!(words(&answer), r#"changed to {"arguments":{}}"#);
    assert_eq!(words(&run(&stage, PAYLOAD).await), "unchanged");
    let refused =
        told("hostile", "pass").await.reconfigured(Json::parse(r#"{"do":"refuse"}"#).unwrap()).await;
    assert_eq!(refused.err().unwrap(), "refuses its configuration: `/do` is refused");
}

//! One client on pipes in memory, in front of a gateway without servers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::front::tests::{slot, slow_slot};

/// Writes the lines, closes the input, and returns everything that came out.
async fn exchange(lines: &[&str]) -> Vec<String> {
    let tasks = Tasks::new();
    exchange_with(slot(&tasks), tasks, lines).await
}

async fn exchange_with(slot: Slot, tasks: Tasks, lines: &[&str]) -> Vec<String> {
    let (near_in, far_in) = tokio::io::duplex(64 << 20);
    let (mut near_out, far_out) = tokio::io::duplex(64 << 20);
    let mut input = near_in;
    for line in lines {
        input.write_all(line.as_bytes()).await.unwrap();
        input.write_all(b"\n").await.unwrap();
    }
    drop(input);
    serve(slot, (far_in, far_out), Limits::default(), tasks).await;
    let mut output = String::new();
    near_out.read_to_string(&mut output).await.unwrap();
    assert!(output.is_empty() || output.ends_with('\n'));
    output.lines().map(ToOwned::to_owned).collect()
}

const INITIALIZE: &str =
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}"#;

fn modern(version: &str, method: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":"m","method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    )
}

#[track_caller]
fn one(answers: &[String], expected: &str) {
    assert_eq!(
        answers.iter().filter(|answer| answer.contains(expected)).count(),
        1,
        "{expected}: {answers:?}"
    );
}

#[tokio::test]
async fn both_eras_share_a_pipe_and_owed_answers_are_given_at_its_end() {
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let discover = modern("2026-07-28", "server/discover");
    let modern_list = modern("2026-07-28", "tools/list").replace(r#""m""#, r#""n""#);
    let answers = exchange(&[INITIALIZE, list, &discover, "", &modern_list]).await;
    assert_eq!(answers.len(), 4, "{answers:?}");
    one(&answers, r#""protocolVersion":"2025-03-26""#);
    one(&answers, r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
    one(&answers, "supportedVersions");
    one(&answers, r#"}},"tools":[]}"#);
}

#[tokio::test]
async fn bad_lines_cost_themselves_only() {
    let long = format!(r#"{{"id":9,"x":"{}"}}"#, "x".repeat(17 << 20));
    let future = modern("2099-01-01", "tools/list");
    let removed = modern("2026-07-28", "ping");
    let answers = exchange(&[
        "nonsense",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        r#"[{"jsonrpc":"2.0","id":2,"method":"ping"}]"#,
        &long,
        &future,
        &removed,
        INITIALIZE,
        r#"{"jsonrpc":"2.0","id":3,"result":{}}"#,
        r#"[{"jsonrpc":"2.0","id":4,"method":"ping"}]"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#,
    ])
    .await;
    assert_eq!(answers.len(), 9, "{answers:?}");
    one(&answers, r#""id":null,"error":{"code":-32700"#);
    one(&answers, r#""id":1,"error":{"code":-32600,"message":"send initialize first""#);
    one(&answers, "a batch is not allowed here");
    one(&answers, r#""id":9,"error":{"code":-32600,"message":"the message is longer than 16777216 bytes""#);
    one(&answers, r#""id":"m","error":{"code":-32022"#);
    one(&answers, r#""id":"m","error":{"code":-32601"#);
    one(&answers, r#"[{"jsonrpc":"2.0","id":4,"result":{}}]"#);
    one(&answers, r#"{"jsonrpc":"2.0","id":5,"result":{}}"#);
}

#[tokio::test]
async fn what_is_sent_behind_initialize_waits_for_its_answer() {
    let tasks = Tasks::new();
    let slot = slow_slot(&tasks);
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let answers = exchange_with(slot, tasks, &[INITIALIZE, list]).await;
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(answers[0].contains("protocolVersion"), "{answers:?}");
    assert_eq!(answers[1], r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
}

#[tokio::test]
async fn a_client_that_reads_no_more_ends_it() {
    let tasks = Tasks::new();
    let (mut input, far_in) = tokio::io::duplex(1 << 20);
    let (near_out, far_out) = tokio::io::duplex(1 << 20);
    drop(near_out);
    input.write_all(format!("{INITIALIZE}\n").as_bytes()).await.unwrap();
    // Returns although the input stays open.
    serve(slot(&tasks), (far_in, far_out), Limits::default(), tasks.clone()).await;
}

#[tokio::test]
async fn stopping_ends_it() {
    let tasks = Tasks::new();
    let slot = slot(&tasks);
    let (_input, far_in) = tokio::io::duplex(1 << 20);
    let (_near_out, far_out) = tokio::io::duplex(1 << 20);
    tasks.stopping().cancel();
    serve(slot, (far_in, far_out), Limits::default(), tasks.clone()).await;
}

#[tokio::test]
async fn a_modern_client_is_told_what_it_will_hear_of() {
    let listen = modern("2026-07-28", "subscriptions/listen").replace(
        r#""params":{"#,
        r#""params":{"notifications":{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["x:a"]},"#,
    );
    let list = modern("2026-07-28", "tools/list").replace(r#""m""#, r#""n""#);
    let answers = exchange(&[&listen, &list]).await;
    assert_eq!(answers.len(), 2, "{answers:?}");
    one(
        &answers,
        r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/subscriptionId":"m"}}}"#,
    );
}

//! Servers that are processes and end, hang, freeze or never begin (F01, F03 to F06, F08, F19).

use rustix::process::Signal;
use serde_json::json;
use wasmgate_tests::catalog::{Catalog, fixture, process as program};
use wasmgate_tests::faulty::{faulty, instead, is, logged};
use wasmgate_tests::{gateway, process, soon};

#[tokio::test]
async fn f01_a_server_exits_in_the_middle_of_calls() {
    let bad = faulty().start().await;
    let (before, listed) = (bad.pid().await, bad.client.tool_names().await);
    let waiting: Vec<_> = (0..3).map(|_| bad.failing("hold")).collect();
    bad.got("hold", 3).await;
    let died = bad.fails("die", json!({"code": 3})).await;
    let mut failed = vec![died];
    for call in waiting {
        failed.push(soon("the end of a call in flight", call).await.expect("no panic"));
    }
    for error in &failed {
        is(error, "upstream_crashed");
        assert_eq!(error["data"]["server"], "bad", "{error}");
        assert!(error["message"].as_str().is_some_and(|m| m.contains("exit code 3")), "{error}");
    }
    bad.the_good_one_is_fine().await;
    assert_eq!(bad.client.tool_names().await, listed, "what it offers stays listed");
    assert_ne!(bad.back().await, before, "a new process answers");
    assert_eq!((bad.calls_of("hold"), bad.calls_of("die")), (3, 1), "nothing was sent twice");
    bad.gw.stop().await;
}

#[tokio::test]
async fn f01_a_server_that_keeps_exiting_is_left_alone_for_longer_and_longer() {
    let bad = instead(fixture(&["exit", "7"])).begin().await;
    let failures = || bad.logged("server failed");
    bad.gw.stderr.line("the third failure", |_| failures().len() >= 3).await;
    let pauses: Vec<f64> = failures().iter().filter_map(|event| event["again_in"].as_f64()).collect();
    assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]) && pauses[0] >= 0.5, "{pauses:?}");
    let state = bad.gw.state("bad").await;
    assert!(state["reason"].as_str().is_some_and(|reason| reason.contains("exit code 7")), "{state}");
    bad.the_good_one_is_fine().await;
    bad.gw.stop().await;
}

#[tokio::test]
async fn f01_the_circuit_of_a_server_opens_and_what_it_offers_stays_listed() {
    let bad = faulty().start().await;
    let listed = bad.client.tool_names().await;
    for _ in 0..4 {
        is(&bad.fails("die", json!({})).await, "upstream_crashed");
        bad.back().await;
    }
    is(&bad.fails("die", json!({})).await, "upstream_crashed");
    let state = bad.gw.reaches("bad", &["failed"]).await;
    assert!(state["reason"].as_str().is_some_and(|reason| reason.contains("once a minute")), "{state}");
    is(&bad.fails("pid", json!({})).await, "upstream_unavailable");
    assert_eq!(bad.client.tool_names().await, listed, "it will be back");
    let pauses: Vec<f64> =
        bad.logged("server failed").iter().filter_map(|event| event["again_in"].as_f64()).collect();
    assert!(pauses.len() == 5 && pauses[4] >= 45.0, "{pauses:?}");
    bad.the_good_one_is_fine().await;
    bad.gw.stop().await;
}

#[tokio::test]
async fn f03_a_server_never_answers_a_call() {
    let bad =
        faulty().deadlines("1s", "20s").with(|gw| gw.env("WASMGATE_LOG", "wasmgate=debug")).start().await;
    let before = bad.pid().await;
    is(&bad.fails("hold", json!({})).await, "upstream_timeout");
    let told = bad.call("cancelled", json!({})).await["structuredContent"]["ids"].clone();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "the server is told once: {told}");
    assert_eq!(bad.call("let_go", json!({})).await["content"][0]["text"], "let go");
    assert_eq!(bad.logged("answer nobody waits for: dropped").len(), 1, "the late answer is nobody's");
    bad.both_are_fine().await;
    assert_eq!(bad.pid().await, before, "a server that hears is not replaced");
    let ended = bad.gw.stop().await;
    let over = logged(&ended.stderr, "connection over");
    assert!(over.iter().any(|event| event["server"] == "bad" && event["dropped"] == 1), "{over:?}");
}

#[tokio::test]
async fn f03_progress_extends_a_call_and_not_beyond_its_total() {
    let bad = faulty().deadlines("1s", "3s").start().await;
    let params = json!({"name": "bad__drip", "arguments": {}, "_meta": {"progressToken": "t"}});
    let messages = soon("the end of the call", bad.client.messages("tools/call", params)).await;
    let (last, events) = messages.split_last().expect("an answer");
    is(&last["error"], "upstream_timeout");
    assert!(last["error"]["message"].as_str().is_some_and(|text| text.contains("3 s")), "{last}");
    assert!(events.len() > 12, "it went on for longer than one silence: {}", events.len());
    bad.gw.stop().await;
}

#[tokio::test]
async fn f04_a_process_freezes() {
    let bad = faulty().deadlines("1s", "20s").start().await;
    let frozen = bad.pid().await;
    process::signal(frozen, Signal::STOP);
    let (one, other) = (bad.failing("hold"), bad.failing("hold"));
    for call in [one, other] {
        let error = soon("the end of a call to a frozen server", call).await.expect("no panic");
        is(&error, "upstream_timeout");
    }
    bad.the_good_one_is_fine().await;
    assert_ne!(bad.back().await, frozen, "another process answers");
    let left = bad.gw.processes();
    assert!(left.iter().all(|(pid, _)| *pid != frozen), "the frozen one is gone: {left:?}");
    assert_eq!(bad.calls_of("hold"), 0, "nothing was sent twice");
    let failed = bad.logged("server failed");
    assert!(failed.iter().any(|event| event["code"] == "unresponsive"), "{failed:?}");
    bad.gw.stop().await;
}

#[tokio::test]
async fn f05_a_server_never_answers_initialize() {
    let bad = instead(fixture(&["never-initialize"])).begin().await;
    // Here the good server answers while the other one's handshake is still awaited.
    assert_eq!(bad.gw.state("bad").await["state"], "starting");
    bad.the_good_one_is_fine().await;
    let failed = bad.gw.reaches("bad", &["failed"]).await;
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("2 s")), "{failed}");
    bad.the_good_one_is_fine().await;
    bad.gw.stop().await;
}

#[tokio::test]
async fn f06_a_server_answers_initialize_wrongly() {
    for (how, says) in
        [("error", "no licence key"), ("garbage", ""), ("version", "1999-01-01"), ("shape", "")]
    {
        let bad = instead(fixture(&["bad-initialize", how])).begin().await;
        let failed = bad.gw.reaches("bad", &["failed"]).await;
        let reason = failed["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty() && reason.contains(says), "{how}: {failed}");
        bad.the_good_one_is_fine().await;
        bad.gw.stop().await;
    }
}

#[tokio::test]
async fn f08_a_tenth_of_the_servers_is_broken_at_the_start() {
    let mut catalog = Catalog::new();
    for n in 0..9 {
        catalog = catalog.fixture(&format!("good{n}"), &["server", "--stdio"]);
    }
    let catalog = catalog.fixture("broken", &["exit", "1"]);
    let gw = gateway().catalog(catalog.clone()).arg("--enable-all-servers").start().await;
    for n in 0..9 {
        gw.ready([format!("good{n}").as_str()]).await;
    }
    let client = gw.legacy().await;
    assert_eq!(client.tool_names().await.len(), 9 * 17, "nine tenths are served");
    gw.stop().await;

    // Unless somebody said that it is no gateway without it.
    let strict = gateway().catalog(catalog).config("servers: {broken: {required: true}}");
    let ended = strict.arg("--enable-all-servers").run_to_end().await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the required server `broken`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("exit code 1"), "and why: {}", ended.stderr);
}

#[tokio::test]
async fn f08_a_required_server_fails_later_and_the_gateway_goes_on() {
    let bad = faulty().with(|gw| gw.config("servers: {bad: {required: true}}\n")).start().await;
    let ready = async || bad.gw.door("/ready").ask("GET").send().await.status.as_u16();
    assert_eq!(ready().await, 200);
    // So often that it is left alone for a while.
    for _ in 0..2 {
        is(&bad.fails("die", json!({})).await, "upstream_crashed");
        bad.back().await;
    }
    is(&bad.fails("die", json!({})).await, "upstream_crashed");
    soon("the gateway saying that it is not ready", async {
        while ready().await != 503 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    bad.the_good_one_is_fine().await;
    bad.back().await;
    assert_eq!(ready().await, 200);
    bad.gw.stop().await;
}

#[tokio::test]
async fn f19_a_program_ends_at_once_as_if_all_were_well() {
    let bad = instead(fixture(&["exit", "0"])).begin().await;
    let failed = bad.gw.reaches("bad", &["failed"]).await;
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("exit code 0")), "{failed}");
    bad.gw.stderr.line("the second failure", |_| bad.logged("server failed").len() >= 2).await;
    let pauses: Vec<f64> =
        bad.logged("server failed").iter().filter_map(|e| e["again_in"].as_f64()).collect();
    assert!(pauses[0] < pauses[1], "it is no success to be repeated: {pauses:?}");
    bad.the_good_one_is_fine().await;
    bad.gw.stop().await;
}

#[tokio::test]
async fn f19_a_program_is_not_there() {
    let bad = instead(program(&["/no/such/program"])).begin().await;
    let failed = bad.gw.reaches("bad", &["failed"]).await;
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("/no/such/program")), "{failed}");
    bad.the_good_one_is_fine().await;
    bad.gw.stop().await;
}

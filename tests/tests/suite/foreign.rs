//! Interceptors that are no component of ours: commands, containers and HTTP services of Docker's command line, the
//! standard's own door, and remote interceptor servers.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wasmgate_tests::catalog::{good, raw};
use wasmgate_tests::{Legacy, Running, docker, gateway, remote, require, soon};

/// A gateway with the well-behaved server and these interceptors.
async fn with(interceptors: &[&str]) -> (Running, Legacy) {
    let mut builder = gateway().catalog(good("fx"));
    for interceptor in interceptors {
        builder = builder.arg("--interceptor").arg(*interceptor);
    }
    let gw = builder.start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    (gw, client)
}

#[track_caller]
fn failed(error: &Value, interceptor: &str) {
    assert_eq!(error["data"]["code"], "plugin_failed", "{error}");
    assert_eq!(error["data"]["plugin"], interceptor, "{error}");
}

#[tokio::test]
async fn a_command_before_the_call_may_answer_in_the_server_s_place() {
    let answer = r#"cat >"$HOME/shown"; echo '{"content":[{"type":"text","text":"not today"}]}'"#;
    let builder = gateway().catalog(good("fx")).arg("--interceptor").arg(format!("before:exec:{answer}"));
    let shown = builder.home().join("shown");
    let gw = builder.start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let result = client.call("echo", json!({"a": 1})).await;
    assert_eq!(result, json!({"content": [{"type": "text", "text": "not today"}]}));
    let shown: Value =
        serde_json::from_slice(&std::fs::read(shown).expect("what it was shown")).expect("JSON");
    assert_eq!(shown["method"], "tools/call");
    assert_eq!(shown["params"]["name"], "echo");
    assert_eq!(shown["params"]["arguments"], json!({"a": 1}));
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("unsandboxed"), "nobody is told: {}", ended.stderr);
}

#[tokio::test]
async fn a_command_that_says_nothing_leaves_the_call_alone() {
    let (gw, client) =
        with(&["before:exec:true", "after:exec:cat >/dev/null; echo heard >&2", "after:exec:echo"]).await;
    let result = client.call("echo", json!({"a": 1})).await;
    assert_eq!(result["structuredContent"], json!({"a": 1}));
    let error = client.call_fails("no-such-tool", json!({})).await;
    assert!(error["message"].as_str().is_some_and(|words| !words.contains("interceptor")), "{error}");
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("heard"), "what it said on stderr is not logged:\n{}", ended.stderr);
}

#[tokio::test]
async fn commands_after_the_call_see_the_result_and_replace_it_the_first_one_last() {
    let say = |word: &str| {
        format!(
            r#"after:exec:read r; echo "{word} saw $r" >&2; echo '{{"content":[{{"type":"text","text":"{word}"}}]}}'"#
        )
    };
    let (one, two) = (say("one"), say("two"));
    let (gw, client) = with(&[&one, &two]).await;
    assert_eq!(client.call("text", json!({"text": "from the server"})).await["content"][0]["text"], "one");
    let ended = gw.stop().await;
    let line = |word: &str| {
        ended.stderr.lines().find(|line| line.contains(&format!("{word} saw"))).expect("its words").to_owned()
    };
    assert!(line("two").contains("from the server"), "{}", line("two"));
    assert!(!line("one").contains("from the server"), "{}", line("one"));
}

#[tokio::test]
async fn after_a_failed_call_a_command_sees_null_and_the_failure_stays() {
    let say = r#"after:exec:read r; echo "saw <$r>" >&2; echo '{"content":[]}'"#;
    let mut builder = gateway().catalog(raw("r"));
    builder = builder.arg("--interceptor").arg(say);
    let gw = builder.start().await;
    gw.ready(["r"]).await;
    let error = gw.alone("r").await.call_fails("no-such-tool-there", json!({})).await;
    assert!(error["code"].is_i64(), "{error}");
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("saw <null>"), "{}", ended.stderr);
    assert!(ended.stderr.contains("stays failed"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_command_that_fails_stops_the_call() {
    for (script, words) in [
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "signal 9"),
        ("echo '{}'", "neither `content` nor `structuredContent`"),
        ("cat", "neither `content` nor `structuredContent`"),
        ("echo no", "not JSON"),
        ("head -c 5000000 /dev/zero", "output limit"),
    ] {
        let (gw, client) = with(&[&format!("before:exec:{script}")]).await;
        failed(&client.call_fails("text", json!({"text": "x"})).await, "before-exec-1");
        let error = client.call_fails("text", json!({"text": "x"})).await;
        assert!(
            error["message"].as_str().is_some_and(|said| said.contains("before-exec-1")),
            "{script}: {error}"
        );
        let ended = gw.stop().await;
        // The details are for the operator.
        assert!(ended.stderr.contains(words), "{script}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_it_started() {
    let (gw, client) = with(&["before:exec:sleep 1000 & sleep 1000"]).await;
    failed(&client.call_fails("text", json!({"text": "x"})).await, "before-exec-1");
    soon("the end of both", async {
        while gw.processes().iter().any(|(_, line)| line.contains("sleep")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    gw.stop().await;
}

#[tokio::test]
async fn a_client_that_gives_up_ends_its_command() {
    let (gw, client) = with(&["before:exec:sleep 1000"]).await;
    let id = client.next_id();
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "text", "arguments": {}}});
    let asking = tokio::spawn(client.post(body.to_string()).send());
    soon("the command", async {
        while !gw.processes().iter().any(|(_, line)| line.contains("sleep")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    client.notify("notifications/cancelled", json!({"requestId": id})).await;
    soon("its end", async {
        while gw.processes().iter().any(|(_, line)| line.contains("sleep")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    asking.await.expect("an answer");
    gw.stop().await;
}

#[tokio::test]
async fn a_command_that_keeps_failing_is_left_alone_for_a_while() {
    let (gw, client) = with(&["before:exec:echo ran >&2; exit 1"]).await;
    for _ in 0..7 {
        failed(&client.call_fails("text", json!({"text": "x"})).await, "before-exec-1");
    }
    let ended = gw.stop().await;
    assert_eq!(ended.stderr.matches("\"ran\"").count(), 5, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("left alone").count(), 1, "{}", ended.stderr);
}

#[tokio::test]
async fn an_http_service_is_asked_and_must_answer_well() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let address = remote::service(move |head, body| {
        log.lock().expect("a lock").push((head.to_owned(), body.to_owned()));
        match head.split(' ').nth(1).unwrap_or_default().split_whitespace().next().unwrap_or_default() {
            "/answer" => (200, json!({"content": [], "structuredContent": {"by": "service"}}).to_string()),
            "/pass" => (204, String::new()),
            "/empty" => (200, "{}".to_owned()),
            "/moved" => (302, String::new()),
            _ => (500, json!({"content": []}).to_string()),
        }
    })
    .await;
    let of = |path: &str| format!("before:http:http://{address}/{path}");
    let (gw, client) = with(&[&of("pass"), &of("answer")]).await;
    assert_eq!(client.call("text", json!({"a": 1})).await["structuredContent"], json!({"by": "service"}));
    gw.stop().await;
    let first = seen.lock().expect("a lock")[0].clone();
    assert!(
        first.0.starts_with("POST /pass") && first.0.contains("content-type: application/json"),
        "{}",
        first.0
    );
    let body: Value = serde_json::from_str(&first.1).expect("JSON");
    assert_eq!((&body["method"], &body["params"]["arguments"]), (&json!("tools/call"), &json!({"a": 1})));
    for path in ["broken", "empty", "moved"] {
        let (gw, client) = with(&[&of(path)]).await;
        failed(&client.call_fails("text", json!({})).await, "before-http-1");
        gw.stop().await;
    }
    assert!(
        !seen.lock().expect("a lock").iter().any(|(head, _)| head.contains("/elsewhere")),
        "a redirect was followed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_shown_the_call_and_is_gone_afterwards() {
    require!(docker::scratch().await);
    let (gw, client) = with(&[&format!("before:docker:{} interceptor two words", docker::SCRATCH)]).await;
    let gw = gw.with_container("before-docker-1");
    let result = client.call("echo", json!({"a": 1})).await;
    assert_eq!(result["content"][0]["text"], "two words");
    assert_eq!(result["structuredContent"]["shown"]["params"]["arguments"], json!({"a": 1}));
    gw.stop().await;
}

#[tokio::test]
async fn a_component_can_be_named_the_same_way() {
    let component = wasmgate_tests::build::plugin("block-secrets");
    let builder = gateway().catalog(good("fx")).arg("--block-secrets=false");
    let gw = builder.arg("--interceptor").arg(format!("before:wasm:{}", component.display())).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let refused = client.call_fails("echo", json!({"text": secret})).await;
    assert_eq!(refused["data"]["findings"][0]["interceptor"], "before-wasm-1", "{refused}");
    gw.stop().await;
}

#[tokio::test]
async fn a_slip_in_the_command_line_is_said_with_its_cure() {
    for (written, words) in [
        ("around:exec:x", "use `before` or `after`"),
        ("before:lua:x", "use `exec`, `docker`, `http` or `wasm`"),
        ("before:exec", "when:type:argument"),
        ("before:http:localhost:80", "write it out"),
    ] {
        let ended = gateway().catalog(good("fx")).arg("--interceptor").arg(written).run_to_end().await;
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{written}: {}", ended.stderr);
        let ended = wasmgate_tests::gateway::wasmgate(&["validate", "--interceptor", written], &[]).await;
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{written}: {}", ended.stderr);
    }
}
